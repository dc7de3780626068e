"""Who is asked: the models of each family, and the baselines beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fetchcast.forecast import statistical
from fetchcast.forecast.combine import EMPIRICAL, KNOWN, OWN, STATISTICAL, Said, bounded
from fetchcast.forecast.empirical import CLIMATOLOGY, SEASONAL_NAIVE, family
from fetchcast.forecast.models import Forecaster, Past, Prediction
from fetchcast.forecast.options import SeriesOptions
from fetchcast.forecast.periods import Floats, Ints
from fetchcast.forecast.regression import Regression
from fetchcast.forecast.statistical import Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """The models that are averaged, by family, and those that are only measured against."""

    empirical: Sequence[Forecaster]
    statistical: Sequence[str] = ()
    known: Sequence[Forecaster] = ()
    own: Sequence[Forecaster] = ()
    baselines: Sequence[Forecaster] = ()
    spread: Spread = map
    least: float | None = None
    most: float | None = None
    rows: Ints | None = field(default=None)
    """Which series the statistical family is asked about; None: all."""
    gated: bool = False
    """Whether the statistical family is heard only where there is a level to find."""

    def said(self, past: Past, levels: Floats) -> Said:
        """What every member says, within the bounds."""
        families: dict[str, dict[str, Prediction]] = {}
        if self.empirical:
            families[EMPIRICAL] = {m.name: m.predict(past, levels) for m in self.empirical}
        if self.statistical:
            rows = np.arange(len(past.values)) if self.rows is None else self.rows
            families[STATISTICAL] = statistical.predict(
                past, levels, self.statistical, rows, self.spread
            )
        if self.known:
            families[KNOWN] = {m.name: m.predict(past, levels) for m in self.known}
        if self.own:
            families[OWN] = {m.name: m.predict(past, levels) for m in self.own}
        return {
            name: {model: bounded(each, self.least, self.most) for model, each in models.items()}
            for name, models in families.items()
        }

    def beside(self, past: Past, levels: Floats) -> dict[str, Prediction]:
        """What the baselines say, those that are not members anyway."""
        return {
            model.name: bounded(model.predict(past, levels), self.least, self.most)
            for model in self.baselines
        }


def members(
    options: SeriesOptions,
    season: int,
    *,
    statistics: bool,
    own: Sequence[Forecaster] = (),
    spread: Spread = map,
) -> Members:
    """The members that ``options`` ask for.

    Args:
        options: ``models`` and the bounds.
        season: Periods per cycle; without one, some models make no sense.
        statistics: For ``models = "auto"``: whether the statistical family is worth its time.
        own: The user's own models.
        spread: How to walk over many series.
    """
    auto = options.models == "auto"
    names = None if auto else options.models
    empirical: list[Forecaster] = list(family(names, season))
    if names is not None and SEASONAL_NAIVE.name in names:
        empirical.append(SEASONAL_NAIVE)
    asked: tuple[str, ...] = statistical.NAMES if auto and statistics else ()
    if names is not None:
        asked = tuple(name for name in statistical.NAMES if name in names)
    known = [Regression()] if options.known and (names is None or "known" in names) else []
    taken = {model.name for model in empirical}
    return Members(
        empirical=empirical,
        statistical=statistical.fitting(asked, season),
        known=known,
        own=own,
        baselines=[m for m in (CLIMATOLOGY, SEASONAL_NAIVE) if m.name not in taken],
        spread=spread,
        least=options.min,
        most=options.max,
        gated=auto,
    )
