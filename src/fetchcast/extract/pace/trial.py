"""A trial: what looks like a limit on calls at once may be one on calls a second; try, compare.

A bucket of few tokens refuses a burst exactly as a concurrency limit does. So, when the level
behaves oddly, the level is lifted for a while and a pace takes over; whichever lets more calls
pass is kept.
"""

from __future__ import annotations

from typing import Final

_GAIN: Final = 1.15  # More than the noise of the calls it is judged on.
_EVEN: Final = 1.03


class Trial:
    """The pace is tried in place of the level ``cap`` that let ``goodput`` calls a second pass."""

    __slots__ = (
        "_accepted_from",
        "_began_at",
        "_gain",
        "_goodput",
        "_refused_from",
        "_target",
        "cap",
    )

    def __init__(
        self,
        cap: int,
        goodput: float,
        accepted: int,
        refused: int,
        now: float,
        *,
        unasked: bool,
    ) -> None:
        self.cap = cap
        self._goodput = goodput
        self._refused_from = refused
        self._began_at, self._accepted_from = now, accepted
        self._target = 40 + 4 * cap
        # Refusals that nobody asked for make the level the worse explanation.
        self._gain = _EVEN if unasked else _GAIN

    def over(self, accepted: int) -> bool:
        """Whether enough calls passed for a verdict."""
        return accepted - self._accepted_from >= self._target

    def won(self, accepted: int, refused: int, now: float) -> bool:
        """Whether the pace lets more pass than the level did; a refused call costs it two."""
        passed = accepted - self._accepted_from - 2 * (refused - self._refused_from)
        return passed > self._gain * self._goodput * (now - self._began_at)
