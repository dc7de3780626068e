"""How numbers, days and times are written for a Finn, an American and an ISO purist."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from fetchcast.serve import wording
from fetchcast.serve.wording import Habits

HELSINKI = ZoneInfo("Europe/Helsinki")
MOMENT = datetime(2026, 11, 25, 14, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("habit", "day", "full", "clock"),
    [
        ("day_first", "Wed 25 Nov", "25 Nov 2026", "16:05"),
        ("month_first", "Wed, Nov 25", "Nov 25, 2026", "4:05 PM"),
        ("iso", "Wed 2026-11-25", "2026-11-25", "16:05"),
    ],
)
def test_dates_and_times_follow_the_setting(habit, day, full, clock):
    habits = Habits(zone=HELSINKI, date_format=habit)
    assert habits.day(date(2026, 11, 25)) == day
    assert habits.full_day(date(2026, 11, 25)) == full
    assert habits.clock(MOMENT) == clock


def test_midnight_and_noon_are_twelve_to_an_american():
    habits = Habits(zone=UTC, date_format="month_first")
    assert habits.clock(datetime(2026, 1, 1, 0, 7, tzinfo=UTC)) == "12:07 AM"
    assert habits.clock(datetime(2026, 1, 1, 12, 0, tzinfo=UTC)) == "12:00 PM"


def test_summer_time_is_the_zones_own():
    habits = Habits(zone=HELSINKI)
    assert habits.clock(datetime(2026, 7, 1, 12, 58, tzinfo=UTC)) == "15:58"
    assert habits.clock(datetime(2026, 12, 1, 13, 58, tzinfo=UTC)) == "15:58"


def test_certainty_is_never_claimed_of_a_forecast():
    assert wording.percent(1.0) == ">99\u202f%"
    assert wording.percent(0.999) == ">99\u202f%"
    assert wording.percent(0.0) == "<1\u202f%"
    assert wording.percent(0.404) == "40\u202f%"
    assert wording.measured_percent(1.0) == "100\u202f%"


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.4, "4 of 10"), (0.05, "1 of 20"), (0.99, "99 of 100"), (0.45, "9 of 20"), (0.5, "5 of 10")],
)
def test_shares_are_said_in_days(share, said):
    assert wording.in_ten(share) == said


def test_numbers_have_a_real_minus_and_thin_spaces():
    assert wording.number(-1.5) == "\u22121.50"
    assert wording.number(12345.0) == "12\u202f345"
    assert wording.number(-0.001, digits=1) == "0.0"
    assert wording.signed(2.04, digits=1) == "+2.0"
