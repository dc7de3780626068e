"""The paces of several keys, lent out as one; see `SharedPace` for what lending needs beside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

from fetchcast.extract.lease.shared_pace import SharedPace
from fetchcast.extract.pace import Lanes, Pace


class SharedLanes(Lanes):
    """`Lanes` whose calls leave elsewhere: each permit is for the key that `slot` chose."""

    _kind: ClassVar[type[Pace]] = SharedPace

    @property
    def _shared(self) -> Sequence[SharedPace]:
        return cast("Sequence[SharedPace]", self.paces)

    may_reuse: ClassVar[bool] = False
    """Which key is next is decided call by call."""

    def lent_for(self, slice_s: float) -> None:
        """See `SharedPace.lent_for`."""
        self._caps.late_s = 0.0
        for pace in self._shared:
            pace.lent_for(slice_s)

    def slot(self, now: float, horizon_s: float) -> float | None:
        """See `SharedPace.slot`; `lane` says for which key."""
        own = self._own(now)
        if own is None or own > now + horizon_s:
            return None
        best: float | None = None
        first, count = self.lane, len(self.paces)
        for step in range(1, count + 1):
            lane = (first + step) % count
            due = self._shared[lane].slot(now, horizon_s) if self._usable(lane) else None
            if due is not None and (best is None or max(due, own) < best):
                best, self.lane = max(due, own), lane
        return best

    def left(self, call: int, at: float) -> None:
        """See `SharedPace.left`."""
        self._shared[self._flying[call]].left(call, at)

    def unspent(self, call: int, now: float) -> None:
        """See `SharedPace.unspent`; your own quota for all keys gets it back too."""
        self._shared[self._flying.pop(call)].unspent(call, now)
        self._caps.used = max(0, self._caps.used - 1)

    @property
    def per_second(self) -> float | None:
        """The pace of all keys together, if that of each is known, and your own cap."""
        each = [pace.per_second for pace in self._shared]
        known = [rate for rate in each if rate is not None]
        own = [] if self._caps.max_rate is None else [self._caps.max_rate]
        rates = [sum(known), *own] if len(known) == len(each) else own
        return min(rates) if rates else None

    @property
    def room(self) -> int:
        """Calls that may be in flight at once, with all keys together."""
        return min(self._most, sum(pace.room for pace in self._shared))

    @property
    def in_flight(self) -> int:
        """Calls that are allowed and have not been heard of again."""
        return len(self._flying)

    @property
    def latency_s(self) -> float:
        """Of an answer when the API is not pressed."""
        return min(pace.latency_s for pace in self._shared)
