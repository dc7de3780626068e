"""What the tests in a browser share: the widths they look at, and how they wait."""

from __future__ import annotations

WIDTHS = (390, 768, 1280)


def settled(page, answer, expected):
    """Wait for a value; the policy forbids Playwright's own wait_for_function."""
    for _ in range(100):
        if page.evaluate(answer) == expected:
            return
        page.wait_for_timeout(30)
    assert page.evaluate(answer) == expected
