"""Who is asked: what series look like, and what a backtest says about who is better."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from fetchcast.forecast import SeriesOptions
from fetchcast.forecast.backtest import past_of
from fetchcast.forecast.combine import (
    EMPIRICAL,
    STATISTICAL,
    evidence,
    first_weights,
    learnt_shares,
    learnt_weights,
    looks,
    restlessness,
)
from fetchcast.forecast.panel import panels


def past(values, *, years):
    """What may be seen of series (rows of ``values``) of years or of days."""
    series, count = values.shape
    if years:
        ds = [dt.date(1950 + k, 1, 1) for k in range(count)]
    else:
        ds = [dt.date(2026, 1, 5) + dt.timedelta(days=k) for k in range(count)]
    rows = pa.table(
        {
            "unique_id": np.repeat([f"s{k:03}" for k in range(series)], count),
            "ds": ds * series,
            "y": values.ravel(),
        }
    )
    (panel,), _ = panels("s", rows, SeriesOptions())
    return past_of(panel, panel.last[:, None] + np.arange(1, 5), 120.0)


def asked(seen):
    """The shares of the two families before any backtest."""
    weights = first_weights([EMPIRICAL, STATISTICAL], restlessness(seen, 4), looks(seen))
    return weights[EMPIRICAL][0], weights[STATISTICAL][0]


def walks(series, count):
    return np.random.default_rng(1).normal(0, 1, (series, count)).cumsum(axis=1)


def noise(series, count):
    return np.random.default_rng(2).gamma(1.5, 4, (series, count))


def test_thirty_short_walks_tell_each_other_that_there_is_a_level():
    """Ten years of one series say little; of thirty they say enough."""
    assert asked(past(walks(30, 12), years=True)) == (0, 1)
    assert asked(past(noise(30, 12), years=True)) == (1, 0)


def test_with_nothing_to_go_by_years_are_told_by_both_and_days_by_their_history():
    few = np.array([[5.0, 6.0, 5.75, 5.75]])
    assert asked(past(few, years=True)) == (1, 1)
    assert asked(past(few, years=False)) == (1, 0)


@pytest.mark.parametrize("years", [True, False])
def test_long_series_speak_for_themselves(years):
    assert asked(past(walks(1, 200), years=years)) == (0, 1)
    assert asked(past(noise(1, 200), years=years)) == (1, 0)


def test_a_level_that_falls_once_is_still_a_level():
    """As the Nile's: noise about 1,100, then about 850."""
    rng = np.random.default_rng(4)
    level = np.where(np.arange(60) < 28, 1100, 850)
    seen = past((level + rng.normal(0, 130, 60))[None], years=True)
    assert restlessness(seen, 4)[0] < looks(seen).no_level


@pytest.mark.parametrize(("cutoffs", "kept"), [(1, 1.0), (400, 0.0)])
def test_a_family_that_is_a_third_worse_goes_when_that_is_certain(cutoffs, kept):
    losses = {EMPIRICAL: np.array([1.33]), STATISTICAL: np.array([1.0])}
    found = learnt_weights(losses, np.array([float(cutoffs)]), prior=12.0)
    assert found[STATISTICAL][0] == 1
    assert found[EMPIRICAL][0] == pytest.approx(kept, abs=0.01)


def test_a_model_that_is_clearly_worse_loses_its_share_and_a_slightly_worse_one_does_not():
    losses = {"ets": np.full(40, 1.0), "ces": np.full(40, 1.05), "theta": np.full(40, 1.4)}
    shares = learnt_shares(losses, np.full(40, 12.0))
    assert shares == {"ets": 1.0, "ces": 1.0, "theta": 0.0}


def test_many_series_are_worth_the_root_of_their_number():
    assert evidence(np.array([5.0])) == 5
    assert evidence(np.full(100, 5.0)) == 50
    assert evidence(np.zeros(3)) == 0
