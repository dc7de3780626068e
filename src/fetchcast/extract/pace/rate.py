"""The pace: how many calls a second a token bucket lets in.

Tokens are conserved: between two refusals the bucket went from empty to empty, so what was
accepted in between is what flowed in. That measures the rate; small steps upwards keep finding
out whether it is still so.
"""

from __future__ import annotations

from math import log
from typing import Final

from fetchcast.extract.pace.recalled import Recalled

_DEPTH_S: Final = 0.002
_CLOSE: Final = 0.8  # Of the gap between two calls; closer, the second made up for a late one.
_BUSY: Final = 0.6
_TARGET: Final = 0.01  # The share of refused calls at which growth and cuts balance.
_CUT: Final = 0.97
_ENOUGH: Final = 5  # Accepted calls between two refusals that make a measurement.
_ROUGH: Final = 0.92  # The first measurement after a wait.
_ROUGH_CALLS: Final = 40.0
_ROUGHLY: Final = 1.3
_MANY: Final = 30
_ROW: Final = 3  # So many refusals in a row, with nothing measured, and it is far too fast.
_SLOWEST: Final = 1 / 30
_SHRUNK: Final = 0.75
_CALM: Final = 4.0  # So much more rarely is doubted what two runs found.


class Rate:
    """Calls per second, learnt; spaced evenly when they leave."""

    __slots__ = (
        "_anchor_at",
        "_anchor_refused",
        "_anchor_serial",
        "_depth_s",
        "_last_at",
        "_last_serial",
        "_left_at",
        "_met",
        "_recalled",
        "calls",
        "calm",
        "clean",
        "climbing",
        "hint_s",
        "is_close",
        "lag_s",
        "limit",
        "ready_at",
        "remembered",
        "row",
        "since",
        "top",
        "waited",
    )

    def __init__(self) -> None:
        self.limit: float | None = None
        self.top = 0.0
        """The pace that was refused last."""
        self.climbing = False
        """Nothing was refused yet since the pace began."""
        self.hint_s = 0.0
        """How long a refusal costs: what Retry-After said last."""
        self.lag_s = 0.0
        """How long before it leaves a call is settled on, where a pace is lent to others."""
        self.clean = 0
        self.row = 0
        self.calls = 0
        """Accepted under this pace."""
        self.since = 0.0
        self.remembered = False
        """Whether an earlier run found it and this one was not refused yet."""
        self.waited = False
        """Whether the pace is what holds calls back."""
        self.ready_at = 0.0
        self.calm = 1.0
        """How many times more rarely the rate is doubted."""
        self._recalled: Recalled | None = None
        """What an earlier run met, until this one has met it too, or another."""
        self._left_at = 0.0
        self.is_close = False
        """Whether the last call left sooner after the one before than the pace says."""
        self._depth_s = _DEPTH_S
        self._met = 0.0
        """What was remembered and is so still."""
        self._anchor_at: float | None = None
        self._anchor_serial = 0
        self._anchor_refused = 0
        self._last_serial = 0
        self._last_at = 0.0

    def begin(self, limit: float, now: float, *, climbing: bool) -> None:
        """Pace at ``limit`` from now on."""
        self.limit, self.climbing, self.remembered = max(_SLOWEST, limit), climbing, False
        self.since, self.calls, self.clean, self.row = now, 0, 0, 0
        self.top = max(self.top, self.limit)
        self.ready_at = now

    def remember(self, limit: float, burst: float, wait_s: float) -> None:
        """An earlier run got ``limit`` a second, ``burst`` calls at once, waits of ``wait_s``."""
        self.begin(limit, 0.0, climbing=True)
        self.remembered, self.hint_s = True, wait_s
        self._recalled = Recalled(limit, burst)

    def forget(self) -> None:
        """There is no rate limit."""
        self.limit, self.top, self.climbing = None, 0.0, False
        self._recalled, self.calm = None, 1.0

    def next(self, now: float) -> float:
        """When the next call is due; no later than ``now`` if it may leave."""
        if self._recalled is not None and self._recalled.has_saved:
            return now
        return max(now, self.ready_at)

    def spend(self, now: float) -> None:
        """A call left."""
        assert self.limit is not None
        gap = 1.0 / self.limit
        if self._recalled is not None:
            self._recalled.spend(now)
            if self._recalled.has_saved:
                self.ready_at = self._left_at = now
                return
        # A timer that comes late may be made up for, but only for two milliseconds.
        self.is_close = now - self._left_at < _CLOSE * gap
        self._left_at = now
        self.ready_at = max(self.ready_at, now - self._depth_s) + gap

    def accepted(self, latency: float) -> None:
        """A call passed: go a little faster, if the pace is what holds calls back."""
        assert self.limit is not None
        self.calls += 1
        self.clean += 1
        self.row = 0
        if not self.waited:
            return
        in_transit = self.limit * (latency + self.lag_s)
        if self._recalled is not None and self._recalled.is_outgrown(in_transit):
            self._recalled, self.remembered = None, False
        climb = min(0.2, 0.4 / max(1.0, in_transit))
        if self.hint_s > 0:
            # Twice as fast within the time that a refusal costs.
            climb = min(climb, 0.7 / (self.hint_s * self.limit))
        growth = climb if self.climbing else self._creep(in_transit)
        self.limit *= 1 + growth

    def _creep(self, in_transit: float) -> float:
        assert self.limit is not None
        # A slow pace is doubted after seconds, not after a hundred calls.
        target, patience = _TARGET, min(120.0, max(8.0, 5 * self.limit))
        if self.hint_s > 0:
            # Each refusal costs this long: ask accordingly rarely.
            cost = self.hint_s * self.limit
            target, patience = min(_TARGET, 1 / (20 * cost)), max(patience, 40 * cost)
        # What is settled on already says nothing about the present pace.
        blind = self.limit * self.lag_s
        patience += 4 * blind
        patience *= self.calm
        growth = 0.03 * target / self.calm
        if self.hint_s > 0 and self.top > 1.05 * self.limit and self.calm == 1:
            # Half-way to what was refused in three times what a refusal costs.
            return min(0.02, log(self.top / self.limit) / (6 * self.hint_s * self.limit))
        if self.top > self.limit and self.hint_s == 0:
            growth += 0.005 * (self.top - self.limit) / self.limit / self.calm
        if self.clean > patience:
            growth *= 2.0 ** min(
                20.0, (self.clean - patience) / (min(30.0, max(4.0, 2 * self.limit)) + 2 * blind)
            )
        # Blind for so many calls, one reaction answers many refusals: as many must pass for it.
        growth /= 1 + blind / 60
        return min(growth, 0.2, 0.3 / max(in_transit, 1e-9))

    def measure(self, sent_at: float, serial: int) -> float | None:
        """The rate between this refusal and the one that the last measurement began with."""
        if self._anchor_at is None or serial <= self._anchor_serial:
            self._anchor(sent_at, serial)
            return None
        sent = serial - self._anchor_serial
        passed = sent - 1 - self._anchor_refused
        lasted = sent_at - self._anchor_at
        if self.limit is not None and sent < _BUSY * self.limit * lasted:
            # So much less was asked for than may be that the bucket has filled up meanwhile.
            self._anchor(sent_at, serial)
            return None
        if lasted <= 0 or passed < _ENOUGH:
            self._anchor_refused += 1
            return None
        self._anchor(sent_at, serial)
        return passed / lasted

    def uncounted(self, sent_at: float, serial: int) -> None:
        """A refused call that measures nothing; it took no token either."""
        if self._anchor_at is not None and serial > self._anchor_serial:
            self._anchor_refused += 1
            if serial > self._last_serial:
                self._last_serial, self._last_at = serial, sent_at

    def spread(self) -> float | None:
        """The rate at which calls passed among refused ones, all of which left before a wait."""
        if self._anchor_at is None:
            return None
        sent = self._last_serial - self._anchor_serial
        passed, lasted = sent - self._anchor_refused, self._last_at - self._anchor_at
        return passed / lasted if passed >= _ENOUGH and lasted > 0 else None

    def after_wait(
        self, passed: int, lasted: float, waited: float, measured: float | None, least: float
    ) -> None:
        """Refused again ``lasted`` after a wait: what was saved meanwhile passed too.

        Over some part of that time at least ``least`` a second flowed in.
        """
        assert self.limit is not None
        if self._is_met():
            return
        if self.clean < max(_MANY, self.limit):
            self.calm = 1.0  # Refused again at once: it is not so any more.
        if measured is None or passed < _MANY or measured > _CUT * self.limit:
            # Of so few calls jitter alone may have had one refused; or nothing was measured.
            low, high = passed / (lasted + waited), passed / lasted
            # Over all of that time it was climbing, or this machine stood still in it.
            self.top = min(self.limit, max(high, _ROUGHLY * least))
            slower = max((low * high) ** 0.5, _ROUGH * least)
        else:
            # Of few calls it is known roughly: it may well be more, and that is worth a question.
            self.top = min(self.limit, measured * (1 + _ROUGH_CALLS / passed))
            slower = (_ROUGH if self.climbing else _CUT) * measured
        self.limit = max(_SLOWEST, min(_CUT * self.limit, slower))
        self.climbing = False
        self.clean = 0

    def _is_met(self) -> bool:
        """Whether this refusal only says that what was remembered is so still."""
        recalled, self._recalled, self.remembered = self._recalled, None, False
        if recalled is None or self.limit is None or not recalled.explains():
            return False
        self.top, self.limit, self.calm = max(self.limit, recalled.rate), recalled.rate, _CALM
        self.climbing, self.clean, self._met = False, 0, recalled.rate
        return True

    def distrust(self) -> None:
        """Nothing passes any more: whatever was remembered is no help."""
        self._recalled, self.remembered = None, False

    def too_close(self) -> bool:
        """A call that made up for a late one was refused; whether that was to blame.

        A bucket that saves nothing refuses the second of two such calls, at any pace.
        """
        to_blame, self._depth_s = self._depth_s > 0, 0.0
        return to_blame

    def unanchor(self) -> None:
        """What was measured from is too long ago, or the bucket filled up since."""
        self._anchor_at = None

    def _anchor(self, sent_at: float, serial: int) -> None:
        self._anchor_at, self._anchor_serial, self._anchor_refused = sent_at, serial, 0
        self._last_serial, self._last_at = serial, sent_at

    def refused(self, measured: float | None) -> None:
        """Too fast: go by what was measured, or a little slower."""
        assert self.limit is not None
        self.row += 1
        if self._is_met():
            return
        if self.limit < _SHRUNK * self._met:
            self.calm = 1.0
        self.top = self.limit
        cut = 0.85 if (self.climbing or self.row >= _ROW) and measured is None else _CUT
        slower = self.limit * cut
        if measured is not None:
            if self.clean > 50 and measured < 0.8 * self.limit:  # noqa: PLR2004
                # The bucket may have been full in between: the truth lies between the two.
                measured = (measured * self.limit) ** 0.5
            slower = min(slower, max(measured, 0.3 * self.limit))
        self.limit = max(_SLOWEST, slower)
        self.climbing = False
        self.clean = 0
