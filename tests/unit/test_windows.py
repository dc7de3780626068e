"""Days and windows of time: calendars, clocks that are put forward and back, and how they end."""

from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import pytest

from fetchcast.errors import ConfigError
from fetchcast.plan.params import Dates
from fetchcast.plan.windows import Windows

NOW = 1_795_000_000.0  # 2026-11-18 11:06:40 UTC, a Wednesday


def windows(**options: object) -> Windows:
    return Windows(msgspec.convert(options, Dates), now=NOW)


def spans(**options: object) -> list[tuple[str | int, str | int]]:
    made = windows(**options)
    found = [(window.start, window.end) for window in made]
    assert len(found) == made.count
    return found


def test_months_end_with_their_last_day() -> None:
    assert spans(**{"from": "2024-01-01", "to": "2024-03-31"}, step="1 month") == [
        ("2024-01-01", "2024-01-31"),
        ("2024-02-01", "2024-02-29"),
        ("2024-03-01", "2024-03-31"),
    ]


def test_a_month_from_the_31st_is_the_end_of_the_next_and_does_not_creep() -> None:
    found = spans(**{"from": "2025-01-31", "to": "2025-04-29"}, step="1 month")
    assert [start for start, _ in found] == ["2025-01-31", "2025-02-28", "2025-03-31"]
    assert found[-1][1] == "2025-04-29"


def test_exclusive_ends_are_the_next_beginnings() -> None:
    found = spans(**{"from": "2026-01-01", "to": "2026-01-10"}, step="1 week", ends="exclusive")
    assert found == [("2026-01-01", "2026-01-08"), ("2026-01-08", "2026-01-11")]


def test_the_last_window_is_cut_at_the_end() -> None:
    assert spans(last="10 days", step="1 week")[-1] == ("2026-11-15", "2026-11-17")


@pytest.mark.parametrize(
    ("day", "hours", "repeated"), [("2026-03-29", 23, False), ("2026-10-25", 25, True)]
)
def test_hours_are_counted_on_the_clock(day: str, hours: int, *, repeated: bool) -> None:
    """Helsinki: a day has 23 hours in spring and 25 in autumn; no hour is left out or doubled."""
    said = {"from": day, "to": day, "step": "1 hour", "time_zone": "Europe/Helsinki"}
    found = spans(**said)
    assert len(found) == hours
    moments = [datetime.fromisoformat(str(start)) for start, _ in found]
    gaps = {(b - a).total_seconds() for a, b in pairwise(moments)}
    assert gaps == {3600.0}
    assert len(set(found)) == hours
    at_three = [start for start, _ in found if "T03:00:00" in str(start)]
    assert len(at_three) == (2 if repeated else 0)


def test_days_keep_their_time_of_day_over_a_change_of_the_clock() -> None:
    """ENTSO-E wants a local day as UTC: 22:00 in winter, 21:00 in summer."""
    found = spans(
        **{"from": "2026-03-28", "to": "2026-03-30"},
        time_zone="Europe/Helsinki",
        written_in="UTC",
        format="%Y%m%d%H%M",
        ends="exclusive",
    )
    assert found == [
        ("202603272200", "202603282200"),
        ("202603282200", "202603292100"),
        ("202603292100", "202603302100"),
    ]


def test_inclusive_ends_of_moments_are_the_last_second() -> None:
    found = spans(**{"from": "2026-01-01T06:00", "to": "2026-01-01T18:00", "step": "12 hours"})
    assert found == [("2026-01-01T06:00:00+00:00", "2026-01-01T17:59:59+00:00")]


def test_seconds_since_1970() -> None:
    found = spans(**{"from": "2026-01-01", "to": "2026-01-01"}, format="unix", ends="exclusive")
    first = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    assert found == [(first, first + 86400)]
    (milliseconds,) = spans(**{"from": "2026-01-01", "to": "2026-01-01"}, format="unix_ms")
    assert milliseconds[0] == first * 1000


def test_the_last_hours_end_with_a_whole_one() -> None:
    found = spans(last="3 hours", step="1 hour", ends="exclusive")
    assert found[0][0] == "2026-11-18T08:00:00+00:00"
    assert found[-1][1] == "2026-11-18T11:00:00+00:00"


def test_a_window_is_over_with_its_end_and_a_day_with_midnight_there() -> None:
    (window,) = windows(
        **{"from": "2026-03-01", "to": "2026-03-31"}, step="1 month", time_zone="Europe/Helsinki"
    )
    assert (
        datetime.fromtimestamp(window.day_over_at, UTC).isoformat() == "2026-03-01T22:00:00+00:00"
    )
    assert datetime.fromtimestamp(window.over_at, UTC).isoformat() == "2026-03-31T21:00:00+00:00"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"last": "1 fortnight"}, "last = '1 fortnight'"),
        ({"last": "2 days", "step": "0 hours"}, "step = '0 hours'"),
        ({"from": "9999-12-31"}, "a day before the year"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "not before 2026-01-02"),
        ({"last": "1 day", "written_in": "Nowhere"}, "written_in = 'Nowhere'"),
        ({"last": "9000 years"}, "at most 1,666 years"),
    ],
)
def test_what_is_no_span_is_named(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        windows(**options)
