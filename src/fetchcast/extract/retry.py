"""When a call that failed is tried again. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

_LONGEST_S: Final = 900.0


class RetryOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How stubborn a run is with calls that fail; refused calls (429, 503) do not count."""

    attempts: int = 5
    """How often one call is tried, the first time included."""
    base_s: float = 0.5
    """The wait before the second attempt; it doubles from there."""
    max_s: float = 30.0
    """The longest wait between two attempts, unless the server asks for more."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts = {self.attempts}: expected 1 or more")
        if not 0 < self.base_s <= self.max_s:
            raise ValueError(f"base_s = {self.base_s}: expected above 0, at most max_s")


def delay_s(
    options: RetryOptions, *, attempt: int, jitter: float, asked_s: float | None
) -> float | None:
    """Seconds to wait after the failed ``attempt`` (from 1), or None if it was the last one.

    A server that asks for more than a quarter of an hour is not waited for: the call is kept as
    failed, and a later run asks again.

    Args:
        options: The limits.
        attempt: How many attempts were made, this one included.
        jitter: A random number, ``0 <= x < 1``; spreads calls that failed together.
        asked_s: What the server asked for (``Retry-After``), never shortened.
    """
    if attempt >= options.attempts or (asked_s or 0.0) > _LONGEST_S:
        return None
    grown: float = min(options.max_s, options.base_s * 2.0 ** (attempt - 1))
    return max(grown * (0.5 + jitter / 2), asked_s or 0.0)
