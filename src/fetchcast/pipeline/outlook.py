"""What a run would do with one plan, before it does: for ``fetchcast plan``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from fetchcast.landing.reader import Reader, open_reader
from fetchcast.plan.estimates import Estimate, Sample, survey
from fetchcast.plan.planner import Plan
from fetchcast.records import WITH_ANSWER, Fate, Planned

_WINDOW = 5_000
_FEW = 10_000
"""Plans with no more rows are looked at row by row without being asked to."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """The calls of one resource, before they are made."""

    resource: str
    rows: int
    exact: bool
    """Whether every row was looked at, or their number is certain."""
    landed: int
    """Rows whose call has landed, or was empty."""
    text: str
    """What is known, and how; empty if there is nothing to say."""


def outlook(plan: Plan, landing: Path, *, exact: bool) -> Outlook:
    """What a run would do with ``plan``.

    Args:
        plan: The plan.
        landing: The folder of the landing, which may not be there yet.
        exact: Look at every row, and at what has landed of it.

    Raises:
        FetchcastError: If the plan's sources cannot be read.
    """
    estimate = plan.estimate()
    with _reader(landing) as reader:
        if plan.parent is not None:
            landed = _landed(reader, plan.name)
            return Outlook(plan.name, landed, exact=False, landed=landed, text=estimate.why)
        if exact or estimate.count <= _FEW:
            looked = _Looked(reader)
            found = survey(looked.at(plan.rows()))
            text = _exactly(found, worth=exact or bool(found.repeated or found.idle))
            return Outlook(plan.name, found.rows, exact=True, landed=looked.landed, text=text)
        found, landed = plan.sample(), min(estimate.count, _landed(reader, plan.name))
        text = _estimated(plan.name, estimate, found)
        return Outlook(plan.name, estimate.count, exact=estimate.exact, landed=landed, text=text)


class _Looked:
    """Rows on their way, of which those are counted whose call has landed."""

    def __init__(self, reader: Reader | None) -> None:
        self._reader, self.landed = reader, 0

    def at(self, rows: Iterator[Planned]) -> Iterator[Planned]:
        if self._reader is None:
            yield from rows
            return
        while window := list(islice(rows, _WINDOW)):
            keys = [row.request.key for row in window if row.request is not None]
            fates = self._reader.fates(keys)
            self.landed += sum(1 for key in keys if fates.get(key) in WITH_ANSWER)
            yield from window


def _exactly(found: Sample, *, worth: bool) -> str:
    if not worth:
        return ""
    parts = [f"{found.rows:,} rows make {found.calls:,} different calls"]
    if found.repeated:
        parts.append(f"{found.repeated:,} repeat another's, which is made once")
    if found.idle:
        parts.append(f"{found.idle:,} make none ({found.problem})")
    return "; ".join(parts)


def _estimated(name: str, estimate: Estimate, first: Sample) -> str:
    kind = "rows" if estimate.exact else "rows, an estimate"
    text = f"{name}: {estimate.count:,} {kind}, from {estimate.why}"
    text += f"; of the first {first.rows:,}, {first.calls:,} are different calls"
    if first.idle:
        text += f", {first.idle:,} make none ({first.problem})"
    return f"{text}\nhow many differ in all, and how many of these have landed: --exact"


@contextmanager
def _reader(landing: Path) -> Iterator[Reader | None]:
    if not landing.exists():
        yield None
        return
    with open_reader(landing) as reader:
        yield reader


def _landed(reader: Reader | None, resource: str) -> int:
    if reader is None:
        return 0
    fates = reader.counts(resource)
    return fates[Fate.LANDED] + fates[Fate.EMPTY]
