"""PREDICT: forecasts with the evidence for them. Pure: arrays in, arrays out."""

from fetchcast.forecast.answers import Answered
from fetchcast.forecast.digest import digest
from fetchcast.forecast.models import Forecaster, Past, Prediction
from fetchcast.forecast.options import SeriesOptions
from fetchcast.forecast.paths import Outlook, outlook
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
    "forecast",
    "forecast_series",
    "outlook",
]
