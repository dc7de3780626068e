"""A user's own model, held to what a model promises: its errors name it, its quantiles ascend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fetchcast.errors import ConfigError, SeriesError
from fetchcast.forecast.combine import COMBINED
from fetchcast.forecast.models import Forecaster, Past, Prediction
from fetchcast.forecast.options import MODELS
from fetchcast.forecast.periods import Floats


def checked(series: str, own: Sequence[Forecaster]) -> list[Forecaster]:
    """The same models, each watched.

    Raises:
        ConfigError: If a name is taken, by ours or by another of them.
    """
    names = [model.name for model in own]
    for name in names:
        if name in (*MODELS, COMBINED) or names.count(name) > 1:
            raise ConfigError("own", name, "a model with a name of its own")
    return [_Watched(series, model) for model in own]


class _Watched:
    """One model; what it says is put right or refused before anyone uses it."""

    def __init__(self, series: str, model: Forecaster) -> None:
        self.name = model.name
        self._series = series
        self._model = model

    def predict(self, past: Past, levels: Floats) -> Prediction:
        """What the model says: quantiles ascending, silence (NaN) for whole periods.

        Raises:
            SeriesError: If it fails, or says something of another shape.
        """
        try:
            said = self._model.predict(past, levels)
            quantiles = np.array(said.quantiles, np.float64)
            mean = np.array(said.mean, np.float64)
        except Exception as problem:
            kind = type(problem).__name__
            text = f"your model {self.name!r} failed with {kind}: {problem}"
            raise SeriesError(self._series, text) from problem
        shape = past.targets.shape
        wanted = (*shape, levels.size)
        if quantiles.shape != wanted or mean.shape != shape:
            text = (
                f"your model {self.name!r} says quantiles of shape {quantiles.shape} and a mean of "
                f"{mean.shape}; {wanted} and {shape} are needed: (series, steps, levels)"
            )
            raise SeriesError(self._series, text)
        silent = ~(np.isfinite(quantiles).all(axis=-1) & np.isfinite(mean))
        quantiles[silent], mean[silent] = np.nan, np.nan
        return Prediction(quantiles=np.sort(quantiles, axis=-1), mean=mean)
