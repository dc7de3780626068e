"""Routes: one pace for all of an API, until one of its routes proves to have its own limits.

A route is what a resource of the pipeline asks. Your own caps for the API are for all routes
together; those of a resource are for its route besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from fetchcast.extract.pace.apart import Apart
from fetchcast.extract.pace.controller import Pace
from fetchcast.extract.pace.explanation import Explanation, Kind
from fetchcast.extract.pace.headers import KNOWN, read_hints
from fetchcast.extract.pace.learnt import Learnt
from fetchcast.extract.pace.options import PaceOptions

_NONE: Final = PaceOptions()


class Routes:
    """The paces of several routes; see `Pace` for the question and the events.

    Args:
        options: Your own caps, for all routes together.
        own: Route -> your own caps for it: it has a pace of its own from the beginning.
        memory: What earlier runs learnt of all routes that are not apart.
        memories: Route -> what earlier runs learnt of one that was apart.
        max_connections: Calls in flight that the transport allows.
        wall: The time of day now (seconds since 1970, UTC).
    """

    lane: Final = 0

    def __init__(
        self,
        options: PaceOptions,
        *,
        own: Mapping[str, PaceOptions],
        memory: Learnt | None,
        memories: Mapping[str, Learnt],
        max_connections: int,
        wall: float,
    ) -> None:
        self._max, self._wall = max_connections, wall
        self._most = options.max_concurrency or max_connections
        self._shared = Pace(options, memory=memory, max_connections=max_connections, wall=wall)
        self._caps = self._shared.caps
        self.apart: Final[dict[str, Pace]] = {
            route: self._pace(own.get(route, _NONE), memories.get(route))
            for route in dict.fromkeys([*own, *memories])
        }
        """Routes with a pace of their own."""
        self._evidence = Apart()
        self._flying: dict[int, tuple[Pace, str, int]] = {}
        self._route = ""
        self._asked: dict[str, float] = {}
        self._begun = False

    def _pace(self, options: PaceOptions, memory: Learnt | None) -> Pace:
        return Pace(options, memory=memory, max_connections=self._max, wall=self._wall)

    def _of(self, route: str) -> Pace:
        return self.apart.get(route, self._shared)

    # --- the question -----------------------------------------------------------------------

    def next(self, now: float) -> float | None:
        """When a call of the route that was asked about last may leave."""
        return self.next_on(now, self._route)

    def next_on(self, now: float, route: str) -> float | None:
        """When a call of ``route`` may leave; see `Pace.next`."""
        self._route = route
        if not self.apart:
            return self._shared.next(now)
        self._asked[route] = now
        if len(self._flying) >= self._most:
            return None
        pace = self._of(route)
        due = pace.next(now)
        if pace is self._shared or due is None or due > now:
            return due
        if not self._begun:
            self._caps.begin(now)
            self._begun = True
        ready = self._caps.ready(now)
        return None if self._caps.stopped is not None else ready

    def is_apart(self, route: str, other: str) -> bool:
        """Whether a call of ``route`` may leave while one of ``other`` may not."""
        return self._of(route) is not self._of(other)

    # --- what happens -----------------------------------------------------------------------

    def sent(self, call: int, now: float) -> None:
        """A call left, of the route that `next_on` was asked about last."""
        pace = self._of(self._route)
        self._flying[call] = pace, self._route, self._evidence.sent(self._route)
        if pace is not self._shared:
            self._caps.spend(now)
        pace.sent(call, now)

    def accepted(self, call: int, now: float, headers: Mapping[str, str], wall: float) -> None:
        """See `Pace.accepted`."""
        pace, route, number = self._flying.pop(call)
        if pace is not self._of(route):
            headers = {}  # It was taken apart meanwhile: what they say is not about this pace.
        elif pace is self._shared:
            self._evidence.accepted(route, number)
            if not KNOWN.isdisjoint(headers) and self._evidence.differs(
                route, read_hints(headers, wall).budgets
            ):
                headers = {}
                if self._evidence.is_told(route):
                    # What is known of the others does not hold for it.
                    self.apart[route] = self._pace(_NONE, None)
                    self._evidence.forget(route)
        pace.accepted(call, now, headers, wall)

    def refused(
        self, call: int, now: float, *, status: int | None, headers: Mapping[str, str], wall: float
    ) -> None:
        """See `Pace.refused`; the other routes go on, if this one is apart."""
        pace, route, number = self._flying.pop(call)
        pace.refused(call, now, status=status, headers=headers, wall=wall)
        if pace is self._shared and self._evidence.refused(route, number):
            self._take_apart(route)

    def _take_apart(self, route: str) -> None:
        """What was learnt is true of ``route``; of the others nothing is known."""
        self.apart[route] = self._shared
        self._shared.narrow(self._evidence.share(route))
        self._shared = self._pace(_NONE, None)
        self.apart[route].caps, self._shared.caps = self._shared.caps, self._caps
        self._evidence.forget(route)

    def failed(self, call: int, now: float) -> None:
        """See `Pace.failed`."""
        self._flying.pop(call)[0].failed(call, now)

    def denied(self, call: int, now: float, *, status: int) -> None:
        """See `Pace.denied`."""
        self._flying.pop(call)[0].denied(call, now, status=status)

    def cancelled(self, call: int, now: float) -> None:
        """See `Pace.cancelled`."""
        self._flying.pop(call)[0].cancelled(call, now)

    # --- what is known ------------------------------------------------------------------------

    def _waiting(self) -> list[Pace]:
        """The paces of the routes that were asked about last, at one moment."""
        if not self.apart:
            return [self._shared]
        latest = max(self._asked.values(), default=0.0)
        return [self._of(route) for route, at in self._asked.items() if at >= latest]

    def stopped(self) -> str | None:
        """Why no call will leave any more: none of the routes that still wait may go on."""
        if self._caps.stopped is not None:
            return self._caps.stopped
        reasons = [pace.stopped() for pace in self._waiting()]
        return reasons[0] if reasons and all(reasons) else None

    @property
    def stopped_by_own_cap(self) -> bool:
        """Whether that was a cap of the user's own, rather than the API."""
        if self._caps.stopped is not None:
            return True
        return all(pace.stopped_by_own_cap for pace in self._waiting())

    def learnt(self, wall: float) -> Learnt:
        """What the next run should know of the routes that are not apart."""
        return self._shared.learnt(wall)

    def learnt_apart(self, wall: float) -> dict[str, Learnt]:
        """Route -> what the next run should know of it."""
        return {route: pace.learnt(wall) for route, pace in self.apart.items()}

    def explanation(self, now: float) -> Explanation:
        """The limit that is felt; with its route, where routes have limits of their own."""
        shared = self._shared.explanation(now)
        if not self.apart:
            return shared
        each = {route: pace.explanation(now) for route, pace in self.apart.items()}
        base = shared
        if shared.kind is Kind.NONE:
            base = next((one for one in each.values() if one.kind is not Kind.NONE), shared)
        told = "; ".join(f"{route}: {one.what}" for route, one in each.items())
        return replace(base, what=f"{told}; all else: {shared.what}")
