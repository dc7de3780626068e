"""The text of SQL statements: quoted names, column types, and how types widen.

Everything here is text from values: no connection, no driver. Values never become text; they
are bound, or travel as Arrow.

A *kind* is the type of a column as this package speaks of it, the same in every destination:
``text``, ``integer`` (64 bits), ``number`` (double), ``flag``, ``moment`` (an instant in UTC),
``local`` (date and time without zone), ``day``, ``time``, ``bytes``, ``decimal(p,s)`` and any of
the first seven with ``[]`` for a list. A `Dialect` says what a database calls them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import types as arrow

from fetchcast.errors import DestinationError

LOADS_TABLE = "_fetchcast_loads"
"""In every destination: one row per load, see `fetchcast.records.LoadNote`."""

MARK = "made by fetchcast"
"""The comment on a table that may be widened or made anew; other tables are the user's."""

_DIGITS = 38
"""The most that a decimal has in DuckDB and Arrow."""

_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How one database names the kinds, and what it allows in names."""

    name: str
    types: Mapping[str, str]
    """Kind to type, as the database itself reports it."""
    list_suffix: str | None = "[]"
    """What makes a list of a type; None if there are no lists."""
    decimal: str = "DECIMAL({precision},{scale})"
    longest_name: int | None = None
    """In bytes of UTF-8; None if there is no limit."""
    try_cast: str = "CAST"
    """A cast that gives NULL where it cannot be made, if there is one."""

    def type_of(self, kind: str) -> str | None:
        """The database's type for ``kind``, or None if it has none."""
        if kind.endswith("[]"):
            element = self.type_of(kind.removesuffix("[]"))
            return f"{element}{self.list_suffix}" if element and self.list_suffix else None
        if parts := _DECIMAL.fullmatch(kind):
            return self.decimal.format(precision=parts[1], scale=parts[2])
        return self.types.get(kind)

    def kind_of(self, reported: str) -> str | None:
        """The kind of a column whose type the database reports so; None if it is foreign."""
        if self.list_suffix and reported.endswith(self.list_suffix):
            element = self.kind_of(reported.removesuffix(self.list_suffix))
            return f"{element}[]" if element else None
        if parts := re.fullmatch(r"(?:decimal|numeric)\((\d+),(\d+)\)", reported.lower()):
            return f"decimal({parts[1]},{parts[2]})"
        return next((kind for kind, name in self.types.items() if name == reported), None)


DUCKDB = Dialect(
    name="DuckDB",
    try_cast="TRY_CAST",
    types={
        "text": "VARCHAR",
        "integer": "BIGINT",
        "number": "DOUBLE",
        "flag": "BOOLEAN",
        "moment": "TIMESTAMP WITH TIME ZONE",
        "local": "TIMESTAMP",
        "day": "DATE",
        "time": "TIME",
        "bytes": "BLOB",
    },
)

POSTGRES = Dialect(
    name="PostgreSQL",
    types={
        "text": "text",
        "integer": "bigint",
        "number": "double precision",
        "flag": "boolean",
        "moment": "timestamp with time zone",
        "local": "timestamp without time zone",
        "day": "date",
        "time": "time without time zone",
        "bytes": "bytea",
    },
    decimal="numeric({precision},{scale})",
    longest_name=63,
)

SQLITE = Dialect(
    name="SQLite",
    types={
        "text": "TEXT",
        "integer": "INTEGER",
        "number": "REAL",
        "flag": "BOOLEAN",
        "moment": "TIMESTAMPTZ",
        "local": "TIMESTAMP",
        "day": "DATE",
        "time": "TIME",
        "bytes": "BLOB",
    },
    list_suffix=" JSON TEXT",
    decimal="TEXT",
)

_ARROW_KINDS: Mapping[str, pa.DataType] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "flag": pa.bool_(),
    "moment": pa.timestamp("us", "UTC"),
    "local": pa.timestamp("us"),
    "day": pa.date32(),
    "time": pa.time64("us"),
    "bytes": pa.binary(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMerge:
    """What an upsert needs to know: its columns, and how they are cast."""

    key: tuple[str, ...]
    columns: tuple[str, ...]
    casts: Mapping[str, str]

    @property
    def others(self) -> tuple[str, ...]:
        """The columns that an update sets."""
        return tuple(name for name in self.columns if name not in self.key)


def check_name(name: str, dialect: Dialect, url: str) -> None:
    """See that a table or column may have this name; raises `DestinationError`."""
    size, longest = len(name.encode()), dialect.longest_name
    if longest is not None and size > longest:
        raise DestinationError(
            url,
            f"the name {name!r} has {size} bytes, {dialect.name} allows {longest}; nothing was "
            "loaded",
            "give it a shorter name in the pipeline file; landed answers are kept",
        )


def quoted(name: str) -> str:
    """``name`` as an identifier; reserved words, spaces and Finnish letters are fine."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Iterable[str], prefix: str = "") -> str:
    """Quoted names with commas, each after ``prefix`` (an alias with its dot)."""
    return ", ".join(prefix + quoted(name) for name in names)


def text_literal(text: str) -> str:
    """``text`` as an SQL literal, where a statement takes no bound values (DDL, settings)."""
    return "'" + text.replace("'", "''") + "'"


def kind_of_arrow(data_type: pa.DataType) -> str | None:
    """The kind that holds every value of ``data_type``; None if there is none.

    The null type has no kind yet: its column comes alive with its first value.
    """
    if arrow.is_dictionary(data_type):
        return kind_of_arrow(data_type.value_type)
    if isinstance(data_type, pa.BaseExtensionType):
        return kind_of_arrow(data_type.storage_type)
    if arrow.is_list(data_type) or arrow.is_large_list(data_type):
        element = kind_of_arrow(data_type.value_type)
        return f"{element}[]" if element in _ARROW_KINDS else None
    if arrow.is_decimal(data_type):
        return f"decimal({data_type.precision},{data_type.scale})"
    return _scalar_kind(data_type)


def _scalar_kind(data_type: pa.DataType) -> str | None:
    if arrow.is_timestamp(data_type):
        return "local" if data_type.tz is None else "moment"
    tests = (
        (arrow.is_string, "text"),
        (arrow.is_large_string, "text"),
        (arrow.is_string_view, "text"),
        (arrow.is_boolean, "flag"),
        (arrow.is_integer, "integer"),
        (arrow.is_floating, "number"),
        (arrow.is_date, "day"),
        (arrow.is_time, "time"),
        (arrow.is_binary, "bytes"),
        (arrow.is_large_binary, "bytes"),
    )
    return next((kind for test, kind in tests if test(data_type)), None)


def arrow_of_kind(kind: str) -> pa.DataType:
    """The one Arrow type that a kind travels in."""
    if kind.endswith("[]"):
        return pa.list_(arrow_of_kind(kind.removesuffix("[]")))
    if parts := _DECIMAL.fullmatch(kind):
        return pa.decimal128(int(parts[1]), int(parts[2]))
    return _ARROW_KINDS[kind]


def widest(have: str, want: str) -> str:
    """The narrowest kind that holds both; in the end that is text, which holds everything."""
    if have == want:
        return have
    if {have, want} == {"integer", "number"}:
        return "number"
    decimals = [_DECIMAL.fullmatch(_as_decimal(kind)) for kind in (have, want)]
    if all(decimals):
        whole = max(int(parts[1]) - int(parts[2]) for parts in decimals if parts)
        scale = max(int(parts[2]) for parts in decimals if parts)
        return f"decimal({whole + scale},{scale})" if whole + scale <= _DIGITS else "text"
    return "text"


def _as_decimal(kind: str) -> str:
    return "decimal(19,0)" if kind == "integer" else kind


def create_table(table: str, columns: Mapping[str, str]) -> str:
    """``CREATE TABLE`` with name and type of each column, in order. ``table`` is quoted."""
    body = ", ".join(f"{quoted(name)} {type_}" for name, type_ in columns.items())
    return f"CREATE TABLE {table} ({body})"


def insert_from(
    table: str, source: str, columns: Sequence[str], casts: Mapping[str, str], tail: str = ""
) -> str:
    """``INSERT .. SELECT`` of ``columns``; ``casts`` names the type of those that need one."""
    values = picked(columns, casts)
    return f"INSERT INTO {table} ({listed(columns)}) SELECT {values} FROM {source} s{tail}"


def picked(columns: Iterable[str], casts: Mapping[str, str]) -> str:
    """The values of ``columns`` of the source ``s``, cast where the table needs it."""
    return ", ".join(_cast(name, casts.get(name)) for name in columns)


def _cast(name: str, type_: str | None) -> str:
    return f"CAST(s.{quoted(name)} AS {type_})" if type_ else f"s.{quoted(name)}"


def differs(columns: Iterable[str], casts: Mapping[str, str], target: str) -> str:
    """True where any of ``columns`` of the source ``s`` is not what ``target`` holds."""
    parts = [
        f"{target}.{quoted(name)} IS DISTINCT FROM {_cast(name, casts.get(name))}"
        for name in columns
    ]
    return " OR ".join(parts) or "FALSE"


def assignments(columns: Iterable[str], casts: Mapping[str, str]) -> str:
    """The ``SET`` list that copies ``columns`` from the source ``s``."""
    return ", ".join(f"{quoted(name)} = {_cast(name, casts.get(name))}" for name in columns)


def changed_by(name: str, type_: str, want: str, source: str, cast: str) -> str:
    """``SELECT`` of one value that a column of ``type_`` would not hold as it is.

    Casts round, cut and guess without a word (1.5 to 2, ``007`` to 7, ``item`` to 0 in SQLite):
    what comes back from one as something else is not held.
    """
    value = f"s.{quoted(name)}"
    back = f"{cast}({cast}({value} AS {type_}) AS {want})"
    return f"SELECT {value} FROM {source} s WHERE {back} IS DISTINCT FROM {value} LIMIT 1"


def reads_exactly(type_: str, kind: str) -> bool:
    """Whether a cast of ``kind`` to ``type_`` fails rather than change what the value means.

    It may come back spelt in another way: ``{"a":1}`` as ``{"a": 1}``.
    """
    parsed = r"(json|jsonb|uuid|inet|cidr|macaddr|xml|interval|citext|timestamp)\b"
    return kind == "text" and re.match(parsed, type_.lower()) is not None


def matches(keys: Iterable[str], target: str, casts: Mapping[str, str]) -> str:
    """True where ``target`` and the source ``s`` share ``keys``, which are never NULL."""
    return " AND ".join(f"{target}.{quoted(key)} = {_cast(key, casts.get(key))}" for key in keys)


def merge_into(table: str, source: str, merge: RowMerge) -> str:
    """``MERGE``: insert what is new, update what differs, leave the rest alone."""
    update = (
        f"WHEN MATCHED AND ({differs(merge.others, merge.casts, 't')}) "
        f"THEN UPDATE SET {assignments(merge.others, merge.casts)} "
        if merge.others
        else ""
    )
    return (
        f"MERGE INTO {table} t USING {source} s ON ({matches(merge.key, 't', merge.casts)}) "
        f"{update}WHEN NOT MATCHED THEN INSERT ({listed(merge.columns)}) "
        f"VALUES ({picked(merge.columns, merge.casts)})"
    )


def update_and_insert(table: str, source: str, merge: RowMerge) -> list[str]:
    """What `merge_into` does, in two statements, for databases without ``MERGE``."""
    same = matches(merge.key, "t", merge.casts)
    missing = f" WHERE NOT EXISTS (SELECT 1 FROM {table} t WHERE {same})"
    insert = insert_from(table, source, merge.columns, merge.casts, missing)
    if not merge.others:
        return [insert]
    update = (
        f"UPDATE {table} AS t SET {assignments(merge.others, merge.casts)} FROM {source} s "
        f"WHERE {same} AND ({differs(merge.others, merge.casts, 't')})"
    )
    return [update, insert]


def alter_type(table: str, column: str, type_: str) -> str:
    """``ALTER TABLE`` that widens a column and casts what is in it."""
    name = quoted(column)
    return f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {type_} USING CAST({name} AS {type_})"


def forget_notes(place: str, table: str) -> str:
    """``DELETE`` of all notes about ``table`` from the loads table at ``place``."""
    return f"DELETE FROM {place} WHERE table_name = {text_literal(table)}"


def count_note(place: str, load_id: str, rows: int) -> str:
    """``UPDATE`` of one note in the loads table at ``place``: how many rows it brought."""
    return f"UPDATE {place} SET row_count = {rows} WHERE load_id = {text_literal(load_id)}"
