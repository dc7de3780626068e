"""The door: when nothing is accepted any more, one call at a time asks whether it is open again.

What opens and shuts regularly is a window of ``calls`` per ``period``. Its period is known only
between two bounds (the last call that was refused, the first that passed), which every window
narrows by asking once, half-way.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from fetchcast.extract.pace.learnt import Learnt

_FIRST_WAIT_S: Final = 0.02
_LATER: Final = 0.25  # An opening is found at most a quarter too late ...
_LATER_AT_FIRST: Final = 0.4  # ... unless it comes within two seconds,
_OF_PERIOD: Final = 0.02
_AT_FIRST_S: Final = 2.0
_OF_CYCLE: Final = 0.1  # and a look is not worth less than a tenth of what was open before.
_LONGEST_WAIT_S: Final = 30.0
_STRETCH: Final = 1.6  # How far a question may be moved to meet a round moment.
_ASK_EVERY: Final = 4
_DOUBTS: Final = (0.02, 0.1, 0.35)
_TAKEN_BACK: Final = 6
_ALIKE: Final = 1.05
_KNOCKS: Final = 1  # Calls a window that look for the moment of its opening.
_EXACT: Final = 0.03  # An opening known within this share of the period is known.
_ROUND_S: Final = (
    3600.0,
    1800.0,
    900.0,
    600.0,
    300.0,
    120.0,
    60.0,
    30.0,
    20.0,
    15.0,
    10.0,
    5.0,
    2.0,
    1.0,
)
_MOST_SENDS: Final = 10_000
_MARGIN_S: Final = 0.05  # Clocks and networks differ by about this much.
SHORTEST_S: Final = 3.0  # Shorter windows are better paced than spent.


@dataclass(slots=True)
class Door:
    """Whether calls pass at all, and the window of calls that is behind it."""

    closed_at: float = 0.0
    due: float = 0.0
    """When the next single call may ask."""
    probe: int | None = None
    """The call that asks now."""
    probed_at: float = 0.0
    refused_at: float = 0.0
    """When the last refused call was sent."""
    opened_at: float = 0.0
    """When the first call of this opening was sent."""
    _before: tuple[float, float, int, int] = (0.0, 0.0, 0, 0)
    early_opening: bool = False
    """Whether the door opened before the window was expected to."""
    expected: int | None = None
    """So many calls passed in the last opening; perhaps it is a window of so many."""
    doubt_s: float = 0.0
    """The door may have been open for so long before."""
    opened_serial: int = 0
    refused_since: int = 0
    calls: int | None = None
    """Calls that pass in one window; None while no window is known."""
    period_low: float = 0.0
    period_high: float = 0.0
    on_probation: bool = False
    overrun: int = 0
    """Refused calls of this window that did not ask at a shut door."""
    counted: bool = False
    passed_before: int = 0
    """Calls that passed in the opening before the window was found."""
    left: int = 0
    asked: int = 0
    """Calls of this window that ask whether it grew."""
    step: int = 1
    short: int = 0
    contradicted: int = 0
    doubts: tuple[float, ...] = ()
    """Shares of the time shut after which one call asks whether it is a window at all."""
    slides: bool = False
    """Whether it opens bit by bit, as a sliding log does."""
    clocked: bool = False
    """Whether windows begin on the clock rather than with their first call."""
    sharp: bool = True
    """Whether to look for the exact moment of opening."""
    told: bool = False
    """Whether a refusal says when it opens: nobody need look for that."""
    remembered: bool = False
    """Whether an earlier run found it and this one has not met its end."""
    windows: int = 0
    """Windows seen since their size was found."""
    taken_back: int = 0
    """Openings in a row that were none."""
    early: int = 0
    spent_s: float = 0.0
    """How long the calls of the last window took to leave."""
    sends: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_SENDS))
    """When the last calls left, oldest first, while there is a window."""
    slack_s: float = 0.0
    """By how much calls arrive earlier or later than others."""

    @property
    def period_s(self) -> float:
        """The best guess of the window's length."""
        return self.period_high

    def close(self, now: float, round_trip_s: float) -> None:
        """Nothing passes any more; ask soon."""
        self.spent_s = now - self.opened_at
        self.closed_at = self.refused_at = now
        self.probe = None
        self.early = 0
        self.due = now + self._first_wait(round_trip_s)

    def _first_wait(self, round_trip_s: float) -> float:
        return max(round_trip_s, _FIRST_WAIT_S, min(1.0, _OF_CYCLE * self.spent_s))

    def close_until_opening(self, now: float, clock_offset: float) -> None:
        """The window's calls are spent; ask when it opens again."""
        self.closed_at = now
        self.probe = None
        self.early = 0
        self._aim(now, clock_offset)

    def _aim(self, now: float, clock_offset: float) -> None:
        """Ask at the end of the interval in which it must open, or half-way if that is long."""
        self.on_probation = False
        low = max(self.opened_at + self.period_low - self.doubt_s, self.refused_at)
        high = self.opened_at + self.period_high
        due = high + max(_MARGIN_S * 0.2, self.slack_s)
        between = high - low
        if between > max(_EXACT * self.period_high, 0.1) and self.sharp and self.early < _KNOCKS:
            # Whole seconds since the window began, or by the clock, are more likely than others.
            likely = clock_offset if self.clocked else -self.opened_at
            moment = _roundest(low + 0.1 * between, low + 0.7 * between, likely)
            due = (low + high) / 2 if moment is None else moment
        if self.doubts and due > now:
            share, *rest = self.doubts
            self.doubts, self.on_probation = tuple(rest), True
            due = self.closed_at + share * (due - self.closed_at)
        self.due = max(due, now)

    def refused(self, sent_at: float, now: float, round_trip_s: float, clock_offset: float) -> None:
        """The call that asked was turned away."""
        self.probe = None
        self.refused_at = max(self.refused_at, sent_at)
        if self.calls is not None and sent_at < self.opened_at + self.period_high:
            self.early += not self.on_probation
            self._aim(now, clock_offset)
            if self.due > now:
                return
        since = self.closed_at
        if self.calls is not None:
            # The window is longer than was thought, or it is none: ask from its expected end.
            since = max(since, self.opened_at + 0.8 * self.period_high)
        shut = now - since
        later = _LATER if shut > _AT_FIRST_S else _LATER_AT_FIRST
        wait = min(_LONGEST_WAIT_S, max(self._first_wait(round_trip_s), later * shut))
        wait = max(wait, self._least_wait())
        self.due = now + wait
        if wait > 0.5:  # noqa: PLR2004  half a second hits round moments anyway
            self.due = self._round_moment(now + wait, now + _STRETCH * wait, clock_offset)

    def _round_moment(self, low: float, high: float, clock_offset: float) -> float:
        """When windows are likely to open: a round time after the last, or on the clock."""
        for period in _ROUND_S:
            moment = self.opened_at + period + _MARGIN_S
            if low <= moment <= high:
                return moment
        clocked = _roundest(low, high, clock_offset)
        return low if clocked is None else clocked

    def open(self, sent_at: float, serial: int) -> float:
        """A call passed that was sent at ``sent_at``; returns how long the door had been shut."""
        shut = sent_at - self.closed_at
        self._count(serial)
        previous, doubt = self.opened_at, self.doubt_s
        self.early_opening = self.calls is not None and sent_at < previous + self.period_high
        self._before = (previous, doubt, self.opened_serial, self.refused_since)
        late = max(0.0, sent_at - max(self.refused_at, self.closed_at))
        self.doubt_s = late if self.clocked else 0.0
        self._narrow(sent_at - late - previous, sent_at - previous + doubt)
        self.opened_at, self.opened_serial, self.refused_since = sent_at, serial, 0
        self.probe = None
        return shut

    def take_back(self, now: float, clock_offset: float) -> None:
        """It was no opening, only a few calls that the last window had left."""
        refused = self.refused_since
        self.opened_at, self.doubt_s, self.opened_serial, self.refused_since = self._before
        self.refused_since += refused
        self.probe = None
        self.slides = self.slides or not self.sharp
        self.sharp = False
        self.taken_back += 1
        if self.taken_back > _TAKEN_BACK:
            # It never was as long open as it should be: something else shuts it.
            self.forget()
            self.due = max(now, self.due) + self._first_wait(0.0)
            return
        self._aim(now, clock_offset)
        self.due = max(self.due, now + self._least_wait())

    def _least_wait(self) -> float:
        """Knocking more often than this finds nothing that is worth it, and may keep it shut."""
        if self.calls is None:
            return 0.0
        return (_OF_CYCLE if self.slides else _OF_PERIOD) * self.period_high

    @property
    def last_opened_at(self) -> float:
        """When the opening before this one began."""
        return self._before[0]

    def passed(self, serial: int) -> int:
        """Calls before the one numbered ``serial`` that passed, since the opening."""
        return serial - self.opened_serial - self.refused_since

    def _narrow(self, low: float, high: float) -> None:
        slack = max(_MARGIN_S, self.slack_s)
        if (
            self.calls is not None
            and low < self.period_high + slack
            and high > self.period_low - slack
        ):
            low, high = max(low, self.period_low), max(low, min(high, self.period_high))
        elif self.calls is not None and not self.clocked:
            # It did not begin when the first call passed: the clock says when.
            self.clocked, self.doubt_s = True, max(0.0, high - low)
            low, high = min(low, self.period_low), max(high, self.period_high)
        elif self.calls is not None and self.contradicted == 0:
            # One odd opening shifts the phase, two change the period.
            self.contradicted = 1
            return
        self.contradicted = 0
        for period in _ROUND_S:
            if low > 0.9 * high and low - _MARGIN_S <= period <= high + _MARGIN_S:
                low = high = period
                break
        self.period_low, self.period_high = low, high

    def found(self, about: int) -> None:
        """A window of ``about`` calls is used up; `open` will know the exact number."""
        if self.calls is None:
            self.calls, self.short, self.doubts = about, 0, _DOUBTS
            self.windows, self.step, self.counted = 0, 1, False

    def _count(self, serial: int) -> None:
        """All verdicts on the last window are in: how many calls did it take?"""
        if self.calls is None:
            return
        passed = max(1, self.passed(serial))
        if not self.counted:
            # Where refused calls count too, those of the search for the opening took their part.
            before = self.passed_before if self.passed_before <= _ALIKE * passed else 0
            self.calls, self.counted = max(passed, before), True
        elif not self.overrun:
            if self.asked:
                self.calls = max(self.calls, passed)
                self.step *= 2
                self.windows = _ASK_EVERY - 1
        elif passed < self.calls:
            # Once may be chance, or calls of others; twice is a smaller window.
            self.short += 1
            if self.short > 1:
                self.calls, self.short = passed, 0
        else:
            self.calls, self.step = max(self.calls, passed), 1

    def remember(self, memory: Learnt) -> None:
        """An earlier run found a window; when the present one began is not known."""
        assert memory.window_calls is not None
        assert memory.window_s is not None
        self.calls = self.expected = memory.window_calls
        self.remembered = True
        self.left, self.counted, self.short = self.calls + 1, True, 1
        self.period_high = memory.window_s
        self.period_low = min(memory.window_low_s or memory.window_s, memory.window_s)
        self.clocked, self.slides = memory.window_clocked, memory.window_slides
        self.told = memory.window_told
        self.sharp = not (self.slides or self.told)
        self.windows = 1
        if self.clocked:
            # It may have begun at any time before the first call.
            self.doubt_s = self.period_high

    def spend(self, now: float) -> None:
        """A call of the window left."""
        self.left -= 1
        self.sends.append(now)

    def slid(self) -> float:
        """When the next call may leave of a log that slides: never too many in one period.

        Refused calls are in it too. Spent faster than the last time, it would be spent too early.
        """
        assert self.calls is not None
        if not self.slides or not 0 < self.calls <= len(self.sends):
            return 0.0
        return self.sends[-self.calls] + self.period_high + self.slack_s

    def refill(self) -> None:
        """A new window begins; now and then a few calls more ask whether it grew."""
        assert self.calls is not None
        self.windows += 1
        if self.windows % _ASK_EVERY == _ASK_EVERY // 2:
            self.sharp = not (self.slides or self.told)
        self.asked = self.step if self.windows % _ASK_EVERY == 0 else 0
        self.left = self.calls + self.asked
        self.overrun = 0

    def forget(self) -> None:
        """There is no window."""
        self.on_probation, self.doubts, self.sharp = False, (), True
        self.calls, self.expected = None, None
        self.windows, self.remembered, self.told = 0, False, False
        self.clocked, self.doubt_s = False, 0.0


def _roundest(low: float, high: float, clock_offset: float) -> float | None:
    """The moment between both at which a clock on the wall shows the roundest time."""
    for period in _ROUND_S:
        moment = -(-(low + clock_offset - _MARGIN_S) // period) * period - clock_offset + _MARGIN_S
        if moment <= high:
            return moment
    return None
