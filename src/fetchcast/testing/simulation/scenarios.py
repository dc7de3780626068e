"""Servers drawn at random, kind by kind, with the time that nobody could beat.

A kind is a letter: A concurrency, B token bucket, C the same with Retry-After, D fixed window, E
the same with headers, F sliding log that counts refused calls, G capacity, H nginx ``limit_req``,
I two limits together, J limits that change and outages, K none.

Two ranges are defined: schemes are tuned on `TRAIN` and judged on `TEST`, which differ in range and
in seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heapreplace
from math import ceil, exp, floor, log
from random import Random
from typing import Final

from fetchcast.testing.simulation.gates import (
    HINTS,
    Concurrency,
    FixedWindow,
    Gate,
    LeakyBucket,
    SlidingLog,
    TokenBucket,
)
from fetchcast.testing.simulation.world import Network, Outage, Server

KINDS: Final = "ABCDEFGHIJK"
CONNECTIONS: Final = 256
_LONGEST_S: Final = 4 * 3600.0
_FEWEST: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """From where scenarios are drawn; both ends of each are included, drawn on a log scale."""

    seed: int
    level: tuple[float, float]
    rate: tuple[float, float]
    period_s: tuple[float, float]
    window_calls: tuple[float, float]
    latency_s: tuple[float, float]
    network_share: tuple[float, float]
    workers: tuple[float, float]
    failing: float


TRAIN: Final = Ranges(
    seed=1_000_000,
    level=(2, 200),
    rate=(1, 1000),
    period_s=(2, 200),
    window_calls=(20, 1000),
    latency_s=(0.03, 1.2),
    network_share=(0.1, 0.6),
    workers=(2, 90),
    failing=0.01,
)
TEST: Final = Ranges(
    seed=8_000_000,
    level=(1, 300),
    rate=(0.5, 2000),
    period_s=(1, 300),
    window_calls=(10, 1500),
    latency_s=(0.02, 2.0),
    network_share=(0.05, 0.8),
    workers=(1, 120),
    failing=0.02,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One server and a number of calls; `server` makes it anew for every client."""

    kind: str
    seed: int
    calls: int
    ideal_s: float
    """The time of a client that knows everything, start-up included."""
    latency_s: float
    """Mean of one call, unpressed."""
    wall0: float
    server: Callable[[], Server]
    about: str

    @property
    def timeout_s(self) -> float:
        """When the client gives a call up."""
        return 30.0 + 20 * self.latency_s

    @property
    def until_s(self) -> float:
        """When a run is cut off."""
        return 12 * self.ideal_s + 120

    @property
    def long(self) -> bool:
        """Long enough that the first contact is not most of it."""
        return self.ideal_s >= 30 * self.latency_s


def draw(kind: str, index: int, ranges: Ranges) -> Scenario:
    """The scenario ``index`` of ``kind``; the same every time."""
    return _Draw(kind, ranges.seed + 1000 * KINDS.index(kind) + index, ranges).scenario()


class _Draw:
    """Draws one scenario."""

    def __init__(self, kind: str, seed: int, ranges: Ranges) -> None:
        self._kind, self._seed, self._ranges = kind, seed, ranges
        self._random = rand = Random(seed)  # noqa: S311  a model
        latency = self._log(ranges.latency_s)
        on_network = latency * rand.uniform(*ranges.network_share)
        jitter = on_network / 2 * rand.uniform(0.02, 0.15)
        self._network = Network(
            one_way_s=on_network / 2 - jitter,
            jitter_s=jitter,
            service_s=latency - on_network,
            spread=rand.uniform(0.1, 0.6),
        )
        self._latency = self._network.mean_latency_s
        self._calls = round(self._log((60, 10_000)))
        self._wall0 = 1.7e9 + rand.uniform(0, 1e6)
        self._failing = rand.uniform(0, ranges.failing)

    def _log(self, ends: tuple[float, float]) -> float:
        return exp(self._random.uniform(log(ends[0]), log(ends[1])))

    def scenario(self) -> Scenario:
        """By kind."""
        drawn: Callable[[], Scenario] = getattr(self, f"_{self._kind}")
        return drawn()

    def _make(
        self,
        about: str,
        ideal: Callable[[int], float],
        gates: Callable[[], list[Gate]],
        *,
        pool: int = CONNECTIONS,
        workers: int | None = None,
        queue: int | None = None,
    ) -> Scenario:
        """Fewer calls where it would take hours; the ideal is the larger of limit and pool."""
        while self._calls > _FEWEST and ideal(self._calls) > _LONGEST_S:
            self._calls //= 2
        network, failing, calls = self._network, self._failing, self._calls
        plain = _pool(network, min(pool, workers or pool, CONNECTIONS), calls, self._seed)

        def server() -> Server:
            return Server(
                network=network, gates=gates(), workers=workers, queue=queue, failing=failing
            )

        return Scenario(
            kind=self._kind,
            seed=self._seed,
            calls=calls,
            ideal_s=max(plain, ideal(calls)),
            latency_s=self._latency,
            wall0=self._wall0,
            server=server,
            about=f"{about}, latency {self._latency:.3g} s, {calls} calls",
        )

    def _A(self) -> Scenario:  # noqa: N802  the kinds are letters
        most = round(self._log(self._ranges.level))
        return self._make(f"{most} at once", _free, lambda: [Concurrency(most)], pool=most)

    def _bucket(self) -> tuple[float, float]:
        rate = self._log(self._ranges.rate)
        return rate, max(1.0, float(round(self._log((1, max(1.5, 5 * rate))))))

    def _B(self, *, retry_after: bool = False) -> Scenario:  # noqa: N802
        rate, burst = self._bucket()
        return self._make(
            f"bucket {rate:.3g}/s, burst {burst:g}",
            lambda calls: self._latency + max(0.0, calls - burst) / rate,
            lambda: [TokenBucket(rate, burst, retry_after=retry_after)],
        )

    def _C(self) -> Scenario:  # noqa: N802
        return self._B(retry_after=True)

    def _period(self) -> float:
        """Half of all windows are as long as people make them, half are of any length."""
        rand = self._random
        if rand.random() < 0.5:  # noqa: PLR2004
            low, high = self._ranges.period_s
            return rand.choice(
                [p for p in (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0) if low <= p <= high]
            )
        return self._log(self._ranges.period_s)

    def _window(
        self, *, hints: bool
    ) -> tuple[int, Callable[[int], float], Callable[[], list[Gate]], str]:
        rand = self._random
        period, size = self._period(), round(self._log(self._ranges.window_calls))
        self._calls = min(self._calls, 40 * size)
        aligned = rand.random() < 0.5  # noqa: PLR2004
        dialect = rand.choice(HINTS[1:]) if hints else "none"
        wall0 = self._wall0
        phase = wall0 % period if aligned else 0.0

        def gates() -> list[Gate]:
            return [FixedWindow(size, period, wall0=wall0, aligned=aligned, hints=dialect)]

        def ideal(calls: int) -> float:
            windows = ceil(calls / size) - 1
            return self._latency + (windows * period - phase if windows else 0.0)

        begins = "on the clock" if aligned else "from the first"
        about = f"{size} per {period:.4g} s {begins}, {dialect}"
        return size, ideal, gates, about

    def _D(self) -> Scenario:  # noqa: N802
        _, ideal, gates, about = self._window(hints=False)
        return self._make(about, ideal, gates)

    def _E(self) -> Scenario:  # noqa: N802
        _, ideal, gates, about = self._window(hints=True)
        return self._make(about, ideal, gates)

    def _F(self) -> Scenario:  # noqa: N802
        period, size = self._period(), round(self._log(self._ranges.window_calls))
        verdict = self._random.choice((0.0, 0.0, 1.0, 5.0))
        verdict = min(verdict, period / 10)
        self._calls = min(self._calls, 40 * size)
        return self._make(
            f"{size} in any {period:.4g} s, refused ones count, verdict every {verdict:g} s",
            lambda calls: self._latency + (ceil(calls / size) - 1) * period,
            lambda: [SlidingLog(size, period, verdict_s=verdict)],
        )

    def _G(self) -> Scenario:  # noqa: N802
        workers = round(self._log(self._ranges.workers))
        queue = 4 * workers + 4 if self._random.random() < 0.3 else None  # noqa: PLR2004
        return self._make(
            f"capacity {workers}, line {queue}", _free, list, workers=workers, queue=queue
        )

    def _H(self) -> Scenario:  # noqa: N802
        rate = self._log(self._ranges.rate)
        burst, nodelay = round(self._log((1, max(2.0, 2 * rate)))) - 1, self._random.random() < 0.5  # noqa: PLR2004
        return self._make(
            f"nginx {rate:.3g}/s, burst {burst}{' nodelay' if nodelay else ''}",
            lambda calls: self._latency + max(0.0, calls - (burst + 1 if nodelay else 1)) / rate,
            lambda: [LeakyBucket(rate, burst, nodelay=nodelay)],
        )

    def _I(self) -> Scenario:  # noqa: N802
        rand = self._random
        most = round(self._log(self._ranges.level))
        rate, burst = self._bucket()
        if rand.random() < 0.5:  # noqa: PLR2004
            return self._make(
                f"{most} at once and bucket {rate:.3g}/s, burst {burst:g}",
                lambda calls: self._latency + max(0.0, calls - burst) / rate,
                lambda: [Concurrency(most), TokenBucket(rate, burst)],
                pool=most,
            )
        _, ideal, gates, about = self._window(hints=rand.random() < 0.3)  # noqa: PLR2004
        return self._make(
            f"{most} at once and {about}", ideal, lambda: [Concurrency(most), *gates()], pool=most
        )

    def _J(self) -> Scenario:  # noqa: N802
        rand = self._random
        by_level = rand.random() < 0.5  # noqa: PLR2004
        most = max(2, round(self._log(self._ranges.level)))
        rate, burst = self._bucket()
        fastest = CONNECTIONS / self._latency
        speed = min(fastest, most / self._latency if by_level else rate)
        # Long enough for something to happen in the middle of it.
        calls = min(40_000, max(400, round(speed * self._log((60, 300)))))
        lasts = calls / speed
        at = rand.uniform(0.3, 0.6) * lasts
        event = rand.choice(("halved", "tripled", "outage", "silence"))
        factor = {"halved": 0.5, "tripled": 3.0}.get(event, 1.0)
        self._calls = calls

        def server() -> Server:
            gate: Concurrency | TokenBucket = (
                Concurrency(most) if by_level else TokenBucket(rate, burst)
            )
            made = Server(network=self._network, gates=[gate], failing=self._failing)
            if factor != 1.0:
                made.changes.append((at, lambda: _scale(gate, factor)))
            else:
                made.outages = [Outage(begin=at, end=at + 20, silent=event == "silence")]
            return made

        if factor != 1.0:
            later = max(1, int(most * factor)) / self._latency if by_level else rate * factor
            later = min(fastest, later)
            ideal_s = self._latency + at + max(0.0, calls - at * speed) / later
        else:
            ideal_s = self._latency + lasts + 20
        limit = f"{most} at once" if by_level else f"bucket {rate:.3g}/s, burst {burst:g}"
        return Scenario(
            kind="J",
            seed=self._seed,
            calls=calls,
            ideal_s=ideal_s,
            latency_s=self._latency,
            wall0=self._wall0,
            server=server,
            about=f"{limit}, {event} at {at:.3g} s, latency {self._latency:.3g} s, {calls} calls",
        )

    def _K(self) -> Scenario:  # noqa: N802
        return self._make("no limit", _free, list)


def _free(calls: int) -> float:
    del calls
    return 0.0


def _scale(gate: Concurrency | TokenBucket, factor: float) -> None:
    if isinstance(gate, Concurrency):
        gate.most = max(1, floor(gate.most * factor))
    else:
        gate.rate *= factor


def _pool(network: Network, size: int, calls: int, seed: int) -> float:
    """The time of ``size`` connections that are always busy."""
    rand = Random(-seed)  # noqa: S311  a model
    free = [0.0] * min(size, calls)
    heapify(free)
    end = 0.0
    for _ in range(calls):
        lasts = (
            2 * network.one_way_s
            + (rand.expovariate(1.0) + rand.expovariate(1.0)) * network.jitter_s
            + network.service_s * rand.lognormvariate(0.0, network.spread)
        )
        done = free[0] + lasts
        heapreplace(free, done)
        end = max(end, done)
    return end
