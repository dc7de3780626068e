"""PREDICT: forecasts with the evidence for them. Pure: arrays in, arrays out.

The package itself can be called: ``fetchcast.forecast(df, horizon=28)`` is `forecast`.
"""

import sys
from types import ModuleType
from typing import Any

from fetchcast.forecast.answers import Answered
from fetchcast.forecast.digest import digest
from fetchcast.forecast.evidence import evidence
from fetchcast.forecast.models import Forecaster, Past, Prediction
from fetchcast.forecast.options import SeriesOptions
from fetchcast.forecast.paths import Outlook, outlook, probability
from fetchcast.forecast.question import QuestionOptions, answer
from fetchcast.forecast.series import SeriesForecast, forecast, forecast_series

__all__ = [
    "Answered",
    "Forecaster",
    "Outlook",
    "Past",
    "Prediction",
    "QuestionOptions",
    "SeriesForecast",
    "SeriesOptions",
    "answer",
    "digest",
    "evidence",
    "forecast",
    "forecast_series",
    "outlook",
    "probability",
]


class _Callable(ModuleType):
    """`fetchcast.forecast` is a package and, for notebooks, the function of that name."""

    def __call__(self, *frame: Any, **options: Any) -> SeriesForecast:
        """`fetchcast.forecast.forecast`."""
        return forecast(*frame, **options)


sys.modules[__name__].__class__ = _Callable
