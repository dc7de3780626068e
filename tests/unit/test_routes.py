"""Routes of one API: shared until they prove to have limits of their own, and then each at its."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from itertools import chain, repeat

import pytest

from fetchcast.extract.pace import PaceOptions, Quota, Routes
from fetchcast.extract.pace.apart import Apart
from fetchcast.extract.pace.headers import Budget
from fetchcast.extract.scheduler import Call, Scheduler
from fetchcast.records import Request
from fetchcast.testing.simulation.gates import Concurrency, FixedWindow, Gate, TokenBucket

_WALL = 1_790_000_000.0
_WAY_S, _SERVICE_S = 0.01, 0.08


def _requests(*routes: str) -> Iterator[Request]:
    for number, route in enumerate(routes):
        yield Request(key=f"{route}{number}", resource=route, url=f"http://api.test/{route}")


class _World:
    """An API with gates by route, and a client with a scheduler, in virtual time."""

    def __init__(self, routes: Routes, gates: Mapping[str, Gate], *plans: Iterator[Request]):
        self.routes, self.gates = routes, gates
        self.scheduler = Scheduler(*plans)
        self.now = 0.0
        self.ended_at: dict[str, list[float]] = {route: [] for route in gates}
        self.refused: dict[str, int] = dict.fromkeys(gates, 0)
        self.most_in_flight = 0
        self._events: list[tuple[float, int, Call, float | None]] = []
        self._count = 0

    def run(self, until: float = 1e4) -> None:
        """Until every call was accepted, or no more may leave."""
        while self.now < until:
            again_at = self._start()
            if self._events and (again_at is None or self._events[0][0] <= again_at):
                self.now, _, call, refused_at = heappop(self._events)
                self._end(call, refused_at)
            elif again_at is not None:
                self.now = max(self.now, again_at)
            else:
                return
            if self.scheduler.finished() and not self._events:
                return

    def _start(self) -> float | None:
        while True:
            call, at = self.scheduler.choose(
                self.now, self.routes.next_on, are_apart=bool(self.routes.apart)
            )
            if call is None or at is None:
                return at
            self.scheduler.take(self.now)
            self.routes.sent(call.id, self.now)
            gate, arrives = self.gates[call.request.resource], self.now + _WAY_S
            admitted = gate.admits(arrives)
            leaves = arrives + (_SERVICE_S if admitted else 0.001)
            if admitted:
                gate.leaves(leaves)
            self._count += 1
            event = leaves + _WAY_S, self._count, call, None if admitted else arrives
            heappush(self._events, event)
            self.most_in_flight = max(self.most_in_flight, len(self._events))

    def _end(self, call: Call, refused_at: float | None) -> None:
        route, wall = call.request.resource, _WALL + self.now
        gate = self.gates[route]
        if refused_at is None:
            self.ended_at[route].append(self.now)
            headers = gate.answer(self.now - _WAY_S)
            self.routes.accepted(call.id, self.now, headers, wall)
            return
        self.refused[route] += 1
        headers = gate.refusal(refused_at)
        self.routes.refused(call.id, self.now, status=429, headers=headers, wall=wall)
        self.scheduler.refused(call)


def _routes(
    options: PaceOptions | None = None, own: Mapping[str, PaceOptions] | None = None
) -> Routes:
    return Routes(
        options or PaceOptions(),
        own=own or {},
        memory=None,
        memories={},
        max_connections=256,
        wall=_WALL,
    )


def test_a_route_that_alone_is_refused_no_longer_holds_up_the_others() -> None:
    """Children come in between: 5 a second for one kind, nothing holds back the other."""
    gates = {"slow": TokenBucket(5, 5), "fast": Concurrency(1000)}
    mixed = _requests(*chain.from_iterable(repeat(("slow", "fast", "fast", "fast"), 500)))
    world = _World(_routes(), gates, mixed)

    world.run()

    assert set(world.routes.apart) == {"slow"}
    assert len(world.ended_at["slow"]) == 500
    assert len(world.ended_at["fast"]) == 1500
    assert max(world.ended_at["slow"]) <= 1.25 * 500 / 5
    text = world.routes.explanation(world.now).text
    assert text.startswith("slow: ")
    assert "all else: no limit felt" in text


def test_routes_whose_headers_name_other_allowances_are_taken_apart_at_once() -> None:
    """Search is 30 in 60 s, all else 5,000 in an hour, as an API with a famous search does it."""
    gates = {
        "repos": FixedWindow(5000, 3600.0, wall0=_WALL, hints="x-delta"),
        "search": FixedWindow(30, 60.0, wall0=_WALL, hints="x-delta"),
    }
    mixed = _requests(*chain.from_iterable(repeat(("repos", "repos", "search"), 60)))
    world = _World(_routes(), gates, mixed)

    world.run()

    assert len(world.routes.apart) == 1
    assert world.refused == {"repos": 0, "search": 0}
    assert max(world.ended_at["repos"]) < 10, "they need not wait for a window of the search"
    assert 60 <= max(world.ended_at["search"]) < 70


def test_a_limit_that_is_shared_keeps_its_routes_together() -> None:
    """Whatever is refused first: the same bucket refuses calls of all routes."""
    shared = TokenBucket(50, 20)
    mixed = _requests(*chain.from_iterable(repeat(("a", "b"), 1500)))
    world = _World(_routes(), {"a": shared, "b": shared}, mixed)

    world.run()

    assert not world.routes.apart
    assert world.now <= 1.06 * 2980 / 50


def test_your_own_caps_of_a_resource_hold_beside_those_for_all() -> None:
    """Two a second for one, ten calls a second for both together; and plans go side by side."""
    gates = {"a": Concurrency(1000), "b": Concurrency(1000)}
    routes = _routes(PaceOptions(max_rate=10.0, max_concurrency=8), {"a": PaceOptions(max_rate=2)})
    world = _World(routes, gates, _requests(*["a"] * 40), _requests(*["b"] * 160))

    world.run()

    first = sum(at <= 10 for at in world.ended_at["a"])
    assert 18 <= first <= 22
    both = sum(at <= 10 for ended in world.ended_at.values() for at in ended)
    assert both <= 102
    assert max(world.ended_at["b"]) <= 21.5
    assert world.most_in_flight <= 8


def test_a_quota_of_one_resource_ends_only_its_calls() -> None:
    """The others are asked to their end; then the run stops, and says why."""
    quota = PaceOptions(quota=Quota(requests=10, per="day"))
    gates = {"a": Concurrency(1000), "b": Concurrency(1000)}
    world = _World(
        _routes(own={"a": quota}), gates, _requests(*["a"] * 600), _requests(*["b"] * 100)
    )

    world.run()

    assert (len(world.ended_at["a"]), len(world.ended_at["b"])) == (10, 100)
    assert "your quota of 10 calls is used up" in (world.routes.stopped() or "")
    assert world.routes.stopped_by_own_cap


def test_what_was_apart_is_so_in_the_next_run() -> None:
    """With what was learnt of each."""
    gates = {"slow": TokenBucket(5, 5), "fast": Concurrency(1000)}
    mixed = _requests(*chain.from_iterable(repeat(("slow", "fast", "fast"), 600)))
    world = _World(_routes(), gates, mixed)
    world.run()
    learnt = world.routes.learnt_apart(_WALL)

    again = Routes(
        PaceOptions(),
        own={},
        memory=world.routes.learnt(_WALL),
        memories=learnt,
        max_connections=256,
        wall=_WALL + 60,
    )
    gates = {"slow": TokenBucket(5, 5), "fast": Concurrency(1000)}
    second = _World(again, gates, _requests(*["slow"] * 200), _requests(*["fast"] * 2000))
    second.run()

    assert learnt["slow"].rate == pytest.approx(5, rel=0.1)
    assert max(second.ended_at["fast"]) < 3


def test_refusals_of_one_burst_are_one_piece_of_evidence() -> None:
    """A limit takes the first calls of a burst, whatever their routes."""
    evidence = Apart()
    numbers = [evidence.sent("a") for _ in range(30)], [evidence.sent("b") for _ in range(30)]
    for number in numbers[0]:
        evidence.accepted("a", number)

    found = [evidence.refused("b", number) for number in numbers[1]]
    assert not any(found)


def test_headers_of_one_answer_prove_nothing() -> None:
    """It may come from a cache, or be of another time."""
    evidence = Apart()
    one, other = Budget("x", 100, 5, 10, None), Budget("x", 30, 5, 10, None)

    assert not evidence.differs("a", (one,))
    assert evidence.differs("b", (other,))
    assert not evidence.is_told("b")
    assert evidence.differs("b", (other,))
    assert evidence.is_told("b")
