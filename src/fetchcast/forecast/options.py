"""What a pipeline file says about a series: one ``[series.NAME]`` section."""

from __future__ import annotations

from datetime import tzinfo
from math import isfinite
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from fetchcast.errors import ConfigError
from fetchcast.forecast.periods import Frequency

MODELS = (
    "climatology",
    "seasonal",
    "recent",
    "seasonal_naive",
    "ets",
    "theta",
    "ces",
    "mstl",
    "known",
)
"""The models that can be asked for by name; ``combined`` is always there."""

STATISTICAL = ("ets", "theta", "ces", "mstl")
"""Those that need the optional extra ``statistical``."""

_TAKEN = ("unique_id", "ds", "y", "scheduled", "scored")
_LONGEST = 10_000


class SeriesOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ``[series.NAME]`` section: where the series come from and what is known about them.

    ``sql`` yields one row per observation: ``unique_id``, ``ds`` (when), ``y`` (how much), and if
    there is more to say ``scheduled`` (the clock moment that ``y = 0`` stands for) and ``scored``
    (whether a backtest may judge by this row; true where it is not given).
    """

    sql: str = ""
    unit: str = ""
    """The unit of ``y``, for people: "min", "orders", "MW"."""
    horizon: int | None = None
    """Periods to forecast; by frequency if not given (28 days, 12 months, 48 hours ...)."""
    season: int | None = None
    """Periods per cycle; by frequency if not given (7 for days, 24 for hours, 12 for months)."""
    frequency: Literal["auto", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly"] = (
        "auto"
    )
    min: float | None = None
    """No forecast goes below."""
    max: float | None = None
    """No forecast goes above."""
    models: list[str] | Literal["auto"] = "auto"
    known: list[str] = []
    """Columns of numbers that are known ahead: a price, a plan, a promotion as 0 and 1. The SQL
    yields them for coming periods too, in rows whose ``y`` is null."""
    country: str | None = None
    """Two letters, "FI"; its public holidays count as Sundays (needs the package ``holidays``)."""
    time_zone: str = "UTC"
    """Where a day begins and what the clock shows."""
    gaps: Literal["did_not_happen", "unknown"] = "did_not_happen"
    """What a missing period means: it did not happen (a train that did not run), which is
    forecast as a probability of its own; or nobody knows."""
    gap_limit: int = 28
    """A gap of more periods than this always means: no data."""
    min_history: int | None = None
    """Observations that a backtest wants before its first cutoff; three cycles, 8 to 56, if not
    given."""
    origins: int | None = None
    """Cutoffs of the backtest; up to 12 for few series, 5 for many, if not given."""

    def __post_init__(self) -> None:
        _within("horizon", self.horizon, 1)
        _within("season", self.season, 1)
        _within("gap_limit", self.gap_limit, 1)
        _within("min_history", self.min_history, 3)
        _within("origins", self.origins, 1)
        _bounds(self.min, self.max)
        checked_zone("time_zone", self.time_zone)
        if self.models != "auto":
            _named(self.models)
            if "known" in self.models and not self.known:
                raise ConfigError("models", "known", "at least one column in `known`")
        for name in self.known:
            if name in _TAKEN or self.known.count(name) > 1:
                raise ConfigError("known", name, "columns of their own, each named once")

    @property
    def zone(self) -> tzinfo:
        """``time_zone`` as Python knows it."""
        return ZoneInfo(self.time_zone)

    @property
    def given_frequency(self) -> Frequency | None:
        """``frequency``, or None for "auto"."""
        return None if self.frequency == "auto" else Frequency(self.frequency)


def _within(key: str, value: int | None, least: int) -> None:
    if value is not None and not least <= value <= _LONGEST:
        raise ConfigError(key, value, f"a whole number from {least} to {_LONGEST}")


def _bounds(least: float | None, most: float | None) -> None:
    for key, value in (("min", least), ("max", most)):
        if value is not None and not isfinite(value):
            raise ConfigError(key, value, "a finite number; leave the key out for no bound")
    if least is not None and most is not None and least >= most:
        raise ConfigError("min", least, f"a number below max = {most}")


def checked_zone(key: str, name: str) -> None:
    """Raise `ConfigError` unless ``name`` is a time zone."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as problem:
        expected = 'the name of a time zone, such as "Europe/Helsinki"'
        raise ConfigError(key, name, expected) from problem


def _named(models: list[str]) -> None:
    for name in models:
        if name not in MODELS:
            raise ConfigError("models", name, f'"auto" or some of {", ".join(MODELS)}')
    if not models:
        raise ConfigError("models", models, '"auto" or at least one model')
