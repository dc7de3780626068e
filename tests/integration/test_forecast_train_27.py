"""Train 27 over the sandbox's year, seed 27: the answer, and that recorded days alone judge it."""

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fetchcast.forecast import QuestionOptions, SeriesOptions, answer, forecast_series, outlook
from fetchcast.sandbox.recordings import train_days
from fetchcast.sandbox.resample import made_day

TODAY = dt.date(2026, 11, 21)
HOURS_EARLIER = {27: 0, 25: 1}


def arrival(train, unique_id, day, *, scored):
    """The row that the example's SQL makes of one day; None if it never reached Tampere."""
    for row in train["timeTableRows"]:
        if row["stationShortCode"] == "TPE" and row["type"] == "ARRIVAL" and "actualTime" in row:
            planned = dt.datetime.fromisoformat(row["scheduledTime"])
            late = dt.datetime.fromisoformat(row["actualTime"]) - planned
            return {
                "unique_id": unique_id,
                "ds": day,
                "y": late.total_seconds() / 60,
                "scheduled": planned,
                "scored": scored,
            }
    return None


@pytest.fixture(scope="module")
def tables():
    recorded = train_days()
    rows = [
        arrival(train, "27", dt.date.fromisoformat(day), scored=True)
        for day, train in recorded.items()
    ]
    for number, earlier_h in HOURS_EARLIER.items():
        for back in range(365, 0, -1):
            day = TODAY - dt.timedelta(days=back)
            train = made_day(recorded, day, number=number, earlier_h=earlier_h, seed=27)
            if train is not None:
                rows.append(arrival(train, str(number), day, scored=False))
    table = pa.Table.from_pylist([row for row in rows if row is not None])
    options = SeriesOptions(unit="min", time_zone="Europe/Helsinki", horizon=28)
    return forecast_series("arrival_delay", table, options, run="r", today=TODAY).tables


QUESTION = QuestionOptions(
    text="Will train {unique_id} be in {place} by {deadline}?",
    series="arrival_delay",
    unique_id="27",
    place="Tampere",
    deadline="16:00",
    date="next wednesday",
    time_zone="Europe/Helsinki",
    alternatives=["25"],
)


def test_will_train_27_be_in_tampere_by_four_next_wednesday(tables):
    said = answer(QUESTION, tables, today=TODAY)
    assert said.headline == "Will train 27 be in Tampere by 16:00?"
    assert said.date == dt.date(2026, 11, 25)
    assert said.choice.scheduled.clock == "15:58"
    assert said.choice.expected.clock == "16:00"
    # Resampled days are recorded days moved: about 34 of 60, fewer with the storms added.
    assert 0.48 < said.probability < 0.6
    assert said.choice.p_running > 0.9


def test_the_earlier_train_is_the_safer_one(tables):
    said = answer(QUESTION, tables, today=TODAY)
    assert [choice.unique_id for choice in said.alternatives] == ["25"]
    assert said.alternatives[0].probability > 0.95
    assert said.alternatives[0].scheduled.clock == "14:58"


def test_only_recorded_days_judge(tables):
    said = answer(QUESTION, tables, today=TODAY)
    assert (said.history.days, said.history.on_time) == (60, 34)
    assert said.history.scored_only
    assert said.history.all_days > 380
    assert said.reliability.n >= 28
    assert said.enough_history
    latest = pc.max(tables["backtest"]["ds"]).as_py()
    assert latest.date() == dt.date(2020, 2, 29)
    assert set(tables["backtest"]["unique_id"].to_pylist()) == {"27"}


def test_the_history_is_hard_to_beat_and_the_leaderboard_says_so(tables):
    board = tables["leaderboard"].filter(pc.equal(tables["leaderboard"]["unique_id"], "27"))
    rows = {row["model"]: row for row in board.to_pylist()}
    assert rows["combined"]["skill_climatology"] == pytest.approx(0, abs=0.02)
    assert rows["combined"]["skill_seasonal_naive"] > 0
    assert rows["combined"]["n"] == 336


def test_the_minutes_lost_in_four_weeks(tables):
    """The sum over 28 days: no wider than days that share everything, no bound added up."""
    total = outlook(tables, "arrival_delay", "27")
    assert total.q10 < total.q50 < total.q90
    ahead = tables["forecast"].filter(
        (pc.field("unique_id") == "27") & (pc.field("model") == "combined")
    )
    added = pc.sum(pc.subtract(ahead["q90"], ahead["q10"])).as_py()
    assert total.q90 - total.q10 < 0.7 * added
