"""How long windows really are that are told in whole seconds: from the moments they opened."""

from __future__ import annotations

from typing import Final

_EXACT: Final = 0.1  # Known within this share, it is known.
_LATE: Final = 1.02  # No clock is exact.


class Openings:
    """Hears what answers say is left: more than before, and a window has opened in between."""

    __slots__ = ("_count", "_first", "_heard_at", "_left", "_sent_at", "length_s")

    def __init__(self) -> None:
        self.length_s: float | None = None
        """At most; None while it is not known closely."""
        self._first: tuple[float, float] | None = None
        self._count = 0
        self._left: int | None = None
        self._heard_at = self._sent_at = 0.0

    def hear(self, left: int, sent_at: float, now: float, told_s: float) -> bool:
        """Take in what an answer says; whether a window has opened since the last one.

        Args:
            left: So many calls are left.
            sent_at: When its call left.
            now: When it came.
            told_s: The length in whole seconds, as headers tell it.
        """
        if self._left is not None and left > self._left:
            if sent_at <= self._heard_at:
                return False  # It only was overtaken.
            self._opened(self._sent_at, now, told_s)
        opened = self._left is not None and left > self._left
        self._left, self._heard_at, self._sent_at = left, now, sent_at
        return opened

    def _opened(self, low: float, high: float, told_s: float) -> None:
        if self._first is None:
            self._first = low, high
            return
        between = (low + high - sum(self._first)) / 2
        self._count = max(self._count + 1, round(between / (self.length_s or told_s)))
        least, most = (low - self._first[1]) / self._count, (high - self._first[0]) / self._count
        if most - least <= _EXACT * most and most <= told_s:
            self.length_s = _LATE * most
