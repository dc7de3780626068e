"""What a model is: something that looks at the past of many series and says quantiles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from fetchcast.forecast.periods import Floats, Frequency, Grid, Ints

NINE: Floats = np.array([0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975])
"""The levels that every table has."""

GRID: Floats = np.arange(1, 200) / 200
"""The 199 levels of the fine grid; `NINE` are among them."""

_DAYS = {
    Frequency.HOURLY: 1 / 24,
    Frequency.DAILY: 1.0,
    Frequency.WEEKLY: 7.0,
    Frequency.MONTHLY: 30.4375,
    Frequency.QUARTERLY: 91.3125,
    Frequency.YEARLY: 365.25,
}


@dataclass(frozen=True, kw_only=True)
class Past:
    """What a model may see: everything up to the cutoff, nothing after it."""

    grid: Grid
    season: int
    periods: Ints
    """Period numbers, ascending, shape ``(periods,)``; holes are left out."""
    positions: Ints
    """The place of each period in its cycle, same shape."""
    values: Floats
    """Shape ``(series, periods)``; NaN where nothing was observed."""
    targets: Ints
    """Period numbers to forecast, shape ``(series, steps)``; consecutive in each row."""
    ahead: Ints
    """The place of each of ``targets`` in its cycle."""
    half_life: float
    """Periods after which an observation counts half, for models that forget."""
    known: Floats | None = None
    """Columns that are known ahead, shape ``(series, periods, columns)``; NaN where unknown."""
    known_ahead: Floats | None = None
    """The same of ``targets``, shape ``(series, steps, columns)``."""

    @cached_property
    def order(self) -> Ints:
        """Which columns hold the values of each series from small to large; NaN last."""
        return np.argsort(self.values, axis=1)

    @cached_property
    def ascending(self) -> Floats:
        """The values of each series from small to large; NaN last."""
        return np.take_along_axis(self.values, self.order, axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model says about the coming periods."""

    quantiles: Floats
    """Shape ``(series, steps, levels)``, ascending in the last axis; NaN: nothing to say."""
    mean: Floats
    """Shape ``(series, steps)``."""


class Forecaster(Protocol):
    """A model. It must not change ``past`` and must give the same for the same."""

    @property
    def name(self) -> str:
        """Its name in the tables."""

    def predict(self, past: Past, levels: Floats) -> Prediction:
        """Quantiles of every target at ``levels`` (ascending, between 0 and 1)."""


def half_life(frequency: Frequency, days: float) -> float:
    """``days`` in periods, at least 8 periods."""
    return max(8.0, days / _DAYS[frequency])
