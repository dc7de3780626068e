"""Shapes bodies that are no JSON: one body is as many documents as `fetchcast.formats` finds in it.

A document is shaped as if it were an answer of its own, and then forgotten: of a file that
unpacks to gigabytes, one portion is in memory at a time. Its rows are numbered on from those of
the documents before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from fetchcast.formats import BrokenFormat, Format, documents
from fetchcast.records import Landed
from fetchcast.transform.accounting import Accounting
from fetchcast.transform.block import Block, Shape
from fetchcast.transform.judge import Reject, head_of
from fetchcast.transform.model import Model
from fetchcast.transform.reshape import Reshape

_BLOCK_BYTES = 1 << 20
_BLOCK_DOCUMENTS = 2000

Forms = Mapping[str, Format]
"""Resource -> how its bodies are read, where they are no JSON."""


@dataclass(frozen=True, slots=True)
class Folded:
    """Answers that are several documents each, and what is done to a document first."""

    answers: Sequence[Landed]
    forms: Forms
    reshape: Reshape

    def sample(self, answers: Iterable[Landed], count: int) -> Iterator[Landed]:
        """The first ``count`` documents of each of ``answers``; none of one that is damaged."""
        for answer in answers:
            with suppress(BrokenFormat):
                yield from islice(self.documents(answer), count)

    def documents(self, answer: Landed) -> Iterator[Landed]:
        """Each document in ``answer``, as if it were an answer; raises BrokenFormat."""
        form, reshape = self.forms.get(answer.resource), self.reshape
        bodies = [answer.body] if form is None else documents(answer.body, form)
        for body in bodies:
            one = replace(answer, body=body)
            yield reshape.answer(one) if reshape.changes else one


def unfolded_shapes(model: Model, folded: Folded) -> list[Shape]:
    """The shapes of all documents in ``folded``.

    What a late document teaches the model is learnt by reading the early ones again: they are
    not kept.
    """
    while True:
        shapes = list(_Unfolding(model, folded).shapes())
        if all(shape.version == model.version for shape in shapes):
            return shapes


@dataclass(slots=True)
class _Unfolding:
    """One pass over the documents."""

    model: Model
    folded: Folded
    rows: Counter[str] = field(default_factory=Counter)
    """Key -> rows that were numbered so far."""
    broken: list[tuple[Landed, BrokenFormat]] = field(default_factory=list)

    def shapes(self) -> Iterator[Shape]:
        """Block by block."""
        for block in _blocks(self._documents()):
            yield self._numbered_on(Block(self.model, block).shape())
        if self.broken:
            yield self._rejected()

    def _documents(self) -> Iterator[Landed]:
        for answer in self.folded.answers:
            try:
                yield from self.folded.documents(answer)
            except BrokenFormat as error:
                self.broken.append((answer, error))

    def _numbered_on(self, shape: Shape) -> Shape:
        """``shape`` with its rows numbered on, and without the bodies."""
        bare = [replace(answer, body=b"") for answer in shape.answers]
        place_of = {id(answer): place for place, answer in enumerate(shape.answers)}
        rejects = [(place_of[id(answer)], reject) for answer, reject in shape.rejects]
        counts = np.zeros(len(bare), np.int64)
        main = shape.sheets.get(self.model.table)
        if main is not None:
            np.maximum.at(counts, main.body, main.links["_row"] + 1)
        for place, reject in rejects:
            counts[place] = max(counts[place], (-1 if reject.row is None else reject.row) + 1)
        before = np.zeros(len(bare), np.int64)
        for place, answer in enumerate(bare):
            before[place] = self.rows[answer.key]
            self.rows[answer.key] += int(counts[place])
        for sheet in shape.sheets.values():
            sheet.links["_row"] = sheet.links["_row"] + before[sheet.body]
        shape.answers = bare
        shape.rejects = [
            (bare[place], _moved(reject, int(before[place]))) for place, reject in rejects
        ]
        return shape

    def _rejected(self) -> Shape:
        """What could not be read to its end."""
        rejects = [
            (answer, Reject(None, "$", _head(answer), str(error), 1))
            for answer, error in self.broken
        ]
        count = len(rejects)
        books = Accounting(
            self.model.table, bodies=count, leaves_in=count, in_rejects=count, rejects=count
        )
        # The schema is asked for first: it may be compiled anew, which counts as a version.
        self.model.schema()
        answers = [replace(answer, body=b"") for answer, _ in self.broken]
        return Shape(answers, {}, rejects, books, self.model.version)


def _moved(reject: Reject, before: int) -> Reject:
    return reject if reject.row is None else replace(reject, row=reject.row + before)


def _head(answer: Landed) -> str:
    return head_of(answer.body[:200].decode("utf-8", "backslashreplace"))


def _blocks(found: Iterator[Landed]) -> Iterator[list[Landed]]:
    block: list[Landed] = []
    size = 0
    for answer in found:
        block.append(answer)
        size += len(answer.body)
        if size >= _BLOCK_BYTES or len(block) >= _BLOCK_DOCUMENTS:
            yield block
            block, size = [], 0
    if block:
        yield block
