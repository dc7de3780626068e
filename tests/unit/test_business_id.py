"""Finnish business ids: repaired where the repair is certain, refused with the reason otherwise."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fetchcast.plan.business_id import check_digit, normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0250345-3", "0250345-3"),
        ("02503453", "0250345-3"),
        ("250345-3", "0250345-3"),
        ("2503453", "0250345-3"),
        (" 0250345-3 ", "0250345-3"),
        ("FI02503453", "0250345-3"),
    ],
)
def test_what_is_certain_is_repaired(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0250345-4", "has the check digit 4, it should be 3"),
        ("not an id", "is not a business id"),
        ("", "is not a business id"),
        ("12345678-9", "is not a business id"),
    ],
)
def test_what_is_not_certain_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        normalise(text)


@given(number=st.integers(min_value=1, max_value=9_999_999))
def test_one_wrong_digit_is_always_noticed(number: int) -> None:
    """The check digit finds every single wrong digit; numbers without one are never issued."""
    digits = f"{number:07}"
    right = check_digit(digits)
    if right is None:
        with pytest.raises(ValueError, match="never issued"):
            normalise(f"{digits}-0")
        return
    for place in range(7):
        other = digits[:place] + str((int(digits[place]) + 1) % 10) + digits[place + 1 :]
        with pytest.raises(ValueError, match=r"check digit|never issued"):
            normalise(f"{other}-{right}")


@given(number=st.integers(min_value=1, max_value=9_999_999))
def test_normalising_twice_is_the_same_as_once(number: int) -> None:
    digits = f"{number:07}"
    digit = check_digit(digits)
    assume(digit is not None)
    once = normalise(f"{number}{digit}" if number > 9 else f"{digits}{digit}")
    assert once == f"{digits}-{digit}" == normalise(once)
