"""Shapes one block of bodies: at once those that decode, exactly those that deviate."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fetchcast.errors import ShapeError
from fetchcast.records import Landed
from fetchcast.transform.accounting import Accounting
from fetchcast.transform.census import count_members
from fetchcast.transform.flatten import Deviation, Flattener, Sheet, Tally
from fetchcast.transform.judge import BodyRefused, Frozen, Judge, Reject, head_of
from fetchcast.transform.model import Model
from fetchcast.transform.reading import (
    MAX_DEPTH,
    Unreadable,
    count_leaves,
    depth_of,
    encode_exactly,
    is_doubled,
    read_exactly,
)

_NO_TEXT_HOLDS = b"\\u0000"
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(slots=True)
class Shape:
    """What became of a block."""

    answers: Sequence[Landed]
    sheets: dict[str, Sheet]
    rejects: list[tuple[Landed, Reject]]
    accounting: Accounting
    version: int
    """The version of the model that shaped it."""


@dataclass(slots=True)
class _Slow:
    """A body that was read exactly."""

    document: Any
    leaves: int
    body: bytes = b"null"
    """What is left of it, as JSON that decodes."""
    left: int = 0
    """How many values that is."""
    rejects: list[Reject] = field(default_factory=list)
    dropped: int = 0


class Block:
    """The bodies of one block, and how far each of them got."""

    def __init__(self, model: Model, answers: Sequence[Landed]) -> None:
        self._model, self._answers = model, answers
        self._slow: dict[int, _Slow] = {}
        self._decoded: list[Any] = []
        self._members = 0

    def shape(self) -> Shape:
        """Decode, judge what deviates, flatten, and close the books."""
        with _uncollected():
            return self._shape()

    def _shape(self) -> Shape:
        doubtful = self._decode()
        while True:
            doubtful -= self._slow.keys()
            if doubtful:
                self._judge(doubtful)
                doubtful = self._decode()
                continue
            flattener, sheets = Flattener(self._model.table), {}
            try:
                sheets = flattener.flatten(self._model.form, self._decoded)
            except Deviation as deviation:
                doubtful = set(deviation.args[0])
            except RecursionError:
                doubtful = self._too_deep()
            if doubtful:
                self._give_up(doubtful)
                continue
            doubtful = self._uncounted(flattener.tally)
            if not doubtful:
                return self._close(sheets, flattener.tally)

    def _decode(self) -> set[int]:
        """Decode all bodies; the positions of those that do not."""
        decode, slow = self._model.decoder.decode, self._slow
        decoded: list[Any] = []
        doubtful: set[int] = set()
        for place, answer in enumerate(self._answers):
            body = slow[place].body if place in slow else answer.body
            try:
                decoded.append(decode(body))
            except _UNDECODABLE:
                decoded.append(None)
                doubtful.add(place)
        self._give_up(doubtful)
        self._decoded = decoded
        return doubtful | self._with_nul()

    def _with_nul(self) -> set[int]:
        # JSON may hold the NUL character in a text, PostgreSQL may not.
        return {
            place
            for place, answer in enumerate(self._answers)
            # One byte is looked for at the speed of memory, six are not.
            if b"\\" in answer.body and _NO_TEXT_HOLDS in answer.body and place not in self._slow
        }

    def _too_deep(self) -> set[int]:
        """Bodies with a JSON text that is nested too deeply to be counted; they are given up."""
        deep = {place for place, body in enumerate(self._bodies()) if depth_of(body) > MAX_DEPTH}
        for place in deep:
            body = self._answers[place].body
            reject = Reject(None, "$", head_of(body[:400].decode()), "nested too deeply", 1)
            self._slow[place] = _Slow(None, 1, rejects=[reject])
        return deep

    def _give_up(self, doubtful: set[int]) -> None:
        """Reject bodies that deviate still after they were judged: no answer stops the others."""
        for place in doubtful & self._slow.keys():
            slow = self._slow[place]
            reject = Reject(None, "$", head_of(slow.document), "cannot be decoded", slow.leaves)
            self._slow[place] = _Slow(None, slow.leaves, rejects=[reject])

    def _judge(self, doubtful: set[int]) -> None:
        """Read bodies exactly, let the schema widen if it may, and clean each of them."""
        places = sorted(doubtful)
        for place in places:
            self._slow[place] = _read(self._answers[place].body)
        readable = [place for place in places if not self._slow[place].rejects]
        if self._model.options.contract == "evolve" or not self._model.sampled:
            for place in readable:
                self._model.learn(self._slow[place].document)
        for place in readable:
            self._clean(self._answers[place], self._slow[place])

    def _clean(self, answer: Landed, slow: _Slow) -> None:
        judge = Judge(self._model.options.contract)
        try:
            kept = judge.clean(self._model.form, slow.document)
            slow.body, slow.left = encode_exactly(kept), count_leaves(kept)
            slow.rejects, slow.dropped = judge.rejects, judge.dropped
        except BodyRefused as refused:
            path, reason = refused.args
            slow.rejects = [Reject(None, path, head_of(slow.document), reason, slow.leaves)]
        except RecursionError:
            slow.rejects = [Reject(None, "$", "", "nested too deeply", slow.leaves)]
        except Frozen as frozen:
            raise self._frozen(answer, frozen) from None
        if judge.grew:
            self._model.recompile()

    def _frozen(self, answer: Landed, frozen: Frozen) -> ShapeError:
        path, reason, head = frozen.args
        return ShapeError(
            self._model.table,
            f'{path} in the answer {answer.key} is {head!r}: {reason}, and contract = "freeze"; '
            'set "evolve" to widen the table or "discard_value" to put such values into _rejects',
        )

    def _uncounted(self, tally: Tally) -> set[int]:
        """The bodies in which a key comes twice: their bytes hold more than was decoded."""
        found = tally.in_columns + tally.dropped - tally.elements
        self._members = count_members(self._bodies())
        if found == self._members:
            return set()
        doubled = {
            place
            for place, answer in enumerate(self._answers)
            if place not in self._slow and is_doubled(read_exactly(answer.body))
        }
        if not doubled:
            self._unbalanced(tally)
        return doubled

    def _unbalanced(self, tally: Tally) -> None:
        found = tally.in_columns + tally.dropped - tally.elements
        Accounting(self._model.table, leaves_in=self._members, in_columns=found).check()

    def _bodies(self) -> list[bytes]:
        slow = self._slow
        return [
            slow[place].body if place in slow else answer.body
            for place, answer in enumerate(self._answers)
        ]

    def _close(self, sheets: dict[str, Sheet], tally: Tally) -> Shape:
        slow = self._slow.values()
        rejects = [
            (self._answers[place], reject)
            for place in sorted(self._slow)
            for reject in self._slow[place].rejects
        ]
        books = Accounting(
            self._model.table,
            bodies=len(self._answers),
            leaves_in=self._members + tally.elements + sum(one.leaves - one.left for one in slow),
            in_columns=tally.in_columns,
            in_rejects=sum(reject.leaves for _, reject in rejects),
            dropped_by_rule=tally.dropped + sum(one.dropped for one in slow),
            rejects=len(rejects),
            slow_bodies=len(self._slow),
        )
        return Shape(self._answers, sheets, rejects, books, self._model.version)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Python's collector from walking over all values of a block again and again.

    There are no cycles among them; it took a quarter of the shaping to find that out.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read(body: bytes) -> _Slow:
    try:
        document = read_exactly(body)
        return _Slow(document, count_leaves(document))
    except Unreadable as unreadable:
        head = body[:400].decode("utf-8", "backslashreplace")
        reject = Reject(None, "$", head_of(head), str(unreadable), 1)
    except RecursionError:
        reject = Reject(None, "$", "", "nested too deeply", 1)
    return _Slow(None, 1, rejects=[reject])
