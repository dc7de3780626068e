"""Which limit is felt, in figures and in words a person can use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What holds the calls back."""

    NONE = "none"
    CONCURRENCY = "concurrency"
    RATE = "rate"
    WINDOW = "window"
    SLIDING = "sliding"
    CAPACITY = "capacity"
    HEADERS = "headers"
    OWN_CAP = "own cap"
    CLOSED = "closed"


class Sureness(StrEnum):
    """How much stands behind it."""

    SURE = "sure"
    LIKELY = "likely"
    GUESS = "a guess"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The limit that is felt now, how it was found, and how much of it is used."""

    kind: Kind
    what: str
    """The limit in words: ``10 at once``, ``50 a second``, ``300 per 30 s``."""
    how: str
    """Where it comes from: ``found by refusals``, ``told by the API``, ``remembered``."""
    sure: Sureness
    used: float | None
    """Share of the limit that the accepted calls used, ``0 <= used <= 1``; None if unknown."""
    level: int | None = None
    """Calls at once, if that is the limit."""
    rate: float | None = None
    """Calls per second, if that is the limit."""
    window_calls: int | None = None
    window_s: float | None = None

    @property
    def text(self) -> str:
        """One line for the progress line, such as ``10 at once (found by refusals, sure)``."""
        if self.kind in (Kind.NONE, Kind.CLOSED):
            return self.what
        certainty = "" if self.kind is Kind.OWN_CAP else f", {self.sure}"
        share = "" if self.used is None else f", {self.used:.0%} used".replace("%", " %")
        return f"{self.what} ({self.how}{certainty}){share}"
