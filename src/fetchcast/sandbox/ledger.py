"""What a sandbox received and what it said, in numbers that a test can hold a client to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class _Tally:
    """The calls of one route, or of one path."""

    received: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    """Timetable rows of the last good answer."""

    def as_json(self) -> dict[str, Any]:
        said = {"received": self.received, "answered": dict(sorted(self.outcomes.items()))}
        return {**said, "rows": self.rows} if self.rows else said


@dataclass(slots=True)
class Ledger:
    """Counts every call, also those that were refused, made to fail, or left by their client."""

    _routes: dict[str, _Tally] = field(default_factory=dict)
    _paths: dict[str, _Tally] = field(default_factory=dict)
    _rows_served: int = 0
    _rows_by_train: Counter[str] = field(default_factory=Counter)
    _running: int = 0
    _peak: int = 0

    def arrived(self, route: str, target: str) -> None:
        """A call came in; ``target`` is its path with the query."""
        for tally in self._tallies(route, target):
            tally.received += 1
        self._running += 1
        self._peak = max(self._peak, self._running)

    def ended(
        self, route: str, target: str, outcome: str, *, rows: int = 0, train: int | None = None
    ) -> None:
        """A call got its answer: a status, ``reset``, or ``gone`` if nobody waited for it."""
        for tally in self._tallies(route, target):
            tally.outcomes[outcome] += 1
        self._running -= 1
        if rows:
            self._paths[target].rows = rows
            self._rows_served += rows
            self._rows_by_train["all" if train is None else str(train)] += rows

    def as_json(self) -> dict[str, Any]:
        """The page ``/stats``."""
        totals: Counter[str] = Counter()
        for tally in self._routes.values():
            totals.update(tally.outcomes)
        return {
            "received": sum(tally.received for tally in self._routes.values()),
            "answered": dict(sorted(totals.items())),
            "peak_concurrency": self._peak,
            "rows_served": self._rows_served,
            "rows_served_by_train": dict(sorted(self._rows_by_train.items())),
            # Each path once, however often it was asked: what a table must hold in the end.
            "rows_distinct": sum(tally.rows for tally in self._paths.values()),
            "routes": {name: tally.as_json() for name, tally in sorted(self._routes.items())},
            "paths": {name: tally.as_json() for name, tally in sorted(self._paths.items())},
        }

    def _tallies(self, route: str, target: str) -> tuple[_Tally, _Tally]:
        return (
            self._routes.setdefault(route, _Tally()),
            self._paths.setdefault(target, _Tally()),
        )
