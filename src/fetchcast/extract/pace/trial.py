"""A trial: what looks like a limit on calls at once may be one on calls a second; try, compare.

A bucket of few tokens refuses a burst exactly as a concurrency limit does. So, when the level
behaves oddly, the level is lifted for a while and a pace takes over; whichever lets more calls
pass is kept.
"""

from __future__ import annotations

from typing import Final

_GAIN: Final = 1.15  # More than the noise of the calls it is judged on.
_EVEN: Final = 1.03
MORE: Final = 1.2  # Times what the level lets pass is a little more.
_FEW_REFUSED: Final = 2
_ENOUGH: Final = 12


class Trial:
    """The pace is tried in place of the level ``cap`` that let ``goodput`` calls a second pass."""

    __slots__ = (
        "_accepted_from",
        "_began_at",
        "_climbing",
        "_gain",
        "_goodput",
        "_refused_from",
        "_target",
        "cap",
        "gentle",
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
        gentle: bool = False,
    ) -> None:
        self.cap = cap
        self.gentle = gentle
        """Only a little more is asked for, to see whether anything is refused then."""
        self._goodput = goodput
        self._climbing = True
        self._refused_from = refused
        self._began_at, self._accepted_from = now, accepted
        self._target = 40 + 4 * cap
        # Refusals that nobody asked for make the level the worse explanation.
        self._gain = _EVEN if unasked else _GAIN

    def has_failed(self, refused: int) -> bool:
        """Whether a little more was refused at once, as a level does."""
        return self.gentle and refused - self._refused_from >= _FEW_REFUSED

    def has_passed(self, accepted: int) -> bool:
        """Whether a little more passed, as it does not through a level; now for much more."""
        if not self.gentle or accepted - self._accepted_from < _ENOUGH + 2 * self.cap:
            return False
        self.gentle = False
        return True

    def settle(self, accepted: int, refused: int, now: float, *, climbing: bool) -> None:
        """Count from the end of the climb: what it cost to find the pace is no part of the pace."""
        if self._climbing and not climbing and not self.gentle:
            self._climbing = False
            self._began_at, self._accepted_from, self._refused_from = now, accepted, refused

    def over(self, accepted: int) -> bool:
        """Whether enough calls passed for a verdict."""
        return accepted - self._accepted_from >= self._target

    def rate(self, accepted: int, now: float) -> float:
        """Calls a second that passed."""
        return (accepted - self._accepted_from) / max(1e-3, now - self._began_at)

    def won(self, accepted: int, refused: int, now: float) -> bool:
        """Whether the pace lets more pass than the level did; a refused call costs it two."""
        passed = accepted - self._accepted_from - 2 * (refused - self._refused_from)
        return passed > self._gain * self._goodput * (now - self._began_at)
