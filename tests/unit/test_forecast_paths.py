"""Totals come from sample paths: narrower than added bounds, wider than if days were strangers."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fetchcast.errors import SeriesError
from fetchcast.forecast import SeriesOptions, forecast_series, outlook, probability
from fetchcast.forecast.models import GRID
from fetchcast.forecast.paths import Dependence, dependence, sample_paths

EMPIRICAL = ["climatology", "seasonal", "recent"]


def forecast(values):
    rows = pa.table({"ds": np.datetime64("2026-01-01") + np.arange(values.size), "y": values})
    return forecast_series("s", rows, SeriesOptions(models=EMPIRICAL), run="r").tables


def lasting(count, strength, seed=8):
    """A series whose storms last: each day hands on a share of its excess."""
    draw = np.random.default_rng(seed).normal(0, 1, count)
    for k in range(1, count):
        draw[k] += strength * draw[k - 1]
    return 100 + draw


def test_every_single_day_is_as_forecast():
    """Whatever the dependence, each day's median and bounds are those of its forecast."""
    normal = np.sort(np.random.default_rng(1).normal(size=(5, 199)), axis=1)
    paths = sample_paths(normal, GRID, Dependence(shared=0.4, lasting=0.7))
    for step in range(5):
        np.testing.assert_allclose(
            np.quantile(paths[:, step], GRID), normal[step], atol=0.02 * np.ptp(normal)
        )


def test_the_sum_of_independent_days_is_as_the_textbook_has_it():
    """Standard deviation grows with the root of the number of days, not with the number."""
    found = forecast(np.random.default_rng(2).normal(100, 10, 365))
    total = outlook(found, "s", "s")
    assert total.steps == 28
    assert total.q50 == pytest.approx(2800, rel=0.02)
    width = (total.q90 - total.q10) / (2 * 1.2816)
    assert width == pytest.approx(10 * np.sqrt(28), rel=0.3)
    ahead = found["forecast"].filter(pc.equal(found["forecast"]["model"], "combined"))
    added = pc.sum(pc.subtract(ahead["q90"], ahead["q10"])).as_py()
    assert total.q90 - total.q10 < 0.4 * added


def test_days_that_go_together_make_wider_totals():
    strangers = outlook(forecast(lasting(365, 0.0)), "s", "s")
    together = outlook(forecast(lasting(365, 0.8)), "s", "s")
    assert strangers.dependence.lasting < 0.3
    assert together.dependence.lasting > 0.5
    spread = np.std(lasting(365, 0.8)) / np.std(lasting(365, 0.0))
    assert together.q90 - together.q10 > 1.3 * spread * (strangers.q90 - strangers.q10)


def test_a_level_that_was_missed_is_shared_by_all_days():
    rng = np.random.default_rng(3)
    scores = [rng.normal() + 0.5 * rng.normal(size=28) for _ in range(200)]
    found = dependence(scores)
    assert found.shared == pytest.approx(0.8, abs=0.07)
    assert found.lasting < 0.1


def test_days_without_a_value_add_nothing():
    quantiles = np.full((10, 199), 5.0)
    paths = sample_paths(quantiles, GRID, Dependence(), p_running=np.full(10, 0.5))
    assert np.nansum(paths, axis=1).mean() == pytest.approx(25, abs=0.5)


def test_the_maximum_is_above_every_days_median():
    found = forecast(np.random.default_rng(4).gamma(1.5, 4, 365))
    ahead = found["forecast"].filter(pc.equal(found["forecast"]["model"], "combined"))
    worst, usual = outlook(found, "s", "s", how="max"), outlook(found, "s", "s", how="mean")
    assert worst.q50 > pc.max(ahead["q90"]).as_py()
    assert usual.q10 > pc.max(ahead["q10"]).as_py()


def test_the_same_question_gives_the_same_answer():
    found = forecast(lasting(120, 0.3))
    assert outlook(found, "s", "s") == outlook(found, "s", "s")


def test_the_probability_of_any_value_on_any_day():
    """Noise about 100 with deviation 10: at most 110 has the normal's 84 %, on each of 28 days."""
    found = forecast(np.random.default_rng(2).normal(100, 10, 365))
    likely = probability(found, "s", "s", at_most=110)
    assert likely["step"].to_pylist() == list(range(1, 29))
    np.testing.assert_allclose(likely["probability"].to_numpy(), 0.841, atol=0.04)
    sure = probability(found, "s", "s", at_most=1000)["probability"].to_numpy()
    never = probability(found, "s", "s", at_most=-1000)["probability"].to_numpy()
    assert (sure > 0.99).all()
    assert (never < 0.01).all()
    rows = found["forecast"].filter(pc.equal(found["forecast"]["model"], "combined"))
    median = rows.sort_by("ds")["q50"][4].as_py()
    assert probability(found, "s", "s", at_most=median)["probability"][4].as_py() == pytest.approx(
        0.5, abs=1e-9
    )


def test_of_nothing_there_is_no_total():
    with pytest.raises(SeriesError, match="no forecast of 'b'"):
        outlook(forecast(lasting(60, 0)), "s", "b")
    with pytest.raises(SeriesError, match="no forecast of 'b'"):
        probability(forecast(lasting(60, 0)), "s", "b", at_most=3)
