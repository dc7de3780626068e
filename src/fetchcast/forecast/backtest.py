"""Rolling origins: what would have been said then, beside what came.

A model is handed the columns of the panel up to the cutoff and nothing else, so that it cannot
look ahead even by mistake.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fetchcast.forecast.calibrate import (
    Factors,
    Outcomes,
    believed,
    calibrated,
    distances,
    factors,
)
from fetchcast.forecast.combine import (
    COMBINED,
    EMPIRICAL,
    STATISTICAL,
    Looks,
    Said,
    average,
    blend,
    bounded,
    evidence,
    first_weights,
    learnt_shares,
    learnt_weights,
    looks,
    restlessness,
    trusted,
)
from fetchcast.forecast.members import Members
from fetchcast.forecast.metrics import pinball, scales
from fetchcast.forecast.models import NINE, Past, Prediction
from fetchcast.forecast.panel import Panel
from fetchcast.forecast.periods import Bools, Floats, Ints

_ENOUGH = 5
_POINTS = 10
_ENOUGH_POINTS = 50_000


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
    """By model; the combined one first."""
    family_loss: Mapping[str, Floats]
    """The loss of each family's average, same shape as ``actual``."""
    model_loss: Mapping[str, Mapping[str, Floats]]
    """The loss of each model of the families whose models are fitted."""
    distance: Floats
    """From `fetchcast.forecast.calibrate.distances`, before calibration."""


def origins(panel: Panel, horizon: int, count: int, least: int) -> tuple[list[int], int]:
    """The cutoffs of a backtest, and how far each looks ahead.

    They are spread evenly over the newer half of what may be scored, or over all of it if that is
    short; where even that is too short for five cutoffs, each looks less far ahead.

    Args:
        panel: The series.
        horizon: How far to look ahead, if the history allows.
        count: How many cutoffs at most.
        least: Observations that half of the judged series must have before the first cutoff.
    """
    judged = np.flatnonzero(panel.scored.any(axis=0))
    if judged.size == 0:
        return [], 0
    # Series without anything to judge by (resampled ones) have no say in when to begin.
    values = panel.values[panel.scored.any(axis=1)]
    seen = np.cumsum(~np.isnan(values), axis=1) >= least
    ready = np.flatnonzero(seen.mean(axis=0) >= 0.5)  # noqa: PLR2004
    if ready.size == 0:
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
    ahead = panel.positions(targets.ravel()).reshape(targets.shape)
    return Past(
        grid=panel.grid,
        season=panel.season,
        periods=panel.periods[:width],
        positions=panel.positions(panel.periods[:width]),
        values=panel.values[:, :width],
        targets=targets,
        ahead=ahead,
        half_life=half_life,
        known=None if panel.known is None else panel.known[:, :width],
        known_ahead=panel.known_of(targets),
    )


def warmups(panel: Panel, first: int, reach: int, count: int, least: int) -> list[int]:
    """Cutoffs before the ``first`` that is judged, to learn weights and widths from.

    They lie a reach apart where the history allows, so that each is told something new; else as
    far apart as there is room.

    Args:
        panel: The series.
        first: The first cutoff that is judged.
        reach: How far each looks ahead.
        count: How many at most.
        least: Observations that half of the judged series must have before the first of them.
    """
    values = panel.values[panel.scored.any(axis=1)]
    seen = np.cumsum(~np.isnan(values), axis=1) >= least
    ready = np.flatnonzero(seen.mean(axis=0) >= 0.5)  # noqa: PLR2004
    if ready.size == 0 or int(panel.periods[ready[0]]) >= first:
        return []
    earliest = int(panel.periods[ready[0]])
    newest = max(earliest, first - reach)
    oldest = max(earliest, first - count * reach)
    cuts = np.unique(np.linspace(oldest, newest, count).round().astype(np.int64))
    # Through a hole of years nobody has anything to say.
    there = np.isin(cuts, panel.periods)
    return [int(cut) for cut in cuts[there]]


@dataclass(slots=True)
class Rehearsal:
    """Cutoff after cutoff, each with the weights and widths that were known by then."""

    panel: Panel
    members: Members
    levels: Floats
    half_life: float
    least: int
    """Observations a series must have before a cutoff to be judged."""
    trials: list[Trial] = field(default_factory=list)
    warmups: list[Trial] = field(default_factory=list)
    """Earlier cutoffs, learnt from but not judged."""

    @property
    def heard(self) -> list[Trial]:
        """All that weights and widths are learnt from."""
        return [*self.warmups, *self.trials]

    def warm_up(self, cutoffs: Sequence[int], reach: int, rows: Ints | None, least: int) -> None:
        """Stand at ``cutoffs`` to learn, with the fitted models of the series in ``rows`` alone."""
        members = replace(self.members, rows=rows)
        within = Rehearsal(
            panel=self.panel,
            members=members,
            levels=self.levels,
            half_life=self.half_life,
            least=least,
        )
        for cutoff in cutoffs:
            found = within.run(cutoff, reach)
            if rows is not None and members.statistical:
                asked = np.isin(np.arange(len(found.judged)), rows)
                found = replace(found, judged=found.judged & asked[:, None])
                within.trials[-1] = found
        self.warmups = within.trials

    def run(self, cutoff: int, reach: int) -> Trial:
        """Stand at ``cutoff``, forecast the next ``reach`` periods, and look what came."""
        targets = np.arange(cutoff + 1, cutoff + reach + 1, dtype=np.int64)
        rows = np.broadcast_to(targets, (len(self.panel.ids), reach))
        past = past_of(self.panel, rows, self.half_life, until=cutoff)
        actual, judged = _came(self.panel, targets)
        enough = np.count_nonzero(~np.isnan(past.values), axis=1) >= self.least
        scale, scale_squared = scales(past.values, past.periods, past.season)
        said = self.members.said(past, self.levels)
        plain, final = self.conclude(past, said, cutoff)
        y = np.where(judged, actual, 0.0)
        shares = self.shares(cutoff)
        found = Trial(
            cutoff=cutoff,
            targets=targets,
            actual=actual,
            judged=judged & enough[:, None],
            scale=scale,
            scale_squared=scale_squared,
            said=_flat(final, said, self.members.beside(past, self.levels)),
            family_loss={
                name: self._loss(y, average(models, shares.get(name)))
                for name, models in said.items()
            },
            model_loss={
                name: {model: self._loss(y, each) for model, each in models.items()}
                for name, models in said.items()
                if name != EMPIRICAL and len(models) > 1
            },
            distance=distances(y, self._nine(plain)),
        )
        self.trials.append(found)
        return found

    def conclude(self, past: Past, said: Said, cutoff: int | None) -> tuple[Prediction, Prediction]:
        """The families in one, as wide as believed and as calibrated, by what is known then."""
        weights = self.weights(past, list(said), cutoff)
        seen = np.count_nonzero(~np.isnan(past.values), axis=1)
        fitted = _fitted(said, weights)
        belief = believed(fitted, seen)
        plain = calibrated(blend(said, weights, self.shares(cutoff)), belief, self.levels)
        widths = self.factors(past.targets.shape[1], cutoff, float(fitted.mean()))
        final = calibrated(plain, widths, self.levels)
        return plain, bounded(final, self.members.least, self.members.most)

    def weights(self, past: Past, families: Sequence[str], cutoff: int | None) -> dict[str, Floats]:
        """The share of each family by what is known at ``cutoff`` (None: by everything)."""
        if len(families) == 1:
            return {families[0]: np.ones(len(past.values))}
        restless = restlessness(past, past.targets.shape[1])
        by = looks(past)
        found = self._learnt(families, restless, by, cutoff)
        if self.members.gated and float(np.median(restless)) > by.no_level:
            # A season or two in which the fitted did better is no level.
            found |= {STATISTICAL: np.zeros(len(past.values)), EMPIRICAL: np.ones(len(past.values))}
        return found

    def _learnt(
        self, families: Sequence[str], restless: Floats, by: Looks, cutoff: int | None
    ) -> dict[str, Floats]:
        losses = {
            name: [(seen, seen.family_loss[name]) for seen in self.heard] for name in families
        }
        found, points, origins = _mean_losses(losses, cutoff, restless.size)
        first = first_weights(families, restless, by)
        if points < _POINTS:
            return first
        # Who has nothing to find by the looks of the series must prove the looks wrong.
        trust = trusted(evidence(origins), by.prior_origins)
        return {
            name: share * np.where(first[name] > 0, 1.0, trust)
            for name, share in learnt_weights(found, origins, by.prior_origins).items()
        }

    def shares(self, cutoff: int | None) -> dict[str, dict[str, float]]:
        """The share of each fitted model in its family by what is known at ``cutoff``."""
        found: dict[str, dict[str, float]] = {}
        for name, models in (self.heard[0].model_loss if self.heard else {}).items():
            losses = {
                model: [(seen, seen.model_loss[name][model]) for seen in self.heard]
                for model in models
            }
            means, points, origins = _mean_losses(losses, cutoff, len(self.panel.ids))
            if points >= _POINTS:
                found[name] = learnt_shares(means, origins)
        return found

    def factors(self, reach: int, cutoff: int | None, fitted: float) -> Factors:
        """How much wider intervals must be, by what is known at ``cutoff``."""
        found = [_outcomes(seen, cutoff) for seen in self.heard]
        points = sum(each.step.size for each in found)
        if points < _POINTS:
            return Factors.none(reach)
        # A quantile of 50,000 numbers is as good as one of millions.
        every = max(1, points // _ENOUGH_POINTS)
        whole = Outcomes(
            **{
                name: np.concatenate([getattr(each, name)[::every] for each in found])
                for name in ("distance", "step", "target", "series")
            }
        )
        return factors(whole, reach, fitted)

    def _loss(self, y: Floats, said: Prediction) -> Floats:
        return pinball(y, self._nine(said), NINE)

    def _nine(self, said: Prediction) -> Floats:
        at = np.searchsorted(self.levels, NINE - 1e-9)
        return np.asarray(said.quantiles[..., at], np.float64)


def _mean_losses(
    losses: Mapping[str, Sequence[tuple[Trial, Floats]]], cutoff: int | None, series: int
) -> tuple[dict[str, Floats], int, Floats]:
    """Each one's mean loss by series where all of them spoke, in units of the naive error.

    Returns:
        The means (NaN: nothing to compare), how many points they are of, and of how many cutoffs
        of each series.
    """
    sums = {name: np.zeros(series) for name in losses}
    count, origins = np.zeros(series), np.zeros(series)
    for together in zip(*losses.values(), strict=True):
        seen = together[0][0]
        known = _known(seen, cutoff) & (seen.scale > 0)[:, None]
        for _, loss in together:
            known = known & ~np.isnan(loss)
        scale = np.where(seen.scale > 0, seen.scale, 1.0)[:, None]
        for name, (_, loss) in zip(losses, together, strict=True):
            sums[name] += np.where(known, loss / scale, 0.0).sum(axis=1)
        count += known.sum(axis=1)
        origins += known.mean(axis=1)
    counted = np.where(count > 0, count, np.nan)
    return {name: total / counted for name, total in sums.items()}, int(count.sum()), origins


def _fitted(said: Said, weights: Mapping[str, Floats]) -> Floats:
    """The share of the fitted models in the average, shape ``(series,)``."""
    total = np.zeros(len(next(iter(weights.values()))))
    fitted = np.zeros_like(total)
    for name, models in said.items():
        spoke = np.any([~np.isnan(each.mean[:, 0]) for each in models.values()], axis=0)
        total += np.where(spoke, weights[name], 0.0)
        if name == STATISTICAL:
            fitted = np.where(spoke, weights[name], 0.0)
    return np.divide(fitted, total, out=np.zeros_like(total), where=total > 0)


def _outcomes(seen: Trial, cutoff: int | None) -> Outcomes:
    row, step = np.nonzero(_known(seen, cutoff) & ~np.isnan(seen.distance[..., 0]))
    distance = seen.distance[row, step]
    return Outcomes(distance=distance, step=step + 1, target=seen.targets[step], series=row)


def _known(seen: Trial, cutoff: int | None) -> Bools:
    """Which outcomes of an earlier trial had come by ``cutoff``."""
    if cutoff is None:
        return seen.judged
    return seen.judged & (seen.targets <= cutoff)


def _flat(final: Prediction, said: Said, beside: Mapping[str, Prediction]) -> dict[str, Prediction]:
    models = {name: each for family in said.values() for name, each in family.items()}
    return {COMBINED: final, **models, **beside}


def _came(panel: Panel, targets: Ints) -> tuple[Floats, Bools]:
    at = np.minimum(np.searchsorted(panel.periods, targets), panel.periods.size - 1)
    there = panel.periods[at] == targets
    actual = np.where(there, panel.values[:, at], np.nan)
    return actual, there & panel.scored[:, at]
