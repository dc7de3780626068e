"""A clock for tests: time passes when somebody sleeps, and at no other moment."""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from itertools import count


class FakeClock:
    """A `fetchcast.clock.Clock` whose sleeps take no time and are written down.

    Sleepers wake in the order of their deadlines, however they were started, and the clock jumps
    to each deadline. Real sockets work beside it; while they do, nothing passes on this clock
    unless somebody sleeps on it, so give a deadline that must hold against a real server to a
    real clock.
    """

    def __init__(self, *, now: float = 1_600_000_000.0, jitter: float = 0.0) -> None:
        """Start at ``now`` (seconds since 1970, UTC); ``jitter`` is what chance always says."""
        self.slept: list[float] = []
        """Every wait above zero that was asked for, in seconds, in the order of asking."""
        self._start = now
        self._passed = 0.0
        self._jitter = jitter
        self._waking = False
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return self._start + self._passed

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return self._passed

    def jitter(self) -> float:
        """The number that was given at the start, always."""
        return self._jitter

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass without anybody sleeping."""
        self._passed += seconds

    async def sleep(self, seconds: float) -> None:
        """Write ``seconds`` down, and return when everyone with an earlier deadline was woken."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self.slept.append(seconds)
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        heappush(self._sleepers, (self._passed + seconds, next(self._order), woken))
        if not self._waking:
            self._waking = True
            loop.call_soon(self._wake_next, loop)
        await woken

    def _wake_next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heappop(self._sleepers)  # Cancelled: its deadline moves nothing.
        self._waking = bool(self._sleepers)
        if self._sleepers:
            deadline, _, sleeper = heappop(self._sleepers)
            self._passed = max(self._passed, deadline)
            sleeper.set_result(None)
            # After the sleeper's own turn, so that it sees the time for which it asked.
            loop.call_soon(self._wake_next, loop)
