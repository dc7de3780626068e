"""What surely passes: calls between the first refusal and the last one, over the time between.

A bucket is empty at every refusal, so this much flowed in, and what was asked for in vain is not
counted: a pace that was had, rather than one that was tried.
"""

from __future__ import annotations

from typing import Final

_ENOUGH: Final = 60


class Yield:
    """Calls that passed between two refusals far apart, and before the first of all."""

    __slots__ = ("_began", "_first", "_last", "_refused")

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._began: tuple[float, int] | None = None
        self._last = (0.0, 0)
        self._refused = 0

    def refused(self, after_s: float, sent_at: float, serial: int) -> None:
        """The call numbered ``serial`` was refused, sent ``after_s`` since the run began."""
        if self._first is None or serial < self._first[1]:
            self._first = after_s, serial
        if self._began is None:
            self._began = self._last = sent_at, serial
            self._refused = 0
        elif serial > self._began[1]:
            self._refused += 1
            if serial > self._last[1]:
                self._last = sent_at, serial

    def restart(self) -> None:
        """The limit is another one now."""
        self._began = None

    def rate(self) -> float | None:
        """Calls a second, if enough of them passed to tell."""
        if self._began is None:
            return None
        passed = self._last[1] - self._began[1] - self._refused
        lasted = self._last[0] - self._began[0]
        return passed / lasted if passed >= _ENOUGH and lasted > 0 else None

    def burst(self, rate: float) -> float | None:
        """Calls that were saved at first, if ``rate`` a second came to them."""
        if self._first is None:
            return None
        after_s, serial = self._first
        return max(0.0, serial - 1 - rate * after_s)
