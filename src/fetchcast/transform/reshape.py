"""Rewrites bodies before they are shaped: columns into rows, and a function of the user's.

Both see a body as decoded JSON and give back JSON; everything after them, the books included, is
about what they gave.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import msgspec

from fetchcast.errors import ShapeError
from fetchcast.json_path import Every, Path, parse_path
from fetchcast.records import Landed
from fetchcast.transform.model import default_rows
from fetchcast.transform.options import TableOptions

RowFunction: TypeAlias = Callable[
    [dict[str, Any]], Mapping[str, Any] | Iterable[Mapping[str, Any]] | None
]
"""Gets a row as decoded JSON; gives the row to keep, several, or None to leave it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshape:
    """What is done to the bodies of one table before they are shaped.

    Args:
        table: Its name.
        rows: Where rows are, after columns were turned; None: where they are found.
        columns: Where objects of arrays stand that are turned into arrays of objects.
        function: What every row is put through.
    """

    table: str
    rows: Path | None
    columns: Path | None
    function: RowFunction | None

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        return self.columns is not None or self.function is not None

    @property
    def version(self) -> str:
        """Another text means other rows from the same answers."""
        return "" if self.function is None else fingerprint(self.function)

    def answer(self, landed: Landed) -> Landed:
        """``landed`` with its body rewritten; as it is where its body is not JSON.

        Raises:
            ShapeError: If the function fails, or gives what is no row.
        """
        try:
            document = msgspec.json.decode(landed.body)
        except (ValueError, RecursionError):
            return landed  # The shaper says what is wrong with it.
        if self.columns is not None:
            document = _changed(document, self.columns, turned)
        if self.function is not None:
            document = self._through(self.function, document, landed)
        return replace(landed, body=msgspec.json.encode(document))

    def _through(self, function: RowFunction, document: Any, landed: Landed) -> Any:
        def rows_of(row: Any) -> list[Any]:
            try:
                made = function(row)
                rows = [made] if isinstance(made, Mapping) else list(made or ())
            except Exception as error:
                raise self._failed(landed, f"{type(error).__name__}: {error}") from error
            for one in rows:
                if not isinstance(one, Mapping):
                    raise self._failed(landed, f"gave {one!r}, which is no row")
            return rows

        def the_row(row: Any) -> Any:
            rows = rows_of(row)
            if len(rows) > 1:
                raise self._failed(landed, "gave several rows; set `rows` to where an array is")
            return rows[0] if rows else None

        path = default_rows([document]) if self.rows is None else self.rows
        if path and isinstance(path[-1], Every):
            return _changed(document, path[:-1], lambda array: _each(array, rows_of))
        return _changed(document, path, the_row)

    def _failed(self, landed: Landed, what: str) -> ShapeError:
        name = getattr(self.function, "__qualname__", repr(self.function))
        return ShapeError(self.table, f"the row function {name} on {landed.url}: {what}")


def reshape_for(
    name: str, options: TableOptions, function: RowFunction | None
) -> tuple[Reshape, TableOptions]:
    """What is done to the bodies of a table, and its options for what comes out of that."""
    columns = parse_path(options.rows or "") if options.columnar else None
    if options.columnar:
        options = msgspec.structs.replace(options, rows=f"{options.rows or ''}[*]", columnar=False)
    rows = None if options.rows is None else parse_path(options.rows)
    return Reshape(table=name, rows=rows, columns=columns, function=function), options


def turned(value: Any) -> Any:
    """``{"time": [1, 2], "t": [3, 4]}`` as ``[{"time": 1, "t": 3}, {"time": 2, "t": 4}]``.

    A single value beside the arrays is in every row. Arrays of different lengths are no columns:
    the object stays as it is, and the shaper rejects it.
    """
    if not isinstance(value, dict):
        return value
    columns = {key: one for key, one in value.items() if isinstance(one, list)}
    if len({len(column) for column in columns.values()}) != 1:
        return value
    beside = {key: one for key, one in value.items() if key not in columns}
    names = [*columns]
    return [
        {**dict(zip(names, row, strict=True)), **beside}
        for row in zip(*columns.values(), strict=True)
    ]


def fingerprint(function: Callable[..., Any]) -> str:
    """What tells one version of ``function`` from another: its text, or its name without one."""
    name = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    try:
        return f"{name} {inspect.getsource(function)}"
    except (OSError, TypeError):
        return name


def _changed(value: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    """``value`` with ``change`` made at every place that ``path`` leads to."""
    if not path:
        return change(value)
    step, rest = path[0], path[1:]
    if isinstance(step, Every):
        return (
            [_changed(item, rest, change) for item in value] if isinstance(value, list) else value
        )
    if isinstance(step, str) and isinstance(value, dict) and step in value:
        return {**value, step: _changed(value[step], rest, change)}
    if isinstance(step, int) and isinstance(value, list) and step < len(value):
        return [
            _changed(item, rest, change) if place == step else item
            for place, item in enumerate(value)
        ]
    return value


def _each(array: Any, rows_of: Callable[[Any], Iterable[Any]]) -> Any:
    def made() -> Iterator[Any]:
        for row in array:
            yield from rows_of(row)

    return list(made()) if isinstance(array, list) else array
