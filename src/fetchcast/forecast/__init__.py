"""PREDICT: forecasts with the evidence for them. Pure: arrays in, arrays out."""

from fetchcast.forecast.options import SeriesOptions
from fetchcast.forecast.series import SeriesForecast, forecast_series

__all__ = ["SeriesForecast", "SeriesOptions", "forecast_series"]
