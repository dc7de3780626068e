"""Several models become one: quantiles are averaged, level by level, in families.

Models weigh the same within a family, and families weigh the same, unless the pooled backtest says
clearly that one is worse; a choice per series by a few cutoffs loses more than it wins, so what a
single series says is drawn towards what all of them say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from fetchcast.forecast.models import Past, Prediction
from fetchcast.forecast.periods import Floats, Frequency

COMBINED = "combined"
"""The name of the average in the tables."""

EMPIRICAL = "empirical"
STATISTICAL = "statistical"
OWN = "own"
KNOWN = "known"

Said: TypeAlias = Mapping[str, Mapping[str, Prediction]]
"""What each family's models say: by family, by model."""

Weights: TypeAlias = Mapping[str, Floats]
"""The share of each family, shape ``(series,)``; they need not add up to 1."""

Shares: TypeAlias = Mapping[str, Mapping[str, float]]
"""The share of each model in its family, by family and model; equal where a family is not named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """How the looks of series decide which family is asked before a backtest says so."""

    believed: float
    """The `restlessness` that is taken for granted before anything is compared."""
    pooled: bool
    """Whether series with few comparisons are told by what the others look like."""
    level_below: float
    """Below this the statistical family is heard alone."""
    level_above: float
    """Above this the empirical family is; between the two both are."""
    no_level: float
    """Above this nobody fits anything, whatever a few cutoffs say."""
    prior_origins: float
    """Cutoffs of a backtest that count as much as the belief that families are equally good."""


_FINE = Looks(
    believed=2**0.5,
    pooled=False,
    level_below=0.8,
    level_above=1.0,
    no_level=1.15,
    prior_origins=6.0,
)
"""Hours and days: independent until they show otherwise."""

_COARSE = Looks(
    believed=1.2,
    pooled=True,
    level_below=1.0,
    level_above=1.25,
    no_level=1.25,
    prior_origins=12.0,
)
"""Weeks to years: sums and means of long periods mostly have a level; there are fewer of them, and
their cutoffs overlap more."""


def looks(past: Past) -> Looks:
    """What to make of the looks of these series."""
    fine = past.grid.frequency in (Frequency.HOURLY, Frequency.DAILY)
    return _FINE if fine else _COARSE


_DOUBT = 5.0
"""Comparisons that count as much as what is believed beforehand."""

_CLEARLY = 0.075
_HARDLY = 0.025
_MODEL_CLEARLY = 0.3
_MODEL_HARDLY = 0.1
_PRIOR_ORIGINS = 6.0
"""Cutoffs that count as much as the belief that the models of a family are equally good."""


def average(
    said: Mapping[str, Prediction], shares: Mapping[str, float] | None = None
) -> Prediction:
    """The average of models; averages of ascending rows ascend, so no quantiles cross.

    A model with nothing to say about a series (NaN) leaves its share to the others.

    Args:
        said: What each model says.
        shares: How much each model counts; the same for all if None.
    """
    shares = shares or dict.fromkeys(said, 1.0)
    return _heard([(each, np.full(len(each.mean), shares[name])) for name, each in said.items()])


def weighted(parts: list[tuple[Prediction, Floats]]) -> Prediction:
    """The average of forecasts with a weight for each series; NaN where nobody says anything."""
    if len(parts) == 1:
        return parts[0][0]
    quantiles = np.zeros_like(parts[0][0].quantiles)
    mean, total = np.zeros_like(parts[0][0].mean), np.zeros_like(parts[0][0].mean)
    for said, weight in parts:
        share = np.where(np.isnan(said.mean), 0.0, weight[:, None])
        use = share > 0
        total += share
        mean += np.where(use, share * said.mean, 0.0)
        quantiles += np.where(use[..., None], share[..., None] * said.quantiles, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Prediction(quantiles=quantiles / total[..., None], mean=mean / total)


def blend(said: Said, weights: Weights, shares: Shares) -> Prediction:
    """All families in one; a family alone in saying something about a series has it all."""
    return _heard([(average(each, shares.get(name)), weights[name]) for name, each in said.items()])


def _heard(parts: list[tuple[Prediction, Floats]]) -> Prediction:
    """`weighted`; where those with the weight are silent, whoever speaks is heard."""
    mixed = weighted(parts)
    if len(parts) == 1 or not np.isnan(mixed.mean).any():
        return mixed
    heard = weighted([(each, np.ones(len(each.mean))) for each, _ in parts])
    gap = np.isnan(mixed.mean)
    return Prediction(
        quantiles=np.where(gap[..., None], heard.quantiles, mixed.quantiles),
        mean=np.where(gap, heard.mean, mixed.mean),
    )


def model_weights(said: Said, weights: Weights, shares: Shares) -> dict[str, Floats]:
    """Each model's share of the average by series; they add up to 1."""
    total = np.sum([weights[name] for name in said], axis=0)
    within = {name: shares.get(name) or dict.fromkeys(said[name], 1.0) for name in said}
    return {
        model: weights[name] / total * within[name][model] / sum(within[name].values())
        for name, models in said.items()
        for model in models
    }


def bounded(said: Prediction, least: float | None, most: float | None) -> Prediction:
    """``said``, with nothing below ``least`` and nothing above ``most``."""
    if least is None and most is None:
        return said
    return Prediction(
        quantiles=np.clip(said.quantiles, least, most), mean=np.clip(said.mean, least, most)
    )


def restlessness(past: Past, horizon: int) -> Floats:
    """How wrong the last cycle is as a forecast, against how wrong the mean so far is.

    Both as far ahead as the horizon (or as half the history allows), at every period of the past.
    About 1.4 for independent values, which have no level to find; well below 1 for a trend, a
    random walk, a strong season. Drawn towards what is believed, or what other series look like,
    where there is little to compare.

    Returns:
        Shape ``(series,)``.
    """
    cycles = min(-(-horizon // past.season), past.periods.size // 2 // past.season)
    lag = max(1, cycles) * past.season
    before = np.searchsorted(past.periods, past.periods - lag, side="right") - 1
    there = before >= 0
    before = before[there]
    exact = past.periods[before] == past.periods[there] - lag
    seen = ~np.isnan(past.values)
    with np.errstate(invalid="ignore", divide="ignore"):
        so_far = np.cumsum(np.where(seen, past.values, 0), axis=1) / np.cumsum(seen, axis=1)
        naive = np.abs(past.values[:, there] - past.values[:, before])
        mean = np.abs(past.values[:, there] - so_far[:, before])
        known = exact & ~np.isnan(naive) & ~np.isnan(mean)
        ratio = np.where(known, naive, 0).sum(axis=1) / np.where(known, mean, 0).sum(axis=1)
    count = np.where(np.isfinite(ratio), known.sum(axis=1), 0)
    compared = np.where(count > 0, ratio, 0.0) * count
    belief = looks(past).believed
    if looks(past).pooled and count.any():
        typical = float(np.median(ratio[count > 0]))
        worth = float(np.median(count[count > 0])) * float(np.sqrt(np.count_nonzero(count)))
        belief = (typical * worth + belief * _DOUBT) / (worth + _DOUBT)
    return np.asarray((compared + belief * _DOUBT) / (count + _DOUBT), np.float64)


def first_weights(families: Sequence[str], restless: Floats, by: Looks) -> dict[str, Floats]:
    """The shares before any backtest: who has no level to find is left to the empirical family."""
    ones = np.ones(restless.size)
    weights = dict.fromkeys(families, ones)
    if EMPIRICAL in families and len(families) > 1:
        typical = float(np.median(restless))
        if typical < by.level_below:
            weights[EMPIRICAL] = ones * 0
        elif typical > by.level_above:
            weights |= {name: ones * 0 for name in families if name != EMPIRICAL}
    return weights


def learnt_weights(
    losses: Mapping[str, Floats], origins: Floats, prior: float = _PRIOR_ORIGINS
) -> dict[str, Floats]:
    """The shares after a backtest: equal, but for families that are clearly worse.

    Args:
        losses: Each family's mean loss by series, shape ``(series,)``, in units of the series'
            own naive error so that they can be pooled; NaN where it said nothing.
        origins: How many cutoffs stand behind each, shape ``(series,)``.
        prior: Cutoffs that count as much as the belief that all are equally good.

    Returns:
        For each family 1 up to a loss 2.5 % above the best family's, 0 from 7.5 % on.
    """
    names = list(losses)
    logs = np.log(np.maximum(np.stack([losses[name] for name in names]), 1e-12))
    with np.errstate(invalid="ignore"):
        pooled = np.log(np.maximum(np.array([_mean(losses[name], logs) for name in names]), 1e-12))
    trust = trusted(origins, prior)
    known = ~np.isnan(logs).any(axis=0)
    own = np.where(known, logs, pooled[:, None])
    shift = np.where(known, trust, 0.0)
    worse = (own - own.min(axis=0)) * shift + (pooled - pooled.min())[:, None] * (1 - shift)
    worse = (worse - worse.min(axis=0)) * trusted(evidence(origins), prior)
    share = np.clip((_CLEARLY - worse) / (_CLEARLY - _HARDLY), 0, 1)
    return {name: share[k] for k, name in enumerate(names)}


_Number = TypeVar("_Number", float, Floats)


def trusted(origins: _Number, prior: float = _PRIOR_ORIGINS) -> _Number:
    """How far what so many cutoffs say is believed, 0 to 1."""
    return origins / (origins + prior)


def evidence(origins: Floats) -> float:
    """How many cutoffs of one series so many of many series are worth; they are not independent."""
    series = max(1, int(np.count_nonzero(origins)))
    return float(origins.max(initial=0)) * float(np.sqrt(series))


def learnt_shares(losses: Mapping[str, Floats], origins: Floats) -> dict[str, float]:
    """The share of each model in its family: equal, but for models that are clearly worse.

    Args:
        losses: Each model's mean loss by series, as in `learnt_weights`.
        origins: How many cutoffs stand behind each, shape ``(series,)``.
    """
    logs = np.log(np.maximum(np.stack(list(losses.values())), 1e-12))
    pooled = np.log(np.maximum(np.array([_mean(each, logs) for each in losses.values()]), 1e-12))
    worse = (pooled - pooled.min()) * trusted(evidence(origins))
    share = np.clip((_MODEL_CLEARLY - worse) / (_MODEL_CLEARLY - _MODEL_HARDLY), 0, 1)
    return dict(zip(losses, share.tolist(), strict=True))


def _mean(losses: Floats, logs: Floats) -> float:
    """Over the series about which every family said something."""
    fair = ~np.isnan(logs).any(axis=0)
    return float(losses[fair].mean()) if fair.any() else 1.0
