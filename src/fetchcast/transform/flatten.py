"""Lays decoded bodies out into columns, level by level, a whole block of bodies at a time.

At each level there is a list of values and an array that says to which row each belongs. No
row is ever a Python object: a column is one pass over one attribute, parents are joined to
children by index arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fetchcast.transform.layout import Child, Form
from fetchcast.transform.values import Misfits, count_raw, to_array, to_json_array

Ints: TypeAlias = NDArray[np.int64]
Values: TypeAlias = Sequence[Any]


class Deviation(Exception):
    """Some bodies hold values that do not fit; args: the positions of the bodies."""


@dataclass(slots=True)
class Tally:
    """How many values went where."""

    in_columns: int = 0
    dropped: int = 0
    elements: int = 0
    """Those of the two above that stand directly in an array, or alone in a body."""


@dataclass(slots=True)
class Sheet:
    """One table that is being made."""

    name: str
    body: Ints
    """The position of the body that each row came from."""
    links: dict[str, Ints]
    """``_row``, ``_index``, ...: the place of a row in its call and in its parents."""
    columns: dict[str, pa.Array] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """The number of rows."""
        return len(self.body)


@dataclass(slots=True)
class _Around:
    """The objects around the rows at one level: the values, and which one each row is in."""

    form: Form
    values: Values
    index: Ints


class Flattener:
    """Makes the sheets of one block of decoded bodies."""

    def __init__(self, table: str) -> None:
        self._table = table
        self.sheets: dict[str, Sheet] = {}
        self.tally = Tally()

    def flatten(self, form: Form, bodies: Values) -> dict[str, Sheet]:
        """All tables by name, the main one first; raises `Deviation` if values do not fit."""
        around: list[_Around] = []
        values, owner = bodies, np.arange(len(bodies))
        place = form
        while not place.row:
            place, values, owner = self._descend(place, values, owner, around)
        first = np.searchsorted(owner, np.arange(len(bodies)))
        ordinal = np.arange(len(owner)) - first[owner] if len(owner) else owner
        there = _positions(values)
        if there is not None:
            values, owner, ordinal = _take(values, there), owner[there], ordinal[there]
            for level in around:
                level.index = level.index[there]
        sheet = Sheet(self._table, owner, {"_row": ordinal})
        self.sheets[self._table] = sheet
        for level in around:
            self._carry(level, sheet)
        self._emit(place, values, None, sheet, alone=True)
        return self.sheets

    def _descend(
        self, form: Form, values: Values, owner: Ints, around: list[_Around]
    ) -> tuple[Form, Values, Ints]:
        if form.every is not None:
            flat, parent = _explode(values)
            for level in around:
                level.index = level.index[parent]
            return form.every, _without_nulls(form.every, flat), owner[parent]
        around.append(_Around(form, values, np.arange(len(values))))
        assert form.route is not None
        get = attrgetter(form.route)
        below = [None if value is None else get(value) for value in values]
        return dict(form.fields)[form.route], below, owner

    def _carry(self, level: _Around, sheet: Sheet) -> None:
        there = _positions(level.values)
        values = level.values if there is None else _take(level.values, there)
        self._drop(level.form, values)
        body = np.zeros(len(level.values), np.int64)
        body[level.index] = sheet.body  # Where a value does not fit, this tells the body.
        before = self.tally.in_columns
        aside = Sheet(sheet.name, body, {})
        for attr, form in level.form.fields:
            if attr != level.form.route:
                self._emit(form, _get(attr, values), there, aside)
        used = np.unique(level.index)
        kept = 0
        for name, column in aside.columns.items():
            sheet.columns[name] = column.take(pa.array(level.index))
            kept += len(used) - column.take(pa.array(used)).null_count
        taken = self.tally.in_columns - before
        self.tally.in_columns = before + min(kept, taken)
        self.tally.dropped += taken - min(kept, taken)

    def _drop(self, form: Form, values: Values) -> None:
        for attr, raw in form.dropped:
            gone = _get(attr, values)
            self.tally.dropped += self._count(gone) if raw else len(gone) - gone.count(None)

    def _emit(
        self, form: Form, values: Values, rows: Ints | None, sheet: Sheet, *, alone: bool = False
    ) -> None:
        """Add what ``form`` makes of ``values``.

        ``rows`` are their rows in ``sheet``; ``alone`` if they are not the values of keys.
        """
        if form.raw:
            self._emit_raw(form, values, rows, sheet, alone=alone)
            return
        if form.column is not None:
            self._emit_scalars(form, values, rows, sheet, alone=alone)
        if form.struct is not None:
            mixed = form.column or form.child or form.json_column
            there = _positions(values, form.struct if mixed else None)
            self._emit_objects(form, *_select(values, rows, there), sheet)
        if form.child is not None or form.json_column is not None or form.at:
            mixed = form.column or form.struct
            there = _positions(values, list if mixed else None)
            self._emit_arrays(form, *_select(values, rows, there), sheet)

    def _emit_raw(
        self, form: Form, values: Values, rows: Ints | None, sheet: Sheet, *, alone: bool
    ) -> None:
        leaves = self._count(values, alone=alone)
        if form.column is None:
            self.tally.dropped += leaves
            return
        array = self._checked(lambda: to_json_array(values), rows, sheet)
        self._place(form.column, array, rows, sheet)
        self.tally.in_columns += leaves

    def _count(self, raws: Iterable[Any], *, alone: bool = False) -> int:
        """How many values there are in ``raws``; notes those that stand in arrays."""
        total = 0
        for raw in raws:
            leaves, elements = count_raw(raw, alone=alone)
            total += leaves
            self.tally.elements += elements
        return total

    def _emit_scalars(
        self, form: Form, values: Values, rows: Ints | None, sheet: Sheet, *, alone: bool
    ) -> None:
        kind = form.column_type
        assert form.column is not None
        assert kind is not None
        if form.struct is not None or form.child is not None or form.json_column is not None:
            other = (list, form.struct or list)
            values = [None if isinstance(value, other) else value for value in values]
        array = self._checked(
            lambda: to_array(values, kind, form.node.kinds, form.declared), rows, sheet
        )
        kept = len(array) - array.null_count
        self.tally.in_columns += kept
        if alone or form.declared.missing:
            there = len(values) - values.count(None)
            self.tally.dropped += there - kept
            self.tally.elements += there if alone else 0
        self._place(form.column, array, rows, sheet)

    def _checked(self, make: Any, rows: Ints | None, sheet: Sheet) -> pa.Array:
        try:
            return make()
        except Misfits as misfits:
            places = np.asarray(misfits.args[0])
            at = places if rows is None else rows[places]
            raise Deviation(sorted(set(sheet.body[at].tolist()))) from None

    def _place(self, column: str, array: pa.Array, rows: Ints | None, sheet: Sheet) -> None:
        if rows is not None:
            place = np.full(sheet.length, -1)
            place[rows] = np.arange(len(rows))
            array = array.take(pa.array(place, mask=place < 0))
        sheet.columns[column] = array

    def _emit_objects(self, form: Form, values: Values, rows: Ints | None, sheet: Sheet) -> None:
        for attr, inner in form.fields:
            self._emit(inner, _get(attr, values), rows, sheet)
        self._drop(form, values)

    def _emit_arrays(self, form: Form, values: Values, rows: Ints | None, sheet: Sheet) -> None:
        if form.at:
            self._emit_positions(form, values, rows, sheet)
        elif form.json_column is not None:
            texts = [None if v is None else b"[" + b",".join(map(bytes, v)) + b"]" for v in values]
            array = self._checked(lambda: to_json_array(texts), rows, sheet)
            self._place(form.json_column, array, rows, sheet)
            self.tally.in_columns += self._count(texts)
        elif form.child is not None:
            self._emit_child(form.child, values, rows, sheet)

    def _emit_positions(self, form: Form, values: Values, rows: Ints | None, sheet: Sheet) -> None:
        for place, (inner, decoder) in form.at.items():
            raws = [v[place] if v is not None and place < len(v) else None for v in values]
            found = self._decoded(decoder, raws, rows, sheet)
            self._emit(inner, found, rows, sheet, alone=True)
        for value in values:
            rest = [raw for place, raw in enumerate(value or ()) if place not in form.at]
            self.tally.dropped += self._count(rest, alone=True)

    def _decoded(self, decoder: Any, raws: list[Any], rows: Ints | None, sheet: Sheet) -> list[Any]:
        found: list[Any] = []
        for place, raw in enumerate(raws):
            try:
                found.append(None if raw is None else decoder.decode(raw))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                at = place if rows is None else rows[place]
                raise Deviation([int(sheet.body[at])]) from None
        return found

    def _emit_child(self, child: Child, values: Values, rows: Ints | None, sheet: Sheet) -> None:
        flat, parent = _explode(values)
        own = np.arange(len(flat)) - np.searchsorted(parent, parent) if len(flat) else parent
        above = parent if rows is None else rows[parent]
        links = {name: link[above] for name, link in sheet.links.items()}
        links["_index" if len(links) == 1 else f"_index_{len(links)}"] = own
        below = Sheet(child.table, sheet.body[above], links)
        self.sheets[child.table] = below
        self._emit(child.items, _without_nulls(child.items, flat), None, below, alone=True)


def _get(attr: str, values: Values) -> list[Any]:
    return _reader(attr)(values)


@lru_cache(maxsize=4096)
def _reader(attr: str) -> Callable[[Values], list[Any]]:
    """Reads one attribute of many structs.

    Written out as code, because the interpreter then specialises the access: 18 ns a value where
    `attrgetter` takes 29. ``attr`` is a name of ours, ``f`` and a number, never one of the API's.
    """
    assert attr[:1] == "f"
    assert attr[1:].isdigit()
    reader: Callable[[Values], list[Any]] = eval(  # noqa: S307
        f"lambda values: [value.{attr} for value in values]"
    )
    return reader


def _without_nulls(form: Form, values: list[Any]) -> list[Any]:
    if not form.raw:
        return values
    return [None if bytes(raw) == b"null" else raw for raw in values]


def _positions(values: Values, kind: type | None = None) -> Ints | None:
    """Where there is a value (of a kind); None if everywhere."""
    if kind is None:
        nothing = values.count(None)
        if nothing == 0:
            return None
        if nothing == len(values):
            return np.empty(0, np.int64)
        found = [place for place, value in enumerate(values) if value is not None]
    else:
        found = [place for place, value in enumerate(values) if isinstance(value, kind)]
        if len(found) == len(values):
            return None
    return np.asarray(found, np.int64)


def _take(values: Values, places: Ints) -> list[Any]:
    return [values[place] for place in places.tolist()]


def _select(values: Values, rows: Ints | None, there: Ints | None) -> tuple[Values, Ints | None]:
    if there is None:
        return values, rows
    return _take(values, there), there if rows is None else rows[there]


def _explode(arrays: Values) -> tuple[list[Any], Ints]:
    """All elements in one list, and for each the position of its array."""
    # Neither goes through a generator, which would be resumed for each array.
    counts = np.array([len(a) if a else 0 for a in arrays], np.int64)
    flat = list(chain.from_iterable(filter(None, arrays)))
    return flat, np.repeat(np.arange(len(arrays)), counts)
