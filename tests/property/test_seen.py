"""The law of the small set: it knows what a set knows."""

from hypothesis import given
from hypothesis import strategies as st

from fetchcast.plan.seen import Seen

numbers = st.integers(min_value=1, max_value=(1 << 64) - 1)


@given(st.lists(numbers | st.integers(1, 50) | st.integers(1, 9).map(lambda n: n << 12)))
def test_it_is_a_set(given: list[int]) -> None:
    """Also where many numbers want the same place."""
    seen, known = Seen(), set[int]()
    for number in given:
        assert (number in seen) == (number in known)
        assert seen.add(number) == (number not in known)
        known.add(number)
    assert len(seen) == len(known)


def test_it_grows() -> None:
    seen = Seen()
    assert all(seen.add(n * 2_654_435_761) for n in range(1, 20_000))
    assert not any(seen.add(n * 2_654_435_761) for n in range(1, 20_000))
