"""Rows on their way in: brought to the types that destinations know, and checked."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from fetchcast.errors import DestinationError
from fetchcast.load import sql

_SHOWN = 3
_THEN = "; then `fetchcast replay` loads what has landed"


def settled(rows: pa.Table, *, destination: str, table: str) -> pa.Table:
    """``rows`` with each column in the one Arrow type of its kind.

    Columns of the null type are left out: a column is made when its first value arrives.

    Raises:
        DestinationError: If a column's type has no kind, a value does not fit the kind, or two
            names differ in case only.
    """
    _check_names(rows.schema.names, destination=destination, table=table)
    names, columns = [], []
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        if pa.types.is_null(column.type):
            continue
        names.append(name)
        columns.append(_settled_column(name, column, destination=destination, table=table))
    if not names:
        return rows.select([])
    return pa.table(columns, names=names)


def _settled_column(
    name: str, column: pa.ChunkedArray, *, destination: str, table: str
) -> pa.ChunkedArray:
    kind = sql.kind_of_arrow(column.type)
    if kind is None:
        raise DestinationError(
            destination,
            f"column {name!r} of table {table!r} has the type {column.type}, for which no "
            "column type is known; this load was not applied",
            f"choose its fields in [table], or keep it as JSON text{_THEN}",
        )
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.cast(column.type.storage_type)
    wanted = sql.arrow_of_kind(kind)
    if column.type == wanted:
        return column
    try:
        return column.cast(wanted)
    except pa.ArrowInvalid as error:
        raise DestinationError(
            destination,
            f"column {name!r} of table {table!r}: {error}; this load was not applied",
            f"give the column a wider type in [table.{table}]{_THEN}",
        ) from None


def _check_names(names: Sequence[str], *, destination: str, table: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.casefold(), name)
        if other is not name or not name:
            raise DestinationError(
                destination,
                f"table {table!r} would have the columns {other!r} and {name!r}, which are one "
                "name to many databases; this load was not applied",
                f"rename one of them in the pipeline file{_THEN}",
            )


def check_key(rows: pa.Table, key: Sequence[str], *, unique: bool, at: tuple[str, str]) -> None:
    """See that rows can be found by ``key``: no NULLs, and with ``unique`` no doubles.

    Args:
        rows: What is to be merged.
        key: The columns of the key.
        unique: Whether a key may stand in one row only.
        at: Destination and table, for the message.

    Raises:
        DestinationError: With the first offending values.
    """
    destination, table = at
    if missing := [name for name in key if name not in rows.schema.names]:
        raise DestinationError(
            destination,
            f"the key column {missing[0]!r} is not in the rows for table {table!r}; this load "
            "was not applied",
            f"columns are: {', '.join(rows.schema.names)}; correct the key{_THEN}",
        )
    for name in key:
        if nulls := rows[name].null_count:
            raise DestinationError(
                destination,
                f"{nulls} of {rows.num_rows} rows for table {table!r} have no value in the key "
                f"column {name!r}; this load was not applied",
                f"choose a key that every row has{_THEN}",
            )
    if unique:
        _check_unique(rows, key, at=at)


def _check_unique(rows: pa.Table, key: Sequence[str], *, at: tuple[str, str]) -> None:
    counted = rows.select(list(key)).group_by(list(key)).aggregate([([], "count_all")])
    if counted.num_rows == rows.num_rows:
        return
    doubled = counted.filter(pc.greater(counted["count_all"], 1))
    shown = [
        "(" + ", ".join(str(row[name]) for name in key) + ")"
        for row in doubled.slice(0, _SHOWN).to_pylist()
    ]
    destination, table = at
    raise DestinationError(
        destination,
        f"{doubled.num_rows} keys ({', '.join(key)}) stand in more than one row for table "
        f"{table!r}, such as {', '.join(shown)}; this load was not applied",
        "choose a key that tells the rows apart, or leave `key` out: rows then belong to the call "
        f"they came with{_THEN}",
    )
