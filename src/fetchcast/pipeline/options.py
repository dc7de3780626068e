"""What a run does beside the usual."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a run does beside the usual."""

    only: str | None = None
    """Ask for this key alone."""
    failed_only: bool = False
    """Ask for just the calls that failed earlier."""
    again: bool = False
    """Ask for everything, also what has landed."""
    ask: bool = True
    """False makes no call: what has landed is shaped and loaded again."""
    forecast: bool = True
    """False ends after the load."""
    processes: int = 1
    """How many may fit forecasting models at once; with more than one, guard the start of a
    program of your own (``if __name__ == "__main__":``)."""
