"""The one budget of an API: lends permits to all who ask, and hears what became of them.

Pure: time is an argument, seconds of a clock that only grows. A permit is one call of the pace:
it counts as sent when it is lent (so quotas count then, and a later cut knows which permits are
from before it), and ends with the report of its lessee, or with the lessee.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final

import msgspec

from fetchcast.extract.lease.messages import ASKS, ENCODER, Ask, Ended, Lease, Verdict
from fetchcast.extract.lease.shared_lanes import SharedLanes
from fetchcast.extract.lease.shared_pace import SharedPace
from fetchcast.extract.pace import Learnt, PaceOptions, Quota

SLICE_S: Final = 0.1
_SLICE_PER_LESSEE_S: Final = 0.001  # So that a thousand ask once a second each.
_LONGEST_SLICE_S: Final = 1.0
_WANTING_S: Final = 1.0
_SILENT_S: Final = 30.0
"""A lessee that said nothing for so long is gone; it speaks every five seconds."""
_LONGEST_GRACE_S: Final = 0.5
_MANY_EACH: Final = 4
_SOONEST_S: Final = 0.002
_LATEST_S: Final = 0.5
_ASKS_PER_S: Final = 200.0  # Of those who get nothing, together.
_REUSERS_ASK_PER_S: Final = 250.0
_REUSED_SLICES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Several keys: what an API counts, it counts for each."""

    quota: Quota | None
    """Calls that each may make in a period."""
    memories: Sequence[Learnt | None]
    """What earlier runs learnt, by key."""
    total: Learnt | None
    """What was counted for all together."""


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What the coordinator counted, for the progress line of the run."""

    lent: int = 0
    accepted: int = 0
    refused: int = 0
    failed: int = 0
    unused: int = 0
    in_flight: int = 0
    lessees: int = 0
    leases: int = 0
    lost: int = 0
    """Permits that came back because their lessee had gone."""
    explanation: str = ""
    limit: str = ""
    stopped: str | None = None
    own_cap: bool = False
    learnt: list[Learnt] = []
    """Of each key."""
    total: Learnt | None = None
    """Counted for all keys together, where there are several."""
    wall: float = 0.0


@dataclass(slots=True)
class _Lessee:
    """One who borrows."""

    name: str
    seen_at: float
    wanted_at: float = float("-inf")
    permits: set[int] = field(default_factory=set)


class Coordinator:
    """Holds the pace of one (scheme, host, port, credential) for all who call it.

    Args:
        options: The user's caps.
        memory: What an earlier run learnt.
        max_connections: Calls in flight that all lessees together may have.
        wall: The time of day, seconds since 1970.
        slice_s: How far ahead permits are lent, at least; the longer the way to the coordinator,
            the longer.
        epoch: Tells this coordinator from one before it, whose permits are void here; above 0.
        keys: Of the credential, where it is several keys or they have a quota.
    """

    def __init__(
        self,
        options: PaceOptions,
        *,
        memory: Learnt | None = None,
        max_connections: int = 4096,
        wall: float,
        slice_s: float = SLICE_S,
        epoch: int = 1,
        keys: Keys | None = None,
    ) -> None:
        self.pace: SharedPace | SharedLanes
        if keys is None:
            self.pace = SharedPace(
                options, memory=memory, max_connections=max_connections, wall=wall
            )
        else:
            self.pace = SharedLanes(
                options,
                quota=keys.quota,
                memories=keys.memories,
                total=keys.total,
                max_connections=max_connections,
                wall=wall,
            )
        self.options, self.epoch = options, epoch
        self._least_slice_s = self._slice_s_now = slice_s
        self._lessees: dict[str, _Lessee] = {}
        self._holders: dict[int, str] = {}
        self._free: list[int] = []
        self._most = 0
        self._late: list[tuple[float, list[int]]] = []
        """Permits of the dead, and when they come back: the API may be at work on them still."""
        self._wanting = 0
        self._counted_at = float("-inf")
        self._tally = dict.fromkeys(("lent", "leases", "unused", "lost", *_COUNTED.values()), 0)

    def answer(self, message: bytes, now: float, wall: float) -> bytes:
        """`lease`, from message to message."""
        return ENCODER.encode(self.lease(ASKS.decode(message), now, wall))

    def lease(self, ask: Ask, now: float, wall: float) -> Lease:
        """Take in what ``ask`` reports and lend what may be lent."""
        self._tally["leases"] += 1
        self._bury(now)
        lessee = self._lessees.get(ask.lessee)
        if lessee is None:
            lessee = self._lessees[ask.lessee] = _Lessee(ask.lessee, now)
            self._counted_at = float("-inf")
        lessee.seen_at = now
        if ask.epoch == self.epoch:
            self._settle(lessee, ask.ended, now, wall)
        if ask.closing:
            self._close(ask.lessee, now)
            return self._nothing(wall, 0.0)
        if ask.wants <= 0:
            return self._nothing(wall, _LATEST_S)
        lessee.wanted_at = now
        return self._lend(ask, lessee, now, wall)

    def lost(self, worker: str, now: float) -> None:
        """All lessees of ``worker`` are gone; what they held comes back after a moment."""
        prefix = f"{worker}/"
        for name in [one for one in self._lessees if one.startswith(prefix)]:
            self._lose(name, now)

    def tally(self, now: float, wall: float) -> Tally:
        """What was counted so far, and which limit is felt."""
        self._bury(now)
        explained = self.pace.explanation(now)
        return Tally(
            in_flight=self.pace.in_flight,
            lessees=len(self._lessees),
            explanation=explained.text,
            limit=explained.what,
            stopped=self.pace.stopped(),
            own_cap=self.pace.stopped_by_own_cap,
            learnt=[learnt] if isinstance(learnt := self.pace.learnt(wall), Learnt) else learnt,
            total=self.pace.counted(wall) if isinstance(self.pace, SharedLanes) else None,
            wall=wall,
            **self._tally,
        )

    def report(self, now: float, wall: float) -> bytes:
        """`tally` as a message."""
        return ENCODER.encode(self.tally(now, wall))

    # --- lending ------------------------------------------------------------------------------

    def _lend(self, ask: Ask, lessee: _Lessee, now: float, wall: float) -> Lease:
        pace, slice_s = self.pace, self._slice_s(now)
        self._slice_s_now = slice_s
        pace.lent_for(slice_s)
        most = min(ask.wants, self._share(lessee, slice_s))
        lent: list[tuple[float, int, int]] = []
        due: float | None = now
        if most <= 0:
            pace.next(now)  # It notes that more is wanted than there is room for.
        while len(lent) < most:
            due = pace.slot(now, slice_s)
            if due is None:
                break
            permit = self._take_permit()
            lane = pace.lane
            pace.sent(permit, max(now, due))
            self._holders[permit] = ask.lessee
            lessee.permits.add(permit)
            lent.append((max(0.0, due - now), permit, lane))
        self._tally["lent"] += len(lent)
        reuse = self._fair_room() if pace.may_reuse else 0
        if reuse:
            again_s, news = self._reused_s(slice_s), False
        else:
            again_s, news = (self._soon_s(), False) if lent else self._again(now)
        if isinstance(pace, SharedLanes):
            lent.sort()  # Each key has moments of its own.
        return self._reply(wall, lent, slice_s, again_s, news=news, reuse=reuse)

    def _slice_s(self, now: float) -> float:
        return min(
            _LONGEST_SLICE_S, max(self._least_slice_s, self._count(now) * _SLICE_PER_LESSEE_S)
        )

    def _count(self, now: float) -> int:
        """Lessees that wanted something lately; counted ten times a second, not each time."""
        if now - self._counted_at > SLICE_S:
            since = now - _WANTING_S - self._wanting * _SLICE_PER_LESSEE_S
            self._wanting = sum(one.wanted_at >= since for one in self._lessees.values())
            self._counted_at = now
        return max(1, self._wanting)

    def _share(self, lessee: _Lessee, slice_s: float) -> int:
        """Permits that this lessee may get now, so that others get theirs."""
        per_second, count = self.pace.per_second, max(1, self._wanting)
        if per_second is not None:
            return max(1, ceil(per_second * slice_s / count))
        return self._fair_room() - len(lessee.permits)

    def _fair_room(self) -> int:
        """Of the calls that may be in flight, those of one lessee."""
        return max(1, ceil(self.pace.room / max(1, self._wanting)))

    def _reused_s(self, slice_s: float) -> float:
        """When one who uses its permits again should tell of it; with many, each less often."""
        return min(slice_s, max(self.pace.latency_s, self._wanting / _REUSERS_ASK_PER_S))

    def _soon_s(self) -> float:
        """When one who got some may ask for more; where there is room for many, not for each."""
        pace = self.pace
        plenty = pace.per_second is None and pace.room > _MANY_EACH * max(1, self._wanting)
        return pace.latency_s / 4 if plenty else 0.0

    def _again(self, now: float) -> tuple[float, bool]:
        """When one who got nothing should ask again, and whether an end should be told at once."""
        due = self.pace.next(now)
        least = max(_SOONEST_S, self._count(now) / _ASKS_PER_S)
        if due is not None and due > now:
            # Lent out up to the end of the slice; or held until then.
            return max(least, due - now - self._slice_s(now) / 2), False
        return max(least, min(_LATEST_S, self.pace.latency_s / 4)), True

    def _nothing(self, wall: float, again_s: float) -> Lease:
        return self._reply(wall, [], 0.0, again_s, news=False)

    def _reply(
        self,
        wall: float,
        lent: list[tuple[float, int, int]],
        valid_s: float,
        again_s: float,
        *,
        news: bool,
        reuse: int = 0,
    ) -> Lease:
        stopped = self.pace.stopped()
        own_cap = stopped is not None and self.pace.stopped_by_own_cap
        return Lease(
            epoch=self.epoch,
            permits=[permit for _, permit, _ in lent],
            delays_s=[delay for delay, _, _ in lent],
            valid_s=valid_s,
            again_s=again_s,
            wall=wall,
            stopped=stopped,
            own_cap=own_cap,
            news=news,
            proven=self._tally["accepted"] > 0,
            reuse=reuse,
            reuse_s=_REUSED_SLICES * self._slice_s_now if reuse else 0.0,
            lanes=[lane for _, _, lane in lent] if isinstance(self.pace, SharedLanes) else [],
        )

    def _take_permit(self) -> int:
        if self._free:
            return self._free.pop()
        self._most += 1
        return self._most

    # --- what became of permits -----------------------------------------------------------------

    def _settle(self, lessee: _Lessee, ended: list[Ended], now: float, wall: float) -> None:
        if len(ended) > 1:
            ended = sorted(ended, key=_how_long_ago, reverse=True)
        for one in ended:
            # A permit that was taken back, or came back already, says nothing any more.
            if one.permit in lessee.permits:
                lessee.permits.discard(one.permit)
                self._end(one, now, wall)
                if one.kept:
                    self._lend_again(one.permit, lessee, now)

    def _end(self, one: Ended, now: float, wall: float) -> None:
        pace, permit, verdict = self.pace, one.permit, one.verdict
        del self._holders[permit]
        self._free.append(permit)
        if verdict is Verdict.UNUSED:
            self._tally["unused"] += 1
            pace.unspent(permit, now)
            return
        pace.left(permit, now - one.left_ago_s)
        at, wall = now - one.ended_ago_s, wall - one.ended_ago_s
        self._tally[_COUNTED[verdict]] += 1
        if verdict is Verdict.ACCEPTED:
            pace.accepted(permit, at, one.headers, wall)
        elif verdict is Verdict.REFUSED:
            pace.refused(permit, at, status=one.status, headers=one.headers, wall=wall)
        elif verdict is Verdict.FAILED:
            pace.failed(permit, at)
        elif verdict is Verdict.DENIED:
            pace.denied(permit, at, status=one.status or 0)
        else:
            pace.cancelled(permit, at)

    def _lend_again(self, permit: int, lessee: _Lessee, now: float) -> None:
        """A call is on its way with it already; it counts as any other."""
        name = self._free.pop()
        assert name == permit
        self.pace.sent(permit, now)
        self._holders[permit] = lessee.name
        lessee.permits.add(permit)
        self._tally["lent"] += 1

    def _close(self, name: str, now: float) -> None:
        """A lessee that ends well has told of all its permits; what is left never left."""
        for permit in self._lessees.pop(name).permits:
            self._end(Ended(permit, Verdict.DROPPED), now, 0.0)
        self._counted_at = float("-inf")

    def _lose(self, name: str, now: float) -> None:
        permits = self._lessees.pop(name).permits
        self._counted_at = float("-inf")
        if permits:
            self._tally["lost"] += len(permits)
            grace = min(_LONGEST_GRACE_S, 2 * self.pace.latency_s)
            self._late.append((now + grace, sorted(permits)))

    def _bury(self, now: float) -> None:
        """Take back what the dead held."""
        while self._late and self._late[0][0] <= now:
            _, permits = self._late.pop(0)
            for permit in permits:
                del self._holders[permit]
                self._free.append(permit)
                self.pace.cancelled(permit, now)
        if now - self._counted_at > SLICE_S:
            silent = [n for n, one in self._lessees.items() if now - one.seen_at > _SILENT_S]
            for name in silent:
                self._lose(name, now)

    @property
    def outstanding(self) -> Mapping[int, str]:
        """Every permit that is lent, and to whom."""
        return self._holders


def _how_long_ago(one: Ended) -> float:
    return one.ended_ago_s


_COUNTED: Final = {
    Verdict.ACCEPTED: "accepted",
    Verdict.REFUSED: "refused",
    Verdict.FAILED: "failed",
    Verdict.DENIED: "failed",
    Verdict.DROPPED: "unused",
}
