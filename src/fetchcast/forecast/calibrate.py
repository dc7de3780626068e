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
from fetchcast.forecast.periods import Floats, Ints

COVERAGES: Floats = np.array([0.5, 0.8, 0.9, 0.95])
_PAIRS = ((3, 5), (2, 6), (1, 7), (0, 8))
"""Places in `NINE` of each interval's ends."""

_PRIOR = 50.0
"""Independent outcomes that count as much as the belief that nothing must be changed."""

_NARROWEST, _WIDEST = 0.5, 4.0
_BUCKET_POINTS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """By how much to widen, for each step and coverage."""

    values: Floats
    """Shape ``(steps, coverages)``."""

    @classmethod
    def none(cls, steps: int) -> Factors:
        """Change nothing."""
        return cls(values=np.ones((steps, COVERAGES.size)))


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
    with np.errstate(invalid="ignore", divide="ignore"):
        for k, (low, high) in enumerate(_PAIRS):
            below = (middle - actual) / (middle - nine[..., low])
            above = (actual - middle) / (nine[..., high] - middle)
            found[..., k] = np.where(actual < middle, below, above)
    return np.where(np.isnan(found), 0.0, found)


def factors(distance: Floats, steps: Ints, targets: Ints, horizon: int) -> Factors:
    """The factors that would have made past intervals hold as often as they said.

    Args:
        distance: From `distances`, shape ``(points, coverages)``.
        steps: How far ahead each point was, from 1, shape ``(points,)``.
        targets: The period of each point; points of one period are not independent.
        horizon: Steps to return.
    """
    buckets = 3 if steps.size >= 3 * _BUCKET_POINTS and horizon > 2 else 1  # noqa: PLR2004
    place = np.minimum((steps - 1) * buckets // horizon, buckets - 1)
    values = np.ones((horizon, COVERAGES.size))
    ahead = np.arange(horizon) * buckets // horizon
    for bucket in range(buckets):
        here = place == bucket
        if here.any():
            values[ahead == bucket] = _bucket(distance[here], targets[here])
    return Factors(values=values)


def _bucket(distance: Floats, targets: Ints) -> Floats:
    count = len(distance)
    trust = _independent(distance[:, 1] <= 1, targets)
    trust = trust / (trust + _PRIOR)
    found = np.empty(COVERAGES.size)
    ascending = np.sort(distance, axis=0)
    for k, coverage in enumerate(COVERAGES):
        at = min(count - 1, int(np.ceil((count + 1) * coverage)) - 1)
        found[k] = ascending[at, k]
    raw = np.clip(found, _NARROWEST, _WIDEST)
    return np.asarray(1 + (raw - 1) * trust, np.float64)


def _independent(held: np.ndarray, targets: Ints) -> float:
    """How many independent outcomes ``held`` is worth: a storm hits all series on one day."""
    _, days = np.unique(targets, return_inverse=True)
    count = np.bincount(days)
    share = np.bincount(days, weights=held) / count
    chance = float(held.mean())
    spread = float(share.var()) if share.size > 1 else 0.0
    if spread <= 0:
        return float(share.size)
    worth = chance * (1 - chance) / spread * share.size
    return float(np.clip(worth, min(share.size, len(held)), len(held)))


def calibrated(said: Prediction, found: Factors, levels: Floats) -> Prediction:
    """``said`` with every quantile moved away from (or towards) the median by its factor."""
    if bool(np.all(found.values == 1)):
        return said
    centre = np.abs(2 * levels - 1)
    known = np.concatenate([[0.0], COVERAGES, [1.0]])
    table = np.column_stack([found.values[:, :1], found.values, found.values[:, -1:]])
    by_level = np.stack([np.interp(centre, known, row) for row in table])
    middle = said.quantiles[..., np.searchsorted(levels, NINE[4] - 1e-9), None]
    moved = middle + (said.quantiles - middle) * by_level[None]
    # Neighbouring levels have neighbouring factors; where they differ enough to cross, straighten.
    half = levels.size // 2
    moved[..., half:] = np.maximum.accumulate(moved[..., half:], axis=-1)
    moved[..., : half + 1] = np.minimum.accumulate(moved[..., half::-1], axis=-1)[..., ::-1]
    return Prediction(quantiles=moved, mean=said.mean)
