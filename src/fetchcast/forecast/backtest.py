"""Rolling origins: what would have been said then, beside what came.

A model is handed the columns of the panel up to the cutoff and nothing else, so that it cannot
look ahead even by mistake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fetchcast.forecast.combine import predict_all
from fetchcast.forecast.metrics import scales
from fetchcast.forecast.models import Forecaster, Past, Prediction
from fetchcast.forecast.panel import Panel
from fetchcast.forecast.periods import Bools, Floats, Ints

_ENOUGH = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One cutoff: every model's forecast, and what came."""

    cutoff: int
    targets: Ints
    """Period numbers, shape ``(steps,)``."""
    actual: Floats
    """Shape ``(series, steps)``; NaN where nothing came, or nothing that may be judged by."""
    judged: Bools
    """Same shape: where ``actual`` counts."""
    scale: Floats
    """Mean absolute seasonal change up to the cutoff, shape ``(series,)``."""
    scale_squared: Floats
    said: Mapping[str, Prediction]


def origins(panel: Panel, horizon: int, count: int, least: int) -> tuple[list[int], int]:
    """The cutoffs of a backtest, and how far each looks ahead.

    They are spread evenly over the newer half of what may be scored, or over all of it if that is
    short; where even that is too short for five cutoffs, each looks less far ahead.

    Args:
        panel: The series.
        horizon: How far to look ahead, if the history allows.
        count: How many cutoffs at most.
        least: Observations that half of the series must have before the first cutoff.
    """
    seen = np.cumsum(~np.isnan(panel.values), axis=1) >= least
    ready = np.flatnonzero(seen.mean(axis=0) >= 0.5)  # noqa: PLR2004
    judged = np.flatnonzero(panel.scored.any(axis=0))
    if ready.size == 0 or judged.size == 0:
        return [], 0
    start, end = int(panel.periods[judged[0]]), int(panel.periods[judged[-1]])
    first = max(int(panel.periods[ready[0]]), start - 1)
    room = end - first
    if room < 1:
        return [], 0
    reach = horizon if room >= horizon + _ENOUGH - 1 else max(1, room - _ENOUGH + 1)
    newest = end - reach
    oldest = max(first, min((start + end) // 2, newest - count + 1))
    cuts = np.unique(np.linspace(min(oldest, newest), newest, count).round().astype(np.int64))
    return [int(cut) for cut in cuts], reach


def past_of(panel: Panel, targets: Ints, half_life: float, *, until: int | None = None) -> Past:
    """What may be seen of ``panel`` at the cutoff ``until`` (None: everything)."""
    width = panel.periods.size
    if until is not None:
        width = int(np.searchsorted(panel.periods, until, side="right"))
    grid = panel.grid
    ahead = grid.positions(targets.ravel(), panel.season, panel.time_zone).reshape(targets.shape)
    return Past(
        grid=grid,
        season=panel.season,
        periods=panel.periods[:width],
        positions=grid.positions(panel.periods[:width], panel.season, panel.time_zone),
        values=panel.values[:, :width],
        targets=targets,
        ahead=ahead,
        half_life=half_life,
    )


def trial(
    panel: Panel,
    cutoff: int,
    reach: int,
    models: Sequence[Forecaster],
    levels: Floats,
    half_life: float,
    least: int,
) -> Trial:
    """Stand at ``cutoff``, ask every model for the next ``reach`` periods, and look what came."""
    targets = np.arange(cutoff + 1, cutoff + reach + 1, dtype=np.int64)
    rows = np.broadcast_to(targets, (len(panel.ids), reach))
    past = past_of(panel, rows, half_life, until=cutoff)
    actual, judged = _came(panel, targets)
    enough = np.count_nonzero(~np.isnan(past.values), axis=1) >= least
    scale, scale_squared = scales(past.values, past.periods, past.season)
    return Trial(
        cutoff=cutoff,
        targets=targets,
        actual=actual,
        judged=judged & enough[:, None],
        scale=scale,
        scale_squared=scale_squared,
        said=predict_all(past, models, levels),
    )


def _came(panel: Panel, targets: Ints) -> tuple[Floats, Bools]:
    at = np.minimum(np.searchsorted(panel.periods, targets), panel.periods.size - 1)
    there = panel.periods[at] == targets
    actual = np.where(there, panel.values[:, at], np.nan)
    return actual, there & panel.scored[:, at]
