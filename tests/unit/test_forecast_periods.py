"""Frequencies found from time stamps, and time stamps as numbers and back."""

import datetime as dt

import numpy as np
import pytest

from fetchcast.errors import ConfigError
from fetchcast.forecast.dates import clock_of, day_of
from fetchcast.forecast.periods import Frequency, Grid, frequencies, wall


def stamps(*texts):
    return np.array(texts, "datetime64[us]").astype(np.int64)


def grid_of(*texts):
    return frequencies(stamps(*texts), np.array([0]))[0]


@pytest.mark.parametrize(
    ("texts", "frequency"),
    [
        (["2026-01-01", "2026-01-02", "2026-01-05"], Frequency.DAILY),
        (["2026-01-02", "2026-01-04", "2026-01-09"], Frequency.DAILY),
        (["2026-01-04", "2026-01-11", "2026-01-25"], Frequency.WEEKLY),
        (["2026-01-31", "2026-02-28", "2026-03-31"], Frequency.MONTHLY),
        (["2026-01-15", "2026-02-15", "2026-04-15"], Frequency.MONTHLY),
        (["2026-03-31", "2026-06-30", "2026-12-31"], Frequency.QUARTERLY),
        (["2020-07-01", "2021-07-01", "2023-07-01"], Frequency.YEARLY),
        (["2026-01-01T00", "2026-01-01T01", "2026-01-01T05"], Frequency.HOURLY),
        # One a day at about the same time: a day is meant, not an hour.
        (["2026-01-01T15:58", "2026-01-02T16:03", "2026-01-03T15:57"], Frequency.DAILY),
    ],
)
def test_the_frequency_is_found(texts, frequency):
    assert grid_of(*texts).frequency is frequency


def test_quarter_hours_fit_no_frequency():
    assert grid_of("2026-01-01T00:00", "2026-01-01T00:15", "2026-01-01T00:30") is None


@pytest.mark.parametrize(
    "texts",
    [
        ["2026-01-31", "2026-02-28", "2026-03-31", "2028-02-29"],
        ["2026-01-30", "2026-02-28", "2026-03-30"],
        ["2026-02-01", "2026-05-01", "2026-08-01"],
        ["2020-07-01", "2021-07-01", "2023-07-01"],
        ["2026-01-07", "2026-01-14", "2026-01-28"],
    ],
)
def test_numbers_and_back(texts):
    """The next period is dated as its forerunners are: month ends stay month ends."""
    given = stamps(*texts)
    grid = grid_of(*texts)
    if texts[0] == "2026-01-30":  # 28 February is not the 30th: a day of month is given by hand.
        grid = Grid(Frequency.MONTHLY, 0, 30)
    numbers = grid.numbers(given)
    np.testing.assert_array_equal(grid.stamps(numbers), given)
    assert (np.diff(numbers) >= 1).all()


def test_the_rush_hour_stays_when_summer_time_begins():
    """8 o'clock in Helsinki is 6 UTC in winter and 5 UTC in summer, and one place in the cycle."""
    grid = Grid(Frequency.HOURLY)
    numbers = grid.numbers(stamps("2026-03-28T06", "2026-03-30T05"))
    places = grid.positions(numbers, 24, "Europe/Helsinki")
    assert places[0] == places[1] == 8


def test_the_wall_shows_summer_time():
    shown = wall(stamps("2026-01-01T12:00", "2026-07-01T12:00"), "Europe/Helsinki")
    np.testing.assert_array_equal(shown, stamps("2026-01-01T14:00", "2026-07-01T15:00"))


@pytest.mark.parametrize(
    ("rule", "day"),
    [
        ("today", "2026-11-21"),
        ("tomorrow", "2026-11-22"),
        ("next wednesday", "2026-11-25"),
        ("Wednesday", "2026-11-25"),
        ("wed", "2026-11-25"),
        ("saturday", "2026-11-28"),
        ("today+3", "2026-11-24"),
        ("today + 3 days", "2026-11-24"),
        ("2026-12-24", "2026-12-24"),
    ],
)
def test_date_rules(rule, day):
    """On Saturday, 21 November 2026; a weekday is never today."""
    assert day_of(rule, dt.date(2026, 11, 21)).isoformat() == day


def test_a_wrong_date_says_what_is_right():
    with pytest.raises(ConfigError, match="next wednesday"):
        day_of("someday", dt.date(2026, 11, 21))


def test_clock_times():
    assert clock_of("deadline", "16:00") == dt.time(16)
    assert clock_of("deadline", "7:05") == dt.time(7, 5)
    for wrong in ("25:00", "four", ""):
        with pytest.raises(ConfigError, match="clock time"):
            clock_of("deadline", wrong)
