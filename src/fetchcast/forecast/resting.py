"""Public holidays: days on which a country's week is not the usual one.

One series sees each holiday once a year, too seldom to learn from. All holidays together are
forecast as what they resemble most in timetables, shops and offices: a Sunday.
"""

from __future__ import annotations

import datetime as dt
from importlib.util import find_spec

import numpy as np

from fetchcast.errors import ConfigError
from fetchcast.forecast.periods import Ints

_EPOCH = dt.date(1970, 1, 1)

SUNDAY = 3
"""The place of Sunday in a week that is counted from Thursday, 1 January 1970."""


def resting_days(country: str, first: int, last: int) -> Ints:
    """The public holidays of ``country`` among the days ``first`` to ``last`` (since 1970).

    Raises:
        ConfigError: If the country is not known, or the package ``holidays`` is not installed.
    """
    if find_spec("holidays") is None:
        raise ConfigError("country", country, "the package `holidays` (pip install holidays)")
    import holidays  # noqa: PLC0415  optional, and slow to import

    years = range(*((_EPOCH + dt.timedelta(days=day)).year for day in (first, last + 366)))
    try:
        found = holidays.country_holidays(country.upper(), years=years)
    except NotImplementedError as problem:
        raise ConfigError("country", country, 'two letters such as "FI"') from problem
    days = np.array(sorted((day - _EPOCH).days for day in found), np.int64)
    return days[(days >= first) & (days <= last)]
