"""Calibration: intervals are widened or narrowed until they hold as often as they say.

Pooled split-conformal: how far outside (or inside) its interval did each past outcome fall, in
units of the interval? The share-th of these numbers is the factor. It is taken from cutoffs whose
outcomes were known by then, so that it never sees what it is judged by, and it is drawn towards 1
where little is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fetchcast.forecast.models import NINE, Prediction
from fetchcast.forecast.periods import Bools, Floats, Ints

COVERAGES: Floats = np.array([0.5, 0.8, 0.9, 0.95])
_PAIRS = ((3, 5), (2, 6), (1, 7), (0, 8))
"""Places in `NINE` of each interval's ends."""

_PRIOR_FITTED = 50.0
"""Independent outcomes that count as much as the belief that nothing must be changed."""

_PRIOR_EMPIRICAL = 200.0
"""The same of quantiles of the past, which hold as often as they say if the future is like it."""

_TOO_NARROW = 8.0
"""Values that a fitted model would have to have seen more of to mean what it says."""

_FEWEST = 4
_BY_COVERAGE: Floats = np.array([0.7, 1.0, 1.2, 1.5])

_PER_CUTOFF = 4
"""Independent outcomes that one series' steps from one cutoff are worth at most."""

_CUTOFFS = 3
"""From so many on it can be seen how much they differ."""

_NARROWEST, _WIDEST = 0.5, 4.0
_BUCKET_POINTS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """By how much to widen, for each step and coverage."""

    values: Floats
    """Shape ``(steps, coverages)``, or ``(series, 1, coverages)``."""

    @classmethod
    def none(cls, steps: int) -> Factors:
        """Change nothing."""
        return cls(values=np.ones((steps, COVERAGES.size)))


def believed(fitted: Floats, observations: Ints) -> Factors:
    """How much too narrow intervals of fitted models are, before any outcome says so.

    A model knows the values it was fitted on too well, the more so the fewer there are: intervals
    of 80 % had to be 2.2 times as wide to hold with 8 to 10 values, 1.4 times with 25, and not at
    all wider from 100 on; the outer ones more, the inner ones less.

    Args:
        fitted: The share of fitted models in the average, shape ``(series,)``.
        observations: What they were fitted on, same shape.
    """
    more = fitted * _TOO_NARROW / np.maximum(observations, _FEWEST)
    return Factors(values=1 + more[:, None, None] * _BY_COVERAGE)


def distances(actual: Floats, nine: Floats) -> Floats:
    """How far out each outcome is, in half-widths of each interval; 1 is just at its end.

    Args:
        actual: Any shape.
        nine: The same and one axis more: quantiles at `NINE`.

    Returns:
        The shape of ``actual`` and one axis more, as long as `COVERAGES`.
    """
    middle = nine[..., 4]
    found = np.empty((*actual.shape, len(_PAIRS)))
    off = np.abs(actual - middle)
    # Where nothing ever varied, a rounding error is neither a width nor a miss.
    least = 1e-9 * (np.abs(middle) + off)
    for k, (low, high) in enumerate(_PAIRS):
        width = np.where(actual < middle, middle - nine[..., low], nine[..., high] - middle)
        off_or_not = np.where(off > least, np.inf, 0.0)
        found[..., k] = np.divide(off, width, out=off_or_not, where=width > least)
    found[np.isnan(middle)] = np.nan
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What came of past forecasts; all of shape ``(points,)`` but the first."""

    distance: Floats
    """From `distances`, shape ``(points, coverages)``."""
    step: Ints
    """How far ahead each point was, from 1."""
    target: Ints
    """Its period: a storm hits all series on one day."""
    series: Ints
    """Its series: all its intervals come from one history."""


def factors(past: Outcomes, horizon: int, fitted: float = 1.0) -> Factors:
    """The factors that would have made past intervals hold as often as they said.

    Args:
        past: What came of past forecasts.
        horizon: Steps to return.
        fitted: The share of fitted models in the forecast; the less, the more it is believed.
    """
    steps = past.step
    belief = _PRIOR_FITTED * fitted + _PRIOR_EMPIRICAL * (1 - fitted)
    buckets = 3 if steps.size >= 3 * _BUCKET_POINTS and horizon > 2 else 1  # noqa: PLR2004
    place = np.minimum((steps - 1) * buckets // horizon, buckets - 1)
    values = np.ones((horizon, COVERAGES.size))
    ahead = np.arange(horizon) * buckets // horizon
    for bucket in range(buckets):
        here = place == bucket
        if here.any():
            values[ahead == bucket] = _bucket(past, here, belief)
    return Factors(values=values)


def _bucket(past: Outcomes, here: Bools, belief: float) -> Floats:
    distance = past.distance[here]
    held, target = distance[:, 1] <= 1, past.target[here]
    trust = _independent(held, target, target - past.step[here], past.series[here])
    trust /= trust + belief
    count = len(distance)
    ascending = np.sort(distance, axis=0)
    at = np.minimum(count - 1, np.ceil((count + 1) * COVERAGES).astype(np.int64) - 1)
    raw = np.clip(ascending[at, np.arange(COVERAGES.size)], _NARROWEST, _WIDEST)
    return np.asarray(1 + (raw - 1) * trust, np.float64)


def _independent(held: Bools, target: Ints, cutoff: Ints, series: Ints) -> float:
    """How many independent outcomes ``held`` is worth.

    A storm hits all series on one day, and a missed level all steps of one cutoff: how much the
    share that held differs from day to day, and from cutoff to cutoff, tells how much. All
    intervals of a series come from one history: no more than the series and days. However many
    steps a cutoff has, it is one look ahead, of series that are not strangers.
    """
    count = np.unique(series).size
    cutoffs = np.unique(cutoff).size
    most = min(np.unique(target).size + count, _PER_CUTOFF * cutoffs * float(np.sqrt(count)))
    worth = _worth(held, target)
    if cutoffs >= _CUTOFFS:
        worth = min(worth, _worth(held, cutoff))
    return float(min(worth, most, held.size))


def _worth(held: Bools, group: Ints) -> float:
    """How many independent outcomes would make the share that held differ so between groups."""
    _, groups = np.unique(group, return_inverse=True)
    count = np.bincount(groups)
    share = np.bincount(groups, weights=held) / count
    chance, spread = float(held.mean()), float(share.var())
    if spread <= 0:
        return float(count.size)
    return max(chance * (1 - chance) / spread * count.size, float(count.size))


def calibrated(said: Prediction, found: Factors, levels: Floats) -> Prediction:
    """``said`` with every quantile moved away from (or towards) the median by its factor."""
    if bool(np.all(found.values == 1)):
        return said
    centre = np.abs(2 * levels - 1)
    known = np.concatenate([[0.0], COVERAGES, [1.0]])
    table = np.concatenate([found.values[..., :1], found.values, found.values[..., -1:]], axis=-1)
    between = np.stack([np.interp(centre, known, each) for each in np.eye(known.size)])
    middle = said.quantiles[..., np.searchsorted(levels, NINE[4] - 1e-9), None]
    moved = middle + (said.quantiles - middle) * (table @ between)
    # Neighbouring levels have neighbouring factors; where they differ enough to cross, straighten.
    half = levels.size // 2
    moved[..., half:] = np.maximum.accumulate(moved[..., half:], axis=-1)
    moved[..., : half + 1] = np.minimum.accumulate(moved[..., half::-1], axis=-1)[..., ::-1]
    return Prediction(quantiles=moved, mean=said.mean)
