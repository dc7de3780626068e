# ruff: noqa: E501, SLF001
"""How much of what a real server allows is used, and how much is refused, over real sockets?

    python benchmarks/pace_servers.py [--seeds 5] [--only pace,aws,aimd,fixed] [--cases a,b]
                                      [--for-s 100] [--anew]

The servers are the project's own loopback server, in a process of its own, and nginx. Every
scheme runs in the same engine over the same transport; only who decides when calls leave differs.
Time counts from the first call to the last accepted one and is compared with the limit's own
arithmetic. One run at a time, each kept as soon as it is done: what an earlier call of this script
has measured is not measured again (``--anew`` forgets it), and ``--for-s`` ends it after so many
seconds. Writes benchmarks/results/pace_servers.json and .md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from pace_baselines import Aimd, Aws, Fixed

from fetchcast.clock import SystemClock
from fetchcast.events import Counters, Events
from fetchcast.extract.auth.credentials import FixedHeaders
from fetchcast.extract.engine import Engine, Rules
from fetchcast.extract.pace import Pace, PaceOptions
from fetchcast.extract.retry import RetryOptions
from fetchcast.extract.transport import TransportOptions, open_transport
from fetchcast.records import Outcome, Request, request_key
from fetchcast.testing.limits import instant, running_limits
from fetchcast.testing.simulation.gates import (
    Concurrency,
    FixedWindow,
    LeakyBucket,
    SlidingLog,
    TokenBucket,
)
from fetchcast.testing.simulation.world import Network, Server
from fetchcast.testing.simulation.world import run as run_virtually

RESULTS = Path(__file__).parent / "results"
KEPT = RESULTS / "pace_servers.json"
SERVICE_S = 0.05
CALLS = 3000
CUT_OFF_S = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    """One server: its limits, the least time they allow, or an nginx configuration."""

    name: str
    gates: Callable[[], list[Any]] = list
    ideal_s: Callable[[int], float] = lambda calls: 0.0
    workers: int | None = None
    calls: int = CALLS
    service_s: float = SERVICE_S
    nginx: str | None = None
    zone: str = ""
    goal: str = ""
    model: Callable[[], list[Any]] | None = None
    """The limits of an nginx configuration, for virtual time."""
    most: int | None = None
    """Calls at once: the ideal is that many connections, always busy, at the latency measured."""


def bucket(rate: float, burst: float) -> Callable[[int], float]:
    return lambda calls: (calls - burst) / rate + SERVICE_S


def windows(size: int, period_s: float) -> Callable[[int], float]:
    return lambda calls: (ceil(calls / size) - 1) * period_s + SERVICE_S


def at_once(most: int, service_s: float = SERVICE_S) -> Callable[[int], float]:
    return lambda calls: calls / most * service_s


ZONE = "limit_req_zone $binary_remote_addr zone=a:1m rate=400r/s;"
CASES = [
    Case("k = 5, 365 calls", lambda: [Concurrency(5)], most=5, calls=365, service_s=0.1,
         goal=">= 95 %, <= 3 %"),
    Case("k = 10, 365 calls", lambda: [Concurrency(10)], most=10, calls=365, service_s=0.1,
         goal=">= 95 %, <= 3 %"),
    Case("k = 20", lambda: [Concurrency(20)], most=20, goal=">= 95 %, <= 0.7 % late"),
    Case("bucket 400/s, burst 100", lambda: [TokenBucket(400, 100)], bucket(400, 100),
         goal=">= 95 %, <= 4 %"),
    Case("bucket 400/s, burst 20, Retry-After", lambda: [TokenBucket(400, 20, retry_after=True)],
         bucket(400, 20), goal="item 4: 75 %, <= 2 %"),
    Case("bucket 100/s, burst 40, Retry-After", lambda: [TokenBucket(100, 40, retry_after=True)],
         bucket(100, 40), goal=">= 95 %, <= 2 %"),
    Case("600 per 4 s, no header", lambda: [FixedWindow(600, 4.0)], windows(600, 4.0),
         goal=">= 95 %, <= 2 a window"),
    Case("750 per 6 s, X-RateLimit epoch", lambda: [FixedWindow(750, 6.0, wall0=0.0, hints="x-epoch")],
         windows(750, 6.0), goal=">= 97 %, 0 %"),
    Case("750 per 6 s, RateLimit", lambda: [FixedWindow(750, 6.0, hints="structured")],
         windows(750, 6.0), goal=">= 97 %, 0 %"),
    Case("600 in any 4 s, refused count", lambda: [SlidingLog(600, 4.0)], windows(600, 4.0),
         goal=">= 90 %"),
    Case("600 in any 4 s, refused count, 3,300 calls", lambda: [SlidingLog(600, 4.0)],
         windows(600, 4.0), calls=3300, goal=">= 90 %"),
    Case("capacity 20", ideal_s=at_once(20), workers=20, goal=">= 95 %, 2x latency"),
    Case("k = 20 and bucket 300/s, burst 60", lambda: [Concurrency(20), TokenBucket(300, 60)],
         bucket(300, 60), goal=">= 92 %"),
    Case("no limit", ideal_s=lambda calls: ceil(calls / 256) * SERVICE_S,
         goal="5 round trips more"),
    Case("no limit, 12,000 calls", ideal_s=lambda calls: ceil(calls / 256) * SERVICE_S, calls=12_000,
         goal=">= 90 % of a pool"),
    Case("nginx limit_req 400/s", ideal_s=bucket(400, 1), zone=ZONE, nginx="limit_req zone=a;",
         goal="item 3", model=lambda: [LeakyBucket(400, 0, nodelay=False, tick_s=0.001)]),
    Case("nginx limit_req 400/s burst=40", ideal_s=bucket(400, 1), zone=ZONE,
         nginx="limit_req zone=a burst=40;", goal=">= 95 %, <= 2 %",
         model=lambda: [LeakyBucket(400, 40, nodelay=False, tick_s=0.001)]),
    Case("nginx limit_req 400/s burst=40 nodelay", ideal_s=bucket(400, 41), zone=ZONE,
         nginx="limit_req zone=a burst=40 nodelay;", goal=">= 95 %, <= 2 %",
         model=lambda: [LeakyBucket(400, 40, nodelay=True, tick_s=0.001)]),
    Case("nginx limit_conn 20", most=20,
         zone="limit_conn_zone $binary_remote_addr zone=c:1m;",
         nginx="limit_conn c 20; limit_conn_status 503;", goal=">= 95 %",
         model=lambda: [Concurrency(20)]),
]  # fmt: skip

SCHEMES: dict[str, Callable[[], Any]] = {
    "pace": lambda: Pace(PaceOptions(), max_connections=256),
    "aws": Aws,
    "aimd": lambda: Aimd(first=20.0),
    "fixed": Fixed,
    "pool": lambda: Fixed(256),
}


class Seam:
    """Gives the schemes to compare what the engine asks of a limiter."""

    def __init__(self, scheme: Any) -> None:
        self.next, self.sent = scheme.next, scheme.sent
        self.accepted, self.refused, self.failed = scheme.accepted, scheme.refused, scheme.failed

    def cancelled(self, call: int, now: float) -> None:
        self.failed(call, now)

    def stopped(self) -> str | None:
        return None

    stopped_by_own_cap = False
    lane = 0


@dataclass(slots=True)
class Ends:
    """A sink that counts."""

    last_at: float = 0.0
    fates: dict[str, int] = field(default_factory=dict)
    latency_s: float = 0.0

    def take(self, outcome: Outcome) -> bool:
        self.last_at = time.monotonic()
        self.fates[outcome.fate] = self.fates.get(outcome.fate, 0) + 1
        if outcome.answer is not None:
            self.latency_s += outcome.answer.elapsed_s
        return True

    async def room(self) -> None:
        """There always is."""


def serve(name: str, seed: int) -> None:
    """The child: serves a case until its standard input ends, then prints its books."""
    asyncio.run(_serve(next(c for c in CASES if c.name == name), seed))


async def _serve(case: Case, seed: int) -> None:
    server = Server(
        network=instant(case.service_s, spread=0.1), gates=case.gates(), workers=case.workers
    )
    async with running_limits(server, seed=seed) as api:
        if any(isinstance(g, FixedWindow) for g in server.gates):
            for gate in server.gates:
                gate._wall0 = time.time() - (asyncio.get_running_loop().time() - api.started_at)
        print(api.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        print(
            json.dumps({"accepted": api.books.accepted, "refused": api.books.refused}), flush=True
        )


@contextmanager
def served(case: Case, seed: int) -> Iterator[str]:
    child = subprocess.Popen(
        [sys.executable, __file__, "--serve", case.name, "--seeds", str(seed)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        yield child.stdout.readline().strip()
    finally:
        child.communicate()


@contextmanager
def behind_nginx(case: Case, upstream: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        port = _free_port()
        Path(folder, "nginx.conf").write_text(
            f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log crit;\n"
            "events { worker_connections 4096; }\n"
            f"http {{ access_log off; {case.zone} keepalive_requests 1000000;\n"
            f"client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;"
            f"uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
            f"upstream up {{ server {upstream.removeprefix('http://')}; keepalive 256; }}\n"
            f"server {{ listen 127.0.0.1:{port} backlog=1024; location / {{ {case.nginx}\n"
            'proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; } } }\n'
        )
        nginx = subprocess.Popen(
            [
                shutil.which("nginx") or "/usr/sbin/nginx",
                "-c",
                f"{folder}/nginx.conf",
                "-p",
                folder,
            ],
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.7)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            nginx.terminate()
            nginx.wait()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def requests(url: str, calls: int) -> Iterator[Request]:
    for number in range(calls):
        address = f"{url}/{number}"
        yield Request(key=request_key("GET", address), resource="r", url=address)


async def measure(case: Case, scheme: str, url: str) -> dict[str, Any]:
    limiter = SCHEMES[scheme]()
    cut_off_s = max(CUT_OFF_S, 3 * case.ideal_s(case.calls))
    ends, counters = Ends(), Counters()
    cpu = time.process_time()
    begun = time.monotonic()
    async with open_transport(TransportOptions(max_connections=256)) as transport:
        begun = time.monotonic()
        engine = Engine(
            transport=transport,
            limiter=limiter if isinstance(limiter, Pace) else Seam(limiter),
            sink=ends,
            events=Events([counters.update]),
            clock=SystemClock(),
            rules={"r": Rules()},
            retry=RetryOptions(),
            credentials=FixedHeaders({}),
        )
        with suppress(TimeoutError):
            await asyncio.wait_for(engine.run(requests(url, case.calls)), cut_off_s)
    landed = ends.fates.get("landed", 0)
    took = ends.last_at - begun
    if landed < case.calls:
        took = cut_off_s * case.calls / max(1, landed)
    ideal = case.ideal_s(case.calls)
    if case.most is not None:
        ideal = case.calls / case.most * ends.latency_s / max(1, landed)
    return {
        "case": case.name,
        "scheme": scheme,
        "took_s": took,
        "used": min(1.0, ideal / took),
        "refused": counters.refused / max(1, counters.refused + landed),
        "lost": sum(count for fate, count in ends.fates.items() if fate != "landed"),
        "unfinished": case.calls - sum(ends.fates.values()),
        "latency_ratio": ends.latency_s / max(1, landed) / case.service_s,
        "cpu_ms_per_call": 1000 * (time.process_time() - cpu) / case.calls,
        "text": limiter.explanation(time.monotonic()).text if isinstance(limiter, Pace) else "",
    }


def one(task: tuple[str, str, int]) -> dict[str, Any]:
    name, scheme, seed = task
    case = next(c for c in CASES if c.name == name)
    with ExitStack() as stack:
        url = stack.enter_context(served(case, seed))
        if case.nginx is not None:
            url = stack.enter_context(behind_nginx(case, url))
        row = asyncio.run(measure(case, scheme, url))
    row |= {"seed": seed, "at": time.strftime("%Y-%m-%d"), "load": os.getloadavg()[0]}
    return row


def virtual(case: Case, seeds: int) -> str:
    """The same server in virtual time, with 0.2 ms of network each way: what is the pace's own."""
    found = []
    for seed in range(seeds):
        server = Server(
            network=Network(
                one_way_s=0.0001, jitter_s=0.0001, service_s=case.service_s, spread=0.1
            ),
            gates=case.model() if case.model else case.gates(),
            workers=case.workers,
        )
        wall = 1.7e9 + 0.37 * seed
        for gate in server.gates:
            if isinstance(gate, FixedWindow):
                gate._wall0 = wall
        books = run_virtually(
            server, SCHEMES["pace"](), calls=case.calls, seed=seed, wall0=wall, until=3600
        )
        ideal = case.ideal_s(case.calls)
        if case.most is not None:
            ideal = case.calls / case.most * books.latency_sum_s / books.accepted
        found.append((ideal / (books.finished_at or 3600), books.refused_share))
    used, refused = (median(one[k] for one in found) for k in (0, 1))
    return f"{min(1, used):.0%}, {refused:.1%}"


def table(rows: list[dict[str, Any]], schemes: list[str]) -> str:
    head = [
        "server",
        "goal",
        *(f"{s}: used, refused, lost" for s in schemes),
        "pace in virtual time",
        "pace says",
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for case in CASES:
        cells = [case.name, case.goal]
        for scheme in schemes:
            mine = [r for r in rows if r["case"] == case.name and r["scheme"] == scheme]
            if not mine:
                cells.append("-")
                continue
            used, refused = (median(r[k] for r in mine) for k in ("used", "refused"))
            lost = sum(r["lost"] + r["unfinished"] for r in mine)
            slow = f", {median(r['latency_ratio'] for r in mine):.1f}x" if case.workers else ""
            cells.append(f"{used:.0%}, {refused:.1%}, {lost}{slow}")
        says = [r["text"] for r in rows if r["case"] == case.name and r["scheme"] == "pace"]
        cells += [virtual(case, 9), says[0] if says else ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def order(options: argparse.Namespace) -> list[tuple[str, str, int]]:
    """Which runs: ours and the pool for every seed, the others for as many as are asked for."""
    words = options.cases.split(",")
    return [
        (case.name, scheme, seed)
        for scheme in options.only.split(",")
        for seed in range(options.seeds if scheme in {"pace", "pool"} else options.other_seeds)
        for case in CASES
        if any(word in case.name for word in words)
        and (scheme != "pool" or "no limit" in case.name)
    ]


def measured(anew: list[tuple[str, str, int]]) -> list[dict[str, Any]]:
    """What has been measured before, without the runs that are to be measured ``anew``."""
    if not KEPT.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(KEPT.read_text())
    return [row for row in rows if (row["case"], row["scheme"], row["seed"]) not in anew]


def write(rows: list[dict[str, Any]]) -> None:
    schemes = [s for s in SCHEMES if any(row["scheme"] == s for row in rows)]
    seeds = {s: len({row["seed"] for row in rows if row["scheme"] == s}) for s in schemes}
    text = (
        "# Pace on real servers\n\n"
        f"Medians of {', '.join(f'{count} runs of {s}' for s, count in seeds.items())}; "
        f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, "
        f"one run at a time, {min(row['at'] for row in rows)} to {max(row['at'] for row in rows)}, "
        f"load average at the end of a run {median(row['load'] for row in rows):.1f} (median). "
        "``lost`` is calls that did not land, in all runs together: a run is cut off after "
        f"{CUT_OFF_S:g} s, or three times the ideal.\n\n{table(rows, schemes)}\n"
    )
    print(text)
    (RESULTS / "pace_servers.md").write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--other-seeds", type=int, default=1)
    parser.add_argument("--only", default="pace,pool,aws,aimd,fixed")
    parser.add_argument("--cases", default="")
    parser.add_argument("--for-s", type=float, default=float("inf"))
    parser.add_argument("--anew", action="store_true")
    parser.add_argument("--table", action="store_true", help="only write the table")
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.seeds)
        return
    tasks = order(options)
    rows = measured(tasks if options.anew else [])
    done = {(row["case"], row["scheme"], row["seed"]) for row in rows}
    left = [] if options.table else [task for task in tasks if task not in done]
    begun = time.monotonic()
    while left and time.monotonic() - begun < options.for_s:
        row = one(left.pop(0))
        rows.append(row)
        KEPT.write_text(json.dumps(rows, indent=1) + "\n")
        keys = ("case", "scheme", "seed", "used", "refused", "unfinished", "took_s", "text")
        print(*(row[key] for key in keys), sep=" | ", flush=True)
    print(f"{len(left)} runs left")
    if not left:
        write(rows)


if __name__ == "__main__":
    main()
