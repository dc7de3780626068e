"""What the API's own headers allow: so many calls until a moment, for each allowance it names.

Answers overtake each other and are counted in whole seconds: inside a window what is left only
shrinks, and a window is new only if it must have begun after the known one ended.
"""

from __future__ import annotations

from typing import Final

from fetchcast.extract.pace.headers import Budget

_COARSE_S: Final = 5.0  # Windows no longer than this are paced: whole seconds are too coarse.
_SHARE: Final = 0.97
_NEWER_S: Final = 0.5
_TICK_S: Final = 1.0  # A reset is rounded to whole seconds, either way.


class Allowance:
    """One allowance: ``left`` calls until ``resets_at``."""

    __slots__ = ("left", "length_s", "limit", "name", "resets_at", "spent_at", "spent_up", "taken", "told")

    def __init__(self, name: str) -> None:
        self.name = name
        self.limit: int | None = None
        self.left = 0
        self.resets_at = float("-inf")
        self.length_s = 0.0
        """The window's length: what a policy says, or the longest time to a reset that was seen."""
        self.spent_at = float("-inf")
        """When the call before left."""
        self.told = False
        """Whether ``resets_at`` came from an answer, not from our own arithmetic."""
        self.spent_up = False
        """Whether a window was ever used up: only then is pacing worth it."""
        self.taken = 0
        """Calls sent in this window."""

    def tell(self, told: Budget, sent_at: float, now: float, on_wire: int) -> None:
        """Take in what an answer said that was sent at ``sent_at`` and came at ``now``."""
        remaining = told.remaining
        reset = told.reset_s if told.reset_s is not None else told.window_s
        if remaining is None or reset is None:
            return
        self.limit = told.limit or self.limit
        self.length_s = max(self.length_s, told.window_s or reset)
        # It was written between its sending and its arrival; the reset may be rounded up.
        if sent_at + max(0.0, reset - _TICK_S) > self.resets_at + _NEWER_S:
            self.resets_at, self.told, self.taken = now + reset, True, 0
            self.left = max(0, remaining - on_wire)
            return
        if not self.told and sent_at >= self.resets_at - self.length_s:
            self.resets_at, self.told = now + reset, True
        if self.told:
            self.left = min(self.left, remaining)

    def ready(self, now: float, in_flight: int) -> float:
        """When the next call may leave; no later than ``now`` if at once."""
        if now >= self.resets_at:
            self._roll(now)
        elif self.left <= 0:
            self.spent_up = True
            return self.resets_at
        if self.spent_up and 0 < self.length_s <= _COARSE_S and self.limit:
            return max(now, self.spent_at + self.length_s / (_SHARE * self.limit))
        return now

    def _roll(self, now: float) -> None:
        """A new window begins; an answer will say how long it really lasts."""
        self.resets_at = now + max(self.length_s, _TICK_S)
        self.told, self.taken = False, 0
        self.left = self.limit if self.limit is not None else max(1, self.left)

    def spend(self, now: float) -> None:
        """A call left."""
        self.left -= 1
        self.taken += 1
        self.spent_at = now
