"""The greatest value so far, whatever the order and whatever else there is."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchcast.plan.params import Since
from fetchcast.plan.watermark import asked_from, greatest, moment

NUMBERS = Since(since="[*].n", start=0)
TIMES = Since(since="[*].at", start="2020-01-01T00:00:00Z", overlap="1 hour")
MOMENTS = st.datetimes(
    min_value=datetime.fromisoformat("2021-01-01"),
    max_value=datetime.fromisoformat("2030-01-01"),
    timezones=st.just(UTC),
)


@given(parts=st.lists(st.lists(st.one_of(st.integers(), st.none(), st.text(max_size=2)))))
def test_no_order_of_answers_changes_the_mark(parts: list[list[object]]) -> None:
    """Answer by answer is the same as all at once, and what is no number is passed over."""
    so_far = None
    for part in parts:
        so_far = greatest(part, NUMBERS, so_far)
    numbers = [value for part in parts for value in part if isinstance(value, int)]
    assert so_far == (max(numbers) if numbers else None)


def test_moments_are_compared_as_moments() -> None:
    times = ["2026-01-01T12:00:00+02:00", "2026-01-01T10:30:00Z", "2026-01-01T10:15:00.5Z", "x", 7]
    for order in permutations(times):
        assert greatest(order, TIMES) == "2026-01-01T10:30:00Z"


@given(at=MOMENTS)
def test_an_overlap_goes_back_by_as_much_in_the_form_of_the_api(at: datetime) -> None:
    mark = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    asked = asked_from(mark, TIMES)
    assert isinstance(asked, str)
    assert len(asked) == len(mark)
    before, after = moment(asked), moment(mark)
    assert before is not None
    assert after is not None
    assert after - before == timedelta(hours=1)


@pytest.mark.parametrize(
    ("mark", "option", "asked"),
    [
        ("2026-03-05", Since(since="a", start="2020-01-01", overlap="2 days"), "2026-03-03"),
        ("2020-01-01T00:20:00Z", TIMES, "2020-01-01T00:00:00Z"),
        ("2026-03-05T12:00:00", TIMES, "2026-03-05T11:00:00"),
        ("2026-03-05T12:00:00+02:00", TIMES, "2026-03-05T11:00:00+02:00"),
        (40, Since(since="a", start=0, overlap=10), 30),
        (4, Since(since="a", start=0, overlap=10), 0),
        (40, NUMBERS, 40),
        ("b", Since(since="a", start="a"), "b"),
        (None, NUMBERS, 0),
    ],
)
def test_what_is_asked(mark: object, option: Since, asked: object) -> None:
    assert asked_from(mark, option) == asked  # type: ignore[arg-type]
