"""The loads table: what was loaded when, from which run. The same in every destination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from fetchcast.records import LoadNote

LOADS_COLUMNS: Mapping[str, str] = {
    "load_id": "text",
    "run_id": "text",
    "table_name": "text",
    "landing": "text",
    "from_seq": "integer",
    "upto_seq": "integer",
    "shape": "text",
    "row_count": "integer",
    "loaded_at": "moment",
}
"""Columns and kinds of the loads table."""


def note_values(note: LoadNote) -> list[object]:
    """The values of a note in the order of `LOADS_COLUMNS`."""
    return [
        note.load_id,
        note.run_id,
        note.table,
        note.landing,
        note.from_seq,
        note.upto_seq,
        note.shape,
        note.rows,
        datetime.fromtimestamp(note.loaded_at, UTC),
    ]


def note_of(row: Sequence[object]) -> LoadNote:
    """A note from a row of the loads table."""
    load_id, run_id, table, landing, from_seq, upto_seq, shape, rows, loaded_at = row
    return LoadNote(
        load_id=str(load_id),
        run_id=str(run_id),
        table=str(table),
        landing=str(landing),
        from_seq=int(str(from_seq)),
        upto_seq=int(str(upto_seq)),
        shape=str(shape),
        rows=int(str(rows)),
        loaded_at=float(str(loaded_at)),
    )
