"""Files: a folder of Parquet files, one a table, and CSV files made from such a folder.

A load never changes a file in place. It reads the tables it touches into a scratch database,
applies everything there as in any other destination, writes the new files beside the old ones,
says in ``pending`` which of them to put in place (from then on the load has happened), and puts
them there. Whatever a kill leaves undone is finished by the next load, and by readers until then.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pyarrow as pa

from fetchcast.errors import ConfigError, QueryError
from fetchcast.load import sql
from fetchcast.load.disk import locked, replace_text, sync, sync_folder, told
from fetchcast.load.duckdb import FilesEngine, over_files, scratch, write_csv
from fetchcast.load.tables import TableLoading
from fetchcast.records import LoadNote

_INNER = ".fetchcast"
_BEHIND = "the rows are kept, the CSV file is as it was and is written by the next run"


class ParquetFolder:
    """One Parquet file a table; implements `fetchcast.records.Destination`.

    Args:
        folder: Where ``<table>.parquet`` are; made if need be.
        url: For messages.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self._url = folder, url
        self._inner = folder / _INNER
        self._pending = self._inner / "pending"

    @property
    def url(self) -> str:
        """The address, for messages."""
        return self._url

    @contextmanager
    def load(self) -> Iterator[TableLoading]:
        """Begin one load; leaving it without an error puts all its files in place.

        Raises:
            DestinationError: If another load is under way, or the folder cannot be used.
        """
        with locked(self._inner, self._url):
            with told(self._url):
                self._finish()
                self._sweep()
            with scratch(self._inner / "scratch.duckdb", self._url) as connection:
                engine = FilesEngine(connection, self._url, self.files())
                loading = TableLoading(engine)
                yield loading
                loading.finish()
                fresh = {
                    table: engine.write(table, self._inner / f"{_file(table)}.tmp")
                    for table in engine.written(loading.tables)
                }
            if fresh:
                with told(self._url):
                    self._publish(fresh)

    def last_note(self, table: str) -> LoadNote | None:
        """The newest note about ``table``, or None if nothing was ever loaded."""
        files = self.files()
        if sql.LOADS_TABLE not in files:
            return None
        with over_files(files) as reading:
            return reading.last_note(table)

    def query(self, sql_text: str) -> pa.Table:
        """The rows of a read-only query in DuckDB's SQL, where each file is a table.

        Raises:
            QueryError: If there are no files yet, or the query cannot be answered.
        """
        with over_files(self._asked()) as reading:
            return reading.query(sql_text, self._url)

    def batches(self, sql_text: str) -> Iterator[pa.RecordBatch]:
        """What `query` gives, a piece at a time."""
        with over_files(self._asked()) as reading:
            yield from reading.batches(sql_text, self._url)

    def _asked(self) -> dict[str, Path]:
        files = self.files()
        if not files:
            raise QueryError(self._url, "there are no files yet", "`fetchcast run` makes them")
        return files

    def files(self) -> dict[str, Path]:
        """Table to file as of the last whole load."""
        files = {path.stem: path for path in self.folder.glob("*.parquet")}
        for table, name in self._said().items():
            if (fresh := self._inner / name).exists():
                files[table] = fresh
        return files

    def _said(self) -> dict[str, str]:
        with suppress(FileNotFoundError):
            return msgspec.json.decode(self._pending.read_bytes(), type=dict[str, str])
        return {}

    def _publish(self, fresh: Mapping[str, Path]) -> None:
        for path in fresh.values():
            sync(path)
        sync_folder(self._inner)
        replace_text(self._pending, json.dumps({table: path.name for table, path in fresh.items()}))
        try:
            self._finish()
        except PermissionError:
            if os.name != "nt":
                raise
            # Somebody reads the old file. The load has happened: our readers go by ``pending``, and
            # the next load puts the files in place, or says why it cannot.

    def _finish(self) -> None:
        """Put in place what a committed load has written."""
        said = self._said()
        for table, name in said.items():
            with suppress(FileNotFoundError):  # It was put in place before a kill.
                (self._inner / name).replace(self.folder / _file(table))
        if said:
            sync_folder(self.folder)
            self._pending.unlink()

    def _sweep(self) -> None:
        for path in self._inner.glob("*.tmp"):
            path.unlink()


def _file(table: str) -> str:
    return f"{table}.parquet"


class CsvOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may stand after ``?`` in ``csv:///results.csv?order=number``."""

    table: str | None = None
    """The table that is the file itself; by default the first that is loaded. Others become
    ``results.<table>.csv``."""
    order: str | None = None
    """Columns by which the rows are ordered, with commas; by default ``_position``, ``_row``
    where a table has them, else rows stand as they were loaded."""
    delimiter: str = ","
    guard: bool = True
    """Whether text that a spreadsheet would run as a formula is made harmless by a ``'``."""

    def __post_init__(self) -> None:
        if len(self.delimiter) != 1:
            raise ConfigError("delimiter", self.delimiter, "one character")


class CsvFile:
    """A CSV file that is written anew by each load; implements `fetchcast.records.Destination`.

    CSV has no types and cannot tell a guarded cell from one that began with ``'``; so the rows
    are kept as Parquet in ``results.csv.d`` and the CSV is made from them. Deleting the CSV file
    means: start anew.
    """

    def __init__(self, path: Path, url: str, options: CsvOptions) -> None:
        self.path, self._url, self._options = path, url, options
        self.notices: list[str] = []
        """What a person should know of the loads so far."""
        self._folder = path.with_name(path.name + ".d")
        self._store = ParquetFolder(self._folder, url)
        self._state = self._folder / _INNER / "rendered"

    @property
    def url(self) -> str:
        """The address, for messages."""
        return self._url

    @contextmanager
    def load(self) -> Iterator[TableLoading]:
        """Begin one load; leaving it without an error writes the CSV files anew."""
        with told(self._url):
            self._forget_if_deleted()
        with self._store.load() as loading:
            yield loading
            # Before the rows are kept: after a kill nobody would know which table is the file.
            with told(self._url):
                self._settle_main(loading.tables)
        with told(self._url, _BEHIND):
            self._render()

    def last_note(self, table: str) -> LoadNote | None:
        """The newest note about ``table``, or None if nothing was loaded since the file began."""
        if not self.path.exists():
            return None
        self._render()
        return self._store.last_note(table)

    def query(self, sql_text: str) -> pa.Table:
        """The rows of a read-only query in DuckDB's SQL; types are those that were loaded."""
        return self._store.query(sql_text)

    def batches(self, sql_text: str) -> Iterator[pa.RecordBatch]:
        """What `query` gives, a piece at a time."""
        return self._store.batches(sql_text)

    def _forget_if_deleted(self) -> None:
        if self._state.exists() and not self.path.exists():
            for path in self._store.files().values():
                path.unlink()
            self._state.unlink()

    def _settle_main(self, tables: list[str]) -> None:
        """Write down which table is the CSV file itself: the first that is ever loaded."""
        done = self._rendered()
        first = next((table for table in tables if not table.startswith("_")), None)
        if first is not None and "" not in done:
            replace_text(self._state, json.dumps(done | {"": first}))

    def _render(self) -> None:
        """Write the CSV of every table whose file is newer than what was written of it."""
        files = {
            table: path for table, path in self._store.files().items() if table != sql.LOADS_TABLE
        }
        done = self._rendered()
        main = self._options.table or done.get("", "")
        for table, path in files.items():
            stamp = path.stat().st_mtime_ns
            place = self._place(table, main)
            if done.get(table) == stamp and place.exists():
                continue
            if table not in done:
                self._set_aside(place)
                # Before it is written: after a kill it is known as ours.
                replace_text(self._state, json.dumps(done | {table: 0}))
            self._write(table, path, place)
            done[table] = stamp
        if files:
            replace_text(self._state, json.dumps(done))

    def _set_aside(self, place: Path) -> None:
        """Keep a copy of a file that was there before we ever wrote one of that name."""
        if place.exists():
            number = 1 + len(list(self._folder.glob(f"set-aside-*{place.suffix}")))
            aside = self._folder / f"set-aside-{number:06d}-{place.name}"
            shutil.copy2(place, aside)
            self.notices.append(
                f"{place} was there before, and fetchcast had not written it\nhint: what was in "
                f"it is kept as {aside}; delete that when you need it no more"
            )

    def _rendered(self) -> dict[str, int | str]:
        with suppress(FileNotFoundError):
            return msgspec.json.decode(self._state.read_bytes(), type=dict[str, int | str])
        return {}

    def _place(self, table: str, main: str | int) -> Path:
        if table == main:
            return self.path
        return self.path.with_name(f"{self.path.stem}.{table}{self.path.suffix}")

    def _write(self, table: str, source: Path, target: Path) -> None:
        order = self._options.order.split(",") if self._options.order else ["_position", "_row"]
        fresh = self._folder / _INNER / f"{table}.csv.tmp"
        write_csv(
            source,
            fresh,
            order=order,
            delimiter=self._options.delimiter,
            guard=self._options.guard,
            at=(self._url, _BEHIND),
        )
        sync(fresh)
        fresh.replace(target)
        sync_folder(target.parent)
