"""The level: how many calls at once a concurrency limit lets in.

A refusal with ``l`` other calls in flight proves that no more than ``l`` fit, so the level walks
down to the limit exactly and then wastes nothing. From time to time it asks for more, one
call above the level, because a limit that was raised shows only to those who ask.
"""

from __future__ import annotations

from typing import Final

_LONGEST_GAP: Final = 1000.0
_GAP: Final = 250.0
_SLOWER_ASKING: Final = 1.6


class Level:
    """A cap on calls in flight, found by refusals."""

    __slots__ = ("asked", "cap", "clean", "confirmed", "gap", "questions_failed", "step", "unasked")

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

    def confirm(self, cap: int) -> None:
        """It is a concurrency limit of ``cap``."""
        self.cap, self.confirmed = cap, True
        self.clean, self.asked, self.step = 0, 0, 1
        self.gap = 10.0 + cap if cap <= 6 else 60.0 + 2 * cap  # noqa: PLR2004

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
        """The question was answered with yes: the next one is larger and soon."""
        assert self.cap is not None
        self.cap += self.step
        self.step *= 2
        self.asked, self.clean = 0, 0
        self.gap = max(4.0, self.cap / 2)
        self.questions_failed = 0

    def question_refused(self) -> None:
        """The question was answered with no."""
        self.asked, self.clean, self.step = 0, 0, 1
        self.gap = min(_LONGEST_GAP, max(_GAP, self.gap * _SLOWER_ASKING))
        self.questions_failed += 1

    def lowered(self, level: int) -> None:
        """A refusal that was no question: at most ``level`` fit."""
        assert self.cap is not None
        cap = min(level, self.cap)
        if self.clean < 100 and self.unasked and cap > 4:  # noqa: PLR2004
            # The network makes the limit a band rather than a number: move away from its edge.
            cap = min(cap, int(0.96 * self.cap))
        self.cap = max(1, cap)
        self.asked, self.step, self.clean = 0, 1, 0
        self.unasked += 1
