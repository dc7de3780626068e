"""Every dialect in which an API tells its limits, and the nonsense it may tell instead."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from fetchcast.extract.pace.headers import NOTHING, Budget, read_hints

WALL = 1_790_000_000.0


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": formatdate(WALL + 30, usegmt=True)}, 30.0),
        ({"retry-after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0.0),
        ({"retry-after": str(int(WALL + 12))}, 12.0),
        ({"retry-after": str(int((WALL + 12) * 1000))}, 12.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "2m30s"}, 150.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "1e99"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "99999999999999999999"}, None),
    ],
)
def test_a_wait_is_read_in_every_form(headers: dict[str, str], wait: float | None) -> None:
    """Seconds, fractions, dates, epochs; garbage says nothing."""
    assert read_hints(headers, WALL).retry_after_s == pytest.approx(wait)


def test_a_wrong_clock_does_not_lengthen_the_wait() -> None:
    """A server an hour ahead says ``Date`` and ``Retry-After`` with the same wrong clock."""
    ahead = WALL + 3600
    headers = {
        "date": formatdate(ahead, usegmt=True),
        "retry-after": formatdate(ahead + 20, usegmt=True),
    }

    assert read_hints(headers, WALL).retry_after_s == pytest.approx(20.0, abs=1)


@pytest.mark.parametrize("prefix", ["ratelimit", "x-ratelimit", "x-rate-limit"])
@pytest.mark.parametrize("reset", ["45", str(int(WALL + 45)), str(int((WALL + 45) * 1000))])
def test_limit_remaining_reset(prefix: str, reset: str) -> None:
    """Seconds left, epoch seconds and epoch milliseconds mean the same moment."""
    headers = {
        f"{prefix}-limit": "100",
        f"{prefix}-remaining": "42",
        f"{prefix}-reset": reset,
    }

    (budget,) = read_hints(headers, WALL).budgets

    assert budget == Budget(prefix, 100, 42, pytest.approx(45.0), None)


def test_structured_fields() -> None:
    """The current IETF draft: several policies, what is left of one, calls at once."""
    headers = {
        "ratelimit-policy": '"burst";q=100;w=60, "daily";q=5000;w=86400, '
        '"c";q=8;qu="concurrent-requests"',
        "ratelimit": '"burst";r=50;t=30',
    }

    hints = read_hints(headers, WALL)

    assert hints.budgets == (Budget("burst", 100, 50, 30.0, 60.0),)
    assert hints.concurrent == 8


def test_the_form_of_older_drafts() -> None:
    """``limit=, remaining=, reset=`` in one field."""
    hints = read_hints({"ratelimit": "limit=100, remaining=99, reset=12"}, WALL)

    assert hints.budgets == (Budget("ratelimit", 100, 99, 12.0, None),)


def test_gateways_name_the_window_in_the_field() -> None:
    """Kong: no reset, but the window is known."""
    headers = {"x-ratelimit-limit-minute": "60", "x-ratelimit-remaining-minute": "59"}

    assert read_hints(headers, WALL).budgets == (Budget("x-ratelimit-minute", 60, 59, None, 60.0),)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-remaining": "5"},
        {"x-ratelimit-remaining": "many", "x-ratelimit-reset": "5"},
        {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "11", "x-ratelimit-reset": "5"},
        {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "-1", "x-ratelimit-reset": "5"},
        {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "1", "x-ratelimit-reset": "tomorrow"},
        {"ratelimit": '"a";r=;t='},
        {"ratelimit": '";;;,,,"='},
        {"ratelimit-policy": "q=;w"},
    ],
)
def test_what_makes_no_sense_is_not_there(headers: dict[str, str]) -> None:
    """A malformed header is ignored, it neither stops nor frees a run."""
    assert read_hints(headers, WALL).budgets == ()


def test_other_headers_are_not_even_looked_at() -> None:
    """The usual answer costs one set operation."""
    assert read_hints({"content-type": "application/json", "date": "x"}, WALL) is NOTHING
