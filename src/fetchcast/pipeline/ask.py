"""Plan and extract: which calls are still to be made, and making them."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from fetchcast.clock import Clock
from fetchcast.config import Pipeline
from fetchcast.events import Committed, Ended, Event, Events, Passed
from fetchcast.extract.engine import Rules
from fetchcast.extract.rules import any_counter
from fetchcast.plan.planner import Plan, skip_key
from fetchcast.records import Fate, Outcome, Planned, Request

_WINDOW = 500
"""Rows whose keys are looked up at a time: all keys are never held."""

_DONE = frozenset({Fate.LANDED, Fate.EMPTY})

Fates = Callable[[Sequence[str], float | None], Mapping[str, Fate]]
"""Of these keys, those with an answer that is not from before the moment (None: any answer)."""

Validators = Callable[[Sequence[str]], Mapping[str, Mapping[str, str]]]
"""Of these keys, those that can be asked "changed since?", and the headers that ask it."""


def plans(pipeline: Pipeline, *, now: float) -> list[Plan]:
    """The plan of every resource, in the order of the file."""
    return [
        Plan(
            name,
            options,
            base_url=pipeline.api.base_url,
            folder=pipeline.folder,
            now=now,
        )
        for name, options in pipeline.resource.items()
    ]


def rules(pipeline: Pipeline) -> dict[str, Rules]:
    """How answers are judged; a table that reads a resource says where its rows must be."""
    paths: dict[str, set[str | None]] = defaultdict(set)
    for table in pipeline.table.values():
        for source in table.sources:
            paths[source].add(table.rows)
    return {
        name: Rules(options=options.answer, count_rows=any_counter(paths[name]))
        for name, options in pipeline.resource.items()
    }


@dataclass(slots=True)
class Selection:
    """Which calls of a plan a run makes.

    Args:
        fates: What the landing knows of these keys.
        validators: How to ask for what has changed since the answers it has.
        clock: For the ends of rows that make no call.
        events: Told of rows that need no call.
        only: One key, or its first digits; None for all.
        failed_only: Only calls that failed in an earlier run.
        again: Also calls that have landed.
    """

    fates: Fates
    validators: Validators
    clock: Clock
    events: Events
    only: str | None = None
    failed_only: bool = False
    again: bool = False
    already: Counter[str] = field(default_factory=Counter)
    """Resource -> rows that had landed (or were empty) before this run."""
    repeated: Counter[str] = field(default_factory=Counter)
    """Resource -> rows whose call another row of this run makes."""
    unselected: Counter[str] = field(default_factory=Counter)
    """Resource -> rows that ``only`` or ``failed_only`` leave out."""
    skipped: list[Outcome] = field(default_factory=list)
    """Rows that make no call."""
    rejected: int = 0
    """How many of these are bad rows that nobody asked to skip."""
    _pending: set[str] = field(default_factory=set)
    _ended: deque[str] = field(default_factory=deque)

    def requests(self, plan: Plan) -> Iterator[Request]:
        """The calls of ``plan`` that are to be made now; each key once."""
        rows = plan.rows()
        while window := list(islice(rows, _WINDOW)):
            yield from self._window(plan, window)

    def watch(self, event: Event) -> None:
        """Forget keys that are on the disk: from there on the landing knows them."""
        match event:
            case Ended(outcome=outcome):
                self._ended.append(outcome.request.key)
            case Committed(count=count):
                for _ in range(min(count, len(self._ended))):
                    self._pending.discard(self._ended.popleft())

    def _window(self, plan: Plan, window: list[Planned]) -> Iterator[Request]:
        fates = self._fates(plan, window)
        conditions = self._conditions(window, fates)
        passed = 0
        for row in window:
            if row.request is None:
                self._skip(row)
            elif self._is_repeat(row.request):
                self.repeated[plan.name] += 1
                passed += 1
            elif self._wanted(row.request.key, fates.get(row.request.key)):
                self._pending.add(row.request.key)
                yield _asking(row.request, conditions.get(row.request.key))
            else:
                done = fates.get(row.request.key) in _DONE
                (self.already if done else self.unselected)[plan.name] += 1
                passed += 1
        if passed:
            self.events(Passed(at=self.clock.now(), count=passed))

    def _fates(self, plan: Plan, window: list[Planned]) -> Mapping[str, Fate]:
        """What is known of the calls in ``window``, leaving out answers that have grown old."""
        now = self.clock.now()
        oldest = None if plan.refresh_s is None else now - plan.refresh_s
        by_moment: dict[float | None, list[str]] = defaultdict(list)
        for row in window:
            if row.request is not None:
                by_moment[_since(oldest, row.final_at, now)].append(row.request.key)
        found: dict[str, Fate] = {}
        for since, keys in by_moment.items():
            found |= self.fates(keys, since)
        return found

    def _conditions(
        self, window: list[Planned], fates: Mapping[str, Fate]
    ) -> Mapping[str, Mapping[str, str]]:
        """How to ask for answers that have grown old, where the API told us a way."""
        if self.again or self.failed_only:
            return {}
        asked = [row.request.key for row in window if row.request is not None]
        aged = [key for key in asked if key not in fates]
        # A failure's ETag is that of an error page.
        old = [key for key, fate in self.fates(aged, None).items() if fate in _DONE]
        return self.validators(old) if old else {}

    def _is_repeat(self, request: Request) -> bool:
        return request.key in self._pending

    def _wanted(self, key: str, fate: Fate | None) -> bool:
        if self.only is not None:
            return key.startswith(self.only)
        if self.failed_only:
            return fate is Fate.FAILED
        return self.again or fate not in _DONE

    def _skip(self, row: Planned) -> None:
        self.rejected += row.rejected
        request = Request(key=skip_key(row), resource=row.resource, url="", params=row.params)
        self.skipped.append(
            Outcome(
                request=request,
                fate=Fate.SKIPPED,
                answer=None,
                attempts=0,
                reason=row.reason,
                finished_at=self.clock.now(),
            )
        )


def _asking(request: Request, condition: Mapping[str, str] | None) -> Request:
    if not condition:
        return request
    # Only the call is another: its key is over what is asked for.
    return msgspec.structs.replace(request, headers={**request.headers, **condition})


def _since(oldest: float | None, final_at: float | None, now: float) -> float | None:
    """The moment from which on an answer counts; an unsettled day's never does."""
    if final_at is None:
        return oldest
    settled = min(final_at, now)
    return settled if oldest is None else max(oldest, settled)
