"""Several models become one: their quantiles are averaged, level by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fetchcast.forecast.models import Forecaster, Past, Prediction
from fetchcast.forecast.periods import Floats

COMBINED = "combined"
"""The name of the average in the tables."""


def predict_all(past: Past, models: Sequence[Forecaster], levels: Floats) -> dict[str, Prediction]:
    """What each of ``models`` says, by name."""
    return {model.name: model.predict(past, levels) for model in models}


def combined(said: Mapping[str, Prediction], weights: Mapping[str, float]) -> Prediction:
    """The weighted average of quantiles; averages of ascending rows ascend, so none cross.

    A model with nothing to say about a series (NaN) leaves its share to the others.
    """
    quantiles, mean = np.zeros(()), np.zeros(())
    total = np.zeros(())
    for name, weight in weights.items():
        said_by = said[name]
        share = np.where(np.isnan(said_by.mean), 0.0, weight)
        total = total + share
        mean = mean + share * np.where(share > 0, said_by.mean, 0.0)
        wide = share[..., None]
        quantiles = quantiles + wide * np.where(wide > 0, said_by.quantiles, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Prediction(quantiles=quantiles / total[..., None], mean=mean / total)


def bounded(said: Prediction, least: float | None, most: float | None) -> Prediction:
    """``said``, with nothing below ``least`` and nothing above ``most``."""
    if least is None and most is None:
        return said
    return Prediction(
        quantiles=np.clip(said.quantiles, least, most), mean=np.clip(said.mean, least, most)
    )
