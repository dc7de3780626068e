"""What an answer looks like, from its schema or from itself, and what follows from that.

Where the rows are, which field names a row, which fields are dates: the same guesses are made
from an OpenAPI document before the first call, and from a real answer after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_DEPTH = 6
_MANY = 20
"""So many objects in an array inside a single object: they are the rows, not it."""
_PLAIN = re.compile(r'[^.\[\]"]+')
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(?P<zone>Z|[+-]\d{2}:?\d{2})?"
)
_KEYS = ("id", "uuid", "guid", "key", "code", "number", "slug")
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")


@dataclass(slots=True)
class Shape:
    """What may stand at one place of a document."""

    kind: str = "any"
    """``object``, ``array``, ``string``, ``integer``, ``number``, ``boolean``, ``any``."""
    format: str = ""
    """Of a string: ``date``, ``date-time`` (with a zone), ``date-time-local``, ``uri``."""
    fields: dict[str, Shape] = field(default_factory=dict)
    items: Shape | None = None
    count: int = 0
    """Elements of an array, where that is known."""
    names_rows: bool = False
    """In the array's objects, every one has a value here and no two have the same."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Where rows are, and what one looks like."""

    path: str
    """As a table's ``rows``; empty for the answer itself."""
    row: Shape
    count: int = 0
    """How many there are, where that is known."""


def words(name: str) -> str:
    """``totalResults``, ``total-results`` and ``Total_results`` are all ``total_results``."""
    return "_".join(part.lower() for part in _WORDS.split(name) if part)


def step(path: str, key: str) -> str:
    """``path`` with one key more."""
    if not _PLAIN.fullmatch(key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def shape_of(value: Any, depth: int = 0) -> Shape:
    """The shape of a decoded answer."""
    if isinstance(value, dict):
        return Shape("object", fields=_fields([value], depth))
    if isinstance(value, list):
        return _array(value, depth)
    return Shape(_kind(value), _format(value))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return {float: "number", str: "string"}.get(type(value), "any")


def _format(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    if _DATE.fullmatch(value):
        return "date"
    if found := _MOMENT.fullmatch(value):
        return "date-time" if found["zone"] else "date-time-local"
    return "uri" if value.startswith(("http://", "https://")) else ""


def _array(values: list[Any], depth: int) -> Shape:
    objects = [value for value in values if isinstance(value, dict)]
    if depth > _DEPTH or not values:
        return Shape("array", count=len(values))
    if not objects:
        return Shape("array", items=shape_of(values[0], depth + 1), count=len(values))
    items = Shape("object", fields=_fields(objects, depth))
    for name, below in items.fields.items():
        below.names_rows = _distinct([one.get(name) for one in objects])
    return Shape("array", items=items, count=len(values))


def _distinct(values: list[Any]) -> bool:
    plain = all(isinstance(v, str | int) and not isinstance(v, bool) for v in values)
    return plain and len(values) > 1 and len(set(values)) == len(values)


def _fields(objects: list[dict[str, Any]], depth: int) -> dict[str, Shape]:
    """The fields of all ``objects``, each as its values agree."""
    if depth > _DEPTH:
        return {}
    values: dict[str, list[Any]] = {}
    for one in objects:
        for name, value in one.items():
            values.setdefault(name, []).append(value)
    return {name: _agreed(found, depth) for name, found in values.items()}


def _agreed(values: list[Any], depth: int) -> Shape:
    known = [value for value in values if value is not None]
    inner = [value for value in known if isinstance(value, dict)]
    if inner:
        return Shape("object", fields=_fields(inner, depth + 1))
    lists = [value for value in known if isinstance(value, list)]
    if lists:
        return _array([one for part in lists for one in part], depth + 1)
    kinds, formats = {_kind(v) for v in known}, {_format(v) for v in known}
    if kinds == {"integer", "number"}:
        kinds = {"number"}
    agreed = kinds.pop() if len(kinds) == 1 else "any"
    return Shape(agreed, formats.pop() if len(formats) == 1 else "")


def find_rows(shape: Shape) -> Rows | None:
    """Where the rows are: an array of objects; of several, the first, or the first with many.

    None if there is none: the answer itself is the row.
    """
    found = list(_arrays(shape, "", 0))
    many = next((rows for count, rows in found if count >= _MANY), None)
    return many or (found[0][1] if found else None)


def _arrays(shape: Shape, path: str, depth: int) -> Iterator[tuple[int, Rows]]:
    """Every array of objects: its count, and where it is; outer ones before inner ones."""
    if depth > _DEPTH:
        return
    if shape.kind == "array" and shape.items is not None and shape.items.kind == "object":
        yield shape.count, Rows(f"{path}[*]", shape.items, shape.count)
        yield from _arrays_in(shape.items, f"{path}[*]", depth)
    elif shape.kind == "object":
        yield from _arrays_in(shape, path, depth)


def _arrays_in(shape: Shape, path: str, depth: int) -> Iterator[tuple[int, Rows]]:
    for name, below in shape.fields.items():
        yield from _arrays(below, step(path, name), depth + 1)


def find_key(row: Shape) -> str | None:
    """The field that names a row, by what was seen of it and by what it is called."""
    distinct = [name for name, below in row.fields.items() if below.names_rows]
    by_name = [name for name in distinct if words(name).split("_")[-1] in _KEYS]
    exact = [name for name in by_name if words(name) in _KEYS]
    return next(iter(exact or by_name), None)


def find_moments(row: Shape) -> Mapping[str, str]:
    """Field -> ``date`` or ``timestamptz``, for the fields that hold such texts."""
    types = {"date": "date", "date-time": "timestamptz"}
    return {
        name: types[below.format]
        for name, below in row.fields.items()
        if below.kind in {"string", "any"} and below.format in types
    }


def places(shape: Shape, path: str = "", depth: int = 2) -> Iterator[tuple[str, str, Shape]]:
    """The single values at the top of an answer: path, name in `words`, shape; not in arrays."""
    for name, below in shape.fields.items():
        here = step(path, name)
        if below.kind == "object" and depth:
            yield from places(below, here, depth - 1)
        elif below.kind not in {"object", "array"}:
            yield here, words(name), below
