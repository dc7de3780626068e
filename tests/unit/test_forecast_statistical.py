"""The statistical family on published series, and that nobody pays for it who does not ask."""

import datetime as dt
import subprocess
import sys
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fetchcast.forecast import SeriesOptions, forecast_series, statistical

utils = pytest.importorskip(
    "statsforecast.utils", reason="the extra 'statistical' is not installed"
)


@pytest.fixture(scope="module")
def passengers():
    """Box & Jenkins' airline passengers, 1949 to 1960, carried by statsforecast."""
    frame = utils.AirPassengersDF
    return pa.table({"unique_id": frame["unique_id"], "ds": frame["ds"], "y": frame["y"]})


def board(tables, unique_id="ALL"):
    rows = tables["leaderboard"].filter(pc.equal(tables["leaderboard"]["unique_id"], unique_id))
    return {row["model"]: row for row in rows.to_pylist()}


def test_trend_and_season_are_found_without_being_asked_for(passengers):
    """No worse than the median of ETS, CES and theta; the past's quantiles lose their share."""
    found = forecast_series("air", passengers, SeriesOptions(), run="r")
    rows = board(found.tables)
    members = sorted(rows[name]["pinball"] for name in ("ets", "theta", "ces"))
    assert rows["combined"]["pinball"] <= members[1]
    assert rows["combined"]["skill_seasonal_naive"] > 0.3
    assert rows["climatology"]["weight"] == 0
    assert sum(rows[name]["weight"] for name in ("ets", "theta", "ces")) == pytest.approx(1)
    for level in (80, 90, 95):
        assert rows["combined"][f"coverage_{level}"] == pytest.approx(level / 100, abs=0.05)


def test_noise_is_left_to_the_empirical_family():
    """Nothing has a level there, so nothing is fitted."""
    rng = np.random.default_rng(4)
    rows = pa.table(
        {
            "ds": np.datetime64("2026-01-01") + np.arange(200),
            "y": rng.gamma(1.5, 4, 200),
        }
    )
    found = forecast_series("noise", rows, SeriesOptions(), run="r")
    assert board(found.tables).keys().isdisjoint(statistical.NAMES)


@pytest.mark.slow
def test_the_same_in_another_process(passengers):
    """`spread` may do the work elsewhere; the tables are the same."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    options = SeriesOptions(origins=2)
    here = forecast_series("air", passengers, options, run="r").tables
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there = forecast_series("air", passengers, options, run="r", spread=pool.map).tables
    assert here["forecast"] == there["forecast"]
    assert here["backtest"] == there["backtest"]


def test_intermittent_demand_is_left_to_its_own_quantiles():
    """Four of five days without a sale: half of the forecast is zero, and none is below."""
    rng = np.random.default_rng(6)
    sold = rng.poisson(2, 300) * (rng.random(300) < 0.2)
    rows = pa.table({"ds": np.datetime64("2025-01-01") + np.arange(300), "y": sold})
    options = SeriesOptions(models=["climatology", "seasonal", "ets", "theta"], min=0)
    found = forecast_series("sales", rows, options, run="r").tables
    ahead = found["forecast"].filter(pc.equal(found["forecast"]["model"], "combined"))
    assert pc.max(ahead["q50"]).as_py() == 0
    assert pc.min(ahead["q025"]).as_py() == 0
    assert "ets" not in found["forecast"]["model"].to_pylist()


@pytest.mark.parametrize("y", [np.ones(50), np.arange(6.0), np.full(50, np.nan), np.zeros(0)])
def test_what_cannot_be_fitted_is_left_out(y):
    assert statistical.fit(y, season=7, steps=np.arange(1, 8), names=statistical.NAMES) == {}


def test_weekly_and_hourly_series_go_to_mstl():
    """ETS sees no cycle beyond 24; from 24 on MSTL takes its place."""
    assert statistical.fitting(statistical.NAMES, 7) == ("ets", "theta", "ces")
    assert statistical.fitting(statistical.NAMES, 52) == ("theta", "ces", "mstl")
    hours = np.arange(24 * 28)
    y = 10 + np.sin(hours * 2 * np.pi / 24) * 5 + np.sin(hours * 2 * np.pi / 168) * 3
    y += np.random.default_rng(7).normal(0, 0.2, hours.size)
    found = statistical.fit(y[:-24], season=24, steps=np.arange(1, 25), names=("mstl",))
    assert np.abs(found["mstl"].mean - y[-24:]).mean() < 0.6


@pytest.mark.parametrize("zone", ["Europe/Helsinki", "Pacific/Auckland", "Atlantic/Azores"])
def test_the_rush_hour_keeps_its_place_when_the_clocks_change(zone):
    """A peak at eight on the wall, before and after; fitted models know 24 hours, not clocks."""
    there = ZoneInfo(zone)
    turn = {"Pacific/Auckland": dt.datetime(2026, 4, 4, 14, tzinfo=dt.UTC)}
    when = turn.get(zone, dt.datetime(2026, 3, 29, 1, tzinfo=dt.UTC))
    stamps = [when + dt.timedelta(hours=k) for k in range(-24 * 21, 12)]
    draw = np.random.default_rng(6)
    y = [10 + 20 * (at.astimezone(there).hour == 8) + draw.normal(0, 0.5) for at in stamps]
    options = SeriesOptions(time_zone=zone, models=["mstl", "ces"], origins=1, horizon=36)
    found = forecast_series("s", pa.table({"ds": stamps, "y": y}), options, run="r").tables
    ahead = found["forecast"].filter(pc.equal(found["forecast"]["model"], "combined")).to_pylist()
    highest = sorted(ahead, key=lambda row: -row["q50"])[: len(ahead) // 24]
    assert {row["ds"].astimezone(there).hour for row in highest} == {8}


def test_a_jump_does_not_make_intervals_of_thousands():
    """Ninety days about 10, then ten at 99: nothing but hundreds can be meant."""
    y = np.append(np.random.default_rng(1).normal(10, 2, 90), np.full(10, 99.0))
    found = statistical.fit(y, season=7, steps=np.arange(1, 29), names=statistical.NAMES)
    assert found
    assert max(float(points.above.max()) for points in found.values()) < 2 * np.ptp(y)


def test_importing_fetchcast_imports_no_statsforecast():
    code = "import sys, fetchcast.forecast; print('statsforecast' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
