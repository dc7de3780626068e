"""The question that fetchcast grew from, answered from 60 recorded days of train 27."""

import csv
import datetime as dt
import re
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fetchcast.errors import ConfigError, QuestionError
from fetchcast.forecast import QuestionOptions, SeriesOptions, answer, forecast_series

RECORDED = Path(__file__).parents[1] / "data" / "train27_daily_delay_2020-01_02.csv"
TODAY = dt.date(2020, 3, 1)
SERIES = SeriesOptions(unit="min", time_zone="Europe/Helsinki")
QUESTION = QuestionOptions(
    text="Will train 27 be in {place} by {deadline} on {date}?",
    series="arrival_delay",
    unique_id="TPE",
    deadline="16:00",
    date="next wednesday",
    time_zone="Europe/Helsinki",
    place="Tampere",
    labels={"TPE": "train 27"},
)


def recorded():
    """Delays in minutes, to the second, as the stops' table gives them."""
    with RECORDED.open() as file:
        rows = list(csv.DictReader(file))
    moments = [
        [dt.datetime.fromisoformat(row[name]) for name in ("scheduledTime", "actualTime")]
        for row in rows
    ]
    return pa.table(
        {
            "unique_id": [row["station"] for row in rows],
            "ds": [dt.date.fromisoformat(row["departureDate"]) for row in rows],
            "y": [(actual - planned).total_seconds() / 60 for planned, actual in moments],
            "scheduled": pa.array([planned for planned, _ in moments], pa.timestamp("us", "UTC")),
        }
    )


@pytest.fixture(scope="module")
def found():
    return forecast_series("arrival_delay", recorded(), SERIES, run="r1").tables


def test_train_27_in_tampere_by_four(found):
    """34 of 60 recorded days were in time; a Wednesday is much like the others."""
    said = answer(QUESTION, found, today=TODAY)
    assert said.headline == "Will train 27 be in Tampere by 16:00 on Wed 4 Mar?"
    assert said.date == dt.date(2020, 3, 4)
    assert said.probability == pytest.approx(34 / 60, abs=0.04)
    assert said.sentence == "Probably. 6 of 10 such days."
    assert said.detail == (
        "Expected at 16:00; 8 of 10 days between 15:56 and 16:11. Timetable: 15:58."
    )
    assert said.choice.p_running > 0.98
    assert said.choice.expected.at.isoformat(timespec="minutes").endswith("+02:00")
    assert said.unit == "min"
    assert said.cutoff == dt.date(2020, 2, 29)


def test_the_evidence_behind_it(found):
    said = answer(QUESTION, found, today=TODAY)
    assert (said.history.days, said.history.on_time) == (60, 34)
    assert (said.history.first, said.history.last) == (dt.date(2020, 1, 1), dt.date(2020, 2, 29))
    checked = said.reliability
    assert checked.n >= 28
    assert sum(each.n for each in checked.bins) == checked.n
    assert checked.this.lower <= said.probability <= checked.this.upper
    # Statements like this one came true about as often as they said.
    assert checked.this.came_true == pytest.approx(checked.this.said, abs=0.1)
    assert checked.sentence.startswith("When we said 50 % to 70 %, it came true 5")
    assert checked.brier < 0.27
    assert said.enough_history
    assert said.why.startswith("60 days to learn from; ")
    assert said.why.endswith(f"past answers about {said.reliability.days} days checked")


def test_two_minutes_to_walk(found):
    """Must be off the train by 15:58, the timetable: 20 of 60 days."""
    said = answer(QUESTION, found, today=TODAY, walk_min=2)
    assert said.latest.clock == "15:58"
    assert said.choice.threshold == 0
    assert said.probability == pytest.approx(20 / 60, abs=0.04)
    assert said.words == "Rather not."


def test_twenty_dots_can_be_counted(found):
    """The share of filled dots is the probability, to a dot."""
    said = answer(QUESTION, found, today=TODAY)
    choice = said.choice
    assert len(choice.dots) == len(choice.on_time) == 20
    assert sum(choice.on_time) == pytest.approx(20 * said.probability, abs=1)
    values = [dot.value for dot in choice.dots]
    assert values == sorted(values)
    assert choice.intervals[0].lower.value > choice.intervals[2].lower.value


def test_the_later_the_deadline_the_likelier(found):
    chances = [
        answer(QUESTION, found, today=TODAY, deadline=clock).probability
        for clock in ("15:50", "15:58", "16:00", "16:10", "16:40", "18:00")
    ]
    assert chances == sorted(chances)
    assert 0 < chances[0] < 0.02
    assert 0.98 < chances[-1] < 1


def test_the_same_question_with_a_threshold_in_minutes(found):
    """In by 16:00 is at most 2 minutes late."""
    by_clock = answer(QUESTION, found, today=TODAY)
    by_value = answer(QUESTION, found, today=TODAY, threshold=2.0)
    assert by_value.probability == by_clock.probability
    assert by_value.reliability == by_clock.reliability
    assert by_value.deadline is None


def test_a_question_about_a_deadline_may_be_asked_in_minutes(found):
    """Its words say so, instead of leaving a hole where the deadline stood."""
    said = answer(QUESTION, found, today=TODAY, threshold=5.0)
    assert said.headline == (
        "Will train 27 be in Tampere by 5 min after the timetable on Wed 4 Mar?"
    )
    assert said.probability == answer(QUESTION, found, today=TODAY, deadline="16:03").probability


def test_a_unique_id_may_be_made_of_a_train_and_a_place():
    """Both are named by the labels, whichever of the series is asked about."""
    question = msgspec.structs.replace(
        QUESTION,
        text="Will {label} be in {place}?",
        unique_id="27 TPE",
        parts="{label} {place}",
        labels={"27": "train 27", "TPE": "Tampere", "OL": "Oulu"},
        place="",
    )
    assert question.split("165 TPE") == ("165", "TPE")
    assert question.join("165", "OL") == "165 OL"
    assert (question.label("27 OL"), question.place_of("27 OL")) == ("train 27", "Oulu")
    assert (question.label("165 SK"), question.place_of("165 SK")) == ("165", "SK")
    with pytest.raises(ConfigError, match="of the form"):
        msgspec.structs.replace(question, unique_id="27")
    with pytest.raises(ConfigError, match="each once"):
        msgspec.structs.replace(question, parts="{train} {place}")


def test_alternatives_are_ranked_and_one_that_is_not_there_is_left_out(found):
    options = msgspec.structs.replace(QUESTION, alternatives=["OL", "TPE", "SK", "nowhere"])
    said = answer(options, found, today=TODAY, deadline="17:10")
    assert [choice.unique_id for choice in said.alternatives] == ["SK", "OL"]
    assert said.alternatives[0].probability > said.alternatives[1].probability
    assert said.alternatives[0].label == "SK"


def test_days_that_may_not_be_judged_by_are_in_the_forecast_and_not_in_the_evidence():
    """A resampled year after the recorded days: the answer counts recorded days only."""
    old = recorded().append_column("scored", pa.array([True] * 180))
    again = [
        old.set_column(1, "ds", pa.array([day + dt.timedelta(days=2191 + shift) for day in days]))
        .set_column(4, "scored", pa.array([False] * 180))
        .set_column(3, "scheduled", pc.add(old["scheduled"], dt.timedelta(days=2191 + shift)))
        for days in [old["ds"].to_pylist()]
        for shift in (0, 63, 126, 189, 252)
    ]
    tables = forecast_series(
        "arrival_delay", pa.concat_tables([old, *again]), SERIES, run="r"
    ).tables
    today = max(again[-1]["ds"].to_pylist()) + dt.timedelta(days=1)
    said = answer(QUESTION, tables, today=today)
    assert said.history.scored_only
    assert said.history.days == 60
    assert said.history.all_days == 360
    assert said.history.last == dt.date(2020, 2, 29)
    assert "recorded days only" in said.history.sentence
    assert said.reliability.n >= 28
    assert said.probability == pytest.approx(34 / 60, abs=0.06)


def test_summer_time_does_not_move_the_deadline(found):
    """Asked about a day after the clocks changed, 16:00 is still two minutes after 15:58."""
    tables = forecast_series(
        "arrival_delay", recorded(), msgspec.structs.replace(SERIES, horizon=35), run="r"
    ).tables
    said = answer(QUESTION, tables, today=TODAY, date="2020-03-30")
    assert said.choice.threshold == 2
    assert said.choice.scheduled.clock == "15:58"
    assert said.choice.scheduled.at.utcoffset() == dt.timedelta(hours=3)


def test_shortly_after_midnight_belongs_to_the_evening_before():
    """A train due at 23:50 can be asked about with the deadline 00:15."""
    days = [dt.date(2026, 1, 1) + dt.timedelta(days=k) for k in range(60)]
    rows = pa.table(
        {
            "unique_id": ["night"] * 60,
            "ds": days,
            "y": np.random.default_rng(5).gamma(1.5, 8, 60),
            "scheduled": [dt.datetime.combine(day, dt.time(23, 50), dt.UTC) for day in days],
        }
    )
    tables = forecast_series("s", rows, SeriesOptions(), run="r").tables
    options = QuestionOptions(text="?", series="s", unique_id="night", deadline="00:15")
    said = answer(options, tables, today=dt.date(2026, 3, 2))
    assert said.choice.threshold == 25


@pytest.mark.parametrize(
    ("date", "sentence"),
    [
        ("next wednesday", r"Almost certainly\. 9\d of 100 such days\."),
        ("next saturday", r"It may well be that it does not: it runs on [34] of 10 such days\. If"),
        ("next sunday", r"It hardly ever runs on such a day: on \d of 100\. If it does: almost c"),
        ("next friday", r"Almost certainly\. 9\d of 100 such days on which it runs; it does on 8"),
    ],
)
def test_whether_it_runs_at_all_is_said_before_anything_else(date, sentence):
    """Weekdays but Fridays always, four Fridays of five, some Saturdays, no Sundays."""
    days = [dt.date(2026, 1, 5) + dt.timedelta(days=k) for k in range(210)]
    week = [day.isocalendar().week for day in days]
    runs = [
        day.weekday() < 4
        or (day.weekday() == 4 and w % 5 > 0)
        or (day.weekday() == 5 and w % 3 == 0)
        for day, w in zip(days, week, strict=True)
    ]
    days = [day for day, run in zip(days, runs, strict=True) if run]
    rows = pa.table(
        {
            "unique_id": ["27"] * len(days),
            "ds": days,
            "y": np.random.default_rng(3).normal(2, 1, len(days)),
            "scheduled": [dt.datetime.combine(day, dt.time(12), dt.UTC) for day in days],
        }
    )
    tables = forecast_series("s", rows, SeriesOptions(unit="min"), run="r").tables
    options = QuestionOptions(text="?", series="s", unique_id="27", deadline="12:10", date=date)
    said = answer(options, tables, today=dt.date(2026, 8, 2))
    assert re.match(sentence, said.sentence), said.sentence


def test_a_question_about_an_amount_does_not_speak_of_time(found):
    options = msgspec.structs.replace(QUESTION, deadline=None, threshold=3.0, place="")
    said = answer(options, found, today=TODAY)
    assert said.history.sentence.startswith("Yes on ")
    assert answer(QUESTION, found, today=TODAY).history.sentence.startswith("In time on ")


def test_a_short_history_says_so():
    rows = recorded().slice(0, 54)  # 18 days
    tables = forecast_series("arrival_delay", rows, SERIES, run="r").tables
    said = answer(QUESTION, tables, today=dt.date(2020, 1, 19))
    assert not said.enough_history
    assert said.why.startswith("only 18 days to learn from")
    assert said.reliability.sentence == "There is no past answer of this kind to judge by."


def test_it_comes_back_from_a_database_the_same(found):
    """Tables that went through a file answer the same."""
    again = {
        name: pa.Table.from_pylist(t.to_pylist(), schema=t.schema) for name, t in found.items()
    }
    assert answer(QUESTION, again, today=TODAY) == answer(QUESTION, found, today=TODAY)


def test_an_older_run_beside_it_changes_nothing(found):
    older = forecast_series("arrival_delay", recorded().slice(0, 150), SERIES, run="r0").tables
    both = {name: pa.concat_tables([older[name], found[name]]) for name in ("forecast", "series")}
    mixed = {**found, **both}
    assert answer(QUESTION, mixed, today=TODAY) == answer(QUESTION, found, today=TODAY)


def test_it_is_json(found):
    said = msgspec.json.decode(msgspec.json.encode(answer(QUESTION, found, today=TODAY)))
    assert said["choice"]["expected"]["clock"] == "16:00"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"date": "2021-01-01"}, "2021-01-01 is not forecast .* reaches from 2020-03-01"),
        ({"unique_id": "HKI"}, "there is no forecast of 'HKI'; there are: OL, SK, TPE"),
    ],
)
def test_what_cannot_be_answered_says_what_there_is(found, change, sentence):
    with pytest.raises(QuestionError, match=sentence):
        answer(QUESTION, found, today=TODAY, **change)


def test_a_deadline_needs_a_timetable():
    tables = forecast_series(
        "arrival_delay", recorded().drop(["scheduled"]), SERIES, run="r"
    ).tables
    with pytest.raises(QuestionError, match="no timetable"):
        answer(QUESTION, tables, today=TODAY)
    assert answer(QUESTION, tables, today=TODAY, threshold=2.0).choice.expected.clock is None


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"deadline": "four"}, "deadline"),
        ({"deadline": None}, "deadline"),
        ({"threshold": 1.0}, "deadline"),
        ({"date": "one day"}, "date"),
        ({"time_zone": "Helsinki"}, "time_zone"),
        ({"walk_min": -1}, "walk_min"),
    ],
)
def test_wrong_questions_are_named(wrong, key):
    with pytest.raises(ConfigError, match=key):
        msgspec.structs.replace(QUESTION, **wrong)
