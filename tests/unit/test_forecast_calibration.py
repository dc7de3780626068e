"""Calibration: too narrow becomes wide enough, by as much as is known and no more."""

import numpy as np
import pytest

from fetchcast.forecast.calibrate import (
    Factors,
    Outcomes,
    believed,
    calibrated,
    distances,
    factors,
)
from fetchcast.forecast.models import GRID, NINE, Prediction

scipy = pytest.importorskip("scipy.stats")


def outcomes(y, width, *, series, days, ahead=1000):
    """Normal outcomes beside normal intervals of ``width`` deviations; a cutoff every ``ahead``."""
    nine = np.broadcast_to(width * scipy.norm.ppf(NINE), (*y.shape, 9))
    step = days % ahead + 1
    return Outcomes(distance=distances(y, nine), step=step, target=days, series=series)


def test_intervals_of_half_the_width_are_doubled():
    """500 series, eight cutoffs, intervals half as wide as they should be: nearly doubled."""
    series, days = (axis.ravel() for axis in np.indices((500, 40)))
    y = np.random.default_rng(1).normal(size=series.size)
    found = factors(outcomes(y, 0.5, series=series, days=days, ahead=5), 5).values
    np.testing.assert_allclose(found, 2.0, atol=0.25)
    said = Prediction(
        quantiles=np.broadcast_to(0.5 * scipy.norm.ppf(GRID), (1, 5, 199)), mean=np.zeros((1, 5))
    )
    after = calibrated(said, Factors(values=found), GRID).quantiles[0, 0]
    fresh = np.random.default_rng(2).normal(size=20_000)
    for low, high, nominal in ((19, 179, 0.8), (9, 189, 0.9), (4, 194, 0.95)):
        held = np.mean((fresh >= after[low]) & (fresh <= after[high]))
        assert held == pytest.approx(nominal, abs=0.03)


def test_right_intervals_are_left_alone():
    series, days = (axis.ravel() for axis in np.indices((500, 40)))
    y = np.random.default_rng(3).normal(size=series.size)
    found = factors(outcomes(y, 1.0, series=series, days=days), 40).values
    np.testing.assert_allclose(found, 1.0, atol=0.1)


def test_one_short_history_moves_little():
    """Ten days of one series that all fell outside: widened, but not fourfold."""
    series, days = np.zeros(10, np.int64), np.arange(10)
    found = factors(outcomes(np.full(10, 30.0), 1.0, series=series, days=days), 10).values
    assert (found > 1.1).all()
    assert (found < 1.8).all()


def test_many_steps_of_one_cutoff_are_one_look_ahead():
    """A level missed by one forecast for 48 hours proves less than 48 forecasts for an hour."""
    days = np.arange(48)
    series, y = np.zeros(48, np.int64), np.full(48, 30.0)
    once = factors(outcomes(y, 1.0, series=series, days=days), 48).values
    often = factors(outcomes(y, 1.0, series=series, days=days, ahead=1), 1).values
    assert (once - 1).max() < 0.25 * (often - 1).max()


def test_a_storm_that_hits_all_series_on_one_day_is_one_storm():
    """The same share outside, spread over many days or on two: the latter proves less."""
    series, days = (axis.ravel() for axis in np.indices((200, 20)))
    rng = np.random.default_rng(4)
    scattered = np.where(rng.random(series.size) < 0.4, 30.0, 0.1)
    together = np.where(days < 8, 30.0, 0.1)
    alone = factors(outcomes(scattered, 1.0, series=series, days=days), 20).values
    one = factors(outcomes(together, 1.0, series=series, days=days), 20).values
    assert (one[:, 1] - 1).max() < 0.6 * (alone[:, 1] - 1).max()


def test_who_was_fitted_on_little_is_believed_less():
    fitted, seen = np.array([1.0, 1.0, 1.0, 0.5, 0.0]), np.array([8, 16, 800, 8, 8])
    widths = believed(fitted, seen).values[:, 0]
    assert widths[0].tolist() == [1.7, 2.0, 2.2, 2.5]
    assert widths[1].tolist() == [1.35, 1.5, 1.6, 1.75]
    assert (np.abs(widths[2] - 1) <= 0.015).all()
    assert widths[3].tolist() == [1.35, 1.5, 1.6, 1.75]
    assert (widths[4] == 1).all(), "quantiles of the past are not fitted"


def test_each_series_is_widened_by_its_own_belief():
    normal = scipy.norm.ppf(GRID)
    levels = np.broadcast_to(normal, (2, 3, normal.size)).copy()
    said = Prediction(quantiles=levels, mean=np.zeros((2, 3)))
    wider = calibrated(said, believed(np.array([1.0, 0.0]), np.array([8, 8])), GRID).quantiles
    ends = np.searchsorted(GRID, [0.1 - 1e-9, 0.9 - 1e-9])
    assert np.allclose(wider[0][:, ends], 2 * normal[ends])
    assert np.array_equal(wider[1], levels[1])
