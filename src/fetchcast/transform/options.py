"""What a ``[table.NAME]`` of the pipeline file may say."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from fetchcast.errors import ConfigError
from fetchcast.json_path import EVERY, parse_path
from fetchcast.transform.carries import parse_carry

TypeName = Literal[
    "int64", "int", "float64", "float", "text", "bool", "timestamptz", "date", "json"
]
TYPE_NAMES: dict[str, str] = {
    "int": "int64",
    "int64": "int64",
    "float": "float64",
    "float64": "float64",
    "text": "text",
    "bool": "bool",
    "timestamptz": "timestamptz",
    "date": "date",
    "json": "json",
}
"""What may be written, and the type it means."""
_NAME_BYTES = 63


class ColumnOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column: where its value is in the row, and of which type it is."""

    path: str
    type: TypeName | None = None
    """A declared type is a promise: what does not fit goes to the rejects, nothing widens."""
    zone: str | None = None
    """For ``timestamptz``: the zone of times that carry none, such as ``Europe/Helsinki``; UTC."""
    missing: tuple[str, ...] = ()
    """Texts that mean "no value" in this API, such as ``"."`` or ``""``; they become NULL."""

    def __post_init__(self) -> None:
        """Check the path and the zone."""
        if EVERY in parse_path(self.path):
            raise ConfigError("path", self.path, "one value: [0] and not [*] in a column's path")
        if self.zone is not None:
            if self.type != "timestamptz":
                raise ConfigError("zone", self.zone, 'type = "timestamptz" beside it')
            _check_zone(self.zone)


class TableOptions(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"source": "from"},
):
    """How the answers of a resource become the rows of a table.

    Without any settings but ``from`` it does the sensible thing: rows are found, columns named
    and typed by what is in the answers, arrays in a row become tables of their own.
    """

    source: str | list[str]
    """The resource, or several that feed one table (``from`` in the file)."""
    rows: str | None = None
    """Where the rows are: ``[*].timeTableRows[*]``, ``results[*]``. None: the elements of an
    array of objects; of an object with exactly one array of objects, that; else the body itself."""
    columnar: bool = False
    """``rows`` leads to an object of arrays, ``{"time": [...], "temperature": [...]}``: the first
    elements of all arrays are the first row, the second the second. A single value beside the
    arrays is in every row."""
    carry: dict[str, str] = {}
    """Column -> where above the row it is read: ``^.departureDate``, ``$.total``,
    ``header:fetchcast-origin``, ``param:date``, ``url``, ``landed_at``."""
    columns: dict[str, str | ColumnOptions] | None = None
    """Column -> path in the row, or path and type; nothing else is kept. None: everything."""
    types: dict[str, TypeName] = {}
    """Column -> type; ``child_table.column`` for the column of a child table."""
    contract: Literal["evolve", "freeze", "discard_row", "discard_value"] = "evolve"
    """What is done with a value that the table has no place for: widen the table, stop with an
    error, reject the row, reject the value."""
    nested: Literal["tables", "json"] = "tables"
    """Arrays in a row: tables of their own, or one JSON text each."""
    write: Literal["append", "replace", "merge"] | None = None
    """None: ``merge``, but ``replace`` for an ``every_call`` table."""
    key: list[str] | None = None
    """For ``merge``: the columns that name a row. None: all rows of a call are replaced."""
    destination: str | list[str] | None = None
    """Another destination than the pipeline's."""
    every_call: bool = False
    """At least one row for every row of the plan, in its order, with ``_fate`` and ``_reason``."""

    def __post_init__(self) -> None:
        """Check paths and names, so that a mistake is told before any call."""
        if not self.sources:
            raise ConfigError("from", self.source, "the name of a resource")
        if self.key is not None and (not self.key or self.write in {"append", "replace"}):
            raise ConfigError("key", self.key, 'columns, with write = "merge"')
        _check("rows", self.rows or "", parse_path)
        for column, text in self.carry.items():
            _check(f"carry.{column}", text, parse_carry)
        for column, chosen in (self.columns or {}).items():
            if isinstance(chosen, str):
                _check(f"columns.{column}", chosen, parse_path)
                if EVERY in parse_path(chosen):
                    raise ConfigError(f"columns.{column}", chosen, "one value: [0] and not [*]")
        _check_names([*self.carry, *(self.columns or {})])

    @property
    def sources(self) -> list[str]:
        """The resources that feed this table."""
        return [self.source] if isinstance(self.source, str) else self.source

    @property
    def disposition(self) -> str:
        """``append``, ``replace`` or ``merge``."""
        return self.write or ("replace" if self.every_call and self.key is None else "merge")


def _check(key: str, text: str, parse: object) -> None:
    assert callable(parse)
    try:
        parse(text)
    except ValueError as error:
        raise ConfigError(key, text, str(error)) from None


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise ConfigError("zone", zone, "a zone such as Europe/Helsinki") from None


def _check_names(names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if not name or len(name.encode()) > _NAME_BYTES or name.startswith("_"):
            expected = f"a column name of 1 to {_NAME_BYTES} bytes that does not start with _"
            raise ConfigError("column", name, expected)
        if not name.isprintable() or '"' in name:
            raise ConfigError("column", name, "a name without quotes and control characters")
        other = seen.setdefault(name.lower(), name)
        if other != name or names.count(name) > 1:
            raise ConfigError("column", name, f"another name: {other!r} is there already")
