"""Calls that follow from answers, where the answers come from workers.

A worker goes on with the lists that it began: it asks the pages that follow, as far as it can tell.
What follows is decided here, where the landing is, and by what decides it on one machine: each
answer is looked at when it has come, in the order in which its worker got it. A page that a worker
asked and that follows here too is taken; one that nobody here asks for is dropped; one that
follows and has not come is sent out. So a run on a cluster keeps what a run on one machine keeps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final

import msgspec

from fetchcast.records import Follow, Outcome, Request

_DRAWN: Final = 64
"""Calls that are drawn at a time while an answer waits for being asked for."""


class Waves:
    """Draws calls for shards, and takes the ends of calls.

    Iterating gives the calls that can be sent now; when it ends, there may be more later.

    Args:
        requests: Those of the plans.
        follow: Says which calls follow from the end of a call.
        keep: Told each end that counts, in its final form.
    """

    def __init__(
        self, requests: Iterator[Request], follow: Follow, keep: Callable[[Outcome], None]
    ) -> None:
        self._planned, self._follow, self._keep = requests, follow, keep
        self._pages: deque[Iterator[Request]] = deque()
        self._children: deque[Iterator[Request]] = deque()
        self._ready: dict[str, Request] = {}
        """Known, and neither sent nor answered."""
        self._sent: dict[str, Request] = {}
        self._spare: dict[str, Outcome] = {}
        """Came, and nobody has asked for them yet."""

    def __iter__(self) -> Waves:
        return self

    def __next__(self) -> Request:
        while not self._ready and self._draw(1):
            pass
        if not self._ready:
            raise StopIteration
        key = next(iter(self._ready))
        request = self._sent[key] = self._ready.pop(key)
        return request

    def known(self, most: int) -> int:
        """How many calls could be sent now, counted up to ``most``."""
        while len(self._ready) < most and self._draw(most - len(self._ready)):
            pass
        return len(self._ready)

    def take(self, outcomes: Iterable[Outcome]) -> None:
        """The ends of calls of one shard, in the order in which they came."""
        for outcome in outcomes:
            key = outcome.request.key
            request = self._sent.pop(key, None) or self._ready.pop(key, None)
            if request is None:
                self._spare[key] = outcome
                # It was asked ahead: what it follows from has come before it.
                self._draw_following()
            else:
                self._end(request, outcome)

    def over(self) -> None:
        """A shard has come whole: what nobody asked for by now, nobody will."""
        self._draw_following()
        self._spare.clear()

    def _end(self, request: Request, outcome: Outcome) -> None:
        # A part does not say which page of its list a call was, nor with which headers it left.
        followed = self._follow(msgspec.structs.replace(outcome, request=request))
        self._keep(followed.outcome)
        if followed.pages is not None:
            self._pages.append(followed.pages)
        if followed.children is not None:
            self._children.append(followed.children)

    def _draw_following(self) -> None:
        while self._spare and (self._pages or self._children) and self._draw(_DRAWN):
            pass

    def _draw(self, count: int) -> bool:
        """Make up to ``count`` more calls known; False if there are none now."""
        found = list(islice(self._next_ones(), count))
        for request in found:
            outcome = self._spare.pop(request.key, None)
            if outcome is None:
                self._ready[request.key] = request
            else:
                self._end(request, outcome)
        return bool(found)

    def _next_ones(self) -> Iterator[Request]:
        """Pages first, then children, then the plan."""
        for sources in (self._pages, self._children):
            while sources:
                if (request := next(sources[0], None)) is not None:
                    yield request
                else:
                    sources.popleft()
        yield from self._planned
