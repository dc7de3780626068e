"""Metrics against formulas written another way, and against another package."""

import math

import numpy as np
import pyarrow as pa
import pytest

from fetchcast.forecast import SeriesOptions, forecast_series, metrics
from fetchcast.forecast.models import GRID, NINE

RNG = np.random.default_rng(20_261_121)
HISTORY = RNG.normal(100, 20, 60)
ACTUAL = RNG.normal(100, 20, 12)
SAID = ACTUAL + RNG.normal(3, 10, 12)


def test_mase_by_hand():
    """Errors 1 and 3 against a naive error of 2 make 1; the arithmetic can be done in the head."""
    history = np.array([1.0, 3.0, 5.0, 3.0])
    assert metrics.mase(np.array([4.0, 4.0]), np.array([5.0, 7.0]), history, season=1) == 1.0


def test_scaled_errors_against_plain_loops():
    """The same to 1e-9 as sums written out term by term."""
    season, n, h = 12, len(HISTORY), len(ACTUAL)
    naive = [abs(HISTORY[t] - HISTORY[t - season]) for t in range(season, n)]
    errors = [abs(a - s) for a, s in zip(ACTUAL, SAID, strict=True)]
    expected = (sum(errors) / h) / (sum(naive) / (n - season))
    assert metrics.mase(ACTUAL, SAID, HISTORY, season=season) == pytest.approx(expected, rel=1e-9)
    squares = sum(e * e for e in errors) / h
    naive_squares = sum(e * e for e in naive) / (n - season)
    expected = math.sqrt(squares / naive_squares)
    assert metrics.rmsse(ACTUAL, SAID, HISTORY, season=season) == pytest.approx(expected, rel=1e-9)
    terms = [2 * abs(a - s) / (abs(a) + abs(s)) for a, s in zip(ACTUAL, SAID, strict=True)]
    assert metrics.smape(ACTUAL, SAID) == pytest.approx(100 * sum(terms) / h, rel=1e-9)


def test_against_utilsforecast():
    """The same to 1e-9 as the package that the M-competitions' tools use."""
    losses = pytest.importorskip("utilsforecast.losses", reason="comes with 'statistical'")
    pandas = pytest.importorskip("pandas")
    ds = pandas.date_range("2020-01-01", periods=72, freq="MS")
    train = pandas.DataFrame({"unique_id": "a", "ds": ds[:60], "y": HISTORY})
    frame = pandas.DataFrame({"unique_id": "a", "ds": ds[60:], "y": ACTUAL, "m": SAID})
    theirs = losses.mase(frame, ["m"], seasonality=12, train_df=train)["m"].item()
    assert metrics.mase(ACTUAL, SAID, HISTORY, season=12) == pytest.approx(theirs, rel=1e-9)
    theirs = losses.rmsse(frame, ["m"], seasonality=12, train_df=train)["m"].item()
    assert metrics.rmsse(ACTUAL, SAID, HISTORY, season=12) == pytest.approx(theirs, rel=1e-9)
    # Theirs is a share of 1, and lacks the factor 2.
    theirs = 200 * losses.smape(frame, ["m"])["m"].item()
    assert metrics.smape(ACTUAL, SAID) == pytest.approx(theirs, rel=1e-9)
    theirs = 2 * losses.quantile_loss(frame, {"m": "m"}, q=0.9)["m"].item()
    ours = metrics.pinball(ACTUAL, SAID[:, None], np.array([0.9])).mean()
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_the_leaderboard_is_what_another_package_makes_of_the_backtest():
    """Its figures come from sums over many series at once; here cutoff by cutoff, to 1e-9."""
    losses = pytest.importorskip("utilsforecast.losses", reason="comes with 'statistical'")
    pandas = pytest.importorskip("pandas")
    days = np.datetime64("2026-01-05") + np.arange(70)
    frame = pandas.DataFrame(
        {
            "unique_id": np.repeat(["a", "b"], 70),
            "ds": np.tile(days, 2),
            "y": np.append(RNG.normal(100, 20, 70), RNG.gamma(2, 3, 70)),
        }
    )
    options = SeriesOptions(models=["climatology", "seasonal"], horizon=7)
    found = forecast_series("s", pa.Table.from_pandas(frame), options, run="r").tables
    board = {(row["unique_id"], row["model"]): row for row in found["leaderboard"].to_pylist()}
    tried = found["backtest"].to_pandas()
    for model in ("combined", "seasonal_naive"):
        rows = tried[tried["model"] == model]
        parts = [
            _by_another_package(losses, frame, part)
            for part in (each for _, each in rows.groupby(["unique_id", "cutoff"]))
        ]
        weights = [part.pop("n") for part in parts]
        expected = {
            name: float(np.average([part[name] for part in parts], weights=weights))
            for name in parts[0]
        }
        expected["rmsse"] = math.sqrt(expected["rmsse"])
        ours = board["ALL", model]
        assert ours["n"] == sum(weights) == len(rows)
        for name, value in expected.items():
            assert ours[name] == pytest.approx(value, rel=1e-9), name


def _by_another_package(losses, frame, part):
    """One series at one cutoff."""
    cutoff = part["cutoff"].iloc[0].tz_localize(None)
    unique_id = part["unique_id"].iloc[0]
    train = frame[(frame["unique_id"] == unique_id) & (frame["ds"] <= cutoff)]
    part = part.drop(columns=["cutoff", "quantiles"]).rename(columns={"q50": "m"})
    by = {"seasonality": 7, "train_df": train}
    levels = {0.025: "q025", 0.05: "q05", 0.1: "q10", 0.25: "q25", 0.5: "m"}
    levels |= {0.75: "q75", 0.9: "q90", 0.95: "q95", 0.975: "q975"}

    def pinball(q):
        return losses.quantile_loss(part, {"m": levels[q]}, q=q)["m"].item()

    def covered(low, high):
        bounds = part.rename(columns={low: "m-lo-80", high: "m-hi-80"})
        return losses.coverage(bounds, ["m"], level=80)["m"].item()

    middle = part.rename(columns={"mean": "m", "m": "median"})
    return {
        "n": len(part),
        "mase": losses.mase(part, ["m"], **by)["m"].item(),
        "rmsse": losses.rmsse(middle, ["m"], **by)["m"].item() ** 2,
        "smape": 200 * losses.smape(part, ["m"])["m"].item(),
        "mae": losses.mae(part, ["m"])["m"].item(),
        "bias": losses.bias(middle, ["m"])["m"].item(),
        "pinball": 2 * float(np.mean([pinball(q) for q in levels])),
        # An interval's score is its two pinball losses, over half of what it leaves out.
        "interval_score_80": (pinball(0.1) + pinball(0.9)) * 2 / 0.2,
        "interval_score_95": (pinball(0.025) + pinball(0.975)) * 2 / 0.05,
        "coverage_80": covered("q10", "q90"),
        "coverage_95": covered("q025", "q975"),
    }


def test_pinball_of_the_median_is_the_absolute_error():
    """That is what the factor 2 is for."""
    loss = metrics.pinball(ACTUAL, SAID[:, None], np.array([0.5]))
    np.testing.assert_allclose(loss, np.abs(ACTUAL - SAID), rtol=1e-12)


def test_pinball_on_the_fine_grid_approaches_the_crps_of_a_normal():
    """The closed form of Gneiting & Raftery (2007), equation 21, to the grid's fineness."""
    stats = pytest.importorskip("scipy.stats")
    y = np.array([-1.5, 0.0, 0.3, 2.0])
    closed = y * (2 * stats.norm.cdf(y) - 1) + 2 * stats.norm.pdf(y) - 1 / math.sqrt(math.pi)
    ours = metrics.pinball(y, np.broadcast_to(stats.norm.ppf(GRID), (4, 199)), GRID)
    np.testing.assert_allclose(ours, closed, atol=0.012)


def test_interval_score_by_hand():
    """Width 10; one value 2 above costs 2 * 2 / 0.2 = 20 more, one within costs nothing."""
    found = metrics.interval_score(
        np.array([5.0, 12.0]), np.array([0.0, 0.0]), np.array([10.0, 10.0]), level=0.8
    )
    np.testing.assert_allclose(found, [10.0, 30.0], rtol=1e-12)


def test_interval_score_is_the_sum_of_two_pinball_losses():
    """Bracher et al. (2021), equation 3: what its two quantiles cost, times 2/alpha."""
    low, high = ACTUAL.mean() - 15, ACTUAL.mean() + 15
    lows, highs = np.full(12, low), np.full(12, high)
    ours = metrics.interval_score(ACTUAL, lows, highs, level=0.9)
    both = metrics.pinball(ACTUAL, np.stack([lows, highs], axis=1), np.array([0.05, 0.95]))
    np.testing.assert_allclose(ours, both * 2 / 0.1, rtol=1e-9)


def test_brier_by_hand():
    """(0.8 - 1)^2 and (0.3 - 0)^2, averaged."""
    found = metrics.brier(np.array([0.8, 0.3]), np.array([True, False]))
    assert found == pytest.approx((0.04 + 0.09) / 2, rel=1e-12)


def test_scales_leave_gaps_out():
    """A pair counts only if both days were observed; a hole of years is not a change."""
    values = np.array([[1.0, 2.0, np.nan, 4.0, 100.0, 103.0]])
    periods = np.array([0, 1, 2, 3, 900, 901])
    absolute, squared = metrics.scales(values, periods, 1)
    np.testing.assert_allclose(absolute, [(1 + 3) / 2])
    np.testing.assert_allclose(squared, [(1 + 9) / 2])


def test_skill_is_the_share_saved():
    assert metrics.skill(3.0, 4.0) == 0.25
    assert metrics.skill(5.0, 4.0) == -0.25
    assert math.isnan(metrics.skill(1.0, 0.0))


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="differ in shape"):
        metrics.mase(ACTUAL, SAID[:3], HISTORY, season=1)
    with pytest.raises(ValueError, match="needs more than 60"):
        metrics.mase(ACTUAL, SAID, HISTORY, season=60)


def test_the_nine_levels_are_on_the_fine_grid():
    for level in NINE:
        assert np.isclose(GRID, level, atol=1e-12).any()
