"""What the pipeline file may say about limits: caps that always win over anything learnt."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

_SECONDS: Final = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "week": 604800.0}
_RESETS: Final = re.compile(r"(\d{2}):(\d{2})(?: (\S+))?")


class Quota(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most ``requests`` calls per period, counted over all runs.

    A quota whose period is short is waited out; one that resets in more than five minutes ends
    the run cleanly, and the next run continues.
    """

    requests: int
    """Calls that may be sent in one period; every sent call counts, refused ones too."""
    per: str | float
    """``second``, ``minute``, ``hour``, ``day``, ``week``, ``month``, or a number of seconds."""
    resets: str | None = None
    """For ``day``, ``week`` (Monday) and ``month`` (the first): the time of day at which the
    period begins, such as ``00:00 UTC`` or ``09:00 Europe/Helsinki``; UTC if no zone is named."""

    def __post_init__(self) -> None:
        """Refuse what cannot be counted."""
        if self.requests < 1:
            raise ValueError(f"quota.requests = {self.requests}: expected 1 or more")
        if isinstance(self.per, str):
            if self.per not in _SECONDS and self.per != "month":
                raise ValueError(
                    f"quota.per = {self.per!r}: expected second, minute, hour, day, week, "
                    "month, or a number of seconds"
                )
        elif not 0 < self.per < float("inf"):
            raise ValueError(f"quota.per = {self.per}: expected a number of seconds above 0")
        if self.resets is not None:
            if self.per not in ("day", "week", "month"):
                raise ValueError(
                    f"quota.resets = {self.resets!r}: only day, week and month have a time of reset"
                )
            _time_of_day(self.resets)

    def period(self, wall: float) -> tuple[float, float]:
        """Begin and end of the period that holds ``wall`` (seconds since 1970, UTC)."""
        if isinstance(self.per, str) and self.per in ("day", "week", "month"):
            return self._calendar_period(wall)
        length = _SECONDS[self.per] if isinstance(self.per, str) else self.per
        begin = wall // length * length
        return begin, begin + length

    def _calendar_period(self, wall: float) -> tuple[float, float]:
        hour, minute, zone = _time_of_day(self.resets or "00:00 UTC")
        local = datetime.fromtimestamp(wall, zone)
        begin = local.replace(hour=hour, minute=minute, second=0, microsecond=0)
        if begin > local:
            begin -= timedelta(days=1)
        if self.per == "day":
            return begin.timestamp(), (begin + timedelta(days=1)).timestamp()
        if self.per == "week":
            begin -= timedelta(days=begin.weekday())
            return begin.timestamp(), (begin + timedelta(days=7)).timestamp()
        begin = begin.replace(day=1)
        return begin.timestamp(), _month_later(begin).timestamp()


class PaceOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[limits]`` of a pipeline file. None of them is needed: limits are found by themselves.

    What is given here is a cap: nothing that is learnt ever lifts it.
    """

    max_concurrency: int | None = None
    """Calls in flight at once."""
    max_rate: float | None = None
    """Calls per second."""
    quota: Quota | None = None

    def __post_init__(self) -> None:
        """Refuse caps that would let nothing pass."""
        if self.max_concurrency is not None and self.max_concurrency < 1:
            raise ValueError(f"max_concurrency = {self.max_concurrency}: expected 1 or more")
        if self.max_rate is not None and not 0 < self.max_rate < float("inf"):
            raise ValueError(f"max_rate = {self.max_rate}: expected calls per second, above 0")


def _month_later(begin: datetime) -> datetime:
    year, month = (begin.year + 1, 1) if begin.month == 12 else (begin.year, begin.month + 1)  # noqa: PLR2004
    return begin.replace(year=year, month=month)


def _time_of_day(text: str) -> tuple[int, int, tzinfo]:
    found = _RESETS.fullmatch(text)
    if found is None or int(found[1]) > 23 or int(found[2]) > 59:  # noqa: PLR2004
        raise ValueError(f"quota.resets = {text!r}: expected HH:MM and a zone, such as 00:00 UTC")
    name = found[3] or "UTC"
    try:
        zone: tzinfo = UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"quota.resets = {text!r}: there is no time zone {name}") from error
    return int(found[1]), int(found[2]), zone
