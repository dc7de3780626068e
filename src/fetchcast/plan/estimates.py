"""How large a plan is, as far as is known without reading all of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """How many rows a plan has."""

    count: int
    exact: bool
    """Whether that is certain."""
    why: str
    """Where the number comes from, in words."""
