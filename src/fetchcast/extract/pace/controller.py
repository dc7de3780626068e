"""The pace of one scope: how many calls an API takes that told nobody its limits.

Events go in, one question comes out: may a call leave now? Four bounds hold calls back, each
lowered only by evidence against it: the window (latency), the level (concurrency), the rate, and
what is left (headers, windows, your own quota). When nothing is accepted any more, a door is
shut at which one call at a time asks.

Everything is pure: time is an argument, in seconds of any clock that only grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Final

from fetchcast.extract.pace.budget import Allowance
from fetchcast.extract.pace.caps import Caps
from fetchcast.extract.pace.door import SHORTEST_S, Door
from fetchcast.extract.pace.explain import Known, explain
from fetchcast.extract.pace.explanation import Explanation
from fetchcast.extract.pace.headers import KNOWN, Hints, read_hints
from fetchcast.extract.pace.learnt import Learnt
from fetchcast.extract.pace.level import Level
from fetchcast.extract.pace.options import PaceOptions
from fetchcast.extract.pace.rate import Rate
from fetchcast.extract.pace.trial import Trial
from fetchcast.extract.pace.window import FIRST, Window

OPEN: Final = 0
DRAIN: Final = 1
VERIFY: Final = 2
CLOSED: Final = 3
BURST: Final = 4

_SAME_MOMENT_S: Final = 0.005
_CONSENT_TRIPS: Final = 3.0
_CONSENT_S: Final = 0.02
_LOT_TRIPS: Final = 1.3
_DRAIN_TO: Final = 0.7
_SMALL: Final = 6  # So few at once are easily a bucket's few tokens.
_STAGGER: Final = 0.3
_LEFTOVER: Final = 0.3  # Less of a window than this was left of the one before.
_FEW: Final = 4  # Fewer calls than this are no window.


class Group:
    """Calls that left at one moment, with no event between them."""

    __slots__ = ("asked", "before", "latest", "refused", "sent", "sent_at", "serial")

    def __init__(self, before: int, sent_at: float, serial: int) -> None:
        self.before, self.sent_at, self.serial = before, sent_at, serial
        self.sent = self.refused = 0
        self.latest = serial
        self.asked = False

    @property
    def level(self) -> int:
        """At most so many calls fit at once, if one of this group did not."""
        return max(1, self.before + self.sent - self.refused)


class Pace:
    """Decides when calls leave; see `next` for the one question and the rest for the events.

    Args:
        options: Caps from the pipeline file.
        memory: What an earlier run learnt.
        max_connections: Calls in flight that the transport allows.
        wall: The time of day now (seconds since 1970, UTC); ages the memory and places the
            quota's period. Needed if there is a quota.
    """

    __slots__ = (
        "_accepted",
        "_accepted_at",
        "_allowances",
        "_began_at",
        "_cap_before",
        "_caps",
        "_door",
        "_failed_row",
        "_group",
        "_groups",
        "_hold",
        "_in_flight",
        "_level",
        "_lot",
        "_lot_at",
        "_lot_left",
        "_max",
        "_offset",
        "_phase",
        "_plain",
        "_rate",
        "_reacted",
        "_refused_total",
        "_room",
        "_row",
        "_sent_at",
        "_serial",
        "_serials",
        "_steady",
        "_test_at",
        "_trial",
        "_last_sent_at",
        "_trip",
        "_trip_mean",
        "_verified",
        "_verify_cap",
        "_verify_tries",
        "_waited_refused",
        "_waited_serial",
        "_waited_until",
        "_window",
        "_window_told",
    )

    def __init__(
        self,
        options: PaceOptions,
        *,
        memory: Learnt | None = None,
        max_connections: int = 256,
        wall: float | None = None,
    ) -> None:
        self._caps = Caps(options, memory, wall)
        self._max = min(max_connections, options.max_concurrency or max_connections)
        self._window, self._level, self._rate, self._door = Window(), Level(), Rate(), Door()
        self._allowances: dict[str, Allowance] = {}
        self._phase = OPEN
        self._hold = -inf
        self._in_flight = 0
        self._serial = 0
        self._reacted = 0
        self._group: Group | None = None
        self._groups: list[Group | None] = [None] * 64
        self._sent_at: list[float] = [0.0] * 64
        self._serials: list[int] = [0] * 64
        self._trip = inf
        self._trip_mean = 0.0
        self._row = 0
        self._failed_row = 0
        self._accepted = 0
        self._accepted_at: float | None = None
        self._began_at: float | None = None
        self._refused_total = 0
        self._offset: float | None = None
        self._lot = self._lot_left = 0
        self._lot_at = 0.0
        self._test_at: float | None = None
        self._trial: Trial | None = None
        self._cap_before: int | None = None
        self._waited_serial = self._waited_refused = 0
        self._waited_until = 0.0
        self._window_told = False
        self._last_sent_at = -inf
        self._verify_cap = self._verify_tries = self._verified = 0
        self._settle()
        self._recall(memory, wall)

    # --- the question -----------------------------------------------------------------------

    def next(self, now: float) -> float | None:
        """When a call may leave: no later than ``now`` means at once, later means ask again then.

        None means: not before the next event. One call per question.
        """
        if self._in_flight >= self._room:
            self._window.full = True
            return None
        if self._plain:
            return now
        return self._next_guarded(now)

    def _next_guarded(self, now: float) -> float | None:
        if self._began_at is None:
            self._begin(now)
        if self._caps.stopped is not None:
            return None
        if self._hold > -inf:
            if now < self._hold:
                return self._hold
            self._hold = -inf
            if self._window_told:
                self._waited_for_window(now)
            elif self._rate.hint_s > 0:
                self._waited(now)
            self._settle()
        due = self._phase_allows(now)
        if due is None or due > now:
            return due
        for allowance in self._allowances.values():
            due = max(due, allowance.ready(now, self._in_flight))
        due = max(due, self._caps.ready(now))
        if due <= now and self._rate.limit is not None:
            due = self._rate.next(now)
            self._rate.waited = self._rate.waited or due > now
        return due

    def _begin(self, now: float) -> None:
        self._began_at = now
        self._door.opened_at = now
        self._caps.begin(now)
        self._settle()

    def _phase_allows(self, now: float) -> float | None:
        phase = self._phase
        if phase == CLOSED:
            return self._door_allows(now)
        if phase == DRAIN:
            if self._in_flight > self._verify_cap * _DRAIN_TO:
                return None
            self._phase, self._lot, self._lot_left, self._verified = VERIFY, 1, 1, 0
            return now
        if phase == VERIFY:
            return self._lot_allows(now)
        if phase == BURST:
            return self._burst_allows(now)
        if self._level.asked and self._level.cap is not None and self._in_flight >= self._level.cap:
            # The question leaves alone, or it would ask about bursts.
            return self._last_sent_at + _STAGGER * (self._window.base or 0.0) / self._level.cap
        if self._door.calls is not None:
            return self._window_allows(now)
        return now

    def _lot_allows(self, now: float) -> float | None:
        """In lots of 1, 4, 16 ... calls, each after the verdict on the one before."""
        if self._in_flight >= self._verify_cap:
            return None
        if self._lot_left > 0:
            return now
        due = self._lot_at + _LOT_TRIPS * self._trip_mean
        if due <= now:
            self._lot *= 4
            self._lot_left = self._lot
        return due

    def _door_allows(self, now: float) -> float | None:
        door = self._door
        if door.probe is None:
            return door.due
        # Silence is consent: a refusal would have come back by now.
        consent = door.probed_at + _CONSENT_TRIPS * self._trip_mean + _CONSENT_S
        if self._trip == inf:
            return None
        if now < consent:
            return consent
        group = self._groups[door.probe]
        assert group is not None
        self._reopen(group, now)
        return self._next_guarded(now)

    def _window_allows(self, now: float) -> float | None:
        """Within a known window of calls: as many as are left of it."""
        door = self._door
        assert door.calls is not None
        if now >= door.opened_at + door.period_high:
            missed = (now - door.opened_at) // max(door.period_high, 1e-3)
            door.opened_at += missed * door.period_high
            door.opened_serial, door.refused_since = self._serial, 0
            door.refill()
        if door.left > 0:
            return now
        self._phase = CLOSED
        door.spent_s = now - door.opened_at
        door.close_until_opening(now, self._offset or 0.0)
        self._settle()
        return door.due

    # --- what happens -----------------------------------------------------------------------

    def sent(self, call: int, now: float) -> None:
        """``call`` left; a small number that no other call in flight has."""
        try:
            if self._groups[call] is not None:
                raise ValueError(f"call {call} is in flight already")
        except IndexError:
            self._grow(call)
        self._serial += 1
        group = self._group
        if group is None or now - group.sent_at > _SAME_MOMENT_S:
            group = self._group = Group(self._in_flight, now, self._serial)
        group.sent += 1
        self._groups[call] = group
        self._sent_at[call] = now
        self._serials[call] = self._serial
        self._in_flight += 1
        if not self._plain:
            self._sent_guarded(call, now, group)

    def _grow(self, call: int) -> None:
        more = call + 1 - len(self._groups)
        self._groups.extend([None] * more)
        self._sent_at.extend([0.0] * more)
        self._serials.extend([0] * more)

    def _sent_guarded(self, call: int, now: float, group: Group) -> None:
        if self._began_at is None:
            self._begin(now)
        if self._phase == CLOSED:
            self._door.probe, self._door.probed_at = call, now
            self._group = None
        elif self._phase == VERIFY:
            self._lot_left -= 1
            self._lot_at = now
        elif self._door.calls is not None:
            self._door.left -= 1
        level = self._level
        if level.asked and level.cap is not None and self._in_flight > level.cap:
            group.asked = True
        for allowance in self._allowances.values():
            allowance.spend(now)
        self._caps.spend(now)
        self._last_sent_at = now
        if self._rate.limit is not None:
            self._rate.spend(now)

    def _end(self, call: int) -> Group:
        """Take ``call`` out of flight; every call ends once."""
        group = self._groups[call] if 0 <= call < len(self._groups) else None
        if group is None:
            raise ValueError(f"call {call} is not in flight")
        self._groups[call] = None
        self._in_flight -= 1
        self._group = None
        return group

    def accepted(self, call: int, now: float, headers: Mapping[str, str], wall: float) -> None:
        """An answer that is no refusal came, whatever else it says."""
        group = self._end(call)
        latency = now - self._sent_at[call]
        window = self._window
        if group.serial > window.after:
            window.count += 1
            window.total += latency
        self._accepted += 1
        self._accepted_at = now
        self._failed_row = 0
        if self._row and (self._rate.limit is not None or group.serial > self._reacted):
            self._row = 0
        if not KNOWN.isdisjoint(headers):
            self._told_by(read_hints(headers, wall), call, now)
        if self._steady and window.count < window.size:
            return
        self._offset = wall - now
        self._accepted_unsteady(call, group, now, latency)

    def _accepted_unsteady(self, call: int, group: Group, now: float, latency: float) -> None:
        phase, window, fresh = self._phase, self._window, group.serial > self._reacted
        if phase == CLOSED:
            if call == self._door.probe:
                self._reopen(group, now)
            return
        if phase == VERIFY and fresh:
            self._verified += 1
            if self._verified >= self._verify_cap + 3:
                self._confirm()
        if window.slow and fresh and window.full and phase in (OPEN, BURST):
            window.grow(self._max)
        if self._rate.limit is not None and fresh:
            self._rate.accepted(min(latency, 3 * self._trip_mean) if self._trip_mean else latency)
        if group.asked and fresh and self._level.asked:
            self._level.passed()
            if self._level.passes > 1:
                self._begin_trial(now, unasked=False)
        if self._trial is not None:
            self._judge_trial(self._trial, now)
        if window.count >= window.size:
            self._end_round(now)
        self._settle()

    def _end_round(self, now: float) -> None:
        window, level = self._window, self._level
        at_cap = window.full and level.cap is not None and window.limit > level.cap
        answers = window.count
        if at_cap or self._rate.limit is not None:
            window.full = False
        if window.end_round(now):
            window.after = self._serial
        if at_cap and level.confirmed:
            level.answers(answers)

    def refused(
        self, call: int, now: float, *, status: int | None, headers: Mapping[str, str], wall: float
    ) -> None:
        """The API said "not now" (429, 503, a refused or reset connection, a body that says so)."""
        self._offset = wall - now
        if self._began_at is None:
            self._begin(now)
        group = self._end(call)
        group.refused += 1
        sent_at = self._sent_at[call]
        trip = max(1e-4, now - sent_at)
        self._trip = min(self._trip, trip)
        self._trip_mean = trip if self._trip_mean == 0 else 0.8 * self._trip_mean + 0.2 * trip
        self._refused_total += 1
        group.latest = self._serials[call]
        if group.latest >= self._door.opened_serial:
            self._door.refused_since += 1
        if group.latest > self._waited_serial:
            self._waited_refused += 1
        hints = read_hints(headers, wall)
        self._told_by(hints, call, now)
        self._refused_for(call, group, sent_at, now, hints)
        self._settle()

    def _refused_for(
        self, call: int, group: Group, sent_at: float, now: float, hints: Hints
    ) -> None:
        fresh = group.serial > self._reacted
        wait = hints.retry_after_s or 0.0
        if wait > 0:
            self._hold = max(self._hold, now + wait)
        if self._phase == CLOSED:
            if call != self._door.probe:
                self._refused_behind_door(group, now)
            else:
                self._door.refused(sent_at, now, self._trip_mean, self._offset or 0.0)
            return
        if not fresh:
            self._stale_refusal(group, sent_at)
            return
        self._reacted = self._serial
        self._row += 1
        if any(budget.remaining == 0 for budget in hints.budgets):
            return
        if wait > 0:
            self._told_to_wait(group, sent_at, now, wait)
        elif self._phase == BURST or self._door.calls is not None:
            self._end_of_burst(group, sent_at, now)
        elif self._rate.limit is not None:
            self._too_fast(group, sent_at, now)
        elif self._phase == VERIFY:
            self._refused_in_verify(group, sent_at, now)
        elif self._level.confirmed:
            self._too_many(group, sent_at, now)
        else:
            self._suspect(group, sent_at)

    def _refused_behind_door(self, group: Group, now: float) -> None:
        """A call that left before the door shut was refused: the window let fewer pass."""
        door = self._door
        if door.calls is None or group.latest < door.opened_serial:
            return
        door.overrun += 1
        if door.passed(self._serial) < max(_FEW, _LEFTOVER * door.calls):
            door.take_back(now, self._offset or 0.0)

    def _stale_refusal(self, group: Group, sent_at: float) -> None:
        """A call that left before the last reaction says nothing about it, but for how many fit."""
        if self._phase in (DRAIN, VERIFY):
            self._verify_cap = max(1, min(self._verify_cap, group.level))
        self._rate.uncounted(sent_at, group.latest)

    # --- what a refusal means ------------------------------------------------------------------

    def _suspect(self, group: Group, sent_at: float) -> None:
        """The first refusal: too many at once, or too many a second? Drain and look."""
        self._verify_cap, self._verify_tries = group.level, 0
        self._rate.measure(sent_at, group.latest)
        self._phase = DRAIN

    def _refused_in_verify(self, group: Group, sent_at: float, now: float) -> None:
        measured = self._rate.measure(sent_at, group.latest)
        self._verify_tries += 1
        if group.level >= 0.7 * self._verify_cap and self._verify_tries <= 4:
            self._verify_cap = max(1, min(group.level, int(0.9 * self._verify_cap)))
            self._phase = DRAIN
            return
        # A concurrency limit never refuses at so few calls: it is the rate, or the door is shut.
        self._level.forget()
        if measured is None:
            self._shut(now)
        else:
            self._phase = OPEN
            self._rate.begin(measured, now, climbing=True)

    def _confirm(self) -> None:
        self._level.confirm(self._verify_cap)
        self._level.since = (self._accepted, self._refused_total)
        self._rate.unanchor()
        self._phase = OPEN

    def _too_many(self, group: Group, sent_at: float, now: float) -> None:
        level = self._level
        assert level.cap is not None
        if self._row == 1:
            self._cap_before = level.cap
        if self._row >= 4:
            level.cap = self._cap_before or level.cap
            self._shut(now)
        elif group.asked and level.asked:
            level.question_refused()
            if level.questions_failed == (2 if level.cap <= _SMALL else 5):
                self._begin_trial(now, unasked=False)
        elif group.level >= 0.7 * level.cap:
            level.lowered(group.level)
            if level.unasked >= (2 if level.cap <= _SMALL else 3):
                self._begin_trial(now, unasked=True)
        else:
            level.forget()
            self._suspect(group, sent_at)

    def _too_fast(self, group: Group, sent_at: float, now: float) -> None:
        measured = self._rate.measure(sent_at, group.latest)
        if self._row >= 3:
            self._shut(now)
            return
        self._rate.refused(measured)

    def _told_to_wait(self, group: Group, sent_at: float, now: float, wait: float) -> None:
        """Retry-After: the whole scope waits, then goes on at a pace that should not be refused."""
        rate = self._rate
        if self._phase in (DRAIN, VERIFY):
            self._phase = OPEN
        if rate.limit is None and wait >= SHORTEST_S and self._door.passed(self._serial) >= _FEW:
            self._window_told = True
            return
        if rate.limit is None:
            latency = self._window.base or max(2 * self._trip_mean, 1e-3)
            rate.begin(2 / latency, now, climbing=True)
        else:
            passed = group.latest - self._waited_serial - self._waited_refused
            lasted = max(1e-3, sent_at - self._waited_until)
            rate.after_wait(max(1, passed), lasted, rate.hint_s)
        rate.hint_s = wait
        rate.unanchor()
        rate.measure(sent_at, group.latest)

    def _waited(self, now: float) -> None:
        """A wait is over: what passed among the refused calls tells the rate."""
        spread = self._rate.spread()
        if self._rate.climbing and spread is not None:
            self._rate.begin(0.9 * spread, now, climbing=False)
        self._rate.unanchor()
        self._waited_serial, self._waited_until = self._serial, now
        self._waited_refused = 0

    def _waited_for_window(self, now: float) -> None:
        """So long a wait after so many calls is a window's: go on as before, look where it ended."""
        door = self._door
        self._window_told = False
        door.expected = max(1, door.passed(self._serial + 1))
        door.opened_at, door.opened_serial, door.refused_since = now, self._serial + 1, 0
        self._phase, self._test_at = BURST, None

    def _shut(self, now: float) -> None:
        self._phase = CLOSED
        if self._trial is not None:
            self._level.resume(self._trial.cap)
            self._trial = None
            self._rate.forget()
        self._door.close(now, self._trip_mean)
        self._rate.unanchor()

    def _reopen(self, group: Group, now: float) -> None:
        """A call passed again: what was it that was shut?"""
        door, rate = self._door, self._rate
        passed = door.passed(group.serial)
        shut = door.open(group.sent_at, group.serial)
        lasted = max(1e-3, door.opened_at - door.last_opened_at)
        self._row = 0
        self._reacted = self._serial - 1
        self._phase = OPEN
        if door.calls is not None and door.on_probation:
            # Open although it should be shut: there is no such window.
            door.forget()
        elif door.calls is not None:
            door.refill()
            door.left -= 1
            if door.early_opening:
                # Perhaps only what the last window had left: one more call asks before the others.
                self._phase, self._test_at, door.expected = BURST, None, 1
                self._lot = 1
        elif shut < SHORTEST_S:
            # So short a window is best paced at what passes in a whole cycle of it.
            if not self._level.confirmed:
                pace = passed / lasted
                if rate.limit is None:
                    rate.begin(pace, now, climbing=True)
                else:
                    rate.begin(min(pace, rate.limit), now, climbing=rate.climbing)
        else:
            self._begin_burst(passed)
        self._settle()

    def _begin_burst(self, passed: int) -> None:
        """Open after a long time shut: go on as before, and look closely where it shut last time."""
        door, rate = self._door, self._rate
        self._phase = BURST
        door.expected = max(1, passed)
        if rate.limit is None and not self._level.confirmed:
            self._level.forget()
            self._window.restart(2.0)
            door.pace = passed / max(door.spent_s, 1e-3)
        self._test_at = None

    def _burst_allows(self, now: float) -> float | None:
        """Where the door shut last time, one call goes ahead of the others."""
        door = self._door
        if door.expected is None or self._serial - door.opened_serial < door.expected:
            return now
        if self._test_at is None:
            self._test_at = now
            return now
        consent = self._test_at + _CONSENT_TRIPS * self._trip_mean + _CONSENT_S
        if now < consent:
            return consent
        if door.early_opening and self._lot < 64:
            # A few calls may be what the last window had left: ask with more and more of them.
            self._lot *= 4
            door.expected = self._serial - door.opened_serial + self._lot
            self._test_at = None
            return now
        self._phase, door.expected = OPEN, None
        self._settle()
        return now

    def _end_of_burst(self, group: Group, sent_at: float, now: float) -> None:
        """The first refusal after an opening: is it a window of so many calls?"""
        door = self._door
        passed = door.passed(self._serial) + 1
        if self._is_window(passed):
            door.found(passed)
            door.overrun += 1
            door.spent_s = max(1e-3, sent_at - door.opened_at)
            self._phase = CLOSED
            door.refused_at = sent_at
            if passed < max(_FEW, _LEFTOVER * (door.calls or 0)):
                door.closed_at = now
                door.take_back(now, self._offset or 0.0)
            else:
                door.close_until_opening(now, self._offset or 0.0)
        else:
            self._phase = OPEN
            self._limit_felt(group, sent_at, now, passed)

    def _is_window(self, passed: int) -> bool:
        """Whether a door that shuts after ``passed`` calls does so for the second time."""
        expected, calls = self._door.expected, self._door.calls
        bounded = self._rate.limit is not None or self._level.confirmed
        if calls is not None:
            return not bounded or passed >= 0.8 * calls or self._row > 1
        if expected and 0.8 * expected <= passed <= 1.25 * expected + 2:
            return True
        return passed >= _FEW and not bounded

    def _limit_felt(self, group: Group, sent_at: float, now: float, passed: int) -> None:
        """A refusal soon after an opening that is no window's end."""
        rate = self._rate
        if rate.limit is not None:
            self._too_fast(group, sent_at, now)
        elif self._level.confirmed:
            self._too_many(group, sent_at, now)
        else:
            rate.measure(sent_at, group.latest)
            since = max(1e-3, sent_at - self._door.refused_at)
            rate.begin(max(1, passed) / since, now, climbing=True)

    # --- is it a level or a pace? -----------------------------------------------------------------

    def _begin_trial(self, now: float, *, unasked: bool) -> None:
        level, base = self._level, self._window.base
        if base is None or level.cap is None or self._trial is not None:
            return
        if self._door.calls is not None or self._phase != OPEN:
            return
        goodput = level.cap / base
        passed, refused = self._accepted - level.since[0], self._refused_total - level.since[1]
        worth = goodput * (1 - 2 * refused / max(1, passed))
        self._trial = Trial(
            level.cap, worth, self._accepted, self._refused_total, now, unasked=unasked
        )
        level.suspend()
        self._rate.begin(0.9 * goodput, now, climbing=True)
        self._rate.top = self._rate.limit or 0.0

    def _judge_trial(self, trial: Trial, now: float) -> None:
        if not trial.over(self._accepted):
            return
        self._trial = None
        if trial.won(self._accepted, self._refused_total, now):
            self._level.forget()
        else:
            self._rate.forget()
            self._level.resume(trial.cap)
            self._level.since = (self._accepted, self._refused_total)

    # --- headers ------------------------------------------------------------------------------

    def _told_by(self, hints: Hints, call: int, now: float) -> None:
        if hints.concurrent is not None and self._level.cap != hints.concurrent:
            self._level.confirm(hints.concurrent)
        for budget in hints.budgets:
            allowance = self._allowances.get(budget.name)
            if allowance is None:
                if budget.remaining is None:
                    continue
                allowance = self._allowances[budget.name] = Allowance(budget.name)
                self._settle()
            allowance.tell(budget, self._sent_at[call], now, self._in_flight)

    def failed(self, call: int, now: float) -> None:
        """The call did not work for a reason that is no refusal."""
        group = self._end(call)
        self._failed_row += 1
        if self._phase == CLOSED and call == self._door.probe:
            self._door.refused(group.sent_at, now, self._trip_mean, self._offset or 0.0)
        elif self._phase != CLOSED and self._failed_row >= 5:
            quiet = now - (self._accepted_at if self._accepted_at is not None else now)
            if quiet > 3 * (self._window.base or inf):
                self._shut(now)
        self._settle()

    def cancelled(self, call: int, now: float) -> None:
        """The call was given up; it says nothing."""
        self._end(call)
        if call == self._door.probe:
            self._door.probe, self._door.due = None, max(self._door.due, now)
        self._settle()

    # --- what is known ------------------------------------------------------------------------

    def stopped(self) -> str | None:
        """Why no call will leave any more in this run, in words; None while calls may leave."""
        return self._caps.stopped

    def learnt(self, wall: float) -> Learnt:
        """What the next run should know."""
        level, rate, door = self._level, self._rate, self._door
        begin, used = self._caps.quota_state()
        return Learnt(
            at=wall,
            level=level.cap if level.confirmed else None,
            rate=rate.limit,
            window_calls=door.calls,
            window_s=door.period_s if door.calls is not None else None,
            sure=self._accepted,
            latency_s=self._window.base,
            round_trip_s=None if self._trip == inf else self._trip,
            quota_begin=begin,
            quota_used=used,
        )

    def explanation(self, now: float) -> Explanation:
        """Which limit is felt, how it was found, how sure that is, how much of it is used."""
        return explain(self._known(now))

    def _known(self, now: float) -> Known:
        rate, door, caps, cap = self._rate, self._door, self._caps, self._level.cap
        told = min(self._allowances.values(), key=lambda a: a.left, default=None)
        window = door.calls
        ran = now - (self._began_at if self._began_at is not None else now)
        return Known(
            in_flight=self._in_flight,
            accepted_per_second=self._accepted / ran if ran > 0 else None,
            level=cap,
            level_told=False,
            rate=rate.limit,
            rate_told=rate.hint_s > 0,
            window_calls=window,
            window_s=door.period_s if window else None,
            window_share=1 - door.left / window if window else None,
            window_slides=False,
            header_limit=told.limit if told else None,
            header_window_s=told.length_s if told else None,
            header_share=None if told is None or not told.limit else 1 - told.left / told.limit,
            capacity=None if self._window.slow else int(self._window.limit),
            own_level=caps.max_concurrency if self._room == caps.max_concurrency else None,
            own_rate=caps.max_rate,
            quota=caps.quota_text(),
            quota_share=caps.quota_share(),
            shut_s=now - self._door.closed_at if self._phase == CLOSED else None,
            behind=self._accepted,
        )

    def _recall(self, memory: Learnt | None, wall: float | None) -> None:
        if memory is None:
            return
        if wall is not None:
            memory = memory.aged(wall)
        if memory.level is not None:
            self._level.confirm(memory.level)
            self._window.limit = max(FIRST, memory.level / 2)
        elif memory.rate is not None:
            self._rate.begin(0.8 * memory.rate, 0.0, climbing=False)
            self._rate.top = memory.rate
        self._settle()

    def _settle(self) -> None:
        """Work out anew what `next` may answer without thinking."""
        phase, level = self._phase, self._level
        room = self._max
        if phase in (OPEN, BURST):
            room = min(room, int(self._window.limit))
            if level.cap is not None:
                room = min(room, level.cap + level.asked)
        self._room = max(1, room) if phase != CLOSED else self._max
        self._plain = (
            phase == OPEN
            and self._began_at is not None
            and self._rate.limit is None
            and self._door.calls is None
            and not self._allowances
            and not level.asked
            and not self._caps.any
            and self._hold == -inf
        )
        self._steady = self._plain and not self._window.slow
