"""The pace of one scope: how many calls an API takes that told nobody its limits.

Events go in, one question comes out: may a call leave now? Four bounds hold calls back, each
lowered only by evidence against it: the window (latency), the level (concurrency), the rate, and
what is left (headers, windows, your own quota). When nothing is accepted any more, a door is
shut at which one call at a time asks.

Everything is pure: time is an argument, in seconds of any clock that only grows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Final

from msgspec.structs import replace

from fetchcast.extract.pace.budget import Allowance
from fetchcast.extract.pace.caps import Caps
from fetchcast.extract.pace.explain import Known, explain, span
from fetchcast.extract.pace.explanation import Explanation
from fetchcast.extract.pace.headers import KNOWN, Hints, read_hints
from fetchcast.extract.pace.learnt import Learnt
from fetchcast.extract.pace.reactions import Reactions
from fetchcast.extract.pace.state import BURST, CLOSED, DRAIN, OPEN, RAMP, VERIFY, Group

_SAME_MOMENT_S: Final = 0.005
_STAGGER: Final = 0.3
_LONGEST_WAIT_S: Final = 900.0  # Longer, and the run ends cleanly; the next one goes on.
_TWICE: Final = 2
_FEW_TO_JUDGE: Final = 10
_UNLIKE: Final = 500  # So many calls without a refusal: what was refused before counts no more.
_FAILED_ROW: Final = 5
_FORGETS: Final = 0.95  # The longest round trip of a refusal is forgotten refusal by refusal.
_FAILING: Final = 10_000  # So many calls that did not work are remembered.
_AGAIN_S: Final = 0.5
_STORM: Final = 20  # Answers in a row that say: you may not.
_STORM_KNOWN: Final = 100  # The same, where an earlier run met this API.
_DENIED_PAUSE_S: Final = 10.0

_ALLOWS: Final[Mapping[int, Callable[[Reactions, float], float | None]]] = {
    CLOSED: Reactions._door_allows,  # noqa: SLF001  the base class is ours
    DRAIN: Reactions._drain_allows,  # noqa: SLF001
    VERIFY: Reactions._lot_allows,  # noqa: SLF001
    BURST: Reactions._burst_allows,  # noqa: SLF001
    RAMP: Reactions._ramp_allows,  # noqa: SLF001
}
"""Who decides while the door is not simply open."""


class Pace(Reactions):
    """Decides when calls leave; see `next` for the one question and the rest for the events.

    Args:
        options: Caps from the pipeline file.
        memory: What an earlier run learnt.
        max_connections: Calls in flight that the transport allows.
        wall: The time of day now (seconds since 1970, UTC); ages the memory and places the
            quota's period. Needed if there is a quota.
    """

    __slots__ = ()

    lane: Final = 0
    """One pace is for one key; see `fetchcast.extract.pace.lanes` for several."""

    @property
    def caps(self) -> Caps:
        """The user's own; several paces may share them."""
        return self._caps

    @caps.setter
    def caps(self, caps: Caps) -> None:
        self._caps = caps
        self._settle()

    # --- the question -----------------------------------------------------------------------

    def next(self, now: float) -> float | None:
        """When a call may leave: no later than ``now`` means at once, later means ask again then.

        None means: not before the next event. One call per question.
        """
        if self._in_flight >= self._room:
            self._window.full = True
            self._rate.waited = False
            return None
        if self._plain:
            return now
        return self._next_guarded(now)

    def _next_guarded(self, now: float) -> float | None:
        if self._began_at is None:
            self._begin(now)
        if self._stopped is not None or self._caps.stopped is not None:
            return None
        if now < self._hold:
            return self._wait_until(self._hold, now)
        if self._hold > -inf:
            self._end_hold(now)
        due = self._phase_allows(now)
        if due is None:
            return None
        for allowance in self._allowances.values():
            due = max(due, allowance.ready(now, self._in_flight))
        if due > now:
            return self._wait_until(due, now)
        due = max(due, self._caps.ready(now))
        if due <= now and self._rate.limit is not None:
            due = self._rate.next(now)
            self._rate.waited = self._rate.waited or due > now
        return due

    def _wait_until(self, due: float, now: float) -> float | None:
        """Wait, unless that is longer than a run should hang about."""
        if due - now <= _LONGEST_WAIT_S:
            return due
        self._stop(
            f"the API takes nothing more for {span(due - now)} "
            f"({self.explanation(now).what}); run again then to go on"
        )
        return None

    def _begin(self, now: float) -> None:
        self._began_at = now
        self._door.opened_at = now
        self._bucket.begin(now, 0)
        self._caps.begin(now)
        self._settle()

    def _phase_allows(self, now: float) -> float | None:
        phase = self._phase
        if phase != OPEN:
            return _ALLOWS[phase](self, now)
        if self._level.asked and self._level.cap is not None and self._in_flight >= self._level.cap:
            # The question leaves alone, or it would ask about bursts.
            return self._last_sent_at + _STAGGER * (self._window.base or 0.0) / self._level.cap
        if self._door.calls is not None:
            return self._window_allows(now)
        return now

    # --- what happens -----------------------------------------------------------------------

    def sent(self, call: int, now: float) -> None:
        """``call`` left; a number that no other call in flight has."""
        if call in self._flying:
            raise ValueError(f"call {call} is in flight already")
        self._serial += 1
        group = self._group
        if group is None or now - group.sent_at > _SAME_MOMENT_S:
            group = self._group = Group(self._in_flight, now, self._serial)
        group.sent += 1
        self._flying[call] = group, now, self._serial
        self._in_flight += 1
        if not self._plain:
            self._sent_guarded(call, now, group)

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
            self._door.spend(now)
        level = self._level
        if level.asked and level.cap is not None and self._in_flight > level.cap:
            group.asked = True
        for allowance in self._allowances.values():
            allowance.spend(now)
        self._caps.spend(now)
        self._last_sent_at = now
        if self._rate.limit is not None:
            self._rate.spend(now)
            group.close = group.close or self._rate.is_close
            if self._rate.hint_s > 0:
                self._bucket.mark(now, self._serial)

    def _end(self, call: int) -> tuple[Group, float, int]:
        """Take ``call`` out of flight; every call ends once."""
        try:
            ended = self._flying.pop(call)
        except KeyError:
            raise ValueError(f"call {call} is not in flight") from None
        self._in_flight -= 1
        self._group = None
        return ended

    def accepted(self, call: int, now: float, headers: Mapping[str, str], wall: float) -> None:
        """An answer that is no refusal came, whatever else it says."""
        group, sent_at, _ = self._end(call)
        latency = now - sent_at
        window = self._window
        if group.serial > window.after:
            window.count += 1
            window.total += latency
            window.squares += latency * latency
        self._accepted += 1
        self._accepted_at = now
        self._failed_row = self._denied_row = 0
        if self._row and (self._rate.limit is not None or group.serial > self._reacted):
            self._row = 0
        if not KNOWN.isdisjoint(headers):
            self._told_by(read_hints(headers, wall), sent_at, now)
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
            self._verify_passed()
        if window.slow and fresh and window.full and phase in (OPEN, BURST):
            window.carried = max(window.carried, self._in_flight + 1)
            window.grow(self._max)
        if self._rate.limit is not None and fresh:
            self._rate.accepted(min(latency, 3 * self._trip_mean) if self._trip_mean else latency)
        if group.asked and fresh and self._level.asked:
            self._question_passed(now)
        if self._trial is not None:
            self._judge_trial(self._trial, now)
        if window.count >= window.size:
            self._end_round(now)
            self._doubt_small_level(now)
            self._note_found(now)
        self._settle()

    def _end_round(self, now: float) -> None:
        window, level = self._window, self._level
        self._bucket.mark(now, self._serial)
        at_cap = window.full and level.cap is not None and window.limit > level.cap
        answers = window.count
        bound = window.full or self._in_flight + 1 >= self._room
        if at_cap:
            window.full = False
        if window.end_round(now, bound=bound):
            window.after, window.carried = self._serial, int(window.limit)
        elif bound and not window.slow:
            window.carried = self._room
        if at_cap and level.confirmed:
            level.answers(answers)

    def refused(
        self,
        call: int,
        now: float,
        *,
        status: int | None,
        headers: Mapping[str, str],
        wall: float,
    ) -> None:
        """The API said "not now" (429, 503, a refused or reset connection, a body that says so)."""
        del status  # A refusal is a refusal, by whatever name.
        self._offset = wall - now
        if self._began_at is None:
            self._begin(now)
        group, sent_at, serial = self._end(call)
        group.refused += 1
        trip = max(1e-4, now - sent_at)
        self._trip = min(self._trip, trip)
        self._trip_mean = trip if self._trip_mean == 0 else 0.8 * self._trip_mean + 0.2 * trip
        self._trip_worst = max(trip, _FORGETS * self._trip_worst)
        self._door.slack_s = 2 * (self._trip_mean - self._trip)
        self._refused_total += 1
        self._yield.refused(sent_at - (self._began_at or 0.0), sent_at, serial)
        group.latest = serial
        if group.latest >= self._door.opened_serial:
            self._door.refused_since += 1
        hints = read_hints(headers, wall)
        self._told_by(hints, sent_at, now)
        self._refused_for(call, group, sent_at, now, hints)
        self._look(now)
        self._note_found(now)
        self._settle()

    # --- headers ------------------------------------------------------------------------------

    def _told_by(self, hints: Hints, sent_at: float, now: float) -> None:
        if hints.concurrent is not None and self._level.cap != hints.concurrent:
            self._level.confirm(hints.concurrent)
            self._level.told = True
        for budget in hints.budgets:
            allowance = self._allowances.get(budget.name)
            if allowance is None:
                if budget.remaining is None:
                    continue
                allowance = self._allowances[budget.name] = Allowance(budget.name)
                self._settle()
            allowance.tell(budget, sent_at, now, self._in_flight)

    def failed(self, call: int, now: float) -> None:
        """The call did not work for a reason that is no refusal.

        One that did not work before says nothing about the API: a few calls that never work, and
        are tried again and again, must not look like an outage.
        """
        group, _, _ = self._end(call)
        again = self._is_failing(call)
        self._failed_row += not again
        if self._phase == CLOSED and call == self._door.probe:
            self._door.refused(group.sent_at, now, self._trip_mean, self._offset or 0.0)
            if again:
                self._door.due = min(self._door.due, now + _AGAIN_S)
        elif self._phase != CLOSED and self._failed_row >= _FAILED_ROW:
            quiet = now - (self._accepted_at if self._accepted_at is not None else now)
            if quiet > 3 * (self._window.base or inf):
                self._shut(now)
        self._settle()

    def _is_failing(self, call: int) -> bool:
        """Whether ``call`` failed before; from now on it did."""
        again = call in self._failing
        self._failing[call] = None
        if len(self._failing) > _FAILING:
            del self._failing[next(iter(self._failing))]
        return again

    def denied(self, call: int, now: float, *, status: int) -> None:
        """The API said "you may not" (401, 402, 403); many in a row end the run.

        Going on would only get the credential, or the address, banned.
        """
        self._end(call)
        self._denied_row += 1
        if call == self._door.probe:
            self._door.probe, self._door.due = None, now + _DENIED_PAUSE_S
        # Ids that are forbidden come first in every run: that is no reason to ask for no other.
        storm = _STORM_KNOWN if self._is_known and not self._accepted else _STORM
        if self._denied_row >= storm:
            self._stop(f"the last {self._denied_row} answers were all HTTP {status}")
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
        return self._stopped or self._caps.stopped

    @property
    def stopped_by_own_cap(self) -> bool:
        """Whether a cap of the user's own ended it, rather than the API."""
        return self._stopped is None and self._caps.stopped is not None

    def learnt(self, wall: float) -> Learnt:
        """What the next run should know."""
        rate = self._rate
        begin, used = self._caps.quota_state()
        learnt = Learnt(
            at=wall,
            level=self._known_level(),
            rate=None if self._trial else self._rate_had(),
            burst=self._burst_seen(),
            wait_s=rate.hint_s,
            sure=self._behind(),
            latency_s=self._window.base,
            width=self._width(),
            pressed=not self._window.slow and self._window.limit < (self._level.cap or self._max),
            round_trip_s=None if self._trip == inf else self._trip,
            quota_begin=begin,
            quota_used=used,
        )
        return self._with_window(learnt)

    def _with_window(self, learnt: Learnt) -> Learnt:
        """Add the window of calls, if there is one."""
        door, told = self._door, self._told_window
        if door.calls is not None:
            return replace(
                learnt,
                window_calls=door.calls,
                window_s=door.period_high,
                window_low_s=door.period_low,
                window_clocked=door.clocked,
                window_slides=door.slides,
                window_told=door.told,
            )
        # The first may have begun before the run did.
        if told is None or self._told_windows < _TWICE:
            return learnt
        return replace(learnt, window_calls=told[0], window_s=told[1], window_told=True)

    def _rate_had(self) -> float | None:
        """The rate that passed for long, rather than the one that is being tried."""
        limit, had = self._rate.limit, self._yield.rate()
        return limit if limit is None or had is None or self._rate.clean > _UNLIKE else had

    def _burst_seen(self) -> float | None:
        """Calls that were saved when the run began; what was left unspent is not less."""
        rate = self._rate_had()
        seen = None if rate is None else self._yield.burst(rate)
        return self._burst or None if seen is None else max(seen, self._burst)

    def _behind(self) -> int:
        """Calls accepted since the present limit was found; what nobody doubted counts on."""
        if self._phase in (DRAIN, VERIFY):
            return 0
        remembered = self._level.remembered or self._rate.remembered
        return self._accepted - self._found[1] + (self._sure if remembered else 0)

    def _width(self) -> int | None:
        """Calls at once that went well where nothing but the latency held them back."""
        window = self._window
        if not window.slow and window.limit < (self._level.cap or self._max):
            return int(window.limit)
        felt = self._known_level() or self._rate.limit or self._door.calls or self._allowances
        if felt or self._refused_total:
            return None
        # What a ramp reached has been seen as well, or every second run would begin anew.
        return max(window.carried, self._ramp.peak if self._ramp is not None else 0) or None

    def _known_level(self) -> int | None:
        """Also while a pace is tried in its place."""
        if self._trial is not None:
            return self._trial.cap
        if self._phase in (DRAIN, VERIFY) and self._rate.limit is None:
            return self._verify_cap  # The run ended before it was sure.
        return self._level.cap if self._level.confirmed else None

    def explanation(self, now: float) -> Explanation:
        """Which limit is felt, how it was found, how sure that is, how much of it is used."""
        return explain(self._known(now))

    def _known(self, now: float) -> Known:
        rate, door, caps, level = self._rate, self._door, self._caps, self._level
        told = min(
            self._allowances.values(),
            key=lambda allowance: allowance.left,
            default=None,
        )
        since, accepted = self._found
        accepted = self._accepted - accepted
        window, period = door.calls, door.period_s
        felt = rate.limit is not None or level.confirmed or window is not None
        if self._told_window is not None and not felt:
            window, period = self._told_window
        return Known(
            accepted_per_second=self._accepted_per_second(since, accepted, period or 0.0),
            latency_s=self._window.base,
            level=level.cap if level.confirmed else None,
            level_told=level.told,
            level_remembered=level.remembered,
            rate=rate.limit,
            rate_told=rate.hint_s > 0,
            rate_remembered=rate.remembered,
            window_calls=window,
            window_s=period if window else None,
            window_told=door.calls is None,
            window_slides=door.slides,
            header_limit=told.limit if told else None,
            header_window_s=told.length_s if told else None,
            capacity=None if self._window.slow or self._room >= self._max else self._room,
            own_level=caps.max_concurrency if self._room == caps.max_concurrency else None,
            own_rate=caps.max_rate,
            quota=caps.quota_text(),
            quota_share=caps.quota_share(),
            shut_s=self._shut_s(now),
            behind=self._behind(),
        )

    def _accepted_per_second(self, since: float, accepted: int, period_s: float) -> float | None:
        """Until the last call was accepted: nobody used anything after that."""
        if self._accepted_at is None or self._began_at is None or accepted < _FEW_TO_JUDGE:
            return None
        lasted = self._accepted_at - (since or self._began_at)
        return accepted / lasted if lasted > max(period_s, 2 * (self._window.base or 0.0)) else None

    def _shut_s(self, now: float) -> float | None:
        """How long nothing was accepted, if that is no window's pause."""
        if self._phase != CLOSED or self._door.calls is not None:
            return None
        return now - (self._accepted_at if self._accepted_at is not None else self._began_at or now)
