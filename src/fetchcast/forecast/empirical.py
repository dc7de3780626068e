"""The empirical family: every model is a way to weigh the past, and its quantiles are the forecast.

Nothing is fitted and nothing can explode, which is why these win on data that have no level and
no trend to find: the delay of a train, the length of a queue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import TypeAlias

import numpy as np

from fetchcast.forecast.models import Past, Prediction
from fetchcast.forecast.periods import Bools, Floats, Ints

SAME_SEASON_SHARE = 0.3
"""How much of the weight the same weekday gets beside the whole history (measured best of 0..1)."""

HALF_LIFE_DAYS = 120.0

_TAIL = 0.2
_TAIL_VALUES = 8

Weigh: TypeAlias = Callable[[Past, int], Floats]
"""From the past and a place in the cycle to one weight per period, shape ``(periods,)`` or
``(series, periods)``; only their proportions matter."""


def weighted_quantiles(values: Floats, weights: Floats, levels: Floats) -> Floats:
    """Quantiles of weighted observations; with equal weights those of Weibull, ``i / (n + 1)``.

    An interval between two of them holds the next observation as often as it says, if past and
    future are exchangeable; the usual definition (``(i - 1) / (n - 1)``) holds it less often.

    Args:
        values: Shape ``(series, n)``, each row ascending, NaN last.
        weights: Same shape, in the order of ``values``, 0 where that is NaN.
        levels: Shape ``(levels,)``, between 0 and 1, ascending.

    Returns:
        Shape ``(series, levels)``; NaN for a row without values. Beyond the ends of a short
        history the tail goes on as an exponential one, as steep as its outer fifth is: the largest
        of 20 days is not the worst there is.
    """
    total = weights.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        places = (np.cumsum(weights, axis=1) - 0.5 * weights) / total
        effective = total**2 / (weights**2).sum(axis=1, keepdims=True)
    places = 0.5 + (places - 0.5) * effective / (effective + 1)
    counts = np.count_nonzero(~np.isnan(values), axis=1)
    found = np.full((values.shape[0], levels.size), np.nan)
    for row in np.flatnonzero(counts):
        end = counts[row]
        found[row] = np.interp(levels, places[row, :end], values[row, :end])
        if places[row, end - 1] < levels[-1] or places[row, 0] > levels[0]:
            weighed = weights[row, :end], places[row, :end]
            found[row] += _beyond(values[row, :end], *weighed, levels)
            found[row] -= _beyond(-values[row, end - 1 :: -1], *_turned(*weighed), 1 - levels)
    return found


def _turned(weights: Floats, places: Floats) -> tuple[Floats, Floats]:
    return weights[::-1], 1 - places[::-1]


def _beyond(values: Floats, weights: Floats, places: Floats, levels: Floats) -> Floats:
    """How much further than the largest value each level lies."""
    outside, outer = levels > places[-1], places > 1 - _TAIL
    if not outside.any() or values.size < _TAIL_VALUES or not outer.any():
        return np.zeros(levels.size)
    start = np.interp(1 - _TAIL, places, values)
    steep = float(((values - start) * weights)[outer].sum() / weights[outer].sum())
    further = np.log((1 - places[-1]) / np.maximum(1 - levels, 1e-9))
    return np.where(outside, steep * further, 0.0)


class Weighted:
    """Quantiles of the past under one weighting."""

    def __init__(self, name: str, weigh: Weigh, *, seasonal: bool) -> None:
        self.name = name
        self._weigh = weigh
        self._seasonal = seasonal

    def predict(self, past: Past, levels: Floats) -> Prediction:
        """One distribution for each place in the cycle, or one for all."""
        order, ascending = past.order, past.ascending
        seen = ~np.isnan(ascending)
        places = np.arange(past.season) if self._seasonal else np.zeros(1, np.int64)
        wanted = np.unique(past.ahead) if self._seasonal else places
        quantiles = np.full((past.values.shape[0], places.size, levels.size), np.nan)
        mean = np.full((past.values.shape[0], places.size), np.nan)
        clean = np.where(seen, ascending, 0.0)
        for place in wanted:
            weights = np.broadcast_to(self._weigh(past, int(place)), past.values.shape)
            weights = np.where(seen, np.take_along_axis(weights, order, axis=1), 0.0)
            quantiles[:, place] = weighted_quantiles(ascending, weights, levels)
            with np.errstate(invalid="ignore"):
                mean[:, place] = (clean * weights).sum(axis=1) / weights.sum(axis=1)
        steps = past.ahead if self._seasonal else np.zeros_like(past.ahead)
        rows = np.arange(past.values.shape[0])[:, None]
        return Prediction(quantiles=quantiles[rows, steps], mean=mean[rows, steps])


def _all_history(past: Past, _place: int) -> Floats:
    return np.ones(past.periods.size)


def _recent(past: Past, _place: int) -> Floats:
    # Relative to the newest period: only proportions matter, so each series may have its own end.
    return np.asarray(0.5 ** ((past.periods[-1] - past.periods) / past.half_life), np.float64)


def _same_season(past: Past, place: int) -> Floats:
    seen = ~np.isnan(past.values)
    same = seen & (past.positions == place)
    count = seen.sum(axis=1, keepdims=True)
    alike = same.sum(axis=1, keepdims=True)
    share = np.where(alike > 0, SAME_SEASON_SHARE, 0.0)
    return np.asarray(
        (1 - share) / np.maximum(count, 1) * seen + share / np.maximum(alike, 1) * same, np.float64
    )


class SeasonalNaive:
    """The value of one cycle ago, with the spread of past changes from cycle to cycle."""

    name = "seasonal_naive"

    def predict(self, past: Past, levels: Floats) -> Prediction:
        """Normal intervals that widen with the number of cycles, as the textbooks have it."""
        last, spread = _cycle_ago(past), _spread(past)
        cycles = 1 + (np.arange(past.ahead.shape[1]) // past.season)
        normal = np.array([NormalDist().inv_cdf(level) for level in levels])
        width = spread[:, None] * np.sqrt(cycles)[None, :]
        quantiles = last[:, :, None] + width[:, :, None] * normal
        return Prediction(quantiles=quantiles, mean=last)


def _cycle_ago(past: Past) -> Floats:
    """The newest value at each place ahead."""
    seen: Bools = ~np.isnan(past.values)
    columns = np.arange(past.periods.size)
    newest = np.where(seen.any(axis=1), past.periods.size - 1 - np.argmax(seen[:, ::-1], axis=1), 0)
    rows = np.arange(past.values.shape[0])
    latest = np.full((past.values.shape[0], past.season), -1)
    for place in range(past.season):
        here = np.where(seen & (past.positions == place), columns, -1)
        latest[:, place] = here.max(axis=1, initial=-1)
    chosen = latest[rows[:, None], past.ahead]
    chosen = np.where(chosen < 0, newest[:, None], chosen)
    return np.asarray(past.values[rows[:, None], chosen], np.float64)


def _spread(past: Past) -> Floats:
    """How much a value differs from the one of a cycle before, root mean square."""
    before = np.searchsorted(past.periods, past.periods - past.season)
    there = past.periods[np.minimum(before, past.periods.size - 1)] == past.periods - past.season
    change = past.values[:, there] - past.values[:, before[there]]
    known = ~np.isnan(change)
    count = known.sum(axis=1)
    squares = np.where(known, change, 0.0) ** 2
    whole = np.nanstd(
        np.where(np.isnan(past.values).all(axis=1, keepdims=True), 0.0, past.values), axis=1
    )
    spread: Floats = np.where(count > 0, np.sqrt(squares.sum(axis=1) / np.maximum(count, 1)), whole)
    return spread


CLIMATOLOGY = Weighted("climatology", _all_history, seasonal=False)
SEASONAL = Weighted("seasonal", _same_season, seasonal=True)
RECENT = Weighted("recent", _recent, seasonal=False)
SEASONAL_NAIVE = SeasonalNaive()


def running(happened: Floats, positions: Ints, ahead: Ints) -> Floats:
    """The probability that each coming period has an observation at all.

    Args:
        happened: Shape ``(series, periods)``: 1 it did, 0 it did not, NaN nobody knows.
        positions: Shape ``(periods,)``: the place of each period in the cycle.
        ahead: Shape ``(series, steps)``: the place of each period to come.

    Returns:
        Shape of ``ahead``: the share among periods at the same place, drawn towards the share of
        all with the weight of one observation; never 0 or 1.
    """
    known = ~np.isnan(happened)
    yes = np.where(known, happened, 0.0)
    overall = (yes.sum(axis=1) + 0.5) / (known.sum(axis=1) + 1)
    chance = np.empty(ahead.shape)
    for place in np.unique(ahead):
        same = positions == place
        share = (yes[:, same].sum(axis=1) + overall) / (known[:, same].sum(axis=1) + 1)
        chance = np.where(ahead == place, share[:, None], chance)
    return chance


def family(names: Sequence[str] | None, season: int) -> list[Weighted]:
    """The empirical models among ``names`` (None: all) that suit a cycle of ``season``."""
    models = [CLIMATOLOGY, SEASONAL, RECENT] if season > 1 else [CLIMATOLOGY, RECENT]
    return [model for model in models if names is None or model.name in names]
