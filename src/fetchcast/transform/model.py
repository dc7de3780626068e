"""What a table has learnt: its schema, and the compiled types that decode its bodies."""

from __future__ import annotations

from typing import Any

import msgspec

from fetchcast.errors import ConfigError, ShapeError
from fetchcast.json_path import EVERY, Path, parse_path, show_path
from fetchcast.transform.layout import SYSTEM_COLUMNS, Compiler, Form
from fetchcast.transform.names import Names
from fetchcast.transform.options import TYPE_NAMES, TableOptions
from fetchcast.transform.picks import Pick, learn, picks_for
from fetchcast.transform.schema import Kind, Node, from_state, to_state


class Model:
    """The schema of one table and its children; it only widens."""

    def __init__(self, table: str, options: TableOptions, rows: Path | None = None) -> None:
        self.table, self.options = table, options
        self.node = Node()
        self.rows: Path | None = None
        self.version = 0
        """Grows whenever something new was learnt."""
        self.sampled = False
        """Whether a first sample was taken; under other contracts than evolve it is the law."""
        self._tables = {table: Names((*SYSTEM_COLUMNS, *options.carry, *(options.columns or ())))}
        self._table_names = Names((table, "_rejects"))
        self._pick: Pick | None = None
        self._compiled: tuple[Form, msgspec.json.Decoder[Any]] | None = None
        if options.rows is not None:
            rows = parse_path(options.rows)
        if rows is not None:
            self._settle(rows)
        else:
            picks_for(options, ("rows", EVERY))  # So that mistakes are told before any call.

    def _settle(self, rows: Path) -> None:
        self.rows = rows
        self._pick = picks_for(self.options, rows)

    @property
    def pick(self) -> Pick:
        """What is wanted; only after `rows` are known."""
        assert self._pick is not None
        return self._pick

    def find_rows(self, documents: list[Any]) -> None:
        """Decide where the rows are, if the options do not say, from the first documents."""
        if self.rows is None:
            self._settle(default_rows(documents))

    def check_rows(self, documents: list[Any]) -> None:
        """Raise ShapeError if the row path leads nowhere in all of the first documents."""
        missed = missed_step(documents, self.rows or ())
        if missed is not None:
            where, step, keys = missed
            raise ShapeError(
                self.table,
                f"rows = {self.options.rows!r} leads nowhere: none of the first {len(documents)} "
                f"answers has {step!r} at {where}; there are: {', '.join(keys)}",
            )

    def learn(self, document: Any) -> bool:
        """Take in a document; True if the schema grew."""
        grew = learn(self.node, document, self.pick)
        if grew:
            self._compiled = None
        return grew

    def recompile(self) -> None:
        """Forget the compiled types: the schema was added to from outside."""
        self._compiled = None

    @property
    def form(self) -> Form:
        """The compiled form of a body."""
        return self._compile()[0]

    @property
    def decoder(self) -> msgspec.json.Decoder[Any]:
        """Decodes one body, strictly."""
        return self._compile()[1]

    def _compile(self) -> tuple[Form, msgspec.json.Decoder[Any]]:
        if self._compiled is None:
            types = {column: TYPE_NAMES[said] for column, said in self.options.types.items()}
            compiler = Compiler(
                self.table, self.options.nested, types, self._tables, self._table_names
            )
            form = compiler.compile(self.node, self.pick)
            self._compiled = form, msgspec.json.Decoder(form.type)
            self.version += 1
        return self._compiled

    def schema(self) -> dict[str, dict[str, str]]:
        """Table -> column -> type."""
        tables: dict[str, dict[str, str]] = {self.table: {}}
        _collect(self.form, self.table, tables)
        return tables

    def state(self) -> dict[str, Any]:
        """Everything learnt, as plain data."""
        return {
            "rows": None if self.rows is None else [_plain(step) for step in self.rows],
            "sampled": self.sampled,
            "node": to_state(self.node),
            "tables": {name: names.given() for name, names in self._tables.items()},
            "table_names": self._table_names.given(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what an earlier run learnt (with the same options)."""
        rows = state["rows"]
        if rows is not None and self.options.rows is None:
            self._settle(tuple(EVERY if step is None else step for step in rows))
        self.sampled, self.node = state["sampled"], from_state(state["node"])
        for name, given in state["tables"].items():
            self._tables.setdefault(name, Names(SYSTEM_COLUMNS)).restore(given)
        self._table_names.restore(state["table_names"])
        self._compiled = None


def _collect(form: Form, table: str, tables: dict[str, dict[str, str]]) -> None:
    if form.column is not None and form.column_type is not None:
        tables[table][form.column] = form.column_type
    if form.json_column is not None:
        tables[table][form.json_column] = "json"
    if form.child is not None:
        tables.setdefault(form.child.table, {})
        _collect(form.child.items, form.child.table, tables)
    below = [inner for _, inner in form.fields] + [inner for inner, _ in form.at.values()]
    for inner in [*below, *([form.every] if form.every else [])]:
        _collect(inner, table, tables)


def _plain(step: Any) -> str | int | None:
    return None if step is EVERY else step


def default_rows(documents: list[Any]) -> Path:
    """Where rows are if nobody said: see `TableOptions.rows`."""
    node = Node()
    for document in documents:
        node.learn(document)
    if node.kinds & Kind.ARRAY:
        return (EVERY,)
    arrays = [key for key, item in node.fields.items() if _of_objects(item)]
    return (arrays[0], EVERY) if len(arrays) == 1 else ()


def missed_step(documents: list[Any], rows: Path) -> tuple[str, str, list[str]] | None:
    """The first key of ``rows`` that no document has: where, the key, and those that are there.

    None if all is well, or if nothing else is there that rows could be in: ``{"total": 0}`` is
    what some APIs answer when there are none.
    """
    level = documents
    for depth, step in enumerate(rows):
        if not isinstance(step, str):
            level = [item for value in level if isinstance(value, list) for item in value]
            continue
        objects = [value for value in level if isinstance(value, dict)]
        level = [value[step] for value in objects if step in value]
        if objects and not level:
            items = {key: item for value in objects for key, item in value.items()}
            others = any(item and isinstance(item, (dict, list)) for item in items.values())
            return (show_path(rows[:depth]), step, list(items)[:20]) if others else None
    return None


def _of_objects(node: Node) -> bool:
    empty = node.items is not None and not node.items.kinds
    objects = node.items is not None and bool(node.items.kinds & Kind.OBJECT)
    return bool(node.kinds & Kind.ARRAY) and (objects or empty)


def check_types(options: TableOptions) -> None:
    """Raise ConfigError if a declared type names a chosen column that is not there."""
    if options.columns is None:
        return
    known = {*options.columns, *options.carry}
    for column in options.types:
        if column not in known and "." not in column:
            raise ConfigError(f"types.{column}", column, f"one of {', '.join(sorted(known))}")
