"""Several keys: one pace for each, because an API counts calls by key; your own caps are for all.

A call leaves with the key whose turn it is, of those that may be used now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from fetchcast.extract.pace.caps import Caps
from fetchcast.extract.pace.controller import Pace
from fetchcast.extract.pace.explanation import Explanation, Kind
from fetchcast.extract.pace.learnt import Learnt
from fetchcast.extract.pace.options import PaceOptions, Quota

_DENIED_ROW: Final = 3
"""A key that is refused so often in a row, where others work, is used no more in this run."""


class Lanes:
    """The paces of several keys, as one; see `Pace` for the question and the events.

    Args:
        options: Your own caps, for all keys together.
        quota: Calls that each key may make in a period.
        memories: What earlier runs learnt, by key; its length is the number of keys.
        total: What was counted for all keys together.
        max_connections: Calls in flight that the transport allows.
        wall: The time of day now (seconds since 1970, UTC).
    """

    _kind: ClassVar[type[Pace]] = Pace

    def __init__(
        self,
        options: PaceOptions,
        *,
        quota: Quota | None,
        memories: Sequence[Learnt | None],
        total: Learnt | None,
        max_connections: int,
        wall: float,
    ) -> None:
        share = max(1, max_connections // len(memories))
        each = PaceOptions(quota=quota)
        self.paces: Final = [
            self._kind(each, memory=memory, max_connections=share, wall=wall) for memory in memories
        ]
        self.lane = 0
        """With which key the call leaves that `next` allows."""
        self._caps = Caps(options, total, wall)
        self._most = options.max_concurrency or max_connections
        self._flying: dict[int, int] = {}
        self._denied = [0] * len(memories)
        self._begun = False

    def next(self, now: float) -> float | None:
        """See `Pace.next`; notes the lane."""
        own = self._own(now)
        return own if own is None or own > now else self._next_lane(now)

    def _own(self, now: float) -> float | None:
        """When your own caps let a call leave; None if none may, before something changes."""
        if not self._begun:
            self._begun = True
            self._caps.begin(now)
        if self._is_stopped() or len(self._flying) >= self._most:
            return None
        own = self._caps.ready(now)
        return None if self._is_stopped() else own

    def _is_stopped(self) -> bool:
        return self._caps.stopped is not None

    def _next_lane(self, now: float) -> float | None:
        """When the first of the keys may be used, beginning with the one after the last."""
        soonest: float | None = None
        count = len(self.paces)
        for step in range(1, count + 1):
            lane = (self.lane + step) % count
            due = self.paces[lane].next(now) if self._usable(lane) else None
            if due is not None and due <= now:
                self.lane = lane
                return due
            if due is not None:
                soonest = due if soonest is None else min(soonest, due)
        return soonest

    def _usable(self, lane: int) -> bool:
        """Whether the key is any good, or all are as bad."""
        return self._denied[lane] < _DENIED_ROW or min(self._denied) >= _DENIED_ROW

    def sent(self, call: int, now: float) -> None:
        """A call left, on the lane that `next` chose."""
        self._flying[call] = self.lane
        self._caps.spend(now)
        self.paces[self.lane].sent(call, now)

    def accepted(self, call: int, now: float, headers: Mapping[str, str], wall: float) -> None:
        """See `Pace.accepted`."""
        lane = self._flying.pop(call)
        self._denied[lane] = 0
        self.paces[lane].accepted(call, now, headers, wall)

    def refused(
        self, call: int, now: float, *, status: int | None, headers: Mapping[str, str], wall: float
    ) -> None:
        """See `Pace.refused`; the other keys go on."""
        pace = self.paces[self._flying.pop(call)]
        pace.refused(call, now, status=status, headers=headers, wall=wall)

    def failed(self, call: int, now: float) -> None:
        """See `Pace.failed`."""
        self.paces[self._flying.pop(call)].failed(call, now)

    def denied(self, call: int, now: float, *, status: int) -> None:
        """See `Pace.denied`; a key that is denied again and again rests."""
        lane = self._flying.pop(call)
        self._denied[lane] += 1
        self.paces[lane].denied(call, now, status=status)

    def cancelled(self, call: int, now: float) -> None:
        """See `Pace.cancelled`."""
        self.paces[self._flying.pop(call)].cancelled(call, now)

    def stopped(self) -> str | None:
        """Why no call will leave any more: your own caps, or none of the keys can be used."""
        if self._caps.stopped is not None:
            return self._caps.stopped
        reasons = [pace.stopped() for lane, pace in enumerate(self.paces) if self._usable(lane)]
        if any(reason is None for reason in reasons):
            return None
        if len(self.paces) == 1:
            return reasons[0]
        return f"none of the {len(self.paces)} keys can be used: {reasons[0]}"

    @property
    def stopped_by_own_cap(self) -> bool:
        """Whether that was a cap of the user's own; a quota of each key is one."""
        if self._caps.stopped is not None:
            return True
        usable = [pace for lane, pace in enumerate(self.paces) if self._usable(lane)]
        return all(pace.stopped_by_own_cap for pace in usable)

    def learnt(self, wall: float) -> list[Learnt]:
        """What the next run should know of each key."""
        return [pace.learnt(wall) for pace in self.paces]

    def counted(self, wall: float) -> Learnt:
        """What the next run should know of all keys together: your own quota."""
        begin, used = self._caps.quota_state()
        return Learnt(at=wall, quota_begin=begin, quota_used=used)

    def explanation(self, now: float) -> Explanation:
        """The limit that is felt with one of the keys, the first that feels one."""
        all_of_them = [pace.explanation(now) for pace in self.paces]
        felt = [one for one in all_of_them if one.kind is not Kind.NONE] or all_of_them
        one, count = felt[0], len(self.paces)
        return one if count == 1 else replace(one, what=f"{one.what}, with each of {count} keys")
