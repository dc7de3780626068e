"""Databases for plans: queries that give parameters, and conditions that leave rows out.

A query is answered once and its rows kept in a file until the run ends. A database is not kept
waiting for hours while calls are made from its rows, and what is asked, counted and loaded are the
same rows, even if the run itself changes the table they come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING
from weakref import finalize

from fetchcast.config import Pipeline
from fetchcast.load.destinations import open_destination

if TYPE_CHECKING:
    import pyarrow as pa

    from fetchcast.load.duckdb import Conditions


class PlanDatabases:
    """Implements `fetchcast.records.Databases` for the plans of one pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._folder: Path | None = None
        self._answers: dict[tuple[str, str], tuple[Path, int]] = {}
        self._conditions: Conditions | None = None

    def batches(self, sql: str, on: str | None) -> Iterator[pa.RecordBatch]:
        """The rows of a read-only query, as they were when it was first asked."""
        import pyarrow as pa  # noqa: PLC0415  60 MB that only those pay who query

        path, count = self._answer(sql, on)
        if count:
            with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
                yield from stream

    def count(self, sql: str, on: str | None) -> int:
        """How many rows these are."""
        return self._answer(sql, on)[1]

    def kept(self, condition: str, rows: pa.Table) -> Sequence[bool]:
        """For which of ``rows`` a SQL condition is true."""
        if self._conditions is None:
            from fetchcast.load.duckdb import Conditions  # noqa: PLC0415  loaded if used

            self._conditions = Conditions()
        return self._conditions.kept(condition, rows)

    def _answer(self, sql: str, on: str | None) -> tuple[Path, int]:
        url = on or self._pipeline.destinations[0]
        if (url, sql) not in self._answers:
            self._answers[url, sql] = self._spool(sql, url)
        return self._answers[url, sql]

    def _spool(self, sql: str, url: str) -> tuple[Path, int]:
        """The rows on disk, and how many; a piece at a time is in memory."""
        import pyarrow as pa  # noqa: PLC0415

        if self._folder is None:
            self._folder = Path(mkdtemp(prefix="fetchcast-"))
            finalize(self, rmtree, self._folder, ignore_errors=True)  # With the last of the plans.
        path = self._folder / f"{len(self._answers)}.arrow"
        count = 0
        stream: pa.ipc.RecordBatchStreamWriter | None = None
        with pa.OSFile(str(path), "wb") as file:
            for batch in open_destination(url, self._pipeline.folder).batches(sql):
                stream = stream or pa.ipc.new_stream(file, batch.schema)
                stream.write_batch(batch)
                count += batch.num_rows
            if stream is not None:
                stream.close()
        return path, count
