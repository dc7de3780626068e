"""What one run learnt about a scope, kept for the next: a hint with a date, not a fact."""

from __future__ import annotations

from typing import Final

import msgspec

_FRESH_S: Final = 86400.0
_FORGET_S: Final = 30 * 86400.0


class Learnt(msgspec.Struct, frozen=True, kw_only=True):
    """The limits that were found for one (scheme, host, port, credential).

    It becomes JSON with `msgspec.json.encode` and comes back with `msgspec.json.decode`; fields
    that a later version adds have defaults.
    """

    at: float
    """When, in seconds since 1970, UTC."""
    level: int | None = None
    """Calls at once that were found to be the limit."""
    rate: float | None = None
    """Calls per second that were found to be the limit."""
    burst: float | None = None
    """Calls that such a bucket had saved for the first moment."""
    wait_s: float = 0.0
    """How long a refusal asked to wait."""
    window_calls: int | None = None
    """Calls that pass in one window."""
    window_s: float | None = None
    window_low_s: float | None = None
    """The window is not shorter than this."""
    window_clocked: bool = False
    """Whether windows begin on the clock rather than with our first call."""
    window_told: bool = False
    """Whether only ``Retry-After`` told of it."""
    window_slides: bool = False
    """Whether it opens bit by bit, because refused calls count too."""
    sure: int = 0
    """Calls that were accepted under this limit after it was found."""
    latency_s: float | None = None
    """Mean time of an answer from an API that was not pressed."""
    width: int | None = None
    """Calls at once that went well where no limit on them was found, or that latency allows."""
    pressed: bool = False
    """Whether more than ``width`` at once made answers slower."""
    round_trip_s: float | None = None
    """The fastest refusal that was seen."""
    quota_begin: float | None = None
    """Begin of the period of your own quota, seconds since 1970."""
    quota_used: int = 0
    """Calls sent in that period."""

    def aged(self, wall: float) -> Learnt:
        """What is still worth believing at ``wall``: half after a day, nothing after thirty.

        The count of your own quota does not age; it is a fact.
        """
        age = wall - self.at
        if age <= _FRESH_S:
            return self
        if age > _FORGET_S:
            return Learnt(at=self.at, quota_begin=self.quota_begin, quota_used=self.quota_used)
        return msgspec.structs.replace(
            self,
            level=None if self.level is None else max(1, self.level // 2),
            rate=None if self.rate is None else self.rate / 2,
            burst=None,
            width=None,
            sure=0,
        )
