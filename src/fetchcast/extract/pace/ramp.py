"""The ramp: how a run that remembers a level gets there at once, without trusting it blindly.

One part leaves at the first moment, the others one by one within about the time in which a refusal
would come back: the first refusal stops it before much has been wasted on a limit that has shrunk.
"""

from __future__ import annotations

from math import inf
from typing import Final

from fetchcast.extract.pace.learnt import Learnt
from fetchcast.extract.pace.window import FIRST

_SURE: Final = 50  # So many accepted calls behind it make a memory sure.
_TRIPS: Final = 3.0
_OF_LATENCY: Final = 0.1  # Where no refusal was ever seen, nobody knows how soon one comes.
_UNKNOWN_S: Final = 0.01
_BEYOND: Final = 3.0  # Times as long for as many again as were seen to fit.


class Ramp:
    """Lets ``first`` calls leave at once and ``sure`` be in flight ``lasts_s`` later.

    Up to ``last`` it then goes on more slowly.
    """

    __slots__ = ("_began_at", "_first", "_lasts_s", "_sure", "last", "peak")

    def __init__(self, first: int, sure: int, last: int, lasts_s: float) -> None:
        self._first, self._sure, self.last, self._lasts_s = first, sure, last, lasts_s
        self.peak = 0
        """The most calls that were in flight."""
        self._began_at: float | None = None

    def due(self, now: float, in_flight: int) -> float:
        """When one more than ``in_flight`` may be on the way; infinite if not on this ramp."""
        if self._began_at is None:
            self._began_at = now
        self.peak = max(self.peak, in_flight)
        if in_flight < self._first:
            return now
        if in_flight >= self.last:
            return inf
        return self._began_at + self._after_s(in_flight + 1)

    def _after_s(self, count: int) -> float:
        """How long after the first moment ``count`` may be on the way."""
        if count <= self._sure:
            return self._lasts_s * (count - self._first) / max(1, self._sure - self._first)
        return self._lasts_s * (1 + _BEYOND * (count - self._sure) / self._sure)

    def silent_until(self) -> float:
        """When a refusal of any of its calls would have come back."""
        assert self._began_at is not None
        return self._began_at + self._after_s(max(self._first, self.last)) + self._lasts_s / 2


def remembered_ramp(memory: Learnt, most: int) -> Ramp | None:
    """The way to what ``memory`` is sure of; None if it is not sure, or knows no level."""
    target = min(memory.level or inf, memory.width or inf, most)
    if memory.sure < _SURE or not (memory.level or memory.width):
        return None
    target = int(target)
    lasts_s = _OF_LATENCY * memory.latency_s if memory.latency_s else _UNKNOWN_S
    if memory.round_trip_s is not None:
        lasts_s = min(_TRIPS * memory.round_trip_s, memory.latency_s or inf)
    if memory.level is not None:
        return Ramp(max(1, target // 2), target, target, lasts_s)
    last = target if memory.pressed else min(most, 2 * target)
    # What went well spread over a round trip need not go well at one moment.
    return Ramp(min(int(FIRST), target), max(1, target // 2), last, lasts_s)
