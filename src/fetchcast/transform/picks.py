"""Which places of a document are wanted: the row path, carried columns and chosen columns.

The options of a table become a tree of `Pick` along the document; everything that reads,
judges or flattens a body follows this one tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fetchcast.errors import ConfigError
from fetchcast.json_path import Every, Path, Step, parse_path
from fetchcast.transform.carries import Carry, parse_carry
from fetchcast.transform.options import TYPE_NAMES, ColumnOptions, TableOptions
from fetchcast.transform.reading import is_nameable
from fetchcast.transform.schema import Kind, Node


@dataclass(frozen=True, slots=True)
class Declared:
    """What the user said about one column's values."""

    type: str | None = None
    zone: str | None = None
    missing: frozenset[str] = frozenset()


NOTHING_DECLARED = Declared()


@dataclass(slots=True)
class Pick:
    """What is wanted at one place; a pick without anything is read over and dropped."""

    everything: bool = False
    """All that is found here and below becomes columns, named by their paths."""
    column: str | None = None
    """The name of the column, where the user gave one."""
    whole: bool = False
    """Objects and arrays here are kept as one JSON text (carried columns)."""
    declared: Declared = NOTHING_DECLARED
    keys: dict[str, Pick] = field(default_factory=dict)
    at: dict[int, Pick] = field(default_factory=dict)
    every: Pick | None = None
    """The step ``[*]`` of the row path."""
    row: bool = False
    """Here is a row."""

    def step(self, step: Step) -> Pick:
        """The pick below, made if it is not there."""
        if isinstance(step, Every):
            self.every = self.every or Pick()
            return self.every
        if isinstance(step, int):
            return self.at.setdefault(step, Pick())
        return self.keys.setdefault(step, Pick())

    def walk(self, path: Path) -> Pick:
        """The pick at the end of ``path``."""
        place = self
        for step in path:
            place = place.step(step)
        return place

    @property
    def wants(self) -> bool:
        """Whether anything here or below is wanted."""
        return bool(
            self.row or self.everything or self.column or self.keys or self.at or self.every
        )


def carried(options: TableOptions) -> dict[str, Carry]:
    """The parsed ``carry`` entries."""
    return {column: parse_carry(text) for column, text in options.carry.items()}


def picks_for(options: TableOptions, rows: Path) -> Pick:
    """The tree of what ``options`` want, for rows at ``rows``."""
    top = Pick()
    row = top.walk(rows)
    row.row = True
    _choose(row, options)
    for column, carry in carried(options).items():
        if carry.source == "ancestor":
            _carry(top, rows, column, carry, options)
    return top


def _choose(row: Pick, options: TableOptions) -> None:
    if options.columns is None:
        row.everything = True
        return
    for column, chosen in options.columns.items():
        given = ColumnOptions(path=chosen) if isinstance(chosen, str) else chosen
        place = _reach(row, parse_path(given.path), f"columns.{column}", given.path)
        place.column, place.declared = column, _declared(column, given, options)
        place.everything = True


def _reach(place: Pick, path: Path, key: str, text: str) -> Pick:
    """The pick at ``path``, which nothing else may take, in whole or in part."""
    for step in path:
        place = place.step(step)
        if place.column is not None or place.every is not None:
            break
    if place.wants or not path:
        raise ConfigError(key, text, "a value that nothing else takes, in whole or in part")
    return place


def _declared(column: str, given: ColumnOptions, options: TableOptions) -> Declared:
    named = given.type or options.types.get(column)
    return Declared(TYPE_NAMES[named] if named else None, given.zone, frozenset(given.missing))


def _carry(top: Pick, rows: Path, column: str, carry: Carry, options: TableOptions) -> None:
    objects = [at for at, step in enumerate(rows) if isinstance(step, str)]
    if carry.up == 0 and objects and objects[0] != 0:
        raise ConfigError(f"carry.{column}", options.carry[column], _no_top(rows))
    if carry.up > len(objects) or not objects:
        raise ConfigError(f"carry.{column}", options.carry[column], _too_high(rows, objects))
    depth = objects[0] if carry.up == 0 else objects[-carry.up]
    around = top.walk(rows[:depth])
    place = _reach(around, carry.path, f"carry.{column}", options.carry[column])
    named = options.types.get(column)
    place.column, place.declared = column, Declared(TYPE_NAMES[named] if named else None)
    place.whole = True


def _no_top(rows: Path) -> str:
    return f"'^.key': the body is an array here, so that it has no keys of its own ({rows!r})"


def _too_high(rows: Path, objects: list[int]) -> str:
    return f"at most {len(objects)} of ^: so many objects are around a row of {rows!r}"


def learn(node: Node, value: Any, pick: Pick) -> bool:
    """Let ``node`` take in what is wanted of ``value``; True if it grew."""
    if pick.everything or pick.whole:
        return node.learn(value)
    if isinstance(value, dict) and pick.keys:
        return _learn_keys(node, value, pick)
    if isinstance(value, list) and (pick.every or pick.at):
        return _learn_elements(node, value, pick)
    return False


def _learn_keys(node: Node, value: dict[str, Any], pick: Pick) -> bool:
    grew = node.add(Kind.OBJECT)
    for key, item in value.items():
        wanted = pick.keys.get(key)
        if wanted is not None:
            grew |= learn(node.field(key), item, wanted)
        elif key in node.fields or (len(node.fields) < _MAX_KNOWN and is_nameable(key)):
            grew |= _learn_dropped(node, key, item)
    return grew


def _learn_dropped(node: Node, key: str, item: Any) -> bool:
    """Know that the key is there, and whether more than single values come with it."""
    new = key not in node.fields
    return node.field(key).add(Kind.OPAQUE if isinstance(item, (dict, list)) else 0) or new


def _learn_elements(node: Node, value: list[Any], pick: Pick) -> bool:
    grew = node.add(Kind.ARRAY)
    if pick.every is not None:
        node.items = node.items or Node()
        for item in value:
            grew |= learn(node.items, item, pick.every)
    for place, wanted in pick.at.items():
        if place < len(value):
            grew |= learn(node.field(place), value[place], wanted)
    return grew


_MAX_KNOWN = 2000
"""So many dropped keys are known by name; an answer with others is read the slow way."""
