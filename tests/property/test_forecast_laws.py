"""Laws of every forecast: it does not look ahead, nothing crosses, units do not matter."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fetchcast.forecast import SeriesOptions, forecast_series
from fetchcast.forecast.calibrate import Factors, calibrated
from fetchcast.forecast.empirical import weighted_quantiles
from fetchcast.forecast.models import GRID, NINE, Prediction
from fetchcast.forecast.tables import QUANTILES

START = dt.date(2026, 1, 5)
MODELS = ["climatology", "seasonal", "recent"]
numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 3))
histories = st.lists(st.none() | numbers, min_size=40, max_size=90).filter(
    lambda values: sum(value is not None for value in values) > 30
)


def tables(values, models=MODELS, **options):
    rows = pa.table(
        {
            "unique_id": ["a"] * len(values),
            "ds": [START + dt.timedelta(days=k) for k in range(len(values))],
            "y": pa.array(values, pa.float64()),
        }
    )
    given = {"models": models, "horizon": 7} | options
    return forecast_series("s", rows, SeriesOptions(**given), run="r").tables


def upto(table, day):
    """Backtest rows of cutoffs by ``day``, without what came afterwards."""
    moment = pa.scalar(dt.datetime.combine(day, dt.time(), dt.UTC), table["cutoff"].type)
    early = table.filter(pc.less_equal(table["cutoff"], moment))
    return early.select(["cutoff", "ds", "model", "mean", *QUANTILES]).to_pylist()


@settings(max_examples=12, deadline=None, derandomize=True, phases=[Phase.generate])
@given(values=histories, junk=numbers)
def test_values_after_a_cutoff_change_nothing_that_was_said_at_it(values, junk):
    """Replace everything after a cutoff of the backtest by junk: its forecasts are the same."""
    before = tables(values)["backtest"]
    cutoffs = sorted(set(before["cutoff"].to_pylist()))
    if not cutoffs:
        return
    cut = cutoffs[len(cutoffs) // 2].date()
    changed = [
        value if START + dt.timedelta(days=k) <= cut or value is None else junk
        for k, value in enumerate(values)
    ]
    assert upto(before, cut) == upto(tables(changed)["backtest"], cut)


def test_the_statistical_family_does_not_look_ahead_either():
    pytest.importorskip("statsforecast", reason="the extra 'statistical' is not installed")
    rng = np.random.default_rng(2)
    values = (
        np.arange(90) + 5 * np.sin(np.arange(90) * 2 * np.pi / 7) + rng.normal(0, 1, 90)
    ).tolist()
    before = tables(values, models=["climatology", "ets", "theta", "ces"], origins=5)["backtest"]
    cut = sorted(set(before["cutoff"].to_pylist()))[2].date()
    days = (cut - START).days + 1
    changed = values[:days] + [-500.0] * (90 - days)
    after = tables(changed, models=["climatology", "ets", "theta", "ces"], origins=5)["backtest"]
    assert upto(before, cut) == upto(after, cut)
    assert len(upto(before, cut)) == 3 * 7 * 6


@pytest.mark.parametrize("junk", [-500.0, 9.0])
def test_nobody_looks_ahead_to_decide_who_is_asked(junk):
    """Noise that turns into a trend after a cutoff, or goes on: `combined` said the same."""
    pytest.importorskip("statsforecast", reason="the extra 'statistical' is not installed")
    values = np.random.default_rng(5).gamma(1.5, 4, 110)
    values[60:] += np.arange(50)
    before = tables(values.tolist(), models="auto")["backtest"]
    cut = sorted(set(before["cutoff"].to_pylist()))[3].date()
    days = (cut - START).days + 1
    changed = [*values[:days].tolist(), *[junk + k % 7 for k in range(110 - days)]]
    after = tables(changed, models="auto")["backtest"]
    combined = pc.field("model") == "combined"
    said = upto(before.filter(combined), cut)
    assert said == upto(after.filter(combined), cut)
    assert len(said) == 4 * 7


def test_years_of_several_series_do_not_look_ahead_either():
    """Short series learn from each other, families, models and widths: from what had come alone."""
    pytest.importorskip("statsforecast", reason="the extra 'statistical' is not installed")
    walks = 50 + np.random.default_rng(9).normal(0, 1, (4, 26)).cumsum(axis=1)

    def said(values):
        rows = pa.table(
            {
                "unique_id": np.repeat(["a", "b", "c", "d"], 26),
                "ds": [dt.date(1990 + year, 1, 1) for year in range(26)] * 4,
                "y": values.ravel(),
            }
        )
        found = forecast_series("s", rows, SeriesOptions(origins=6), run="r").tables
        return found["backtest"]

    before = said(walks)
    cut = sorted(set(before["cutoff"].to_pylist()))[3].date()
    changed = walks.copy()
    changed[:, cut.year - 1990 + 1 :] = -500.0
    combined = pc.field("model") == "combined"
    early = upto(before.filter(combined), cut)
    assert early == upto(said(changed).filter(combined), cut)
    assert len(early) == 4 * 4 * 4


@settings(max_examples=12, deadline=None, derandomize=True, phases=[Phase.generate])
@given(values=histories)
def test_quantiles_never_cross(values):
    """In every row of every table, of every model."""
    found = tables(values)
    for name in ("forecast", "backtest"):
        table = found[name]
        if table.num_rows:
            nine = np.column_stack([table[q].to_numpy() for q in QUANTILES])
            assert (np.diff(nine, axis=1) >= 0).all()
            for row in table["quantiles"].drop_null().to_pylist():
                assert row == sorted(row)


@settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    seed=st.integers(0, 1000),
    scale=st.sampled_from([60.0, 0.5]),
    shift=st.sampled_from([0.0, 1000.0]),
)
def test_other_units_give_the_same_forecast_in_other_units(seed, scale, shift):
    """Minutes or seconds, delay or clock: the forecast is the same moment."""
    rng = np.random.default_rng(seed)
    drawn = rng.gamma(1.5, 4, 60)
    values = [None if rng.random() < 0.1 else float(value) for value in drawn]
    plain = tables(values)["forecast"]
    moved = tables([None if v is None else v * scale + shift for v in values])["forecast"]
    size = max(1.0, *(abs(v) for v in values if v is not None))
    for name in QUANTILES:
        expected = plain[name].to_numpy() * scale + shift
        np.testing.assert_allclose(moved[name].to_numpy(), expected, atol=1e-6 * size * scale)


@given(values=st.lists(numbers, min_size=1, max_size=60))
def test_with_equal_weights_the_quantiles_are_weibulls(values):
    """numpy's "weibull" (i / (n + 1)), the definition with exact coverage, between the extremes;
    beyond them the tail goes on outwards."""
    row = np.sort(np.array(values))[None]
    ours = weighted_quantiles(row, np.ones_like(row), NINE)[0]
    theirs = np.quantile(row[0], NINE, method="weibull")
    count = len(values)
    within = (1 / (count + 1) - 1e-12 <= NINE) & (count / (count + 1) + 1e-12 >= NINE)
    np.testing.assert_allclose(ours[within], theirs[within], rtol=1e-9, atol=1e-6)
    assert (ours[NINE > 0.5] >= theirs[NINE > 0.5] - 1e-6).all()
    assert (ours[NINE < 0.5] <= theirs[NINE < 0.5] + 1e-6).all()


def test_the_tail_of_a_short_history_goes_on_as_an_exponential_one():
    """Of 24 exponential values the 97.5th percentile is estimated near the true 3.69, on average;
    the largest value alone would stop short of what is to come in 1 of 25 cases."""
    draws = np.sort(np.random.default_rng(9).exponential(1, (4000, 24)), axis=1)
    high = weighted_quantiles(draws, np.ones_like(draws), np.array([0.5, 0.975]))[:, 1]
    covered = 1 - np.exp(-high)
    assert covered.mean() == pytest.approx(0.975, abs=0.01)
    assert (high > draws[:, -1]).all()


@given(
    values=arrays.arrays(np.float64, 20, elements=numbers),
    weights=arrays.arrays(np.float64, 20, elements=st.sampled_from([0.5, 1.0, 2.0, 4.0])),
)
def test_only_proportions_of_weights_matter(values, weights):
    order = np.argsort(values)
    row, weigh = values[order][None], weights[order][None]
    once, thrice = (weighted_quantiles(row, weigh * factor, NINE) for factor in (1.0, 3.0))
    np.testing.assert_allclose(once, thrice, rtol=1e-9, atol=1e-6)


@given(
    factors=arrays.arrays(np.float64, (3, 4), elements=st.floats(0.5, 4.0)),
    seed=st.integers(0, 1000),
)
def test_calibration_never_makes_quantiles_cross_and_keeps_the_median(factors, seed):
    values = np.random.default_rng(seed).standard_t(2, (2, 3, 199))
    said = Prediction(quantiles=np.sort(values, axis=2), mean=np.zeros((2, 3)))
    found = calibrated(said, Factors(values=factors), GRID).quantiles
    assert (np.diff(found, axis=2) >= -1e-6).all()
    np.testing.assert_array_equal(found[..., 99], said.quantiles[..., 99])
