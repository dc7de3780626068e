"""Days and windows of time. Pure: what time it is now is told.

Steps of days and longer follow the calendar: they begin at the same time of day, whatever the clock
did in between. Shorter steps are counted on the clock, so that a day on which it is put back has 25
windows of an hour.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fetchcast.errors import ConfigError
from fetchcast.plan.params import Dates

_SPAN = re.compile(r"(\d+)\s*(second|minute|hour|day|week|month|year)s?")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "year": 12}
_MOST = 20_000
"""Spans beyond this are typing errors, and end before the calendar does."""
_LAST_YEAR = 9_000


@dataclass(frozen=True, slots=True)
class _Step:
    """One of the three is not 0."""

    months: int = 0
    days: int = 0
    seconds: int = 0


@dataclass(frozen=True, slots=True)
class Window:
    """One window, as it is written, and when it is over."""

    start: str | int
    end: str | int
    day_over_at: float
    """When the day or moment at its start is over, in seconds since 1970."""
    over_at: float
    """When the window is over."""


class Windows:
    """The windows of ``options``, the oldest first.

    Args:
        options: Which.
        now: Seconds since 1970; the last ones are counted from here.

    Raises:
        ConfigError: If something in ``options`` is no day, span or zone; its key is that in there.
    """

    def __init__(self, options: Dates, *, now: float) -> None:
        self._options = options
        self._zone = _zone("time_zone", options.time_zone)
        self._step = _step("step", options.step)
        self._write = _writer(options, self._zone, on_clock=bool(self._step.seconds))
        self._first, self._stop = _bounds(options, self._zone, now)
        self.count = self._counted()
        """How many there are."""

    def __iter__(self) -> Iterator[Window]:
        if self._step.seconds:
            return self._on_clock()
        return self._on_calendar()

    def _counted(self) -> int:
        if self._step.seconds:
            span = self._stop.astimezone(UTC) - self._first.astimezone(UTC)
            return -(-span // timedelta(seconds=self._step.seconds))
        if self._step.days:
            naive = self._stop.replace(tzinfo=None) - self._first.replace(tzinfo=None)
            return -(-naive // timedelta(days=self._step.days))
        count = 0
        while self._start(count).replace(tzinfo=None) < self._stop.replace(tzinfo=None):
            count += 1
        return count

    def _on_clock(self) -> Iterator[Window]:
        first, stop = self._first.astimezone(UTC), self._stop.astimezone(UTC)
        step = timedelta(seconds=self._step.seconds)
        for place in range(self.count):
            start = first + place * step
            end = min(start + step, stop)
            last = end - timedelta(seconds=1) if self._options.ends == "inclusive" else end
            over = end.timestamp()
            yield Window(self._write(start), self._write(last), over, over)

    def _on_calendar(self) -> Iterator[Window]:
        start = self._first
        for place in range(self.count):
            following = self._start(place + 1)
            end = min(following, self._stop)  # In one zone, wall clocks are compared.
            last = end - timedelta(seconds=1) if self._options.ends == "inclusive" else end
            day_over = _midnight(start.date() + timedelta(days=1), self._zone)
            yield Window(
                self._write(start), self._write(last), day_over.timestamp(), end.timestamp()
            )
            start = following

    def _start(self, place: int) -> datetime:
        if self._step.days:
            return self._first + timedelta(days=place * self._step.days)
        return _months_later(self._first, place * self._step.months)


def _bounds(options: Dates, zone: ZoneInfo, now: float) -> tuple[datetime, datetime]:
    """Where the first window begins, and where the last one ends at the latest."""
    moment = datetime.fromtimestamp(now, UTC).astimezone(zone)
    today = _midnight(moment.date(), zone)
    if options.last is not None:
        back = _step("last", options.last)
        if back.seconds:
            hour = datetime.fromtimestamp(now - now % 3600, UTC)
            return (hour - timedelta(seconds=back.seconds)).astimezone(zone), hour.astimezone(zone)
        return _back(today, back), today
    assert options.from_ is not None
    first, _ = _moment("from", options.from_, zone)
    if options.to is None:
        stop = today
    else:
        stop, whole_day = _moment("to", options.to, zone)
        stop = _midnight(stop.date() + timedelta(days=1), zone) if whole_day else stop
    if stop.timestamp() <= first.timestamp():
        raise ConfigError("to", options.to, f"a day or moment not before {options.from_}")
    return first, stop


def _back(today: datetime, span: _Step) -> datetime:
    if span.days:
        return today - timedelta(days=span.days)
    return _months_later(today, -span.months)


def _step(key: str, text: str) -> _Step:
    """``text`` ("1 month", "6 hours") taken apart."""
    found = _SPAN.fullmatch(text.strip())
    if not found or int(found[1]) < 1:
        raise ConfigError(key, text, "a span like '365 days', '8 weeks', '12 months', '6 hours'")
    count, unit = int(found[1]), found[2]
    if unit in _SECONDS:
        if count > _MOST * 3600:
            raise ConfigError(key, text, f"at most {_MOST * 3600:,} {unit}s")
        return _Step(seconds=count * _SECONDS[unit])
    if count > _MOST or (unit == "year" and count > _MOST // 12):
        raise ConfigError(key, text, f"at most {_MOST // (12 if unit == 'year' else 1):,} {unit}s")
    if unit in _DAYS:
        return _Step(days=count * _DAYS[unit])
    return _Step(months=count * _MONTHS[unit])


def _months_later(moment: datetime, months: int) -> datetime:
    """31 January and a month is the end of February."""
    month = moment.year * 12 + moment.month - 1 + months
    year, index = divmod(month, 12)
    for last in range(moment.day, 27, -1):
        try:
            return moment.replace(year=year, month=index + 1, day=last)
        except ValueError:
            continue
    return moment.replace(year=year, month=index + 1, day=min(moment.day, 28))


def _moment(key: str, text: str, zone: ZoneInfo) -> tuple[datetime, bool]:
    """The beginning of the day, or the moment, and whether it was a day."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        expected = "a day like 2026-11-25, or a moment like 2026-11-25T06:00"
        raise ConfigError(key, text, expected) from None
    if not 1 < found.year < _LAST_YEAR:
        raise ConfigError(key, text, f"a day before the year {_LAST_YEAR}")
    whole_day = not re.search(r"[T ]", text.strip())
    in_zone = found.replace(tzinfo=zone) if found.tzinfo is None else found.astimezone(zone)
    return in_zone, whole_day


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone)


def _zone(key: str, name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(key, name, "a name like Europe/Helsinki") from None


def _writer(options: Dates, zone: ZoneInfo, *, on_clock: bool) -> Callable[[datetime], str | int]:
    """How moments are written."""
    shown = None if options.written_in is None else _zone("written_in", options.written_in)
    format_ = options.format or (None if on_clock else "%Y-%m-%d")
    if format_ in {"unix", "unix_ms"}:
        scale = 1000 if format_ == "unix_ms" else 1
        return lambda moment: int(moment.timestamp()) * scale

    def write(moment: datetime) -> str:
        # A calendar's own midnight is written as it stands, also where the clock skips it.
        if shown is not None or on_clock:
            moment = moment.astimezone(shown or zone)
        return moment.isoformat() if format_ is None else moment.strftime(format_)

    return write
