"""What a worker needs to go on with the lists whose beginnings it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, cast

from fetchcast.config import Pipeline
from fetchcast.pipeline.follow import Follower
from fetchcast.plan.pagination import SINGLE_PAGE, Detected, Paginator, paginator_of
from fetchcast.plan.planner import Plan
from fetchcast.records import Followed, Outcome, Request

_MOST: Final = 4096
"""Pages that are asked ahead with one shard; the lists that are longer go on in others."""
_COUNTED: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """How the lists of one resource go on; travels to workers."""

    paging: Any
    """As the file says it; a hook of the user's own stays where it was given."""
    named_by: frozenset[str]
    detected: Detected | None


def listed(plans: Iterable[Plan], detected: Mapping[str, Detected]) -> dict[str, Listed]:
    """Of all resources whose lists a worker can go on with."""
    return {
        plan.name: Listed(
            paging=plan.paging, named_by=plan.named_by, detected=detected.get(plan.name)
        )
        for plan in plans
        if plan.paging not in (SINGLE_PAGE, "hook")
    }


@dataclass(slots=True)
class _Known:
    """Of a plan what a `Follower` asks about pages."""

    name: str
    paging: Any
    paginator: Paginator | None
    parent: None = None


@dataclass(slots=True)
class ListsAhead:
    """Says which pages follow, for an engine on a worker; a `fetchcast.records.Follow`.

    The run decides over again, from the same answers: what is asked here in vain is dropped there.

    Args:
        pipeline: Says where rows are.
        lists: Which resources have lists.
        requests: The calls that the shard begins with.
        more: Told how many calls follow beside those.
    """

    pipeline: Pipeline
    lists: Mapping[str, Listed]
    requests: Iterable[Request]
    more: Callable[[int], None]
    _follower: Follower = field(init=False)
    _left: int = _MOST

    def __post_init__(self) -> None:
        plans = [
            _Known(name, one.paging, _paginator(one), None) for name, one in self.lists.items()
        ]
        known = {name: one.detected for name, one in self.lists.items() if one.detected}
        # It asks for no children here, so that nothing else of a plan is needed.
        self._follower = Follower(self.pipeline, cast("list[Plan]", plans), detected=known)
        for request in self.requests:
            if request.page and request.resource in self.lists:
                self._follower.go_on(request)

    def __call__(self, outcome: Outcome) -> Followed:
        """The pages that follow; children of rows are the run's to find."""
        if outcome.request.resource not in self.lists or self._left <= 0:
            return Followed(outcome=outcome)
        pages = self._follower.after(outcome).pages
        if pages is None:
            return Followed(outcome=outcome)
        requests = (row.request for row in pages if row.request is not None)
        # As it came: what it means is said where the landing is.
        return Followed(outcome=outcome, pages=self._counted(requests))

    def _counted(self, requests: Iterator[Request]) -> Iterator[Request]:
        while self._left > 0 and (some := list(islice(requests, min(_COUNTED, self._left)))):
            self._left -= len(some)
            self.more(len(some))
            yield from some


def _paginator(one: Listed) -> Paginator | None:
    return None if isinstance(one.paging, str) else paginator_of(one.paging, one.named_by)
