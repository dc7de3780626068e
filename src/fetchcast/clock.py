"""The only source of time and chance: what depends on them is handed a `Clock`."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Protocol


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
        """Wait ``seconds``."""
        await asyncio.sleep(max(0.0, seconds))

    def jitter(self) -> float:
        """A random number, ``0 <= x < 1``."""
        return self._random.random()
