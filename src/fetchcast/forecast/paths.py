"""Sample paths: sums, means and maxima over the horizon.

Adding the bounds of single days says that every day goes wrong at once. A total is read off
simulated futures instead: each day's values come from its own forecast, and days go together as
much as the errors of the backtest did. That has two parts, since errors do: what all days of one
forecast share (the level was missed), and what one day hands on to the next (a storm lasts).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Literal, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fetchcast.errors import SeriesError
from fetchcast.forecast.answers import chance, distributions, newest_run
from fetchcast.forecast.combine import COMBINED
from fetchcast.forecast.models import NINE
from fetchcast.forecast.periods import Floats

How: TypeAlias = Literal["sum", "mean", "max"]

_PATHS = 4000
_SEED = 27
_INFINITE = 1e-6
_LEAST_PAIRS = 30


class Dependence(msgspec.Struct, frozen=True, kw_only=True):
    """How much the days of one forecast go together; both 0 for not at all."""

    shared: float = 0.0
    """The part of an error's variance that all days of one forecast have in common, 0 to 1."""
    lasting: float = 0.0
    """How much of the rest one day hands on to the next, 0 to 1."""

    def correlation(self, steps: int) -> Floats:
        """Between all pairs of days, shape ``(steps, steps)``."""
        apart = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps)))
        return np.asarray(self.shared + (1 - self.shared) * self.lasting**apart, np.float64)


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """The sum, mean or maximum of the coming periods."""

    how: How
    steps: int
    mean: float
    q025: float
    q05: float
    q10: float
    q25: float
    q50: float
    q75: float
    q90: float
    q95: float
    q975: float
    dependence: Dependence


def dependence(scores: Sequence[Floats]) -> Dependence:
    """Measure it on the errors of past forecasts.

    Args:
        scores: For each cutoff the errors as normal scores (the normal quantile of the
            probability that the forecast gave to what came), in order of time; NaN for gaps.
    """
    near, far = _products(scores, 1, 1), _products(scores, 3, None)
    size = (
        np.concatenate([each[~np.isnan(each)] ** 2 for each in scores]) if scores else np.empty(0)
    )
    if near.size < _LEAST_PAIRS or size.mean() <= 0:
        return Dependence()
    next_day = float(np.clip(near.mean() / size.mean(), 0, 0.99))
    later = float(np.clip(far.mean() / size.mean(), 0, next_day)) if far.size else 0.0
    return Dependence(shared=later, lasting=(next_day - later) / (1 - later))


def _products(scores: Sequence[Floats], least: int, most: int | None) -> Floats:
    """Products of errors that lie ``least`` to ``most`` periods apart (None: to the end)."""
    found = [
        each[lag:] * each[:-lag]
        for each in scores
        for lag in range(least, (most or each.size - 1) + 1)
        if lag < each.size
    ]
    products = np.concatenate(found) if found else np.empty(0)
    return np.asarray(products[~np.isnan(products)], np.float64)


def sample_paths(
    quantiles: Floats,
    levels: Floats,
    together: Dependence,
    *,
    p_running: Floats | None = None,
    count: int = _PATHS,
    seed: int = _SEED,
) -> Floats:
    """Possible futures whose single days are distributed as forecast.

    Args:
        quantiles: Shape ``(steps, levels)``.
        levels: Shape ``(levels,)``.
        together: How much the days go together.
        p_running: The probability that there is a value at all, shape ``(steps,)``.
        count: How many futures.
        seed: The same seed gives the same futures.

    Returns:
        Shape ``(count, steps)``; NaN on days without a value.
    """
    steps = len(quantiles)
    draw = np.random.default_rng(seed)
    normal = draw.standard_normal((count, steps))
    root = np.linalg.cholesky(together.correlation(steps) + _INFINITE * np.eye(steps))
    # Ranks, not the normal's own distribution function: each day then is exactly as forecast.
    order = np.argsort(np.argsort(normal @ root.T, axis=0), axis=0)
    chances = (order + 0.5) / count
    columns = [np.interp(chances[:, k], levels, quantiles[k]) for k in range(steps)]
    paths = np.stack(columns, axis=1)
    if p_running is not None:
        paths[draw.random(paths.shape) >= p_running] = np.nan
    return np.asarray(paths, np.float64)


def outlook(
    found: Mapping[str, pa.Table], series: str, unique_id: str, *, how: How = "sum"
) -> Outlook:
    """The sum, mean or maximum of all forecast periods of one series.

    Args:
        found: ``forecast`` and ``backtest``, as `forecast_series` made them.
        series: The name of the series.
        unique_id: Which of its series.
        how: ``sum`` counts periods without a value as 0; ``mean`` and ``max`` leave them out.

    Raises:
        SeriesError: If there is no forecast of it.
    """
    rows = newest_run(_rows(found["forecast"], series, unique_id)).sort_by("ds")
    if rows.num_rows == 0:
        raise SeriesError(series, f"there is no forecast of {unique_id!r}")
    levels, _, quantiles = distributions(rows)[0]
    together = dependence(_scores(newest_run(_rows(found["backtest"], series, unique_id))))
    running = rows["p_running"].to_numpy()
    paths = sample_paths(quantiles, levels, together, p_running=running)
    totals = _totals(paths, how)
    nine = np.quantile(totals, NINE, method="weibull")
    names = ("q025", "q05", "q10", "q25", "q50", "q75", "q90", "q95", "q975")
    figures = {name: float(value) for name, value in zip(names, nine, strict=True)}
    mean = float(totals.mean())
    return Outlook(how=how, steps=len(quantiles), mean=mean, dependence=together, **figures)


def probability(
    found: Mapping[str, pa.Table], series: str, unique_id: str, *, at_most: float
) -> pa.Table:
    """How likely it is that ``y`` is at most so much, for every period that is forecast.

    Args:
        found: ``forecast``, as `forecast_series` made it.
        series: The name of the series.
        unique_id: Which of its series.
        at_most: In the unit of ``y``.

    Returns:
        Columns ``ds``, ``step``, ``probability`` (given that there is a value at all) and
        ``p_running`` (that there is one); of that it is at most so much *and* happens, their
        product.

    Raises:
        SeriesError: If there is no forecast of it.
    """
    rows = newest_run(_rows(found["forecast"], series, unique_id)).sort_by("ds")
    if rows.num_rows == 0:
        raise SeriesError(series, f"there is no forecast of {unique_id!r}")
    likely = np.empty(rows.num_rows)
    for levels, which, quantiles in distributions(rows):
        likely[which] = chance(quantiles, levels, np.full(len(quantiles), at_most))
    columns = {name: rows[name] for name in ("ds", "step", "p_running")}
    return pa.table(columns).append_column("probability", pa.array(likely))


def _totals(paths: Floats, how: How) -> Floats:
    if how == "sum":
        return np.asarray(np.nansum(paths, axis=1), np.float64)
    some = paths[~np.isnan(paths).all(axis=1)]
    if how == "mean":
        return np.asarray(np.nanmean(some, axis=1), np.float64)
    return np.asarray(np.nanmax(some, axis=1), np.float64)


def _rows(table: pa.Table, series: str, unique_id: str) -> pa.Table:
    return table.filter(
        (pc.field("series") == series)
        & (pc.field("unique_id") == unique_id)
        & (pc.field("model") == COMBINED)
    )


def _scores(rows: pa.Table) -> list[Floats]:
    """The errors of each cutoff as normal scores, by step."""
    if rows.num_rows == 0:
        return []
    y, steps = rows["y"].to_numpy(), rows["step"].to_numpy()
    said = np.empty(rows.num_rows)
    for levels, which, quantiles in distributions(rows):
        said[which] = chance(quantiles, levels, y[which])
    normal = np.array([NormalDist().inv_cdf(float(p)) for p in said])
    found = []
    cutoffs = rows["cutoff"].cast(pa.int64()).to_numpy()
    for cutoff in np.unique(cutoffs):
        here = cutoffs == cutoff
        line = np.full(int(steps.max()), np.nan)
        line[steps[here] - 1] = normal[here]
        found.append(line)
    return found
