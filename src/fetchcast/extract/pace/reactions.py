"""What a refusal means, and what is done about it."""

from __future__ import annotations

from copy import copy
from math import inf
from typing import Final

from fetchcast.extract.pace.door import SHORTEST_S
from fetchcast.extract.pace.explain import span
from fetchcast.extract.pace.headers import Hints
from fetchcast.extract.pace.level import Level
from fetchcast.extract.pace.state import (
    BURST,
    CLOSED,
    DRAIN,
    OPEN,
    RAMP,
    VERIFY,
    Group,
    State,
)
from fetchcast.extract.pace.trial import MORE, Trial
from fetchcast.extract.pace.yields import Yield

_CONSENT_TRIPS: Final = 3.0
_CONSENT_OF_WORST: Final = 1.2
_CONSENT_S: Final = 0.02
_LOT_TRIPS: Final = 1.3
_DRAIN_TO: Final = 0.7
_SAME_LEVEL: Final = 0.7  # A concurrency limit never refuses below this share of itself.
_SHRUNK: Final = 0.4  # To so much of what was remembered it may well have shrunk.
_VERIFICATIONS: Final = 4
_CONFIRMED_BY: Final = 3  # More calls than fit at once.
_ROW: Final = 4  # So many fresh refusals in a row shut the door: level ...
_ROW_OF_RATE: Final = 3  # ... and pace.
_TRIES: Final = 3  # A pace on trial may be far too fast at first.
_WORSE: Final = 0.8  # So much less than a pace got that was tried before.
_DOUBTED_AFTER: Final = 100
_SMALL: Final = 6  # So few at once are easily a bucket's few tokens.
_LEFTOVER: Final = 0.3  # Less of a window than this was left of the one before.
_SOON_AGAIN: Final = 200  # Calls; shut again before as many is no chance.
_LARGEST_LOT: Final = 64
_BREAKER_S: Final = 3600.0
_LOOK_S: Final = 10.0
_TOO_MANY_REFUSED: Final = 0.2
_NO_MORE: Final = 2.0  # Times what passed before the first refusal.
_OF_FIRST: Final = 0.5  # Of what passed before the first refusal, some was saved.
_MOST_OF: Final = 0.9
_FEW: Final = 4  # Fewer calls than this are no window.


class Reactions(State):
    """Finds out what is behind refusals: a level, a pace, a window, or an outage."""

    __slots__ = ()

    def narrow(self, share: float) -> None:
        """Only this part of the calls goes on at this pace: what was found, was found of all."""
        if self._rate.limit is not None:
            self._rate.limit *= share
            self._rate.top *= share
        if self._level.cap is not None:
            self._level.cap = max(1, round(self._level.cap * share))
        self._yield = Yield()
        self._settle()

    def _look(self, now: float) -> None:
        """More than one call in five refused over ten seconds: whatever it is, halve."""
        since, accepted, refused = self._looked
        if now - since < _LOOK_S:
            return
        self._looked = now, self._accepted, self._refused_total
        refused, accepted = self._refused_total - refused, self._accepted - accepted
        if refused < _LOOK_S or refused <= _TOO_MANY_REFUSED * (accepted + refused):
            return
        if self._phase != OPEN or self._hold > now or now - since > 2 * _LOOK_S:
            return
        if self._rate.limit is not None:
            self._rate.limit /= 2
        if self._level.cap is not None:
            self._level.cap = max(1, self._level.cap // 2)
        self._window.limit = max(1.0, self._window.limit / 2)

    def _refused_for(
        self, call: int, group: Group, sent_at: float, now: float, hints: Hints
    ) -> None:
        fresh = group.serial > self._reacted
        wait = hints.retry_after_s or 0.0
        if wait > 0:
            self._hold = max(self._hold, now + wait)
        if self._silent is not None and group.latest == self._silent[0]:
            self._shut_after_all(sent_at, now)
            return
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
        if self._phase == RAMP:
            self._phase, self._ramp_serial = OPEN, self._serial
            if wait <= 0 and self._refused_in_ramp(group):
                return
        if any(budget.remaining == 0 for budget in hints.budgets):
            return  # Explained: the allowance waits for its reset.
        if wait > 0:
            self._told_to_wait(group, sent_at, now, wait)
        else:
            self._refused_without_hint(group, sent_at, now)

    def _refused_without_hint(self, group: Group, sent_at: float, now: float) -> None:
        """By what is known so far."""
        if self._door.remembered and not self._is_remembered_end(group):
            self._door.forget()
            self._phase = OPEN
        if self._phase == BURST or self._door.calls is not None:
            self._end_of_burst(group, sent_at, now)
        elif self._rate.limit is not None:
            self._too_fast(group, sent_at, now)
        elif self._phase == VERIFY:
            self._refused_in_verify(group, sent_at, now)
        elif self._level.confirmed:
            self._too_many(group, sent_at, now)
        else:
            self._suspect(group, sent_at)

    def _shut_after_all(self, sent_at: float, now: float) -> None:
        """The silence was a slow refusal: as if the door had never opened."""
        assert self._silent is not None
        _, self._door, self._rate, self._window = self._silent
        self._silent = None
        self._phase, self._reacted = CLOSED, self._serial
        self._door.refused(sent_at, now, self._trip_mean, self._offset or 0.0)

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
        elif group.serial <= self._ramp_serial and self._level.cap is not None:
            self._level.cap = min(self._level.cap, group.level)
        self._rate.uncounted(sent_at, group.latest)

    def _refused_in_ramp(self, group: Group) -> bool:
        """The first refusal of a run that remembers; whether it is the remembered level's."""
        level = self._level
        if level.cap is None:
            return False
        if group.level < _SHRUNK * level.cap:
            self._doubted = level.cap
            level.forget()
            return False
        level.confirm(min(level.cap, group.level))
        level.since = (self._accepted, self._refused_total)
        return True

    def _ramp_allows(self, now: float) -> float | None:
        """Up to what an earlier run found, quickly."""
        ramp = self._ramp
        assert ramp is not None
        due = min(ramp.due(now, self._in_flight), ramp.silent_until())
        if due > now:
            return due
        if now < ramp.silent_until():
            return now
        self._phase = OPEN
        self._settle()
        return now if self._in_flight < self._room else None

    def _suspect(self, group: Group, sent_at: float) -> None:
        """The first refusal: too many at once, or too many a second? Drain and look."""
        self._verify_cap, self._verify_tries = group.level, 0
        self._rate.measure(sent_at, group.latest)
        self._phase = DRAIN

    def _refused_in_verify(self, group: Group, sent_at: float, now: float) -> None:
        measured = self._rate.measure(sent_at, group.latest)
        self._verify_tries += 1
        if group.level >= _SAME_LEVEL * self._verify_cap and self._verify_tries <= _VERIFICATIONS:
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
        self._doubted = None
        self._level.confirm(self._verify_cap)
        self._level.since = (self._accepted, self._refused_total)
        self._rate.unanchor()
        self._phase = OPEN

    def _too_many(self, group: Group, sent_at: float, now: float) -> None:
        level = self._level
        assert level.cap is not None
        if self._row == 1:
            self._cap_before = level.cap
        if self._row >= _ROW:
            level.cap = self._cap_before or level.cap
            self._shut(now)
        elif group.is_alone and self._window.base is not None:
            # Nothing else was in flight, so it is no level; what passed says how fast to begin.
            self._doubted = level.cap
            self._rate.begin(level.cap / self._window.base, now, climbing=True)
            level.forget()
        elif group.asked and level.asked:
            level.question_refused()
            if level.questions_failed == (2 if level.cap <= _SMALL else 5):
                self._begin_trial(now, unasked=False)
        elif group.level >= _SAME_LEVEL * min(level.cap, level.raised_from or level.cap):
            level.lowered(group.level)
            worse = level.cap < _WORSE * level.tried * (self._window.base or 0.0)
            if worse or level.unasked >= (2 if level.cap <= _SMALL else 3) or level.rubber > 1:
                level.rubber = 0
                self._begin_trial(now, unasked=True)
        else:
            self._doubted = level.cap
            level.forget()
            self._suspect(group, sent_at)

    def _too_fast(self, group: Group, sent_at: float, now: float) -> None:
        if self._trial is not None and self._trial.has_failed(self._refused_total):
            self._rate.forget()
            self._level.go_on(self._trial.cap)
            self._trial = None
            return
        measured = self._rate.measure(sent_at, group.latest)
        if self._row >= _ROW_OF_RATE + (_TRIES if self._trial is not None else 0):
            self._shut(now)
            return
        if not (group.close and self._rate.too_close()):
            self._rate.refused(measured)

    def _told_to_wait(self, group: Group, sent_at: float, now: float, wait: float) -> None:
        """Retry-After: the whole scope waits, then goes on at a pace that should not be refused."""
        rate, bucket = self._rate, self._bucket
        if self._phase in (DRAIN, VERIFY):
            self._phase = OPEN
        if self._door.remembered and not self._is_remembered_end(group):
            self._door.forget()
            self._phase = OPEN
        if self._door.calls is not None:
            self._end_of_burst(group, sent_at, now)
            if self._phase == CLOSED:
                self._door.due = self._hold  # Told when it opens.
            return
        if rate.limit is None and wait >= SHORTEST_S and self._door.passed(self._serial) >= _FEW:
            self._window_told = True
            return
        bucket.mark(group.sent_at, group.serial - 1)
        passed = max(1, group.latest - 1 - bucket.began_with)
        measured = bucket.emptied(sent_at, group.latest, rate.limit or inf)
        if rate.limit is None:
            latency = self._window.base or max(2 * self._trip_mean, 1e-3)
            lasted = max(latency, sent_at - (self._began_at or 0.0))
            rate.begin(max(2 / latency, _OF_FIRST * passed / lasted), now, climbing=True)
        else:
            lasted = max(1e-3, sent_at - bucket.began_at)
            rate.after_wait(passed, lasted, rate.hint_s, measured, bucket.least)
        rate.hint_s = wait
        rate.unanchor()
        rate.measure(sent_at, group.latest)

    def _waited(self, now: float) -> None:
        """A wait is over: what passed among the refused calls tells the rate."""
        spread = self._rate.spread()
        if self._rate.climbing and spread is not None:
            pace = min(0.9 * spread, _NO_MORE / _OF_FIRST * (self._rate.limit or inf))
            self._rate.begin(pace, now, climbing=False)
        self._rate.unanchor()
        self._bucket.begin(now, self._serial)

    def _waited_for_window(self, now: float) -> None:
        """So long a wait after so many calls is a window's: go on, and look where it ended."""
        door = self._door
        self._window_told = False
        door.expected = max(1, door.passed(self._serial + 1))
        self._told_window = door.expected, now - door.opened_at
        self._told_windows += 1
        door.opened_at, door.opened_serial, door.refused_since = (
            now,
            self._serial + 1,
            0,
        )
        self._phase, self._test_at = BURST, None

    def _shut(self, now: float) -> None:
        self._phase = CLOSED
        self._rate.distrust()
        if self._trial is not None:
            self._level.resume(self._trial.cap)
            self._trial = None
            self._rate.forget()
        self._door.close(now, self._trip_mean)
        self._rate.unanchor()

    def _reopen(self, group: Group, now: float) -> None:
        """A call passed again: what was it that was shut?"""
        door = self._door
        passed = door.passed(group.serial)
        shut = door.open(group.sent_at, group.serial)
        lasted = max(1e-3, door.opened_at - door.last_opened_at)
        self._row = 0
        self._reacted = self._serial - 1
        self._phase = OPEN
        if self._doubted is not None and shut > 1.0:
            # The level was doubted because nothing passed at all: it was an outage, not the level.
            self._level.confirm(self._doubted)
            self._doubted = None
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
            self._short_row = self._short_row + 1 if passed < _SOON_AGAIN else 0
            if not self._level.confirmed or self._short_row > 1:
                self._pace_short_window(passed, lasted, shut, now)
        else:
            self._begin_burst(passed)
        self._settle()

    def _pace_short_window(self, passed: int, lasted: float, shut: float, now: float) -> None:
        """A level does not shut, and not again and again: beside it there is a rate."""
        rate = self._rate
        pace = passed / lasted
        if passed < _FEW:
            # Too few for a measurement: as one call after so long a pause, and quickly up.
            rate.begin(max(pace, 1 / max(shut, self._trip_mean)), now, climbing=True)
        elif rate.limit is None:
            rate.begin(pace, now, climbing=not self._level.confirmed)
        else:
            rate.begin(min(pace, rate.limit), now, climbing=rate.climbing)

    def _begin_burst(self, passed: int) -> None:
        """Open after a long time: go on as before, and look closely where it shut last time."""
        door, rate = self._door, self._rate
        self._phase = BURST
        door.expected = door.passed_before = max(1, passed)
        if rate.limit is None and not self._level.confirmed:
            self._level.forget()
            self._window.restart(2.0)
        self._test_at = None

    def _burst_allows(self, now: float) -> float | None:
        """Where the door shut last time, one call goes ahead of the others."""
        door = self._door
        if door.early_opening and door.left <= 0:
            self._phase = OPEN
            return self._window_allows(now)
        if door.expected is None or self._serial - door.opened_serial < door.expected:
            return now
        if self._test_at is None:
            self._test_at = now
            return now
        consent = self._test_at + _CONSENT_TRIPS * self._trip_mean + _CONSENT_S
        if now < consent:
            return consent
        if door.early_opening and self._lot < _LARGEST_LOT:
            # A few calls may be what the last window had left: ask with more and more of them.
            self._lot *= 4
            door.expected = self._serial - door.opened_serial + self._lot
            self._test_at = None
            return now
        if door.calls is not None and not door.early_opening:
            door.forget()  # It has grown, or it is gone.
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

    def _is_remembered_end(self, group: Group) -> bool:
        """Whether the remembered window ends about where it did; if not, nothing is known of it."""
        door = self._door
        assert door.calls is not None
        door.remembered = False
        return door.passed(group.latest) >= _MOST_OF * door.calls

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

    def _begin_trial(self, now: float, *, unasked: bool, gentle: bool = False) -> None:
        level, base = self._level, self._window.base
        if base is None or level.cap is None or self._trial is not None:
            return
        if self._door.calls is not None or self._phase != OPEN:
            return
        goodput = level.cap / base
        passed, refused = (
            self._accepted - level.since[0],
            self._refused_total - level.since[1],
        )
        worth = goodput * (1 - 2 * refused / max(1, passed))
        self._trial = Trial(
            level.cap,
            worth,
            self._accepted,
            self._refused_total,
            now,
            unasked=unasked,
            gentle=gentle,
        )
        level.suspend()
        self._rate.begin((MORE if gentle else 0.9) * goodput, now, climbing=not gentle)
        # Not right behind the last call of the level: that would be refused for being too close.
        self._rate.ready_at = now + 1 / goodput
        self._rate.top = self._rate.limit or 0.0

    def _doubt_small_level(self, now: float) -> None:
        """So few at once are as easily a bucket's few tokens: try it once, unasked for."""
        level = self._level
        if not level.confirmed or level.told or level.doubted or level.trials_lost:
            return
        if (level.cap or _SMALL) < _SMALL and self._accepted - level.since[0] > _DOUBTED_AFTER:
            level.doubted = True
            self._begin_trial(now, unasked=False, gentle=True)

    def _judge_trial(self, trial: Trial, now: float) -> None:
        if trial.has_passed(self._accepted):
            self._rate.climbing = True
        climbing = self._rate.climbing
        trial.settle(self._accepted, self._refused_total, now, climbing=climbing)
        if not trial.over(self._accepted):
            return
        self._trial = None
        if trial.won(self._accepted, self._refused_total, now):
            self._level.forget()
        else:
            self._rate.forget()
            self._level.resume(trial.cap)
            self._level.tried = max(self._level.tried, trial.rate(self._accepted, now))
            self._level.since = (self._accepted, self._refused_total)

    def _end_hold(self, now: float) -> None:
        """The time that the API asked for is over."""
        self._hold = -inf
        if self._window_told:
            self._waited_for_window(now)
        elif self._rate.hint_s > 0:
            self._waited(now)
        self._settle()

    def _verify_passed(self) -> None:
        """One more call passed that was sent to find out whether it is concurrency."""
        self._verified += 1
        if self._verified >= self._verify_cap + _CONFIRMED_BY:
            self._confirm()

    def _question_passed(self, now: float) -> None:
        """One more call fitted than was thought; often enough, and it is no level at all."""
        level = self._level
        level.passed()
        base, trip = self._window.base or 0.0, self._trip_mean
        if level.has_grown(base / max(base - trip, 0.2 * base) if base else 1.0):
            # It has grown since: find out how far, carefully, for it may only stretch a little.
            self._window.restart(float(level.cap or 1))
            self._window.careful_from = 4.0 * (level.cap or 1)
            self._level = Level()
            return
        few = 1 if level.cap is not None and level.cap <= 2 * _SMALL else 3
        if level.passes > few + 4 * level.trials_lost:
            self._begin_trial(now, unasked=False)

    def _drain_allows(self, now: float) -> float | None:
        """Nothing leaves until fewer are in flight."""
        if self._in_flight > self._verify_cap * _DRAIN_TO:
            return None
        self._phase, self._lot, self._lot_left, self._verified = VERIFY, 1, 1, 0
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
        quiet = now - (
            self._accepted_at if self._accepted_at is not None else self._began_at or now
        )
        if quiet > _BREAKER_S:
            self._stop(f"nothing was accepted for {span(quiet)}; what landed is kept")
            return None
        if door.probe is None:
            return door.due
        # Silence is consent: a refusal would have come back by now.
        wait = max(_CONSENT_TRIPS * self._trip_mean, _CONSENT_OF_WORST * self._trip_worst)
        consent = door.probed_at + wait + _CONSENT_S
        if self._trip == inf:
            return None
        if now < consent:
            return consent
        group, _, serial = self._flying[door.probe]
        self._silent = serial, copy(door), copy(self._rate), copy(self._window)
        self._reopen(group, now)
        return now

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
            return max(now, door.slid())
        self._phase = CLOSED
        door.spent_s, door.taken_back = now - door.opened_at, 0
        door.close_until_opening(now, self._offset or 0.0)
        self._settle()
        return door.due

    def _stop(self, reason: str) -> None:
        if self._stopped is None:
            self._stopped = reason
        self._settle()
