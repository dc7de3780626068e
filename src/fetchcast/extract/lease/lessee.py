"""The limiter of an engine that lives on lent permits. Pure: it decides, `leasing` carries."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from fetchcast.extract.lease.messages import Ask, Ended, Lease, Verdict
from fetchcast.extract.pace.headers import KNOWN

_REPORT_S: Final = 0.1
"""What was seen is told no later than this, also if nothing more is wanted."""
_HEARTBEAT_S: Final = 5.0
_MOST: Final = 256
_LATE_S: Final = 0.02
"""So far a burst may make up for a timer that came late."""
_TICK_S: Final = 0.008
"""Calls that are closer together leave together: to wake for each costs more than the call."""


class Lessee:
    """A `fetchcast.extract.engine.Limiter` without a limit of its own: no permit, no call.

    Args:
        name: As `Ask.lessee` has it.
        calls: How many calls there are to make; no more permits than that are asked for.
        most: Calls in flight that the transport allows.
        tell: Called when there is something to ask or to tell.
    """

    def __init__(
        self, name: str, *, calls: int, tell: Callable[[], None], most: int = _MOST
    ) -> None:
        self._name, self._left, self._most, self._tell = name, calls, most, tell
        self._slots: deque[tuple[float, int, int]] = deque()
        self._flying: dict[int, tuple[int, float]] = {}
        self._seen: list[
            tuple[int, Verdict, float, float, int | None, Mapping[str, str], bool]
        ] = []
        self._epoch = 0
        self._valid_s = 0.0
        self._spacing_s = 0.0
        self._reuse, self._reuse_until = 0, float("-inf")
        self._ready_at = float("-inf")
        self._lot = 0
        self._hungry = False
        self._urgent = False
        self._again_at = self._told_at = float("-inf")
        self._news = False
        self.proven = False
        """Whether a call of somebody has been accepted."""
        self._stopped: str | None = None
        self._own_cap = False

    @property
    def lane(self) -> int:
        """For which of several keys the next call's permit is."""
        return self._slots[0][2] if self._slots else 0

    def more(self, count: int) -> None:
        """So many calls more have become known."""
        self._left += count

    # --- the engine's questions -----------------------------------------------------------------

    def next(self, now: float) -> float | None:
        """When one call may leave; None while there is no permit."""
        slots = self._slots
        while slots and now > slots[0][0] + self._valid_s:
            _, permit, _ = slots.popleft()
            self._seen.append((permit, Verdict.UNUSED, now, now, None, {}, False))
        if not self._hungry and self._stopped is None and self._is_short():
            self._hungry = True
            self._tell()
        if not slots or self._stopped is not None:
            return None
        due = max(slots[0][0], self._ready_at)
        return due if due <= now else due + max(0.0, _TICK_S - self._spacing_s)

    def _is_short(self) -> bool:
        """Whether it is time to ask: before the last permit is used, but not for the last call."""
        held = len(self._slots)
        return not held or (2 * held <= self._lot and held < self._left)

    def sent(self, call: int, now: float) -> None:
        """A call left, with the oldest permit."""
        due, permit, _ = self._slots.popleft()
        # Permits that are late go out one after the other, as they would have.
        self._ready_at = max(due, now - _LATE_S) + self._spacing_s
        self._flying[call] = (permit, now)
        self._left -= 1

    def accepted(self, call: int, now: float, headers: Mapping[str, str], wall: float) -> None:
        """An answer that is no refusal."""
        del wall  # The coordinator has a clock of its own.
        keep = now < self._reuse_until and self._left > len(self._slots)
        self._end(call, Verdict.ACCEPTED, now, None, _told(headers), keep=keep)

    def refused(
        self, call: int, now: float, *, status: int | None, headers: Mapping[str, str], wall: float
    ) -> None:
        """The API said "not now": all must know at once."""
        del wall
        self._left += 1
        self._urgent = True
        self._reuse_until = now
        self._end(call, Verdict.REFUSED, now, status, _told(headers))

    def failed(self, call: int, now: float) -> None:
        """No answer, or a broken one."""
        self._end(call, Verdict.FAILED, now, None, {})

    def denied(self, call: int, now: float, *, status: int) -> None:
        """The API said "you may not"; with another key it may go again."""
        self._left += 1
        self._end(call, Verdict.DENIED, now, status, {})

    def cancelled(self, call: int, now: float) -> None:
        """The call was dropped."""
        self._end(call, Verdict.DROPPED, now, None, {})

    def stopped(self) -> str | None:
        """Why nothing more is to be sent, in words, or None."""
        return self._stopped

    @property
    def stopped_by_own_cap(self) -> bool:
        """Whether that was a cap of the user's own."""
        return self._own_cap

    def _end(
        self,
        call: int,
        verdict: Verdict,
        now: float,
        status: int | None,
        headers: Mapping[str, str],
        *,
        keep: bool = False,
    ) -> None:
        permit, left_at = self._flying.pop(call)
        kept = keep and permit > 0 and len(self._flying) + len(self._slots) < self._reuse
        self._seen.append((permit, verdict, left_at, now, status, headers, kept))
        if kept:
            self._slots.append((now, permit, 0))
        starved = self._hungry and self._news and not self._slots
        if len(self._seen) == 1 or self._urgent or starved:
            # Otherwise it changes nothing about when the next message is due.
            self._tell()

    # --- the shell's questions --------------------------------------------------------------------

    def due(self, now: float) -> float:
        """When the next message should go; no later than ``now`` if at once."""
        heartbeat = self._told_at + _HEARTBEAT_S
        if self._urgent:
            return now
        report = self._told_at + _REPORT_S if self._seen else heartbeat
        if not self._hungry:
            return min(heartbeat, report)
        starved = self._news and self._seen and not self._slots
        return min(report, now if starved else max(now, self._again_at))

    def ask(self, now: float, *, closing: bool = False) -> Ask:
        """The message: what is wanted, and what was seen since the last one."""
        if closing:
            for _, permit, _ in self._slots:
                self._seen.append((permit, Verdict.UNUSED, now, now, None, {}, False))
            self._slots.clear()
        seen, self._seen = self._seen, []
        self._told_at, self._urgent = now, False
        wants = 0
        if self._hungry and not closing:
            room = self._most - len(self._flying) - len(self._slots)
            short = max(self._left - len(self._slots), 0 if self._slots else 1)
            wants = max(0, min(short, room))
        ended = [
            Ended(permit, verdict, now - left, now - at, status, headers, kept)
            for permit, verdict, left, at, status, headers, kept in seen
        ]
        return Ask(self._name, wants, self._epoch, ended, closing)

    def take(self, lease: Lease, now: float) -> None:
        """What was lent; permits of a coordinator that is gone are void."""
        if lease.epoch != self._epoch:
            self._epoch = lease.epoch
            self._slots.clear()
            # They are in flight, but nobody is left who lent them.
            self._flying = {call: (0, left) for call, (_, left) in self._flying.items()}
        self._reuse, self._reuse_until = lease.reuse, now + lease.reuse_s
        self._again_at, self._news = now + lease.again_s, lease.news
        self._stopped, self._own_cap = lease.stopped, lease.own_cap
        self.proven = lease.proven
        if not lease.permits:
            return
        self._hungry = False
        self._lot, self._valid_s = len(lease.permits), lease.valid_s
        span = lease.delays_s[-1] - lease.delays_s[0]
        self._spacing_s = span / (self._lot - 1) if self._lot > 1 else 0.0
        lanes = lease.lanes or [0] * self._lot
        for permit, delay, lane in zip(lease.permits, lease.delays_s, lanes, strict=True):
            self._slots.append((now + delay, permit, lane))

    def stop(self, reason: str) -> None:
        """Let no call leave any more."""
        self._stopped = reason

    @property
    def holds(self) -> int:
        """Permits in hand, not yet used."""
        return len(self._slots)


def _told(headers: Mapping[str, str]) -> Mapping[str, str]:
    """What of ``headers`` speaks of limits; ``date`` tells when it was written."""
    if KNOWN.isdisjoint(headers):
        return {}
    return {name: text for name, text in headers.items() if name in KNOWN or name == "date"}
