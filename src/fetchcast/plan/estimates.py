"""How large a plan is, as far as is known without reading all of it, and what its rows are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fetchcast.plan.seen import Seen
from fetchcast.records import Planned


@dataclass(frozen=True, slots=True)
class Estimate:
    """How many rows a plan has."""

    count: int
    exact: bool
    """Whether that is certain."""
    why: str
    """Where the number comes from, in words."""


@dataclass(slots=True)
class Sample:
    """What rows of a plan are."""

    rows: int = 0
    calls: int = 0
    """Different calls."""
    repeated: int = 0
    """Rows whose call another row makes."""
    idle: int = 0
    """Rows that make no call."""
    problem: str | None = None
    """Why the first of these makes none."""


def survey(rows: Iterable[Planned]) -> Sample:
    """What ``rows`` are; remembers 64 bits of each call."""
    found, seen = Sample(), Seen()
    for row in rows:
        found.rows += 1
        if row.request is None:
            found.idle += 1
            found.problem = found.problem or row.reason
        elif seen.add(int(row.request.key[:16], 16)):
            found.calls += 1
        else:
            found.repeated += 1
    return found
