"""The pace of one machine, with what lending it out needs beside."""

from __future__ import annotations

from math import inf

from fetchcast.extract.pace import Pace
from fetchcast.extract.pace.state import OPEN


class SharedPace(Pace):
    """A `Pace` whose calls leave elsewhere: some time after they were allowed to."""

    __slots__ = ()

    def lent_for(self, slice_s: float) -> None:
        """Permits are lent up to ``slice_s`` ahead: so late is what is learnt from them."""
        self._rate.lag_s = slice_s
        self._caps.late_s = 0.0  # A permit says when it may be used, however late it is asked for.

    def _settle(self) -> None:
        """Also count what is lent ahead: it takes room here before it takes any at the API."""
        super()._settle()
        pace = self.per_second
        if pace is not None and self._phase == OPEN and self._level.cap is None:
            self._room = min(self._max, self._room + int(pace * self._rate.lag_s))

    def slot(self, now: float, horizon_s: float) -> float | None:
        """When a call may leave that is allowed now; None if none may be allowed yet.

        At most ``horizon_s`` ahead, and only where nothing but an even pace holds calls back:
        whatever else does will be known better by then.
        """
        due = self.next(now)
        if due is None or due <= now:
            return due
        return due if due <= now + horizon_s and self._only_paced() else None

    @property
    def may_reuse(self) -> bool:
        """Whether a call may follow each that is accepted, without asking.

        Where nothing is felt but your own cap on calls at once. What is still to be found shows
        better where each call is asked for: a level that is found exactly hides a pace above it.
        """
        capped, level = self._caps.max_concurrency, self._level.cap
        if capped is None or self.per_second is not None or self._caps.any:
            return False
        return (level is None or level >= capped) and self._only_paced()

    def _only_paced(self) -> bool:
        return (
            self._phase == OPEN
            and self._hold == -inf
            and self._door.calls is None
            and not self._is_asking()
            and all(allowance.left > 0 for allowance in self._allowances.values())
        )

    def _is_asking(self) -> bool:
        """Whether the next call is a question about the level, which leaves alone."""
        level = self._level
        return bool(level.asked and level.cap is not None and self._in_flight >= level.cap)

    def left(self, call: int, at: float) -> None:
        """The call that was allowed earlier left at ``at``: its latency counts from there."""
        group, _, serial = self._flying[call]
        self._flying[call] = group, at, serial

    def unspent(self, call: int, now: float) -> None:
        """The call never left, and surely never will: its share of a quota is given back."""
        self.cancelled(call, now)
        self._caps.used = max(0, self._caps.used - 1)

    @property
    def per_second(self) -> float | None:
        """The pace at which calls leave, if one is known."""
        rates = [r for r in (self._rate.limit, self._caps.max_rate) if r is not None]
        return min(rates) if rates else None

    @property
    def room(self) -> int:
        """Calls that may be in flight at once."""
        return self._room

    @property
    def in_flight(self) -> int:
        """Calls that are allowed and have not been heard of again."""
        return self._in_flight

    @property
    def latency_s(self) -> float:
        """Of an answer when the API is not pressed; a guess before the first."""
        return self._window.base or 0.05
