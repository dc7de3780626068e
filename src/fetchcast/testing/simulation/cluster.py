"""Many workers, one coordinator and one API in virtual time: every call and lease is an event."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from random import Random
from typing import Final

from fetchcast.extract.lease import Coordinator, Lessee
from fetchcast.extract.lease.messages import ASKS, ENCODER, LEASES, Ask, Lease
from fetchcast.testing.simulation.world import Server

_LOOK, _ASKS, _HEARS, _ARRIVES, _ENDS, _DIES = range(6)
_IDLE_S: Final = 1.0


@dataclass(slots=True)
class ClusterBooks:
    """What happened; every call of every worker is in it."""

    calls: int
    workers: int
    accepted: int = 0
    refused: int = 0
    failed: int = 0
    leases: int = 0
    coordinator_cpu_s: float = 0.0
    """Real CPU of the coordinator, messages decoded and encoded."""
    first_at: float = inf
    last_at: float = 0.0
    """When the first and the last call were accepted."""
    most_inside: int = 0
    """The most calls that the server worked on at one moment."""
    arrived_per_bin: dict[int, int] = field(default_factory=dict)
    """Calls by tenth of a second of their arrival."""
    dead: int = 0

    @property
    def per_second(self) -> float:
        """Accepted calls a second, from the first to the last."""
        return self.accepted / max(1e-9, self.last_at - self.first_at)

    @property
    def refused_share(self) -> float:
        """Of all verdicts."""
        return self.refused / max(1, self.refused + self.accepted)


class _Worker:
    """A lessee and an endless line of calls in front of it."""

    __slots__ = ("alive", "asking", "flying", "left", "lessee", "look_at", "name", "next")

    def __init__(self, number: int, calls: int) -> None:
        self.name = f"w{number}/0"
        self.left = calls
        self.next = 0
        self.flying: dict[int, float] = {}
        self.alive, self.asking = True, False
        self.look_at = inf
        self.lessee = Lessee(self.name, calls=calls, tell=_nobody)


def _nobody() -> None:
    """The simulation looks by itself."""


class Cluster:
    """Runs ``calls`` of each of ``workers`` against ``server`` through ``coordinator``.

    Args:
        server: The API, with its gates.
        coordinator: Whose budget it is.
        workers: How many.
        calls: Of each worker.
        seed: Of the network's and the server's chance.
        rpc_s: One way between a worker and the coordinator.
        deaths: Moment -> which worker is gone then; it is noticed ``noticed_s`` later.
        endless: Go on until ``seconds`` have passed, whatever ``calls`` says.
    """

    def __init__(
        self,
        server: Server,
        coordinator: Coordinator,
        *,
        workers: int,
        calls: int,
        seed: int = 1,
        rpc_s: float = 0.0005,
        deaths: Mapping[float, int] | None = None,
        noticed_s: float = 0.01,
    ) -> None:
        self._server, self._coordinator = server, coordinator
        self._random = Random(seed)  # noqa: S311  a model of networks
        self._rpc_s, self._noticed_s = rpc_s, noticed_s
        self._workers = [_Worker(number, calls) for number in range(workers)]
        self._events: list[tuple[float, int, int, int, object]] = []
        self._count = 0
        self._inside: deque[float] = deque()
        self.books = ClusterBooks(calls * workers, workers)
        for number in range(workers):
            # They do not begin at one moment.
            self._push(self._random.random() * 0.05, _LOOK, number, None)
        for at, number in (deaths or {}).items():
            self._push(at, _DIES, number, None)

    def run(self, seconds: float = inf) -> ClusterBooks:
        """Until every call has been accepted, or ``seconds`` have passed."""
        books = self.books
        while self._events and books.accepted + books.dead < books.calls:
            at, _, what, number, extra = heappop(self._events)
            if at > seconds:
                break
            self._happen(at, what, self._workers[number], number, extra)
        return books

    def _push(self, at: float, what: int, number: int, extra: object) -> None:
        self._count += 1
        heappush(self._events, (at, self._count, what, number, extra))

    def _happen(self, at: float, what: int, worker: _Worker, number: int, extra: object) -> None:
        match what:
            case 0:
                if at >= worker.look_at or worker.look_at == inf:
                    worker.look_at = inf
                    self._look(at, worker, number)
            case 1:
                self._answer(at, worker, number, extra)
            case 2:
                if worker.alive:
                    worker.asking = False
                    assert isinstance(extra, bytes)
                    lease: Lease = LEASES.decode(extra)
                    worker.lessee.take(lease, at)
                    self._look(at, worker, number)
            case 3:
                assert isinstance(extra, int)
                self._serve(at, number, extra)
            case 4:
                assert isinstance(extra, tuple)
                self._ended(at, number, extra)
            case _:
                self._die(at, worker, number, extra)

    def _look(self, now: float, worker: _Worker, number: int) -> None:
        """What an engine does: start what may start, tell what is to be told, look again later."""
        if not worker.alive:
            return
        lessee = worker.lessee
        at: float | None = inf
        while worker.left:
            at = lessee.next(now)
            if at is None or at > now:
                break
            worker.left -= 1
            call = worker.next = worker.next + 1
            lessee.sent(call, now)
            worker.flying[call] = now
            self._push(now + self._way(), _ARRIVES, number, call)
        idle = not worker.flying and not worker.left
        if idle and not worker.asking and worker.look_at != -inf:
            worker.look_at = -inf
            self._ask(now, worker, number, closing=True)
            return
        due = lessee.due(now)
        if due <= now and not worker.asking:
            self._ask(now, worker, number, closing=False)
            due = inf
        look_at = min(due if not worker.asking else inf, at if at is not None else inf)
        look_at = max(look_at, now + 1e-5)
        if look_at < worker.look_at and look_at < inf:
            worker.look_at = look_at
            self._push(look_at, _LOOK, number, None)

    def _ask(self, now: float, worker: _Worker, number: int, *, closing: bool) -> None:
        worker.asking = True
        ask: Ask = worker.lessee.ask(now, closing=closing)
        self._push(now + self._rpc_s, _ASKS, number, ENCODER.encode(ask))

    def _answer(self, now: float, worker: _Worker, number: int, message: object) -> None:
        assert isinstance(message, bytes)
        if not worker.alive:
            return
        begun = time.process_time()
        reply = self._coordinator.answer(message, now, now)
        self.books.coordinator_cpu_s += time.process_time() - begun
        self.books.leases += 1
        if not ASKS.decode(message).closing:
            self._push(now + self._rpc_s, _HEARS, number, reply)

    def _way(self) -> float:
        network = self._server.network
        jitter = self._random.expovariate(1 / network.jitter_s) if network.jitter_s else 0.0
        return network.one_way_s + jitter

    def _serve(self, now: float, number: int, call: int) -> None:
        books, network = self.books, self._server.network
        service = network.service_s
        if network.spread:
            service *= self._random.lognormvariate(0.0, network.spread)
        answered, refusal = self._server.serve(now, service)
        bin_ = int(now * 10)
        books.arrived_per_bin[bin_] = books.arrived_per_bin.get(bin_, 0) + 1
        failing = refusal is None and self._random.random() < self._server.failing
        self._push(answered + self._way(), _ENDS, number, (call, refusal, failing))

    def _ended(
        self,
        now: float,
        number: int,
        end: tuple[int, Mapping[str, str] | None, bool],
    ) -> None:
        call, refusal, failing = end
        books, worker = self.books, self._workers[number]
        if refusal is None and not failing:
            books.accepted += 1
            books.first_at, books.last_at = min(books.first_at, now), now
        elif refusal is not None:
            books.refused += 1
        if not worker.alive:
            return
        del worker.flying[call]
        if refusal is not None:
            worker.lessee.refused(call, now, status=503, headers=refusal, wall=now)
            worker.left += 1
        elif failing:
            books.failed += 1
            worker.lessee.failed(call, now)
            worker.left += 1
        else:
            worker.lessee.accepted(call, now, self._server.headers(now), now)
        self._look(now, worker, number)

    def _die(self, now: float, worker: _Worker, number: int, noticed: object) -> None:
        if noticed is None:
            worker.alive = False
            self.books.dead += worker.left + len(worker.flying)
            self._push(now + self._noticed_s, _DIES, number, True)  # noqa: FBT003
        else:
            self._coordinator.lost(worker.name.partition("/")[0], now)
