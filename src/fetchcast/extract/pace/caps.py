"""The user's own caps: a rate and a quota. They always win, and nothing learnt lifts them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from fetchcast.extract.pace.learnt import Learnt
from fetchcast.extract.pace.options import PaceOptions

_LATE_S: Final = 0.01
_WAITED_OUT_S: Final = 300.0  # A quota that resets sooner is waited for; otherwise the run ends.


class Caps:
    """What the file allows per second and per period."""

    __slots__ = (
        "_awaited",
        "_gap_s",
        "_offset",
        "_period",
        "_quota",
        "_ready_at",
        "_wall",
        "any",
        "late_s",
        "max_concurrency",
        "max_rate",
        "stopped",
        "used",
    )

    def __init__(self, options: PaceOptions, memory: Learnt | None, wall: float | None) -> None:
        if options.quota is not None and wall is None:
            raise ValueError("a quota needs the time of day: Pace(..., wall=...)")
        self.max_concurrency, self.max_rate = options.max_concurrency, options.max_rate
        self._gap_s = 0.0 if options.max_rate is None else 1.0 / options.max_rate
        self._ready_at = float("-inf")
        self.late_s = _LATE_S
        """So late may a timer come and is made up for, or a high rate would never be reached."""
        self._awaited = False  # Whether somebody waited for `_ready_at`, and may have come late.
        self._quota = options.quota
        self._wall = wall or 0.0
        self._offset = 0.0
        self.any = options.max_rate is not None or options.quota is not None
        self.stopped: str | None = None
        """Why no more calls leave, in words."""
        self.used = 0
        """Calls sent in the quota's period."""
        self._period = (0.0, float("inf"))
        if self._quota is not None:
            self._period = self._quota.period(self._wall)
            if memory is not None and memory.quota_begin == self._period[0]:
                self.used = memory.quota_used

    def begin(self, now: float) -> None:
        """Tie the run's clock to the time of day."""
        self._offset = self._wall - now

    def ready(self, now: float) -> float:
        """When the next call may leave; no later than ``now`` if at once."""
        due = max(now, self._ready_at)
        self._awaited = self._awaited or due > now
        if self._quota is None:
            return due
        wall = now + self._offset
        if wall >= self._period[1]:
            self._period, self.used = self._quota.period(wall), 0
        if self.used < self._quota.requests:
            return due
        end = self._period[1]
        if end - wall > _WAITED_OUT_S:
            moment = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d %H:%M UTC")
            self.stopped = (
                f"your quota of {self._quota.requests} calls is used up until {moment}; "
                "run again then to go on"
            )
        return max(due, end - self._offset)

    def spend(self, now: float) -> None:
        """A call left."""
        self.used += 1
        if self._gap_s:
            late_s = max(self._gap_s, self.late_s) if self._awaited else self._gap_s
            self._ready_at = max(self._ready_at, now - late_s) + self._gap_s
            self._awaited = self._awaited and self._ready_at <= now

    def quota_state(self) -> tuple[float | None, int]:
        """Begin of the quota's period and the calls sent in it, for the next run."""
        return (None, 0) if self._quota is None else (self._period[0], self.used)

    def quota_text(self) -> str | None:
        """The quota in words, such as ``60,000 calls a day``."""
        quota = self._quota
        if quota is None:
            return None
        per = f"a {quota.per}" if isinstance(quota.per, str) else f"per {quota.per:g} s"
        return f"{quota.requests:,} calls {per}"

    def quota_share(self) -> float | None:
        """How much of the quota is used."""
        return None if self._quota is None else self.used / self._quota.requests
