"""Shaping and fitting on an executor, from the thread that loads: with the results of one machine.

What is shaped depends on what was shaped before it: a schema only widens. So portions are shaped
on the strength of what is known, in advance; where one of them teaches something new, those behind
it are shaped again. After the first portions that is seldom.
"""

from __future__ import annotations

import asyncio
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar
from uuid import uuid4

import zstandard

from fetchcast.executors.contract import Executor
from fetchcast.records import Landed
from fetchcast.transform import Shaped, Shaper, TableOptions
from fetchcast.transform.unfolding import Forms

_T = TypeVar("_T")
_R = TypeVar("_R")

_PAYS: Final = 4
"""Pieces of work below which a cluster costs more than it brings."""


@dataclass(slots=True)
class Spread:
    """An executor as a thread sees it that the event loop is not in.

    Args:
        executor: Where the work is done.
        loop: In which the executor lives.
    """

    executor: Executor
    loop: asyncio.AbstractEventLoop
    _name: str = field(default_factory=lambda: uuid4().hex[:8])
    _count: int = 0

    @property
    def width(self) -> int:
        """How many pieces may be under way at once."""
        return self.executor.slots + 1

    def submit(self, work: Callable[[_T], _R], task: _T) -> Future[_R]:
        """Begin ``work`` on ``task``."""
        self._count += 1
        key = f"fetchcast-{getattr(work, '__name__', 'work')}-{self._name}-{self._count}"
        return asyncio.run_coroutine_threadsafe(self._one(work, key, task), self.loop)

    async def _one(self, work: Callable[[_T], _R], key: str, task: _T) -> _R:
        results = self.executor.results(work, [(key, task)])
        try:
            return (await anext(results))[1]
        finally:
            await results.aclose()

    def map(self, work: Callable[[Any], Any], pieces: Sequence[Any]) -> Iterable[Any]:
        """``work`` done on each of ``pieces``, in their order; the work's errors are raised."""
        if len(pieces) < _PAYS:
            return map(work, pieces)
        return self._mapped(work, pieces)

    def _mapped(self, work: Callable[[Any], Any], pieces: Sequence[Any]) -> Iterator[Any]:
        waiting = iter(pieces)
        begun = deque(self.submit(work, piece) for piece in islice(waiting, self.width))
        try:
            while begun:
                yield begun.popleft().result()
                begun.extend(self.submit(work, piece) for piece in islice(waiting, 1))
        finally:
            for one in begun:
                one.cancel()


@dataclass(frozen=True, slots=True)
class Portion:
    """Answers to be shaped, and what is known of their table."""

    name: str
    options: TableOptions
    forms: Forms
    knowledge: bytes
    answers: bytes
    """Packed: they resemble each other, and the way is long."""


_Shaped: TypeAlias = tuple[Shaped, bytes]


def shape_portion(portion: Portion) -> _Shaped:
    """The rows of a portion, and what is known after it."""
    shaper = Shaper(portion.name, portion.options, forms=portion.forms)
    shaper.know(portion.knowledge)
    # Our own answers, packed by `shaped_afar` for this one trip.
    answers: list[Landed] = pickle.loads(zstandard.decompress(portion.answers))  # noqa: S301
    return shaper.shape(answers), shaper.knowledge()


def shaped_afar(
    spread: Spread,
    shaper: Shaper,
    options: TableOptions,
    forms: Forms,
    chunks: Iterator[list[Landed]],
) -> Iterator[Shaped]:
    """What ``shaper`` makes of ``chunks``, one after the other, made on an executor.

    Args:
        spread: The executor.
        shaper: Knows after each portion what it would know had it shaped it.
        options: Of the table.
        forms: How bodies are read that are no JSON.
        chunks: The answers, in order.
    """
    first = next(chunks, None)
    if first is None:
        return
    yield shaper.shape(first)  # From here on something is known.
    known = shaper.knowledge()
    begun: deque[tuple[bytes, Future[_Shaped], bytes]] = deque()

    def begin(count: int) -> None:
        for chunk in islice(chunks, count):
            packed = zstandard.compress(pickle.dumps(chunk), 1)
            portion = Portion(shaper.name, options, forms, known, packed)
            begun.append((known, spread.submit(shape_portion, portion), packed))

    try:
        begin(spread.width)
        while begun:
            believed, coming, packed = begun.popleft()
            if believed == known:
                shaped, after = coming.result()
            else:
                coming.cancel()
                portion = Portion(shaper.name, options, forms, known, packed)
                shaped, after = shape_portion(portion)
            if after != known:
                known = after
                shaper.know(known)
            yield shaped
            begin(1)
    finally:
        for _, coming, _ in begun:
            coming.cancel()
