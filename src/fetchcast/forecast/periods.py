"""Calendar arithmetic: which frequency a series has, and time stamps as whole numbers.

A `Grid` numbers the periods of one frequency (day 20000, month 600, ...), so that the next
period is the number plus one, a gap is a jump, and two series can be laid side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
Stamps: TypeAlias = NDArray[np.datetime64]

MICROS_A_DAY = 86_400_000_000
_MICROS_AN_HOUR = 3_600_000_000


class Frequency(StrEnum):
    """How far apart the observations of a series are."""

    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    QUARTERLY = "quarterly"
    YEARLY = "yearly"


SEASON = {
    Frequency.HOURLY: 24,
    Frequency.DAILY: 7,
    Frequency.WEEKLY: 52,
    Frequency.MONTHLY: 12,
    Frequency.QUARTERLY: 4,
    Frequency.YEARLY: 1,
}
"""Periods in the cycle that is looked for when none is given."""

HORIZON = {
    Frequency.HOURLY: 48,
    Frequency.DAILY: 28,
    Frequency.WEEKLY: 13,
    Frequency.MONTHLY: 12,
    Frequency.QUARTERLY: 8,
    Frequency.YEARLY: 4,
}
"""Periods to forecast when none is given."""

NOUN = {
    Frequency.HOURLY: "hour",
    Frequency.DAILY: "day",
    Frequency.WEEKLY: "week",
    Frequency.MONTHLY: "month",
    Frequency.QUARTERLY: "quarter",
    Frequency.YEARLY: "year",
}

_MONTHS = {Frequency.MONTHLY: 1, Frequency.QUARTERLY: 3, Frequency.YEARLY: 12}
_LONGEST_FIRST = (Frequency.YEARLY, Frequency.QUARTERLY, Frequency.MONTHLY)


class _Facts(NamedTuple):
    """What gives the frequency of one series away."""

    step: int
    """The greatest common divisor of its steps: microseconds, whole days, months."""
    days: int
    months: int
    same_day: bool
    """Always on the same day of the month."""
    month_ends: bool
    once_a_day: bool
    first_day: int
    first_month: int
    day: int
    points: int


@dataclass(frozen=True, slots=True, order=True)
class Grid:
    """Numbers the periods of one frequency; equal time stamps have equal numbers."""

    frequency: Frequency
    offset: int = 0
    """Days from Thursday, 1 January 1970 to the first week; months from January to the first
    quarter or year."""
    day: int = 1
    """The day of the month on which a month, quarter or year is dated; 31: its last."""

    def numbers(self, stamps: Ints) -> Ints:
        """Period numbers of ``stamps`` (microseconds since 1970)."""
        if self.frequency is Frequency.HOURLY:
            return stamps // _MICROS_AN_HOUR
        days = stamps // MICROS_A_DAY
        if self.frequency is Frequency.DAILY:
            return days
        if self.frequency is Frequency.WEEKLY:
            return (days - self.offset) // 7
        return (months_of(days) - self.offset) // _MONTHS[self.frequency]

    def stamps(self, numbers: Ints) -> Ints:
        """Microseconds since 1970 of period ``numbers``; the inverse of `numbers`."""
        if self.frequency is Frequency.HOURLY:
            return numbers * _MICROS_AN_HOUR
        if self.frequency is Frequency.DAILY:
            return numbers * MICROS_A_DAY
        if self.frequency is Frequency.WEEKLY:
            return (numbers * 7 + self.offset) * MICROS_A_DAY
        months = numbers * _MONTHS[self.frequency] + self.offset
        first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        after = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        return np.minimum(first + self.day - 1, after - 1) * MICROS_A_DAY

    def positions(self, numbers: Ints, season: int, time_zone: str) -> Ints:
        """The place of each period in its cycle, ``0 <= p < season``.

        Hours are counted by the clock on the wall of ``time_zone``, so that the rush hour stays
        the rush hour when summer time begins.
        """
        if self.frequency is Frequency.HOURLY and time_zone != "UTC" and numbers.size:
            numbers = wall(self.stamps(numbers), time_zone) // _MICROS_AN_HOUR
        return numbers % season


def months_of(days: Ints) -> Ints:
    """Months since January 1970 of days since 1 January 1970."""
    return days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def wall(stamps: Ints, time_zone: str) -> Ints:
    """Instants (microseconds since 1970, UTC) as the clock on the wall of ``time_zone`` shows."""
    instants = pa.array(stamps, pa.int64()).cast(pa.timestamp("us", time_zone))
    return np.asarray(pc.local_timestamp(instants).cast(pa.int64()).to_numpy(zero_copy_only=False))


def frequencies(stamps: Ints, starts: Ints) -> list[Grid | None]:
    """The grid of each series, or None where its time stamps fit none.

    Args:
        stamps: Sorted, distinct time stamps of all series one after the other, microseconds, as
            the clock on the wall shows.
        starts: Where each series begins in ``stamps``, shape ``(series,)``; none is empty.
    """
    ends = np.append(starts[1:], stamps.size)
    days = stamps // MICROS_A_DAY
    months = months_of(days)
    day = days - months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + 1
    last = (days + 1).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) > months
    step = _common(stamps, starts)
    facts = zip(
        step.tolist(),
        _common(days, starts).tolist(),
        _common(months, starts).tolist(),
        (np.minimum.reduceat(day, starts) == np.maximum.reduceat(day, starts)).tolist(),
        np.logical_and.reduceat(last, starts).tolist(),
        (_fewest(days, starts) > 0).tolist(),
        days[starts].tolist(),
        months[starts].tolist(),
        day[starts].tolist(),
        (ends - starts).tolist(),
        strict=True,
    )
    return [_grid(_Facts(*fact)) for fact in facts]


def _common(numbers: Ints, starts: Ints) -> Ints:
    """The greatest common divisor of the steps within each series; 0 for a single point."""
    steps = np.diff(numbers, prepend=numbers[:1])
    steps[starts] = 0
    return np.gcd.reduceat(steps, starts)


def _fewest(numbers: Ints, starts: Ints) -> Ints:
    """The smallest step within each series; a large number for a single point."""
    steps = np.diff(numbers, prepend=numbers[:1])
    steps[starts] = np.iinfo(np.int64).max
    return np.minimum.reduceat(steps, starts)


def _grid(fact: _Facts) -> Grid | None:
    if not fact.once_a_day:
        return Grid(Frequency.HOURLY) if fact.step % _MICROS_AN_HOUR == 0 else None
    if fact.points > 1 and (fact.same_day or fact.month_ends):
        frequency = next(each for each in _LONGEST_FIRST if fact.months % _MONTHS[each] == 0)
        offset = fact.first_month % _MONTHS[frequency]
        return Grid(frequency, offset, 31 if fact.month_ends else fact.day)
    if fact.points > 2 and fact.days % 7 == 0:  # noqa: PLR2004  two points a week apart say little
        return Grid(Frequency.WEEKLY, fact.first_day % 7)
    return Grid(Frequency.DAILY)


def grid_of(frequency: Frequency, stamps: Ints) -> Grid:
    """The grid of a series whose ``frequency`` was given, dated as its first time stamp is."""
    first = stamps[:1] // MICROS_A_DAY
    if frequency is Frequency.WEEKLY:
        return Grid(frequency, int(first[0]) % 7)
    if frequency in _MONTHS:
        days = stamps // MICROS_A_DAY
        months = months_of(days)
        day = days - months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) + 1
        ends = months_of(days + 1) > months
        return Grid(
            frequency, int(months[0]) % _MONTHS[frequency], 31 if ends.all() else int(day[0])
        )
    return Grid(frequency)
