"""Plan and extract: which calls are still to be made, and making them."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from fetchcast.clock import Clock
from fetchcast.config import Pipeline
from fetchcast.events import Committed, Ended, Event, Events, MorePlanned, Passed
from fetchcast.extract.rules import NOT_MODIFIED
from fetchcast.pipeline.databases import PlanDatabases
from fetchcast.pipeline.follow import Ensuing, Follower, as_outcome
from fetchcast.pipeline.lists import Lists, Stored
from fetchcast.pipeline.watermarks import check_tables, known_marks
from fetchcast.plan.planner import Plan, skip_key
from fetchcast.plan.seen import Seen
from fetchcast.records import WITH_ANSWER, Fate, Followed, Outcome, Planned, Request

_WINDOW = 500
"""Rows whose keys are looked up at a time: all keys are never held."""


Fates = Callable[[Sequence[str], float | None], Mapping[str, Fate]]
"""Of these keys, those with an answer that is not from before the moment (None: any answer)."""

Validators = Callable[[Sequence[str]], Mapping[str, Mapping[str, str]]]
"""Of these keys, those that can be asked "changed since?", and the headers that ask it."""


def plans(pipeline: Pipeline, *, now: float, again: bool = False) -> list[Plan]:
    """The plan of every resource, in the order of the file; ``again`` from its very beginning."""
    databases = PlanDatabases(pipeline)
    marks = {} if again else known_marks(pipeline.landing_folder, [*pipeline.resource])
    made = [
        Plan(
            name,
            options,
            base_url=pipeline.api.base_url,
            folder=pipeline.folder,
            now=now,
            databases=databases,
            marks=marks.get(name),
        )
        for name, options in pipeline.resource.items()
    ]
    check_tables(pipeline, made)
    return made


@dataclass(slots=True)
class Selection:
    """Which calls of a plan a run makes.

    Args:
        fates: What the landing knows of these keys.
        validators: How to ask for what has changed since the answers it has.
        clock: For the ends of rows that make no call.
        events: Told of rows that need no call, and of calls that become known.
        follower: Says which calls follow from an answer.
        stored: The answers to these keys that are in the landing.
        lists: Knows which pages lists had that are asked again.
        keep: Takes the end of a row that makes no call.
        only: One key, or its first digits; None for all.
        failed_only: Only calls that failed in an earlier run.
        again: Also calls that have landed.
    """

    fates: Fates
    validators: Validators
    clock: Clock
    events: Events
    follower: Follower
    stored: Stored
    lists: Lists
    keep: Callable[[Outcome], object]
    only: str | None = None
    failed_only: bool = False
    again: bool = False
    already: Counter[str] = field(default_factory=Counter)
    """Resource -> rows that had landed (or were empty) before this run."""
    repeated: Counter[str] = field(default_factory=Counter)
    """Resource -> rows whose call another row of this run makes."""
    unselected: Counter[str] = field(default_factory=Counter)
    """Resource -> rows that ``only`` or ``failed_only`` leave out."""
    rejected: int = 0
    """Bad rows, which make no call, and which nobody asked to skip."""
    _pending: set[str] = field(default_factory=set)
    _followed: Seen = field(default_factory=Seen)
    """Calls from whose answers others follow: many rows may make the same call."""
    _failed: Seen = field(default_factory=Seen)
    """Calls that failed in this run: an equal one is left to the next."""
    _ended: deque[str] = field(default_factory=deque)
    _commits: int = 0
    _begun: float = 0.0

    def __post_init__(self) -> None:
        # The landing keeps whole seconds: an answer from this one may be an earlier run's.
        self._begun = float(int(self.clock.now()) + 1)

    def requests(self, plan: Plan) -> Iterator[Request]:
        """The calls of ``plan`` that are to be made now; each key once."""
        return self._chosen(plan, plan.rows(), known=True)

    def follow(self, outcome: Outcome) -> Followed:
        """What follows from the end of a call that was just made; a `fetchcast.records.Follow`."""
        if not self.follower.follows(outcome.request.resource):
            return Followed(outcome=outcome)
        ensuing = self.follower.after(self.with_body(outcome))
        changed = ensuing.outcome.fate is not outcome.fate
        self._over(ensuing)
        if self.only is not None:
            return Followed(outcome=ensuing.outcome if changed else outcome)
        pages, children = ensuing.pages, ensuing.children
        return Followed(
            outcome=ensuing.outcome if changed else outcome,
            pages=None if pages is None else self._chosen(ensuing.plan, pages, live=True),
            children=self._all_chosen(children) if children else None,
        )

    def watch(self, event: Event) -> None:
        """Forget keys that are on the disk: from there on the landing knows them."""
        match event:
            case Ended(outcome=outcome):
                self._ended.append(outcome.request.key)
                if outcome.fate is Fate.FAILED:
                    self._failed.add(_number(outcome.request.key))
            case Committed(count=count):
                self._commits += 1
                for _ in range(min(count, len(self._ended))):
                    self._pending.discard(self._ended.popleft())

    def _all_chosen(self, children: list[tuple[Plan, Iterator[Planned]]]) -> Iterator[Request]:
        for plan, rows in children:
            yield from self._chosen(plan, rows, live=True)

    def _chosen(
        self, plan: Plan, rows: Iterator[Planned], *, known: bool = False, live: bool = False
    ) -> Iterator[Request]:
        """Those of ``rows`` that are to be asked, and of what follows from the others.

        Args:
            plan: Of the rows.
            rows: Of the plan, or what follows from an answer.
            known: The run has counted them before.
            live: They follow from a call of this run: they are wanted whatever is asked again.
        """
        # A stack of our own: a list of ten thousand pages is not ten thousand generators deep.
        levels = [(plan, rows, known)]
        while levels:
            plan, rows, known = levels[-1]
            window = list(islice(rows, _WINDOW))
            if not window:
                levels.pop()
                continue
            if not known:
                at, count = self.clock.now(), len(window)
                self.events(MorePlanned(at=at, resource=plan.name, count=count))
            done: list[Request] = []
            yield from self._window(plan, window, done, live=live)
            if self.follower.follows(plan.name):
                levels += self._ensuing(done)

    def _ensuing(self, done: list[Request]) -> list[tuple[Plan, Iterator[Planned], bool]]:
        """What follows from answers that landed before."""
        found: list[tuple[Plan, Iterator[Planned], bool]] = []
        requests = {request.key: request for request in done}
        for landed in self.stored([*requests]):
            ensuing = self.follower.after(as_outcome(landed, requests[landed.key]))
            self._over(ensuing)
            if ensuing.pages is not None:
                found.append((ensuing.plan, ensuing.pages, False))
            found += ((plan, rows, False) for plan, rows in ensuing.children)
        return found

    def _window(
        self, plan: Plan, window: list[Planned], done: list[Request], *, live: bool
    ) -> Iterator[Request]:
        """The calls of ``window`` that are to be made; ``done`` takes those with an answer."""
        fates = self._fates(plan, window)
        old = self._old(window, fates)
        conditions = self._conditions(plan, old)
        commits, passed = self._commits, 0
        for place, row in enumerate(window):
            if row.request is None:
                self._skip(row)
                continue
            if commits != self._commits:
                # Equal calls may have landed since: they are made once.
                commits = self._commits
                fates = {**fates, **self._fates(plan, window[place:])}
            key = row.request.key
            if self._is_repeat(row.request):
                self.repeated[plan.name] += 1
                passed += 1
            elif self._wanted(key, fates.get(key), live=live):
                self._pending.add(key)
                self._is_followed(plan, key)
                if key in old and row.request.page == 0 and self.follower.is_paged(plan.name):
                    self.lists.begins(row.request)
                yield _asking(row.request, conditions.get(key))
            else:
                is_done = fates.get(key) in WITH_ANSWER
                (self.already if is_done else self.unselected)[plan.name] += 1
                passed += 1
                if is_done and not self._is_followed(plan, key):
                    done.append(row.request)
        if passed:
            self.events(Passed(at=self.clock.now(), count=passed))

    def _is_followed(self, plan: Plan, key: str) -> bool:
        """Whether what follows from this call is known by an equal one; from now on it is."""
        return self.follower.follows(plan.name) and not self._followed.add(_number(key))

    def _over(self, ensuing: Ensuing) -> None:
        if ensuing.over is not None:
            self._ended.extend(self.lists.over(ensuing.over))

    def with_body(self, outcome: Outcome) -> Outcome:
        """304 confirms the answer that is kept: what follows is in that one."""
        if outcome.answer is None or outcome.answer.status != NOT_MODIFIED:
            return outcome
        kept = next(iter(self.stored([outcome.request.key])), None)
        if kept is None:
            return outcome
        confirmed = as_outcome(kept, outcome.request)
        return msgspec.structs.replace(confirmed, finished_at=outcome.finished_at)

    # -- what is known of a call

    def _fates(self, plan: Plan, window: list[Planned]) -> Mapping[str, Fate]:
        """What is known of the calls in ``window``, leaving out answers that have grown old."""
        now = self.clock.now()
        oldest = None if plan.refresh_s is None else now - plan.refresh_s
        if self.again or plan.since is not None:  # What is new since then is asked each time.
            oldest = self._begun
        by_moment: dict[float | None, list[str]] = defaultdict(list)
        for row in window:
            if row.request is not None:
                by_moment[_since(oldest, row.final_at, now)].append(row.request.key)
        found: dict[str, Fate] = {}
        for since, keys in by_moment.items():
            found |= self.fates(keys, since)
        return found

    def _old(self, window: list[Planned], fates: Mapping[str, Fate]) -> Collection[str]:
        """The calls in ``window`` whose answers have grown old."""
        asked = [row.request.key for row in window if row.request is not None]
        aged = [key for key in asked if key not in fates]
        # A failure's ETag is that of an error page.
        return {key for key, fate in self.fates(aged, None).items() if fate in WITH_ANSWER}

    def _conditions(self, plan: Plan, old: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        """How to ask for answers that have grown old, where the API told us a way."""
        if not old or self.again or self.failed_only:
            return {}
        if self.follower.follows(plan.name):
            # That nothing has changed is of no use where nobody knows any more what it was.
            old = [landed.key for landed in self.stored([*old]) if landed.body]
        return self.validators([*old])

    def _is_repeat(self, request: Request) -> bool:
        return request.key in self._pending or _number(request.key) in self._failed

    def _wanted(self, key: str, fate: Fate | None, *, live: bool) -> bool:
        if live:
            return fate not in WITH_ANSWER
        if self.only is not None:
            return key.startswith(self.only)
        if self.failed_only:
            return fate is Fate.FAILED
        return fate not in WITH_ANSWER

    def _skip(self, row: Planned) -> None:
        self.rejected += row.rejected
        request = Request(key=skip_key(row), resource=row.resource, url="", params=row.params)
        outcome = Outcome(
            request=request,
            fate=Fate.SKIPPED,
            answer=None,
            attempts=0,
            reason=row.reason,
            finished_at=self.clock.now(),
        )
        self.events(Ended(outcome=outcome))
        self.keep(outcome)


def _number(key: str) -> int:
    """Half of a key, which tells calls apart as well."""
    return int(key[:16], 16)


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
