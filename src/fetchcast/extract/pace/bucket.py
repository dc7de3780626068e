"""How fast a bucket of unknown size fills, from the moments at which it was empty.

A bucket that is empty at ``T`` was full at some ``s`` before, and between both exactly
``burst + rate x (T - s)`` calls passed; over no other stretch that ends at ``T`` did more pass.
So each refusal draws one curve of burst over rate, and two curves cross at the truth.
"""

from __future__ import annotations

from math import inf
from typing import Final

_MOST_MARKS: Final = 128
_STEPS: Final = 24
_CLEARLY: Final = 2.0  # Fewer calls than were saved, and some, tell nothing of what flowed in.
_NOISE: Final = 20


class Bucket:
    """Stretches without a refusal, each from a known filling to an empty bucket."""

    __slots__ = (
        "_emptied_at",
        "_first",
        "_marks",
        "_step",
        "began_at",
        "began_with",
        "least",
        "waited",
    )

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []
        self._step = 1
        self.began_at = self._emptied_at = 0.0
        self.waited = inf
        """How long the bucket had filled, unspent, when this stretch began."""
        self.began_with = 0
        """Calls sent before this stretch."""
        self.least = 0.0
        """The rate that at least flowed in over some part of the last stretch."""
        self._first: list[tuple[float, int]] | None = None

    def begin(self, now: float, serial: int) -> None:
        """A stretch begins after a wait; the first of all, with a full bucket."""
        self._marks, self._step = [(now, serial)], 1
        if serial:
            self.waited = now - self._emptied_at
        self.began_at, self.began_with = now, serial

    def mark(self, now: float, serial: int) -> None:
        """``serial`` calls have been sent in all, the next one leaves about ``now``."""
        marks = self._marks
        if not marks or serial - marks[-1][1] < self._step:
            return
        marks.append((now, serial))
        if len(marks) > _MOST_MARKS:
            del marks[1::2]
            self._step *= 2

    def emptied(self, at: float, serial: int, most: float) -> float | None:
        """The rate, at ``most``: the call numbered ``serial``, sent ``at``, was the first refused.

        None after the first stretch: one curve crosses nothing.
        """
        curve = [(at - then, serial - 1 - count) for then, count in self._marks if then <= at]
        self._marks, self._emptied_at = [], at
        self.least = 0.0
        if not curve:
            return None
        if self._first is None:
            if self.waited == inf:
                self._first = curve
            return None
        if most == inf:
            return None
        saved = _burst(self._first, 0.0)
        many = _CLEARLY * saved + _NOISE
        self.least = max(((n - saved) / lasted for lasted, n in curve if n > many), default=0.0)
        low, high = 0.0, most
        for _ in range(_STEPS):
            rate = (low + high) / 2
            saved = min(_burst(self._first, rate), rate * self.waited)
            if _burst(curve, rate) > saved:
                low = rate
            else:
                high = rate
        return high


def _burst(curve: list[tuple[float, int]], rate: float) -> float:
    """The tokens that must have been saved if ``rate`` flowed in."""
    return max(passed - rate * lasted for lasted, passed in curve)
