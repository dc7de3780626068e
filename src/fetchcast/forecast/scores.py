"""Leaderboards: the backtest of every model added up, per series and over all series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fetchcast.forecast import tables
from fetchcast.forecast.backtest import Trial
from fetchcast.forecast.metrics import inside, interval_score, pinball
from fetchcast.forecast.models import NINE, Prediction
from fetchcast.forecast.periods import Bools, Floats

ALL = "ALL"
"""The ``unique_id`` of the row that speaks for all series."""

_SUMS = (
    "n",
    "error",
    "absolute",
    "smape",
    "pinball",
    "interval_80",
    "interval_95",
    "in_50",
    "in_80",
    "in_90",
    "in_95",
    "scaled",
    "scaled_n",
    "squared",
)


@dataclass(slots=True)
class Tally:
    """The sums of one model over all trials of one panel: each of shape ``(series,)``."""

    sums: dict[str, Floats]
    origins: Floats

    @classmethod
    def empty(cls, series: int) -> Tally:
        """Nothing counted yet."""
        return cls({name: np.zeros(series) for name in _SUMS}, np.zeros(series))

    def add(self, seen: Trial, said: Prediction, at: Sequence[int]) -> None:
        """Count what one model said in one trial; ``at`` are the places of `NINE`."""
        judged = seen.judged & ~np.isnan(said.mean)
        for name, values in _points(seen, said.quantiles[..., list(at)], said.mean).items():
            self.sums[name] += np.where(judged, values, 0.0).sum(axis=1)
        self.origins += judged.any(axis=1)


def _points(seen: Trial, nine: Floats, mean: Floats) -> dict[str, Floats]:
    """Every measure at every point, shape ``(series, steps)``; junk where nothing came."""
    y = np.where(seen.judged, seen.actual, 0.0)
    q = {level: nine[..., k] for k, level in enumerate((25, 50, 100, 250, 500, 750, 900, 950, 975))}
    error = mean - y
    absolute = np.abs(y - q[500])
    scale = seen.scale[:, None]
    sound = np.broadcast_to(scale > 0, y.shape)
    safe = np.where(sound, scale, 1.0)
    # The squares of very small changes are 0 where the changes themselves are not.
    squared = np.broadcast_to(seen.scale_squared[:, None] > 0, y.shape)
    squares = np.where(squared, seen.scale_squared[:, None], 1.0)
    size = np.abs(y) + np.abs(q[500])
    return {
        "n": np.ones_like(y),
        "error": error,
        "absolute": absolute,
        "smape": 200 * np.divide(absolute, size, out=np.zeros_like(y), where=size > 0),
        "pinball": pinball(y, nine, NINE),
        "interval_80": interval_score(y, q[100], q[900], level=0.8),
        "interval_95": interval_score(y, q[25], q[975], level=0.95),
        "in_50": _share(inside(y, q[250], q[750])),
        "in_80": _share(inside(y, q[100], q[900])),
        "in_90": _share(inside(y, q[50], q[950])),
        "in_95": _share(inside(y, q[25], q[975])),
        "scaled": np.where(sound, absolute / safe, 0.0),
        "scaled_n": _share(sound),
        "squared": np.where(squared, error**2 / squares, 0.0),
    }


def _share(flags: Bools) -> Floats:
    return flags.astype(np.float64)


def leaderboard(
    ids: Sequence[str], tallies: Mapping[str, Tally], weights: Mapping[str, Floats]
) -> dict[str, list[object]]:
    """Rows for every series and model."""
    columns: dict[str, list[object]] = {"unique_id": [], "model": []}
    board = {model: _figures(tally) for model, tally in tallies.items()}
    counted = next(iter(tallies.values())).sums["n"] > 0 if tallies else np.zeros(0, np.bool_)
    for row in np.flatnonzero(counted).tolist():
        _rank(
            columns,
            ids[row],
            {m: {k: v[row] for k, v in f.items()} for m, f in board.items()},
            {model: float(shares[row]) for model, shares in weights.items()},
        )
    return columns


def _figures(tally: Tally) -> dict[str, Floats]:
    sums = tally.sums
    with np.errstate(invalid="ignore", divide="ignore"):
        n, scaled = sums["n"], sums["scaled_n"]
        return {
            "n": n,
            "origins": tally.origins,
            "mase": sums["scaled"] / scaled,
            "rmsse": np.sqrt(sums["squared"] / scaled),
            "smape": sums["smape"] / n,
            "mae": sums["absolute"] / n,
            "bias": sums["error"] / n,
            "pinball": sums["pinball"] / n,
            "interval_score_80": sums["interval_80"] / n,
            "interval_score_95": sums["interval_95"] / n,
            "coverage_50": sums["in_50"] / n,
            "coverage_80": sums["in_80"] / n,
            "coverage_90": sums["in_90"] / n,
            "coverage_95": sums["in_95"] / n,
        }


def _rank(
    columns: dict[str, list[object]],
    unique_id: str,
    board: Mapping[str, Mapping[str, float]],
    weights: Mapping[str, float],
) -> None:
    """Append one series' models, best first."""
    loss = {model: float(figures["pinball"]) for model, figures in board.items()}
    order = sorted(board, key=lambda model: (np.isnan(loss[model]), loss[model]))
    for rank, model in enumerate(order, 1):
        row: dict[str, object] = {
            "unique_id": unique_id,
            "model": model,
            "rank": rank,
            "weight": weights.get(model),
            "skill_seasonal_naive": _skill(loss, model, "seasonal_naive"),
            "skill_climatology": _skill(loss, model, "climatology"),
        }
        row |= {name: _plain(name, value) for name, value in board[model].items()}
        for name, value in row.items():
            columns.setdefault(name, []).append(value)


def _skill(loss: Mapping[str, float], model: str, reference: str) -> float | None:
    against = loss.get(reference)
    if against is None or not against > 0:
        return None
    return 1 - loss[model] / against


def _plain(name: str, value: float) -> object:
    if name in ("n", "origins"):
        return int(value)
    return float(value) if np.isfinite(value) else None


def overall(
    parts: Sequence[Mapping[str, Tally]], weights: Sequence[Mapping[str, Floats]]
) -> dict[str, list[object]]:
    """The row of each model that speaks for all series."""
    columns: dict[str, list[object]] = {}
    board: dict[str, Mapping[str, float]] = {}
    for model in dict.fromkeys(name for part in parts for name in part):
        whole = Tally.empty(1)
        for part in parts:
            if model in part:
                for name, values in part[model].sums.items():
                    whole.sums[name] += values.sum()
                whole.origins = np.maximum(whole.origins, part[model].origins.max(initial=0))
        if whole.sums["n"][0] > 0:
            board[model] = {name: values[0] for name, values in _figures(whole).items()}
    shares = {
        model: float(np.concatenate([part[model] for part in weights if model in part]).mean())
        for model in {name for part in weights for name in part}
    }
    if board:
        _rank(columns, ALL, board, shares)
    return columns


def as_table(series: str, run: str, columns: Mapping[str, list[object]]) -> pa.Table:
    """A leaderboard as Arrow."""
    if not columns or not columns["model"]:
        return tables.LEADERBOARD.empty_table()
    count = len(columns["model"])
    arrays = {name: pa.array(values) for name, values in columns.items()}
    arrays |= {"series": tables.repeated(series, count), "run": tables.repeated(run, count)}
    return tables.table(tables.LEADERBOARD, arrays)
