"""A bucket that an earlier run met, counted along: does what happens now agree with it?

It says when saved calls may leave at once, whether a refusal only confirms what is known, and
whether so much has passed without one that the bucket must be another by now.
"""

from __future__ import annotations

from typing import Final

_KEPT: Final = 0.2  # Of what was saved; calls of others, or an early one, may have taken it.
_SLACK: Final = 0.35  # Refused with less than this left is refused when expected.
_FEW: Final = 1.5


class Recalled:
    """``rate`` calls a second flow into it, at most ``burst`` are saved; full at first."""

    __slots__ = ("_at", "_burst", "_tokens", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self._burst = self._tokens = max(1.0, burst)
        self._at: float | None = None

    def spend(self, now: float) -> None:
        """A call left."""
        if self._at is not None:
            flowed = self.rate * (now - self._at)
            self._tokens = min(self._burst, self._tokens + flowed)
        self._at = now
        self._tokens -= 1

    @property
    def has_saved(self) -> bool:
        """Whether the next call may leave at once."""
        return self._tokens > _KEPT * self._burst + 1

    def explains(self) -> bool:
        """Whether a refusal now is one that the remembered bucket would make."""
        return self._tokens <= _SLACK * self._burst + _FEW

    def is_outgrown(self, unheard: float) -> bool:
        """Whether more passed than it lets in; of ``unheard`` calls no refusal can be back yet."""
        return self._tokens < -(_FEW + _KEPT * self._burst + unheard)
