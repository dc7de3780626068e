"""Moves the bodies of old answers into Parquet files that any tool can read.

A sealed file has a row per answer with all that is known of it, a row group per batch, and is
written whole before the journal forgets the bodies: a kill in between leaves a file that nobody
knows, which the next sealing removes. Keys and entries stay in the journal, so that every look-up
stays as fast.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any, Final

import msgspec

from fetchcast.errors import LandingDamaged, LandingError
from fetchcast.landing.journal import Journal, open_journal
from fetchcast.landing.lock import exclusive
from fetchcast.landing.options import LandingOptions
from fetchcast.landing.segment import Entry, Unpacker

FOLDER: Final = "sealed"
_FILE_SEGMENTS: Final = 200
"""About 100,000 answers a file."""


def seal(journal: Journal, upto_seq: int) -> list[Path]:
    """Move the bodies of all answers up to ``upto_seq`` (whole batches) into Parquet files.

    Returns:
        The files that were made, the oldest first.

    Raises:
        LandingError: If a file cannot be written; its answers stay in the journal.
    """
    sweep(journal)
    made = []
    while batch := _next_segments(journal, upto_seq):
        name = f"answers-{batch[0][0]:012}-{batch[-1][1]:012}.parquet"
        path = journal.path.parent / FOLDER / name
        write_whole(path, _parts(journal, [first for first, _ in batch]))
        with journal.transaction():
            journal.connection.execute(
                "INSERT INTO sealed VALUES (?, ?, ?)", (batch[0][0], batch[-1][1], name)
            )
            journal.connection.execute(
                "UPDATE segment SET bodies = NULL WHERE first_seq BETWEEN ? AND ?",
                (batch[0][0], batch[-1][0]),
            )
        made.append(path)
    journal.give_back()
    return made


def seal_landing(directory: Path, *, before: float | None = None) -> list[Path]:
    """`seal` the landing of ``directory`` while no run writes to it.

    Args:
        directory: The landing.
        before: Only batches whose newest answer is older, seconds since 1970; None for all.

    Returns:
        The files that were made, the oldest first.

    Raises:
        LandingInUse: If a run writes to it.
        LandingError: If a file cannot be written; its answers stay in the journal.
    """
    with exclusive(directory), open_journal(directory, LandingOptions()) as journal:
        young = "SELECT min(first_seq) - 1 FROM segment WHERE finished_at >= ?"
        (upto,) = journal.connection.execute(young, (inf if before is None else before,)).fetchone()
        return seal(journal, journal.last_seq if upto is None else upto)


def _next_segments(journal: Journal, upto_seq: int) -> list[tuple[int, int]]:
    """The oldest neighbours that are not sealed: none may lie between two of a file."""
    (behind,) = journal.connection.execute(
        "SELECT coalesce(max(last_seq), 0) FROM sealed"
    ).fetchone()
    return journal.connection.execute(
        "SELECT first_seq, last_seq FROM segment WHERE first_seq > ? AND last_seq <= ? "
        "AND bodies IS NOT NULL ORDER BY first_seq LIMIT ?",
        (behind, upto_seq, _FILE_SEGMENTS),
    ).fetchall()


def _parts(
    journal: Journal, first_seqs: Sequence[int]
) -> Iterator[tuple[list[Entry], list[bytes]]]:
    unpacker = Unpacker()
    for first_seq in first_seqs:
        entries_frame, bodies_frame = journal.connection.execute(
            "SELECT entries, bodies FROM segment WHERE first_seq = ?", (first_seq,)
        ).fetchone()
        entries = unpacker.entries(entries_frame)
        yield entries, list(unpacker.bodies(bodies_frame, entries))


def write_whole(path: Path, parts: Iterator[tuple[list[Entry], list[bytes]]]) -> None:
    """Write ``parts``, a row group each, so that ``path`` is there whole or not at all."""
    import pyarrow as pa  # noqa: PLC0415  80 MB that only sealing needs
    import pyarrow.parquet as pq  # noqa: PLC0415

    draft = path.with_suffix(".draft")
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with draft.open("wb") as file:
            schema = _schema(pa)
            with pq.ParquetWriter(file, schema, compression="zstd") as writer:
                for entries, bodies in parts:
                    rows = [_row(entry, body) for entry, body in zip(entries, bodies, strict=True)]
                    writer.write_table(pa.Table.from_pylist(rows, schema), len(rows))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        hint = "make room or give write access; its answers are safe in the journal"
        raise LandingError(str(path), f"cannot be written ({error})", hint) from error


def _sync_folder(folder: Path) -> None:
    if os.name != "nt":  # Windows has no handle of a directory to sync.
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _schema(pa: Any) -> Any:
    texts = ("key", "resource", "url", "params", "fate")
    return pa.schema(
        [
            pa.field("seq", pa.int64(), nullable=False),
            *(pa.field(name, pa.string(), nullable=False) for name in texts),
            pa.field("status", pa.int16()),
            pa.field("headers", pa.string(), nullable=False),
            pa.field("attempts", pa.int32(), nullable=False),
            pa.field("reason", pa.string()),
            pa.field("finished_at", pa.timestamp("us", "UTC"), nullable=False),
            pa.field("body", pa.binary(), nullable=False),
        ]
    )


def _row(entry: Entry, body: bytes) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "key": entry.key,
        "resource": entry.resource,
        "url": entry.url,
        "params": msgspec.json.encode(entry.params).decode(),
        "fate": entry.fate.value,
        "status": entry.status,
        "headers": msgspec.json.encode(entry.headers).decode(),
        "attempts": entry.attempts,
        "reason": entry.reason,
        "finished_at": round(entry.finished_at * 1e6),
        "body": body,
    }


def sealed_bodies(
    connection: sqlite3.Connection, directory: Path, first_seq: int
) -> dict[int, bytes] | None:
    """The sealed bodies of the batch that begins at ``first_seq``, by seq; None if not sealed.

    Raises:
        LandingError: If the file is gone.
        LandingDamaged: If it cannot be read.
    """
    row = connection.execute(
        "SELECT file, (SELECT last_seq FROM segment WHERE first_seq = ?1) FROM sealed "
        "WHERE ?1 BETWEEN first_seq AND last_seq",
        (first_seq,),
    ).fetchone()
    return None if row is None else _read(directory / FOLDER / row[0], first_seq, row[1])


def _read(path: Path, first_seq: int, last_seq: int) -> dict[int, bytes]:
    import pyarrow as pa  # noqa: PLC0415  80 MB that only sealed landings need
    import pyarrow.parquet as pq  # noqa: PLC0415

    found: dict[int, bytes] = {}
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                seqs = file.metadata.row_group(group).column(0).statistics
                if seqs.max >= first_seq and seqs.min <= last_seq:
                    table = file.read_row_group(group, columns=["seq", "body"])
                    found.update(zip(*(part.to_pylist() for part in table.columns), strict=True))
    except FileNotFoundError as error:
        hint = "move the file back; the calls need not be made again"
        raise LandingError(str(path), "is gone, the journal's bodies are in it", hint) from error
    except (OSError, pa.ArrowException) as error:
        hint = "restore the file from a copy"
        raise LandingDamaged(str(path), f"cannot be read ({error})", hint) from error
    return found


def rewrite(journal: Journal, first_seq: int, keep: Callable[[int], bool], revision: int) -> None:
    """Replace the sealed file that begins at ``first_seq`` by one with the kept seqs alone.

    To be called inside a transaction: the old file goes with `sweep`, once that is committed.
    """
    (name,) = journal.connection.execute(
        "SELECT file FROM sealed WHERE first_seq = ?", (first_seq,)
    ).fetchone()
    folder = journal.path.parent / FOLDER
    fresh = f"{name.split('.')[0]}.{revision}.parquet"
    write_whole(folder / fresh, _kept_rows(folder / name, keep))
    journal.connection.execute("UPDATE sealed SET file = ? WHERE first_seq = ?", (fresh, first_seq))


def _kept_rows(
    path: Path, keep: Callable[[int], bool]
) -> Iterator[tuple[list[Entry], list[bytes]]]:
    import pyarrow.parquet as pq  # noqa: PLC0415

    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows = [row for row in file.read_row_group(group).to_pylist() if keep(row["seq"])]
            if rows:
                yield [_entry(row) for row in rows], [row["body"] for row in rows]


def _entry(row: dict[str, Any]) -> Entry:
    read = {
        **row,
        "params": msgspec.json.decode(row["params"]),
        "headers": msgspec.json.decode(row["headers"]),
        "finished_at": row["finished_at"].timestamp(),
        "body_length": len(row["body"]),
    }
    return msgspec.convert([read[name] for name in Entry.__struct_fields__[:12]], Entry)


def sweep(journal: Journal) -> None:
    """Remove sealed files that the journal does not know: a kill or an erasure left them."""
    known = {name for (name,) in journal.connection.execute("SELECT file FROM sealed")}
    for path in (journal.path.parent / FOLDER).glob("answers-*"):
        if path.name not in known:
            with suppress(PermissionError):  # Windows: somebody reads it; the next one removes it.
                path.unlink()
