"""Which call is next. Pure: it holds what waits, never what runs, and knows no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Final

import msgspec

from fetchcast.records import Request


class Call(msgspec.Struct, eq=False):
    """A request on its way through the engine."""

    id: int
    request: Request
    attempts: int = 0
    """Attempts that failed; refusals do not count."""
    doubts: int = 0
    """How often it was the first to find that a token is no good, which may be its own fault."""
    rejections: int = 0
    """How often it met a token that had run out, or a key that is no good."""


_ASIDE: Final = 256
"""So many calls of one route wait beside the others; more are not drawn from its plan."""
_MANY: Final = 32
"""So many answers with children left to ask: the lists they come from can wait."""


class Scheduler:
    """Refused calls first, then retries that are due, then what was never asked.

    Of the latter: more pages first, then children, the newest first, then the plan; so a plan of
    millions costs the memory of the calls in flight. Where children are asked more slowly than
    the pages that name them, pages wait.
    """

    def __init__(self, *plans: Iterator[Request]) -> None:
        self._plans = deque(plans)
        self._aside: dict[str, deque[Call]] = {}
        self._paused: dict[str, list[Iterator[Request]]] = {}
        self._turn: str | None = None
        self._is_planned = False
        self._pages: deque[Iterator[Request]] = deque()
        self._children: list[Iterator[Request]] = []
        self._again: deque[Call] = deque()
        self._later: list[tuple[float, int, Call]] = []
        self._drawn: Call | None = None
        self._count = 0

    def peek(self, now: float) -> Call | None:
        """The call that should leave next, or None if none is ready; it stays until `take`."""
        if self._again:
            return self._again[0]
        later = self._later
        if later and later[0][0] <= now:
            return later[0][2]
        return self._drawn or self._draw()

    def choose(
        self, now: float, ask: Callable[[float, str], float | None], *, are_apart: bool
    ) -> tuple[Call | None, float | None]:
        """The call that should leave now, and that it may; or None, and when to look again.

        Args:
            now: The moment.
            ask: When a call of a route may leave; its resource is a call's route.
            are_apart: Whether some routes have limits of their own. Calls of a route that has to
                wait are then set aside for those of another.
        """
        soonest: float | None = None
        for route, calls in self._aside.items():
            due = ask(now, route)
            if due is not None and due <= now:
                self._turn = route
                return calls[0], due
            soonest = _sooner(soonest, due)
        self._turn = None
        while (call := self.peek(now)) is not None:
            route = call.request.resource
            due = None if route in self._aside else ask(now, route)
            if due is not None and due <= now:
                return call, due
            soonest = _sooner(soonest, due)
            if not (are_apart and self._set_aside(route, now)):
                return None, soonest
        return None, _sooner(soonest, self.due())

    def _set_aside(self, route: str, now: float) -> bool:
        """Make way for calls of other routes; False if too many of this one wait already."""
        calls = self._aside.get(route, ())
        if len(calls) >= _ASIDE and self.peek(now) is self._drawn:
            if not (self._is_planned and self._plans):
                return False
            self._paused.setdefault(route, []).append(self._plans.popleft())
        self._aside.setdefault(route, deque()).append(self.take(now))
        return True

    def _take_aside(self, route: str) -> Call:
        calls = self._aside[route]
        call = calls.popleft()
        if not calls:
            del self._aside[route]
        if len(calls) < _ASIDE // 2 and route in self._paused:
            self._plans.extend(self._paused.pop(route))
        return call

    def take(self, now: float) -> Call:
        """Remove and return what `peek` or `choose` showed."""
        if self._turn is not None:
            turn, self._turn = self._turn, None
            return self._take_aside(turn)
        if self._again:
            return self._again.popleft()
        if self._later and self._later[0][0] <= now:
            return heappop(self._later)[2]
        call, self._drawn = self._drawn, None
        assert call is not None
        return call

    def refused(self, call: Call) -> None:
        """Back to the front of the queue."""
        self._again.append(call)

    def retry(self, call: Call, due: float) -> None:
        """Again at ``due``."""
        heappush(self._later, (due, call.id, call))

    def due(self) -> float | None:
        """When the next retry is due, if one waits."""
        return self._later[0][0] if self._later else None

    def finished(self) -> bool:
        """True if nothing waits and the plan is used up."""
        waiting = self._again or self._later or self._drawn or self._aside
        return not waiting and self._draw() is None

    def follow(self, pages: Iterator[Request] | None, children: Iterator[Request] | None) -> None:
        """Ask these too; children come after pages."""
        if pages is not None:
            self._pages.append(pages)
        if children is not None:
            self._children.append(children)

    def _draw(self) -> Call | None:
        self._is_planned = False
        request = self._next() if self._pages or self._children else self._planned()
        if request is None:
            return None
        self._count += 1
        self._drawn = call = Call(self._count, request)
        return call

    def _next(self) -> Request | None:
        """The next call that follows from another, or else of the plan."""
        while self._pages or self._children:
            # Drawing may itself add to both.
            if self._pages and len(self._children) < _MANY:
                source = self._pages[0]
                if (request := next(source, None)) is not None:
                    return request
                self._pages.remove(source)
            elif self._children:
                source = self._children[-1]
                if (request := next(source, None)) is not None:
                    return request
                self._children.remove(source)
        return self._planned()

    def _planned(self) -> Request | None:
        while self._plans:
            if (request := next(self._plans[0], None)) is not None:
                self._is_planned = True
                return request
            self._plans.popleft()
        return None


def _sooner(one: float | None, other: float | None) -> float | None:
    """The earlier moment; None is no moment at all."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
