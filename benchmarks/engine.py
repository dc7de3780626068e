"""What does one call cost with everything in: pace, rules, retries, awaitable?

    .venv/bin/python benchmarks/engine.py [--calls 20000] [--rounds 3]

engine  `Engine.run` over libcurl: the pace asked and told, each answer judged (its JSON checked and
        its rows counted), its end handed to a sink that forgets it; the calls were planned before
peers   the pool and the gather of `transport.py` and the others of `engine_peers.py`, which check
        nothing; wrk or h2load is the floor, our transport alone shows what the engine adds
burst   366 calls at 100 ms on first contact and with the pace known, against 100 ms
memory  resident set along the calls, with the landing writing and without a database driver

Each row is a fresh process on one core, the server (nginx) on the other; ratios within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import engine_peers as others
import transport as peers

RESULTS = Path(__file__).parent / "results"
GOALS = {"pool": 0.36, "gather": 0.22, "known": 1.3, "known_h2": 1.5, "first_s": 0.75, "mb": 150}


class Forget:
    """A sink that keeps nothing."""

    def __init__(self) -> None:
        self.ends: dict[str, int] = {}

    def take(self, outcome: Any) -> bool:
        self.ends[outcome.fate] = self.ends.get(outcome.fate, 0) + 1
        return True

    async def room(self) -> None:
        """There always is."""


def requests(url: str, count: int) -> Iterator[Any]:
    from fetchcast.records import Request, request_key

    # A name of its own for each call: keys are spread evenly, as those of a plan are.
    for number in range(count):
        yield Request(key=request_key("GET", f"{url}?{number}"), resource="bench", url=url)


async def engine(
    url: str,
    count: int,
    width: int,
    *,
    memory: Any = None,
    sink: Any = None,
    own_cap: bool = True,
    planned: list[Any] | None = None,
) -> Any:
    """Make `count` calls; returns the pace, with what it learnt."""
    from fetchcast.clock import SystemClock
    from fetchcast.events import Counters, Events
    from fetchcast.extract.auth.credentials import FixedHeaders
    from fetchcast.extract.engine import Engine, Rules
    from fetchcast.extract.pace import Pace, PaceOptions
    from fetchcast.extract.retry import RetryOptions
    from fetchcast.extract.rules import row_counter
    from fetchcast.extract.transport import TransportOptions, open_transport

    kept, counters = sink or Forget(), Counters()
    caps = PaceOptions(max_concurrency=width) if own_cap else PaceOptions()
    pace = Pace(caps, memory=memory, max_connections=width)
    options = TransportOptions(max_connections=width, verify=False)
    async with open_transport(options) as opened:
        one = Engine(
            transport=opened,
            limiter=pace,
            sink=kept,
            events=Events([counters.update]),
            clock=SystemClock(),
            rules={"bench": Rules(count_rows=row_counter(None))},
            retry=RetryOptions(),
            credentials=FixedHeaders({}),
        )
        stopped = await one.run(iter(planned) if planned else requests(url, count))
    assert stopped is None, stopped
    if sink is None:
        assert set(kept.ends) <= {"landed", "empty"}, kept.ends
        assert sum(kept.ends.values()) == count, kept.ends
    return pace


def one(url: str, count: int, width: int) -> None:
    """One run of the engine, and what it used."""
    asyncio.run(engine(url, 50, 2))
    planned = list(requests(url, count))
    before, began = peers.cpu_s(), time.perf_counter()
    asyncio.run(engine(url, count, width, planned=planned))
    wall, cpu = time.perf_counter() - began, peers.cpu_s() - before
    print(json.dumps({"cpu_us": cpu / count * 1e6, "wall_s": wall}))


def burst(url: str, width: int) -> None:
    """366 calls by an engine that knows nothing, then by one that remembers; loop running."""

    async def timed() -> dict[str, float]:
        await engine(url, 2, 2)
        began = time.perf_counter()
        pace = await engine(url, 366, width, own_cap=False)
        first = time.perf_counter() - began
        learnt = pace.learnt(time.time())
        began = time.perf_counter()
        await engine(url, 366, width, memory=learnt, own_cap=False)
        remembered = time.perf_counter() - began
        began = time.perf_counter()
        await engine(url, 366, width, memory=_knows(learnt, width), own_cap=False)
        return {
            "first_s": first,
            "remembered_s": remembered,
            "known_s": time.perf_counter() - began,
        }

    print(json.dumps(asyncio.run(timed())))


def _knows(learnt: Any, width: int) -> Any:
    """What a run would have learnt from a server that was seen to take `width` calls at once."""
    import msgspec

    return msgspec.structs.replace(learnt, level=width, width=width, sure=10_000, latency_s=0.1)


def memory(url: str, count: int, width: int) -> None:
    """Resident set along `count` calls, landing included, no database driver loaded."""

    async def run() -> list[tuple[int, float]]:
        from fetchcast.clock import SystemClock
        from fetchcast.events import Events
        from fetchcast.landing.writer import open_writer

        seen: list[tuple[int, float]] = []
        steps = {10_000, 100_000, 300_000, 1_000_000, count}

        class Watched:
            def __init__(self, writer: Any) -> None:
                self.writer, self.put_count = writer, 0

            def take(self, outcome: Any) -> bool:
                self.put_count += 1
                if self.put_count in steps:
                    seen.append((self.put_count, round(peers.resident_mb(), 1)))
                return bool(self.writer.take(outcome))

            async def room(self) -> None:
                await self.writer.room()

        with tempfile.TemporaryDirectory() as name:
            async with open_writer(Path(name), clock=SystemClock(), events=Events()) as writer:
                await engine(url, count, width, sink=Watched(writer))
                await writer.flush()
        return seen

    seen = asyncio.run(run())
    drivers = sorted({"duckdb", "pyarrow", "psycopg"} & set(sys.modules))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seen": seen, "peak_mb": peak, "drivers": drivers}))


def alone(*arguments: str) -> dict[str, Any]:
    """A part of this file in a process of its own, on the first core."""
    return peers.fresh(*arguments, script=__file__)


def cpu_rows(base: dict[str, str], given: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    names = ("fetchcast, callbacks", "aiohttp pool, uvloop", "aiohttp gather")
    for kind, size in (
        ("plain", "3.6 KB"),
        ("plain", "60 KB"),
        ("tls", "3.6 KB"),
        ("h2", "3.6 KB"),
    ):
        url = f"{base[kind]}/{size.partition(' ')[0]}.json"
        calls = given.calls // (4 if size == "60 KB" else 1)
        got: dict[str, list[float]] = {"fetchcast engine": [], **{name: [] for name in names}}
        for _ in range(given.rounds):
            got["fetchcast engine"].append(
                alone("--one", url, str(calls), str(given.width))["cpu_us"]
            )
            for name in names:
                found = peers.fresh("--one", name, url, str(calls), str(given.width))
                got[name].append(found["cpu_us"])
        for name in others.NAMES:
            got[name] = _other(name, kind, url, calls, given)
        got = {name: costs for name, costs in got.items() if costs}
        middle = {name: statistics.median(costs) for name, costs in got.items()}
        ours = middle["fetchcast engine"]
        rows.append(
            {
                "what": f"{kind}, {size}",
                "cpu_us": {name: round(cost, 1) for name, cost in middle.items()},
                "range": {n: [round(min(c), 1), round(max(c), 1)] for n, c in got.items()},
                "to_pool": round(ours / middle["aiohttp pool, uvloop"], 2),
                "to_gather": round(ours / middle["aiohttp gather"], 2),
            }
        )
        print(rows[-1], file=sys.stderr)
    return rows


def _other(name: str, kind: str, url: str, calls: int, given: argparse.Namespace) -> list[float]:
    """CPU of one call by another way, a few rounds; nothing where it is not installed."""
    if name == "floor":
        url = "h2:" + url if kind == "h2" else url
    else:
        calls = max(200, calls // 20)  # They are slow, and no cheaper for more calls.
    found = []
    for _ in range(1 if name in {"dlt", "Scrapy"} else given.rounds):
        one = peers.fresh(name, url, str(calls), str(given.width), script=others.__file__)
        if one is not None:
            found.append(one["cpu_us"])
    return found


def waits(base: dict[str, str]) -> list[dict[str, Any]]:
    """366 calls at 100 ms by the others, with room for all at once where they can use it."""
    rows = []
    for name in ("requests", "one by one", "dlt", "Scrapy"):
        found = peers.fresh(name, base["slow"] + "/", "366", "366", script=others.__file__)
        rows.append({"what": name, "wall_s": round(found["wall_s"], 2)})
        print(rows[-1], file=sys.stderr)
    for name in ("aiohttp pool, uvloop", "aiohttp gather"):
        found = peers.fresh("--one", name, base["slow"] + "/", "366", "366")
        rows.append({"what": name, "wall_s": round(found["wall_s"], 2)})
    return rows


def burst_rows(base: dict[str, str], given: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for kind, url in (("plain", base["slow"] + "/"), ("h2", base["h2"] + "/slow")):
        found = [alone("--burst", url, "366") for _ in range(2 * given.rounds)]
        middle = {key: round(statistics.median(one[key] for one in found), 3) for key in found[0]}
        rows.append({"what": kind, **middle})
        print(rows[-1], file=sys.stderr)
    return rows


def machine() -> str:
    """Where and with what this was measured."""
    import aiohttp
    import pycurl
    import scrapy

    load = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    return (
        f"{time.strftime('%Y-%m-%d')}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, load {load}; CPython {platform.python_version()}, "
        f"{pycurl.version.split(' OpenSSL')[0]}, aiohttp {aiohttp.__version__}, "
        f"dlt {version('dlt')}, Scrapy {scrapy.__version__}. The client on one core, the server "
        "on the other; medians, ratios within the run."
    )


def text(result: dict[str, Any]) -> str:
    lines = [
        "# The engine",
        "",
        result["machine"],
        "",
        "CPU of one call, microseconds, 50 at once, pace and rules in:",
        "",
    ]
    names = [
        "fetchcast engine",
        "fetchcast, callbacks",
        "aiohttp pool, uvloop",
        "aiohttp gather",
        *others.NAMES,
    ]
    lines += [
        f"| server | {' | '.join(names)} | to pool (goal 0.36) | to gather (goal 0.22) |",
        "|---|" + "--:|" * (len(names) + 2),
    ]
    for row in result["cpu"]:
        costs = " | ".join(str(row["cpu_us"].get(name, "-")) for name in names)
        lines.append(f"| {row['what']} | {costs} | {row['to_pool']}x | {row['to_gather']}x |")
    lines += ["", "366 calls at 100 ms, seconds (ideal 0.100):", ""]
    lines += [
        "| server | first contact (goal 0.75) | remembered | level known |",
        "|---|--:|--:|--:|",
    ]
    lines += [
        f"| {row['what']} | {row['first_s']} | {row['remembered_s']} | {row['known_s']} |"
        for row in result["burst"]
    ]
    slow = ", ".join(f"{row['what']} {row['wall_s']} s" for row in result["waits"])
    lines += ["", f"The same 366 calls by others, plain: {slow}."]
    seen = ", ".join(f"{mb} MB at {count:,}" for count, mb in result["memory"]["seen"])
    lines += ["", f"Memory, landing in, drivers loaded {result['memory']['drivers']}: {seen}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--width", type=int, default=50)
    parser.add_argument("--memory-calls", type=int, default=1_000_000)
    parser.add_argument("--one", nargs=3)
    parser.add_argument("--burst", nargs=2)
    parser.add_argument("--memory", nargs=3)
    given = parser.parse_args()
    if given.one:
        one(given.one[0], int(given.one[1]), int(given.one[2]))
    elif given.burst:
        burst(given.burst[0], int(given.burst[1]))
    elif given.memory:
        memory(given.memory[0], int(given.memory[1]), int(given.memory[2]))
    else:
        with peers.servers() as base:
            result = {
                "machine": machine(),
                "cpu": cpu_rows(base, given),
                "burst": burst_rows(base, given),
                "waits": waits(base),
            }
            url = f"{base['plain']}/3.6.json"
            result["memory"] = alone("--memory", url, str(given.memory_calls), str(given.width))
        shown = text(result)
        print(shown)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "engine.md").write_text(shown)
        (RESULTS / "engine.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
