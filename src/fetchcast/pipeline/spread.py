"""Work of the thread that loads, done on an executor that lives in the event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeVar
from uuid import uuid4

from fetchcast.executors.contract import Executor

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
