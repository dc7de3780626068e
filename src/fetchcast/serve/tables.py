"""The tables of the destination, for looking at: schema, rows, profiles, and queries of one's own.

Filters and order come from the address as names and operators of a fixed set; names are checked
against the schema and quoted, values are quoted. The query page takes one SELECT and gives it a
limit of rows and of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa

from fetchcast.errors import QueryError
from fetchcast.serve.queries import Store, named, quoted, rows
from fetchcast.serve.reading import BadAddress, NotThere, nearest


class BadQuery(QueryError):
    """A query with parts that a visitor chose could not be answered."""


PER_PAGE = 50
MOST_ROWS = 1000
MOST_SECONDS = 10.0
MOST_BYTES = 10_000_000
"""Of an answer to a query of one's own, before compression."""
OPERATORS = {
    "eq": "is",
    "ne": "is not",
    "lt": "below",
    "ge": "at least",
    "has": "contains",
    "null": "is missing",
}
_COMPARISONS = {"lt": "<", "ge": ">="}
_INTEGERS = ("tinyint", "smallint", "integer", "bigint", "hugeint")
_NUMERIC = frozenset(
    [
        *_INTEGERS,
        *(f"u{name}" for name in _INTEGERS),
        *("decimal", "numeric", "float", "real", "double", "double precision"),
    ]
)
_PLAIN_ONLY = ("[", "json", "struct", "map", "array", "union")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table."""

    name: str
    type: str

    @property
    def numeric(self) -> bool:
        """Whether its values are set flush right."""
        return self.type.lower().partition("(")[0] in _NUMERIC

    @property
    def comparable(self) -> bool:
        """Whether it has a smallest and a largest value in every database."""
        return not any(part in self.type.lower() for part in _PLAIN_ONLY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table and its columns."""

    name: str
    columns: Sequence[Column]

    def column(self, name: str) -> Column:
        """One of its columns; raises `BadAddress`."""
        for column in self.columns:
            if column.name == name:
                return column
        known = [column.name for column in self.columns]
        raise BadAddress("column", name, "one of " + ", ".join(nearest(name, known)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A filter of the address: ``column:operator:value``."""

    column: str
    operator: str
    value: str

    @property
    def text(self) -> str:
        """As it stands in the address."""
        return f"{self.column}:{self.operator}:{self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Which rows of a table: filters, order, from where."""

    conditions: Sequence[Condition] = ()
    sort: str = ""
    """A column's name; with a minus before it the largest first."""
    offset: int = 0
    limit: int = PER_PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A column in figures."""

    name: str
    type: str
    present: int
    missing: int
    distinct: int | None
    least: str | None
    most: str | None


def every(store: Store) -> list[Table]:
    """All tables with their columns, by name."""
    found = rows(
        store.table(
            "select table_name, column_name, data_type from information_schema.columns "
            "where table_schema = current_schema() order by table_name, ordinal_position"
        )
    )
    return [
        Table(
            name=name,
            columns=[Column(name=row["column_name"], type=row["data_type"]) for row in group],
        )
        for name, group in groupby(found, key=lambda row: str(row["table_name"]))
    ]


def one(store: Store, name: str) -> Table:
    """One table; raises `NotThere` with the nearest names."""
    found = every(store)
    for table in found:
        if table.name == name:
            return table
    raise NotThere("table", name, nearest(name, [table.name for table in found]))


def counts(store: Store, tables: Sequence[Table]) -> dict[str, int]:
    """How many rows each table has."""
    if not tables:
        return {}
    parts = [f"select {quoted(t.name)} as name, count(*) as n from {named(t.name)}" for t in tables]
    return {row["name"]: row["n"] for row in rows(store.table(" union all ".join(parts)))}


def conditions(table: Table, filters: Sequence[str]) -> list[Condition]:
    """Filters of an address; raises `BadAddress`."""
    found = []
    for text in filters:
        column, _, rest = text.partition(":")
        operator, _, value = rest.partition(":")
        if operator not in OPERATORS:
            raise BadAddress("filter", text, "column:operator:value, " + ", ".join(OPERATORS))
        found.append(Condition(column=table.column(column).name, operator=operator, value=value))
    return found


def select(table: Table, view: View) -> str:
    """The query for a view of a table."""
    where = " and ".join(_condition(each) for each in view.conditions)
    text = f"select * from {named(table.name)}" + (f" where {where}" if where else "")
    if view.sort:
        name = table.column(view.sort.removeprefix("-")).name
        direction = "desc" if view.sort.startswith("-") else "asc"
        text += f" order by {named(name)} {direction} nulls last"
    return f"{text} limit {int(view.limit)} offset {int(view.offset)}"


def _condition(condition: Condition) -> str:
    column, value = named(condition.column), quoted(condition.value)
    if condition.operator == "null":
        return f"{column} is null"
    if condition.operator in _COMPARISONS:
        return f"{column} {_COMPARISONS[condition.operator]} {value}"
    as_text = f"cast({column} as varchar)"
    if condition.operator == "has":
        return f"position(lower({value}) in lower({as_text})) > 0"
    return f"{as_text} is {'not ' if condition.operator == 'eq' else ''}distinct from {value}"


def profiles(store: Store, table: Table) -> list[Profile]:
    """Each column in figures, in one pass."""
    parts = ["count(*) as n"]
    for place, column in enumerate(table.columns):
        name = named(column.name)
        parts.append(f"count({name}) as c{place}")
        if column.comparable:
            parts.append(f"count(distinct {name}) as d{place}")
        if column.comparable and "bool" not in column.type.lower():
            parts.append(f"cast(min({name}) as varchar) as l{place}")
            parts.append(f"cast(max({name}) as varchar) as m{place}")
    (row,) = rows(store.table(f"select {', '.join(parts)} from {named(table.name)}"))
    return [
        Profile(
            name=column.name,
            type=column.type,
            present=row[f"c{place}"],
            missing=row["n"] - row[f"c{place}"],
            distinct=row.get(f"d{place}"),
            least=row.get(f"l{place}"),
            most=row.get(f"m{place}"),
        )
        for place, column in enumerate(table.columns)
    ]


def page(store: Store, table: Table, view: View) -> list[dict[str, Any]]:
    """The rows of a view."""
    return rows(chosen(store, table, view))


def chosen(store: Store, table: Table, view: View) -> pa.Table:
    """The same as Arrow; raises `BadQuery` if a value does not suit its column."""
    try:
        return store.table(select(table, view))
    except QueryError as problem:
        raise BadQuery(*problem.args) from problem


def asked(store: Store, sql: str) -> tuple[pa.Table, bool]:
    """The answer to a query of one's own, and whether it was cut off at the limit.

    Raises:
        BadQuery: If it is no single SELECT, takes too long, or cannot be answered.
    """
    try:
        answer = store.ask(
            sql.strip().rstrip(";"), rows=MOST_ROWS + 1, size=MOST_BYTES, seconds=MOST_SECONDS
        )
    except QueryError as problem:
        raise BadQuery(*problem.args) from problem
    return answer.slice(0, MOST_ROWS), answer.num_rows > MOST_ROWS
