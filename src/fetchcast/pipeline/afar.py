"""Shaping on an executor, with the results of one machine.

Answers travel through the store as the journal has them packed, rows come back through it as
Arrow; what the executor carries are names and what was learnt. The run opens neither.

What is shaped depends on what was shaped before it: a schema only widens. So portions are shaped
on the strength of what is known, in advance; where one of them teaches something new, those behind
it are shaped again. After the first portions that is seldom.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from typing import Final
from uuid import uuid4

import msgspec
import pyarrow as pa

from fetchcast.landing.packed import Piece, answers_of, as_content, pieces_in
from fetchcast.landing.shards import ShardStore
from fetchcast.pipeline.spread import Spread
from fetchcast.records import Batch, Target
from fetchcast.transform import Shaped, Shaper, TableOptions
from fetchcast.transform.accounting import Accounting
from fetchcast.transform.unfolding import Forms

_LENGTH_BYTES: Final = 8
PAYS: Final = 4
"""Portions below which the way to workers and back costs more than it brings."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where answers are shaped: workers, and the store through which they get them."""

    spread: Spread
    store: ShardStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """Answers to be shaped, and what is known of their table."""

    table: str
    options: TableOptions
    forms: Forms
    knowledge: bytes
    store: ShardStore
    answers: str
    """Under which name they are in the store."""
    rows: str
    """Under which name their rows are put there."""


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a portion; its rows are in the store."""

    knowledge: bytes
    """What is known after it."""
    accounting: Accounting


class _Head(msgspec.Struct, array_like=True):
    """What stands before the rows: which table each part is of, and how long it is."""

    parts: list[tuple[Target, int, int]]
    """Target, bytes, and which of ``keys`` it speaks for."""
    keys: list[Sequence[str]]


def shape_portion(portion: Portion) -> Made:
    """Shape a portion and put its rows into the store.

    Raises:
        ExecutorError: If the store cannot be used, or is not the one the answers are in.
        ShapeError: As `Shaper.shape`.
    """
    shaper = Shaper(portion.table, portion.options, forms=portion.forms)
    shaper.know(portion.knowledge)
    shaped = shaper.shape(list(answers_of(pieces_in(portion.store.fetch(portion.answers)))))
    portion.store.keep(portion.rows, as_rows(shaped.batches))
    return Made(shaper.knowledge(), shaped.accounting)


def as_rows(batches: Sequence[Batch]) -> bytes:
    """The rows of ``batches`` with whom they are for, as `batches_in` reads them."""
    head, parts = _Head([], []), []
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.rows.schema) as stream:
            stream.write_table(batch.rows)
        parts.append(sink.getvalue())
        if not head.keys or head.keys[-1] is not batch.keys:
            head.keys.append(batch.keys)
        head.parts.append((batch.target, parts[-1].size, len(head.keys) - 1))
    first = msgspec.msgpack.encode(head)
    length = len(first).to_bytes(_LENGTH_BYTES, "big")
    return b"".join((length, first, bytes(_gap(len(first))), *parts))


def batches_in(content: bytes) -> list[Batch]:
    """What `as_rows` made; the rows are where ``content`` is, not copied."""
    length = int.from_bytes(content[:_LENGTH_BYTES], "big")
    end = _LENGTH_BYTES + length
    head = msgspec.msgpack.decode(memoryview(content)[_LENGTH_BYTES:end], type=_Head)
    found, whole, begin = [], pa.py_buffer(content), end + _gap(length)
    for target, size, keys in head.parts:
        with pa.ipc.open_stream(whole.slice(begin, size)) as stream:
            found.append(Batch(target=target, rows=stream.read_all(), keys=head.keys[keys]))
        begin += size
    return found


def _gap(length: int) -> int:
    """Arrow wants its buffers at multiples of eight bytes."""
    return -length % _LENGTH_BYTES


@dataclass(slots=True)
class _Begun:
    """A portion that is being shaped."""

    answers: str
    rows: str
    coming: Future[Made]


def shaped_afar(
    bench: Bench,
    shaper: Shaper,
    options: TableOptions,
    forms: Forms,
    portions: Iterator[Sequence[Piece]],
) -> Iterator[Shaped]:
    """What ``shaper`` makes of ``portions``, one after the other, made on an executor.

    Args:
        bench: The executor, and the store.
        shaper: Knows after each portion what it would know had it shaped it.
        options: Of the table.
        forms: How bodies are read that are no JSON.
        portions: The answers, in order.
    """
    work = _Work(bench, shaper, options, forms)
    try:
        work.begin(portions, 2 * bench.spread.width)
        while work.begun:
            yield work.next()
            work.begin(portions, 1)
    finally:
        work.close()


class _Work:
    """The portions that are under way."""

    def __init__(self, bench: Bench, shaper: Shaper, options: TableOptions, forms: Forms) -> None:
        self._bench, self._shaper = bench, shaper
        self._options, self._forms = options, forms
        self._known = shaper.knowledge()
        self._name, self._count = uuid4().hex[:8], 0
        self._is_sampled = False
        bench.store.sweep()
        self.begun: deque[_Begun] = deque()

    def begin(self, portions: Iterator[Sequence[Piece]], count: int) -> None:
        """Send out the next ones."""
        for pieces in islice(portions, count):
            self._count += 1
            name, content = f"{self._name}-{self._count:06}", as_content(pieces)
            if not self._is_sampled:
                # All of them may begin at once then, instead of behind the first.
                self._is_sampled = True
                self._shaper.sample(list(answers_of(pieces)))
                self._known = self._shaper.knowledge()
            self._bench.store.keep(f"{name}.answers", content)
            self.begun.append(self._begin(f"{name}.answers"))

    def _begin(self, answers: str) -> _Begun:
        rows = f"{answers}-{uuid4().hex[:8]}.arrow"
        portion = Portion(
            table=self._shaper.name,
            options=self._options,
            forms=self._forms,
            knowledge=self._known,
            store=self._bench.store,
            answers=answers,
            rows=rows,
        )
        return _Begun(answers, rows, self._bench.spread.submit(shape_portion, portion))

    def next(self) -> Shaped:
        """The rows of the portion that is next."""
        first = self.begun[0]
        made = first.coming.result()
        shaped = Shaped(
            batches=batches_in(self._bench.store.fetch(first.rows)), accounting=made.accounting
        )
        self.begun.popleft()
        self._drop(first)
        if made.knowledge != self._known:
            self._known = made.knowledge
            self._shaper.know(made.knowledge)
            for begun in self.begun:
                begun.coming.cancel()
            self.begun = deque(self._begin(begun.answers) for begun in self.begun)
        return shaped

    def _drop(self, begun: _Begun) -> None:
        self._bench.store.drop(begun.answers)
        self._bench.store.drop(begun.rows)

    def close(self) -> None:
        """Take away what is left; work that was dropped while it ran may still leave its rows."""
        for begun in self.begun:
            begun.coming.cancel()
        self._bench.store.sweep()
