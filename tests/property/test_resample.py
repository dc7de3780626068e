"""Laws of the days that the sandbox makes of recorded ones."""

import json
import re
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fetchcast.sandbox import recordings
from fetchcast.sandbox.resample import as_of, made_day

SCHEMA = json.loads((Path(__file__).parent.parent / "data" / "rail-train.schema.json").read_text())
HELSINKI = ZoneInfo("Europe/Helsinki")
HOURS_EARLIER = {27: 0, 25: 1}

days = st.dates(date(2018, 1, 1), date(2036, 12, 31))
trains = st.sampled_from(list(HOURS_EARLIER))
seeds = st.integers(0, 2**32)
calm = settings(max_examples=60, deadline=None)  # A busy machine is not a fault.


def made(day: date, number: int, seed: int):
    earlier_h = HOURS_EARLIER[number]
    return made_day(recordings.train_days(), day, number=number, earlier_h=earlier_h, seed=seed)


def faults(value, schema, at="$"):
    """Where ``value`` breaks ``schema``, for the keywords that the rail schema uses."""
    schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
    wanted = schema.get("type", [])
    wanted = [wanted] if isinstance(wanted, str) else wanted
    right = any(
        value is None
        if kind == "null"
        else isinstance(value, kinds[kind]) and (kind != "integer" or type(value) is int)
        for kind in wanted
    )
    if wanted and not right:
        yield f"{at}: {value!r} is not {wanted}"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is not one of {schema['enum']}"
    elif "pattern" in schema and not re.search(schema["pattern"], value):
        yield f"{at}: {value!r} does not match"
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from faults(item, schema["items"], f"{at}[{place}]")
    elif isinstance(value, dict):
        known = schema["properties"]
        yield from (f"{at}: lacks {name}" for name in schema["required"] if name not in value)
        yield from (f"{at}: has {name}" for name in value if name not in known)
        for name in value.keys() & known.keys():
            yield from faults(value[name], known[name], f"{at}.{name}")


def at(timestamp: str) -> datetime:
    return datetime.fromisoformat(timestamp)


def local_clock(row) -> str:
    return at(row["scheduledTime"]).astimezone(HELSINKI).strftime("%H:%M:%S")


def test_the_recorded_days_obey_the_schema() -> None:
    """The yardstick itself is right: it accepts every recording, and notices what is wrong."""
    recorded = list(recordings.train_days().values())
    assert list(faults(recorded, SCHEMA)) == []
    (first, *_), row = recorded, dict(recorded[0]["timeTableRows"][0])
    row["differenceInMinutes"], row["type"] = True, "PASS"
    del row["causes"]
    wrong = {**first, "version": "1", "extra": 1, "timeTableRows": [row]}
    assert len(list(faults([wrong], SCHEMA))) == 5


@calm
@given(day=days, number=trains, seed=seeds)
def test_every_made_day_obeys_the_schema(day: date, number: int, seed: int) -> None:
    """Whatever the day, the train and the seed: the answer has the API's form."""
    train = made(day, number, seed)
    assert list(faults([train] if train else [], SCHEMA)) == []


@calm
@given(day=days, number=trains, seed=seeds)
@example(day=date(2021, 3, 27), number=27, seed=27)  # The last day of winter time,
@example(day=date(2021, 3, 28), number=27, seed=27)  # and the first of summer time.
@example(day=date(2021, 10, 31), number=27, seed=27)
def test_the_clock_on_the_station_wall_stays(day: date, number: int, seed: int) -> None:
    """Scheduled local times are those of the recorded timetable, an hour earlier for train 25."""
    train = made(day, number, seed)
    if train is None:
        return
    timetable = {
        (row["stationShortCode"], row["type"]): local_clock(row)
        for row in recordings.train_days()["2020-01-01"]["timeTableRows"]
    }
    assert train["departureDate"] == day.isoformat()
    for row in train["timeTableRows"]:
        hours, rest = timetable[row["stationShortCode"], row["type"]].split(":", 1)
        assert local_clock(row) == f"{int(hours) - HOURS_EARLIER[number]:02}:{rest}"
        assert at(row["scheduledTime"]).astimezone(HELSINKI).date() == day


def test_tampere_in_summer_and_in_winter() -> None:
    """15:58 at Tampere is 13:58Z in winter and 12:58Z in summer."""
    for day, expected in (("2021-07-07", "12:58"), ("2021-12-08", "13:58")):
        rows = made(date.fromisoformat(day), 27, 27)["timeTableRows"]
        (arrival,) = [
            row for row in rows if (row["stationShortCode"], row["type"]) == ("TPE", "ARRIVAL")
        ]
        assert arrival["scheduledTime"] == f"{day}T{expected}:00.000Z"


@calm
@given(day=days, number=trains, seed=seeds)
def test_minutes_of_difference_are_rounded_half_up(day: date, number: int, seed: int) -> None:
    """Also on storm days, whose times are computed: in whole seconds, with integers only."""
    for row in (made(day, number, seed) or {"timeTableRows": []})["timeTableRows"]:
        happened = row.get("actualTime") or row.get("liveEstimateTime")
        assert (happened is None) == ("differenceInMinutes" not in row)
        if happened:
            seconds = round((at(happened) - at(row["scheduledTime"])).total_seconds())
            assert row["differenceInMinutes"] == (2 * seconds + 60) // 120


@calm
@given(day=days, number=trains, seed=seeds)
def test_what_was_cancelled_did_not_happen(day: date, number: int, seed: int) -> None:
    """A cancelled row has no actual time, and a cancelled train has cancelled rows only."""
    train = made(day, number, seed)
    if train is None:
        return
    rows = train["timeTableRows"]
    gone = [row["cancelled"] for row in rows]
    assert gone == sorted(gone), "a train does not start to run again on the way"
    assert train["cancelled"] == all(gone)
    assert not any("actualTime" in row for row in rows if row["cancelled"])
    assert any("actualTime" in row for row in rows) != train["cancelled"]


@calm
@given(order=st.permutations([date(2022, 5, 1) + timedelta(n) for n in range(6)]), seed=seeds)
def test_the_order_of_asking_changes_nothing(order: list[date], seed: int) -> None:
    """A day depends on seed, train and date, not on what was asked before it."""
    for day in order:
        assert made(day, 27, seed) == made(day, 27, seed)
    forth = {day: made(day, 25, seed) for day in order}
    assert forth == {day: made(day, 25, seed) for day in sorted(order)}


@calm
@given(
    day=days, seed=seeds, minutes=st.lists(st.integers(12 * 60, 22 * 60), min_size=2, max_size=2)
)
def test_looking_earlier_only_hides(day: date, seed: int, minutes: list[int]) -> None:
    """What is seen at a moment happened before it, and is the same whenever one looks back."""
    train = made(day, 27, seed)
    if train is None:
        return
    midnight = datetime(day.year, day.month, day.day, tzinfo=HELSINKI)
    early, late = (midnight + timedelta(minutes=count) for count in sorted(minutes))
    seen = as_of(train, early)
    for row in seen["timeTableRows"]:
        assert "actualTime" not in row or at(row["actualTime"]) < early
    over = [row for row in train["timeTableRows"] if "actualTime" in row]
    before = [row for row in over if at(row["actualTime"]) < early]
    assert sum("actualTime" in row for row in seen["timeTableRows"]) == len(before)
    assert seen["timeTableRows"] == as_of(as_of(train, late), early)["timeTableRows"]
    assert as_of(train, midnight + timedelta(days=3)) == train
    assert list(faults([seen], SCHEMA)) == []


def delay_s(train) -> float | None:
    for row in train["timeTableRows"]:
        if (row["stationShortCode"], row["type"]) == ("TPE", "ARRIVAL") and "actualTime" in row:
            return (at(row["actualTime"]) - at(row["scheduledTime"])).total_seconds()
    return None


def delays_s(train):
    """Station and type to seconds of delay, in the order of the route."""
    return {
        (row["stationShortCode"], row["type"]): (
            at(row.get("actualTime") or row["liveEstimateTime"]) - at(row["scheduledTime"])
        ).total_seconds()
        for row in train["timeTableRows"]
        if "actualTime" in row or "liveEstimateTime" in row
    }


@pytest.fixture(scope="module")
def years():
    """Four years, so that each kind of day comes several times."""
    days = [date(2021, 1, 1) + timedelta(n) for n in range(4 * 365)]
    return {day: made(day, 27, 27) for day in days}


def test_days_come_from_recorded_days_of_the_same_weekday(years) -> None:
    """But for storms, every delay at Tampere was recorded on the same day of some week."""
    pools = [set() for _ in range(7)]
    for train in recordings.train_days().values():
        pools[date.fromisoformat(train["departureDate"]).weekday()].add(delay_s(train))
    strange = [
        day
        for day, train in years.items()
        if train and (late := delay_s(train)) is not None and late not in pools[day.weekday()]
    ]
    assert 0.005 <= len(strange) / len(years) <= 0.025, "the storms, and nothing else"


def test_special_days_come_in_their_shares(years) -> None:
    running = [train for train in years.values() if train]
    assert 0.01 <= 1 - len(running) / len(years) <= 0.03
    assert 0.003 <= sum(train["cancelled"] for train in running) / len(years) <= 0.014
    cut = [t for t in running if not t["cancelled"] and t["timeTableRows"][-1]["cancelled"]]
    assert 0 < len(cut) / len(years) <= 0.009


def test_stations_go_missing_whole(years) -> None:
    """Departures and arrivals alternate from Helsinki to Oulu, on every kind of day."""
    for train in filter(None, years.values()):
        rows = train["timeTableRows"]
        assert (rows[0]["stationShortCode"], rows[-1]["stationShortCode"]) == ("HKI", "OL")
        assert {row["type"] for row in rows[::2]} == {"DEPARTURE"}
        assert {row["type"] for row in rows[1::2]} == {"ARRIVAL"}
        assert [row["scheduledTime"] for row in rows] == sorted(r["scheduledTime"] for r in rows)


def test_storms_only_grow(years) -> None:
    """What a storm adds to some recorded day's delays never shrinks on the way."""
    recorded = [delays_s(train) for train in recordings.train_days().values()]
    ends = {late["OL", "ARRIVAL"] for late in recorded}
    storms = [
        late
        for train in filter(None, years.values())
        if (late := delays_s(train)).get(("OL", "ARRIVAL"), min(ends)) not in ends
    ]
    assert len(storms) >= 5
    for late in storms:
        added = [[late[key] - one[key] for key in late] for one in recorded]
        assert any(row == sorted(row) and row[0] == 0 and row[-1] > 2000 for row in added)


def test_lengths_differ(years) -> None:
    """A pipeline that counts on 202 rows a day is found out."""
    assert len({len(train["timeTableRows"]) for train in years.values() if train}) >= 3


def test_another_seed_gives_another_year() -> None:
    first, second = (
        [made(date(2021, 3, 23) + timedelta(n), 27, seed) for n in range(60)] for seed in (1, 2)
    )
    assert sum(a == b for a, b in zip(first, second, strict=True)) < 20
