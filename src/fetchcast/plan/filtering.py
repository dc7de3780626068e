"""Leaving out rows of a plan by a SQL condition; a database decides, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress, islice
from typing import Any

from fetchcast.errors import ConfigError, QueryError
from fetchcast.plan.axes import Value
from fetchcast.plan.templates import text_of
from fetchcast.records import Databases

_PIECE_ROWS = 4_096
_ORDER = {"bool": 0, "int64": 1, "double": 2, "string": 3}
"""What holds what: a column with 1 and 1.5 is one of doubles, one with 1 and "a" one of texts."""


class Filter:
    """The rows for which a condition is true.

    Args:
        key: Where the condition stands in the pipeline file, for messages.
        condition: In DuckDB's SQL, over the columns of the rows.
        databases: What evaluates it.
    """

    def __init__(self, key: str, condition: str, databases: Databases | None) -> None:
        assert databases is not None, "a pipeline gives its plans its databases"
        self._key, self._condition, self._databases = key, condition, databases

    def __call__(self, values: Iterator[Value]) -> Iterator[Value]:
        """Those of ``values`` that are kept; raises `ConfigError` if the condition is none."""
        types: dict[str, str] = {}
        while piece := list(islice(values, _PIECE_ROWS)):
            yield from compress(piece, self._kept(piece, types))

    def check(self, names: Sequence[str]) -> None:
        """Refuse what is no SQL at all, before there are rows with columns called ``names``."""
        try:
            self._kept([Value(dict.fromkeys(names, ""), {})], {})
        except ConfigError as error:
            if "Parser Error" in error.args[2]:
                raise

    def _kept(self, piece: Sequence[Value], types: dict[str, str]) -> Sequence[bool]:
        import pyarrow as pa  # noqa: PLC0415  60 MB that only those pay who filter

        names = dict.fromkeys(name for value in piece for name in value.columns)
        columns = {
            name: _column([value.columns.get(name) for value in piece], name, types)
            for name in names
        }
        try:
            return self._databases.kept(self._condition, pa.table(columns))
        except QueryError as error:
            shown = ", ".join(names) or "none"
            problem = error.args[1].split("\n\nLINE")[0]  # Our statement around it only puzzles.
            expected = f"a SQL condition over these columns: {shown}\n{problem}"
            raise ConfigError(self._key, self._condition, expected) from None


def _column(values: list[Any], name: str, types: dict[str, str]) -> Any:
    """``values`` as Arrow, in a type that only widens from one piece to the next."""
    import pyarrow as pa  # noqa: PLC0415

    kinds = {_kind(value) for value in values if value is not None}
    kinds |= {types[name]} if name in types else set()
    if "bool" in kinds and len(kinds) > 1:
        kinds = {"string"}
    kind = max(kinds, key=_ORDER.__getitem__, default="string")
    if kinds:
        types[name] = kind
    if kind == "string":
        values = [None if value is None else text_of(value) for value in values]
    return pa.array(values, kind)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64" if -(1 << 63) <= value < 1 << 63 else "string"
    return "double" if isinstance(value, float) else "string"
