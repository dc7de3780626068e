"""Compiles what is wanted and what was seen into types that decode a body in one step.

Each object becomes a msgspec Struct that forbids unknown fields, each value the exact union of
the kinds that were seen there. A body that decodes has therefore no value without a place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from fetchcast.json_path import show_path
from fetchcast.transform.names import Names, snake_case
from fetchcast.transform.picks import NOTHING_DECLARED, Declared, Pick
from fetchcast.transform.schema import INTEGERS, STRINGS, Kind, Node

Raw = msgspec.Raw


@dataclass(slots=True)
class Child:
    """An array in a row that becomes a table of its own."""

    table: str
    items: Form
    names: Names


@dataclass(slots=True)
class Form:
    """How the values at one place are decoded, and where they go."""

    node: Node
    type: Any = None
    """The annotation that msgspec decodes."""
    raw: bool = False
    """Decoded as raw bytes: a JSON text, or dropped."""
    column: str | None = None
    """The column of the scalars (or of the JSON text)."""
    column_type: str | None = None
    declared: Declared = NOTHING_DECLARED
    struct: type | None = None
    fields: list[tuple[str, Form]] = field(default_factory=list)
    """Attribute of the struct -> its form."""
    keys: dict[str, Form] = field(default_factory=dict)
    """Key of the object -> the same forms."""
    closed: bool = False
    """Chosen by a path: keys that were not chosen are dropped, not missed."""
    dropped: list[tuple[str, bool]] = field(default_factory=list)
    """Attributes of the struct that a rule drops, and whether they are raw."""
    child: Child | None = None
    json_column: str | None = None
    """The column for arrays under ``nested = "json"``."""
    at: dict[int, tuple[Form, msgspec.json.Decoder[Any]]] = field(default_factory=dict)
    """Elements that a path picks; the array is a list of raw bytes."""
    every: Form | None = None
    """The elements on the way to the rows."""
    row: bool = False
    route: str | None = None
    """The attribute that leads to the rows; the other fields are carried."""


@dataclass(slots=True)
class Compiler:
    """Makes forms; ``tables`` remembers the names that were given, for good."""

    table: str
    nested: str
    types: dict[str, str]
    tables: dict[str, Names]
    table_names: Names

    def compile(self, node: Node, pick: Pick) -> Form:
        """The form of a whole body."""
        return self._form(node, pick, self.table, "", "")

    def _form(self, node: Node, pick: Pick, table: str, path: str, wish: str) -> Form:
        if pick.everything and not pick.row and pick.column and not pick.whole:
            return self._open(node, pick, table, path or pick.column, pick.column)
        if pick.whole:
            return self._whole(node, pick)
        if pick.everything:
            return self._open(node, pick, table, path, wish)
        if not pick.wants:
            return self._dropped(node)
        return self._picked(node, pick, table, path, wish)

    def _dropped(self, node: Node) -> Form:
        # Single values are cheaper to count decoded; anything else only as raw bytes.
        kind = Raw if node.kinds & Kind.OPAQUE else _union([str, int, float, bool])
        return Form(node, type=kind, raw=True)

    # Picked places: only this kind of value can be there, whatever else was seen.

    def _picked(self, node: Node, pick: Pick, table: str, path: str, wish: str) -> Form:
        form = Form(node, row=pick.row, closed=True)
        if pick.keys:
            self._pick_keys(form, node, pick, table, path)
            form.type = _union([form.struct])
        elif pick.every is not None:
            form.every = self._form(node.items or Node(), pick.every, table, path, wish)
            form.type = _union([_list_of(form.every.type)])
        else:
            self._pick_positions(form, node, pick, table, path)
            form.type = _union([list[Raw]])
        return form

    def _pick_keys(self, form: Form, node: Node, pick: Pick, table: str, path: str) -> None:
        members: list[tuple[str, str, Any]] = []
        for place, key in enumerate(dict.fromkeys([*pick.keys, *map(str, node.fields)])):
            attr, below = f"f{place}", pick.keys.get(key, Pick())
            inner = self._form(node.fields.get(key, Node()), below, table, _under(path, key), "")
            members.append((attr, key, inner.type))
            if not below.wants:
                form.dropped.append((attr, inner.type is Raw))
                continue
            form.fields.append((attr, inner))
            form.keys[key] = inner
            if _leads_to_rows(below):
                form.route = attr
        form.struct = _struct(members)

    def _pick_positions(self, form: Form, node: Node, pick: Pick, table: str, path: str) -> None:
        for place, below in pick.at.items():
            inner = self._form(node.field(place), below, table, f"{path}[{place}]", "")
            form.at[place] = (inner, msgspec.json.Decoder(inner.type))

    def _whole(self, node: Node, pick: Pick) -> Form:
        if node.kinds & (Kind.OBJECT | Kind.ARRAY | Kind.OPAQUE):
            return Form(node, type=Raw, raw=True, column=pick.column, column_type="json")
        return self._scalar(Form(node, declared=pick.declared), node, pick.column)

    # Open places: whatever was seen becomes columns and tables.

    def _open(self, node: Node, pick: Pick, table: str, path: str, wish: str) -> Form:
        declared = pick.declared
        if pick.column is None and not pick.row and path:
            declared = self._declared(table, path, wish)
        column = pick.column
        if node.kinds & Kind.OPAQUE or declared.type == "json":
            column = column or self._column(table, path, wish or "value")
            return Form(node, type=Raw, raw=True, row=pick.row, column=column, column_type="json")
        form = Form(node, row=pick.row, declared=declared)
        if declared.type or node.type:
            self._scalar(form, node, column or self._column(table, path, wish or "value"))
        options = [form.type] if form.type is not None else []
        if node.kinds & Kind.OBJECT:
            self._open_object(form, node, table, path, wish)
            options.append(form.struct)
        if node.kinds & Kind.ARRAY:
            options.append(self._open_array(form, node, table, path, wish))
        form.type = _union(options)
        return form

    def _declared(self, table: str, path: str, wish: str) -> Declared:
        if not self.types:
            return NOTHING_DECLARED
        wish = wish or "value"
        name = self.tables[table].peek(path, wish)
        said = self.types.get(f"{table}.{name}")
        if said is None and table == self.table:
            said = self.types.get(name)
        return Declared(said)

    def _column(self, table: str, path: str, wish: str) -> str:
        return self.tables[table].name(path, wish)

    def _scalar(self, form: Form, node: Node, column: str | None) -> Form:
        form.column = column if form.declared.type or node.type else None
        form.column_type = form.declared.type or node.type
        form.type = _union(_scalar_types(node.kinds))
        return form

    def _open_object(self, form: Form, node: Node, table: str, path: str, wish: str) -> None:
        # Names are given in sorted order, columns stand in the order they were seen in.
        made = {
            str(key): self._open(item, Pick(), table, _under(path, str(key)), _join(wish, str(key)))
            for key, item in sorted(node.fields.items(), key=_plain_first)
        }
        members = []
        for place, key in enumerate(map(str, node.fields)):
            form.fields.append((f"f{place}", made[key]))
            members.append((f"f{place}", key, made[key].type))
        form.struct, form.keys = _struct(members), made

    def _open_array(self, form: Form, node: Node, table: str, path: str, wish: str) -> Any:
        if self.nested == "json":
            form.json_column = self._column(table, f"{path}[]", wish or "items")
            return list[Raw]
        child = self.table_names.name(f"{table} {path}", f"{table}_{wish or 'items'}")
        names = self.tables.setdefault(child, Names(SYSTEM_COLUMNS))
        items = self._open(node.items or Node(), Pick(), child, "", "")
        form.child = Child(child, items, names)
        return _list_of(items.type)


SYSTEM_COLUMNS = ("_request_key", "_row", "_index", "_fate", "_reason")


def _under(path: str, key: str) -> str:
    return path + show_path((key,))[1:]


def _join(wish: str, key: str) -> str:
    part = snake_case(key)
    return f"{wish}_{part}" if wish and part else wish or part


def _plain_first(pair: tuple[str | int, Node]) -> tuple[bool, str]:
    key = str(pair[0])
    return snake_case(key) != key, key  # `id` keeps its name beside an `ID`.


def _leads_to_rows(pick: Pick) -> bool:
    below = [*pick.keys.values(), *([pick.every] if pick.every else [])]
    return pick.row or any(map(_leads_to_rows, below))


def _struct(members: list[tuple[str, str, Any]]) -> type:
    return msgspec.defstruct(
        "Row",
        [(attr, kind, None) for attr, _, kind in members],
        rename={attr: key for attr, key, _ in members},
        forbid_unknown_fields=True,
        gc=False,
    )


def _scalar_types(kinds: int) -> list[Any]:
    found: list[Any] = []
    if kinds & STRINGS:
        found.append(str)
    if kinds & (INTEGERS | Kind.FLOAT):
        # Where there are floats, integers stay integers: a double would round large ones.
        found.append(int)
    if kinds & Kind.FLOAT:
        found.append(float)
    if kinds & Kind.BOOL:
        found.append(bool)
    return found


def _list_of(kind: Any) -> Any:
    if kind is None or kind is Raw:
        return list[kind]
    return list[kind | None]


def _union(options: list[Any]) -> Any:
    made: Any = None
    for option in options:
        made = option | None if made is None else made | option
    return made
