"""What is known ahead: a model that reads the coming values of other columns (a price, a plan).

Ridge regression on those columns and the place in the cycle; its quantiles are those of what it
would have missed by, had it not seen the value (leave-one-out), so it cannot flatter itself.
"""

from __future__ import annotations

import numpy as np

from fetchcast.forecast.empirical import weighted_quantiles
from fetchcast.forecast.models import Past, Prediction
from fetchcast.forecast.periods import Bools, Floats, Ints

_PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)
_PER_COLUMN = 3
_LONGEST_CYCLE = 24


class Regression:
    """The columns that are known ahead, and the season; silent where they are not known."""

    name = "known"

    def predict(self, past: Past, levels: Floats) -> Prediction:
        """The fitted value and the quantiles of what it missed by; NaN with too few values."""
        shape = past.targets.shape
        said = Prediction(
            quantiles=np.full((*shape, levels.size), np.nan), mean=np.full(shape, np.nan)
        )
        if past.known is None or past.known_ahead is None:
            return said
        for row in range(shape[0]):
            found = _fitted(past, row)
            if found is None:
                continue
            ahead, missed = found
            spread = weighted_quantiles(np.sort(missed)[None], np.ones((1, missed.size)), levels)
            said.mean[row] = ahead
            said.quantiles[row] = ahead[:, None] + spread
        return said


def _fitted(past: Past, row: int) -> tuple[Floats, Floats] | None:
    """The values ahead, and the leave-one-out errors; None with too few values to fit on."""
    assert past.known is not None
    assert past.known_ahead is not None
    y, known = past.values[row], past.known[row]
    use = ~np.isnan(y) & np.isfinite(known).all(axis=1)
    if np.count_nonzero(use) < _PER_COLUMN * (known.shape[1] + 1) + 2:
        return None
    middle, size = known[use].mean(axis=0), known[use].std(axis=0)
    size = np.where(size > 0, size, np.inf)  # A column that never varied says nothing.
    level = float(y[use].mean())
    design = _design((known[use] - middle) / size, past.positions[use], past.season)
    ahead = _design((past.known_ahead[row] - middle) / size, past.ahead[row], past.season)
    weights, missed = _ridge(design, y[use] - level)
    return level + ahead @ weights, missed


def _design(known: Floats, places: Ints, season: int) -> Floats:
    if not 1 < season <= _LONGEST_CYCLE:
        return known
    here: Bools = places[:, None] == np.arange(season)
    return np.concatenate([known, here - 1 / season], axis=1)


def _ridge(design: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The weights with the least leave-one-out error, and those errors.

    Source:
        Golub, Heath & Wahba (1979), doi:10.1080/00401706.1979.10489751; PRESS residuals.
    """
    left, size, right = np.linalg.svd(design, full_matrices=False)
    best: tuple[float, Floats, Floats] | None = None
    for penalty in _PENALTIES:
        kept = size / (size**2 + penalty)
        weights = right.T @ (kept * (left.T @ y))
        # The mean was fitted too: one n-th of each value's pull on itself.
        pull = np.minimum((left**2 * (kept * size)).sum(axis=1) + 1 / y.size, 0.99)
        missed = (y - design @ weights) / (1 - pull)
        loss = float((missed**2).mean())
        if best is None or loss < best[0]:
            best = loss, weights, missed
    assert best is not None
    return best[1], best[2]
