"""Public holidays count as Sundays; without the package that knows them, that is said."""

import datetime as dt
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fetchcast.errors import ConfigError
from fetchcast.forecast import SeriesOptions, forecast_series

MODELS = ["climatology", "seasonal", "recent"]


def rows(until):
    """Orders: 100 on weekdays, none on Sundays and on Finland's public holidays."""
    days = [until - dt.timedelta(days=k) for k in range(200, 0, -1)]
    closed = {(12, 6), (12, 24), (12, 25), (12, 26), (1, 1), (1, 6)}
    orders = [
        np.nan if day.weekday() == 6 or (day.month, day.day) in closed else 100.0 + day.day
        for day in days
    ]
    return pa.table({"ds": days, "y": orders})


def chance(tables, day):
    table = tables["forecast"].filter(pc.equal(tables["forecast"]["model"], "combined"))
    return next(r["p_running"] for r in table.to_pylist() if r["ds"].date() == day)


def test_a_holiday_is_a_sunday():
    """Christmas 2026 is a Friday, on which shops are open but for that."""
    pytest.importorskip("holidays", reason="the package `holidays` is not installed")
    known = rows(dt.date(2026, 12, 15))
    plain = forecast_series("s", known, SeriesOptions(models=MODELS), run="r").tables
    aware = forecast_series("s", known, SeriesOptions(models=MODELS, country="FI"), run="r").tables
    assert chance(plain, dt.date(2026, 12, 25)) > 0.9
    assert chance(aware, dt.date(2026, 12, 25)) < 0.2
    assert chance(aware, dt.date(2026, 12, 22)) > 0.9


def test_fitted_models_say_a_sunday_of_a_holiday_and_learn_nothing_wrong_from_it():
    """Closed on Sundays and on Christmas: what is fitted would else say 100 of Christmas Day."""
    pytest.importorskip("holidays", reason="the package `holidays` is not installed")
    pytest.importorskip("statsforecast", reason="the extra 'statistical' is not installed")
    days = [dt.date(2026, 12, 20) - dt.timedelta(days=k) for k in range(200, -1, -1)]
    draw = np.random.default_rng(8)
    shut = {dt.date(2026, 6, 19), dt.date(2026, 6, 20), dt.date(2026, 12, 6)}
    y = [(20 if d.weekday() == 6 or d in shut else 100) + draw.normal(0, 3) for d in days]
    options = SeriesOptions(models=["ets", "theta"], country="FI", origins=2)
    found = forecast_series("s", pa.table({"ds": days, "y": y}), options, run="r").tables
    said = {
        row["ds"].date(): row["q50"]
        for row in found["forecast"].to_pylist()
        if row["model"] == "combined"
    }
    rest = {dt.date(2026, 12, day) for day in (24, 25, 26, 27)} | {dt.date(2027, 1, 6)}
    assert all(said[day] == pytest.approx(20, abs=8) for day in rest)
    assert said[dt.date(2026, 12, 23)] == pytest.approx(100, abs=8)
    assert said[dt.date(2026, 12, 28)] == pytest.approx(100, abs=8)


def test_holidays_of_months_are_said_to_count_for_nothing():
    months = [dt.date(2020 + k // 12, k % 12 + 1, 1) for k in range(48)]
    rows = pa.table({"ds": months, "y": np.random.default_rng(2).normal(10, 1, 48)})
    options = SeriesOptions(models=MODELS, country="FI")
    (note,) = forecast_series("s", rows, options, run="r").notes
    assert note.startswith("s: public holidays (`country`) are known to series of days")


def test_a_country_that_is_none():
    pytest.importorskip("holidays", reason="the package `holidays` is not installed")
    options = SeriesOptions(models=MODELS, country="Suomi")
    with pytest.raises(ConfigError, match="two letters"):
        forecast_series("s", rows(dt.date(2026, 12, 15)), options, run="r")


def test_without_the_package_it_says_which(monkeypatch):
    """An import path on which there is nothing but Python itself."""
    monkeypatch.setattr(sys, "path", [p for p in sys.path if "site-packages" not in p])
    monkeypatch.delitem(sys.modules, "holidays", raising=False)
    options = SeriesOptions(models=MODELS, country="FI")
    with pytest.raises(ConfigError, match="pip install holidays"):
        forecast_series("s", rows(dt.date(2026, 12, 15)), options, run="r")
