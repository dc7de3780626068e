"""The table of everything that is in no column."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from fetchcast.records import REQUEST_KEY, Batch, Landed, Target
from fetchcast.transform.judge import Reject
from fetchcast.transform.schema import TIMESTAMP

REJECTS = "_rejects"
_SCHEMA = pa.schema(
    [
        (REQUEST_KEY, pa.string()),
        ("request_key", pa.string()),
        ("table_name", pa.string()),
        ("row", pa.int64()),
        ("path", pa.string()),
        ("value_head", pa.string()),
        ("reason", pa.string()),
        ("values_lost", pa.int64()),
        ("url", pa.string()),
        ("landed_at", TIMESTAMP),
    ]
)


def rejects_batch(
    table: str, keys: Sequence[str], rejects: Sequence[tuple[Landed, Reject]]
) -> Batch:
    """The rejects of ``table`` in the answers ``keys``; none of them, if all is well again.

    Several tables share `REJECTS` and one answer, so the key of its rows is both together.
    """
    rows = [_line(table, landed, reject) for landed, reject in rejects]
    return Batch(
        target=Target(table=REJECTS),
        rows=pa.Table.from_pylist(rows, schema=_SCHEMA),
        keys=[_key(table, key) for key in keys],
    )


def _key(table: str, key: str) -> str:
    return f"{key} {table}"


def _line(table: str, landed: Landed, reject: Reject) -> dict[str, object]:
    return {
        REQUEST_KEY: _key(table, landed.key),
        "request_key": landed.key,
        "table_name": table,
        "row": reject.row,
        "path": reject.path,
        "value_head": reject.head,
        "reason": reject.reason,
        "values_lost": reject.leaves,
        "url": landed.url,
        "landed_at": int(landed.finished_at * 1_000_000),
    }
