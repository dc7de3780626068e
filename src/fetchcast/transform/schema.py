"""What has been seen at each place of a document, and the column type that follows from it.

A `Node` only grows: it is a set of kinds, the fields of the objects and the elements of the
arrays that were seen there. Growing is a union, so the order in which answers come does not
matter, and twice the same is the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pyarrow as pa

from fetchcast.transform.reading import Odd, is_nameable

MAX_FIELDS = 1000
"""An object with more keys than this is a map of data, not a record: it is kept as JSON text."""
MAX_DEPTH = 12
"""What is nested deeper than this is kept as JSON text."""
_EXACT = 1 << 53
_LOOKS_DATED = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}.{0,25}\Z")
_INT64 = 1 << 63


class Kind:
    """The kinds of values, one bit each; a node holds the union of those it has seen.

    Plain integers: every value of a body that is read slowly passes here, and the flags of
    `enum` made that reading eight times as slow.
    """

    NULL = 1
    BOOL = 2
    INT = 4
    """An integer that a double holds exactly."""
    LONG = 8
    """An integer of 64 bits that a double may not hold."""
    BIG = 16
    """An integer beyond 64 bits."""
    FLOAT = 32
    DATE = 64
    TIME = 128
    TEXT = 256
    OBJECT = 512
    ARRAY = 1024
    OPAQUE = 2048
    """Too wide or too deep for columns."""


STRINGS = Kind.DATE | Kind.TIME | Kind.TEXT
INTEGERS = Kind.INT | Kind.LONG | Kind.BIG
SCALARS = Kind.BOOL | INTEGERS | Kind.FLOAT | STRINGS

TIMESTAMP = pa.timestamp("us", "UTC")
ARROW_TYPES: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "date": pa.date32(),
    "timestamptz": TIMESTAMP,
    "text": pa.string(),
    "json": pa.string(),
}
FIRST_TIME_US = -62135596800000000
"""0001-01-01, before which databases and Python have no dates."""
LAST_TIME_US = 253402300799999999
FIRST_DAY, LAST_DAY = FIRST_TIME_US // 86_400_000_000, LAST_TIME_US // 86_400_000_000
_DATE_LENGTH = 10


@lru_cache(maxsize=4096)
def column_type(kinds: int) -> str | None:
    """The narrowest type that holds every value of these kinds exactly; None for no value."""
    if kinds & Kind.OPAQUE:
        return "json"
    scalars = kinds & SCALARS
    if not scalars:
        return None
    return next(name for name, held in HOLDS.items() if not scalars & ~held)


HOLDS: dict[str, int] = {
    "bool": Kind.BOOL,
    "int64": Kind.INT | Kind.LONG,
    "float64": Kind.INT | Kind.FLOAT,
    "date": Kind.DATE,
    "timestamptz": Kind.TIME,
    "text": SCALARS,
}
"""Which kinds a type holds exactly, narrowest first."""


@lru_cache(maxsize=65536)
def _dialect(text: str) -> int:
    # Arrow's own parser decides, because it also makes the columns: there is one truth.
    kind, parsed = (Kind.DATE, pa.date32()) if len(text) == _DATE_LENGTH else (Kind.TIME, TIMESTAMP)
    try:
        value = pa.scalar(text).cast(parsed).value
    except pa.ArrowInvalid:
        return Kind.TEXT
    first, last = (FIRST_DAY, LAST_DAY) if kind == Kind.DATE else (FIRST_TIME_US, LAST_TIME_US)
    return kind if first <= value <= last else Kind.TEXT


def text_kind(text: str) -> int:
    """DATE for ``2020-01-31``, TIME for an ISO time with a zone, else TEXT."""
    return _dialect(text) if _LOOKS_DATED.match(text) else Kind.TEXT


def scalar_kind(value: Any) -> int:
    """The kind of a decoded scalar."""
    if value is None:
        return Kind.NULL
    if isinstance(value, str):
        return text_kind(value)
    if isinstance(value, bool):
        return Kind.BOOL
    if isinstance(value, float):
        return Kind.FLOAT
    if -_EXACT <= value <= _EXACT:
        return Kind.INT
    return Kind.LONG if -_INT64 <= value < _INT64 else Kind.BIG


@dataclass(slots=True)
class Node:
    """What was seen at one place."""

    kinds: int = 0
    fields: dict[str | int, Node] = field(default_factory=dict)
    """By key; by position for single elements that a path such as ``names[0]`` picks."""
    items: Node | None = None

    @property
    def type(self) -> str | None:
        """The type of the column for the scalars seen here; None if there were none."""
        return column_type(self.kinds)

    def learn(self, value: Any, depth: int = 0) -> bool:
        """Take in ``value``; True if this node or one below it grew."""
        if self.kinds & Kind.OPAQUE or isinstance(value, Odd):
            return False
        if isinstance(value, dict):
            return self._learn_object(value, depth)
        if isinstance(value, list):
            return self._learn_array(value, depth)
        return self.add(self.kinds | self._news(value))

    def _news(self, value: Any) -> int:
        if isinstance(value, str) and self.kinds & Kind.TEXT:
            return Kind.TEXT  # Already text for good: no need to look for dates.
        return scalar_kind(value)

    def add(self, kinds: int) -> bool:
        """Take in kinds; True if one of them is new."""
        grew = kinds | self.kinds != self.kinds
        self.kinds |= kinds
        return grew

    def _learn_object(self, value: dict[str, Any], depth: int) -> bool:
        if depth >= MAX_DEPTH or len(self.fields.keys() | value.keys()) > MAX_FIELDS:
            return self._close()
        grew = self.add(Kind.OBJECT)
        for key, item in value.items():
            if key in self.fields or is_nameable(key):
                grew |= self.field(key).learn(item, depth + 1)
        return grew

    def _learn_array(self, value: list[Any], depth: int) -> bool:
        if depth >= MAX_DEPTH:
            return self._close()
        grew = self.add(Kind.ARRAY)
        if self.items is None:
            self.items = Node()
        for item in value:
            grew |= self.items.learn(item, depth + 1)
        return grew

    def _close(self) -> bool:
        self.kinds |= Kind.OPAQUE
        self.fields, self.items = {}, None
        return True

    def field(self, key: str | int) -> Node:
        """The node of a key or position, made if it is new."""
        node = self.fields.get(key)
        if node is None:
            node = self.fields[key] = Node()
        return node


def to_state(node: Node) -> dict[str, Any]:
    """``node`` as plain data, for `from_state`."""
    state: dict[str, Any] = {"k": node.kinds}
    if node.fields:
        # In the order they were seen in, which is the order of the columns.
        state["f"] = [[key, to_state(item)] for key, item in node.fields.items()]
    if node.items is not None:
        state["i"] = to_state(node.items)
    return state


def from_state(state: dict[str, Any]) -> Node:
    """The node that `to_state` wrote."""
    return Node(
        state["k"],
        {key: from_state(item) for key, item in state.get("f", ())},
        from_state(state["i"]) if "i" in state else None,
    )
