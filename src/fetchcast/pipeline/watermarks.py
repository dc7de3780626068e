"""Moves watermarks: only for what a run has got whole, and only when it is on the disk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fetchcast.config import Pipeline
from fetchcast.errors import ConfigError, LandingError
from fetchcast.events import Ended, Event
from fetchcast.json_path import parse_path, values_at
from fetchcast.landing.reader import open_reader
from fetchcast.plan.params import Since
from fetchcast.plan.planner import Plan
from fetchcast.plan.watermark import combination, greatest
from fetchcast.records import Fate, Outcome, Scalar

Marks = dict[str, Scalar]
"""Combination of the other parameters -> the greatest value so far."""


def scope(resource: str) -> str:
    """Under which name the marks of a resource are kept in the landing."""
    return f"since {resource}"


def known_marks(landing: Path, resources: Sequence[str]) -> dict[str, Marks]:
    """Resource -> its marks, as earlier runs left them; nothing if nothing has landed."""
    found: dict[str, Marks] = {}
    with suppress(LandingError), open_reader(landing) as reader:
        for name in resources:
            if (memory := reader.recall(scope(name))) is not None:
                found[name] = memory.value
    return found


def check_tables(pipeline: Pipeline, plans: Sequence[Plan]) -> None:
    """Raise `ConfigError` for a table that asks of a watermark what it cannot give."""
    moving = {plan.name for plan in plans if plan.since is not None}
    for name, table in pipeline.table.items():
        if table.every_call and moving & set(table.sources):
            raise ConfigError(
                f"table.{name}.every_call",
                "true",
                "false: the calls of a resource with `since` are others in each run",
            )


def keyless(pipeline: Pipeline, plans: Sequence[Plan]) -> list[str]:
    """What a person should know of tables in which rows may come twice."""
    moving = {plan.name for plan in plans if plan.since is not None}
    return [
        f"table {name}: rows that {source} tells again would be there twice; give it a `key`"
        for name, table in pipeline.table.items()
        for source in moving & set(table.sources)
        if table.key is None
    ]


@dataclass(slots=True)
class Watermarks:
    """The marks of one run, and what it must have got whole before they move.

    Args:
        plans: Of the run.
        marks: Resource -> marks before the run.
        whole: The end of a call with the answer that it confirms, if it was a 304.
    """

    plans: Sequence[Plan]
    marks: Mapping[str, Marks]
    whole: Callable[[Outcome], Outcome]
    _found: dict[str, Marks] = field(default_factory=lambda: defaultdict(dict))
    _failed: set[tuple[str, str]] = field(default_factory=set)
    _spoilt: set[str] = field(default_factory=set)
    """Resources below which a call failed: who asks from later on never meets it again."""

    def hear(self, event: Event) -> None:
        """Note the end of a call."""
        if not isinstance(event, Ended):
            return
        outcome = event.outcome
        plan = self._plan(outcome.request.resource)
        if outcome.fate is Fate.FAILED:
            self._spoil(plan)
        if plan is None or plan.since is None:
            return
        name, option = plan.since
        of = combination(outcome.request.params, name)
        if outcome.fate is Fate.FAILED:
            self._failed.add((plan.name, of))
        elif outcome.fate is Fate.LANDED:
            self._see(plan.name, of, option, self.whole(outcome))

    def moved(self) -> dict[str, Marks]:
        """Resource -> all its marks now, of those resources of which one has moved."""
        return {
            name: {**self.marks.get(name, {}), **found}
            for name in self._found.keys() - self._spoilt
            if (found := self._whole_ones(name))
        }

    def notes(self) -> list[str]:
        """What looks like a mistake in the file."""
        return [
            f"resource {plan.name}: no answer has a value at since = {plan.since[1].since!r}; the "
            "next run asks from the start again"
            for plan in self.plans
            if plan.since is not None
            and plan.name in self._found
            and not (self._found[plan.name] or self.marks.get(plan.name))
        ]

    def _whole_ones(self, resource: str) -> Marks:
        return {
            of: mark
            for of, mark in self._found[resource].items()
            if (resource, of) not in self._failed
        }

    def _see(self, resource: str, of: str, option: Since, outcome: Outcome) -> None:
        if outcome.answer is None:
            return
        found, before = self._found[resource], self.marks.get(resource, {}).get(of)
        try:
            document = msgspec.json.decode(outcome.answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._failed.add((resource, of))  # It will be in the rejects; what it holds is unknown.
            return
        values = values_at(document, parse_path(option.since))
        mark = greatest(values, option, found.get(of, before))
        if mark is not None:
            found[of] = mark

    def _plan(self, resource: str) -> Plan | None:
        return next((plan for plan in self.plans if plan.name == resource), None)

    def _spoil(self, plan: Plan | None) -> None:
        while plan is not None and plan.parent is not None:
            self._spoilt.add(plan.parent)
            plan = self._plan(plan.parent)
