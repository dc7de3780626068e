"""Parameters: the values that fill a resource's placeholders, and where they come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from difflib import get_close_matches
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from fetchcast.errors import ConfigError, UnknownKey
from fetchcast.plan.business_id import normalise
from fetchcast.records import Scalar

RULES: Mapping[str, Callable[[str], str]] = {"finnish_business_id": normalise}
"""What a value may be put through; each raises ValueError, with the reason, for a bad one."""

_DURATION = re.compile(r"(\d+)\s*(day|week|month|year)s?")
_DAYS = {"day": 1, "week": 7}
_MOST = 20_000
"""Spans beyond this are typing errors, and end before the calendar does."""


class Dates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Days: the ``last`` so many whole ones (to yesterday), or ``from`` .. ``to``, inclusive."""

    last: str | None = None
    """So many whole ones, ending yesterday: "365 days", "8 weeks", "12 months", "1 year"."""
    from_: str | None = msgspec.field(default=None, name="from")
    """The first day, like 2026-11-25."""
    to: str | None = None
    """The last day; yesterday if not given."""
    step: str = "1 day"
    """From one day to the next."""
    format: str = "%Y-%m-%d"
    """How the API wants its days written, in strftime's letters."""
    time_zone: str = "UTC"
    """Whose yesterday."""

    def __post_init__(self) -> None:
        if (self.last is None) == (self.from_ is None):
            raise ValueError("dates need either `last` or `from` (and `to`)")


class Csv(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column of a CSV file; parameters of the same file are read row by row, together."""

    csv: str
    """Path, relative to the pipeline file."""
    column: str
    """Its name in the header line; other columns are carried into the rows."""
    rule: str | None = None
    """What each value is put through, for instance ``finnish_business_id``."""
    on_bad: str = "reject"
    """A row whose value breaks the rule is a ``reject`` (the exit status says so) or a ``skip``."""

    def __post_init__(self) -> None:
        _check_rule(self.rule, self.on_bad)


class Parent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A field of the rows of another resource, the parent: one call for each of its rows."""

    from_: str = msgspec.field(name="from")
    """The parent's name; parameters of the same parent are read row by row, together."""
    field: str
    """Where the value is in a row: ``code``, ``station.code``."""
    rows: str | None = None
    """Where the parent's rows are in its answers; as in its first table if not given."""
    rule: str | None = None
    """What each value is put through, for instance ``finnish_business_id``."""
    on_bad: str = "reject"
    """A row whose value is missing or breaks the rule is a ``reject`` or a ``skip``."""

    def __post_init__(self) -> None:
        _check_rule(self.rule, self.on_bad)


ParamOptions: TypeAlias = Dates | Csv | Parent | list[Scalar] | Scalar


def _check_rule(rule: str | None, on_bad: str) -> None:
    if rule is not None and rule not in RULES:
        raise ValueError(f"rule = {rule!r}: expected one of {', '.join(RULES)}")
    if on_bad not in {"reject", "skip"}:
        raise ValueError(f"on_bad = {on_bad!r}: expected 'reject' or 'skip'")


def _kind_of(raw: dict[str, Any]) -> type[Csv | Dates | Parent]:
    if "field" in raw or "rows" in raw:
        return Parent
    return Csv if "csv" in raw else Dates


_CALLED: Mapping[type, str] = {Csv: "a CSV column", Dates: "days", Parent: "a field of a parent"}


def read_param(key: str, raw: Any) -> ParamOptions:
    """``raw`` from the file as the kind of parameter it is; raises `ConfigError`."""
    if isinstance(raw, dict):
        kind = _kind_of(raw)
        known = [field.encode_name for field in msgspec.structs.fields(kind)]
        for name in raw:
            if name not in known:
                nearest = get_close_matches(name, [*known, "csv"], n=1)
                raise UnknownKey(f"{key}.{name}", nearest[0] if nearest else None, known)
        try:
            return msgspec.convert(raw, kind)
        except msgspec.ValidationError as error:
            what = f"{_CALLED[kind]} ({str(error).partition(' - at')[0]})"
            raise ConfigError(key, raw, what) from None
    if isinstance(raw, list):
        if not raw:
            raise ConfigError(key, raw, "at least one value")
        if not all(isinstance(value, str | int | float | bool) for value in raw):
            raise ConfigError(key, raw, "a list of texts, numbers or true and false")
        return raw
    return raw if isinstance(raw, str | int | float | bool) else _refuse(key, raw)


def _refuse(key: str, raw: Any) -> ParamOptions:
    expected = "a value, a list of values, dates, a CSV column, or a field of a parent"
    raise ConfigError(key, raw, expected)


_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "week": 604800.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(second|minute|hour|day|week)s?")


def is_dates(raw: Any) -> bool:
    """Whether ``raw``, a parameter as it stands in the file, is days."""
    return isinstance(raw, dict) and _kind_of(raw) is Dates


def parent_of(raw: Any) -> str | None:
    """The resource from whose rows ``raw``, a parameter as it stands in the file, comes."""
    if not isinstance(raw, dict) or _kind_of(raw) is not Parent:
        return None
    name = raw.get("from")
    return name if isinstance(name, str) else None


def seconds_in(key: str, text: str) -> float:
    """The seconds in a span such as "6 hours" or "2 days"; raises `ConfigError` about ``key``."""
    found = _SPAN.fullmatch(text.strip())
    if not found:
        raise ConfigError(key, text, "a span like '30 minutes', '6 hours', '2 days', '1 week'")
    return float(found[1]) * _SECONDS[found[2]]


def days_in(text: str, *, before: date, key: str = "last") -> int:
    """How many days ``text`` ("365 days", "12 months") spans, counted back from ``before``."""
    found = _DURATION.fullmatch(text.strip())
    if not found or int(found[1]) < 1:
        raise ConfigError(key, text, "a span like '365 days', '8 weeks', '12 months', '1 year'")
    count, unit = int(found[1]), found[2]
    if count > _MOST:
        raise ConfigError(key, text, f"at most {_MOST:,} {unit}s")
    if unit in _DAYS:
        return count * _DAYS[unit]
    return (before - _months_back(before, count if unit == "month" else 12 * count)).days


def _months_back(day: date, months: int) -> date:
    month = day.year * 12 + day.month - 1 - months
    year, index = divmod(month, 12)
    for last in range(day.day, 27, -1):  # 31 March less a month is the end of February.
        try:
            return date(year, index + 1, last)
        except ValueError:
            continue
    return date(year, index + 1, min(day.day, 28))


def _day(key: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(key, text, "a day like 2026-11-25") from None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ConfigError("time_zone", name, "a name like Europe/Helsinki") from None


def span(options: Dates, *, now: float) -> tuple[date, int, int]:
    """First day, number of steps, and days per step of ``options``; ``now`` in seconds, UTC."""
    today = datetime.fromtimestamp(now, UTC).astimezone(_zone(options.time_zone)).date()
    step = days_in(options.step, before=today, key="step")
    if options.last is not None:
        days = days_in(options.last, before=today)
        return today - timedelta(days=days), -(-days // step), step
    assert options.from_ is not None
    first = _day("from", options.from_)
    last = _day("to", options.to) if options.to else today - timedelta(days=1)
    if last < first:
        raise ConfigError("to", options.to, f"a day not before {first}")
    return first, (last - first).days // step + 1, step


def days(options: Dates, *, now: float) -> list[date]:
    """The days of ``options``, the oldest first."""
    first, count, step = span(options, now=now)
    return [first + timedelta(days=i * step) for i in range(count)]


def end_of(day: date, zone: str) -> float:
    """When ``day`` is over in the time zone ``zone``, in seconds since 1970."""
    midnight = datetime.combine(day + timedelta(days=1), time(), tzinfo=_zone(zone))
    return midnight.timestamp()
