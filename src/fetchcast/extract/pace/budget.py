"""What the API's own headers allow: so many calls until a moment, for each allowance it names.

Answers overtake each other and are counted in whole seconds: inside a window what is left only
shrinks, and a window is new only if it must have begun after the known one ended.
"""

from __future__ import annotations

from typing import Final

from fetchcast.extract.pace.headers import Budget
from fetchcast.extract.pace.openings import Openings

_COARSE_S: Final = 5.0  # Windows no longer than this are paced: whole seconds are too coarse.
_SHARE: Final = 0.97
_NEWER_S: Final = 0.5
_TICK_S: Final = 1.0  # A reset is rounded to whole seconds, either way.
_LATE_S: Final = 0.03  # A call that is to come after the end of a window leaves so much later.


class Allowance:
    """One allowance: ``left`` calls until ``resets_at``."""

    __slots__ = (
        "_asked_at",
        "_asked_early",
        "_first_told",
        "_is_moment",
        "_late_s",
        "_lowest",
        "_opened_at",
        "_openings",
        "_probing",
        "_rolled_at",
        "_spent_at",
        "_told",
        "_trusted",
        "_used_up",
        "left",
        "length_s",
        "limit",
        "name",
        "resets_at",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.limit: int | None = None
        self.left = 0
        self.resets_at = float("-inf")
        self.length_s = 0.0
        """The window's length: what a policy says, or the longest time to a reset that was seen."""
        self._openings = Openings()
        self._spent_at = float("-inf")
        self._told = False  # Whether `resets_at` came from an answer of this window.
        self._trusted = False  # Whether a window really began when one was expected.
        self._probing = False
        self._late_s = 0.0
        self._rolled_at = float("-inf")
        self._lowest = 0  # The least that an answer of this window said was left.
        self._opened_at = float("-inf")
        self._first_told = (0.0, 0.0)  # When the window's first answer came, and what it said.
        self._is_moment = False  # Whether the API tells a moment, not how long it is until then.
        self._asked_early = False  # And in vain: the window does not begin with our first call.
        self._asked_at = float("-inf")
        self._used_up = False  # Only a window that was ever used up is worth pacing.

    def tell(self, told: Budget, sent_at: float, now: float, on_wire: int) -> None:
        """Take in what an answer said that was sent at ``sent_at`` and came at ``now``."""
        remaining = told.remaining
        reset = told.reset_s if told.reset_s is not None else told.window_s
        if remaining is None or reset is None:
            return
        self.limit = told.limit or self.limit
        self.length_s = max(self.length_s, told.window_s or reset)
        opened = self.length_s <= _COARSE_S and self._openings.hear(
            remaining, sent_at, now, self.length_s
        )
        # Written before it came, and rounded up: the window ends by then. Rounded down, a second
        # later: the first call that finds out pays for the others.
        ends = now + reset + self._late_s
        if opened or sent_at + max(0.0, reset - _TICK_S) > self.resets_at + _NEWER_S:
            # In vain, if the window had to end as expected before a new one began.
            self._asked_early = self._asked_early and self._rolled_at > self._asked_at
            self._begin(now, ends, remaining, max(0, remaining - on_wire), sent_at)
        elif self._told:
            since, said = self._first_told
            if now > since + _LATE_S:
                self._is_moment = abs(ends - said) < (now - since) / 2
            self.resets_at = min(self.resets_at, ends)
            self._lowest = min(self._lowest, remaining)
            self.left = min(self.left, remaining)
        elif sent_at >= self._rolled_at:
            self._first_of_window(now, ends, remaining, on_wire, sent_at)
        elif remaining > 0:
            # Answers take longer than windows: this one at least had begun.
            self._trusted = True

    def _begin(self, now: float, ends: float, remaining: int, left: int, sent_at: float) -> None:
        self._first_told = (now, ends)
        self._opened_at = max(sent_at, self._rolled_at)
        self.resets_at, self._told, self._probing = ends, True, False
        self._lowest, self.left = remaining, left

    def _first_of_window(
        self, now: float, ends: float, remaining: int, on_wire: int, sent_at: float
    ) -> None:
        """The first answer after a window was expected to begin."""
        if remaining == 0:
            self._late_s = _TICK_S
        else:
            self._trusted = True
        left = remaining - on_wire if self._probing else min(self.left, remaining)
        self._begin(now, ends, remaining, max(0, left), sent_at)

    def ready(self, now: float, in_flight: int) -> float:
        """When the next call may leave; no later than ``now`` if at once."""
        if now >= self.resets_at:
            self._roll(now)
        elif self.left <= 0:
            if in_flight or self._lowest <= 0:
                self._used_up = True
                return self._may_end_at()
            # Every answer is in: what the last of them said was left is left indeed.
            self.left, self._lowest = self._lowest, 0
        if self._used_up and 0 < self.length_s <= _COARSE_S and self.limit:
            length_s = self._openings.length_s or self.length_s
            return max(now, self._spent_at + length_s / (_SHARE * self.limit))
        return now

    def _may_end_at(self) -> float:
        """When the window may end at the earliest.

        A reset told as a moment is rounded up to whole seconds. A window that began with our first
        call and lasts whole seconds ends up to a second before: one call asks then.
        """
        if self._asked_early or not self._is_moment or self.length_s <= _COARSE_S:
            return self.resets_at
        moment = self._opened_at + (self.resets_at - self._opened_at) // 1 + _LATE_S
        return min(moment, self.resets_at)

    def _roll(self, now: float) -> None:
        """A new window should begin now; an answer will say whether it did."""
        self._rolled_at = now
        self.resets_at = now + max(self.length_s, _TICK_S)
        self._told, self._probing = False, not self._trusted
        self.left = self.limit if self._trusted and self.limit is not None else 1
        self._lowest = self.left

    def spend(self, now: float) -> None:
        """A call left."""
        if self.left <= 0:
            self._asked_early, self._asked_at = True, now
        self.left -= 1
        self._spent_at = now
