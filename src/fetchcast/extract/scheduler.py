"""Which call is next. Pure: it holds what waits, never what runs, and knows no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from fetchcast.records import Request


@dataclass(slots=True)
class Call:
    """A request on its way through the engine."""

    id: int
    request: Request
    attempts: int = 0
    """Attempts that failed; refusals do not count."""


class Scheduler:
    """Refused calls first, then retries that are due, then what was never asked.

    Requests are drawn one by one, so a plan of millions costs the memory of the calls in flight.
    """

    def __init__(self, requests: Iterator[Request]) -> None:
        self._requests = requests
        self._again: deque[Call] = deque()
        self._later: list[tuple[float, int, Call]] = []
        self._drawn: Call | None = None
        self._count = 0
        self._exhausted = False

    def peek(self, now: float) -> Call | None:
        """The call that should leave next, or None if none is ready; it stays until `take`."""
        if self._again:
            return self._again[0]
        if self._later and self._later[0][0] <= now:
            return self._later[0][2]
        return self._drawn or self._draw()

    def take(self, now: float) -> Call:
        """Remove and return what `peek` showed."""
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
        waiting = self._again or self._later or self._drawn
        return not waiting and (self._exhausted or self._draw() is None)

    def _draw(self) -> Call | None:
        if self._exhausted:
            return None
        request = next(self._requests, None)
        if request is None:
            self._exhausted = True
            return None
        self._count += 1
        self._drawn = Call(self._count, request)
        return self._drawn
