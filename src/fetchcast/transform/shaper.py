"""Turns landed answers into batches of rows, and proves that nothing was lost on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import product

import msgspec
import pyarrow as pa

from fetchcast.records import (
    REQUEST_KEY,
    WITH_ANSWER,
    Batch,
    Disposition,
    Fate,
    Landed,
    Planned,
    Target,
)
from fetchcast.transform.accounting import Accounting
from fetchcast.transform.block import Block, Shape
from fetchcast.transform.carrying import Outside
from fetchcast.transform.flatten import Sheet
from fetchcast.transform.judge import Reject
from fetchcast.transform.model import Model, check_types
from fetchcast.transform.options import TYPE_NAMES, ColumnOptions, TableOptions
from fetchcast.transform.picks import carried
from fetchcast.transform.plan_rows import PlanColumns
from fetchcast.transform.reading import Unreadable, read_exactly
from fetchcast.transform.rejects import rejects_batch
from fetchcast.transform.reshape import RowFunction, reshape_for
from fetchcast.transform.schema import ARROW_TYPES, from_state, to_state
from fetchcast.transform.unfolding import Folded, Forms, unfolded_shapes

CODE_VERSION = 1
"""Raised when the same answers would be shaped into other rows: everything is then shaped again."""
_BLOCK_BYTES = 1 << 20
_BLOCK_BODIES = 2000
_FIRST_SAMPLE = 20
_FIRST_DOCUMENTS = 2
_LAW_SAMPLE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaped:
    """Batches for the main table, its child tables and ``_rejects``, and the books."""

    batches: list[Batch]
    accounting: Accounting

    @property
    def rejected(self) -> int:
        """How many lines of ``_rejects`` there are."""
        return self.accounting.rejects


class Shaper:
    """Shapes the answers of one table, chunk by chunk; its schema only widens.

    Args:
        name: The table.
        options: Its part of the pipeline file.
        memory: What `memory` of an earlier Shaper with the same `digest` returned: the schema
            goes on from there. None starts anew.
        function: What every row is put through before anything else.
        forms: Resource -> how its bodies are read, where they are no JSON.
    """

    def __init__(
        self,
        name: str,
        options: TableOptions,
        memory: bytes | None = None,
        *,
        function: RowFunction | None = None,
        forms: Forms | None = None,
    ) -> None:
        check_types(options)
        sources = set(options.sources)
        self._forms = {of: form for of, form in (forms or {}).items() if of in sources}
        self.table = self.name = name
        self._said = options
        self._reshape, options = reshape_for(name, options, function)
        self.options = options
        self._model = Model(name, options)
        self._outside = _outside(options)
        self._plan_columns = PlanColumns(name, options)
        if memory is not None:
            self._model.restore(msgspec.json.decode(memory))

    @property
    def digest(self) -> str:
        """Over name, options and the version of the shaping: another one means shape all again."""
        said = [CODE_VERSION, self.name, self._said, self._reshape.version]
        text = msgspec.json.encode(
            [*said, self._forms] if self._forms else said, order="deterministic"
        )
        return blake2b(text, digest_size=16).hexdigest()

    def memory(self) -> bytes:
        """What was learnt about the schema, for the next run."""
        return msgspec.json.encode(self._model.state())

    def knowledge(self) -> bytes:
        """Everything learnt in this run: also of columns from beside the body."""
        beside = [to_state(outside.node) for outside in self._outside]
        return msgspec.json.encode([self._model.state(), beside])

    def know(self, knowledge: bytes) -> None:
        """Go on from what another shaper of the same table knew."""
        model, beside = msgspec.json.decode(knowledge)
        self._model.restore(model)
        for outside, state in zip(self._outside, beside, strict=True):
            outside.node = from_state(state)

    def schema(self) -> dict[str, dict[str, str]]:
        """Table -> column -> type, as far as values were seen; child tables too."""
        if self._model.rows is None:
            return {self.name: {}}
        return self._model.schema()

    def unseen(self) -> list[str]:
        """Columns that were chosen or carried and had no value yet: perhaps a typing error."""
        found = self.schema()[self.name]
        beside = {outside.column for outside in self._outside}
        chosen = [*self.options.carry, *(self.options.columns or ())]
        return [name for name in chosen if name not in found and name not in beside]

    def shape(self, answers: Sequence[Landed]) -> Shaped:
        """Shape a chunk of answers (at most some 64 MB of bodies, for the memory's sake).

        Failed answers are left out; of several answers to one call the latest counts. Empty
        ones give no rows, but their keys are in the batches, so that old rows go away.

        Raises:
            ShapeError: If the contract is ``freeze`` and an answer deviates, or if the books
                do not balance.
        """
        latest = _latest(answers)
        landed = [answer for answer in latest if answer.fate is Fate.LANDED]
        return self._assemble([answer.key for answer in latest], self._shapes(landed))

    def sample(self, answers: Sequence[Landed]) -> None:
        """Learn what `shape` of the same answers will know, as far as a few of them tell."""
        landed = [answer for answer in _latest(answers) if answer.fate is Fate.LANDED]
        self._sample(landed)
        if self._model.sampled:
            self._model.schema()  # Columns get their names.
        for outside in self._outside:
            outside.learn(landed)

    def shape_plan(self, rows: Sequence[tuple[Planned, Landed | None]]) -> Shaped:
        """Shape an ``every_call`` table: at least one row for each row of the plan, in order."""
        answers = {landed.key: landed for _, landed in rows if landed is not None}
        landed = [answer for answer in answers.values() if answer.fate is Fate.LANDED]
        shaped = self._assemble(list(answers), self._shapes(landed))
        main = shaped.batches[0]
        planned = self._plan_columns.rows(rows, main.rows)
        batch = Batch(target=main.target, rows=planned, keys=main.keys)
        return Shaped(batches=[batch, *shaped.batches[1:]], accounting=shaped.accounting)

    def _sample(self, landed: Sequence[Landed]) -> Sequence[Landed] | Folded:
        """Learn from a few of ``landed``; returns all of them as they are read."""
        if self._forms:
            folded = Folded(landed, self._forms, self._reshape)
            self._take_sample(
                lambda count: folded.sample(
                    _spread(landed, count), _LAW_SAMPLE if count is None else _FIRST_DOCUMENTS
                )
            )
            return folded
        if self._reshape.changes:
            landed = [self._reshape.answer(one) for one in landed]
        self._take_sample(lambda count: _spread(landed, count))
        return landed

    def _shapes(self, answers: Sequence[Landed]) -> list[Shape]:
        landed = self._sample(answers)
        if isinstance(landed, Folded):
            return unfolded_shapes(self._model_now(), landed)
        model = self._model_now()
        shapes = [Block(model, block).shape() for block in _blocks(landed)]
        # A column that widened in a late block is as wide in the early ones: from the answers
        # themselves, because a time that became a text has the text it had in the answer.
        return [
            shape if shape.version == model.version else Block(model, shape.answers).shape()
            for shape in shapes
        ]

    def _model_now(self) -> Model:
        # Without one body that can be read nothing is known, and nothing must be settled.
        return self._model if self._model.sampled else Model(self.name, self.options, rows=())

    def _take_sample(self, sample: Callable[[int | None], Iterable[Landed]]) -> None:
        """Learn from a few answers, so that the others decode at once."""
        if self._model.sampled:
            return
        law = self.options.contract != "evolve"
        documents = []
        for answer in sample(None if law else _FIRST_SAMPLE):
            try:
                documents.append(read_exactly(answer.body))
            except (Unreadable, RecursionError):
                continue  # It gets its line in the rejects when its turn comes.
        if not documents:
            return
        self._model.find_rows(documents)
        self._model.check_rows(documents)
        for document in documents:
            self._model.learn(document)
        self._model.sampled = True

    def _assemble(self, keys: list[str], shapes: list[Shape]) -> Shaped:
        accounting = Accounting(self.name)
        rejects: list[tuple[Landed, Reject]] = []
        # Also child tables without rows now: their old rows of these calls must go away.
        tables: dict[str, list[pa.Table]] = {name: [] for name in self.schema()}
        for outside, shape in product(self._outside, shapes):
            outside.learn(shape.answers)
        for shape in shapes:
            shape.accounting.check()
            accounting.add(shape.accounting)
            rejects += shape.rejects
            for name, sheet in shape.sheets.items():
                tables.setdefault(name, []).append(self._table(sheet, shape.answers))
        batches = [self._batch(name, parts, keys) for name, parts in tables.items()]
        batches.append(rejects_batch(self.name, keys, rejects))
        return Shaped(batches=batches, accounting=accounting)

    def _table(self, sheet: Sheet, answers: Sequence[Landed]) -> pa.Table:
        body = pa.array(sheet.body)
        columns = {REQUEST_KEY: pa.array([a.key for a in answers], pa.string()).take(body)}
        columns |= {name: pa.array(link) for name, link in sheet.links.items()}
        if sheet.name == self.name:
            columns |= {out.column: out.of_answers(answers).take(body) for out in self._outside}
            columns |= _ordered(sheet, self.options)
            columns |= _declared(columns, self.options, sheet.length)
        else:
            columns |= sheet.columns
        return pa.table(columns)

    def _batch(self, name: str, parts: list[pa.Table], keys: list[str]) -> Batch:
        if not parts:
            columns = {REQUEST_KEY: pa.array([], pa.string()), "_row": pa.array([], pa.int64())}
            declared = _declared(columns, self.options, 0) if name == self.name else {}
            parts = [pa.table(columns | declared)]
        rows = pa.concat_tables(parts, promote_options="default")
        return Batch(target=self._target(name), rows=rows, keys=keys)

    def _target(self, name: str) -> Target:
        disposition = Disposition(self.options.disposition)
        key = self.options.key
        if name != self.name or key is None:
            return Target(table=name, disposition=disposition)
        return Target(table=name, disposition=disposition, key=tuple(key), whole_keys=False)


def _outside(options: TableOptions) -> list[Outside]:
    return [
        Outside(column, carry, TYPE_NAMES.get(options.types.get(column, "")))
        for column, carry in carried(options).items()
        if carry.source != "ancestor"
    ]


def _declared(
    columns: dict[str, pa.Array], options: TableOptions, rows: int
) -> dict[str, pa.Array]:
    """Columns of a declared type are there from the first load, whatever the answers hold."""
    types: dict[str, str] = dict(options.types)
    for name, chosen in (options.columns or {}).items():
        if isinstance(chosen, ColumnOptions) and chosen.type is not None:
            types[name] = chosen.type
    return {
        name: pa.nulls(rows, ARROW_TYPES[TYPE_NAMES[said]])
        for name, said in types.items()
        if name not in columns and "." not in name
    }


def _ordered(sheet: Sheet, options: TableOptions) -> dict[str, pa.Array]:
    """Carried columns, then the chosen ones in the order of the file, then the others."""
    first = [*options.carry, *(options.columns or ())]
    names = [name for name in first if name in sheet.columns]
    names += [name for name in sheet.columns if name not in first]
    return {name: sheet.columns[name] for name in names}


def _latest(answers: Sequence[Landed]) -> list[Landed]:
    latest: dict[str, Landed] = {}
    for answer in answers:
        known = latest.get(answer.key)
        if answer.fate in WITH_ANSWER and (known is None or answer.seq >= known.seq):
            latest[answer.key] = answer
    return list(latest.values())


def _blocks(landed: Sequence[Landed]) -> Iterator[Sequence[Landed]]:
    start = size = 0
    for place, answer in enumerate(landed):
        size += len(answer.body)
        if size >= _BLOCK_BYTES or place - start + 1 >= _BLOCK_BODIES:
            yield landed[start : place + 1]
            start, size = place + 1, 0
    if start < len(landed):
        yield landed[start:]


def _spread(landed: Sequence[Landed], count: int | None) -> Sequence[Landed]:
    """So many answers from all over; None: the first ones, as many as make a law."""
    if count is None:
        return landed[:_LAW_SAMPLE]
    step = max(1, len(landed) // count)
    return list(landed[::step])[: count + 1]
