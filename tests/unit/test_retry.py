"""When a call that failed is tried again."""

import pytest

from fetchcast.extract.engine import _asked_s
from fetchcast.extract.retry import RetryOptions, delay_s
from fetchcast.records import Answer

_WALL = 1_790_000_000.0  # Mon, 21 Sep 2026 14:13:20 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "Mon, 21 Sep 2026 14:13:50 GMT"}, 30.0),
        # The server's clock is an hour ahead, in both.
        (
            {
                "retry-after": "Mon, 21 Sep 2026 15:13:50 GMT",
                "date": "Mon, 21 Sep 2026 15:13:40 GMT",
            },
            10.0,
        ),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_what_a_failed_answer_asks_for_is_read_in_every_form(
    headers: dict[str, str], seconds: float | None
) -> None:
    """The same forms as on a refusal."""
    answer = Answer(url="http://api.test/", status=500, headers=headers, body=b"", elapsed_s=0.1)

    assert _asked_s(answer, _WALL) == seconds


def test_waits_double_with_jitter_and_are_never_shorter_than_asked_for() -> None:
    """Up to the longest wait of the options."""
    options = RetryOptions(attempts=9, base_s=1.0, max_s=4.0)
    waits = [delay_s(options, attempt=n, jitter=1.0, asked_s=None) for n in range(1, 6)]

    assert waits == [1.0, 2.0, 4.0, 4.0, 4.0]
    assert delay_s(options, attempt=1, jitter=0.0, asked_s=None) == 0.5
    assert delay_s(options, attempt=1, jitter=0.0, asked_s=60.0) == 60.0


def test_the_last_attempt_and_a_wait_of_hours_are_the_end() -> None:
    """The call is kept as failed; nobody waits six hours in a terminal."""
    options = RetryOptions(attempts=3)

    assert delay_s(options, attempt=3, jitter=0.0, asked_s=None) is None
    assert delay_s(options, attempt=1, jitter=0.0, asked_s=6 * 3600.0) is None
