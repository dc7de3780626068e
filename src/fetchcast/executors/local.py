"""Work in this process; the only executor without an extra."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from fetchcast.executors.contract import Desk
from fetchcast.executors.windows import in_windows

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")


class LocalExecutor:
    """Runs blocking work in threads, so that the event loop stays free."""

    name = "local"
    notes: Sequence[str] = ()

    @property
    def slots(self) -> int:
        """One per core."""
        return os.cpu_count() or 1

    async def run(self, work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """The result of ``work``; its errors are raised here."""
        return await asyncio.to_thread(work, *args, **kwargs)

    async def everywhere(self, work: Callable[[], _R]) -> dict[str, _R]:
        """What ``work`` returns here: there is no other worker."""
        return {self.name: await asyncio.to_thread(work)}

    def results(
        self, work: Callable[[_T], _R], tasks: Iterable[tuple[str, _T]]
    ) -> AsyncGenerator[tuple[str, _R], None]:
        """The results in the order in which they come."""

        def begin(_: str, task: _T) -> asyncio.Future[_R]:
            return asyncio.ensure_future(asyncio.to_thread(work, task))

        return in_windows(begin, tasks, lambda: self.slots)

    @asynccontextmanager
    async def desk(self, name: str, desk: Desk) -> AsyncIterator[LocalDesk]:
        """Open ``desk`` to the threads of this process."""
        del name  # Whoever has the desk has the line.
        yield LocalDesk(desk)


@dataclass(slots=True)
class LocalDesk:
    """A desk in this process, and the line to it."""

    desk: Desk
    worker: str = "local"
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def line(self) -> LocalDesk:
        """Itself: nothing lies between."""
        return self

    async def ask(self, message: bytes) -> bytes:
        """What the desk answers, one message at a time."""
        with self._turn:
            return self.desk.answer(message, time.monotonic(), time.time())

    async def report(self) -> bytes:
        """How things stand."""
        with self._turn:
            return self.desk.report(time.monotonic(), time.time())
