"""Columns that are known ahead: a price, a promotion. Used where they tell something."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fetchcast.errors import ConfigError, SeriesError
from fetchcast.forecast import SeriesOptions, forecast_series

START = dt.date(2026, 1, 5)
DAYS, AHEAD = 150, 14


def shop(seed=3, *, effect=20.0, ahead=AHEAD):
    """Sales that rise by ``effect`` on days with a promotion, which is planned two weeks ahead."""
    rng = np.random.default_rng(seed)
    promoted = (rng.random(DAYS + ahead) < 0.3).astype(float)
    y = 50 + effect * promoted + rng.normal(0, 3, DAYS + ahead)
    return pa.table(
        {
            "ds": [START + dt.timedelta(days=k) for k in range(DAYS + ahead)],
            "y": pa.array([*y[:DAYS], *[None] * ahead], pa.float64()),
            "promoted": promoted,
        }
    )


def combined(tables, name="forecast"):
    return tables[name].filter(pc.equal(tables[name]["model"], "combined"))


def forecast(rows, **options):
    given = {"models": ["climatology", "seasonal", "recent", "known"], "known": ["promoted"]}
    return forecast_series("s", rows, SeriesOptions(**given | {"horizon": AHEAD} | options), run="")


def test_a_planned_promotion_is_in_the_forecast():
    rows = shop()
    found = forecast(rows).tables
    ahead = combined(found)
    assert ahead["ds"][0].as_py().date() == START + dt.timedelta(days=DAYS)
    for planned, said in zip(rows["promoted"].to_pylist()[DAYS:], ahead.to_pylist(), strict=True):
        assert said["q50"] == pytest.approx(70 if planned else 50, abs=3)
        assert said["q975"] - said["q025"] < 20
    board = found["leaderboard"].to_pylist()
    by_model = {row["model"]: row for row in board if row["unique_id"] == "ALL"}
    assert by_model["combined"]["skill_climatology"] > 0.5
    assert by_model["known"]["weight"] == 1
    assert 0.75 < by_model["known"]["coverage_80"] < 0.85


def test_coming_rows_are_the_future_and_not_days_without_a_value():
    found = forecast(shop())
    assert found.tables["series"]["missing"].to_pylist() == [0]
    assert pc.min(combined(found.tables)["p_running"]).as_py() > 0.98
    assert found.tables["observation"].num_rows == DAYS


def test_a_column_that_says_nothing_costs_nothing():
    found = forecast(shop(effect=0.0)).tables["leaderboard"].to_pylist()
    row = next(each for each in found if each["model"] == "combined")
    assert row["skill_climatology"] > -0.02


def test_where_the_plan_ends_the_others_speak():
    """Planned for a week, asked for two: the second week is the history's."""
    ahead = combined(forecast(shop(ahead=7)).tables).to_pylist()
    assert len(ahead) == AHEAD
    assert all(row["q50"] is not None for row in ahead)
    assert max(row["q975"] - row["q025"] for row in ahead[:7]) < 20
    assert min(row["q975"] - row["q025"] for row in ahead[7:]) > 20


def test_a_plan_that_ends_early_is_said():
    found = forecast(shop(ahead=7))
    (note,) = found.notes
    assert note.startswith("s: promoted is not known for 7 of the 14 coming days")
    assert forecast(shop()).notes == []


def test_it_does_not_look_ahead():
    rows = shop()
    cut = sorted(set(forecast(rows).tables["backtest"]["cutoff"].to_pylist()))[4]
    days = (cut.date() - START).days + 1
    y = [*rows["y"].to_pylist()[:days], *[1e6] * (DAYS - days), *[None] * AHEAD]
    changed = rows.set_column(1, "y", pa.array(y, pa.float64()))

    def said(table):
        early = table.filter(pc.less_equal(table["cutoff"], pa.scalar(cut)))
        return early.drop_columns(["y", "pinball", "absolute_error"])

    assert said(forecast(rows).tables["backtest"]) == said(forecast(changed).tables["backtest"])


def test_wrong_columns_are_named():
    with pytest.raises(SeriesError, match="no column 'price' of `known`"):
        forecast(shop(), known=["price"])
    text = shop().append_column("note", pa.array(["x"] * (DAYS + AHEAD)))
    with pytest.raises(SeriesError, match="note, known ahead, is of type string"):
        forecast(text, known=["note"])
    with pytest.raises(ConfigError, match="known"):
        SeriesOptions(known=["y"])
    with pytest.raises(ConfigError, match="known"):
        SeriesOptions(models=["known"])
