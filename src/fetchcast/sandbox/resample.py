"""Days that nobody recorded, made of days that somebody did. Pure: no clock, no disk.

A made day takes a recorded day of the same weekday and moves it: the clock on the station wall
stays (15:58 at Tampere is 13:58Z in winter and 12:58Z in summer), the date changes. Then chance,
seeded by train and date, decides what kind of day it was. The same seed gives the same day, in
whatever order days are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache
from math import floor
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

HELSINKI = ZoneInfo("Europe/Helsinki")

NOT_RUN, CANCELLED, CUT_SHORT, STORM = 0.02, 0.008, 0.004, 0.015
"""Shares of days on which the train did not run at all, was cancelled, ended early, met a storm."""

_VERSIONS_A_DAY = 10_000_000  # Versions are one counter for all trains; it grew about so fast.
_HAPPENED = (
    "liveEstimateTime",
    "estimateSource",
    "actualTime",
    "differenceInMinutes",
    "trainReady",
)
_STORM = {
    "categoryCode": "V",
    "categoryCodeId": 24,
    "detailedCategoryCode": "V2",
    "detailedCategoryCodeId": 92,
}

Train = dict[str, Any]
Row = dict[str, Any]


def made_day(
    recorded: Mapping[str, Train], day: date, *, number: int, earlier_h: int, seed: int
) -> Train | None:
    """Train ``number`` on ``day``, as if it were over; None if it did not run.

    Args:
        recorded: ISO date to recorded train.
        day: The departure date in Finland.
        number: The train number to write on it.
        earlier_h: How many hours earlier than the recorded train this one runs.
        seed: With ``number`` and ``day``, decides everything.
    """
    chance = Random(f"{seed}/{number}/{day}")
    fortune = chance.random()
    source = chance.choice(_weekdays(recorded)[day.weekday()])
    if fortune < NOT_RUN:
        return None
    train = moved(recorded[source], to=day, earlier_h=earlier_h)
    train["trainNumber"] = number
    rows = _varied(train["timeTableRows"], chance)
    fortune -= NOT_RUN
    if fortune < CANCELLED:
        train["cancelled"] = True
        rows = [_cancelled(row) for row in rows]
    elif fortune < CANCELLED + CUT_SHORT:
        rows = _cut_short(rows, chance)
    elif fortune < CANCELLED + CUT_SHORT + STORM:
        rows = _stormy(rows, chance)
    return {**train, "timeTableRows": rows}


def as_of(train: Train, now: datetime) -> Train:
    """``train`` as it looked at ``now``: what had not happened yet is taken out.

    Args:
        train: A train whose day is over.
        now: With a time zone.
    """
    limit = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    rows = [_not_after(row, limit) for row in train["timeTableRows"]]
    begun = any("actualTime" in row for row in rows)
    running = begun and "actualTime" not in rows[-1] and not rows[-1]["cancelled"]
    return {**train, "runningCurrently": running, "timeTableRows": rows}


def moved(train: Train, *, to: date, earlier_h: int = 0) -> Train:
    """A copy of ``train`` that departs on ``to``, at the same local clock less ``earlier_h``."""
    days = (to - date.fromisoformat(train["departureDate"])).days
    at = _mover(days, -earlier_h)
    copy = {
        **train,
        "departureDate": to.isoformat(),
        "version": train["version"] + days * _VERSIONS_A_DAY,
    }
    if "timetableAcceptanceDate" in copy:
        copy["timetableAcceptanceDate"] = at(copy["timetableAcceptanceDate"])
    copy["timeTableRows"] = [_moved_row(row, at) for row in train["timeTableRows"]]
    return copy


def minutes_late(at: str, scheduled: str) -> int:
    """The API's ``differenceInMinutes``: whole minutes, a half rounds up (-0.5 gives 0)."""
    return floor((_instant(at) - _instant(scheduled)).total_seconds() / 60 + 0.5)


def _weekdays(recorded: Mapping[str, Train]) -> list[list[str]]:
    pools: list[list[str]] = [[] for _ in range(7)]
    for day in sorted(recorded):
        pools[date.fromisoformat(day).weekday()].append(day)
    return pools


def _mover(days: int, hours: int) -> Callable[[str], str]:
    """A function that moves a UTC timestamp by so much on the clock of Helsinki."""

    # Offsets and moves are whole hours, so one look at the calendar serves a whole hour of rows.
    @cache
    def hour(utc: str) -> str:
        wall = datetime.fromisoformat(utc + ":00:00+00:00").astimezone(HELSINKI)
        target = wall.replace(tzinfo=None) + timedelta(days=days, hours=hours)
        return target.replace(tzinfo=HELSINKI).astimezone(UTC).strftime("%Y-%m-%dT%H")

    return lambda timestamp: hour(timestamp[:13]) + timestamp[13:]


def _moved_row(row: Row, at: Callable[[str], str]) -> Row:
    copy = dict(row)
    for name in ("scheduledTime", "liveEstimateTime", "actualTime"):
        if name in copy:
            copy[name] = at(copy[name])
    if "trainReady" in copy:
        ready = copy["trainReady"]
        copy["trainReady"] = {**ready, "timestamp": at(ready["timestamp"])}
    return copy


def _varied(rows: Sequence[Row], chance: Random) -> list[Row]:
    """``rows`` without a few stations that are only passed, and a few tracks unknown."""
    passed = sorted({row["stationShortCode"] for row in rows if not row["trainStopping"]})
    gone = set(chance.sample(passed, chance.choice((0, 0, 0, 1, 1, 2, 3))))
    unknown = set(chance.sample(passed, chance.choice((0, 0, 1, 2))))
    return [
        _trackless(row) if row["stationShortCode"] in unknown else row
        for row in rows
        if row["stationShortCode"] not in gone
    ]


def _trackless(row: Row) -> Row:
    copy = {name: value for name, value in row.items() if name != "commercialTrack"}
    return {**copy, "unknownTrack": True}


def _not_happened(row: Row) -> Row:
    return {**{name: row[name] for name in row if name not in _HAPPENED}, "causes": []}


def _not_after(row: Row, limit: str) -> Row:
    happened = row.get("actualTime") or row.get("liveEstimateTime") or limit
    return row if happened < limit else _not_happened(row)


def _cancelled(row: Row) -> Row:
    return {**_not_happened(row), "cancelled": True}


def _cut_short(rows: Sequence[Row], chance: Random) -> list[Row]:
    """The train ends at one of its stops on the way; all rows after the arrival are cancelled."""
    stops = [
        place
        for place, row in enumerate(rows)
        if row.get("commercialStop") and row["type"] == "ARRIVAL"
    ]
    last = chance.choice(stops[1:-1])
    return [*rows[: last + 1], *(_cancelled(row) for row in rows[last + 1 :])]


def _stormy(rows: Sequence[Row], chance: Random) -> list[Row]:
    """A delay that begins somewhere in the first half and grows to the end of the line."""
    total_s = chance.uniform(45, 180) * 60
    onset = chance.randrange(len(rows) // 2)
    way = len(rows) - onset
    return [
        _later(row, round(total_s * max(0, place - onset) / way)) for place, row in enumerate(rows)
    ]


def _later(row: Row, extra_s: int) -> Row:
    if not extra_s:
        return row
    copy = dict(row)
    for name in ("liveEstimateTime", "actualTime"):
        if name in copy:
            copy[name] = _text(_instant(copy[name]) + timedelta(seconds=extra_s))
    at = copy.get("actualTime") or copy.get("liveEstimateTime")
    if at:
        copy["differenceInMinutes"] = minutes_late(at, copy["scheduledTime"])
    if copy.get("commercialStop"):
        copy["causes"] = [_STORM]
    return copy


def _instant(timestamp: str) -> datetime:
    return datetime.fromisoformat(timestamp)


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
