"""The level: how many calls at once a concurrency limit lets in.

A refusal with ``l`` other calls in flight proves that no more than ``l`` fit, so the level walks
down to the limit exactly and then wastes nothing. From time to time it asks for more, one
call above the level, because a limit that was raised shows only to those who ask.
"""

from __future__ import annotations

from math import inf
from typing import Final

_LONGEST_GAP: Final = 1000.0
_GAP: Final = 250.0
_SLOWER_ASKING: Final = 1.6
_SOON: Final = 100
_GROWN: Final = 1.3  # Times what the network may stretch it; so much more is another limit.
_CALM: Final = 4.0  # Times as rarely is doubted what two runs found.
_NEAR: Final = 0.85  # A band rather than a number: so far down it is the same limit still.
_YES: Final = 2  # Once may be luck: a call left the server just before.


class Level:
    """A cap on calls in flight, found by refusals."""

    __slots__ = (
        "asked",
        "cap",
        "clean",
        "confirmed",
        "doubted",
        "gap",
        "passes",
        "questions_failed",
        "raised_from",
        "remembered",
        "rubber",
        "settled",
        "since",
        "step",
        "told",
        "trials_lost",
        "tried",
        "unasked",
        "yes",
    )

    def __init__(self, cap: int | None = None) -> None:
        self.cap = cap
        """Calls at once; None while no refusal spoke of concurrency."""
        self.confirmed = False
        self.asked = 0
        """Calls above the cap that may leave now, as a question."""
        self.step = 1
        self.gap = _GAP
        self.clean = 0
        """Answers at the cap since the last question or refusal."""
        self.unasked = 0
        """Refusals that no question explains, in this stretch of the level."""
        self.questions_failed = 0
        self.rubber = 0
        """How often it stretched to twice its size and snapped back, as no level does."""
        self.trials_lost = 0
        """How often a pace was tried in its place and was no better."""
        self.doubted = False
        """Whether a pace was tried in its place although nothing spoke against it."""
        self.tried = 0.0
        """Calls a second that passed in the best of those trials."""
        self.since = (0, 0)
        """Accepted and refused calls of the whole run when the level was found."""
        self.told = False
        """Whether the API's headers name it."""
        self.remembered = False
        """Whether an earlier run found it and this one has not met it."""
        self.settled = False
        """Whether this run has met what an earlier one had found."""
        self.yes = 0
        self.raised_from: int | None = None
        self.passes = 0
        """Questions in a row that were answered with yes."""

    def suspend(self) -> None:
        """A pace is tried in its place."""
        self.cap, self.confirmed, self.asked = None, False, 0

    def resume(self, cap: int) -> None:
        """The pace was no better; it is a level after all, and that is settled for long."""
        self.cap, self.confirmed = cap, True
        self.clean, self.asked, self.step, self.unasked, self.passes = 0, 0, 1, -4, 0
        self.questions_failed = -12
        self.trials_lost += 1
        self.gap = _GAP

    def go_on(self, cap: int) -> None:
        """Nothing spoke for a pace; as before."""
        self.cap, self.confirmed = cap, True
        self.clean, self.asked = 0, 0

    def confirm(self, cap: int) -> None:
        """It is a concurrency limit of ``cap``."""
        self.remembered = False
        self.cap, self.confirmed = cap, True
        self.clean, self.asked, self.step = 0, 0, 1
        self.gap = 10.0 + cap if cap <= 6 else 60.0 + 2 * cap  # noqa: PLR2004

    def remember(self, cap: int) -> None:
        """An earlier run found ``cap``."""
        self.confirm(cap)
        self.gap, self.remembered = cap / 2, True
        self.trials_lost = 1  # It was not found in a moment.

    def forget(self) -> None:
        """It was not concurrency."""
        self.cap, self.confirmed, self.asked, self.unasked, self.questions_failed = (
            None,
            False,
            0,
            0,
            0,
        )

    def answers(self, count: int) -> bool:
        """Count ``count`` answers at the cap; True if now is the time to ask for more."""
        self.clean += count
        if self.asked or self.clean < self.gap:
            return False
        self.asked, self.clean = self.step, 0
        return True

    def passed(self) -> None:
        """The question was answered with yes; twice, and the next one is larger and soon."""
        assert self.cap is not None
        self.yes += 1
        if self.yes < _YES:
            return
        self.yes = 0
        if self.passes == 0:
            self.raised_from = self.cap
        self.cap += self.step
        self.step = max(2 * self.step, self.cap // 8) if self.remembered else 2 * self.step
        self.passes += 1
        self.asked, self.clean = 0, 0
        self.gap = max(4.0, self.cap / 2)
        self.questions_failed = 0

    def has_grown(self, stretch: float) -> bool:
        """Whether an earlier run found it and so much more is let in that it was raised since.

        ``stretch`` times as many are in flight here as are inside there: some are on the way.
        """
        grown = max(1.0, stretch) * _GROWN
        return self.remembered and (self.cap or 0) >= grown * (self.raised_from or inf)

    def question_refused(self) -> None:
        """The question was answered with no."""
        self.asked, self.clean, self.step, self.yes = 0, 0, 1, 0
        # What two runs found is not doubted again soon.
        self.settled = self.settled or self.remembered
        calm = _CALM if self.settled else 1.0
        self.gap = min(calm * _LONGEST_GAP, max(calm * _GAP, self.gap * _SLOWER_ASKING))
        self.remembered = False
        self.questions_failed += 1
        self.passes = 0

    def lowered(self, level: int) -> None:
        """A refusal that was no question: at most ``level`` fit."""
        assert self.cap is not None
        if self.raised_from is not None and self.clean < max(_SOON, 3 * self.cap):
            # It only seemed to fit.
            stretched = self.cap >= 2 * self.raised_from
            self.rubber += stretched
            self.cap, self.raised_from = self.raised_from, None
            self.question_refused()
            if stretched:
                # No level does that: look again soon, or one at a time may go on for minutes.
                self.gap = min(self.gap, self.cap + 10.0 * 4**self.trials_lost)
            return
        self.settled = (self.settled or self.remembered) and level >= _NEAR * self.cap
        self.raised_from, self.remembered = None, False
        cap = min(level, self.cap)
        if self.clean < max(_SOON, 3 * self.cap) and self.unasked and cap > 4:  # noqa: PLR2004
            # The network makes the limit a band rather than a number: move away from its edge.
            cap = min(cap, int(0.96 * self.cap))
        self.cap = max(1, cap)
        # Only refusals in quick succession speak against the level.
        self.unasked = (
            self.unasked + 1 if self.clean < max(_SOON, 3 * self.cap) else min(self.unasked, 1)
        )
        self.asked, self.step, self.clean = 0, 1, 0
        self.passes = 0
