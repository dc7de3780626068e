"""A client and a server in virtual time: every call is two events, every count is exact."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush, heapreplace
from random import Random
from typing import Final, Protocol

from fetchcast.testing.simulation.gates import NO_HEADERS, Gate

_ARRIVES: Final = 0
_ACCEPTED: Final = 1
_REFUSED: Final = 2
_FAILED: Final = 3
_DECIDE_S: Final = 0.001  # A server refuses within a millisecond.


class Client(Protocol):
    """What decides when calls leave: `fetchcast.extract.pace.Pace`, or a scheme to compare."""

    def next(self, now: float) -> float | None:
        """When a call may leave."""

    def sent(self, call: int, now: float) -> None:
        """A call left."""

    def accepted(self, call: int, now: float, headers: Mapping[str, str], wall: float) -> None:
        """An answer that is no refusal."""

    def refused(
        self, call: int, now: float, *, status: int | None, headers: Mapping[str, str], wall: float
    ) -> None:
        """The server said "not now"."""

    def failed(self, call: int, now: float) -> None:
        """No answer, or a broken one."""


@dataclass(slots=True, kw_only=True)
class Network:
    """The way there and back, and how long a call is served."""

    one_way_s: float
    jitter_s: float
    """Mean of an exponential that is added to each way."""
    service_s: float
    """Median of a lognormal."""
    spread: float
    """Its sigma."""

    @property
    def mean_latency_s(self) -> float:
        """Of one call to a server that is not pressed."""
        mean_service: float = self.service_s * 2.718281828459045 ** (self.spread**2 / 2)
        return 2 * (self.one_way_s + self.jitter_s) + mean_service


class Stalls:
    """The client's machine stands still now and then: whatever is due meanwhile happens at its end.

    Answers come late, calls whose time came leave in a lump, and what is on its way arrives so.

    Args:
        every_s: Mean time between two of them.
        shortest_s: And
        longest_s: how long they last.
        seed: Of when they come.
    """

    def __init__(
        self, *, every_s: float, shortest_s: float, longest_s: float, seed: int = 0
    ) -> None:
        self._every_s, self._lasts_s = every_s, (shortest_s, longest_s)
        self._random = Random(seed)  # noqa: S311  a model
        self._begins: list[float] = []
        self._ends: list[float] = []

    def over(self, at: float) -> float:
        """``at``, or the end of the stall that ``at`` is in."""
        while not self._ends or self._ends[-1] <= at:
            begin = (self._ends[-1] if self._ends else 0.0) + self._random.expovariate(
                1 / self._every_s
            )
            self._begins.append(begin)
            self._ends.append(begin + self._random.uniform(*self._lasts_s))
        place = bisect_right(self._begins, at) - 1
        return max(at, self._ends[place]) if place >= 0 else at


@dataclass(slots=True, kw_only=True)
class Outage:
    """From ``begin`` to ``end`` nothing works: refused with 503, or no answer at all."""

    begin: float
    end: float
    silent: bool = False


@dataclass(slots=True, kw_only=True)
class Server:
    """Gates in front of workers."""

    network: Network
    gates: Sequence[Gate] = ()
    workers: int | None = None
    """Calls served at once; others wait in line."""
    queue: int | None = None
    """How long the line may be; longer, and calls are refused."""
    failing: float = 0.0
    """Share of calls that are answered with an error that is no refusal."""
    outages: Sequence[Outage] = ()
    changes: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    """What happens to the limits at which moment, in order."""
    _busy: list[float] = field(default_factory=list)
    _line: list[float] = field(default_factory=list)

    def serve(self, now: float, service_s: float) -> tuple[float, Mapping[str, str] | None]:
        """When a call that arrives ``now`` is answered; headers if it is refused, or None."""
        while self.changes and self.changes[0][0] <= now:
            self.changes.pop(0)[1]()
        for gate in self.gates:
            if not gate.admits(now):
                return now + _DECIDE_S, gate.refusal(now)
        if self._line_is_full(now):
            return now + _DECIDE_S, NO_HEADERS
        start = now
        for gate in self.gates:
            start += gate.delay_s()
        leaves = self._work(start, service_s)
        for gate in self.gates:
            gate.leaves(leaves)
        return leaves, None

    def _line_is_full(self, now: float) -> bool:
        if self.queue is None or self.workers is None:
            return False
        line = self._line
        while line and line[0] <= now:
            heappop(line)
        return len(line) >= self.queue

    def _work(self, start: float, service_s: float) -> float:
        if self.workers is None:
            return start + service_s
        busy = self._busy
        if len(busy) < self.workers:
            heappush(busy, start + service_s)
            return start + service_s
        begins = max(start, busy[0])
        if begins > start and self.queue is not None:
            heappush(self._line, begins)
        heapreplace(busy, begins + service_s)
        return begins + service_s

    def headers(self, now: float) -> Mapping[str, str]:
        """What an accepted answer carries."""
        for gate in self.gates:
            found = gate.answer(now)
            if found:
                return found
        return NO_HEADERS


@dataclass(slots=True)
class Books:
    """What happened in one run."""

    calls: int
    accepted: int = 0
    refused: int = 0
    failed: int = 0
    finished_at: float | None = None
    """When the last call was accepted; None if the run was cut off."""
    latency_sum_s: float = 0.0
    most_in_flight: int = 0
    accepted_at: list[float] = field(default_factory=list)
    refused_at: list[float] = field(default_factory=list)

    @property
    def refused_share(self) -> float:
        """Of all verdicts."""
        return self.refused / max(1, self.refused + self.accepted)


def run(
    server: Server,
    client: Client,
    *,
    calls: int,
    seed: int,
    wall0: float = 1.7e9,
    connections: int = 256,
    timeout_s: float = 30.0,
    until: float = 1e9,
    stalls: Stalls | None = None,
) -> Books:
    """Make ``calls`` calls, each until it is accepted, or until virtual time ``until``."""
    world = _World(server, client, calls, seed=seed, connections=connections)
    world.wall0, world.timeout_s, world.stalls = wall0, timeout_s, stalls
    return world.run(until)


class _World:
    """The events of one run."""

    def __init__(
        self, server: Server, client: Client, calls: int, *, seed: int, connections: int
    ) -> None:
        self._server, self._client = server, client
        self._waiting = calls
        self._random = Random(seed)  # noqa: S311  a model of jitter
        self.wall0 = 0.0
        self.timeout_s = 30.0
        self.stalls: Stalls | None = None
        self._free = list(range(connections))
        self._events: list[tuple[float, int, int, int, Mapping[str, str]]] = []
        self._order = 0
        self._connections = connections
        self._sent_at = [0.0] * connections
        self.books = Books(calls)

    def run(self, until: float) -> Books:
        """Until every call is accepted."""
        now, books, events = 0.0, self.books, self._events
        while books.accepted < books.calls:
            wake = self._send(now)
            if events and (wake is None or events[0][0] <= wake):
                at, _, kind, call, headers = heappop(events)
                if self.stalls is not None and (later := self.stalls.over(at)) > at:
                    self._push(later, kind, call, headers)
                    continue
                now = at
                self._happens(now, kind, call, headers)
            elif wake is not None:
                now = wake if self.stalls is None else max(now, self.stalls.over(wake))
            else:
                return books  # The client waits for an event and there is none: it is stuck.
            if now > until:
                return books
        books.finished_at = now
        return books

    def _send(self, now: float) -> float | None:
        client, free, network = self._client, self._free, self._server.network
        rand = self._random
        while self._waiting and free:
            at = client.next(now)
            if at is None or at > now:
                return at
            call = free.pop()
            client.sent(call, now)
            self._waiting -= 1
            self._sent_at[call] = now
            way = network.one_way_s + rand.expovariate(1.0) * network.jitter_s
            self._push(now + way, _ARRIVES, call, NO_HEADERS)
            self.books.most_in_flight = max(
                self.books.most_in_flight, self._connections - len(free)
            )
        return None

    def _push(self, at: float, kind: int, call: int, headers: Mapping[str, str]) -> None:
        self._order += 1
        heappush(self._events, (at, self._order, kind, call, headers))

    def _happens(self, now: float, kind: int, call: int, headers: Mapping[str, str]) -> None:
        if kind == _ARRIVES:
            self._arrives(now, call)
            return
        client, books = self._client, self.books
        self._free.append(call)
        if kind == _ACCEPTED:
            books.accepted += 1
            books.latency_sum_s += now - self._sent_at[call]
            books.accepted_at.append(now)
            client.accepted(call, now, headers, now + self.wall0)
            return
        self._waiting += 1
        if kind == _REFUSED:
            books.refused += 1
            books.refused_at.append(now)
            client.refused(call, now, status=503, headers=headers, wall=now + self.wall0)
        else:
            books.failed += 1
            client.failed(call, now)

    def _arrives(self, now: float, call: int) -> None:
        server, rand = self._server, self._random
        network = server.network
        back = network.one_way_s + rand.expovariate(1.0) * network.jitter_s
        for outage in server.outages:
            if outage.begin <= now < outage.end:
                if outage.silent:
                    self._push(self._sent_at[call] + self.timeout_s, _FAILED, call, NO_HEADERS)
                else:
                    self._push(now + _DECIDE_S + back, _REFUSED, call, NO_HEADERS)
                return
        service = network.service_s * rand.lognormvariate(0.0, network.spread)
        answered, refusal = server.serve(now, service)
        if refusal is not None:
            self._push(answered + back, _REFUSED, call, refusal)
        elif server.failing and rand.random() < server.failing:
            self._push(answered + back, _FAILED, call, NO_HEADERS)
        elif answered + back - self._sent_at[call] > self.timeout_s:
            self._push(self._sent_at[call] + self.timeout_s, _FAILED, call, NO_HEADERS)
        else:
            self._push(answered + back, _ACCEPTED, call, server.headers(answered))
