"""What a run did, for people and programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fetchcast.events import Ended, Event, MorePlanned, RunEnd
from fetchcast.forecast import Answered
from fetchcast.records import Fate, Outcome, Receipt


@dataclass(slots=True, kw_only=True)
class ResourceReport:
    """The calls of one resource; the numbers add up to ``planned`` if the run is complete."""

    planned: int = 0
    already: int = 0
    """Had landed, or were empty, before this run."""
    repeated: int = 0
    """Rows whose call another row of the same run made."""
    unselected: int = 0
    """Left out by ``--only`` or ``retry-failed``."""
    fates: Counter[Fate] = field(default_factory=Counter)

    @property
    def accounted(self) -> int:
        """Rows of which it is known how they ended."""
        return self.already + self.repeated + self.unselected + sum(self.fates.values())

    @property
    def unasked(self) -> int:
        """Rows the run did not come to."""
        return max(0, self.planned - self.accounted)


@dataclass(slots=True, kw_only=True)
class Failure:
    """One call that failed, or one input row that was rejected."""

    key: str
    what: str
    reason: str


_SHOWN = 20
"""Failures kept in the report; the landing has them all."""


@dataclass(slots=True, kw_only=True)
class RunReport:
    """The end of a run."""

    run_id: str
    pipeline: str
    end: RunEnd = RunEnd.COMPLETE
    stopped: str | None = None
    """Why calls were left unasked, in words."""
    resources: dict[str, ResourceReport] = field(default_factory=dict)
    receipts: list[Receipt] = field(default_factory=list)
    rejects: int = 0
    """Values or rows that did not fit their table; see the table ``_rejects``."""
    failures: list[Failure] = field(default_factory=list)
    """The first ones."""
    pace: str = ""
    """Which limit was found, how, and how much of it was used."""
    notes: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    """How far to trust each new forecast, a sentence for each section."""
    answers: list[Answered] = field(default_factory=list)
    _unasked: list[Outcome] = field(default_factory=list)
    extract_s: float = 0.0
    total_s: float = 0.0
    sent: int = 0
    refused: int = 0

    def watch(self, event: Event) -> None:
        """Count the ends of calls, and the calls that become known on the way."""
        if isinstance(event, MorePlanned):
            self.resources[event.resource].planned += event.count
        if isinstance(event, Ended):
            outcome = event.outcome
            self.resources[outcome.request.resource].fates[outcome.fate] += 1
            if outcome.fate is Fate.FAILED:
                self.fail(outcome.request.key, outcome.request.url, outcome.reason or "failed")
            elif not outcome.request.url and len(self._unasked) < _SHOWN:
                self._unasked.append(outcome)

    def add_unasked(self) -> None:
        """List the rows that make no call too, behind the calls that failed."""
        for outcome in self._unasked:
            row = ", ".join(f"{key}={value}" for key, value in outcome.request.params.items())
            self.fail(outcome.request.key, row, outcome.reason or "")

    def fail(self, key: str, what: str, reason: str) -> None:
        """Keep a failure, if it is among the first."""
        if len(self.failures) < _SHOWN:
            self.failures.append(Failure(key=key, what=what, reason=reason))

    def count(self, fate: Fate) -> int:
        """Calls of all resources that ended so in this run."""
        return sum(report.fates[fate] for report in self.resources.values())
