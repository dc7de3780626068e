"""The only source of time and chance: what depends on them is handed a `Clock`."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from contextlib import suppress
from heapq import heappop, heappush
from typing import Final, Protocol

_SHORT_S: Final = 0.02
_TICK_S: Final = 0.0015
"""Waits between these two are kept exactly: of shorter ones a millisecond is no part any more."""


class Clock(Protocol):
    """Time and chance, exchangeable in tests (`fetchcast.testing.FakeClock`)."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""

    def monotonic(self) -> float:
        """Seconds that only grow; for durations."""

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds``; zero or less gives others a turn."""

    def jitter(self) -> float:
        """A random number, ``0 <= x < 1``."""


class SystemClock:
    """The machine's own time."""

    def __init__(self) -> None:
        self._random = random.Random()  # noqa: S311  spreads retries, guards nothing

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds``; 2 to 20 milliseconds are late by a tenth of one.

        An event loop counts in whole milliseconds and comes up to one late. At 400 calls a second
        that is a fifth of the time between two of them, which an API without a burst refuses.
        """
        if _TICK_S < seconds < _SHORT_S:
            await _alarm.ring_in(seconds)
        else:
            await asyncio.sleep(max(0.0, seconds))

    def jitter(self) -> float:
        """A random number, ``0 <= x < 1``."""
        return self._random.random()


class _Alarm:
    """Wakes sleepers of any event loop at their moment, from a thread that waits for the next."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sleepers: list[
            tuple[float, int, asyncio.AbstractEventLoop, asyncio.Future[None]]
        ] = []
        self._count = 0
        self._thread: threading.Thread | None = None

    async def ring_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()
        with self._changed:
            self._count += 1
            heappush(self._sleepers, (time.monotonic() + seconds, self._count, loop, woken))
            if self._sleepers[0][1] == self._count:
                self._changed.notify()
            if self._thread is None or not self._thread.is_alive():  # Gone in a forked process.
                self._thread = threading.Thread(target=self._run, name="alarm", daemon=True)
                self._thread.start()
        await woken

    def _run(self) -> None:
        while True:
            with self._changed:
                while (left_s := self._left_s()) is None or left_s > 0:
                    self._changed.wait(left_s)
                _, _, loop, woken = heappop(self._sleepers)
            with suppress(RuntimeError):  # That loop is closed: nobody sleeps there any more.
                loop.call_soon_threadsafe(_wake, woken)

    def _left_s(self) -> float | None:
        """Until the next sleeper's moment; None if nobody sleeps."""
        return self._sleepers[0][0] - time.monotonic() if self._sleepers else None


def _wake(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():  # Else it was cancelled.
        sleeper.set_result(None)


_alarm = _Alarm()
