"""What does one coordinator cost, and what do two workers bring?

    python benchmarks/cluster.py [coordinator] [shaping] [calls]

coordinator  1,000 simulated lessees on one coordinator, in virtual time; its CPU is real
shaping      60 KB bodies on a cluster with one worker and with two
calls        four workers against an API with one limit, known and found
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from fetchcast.config import read_pipeline
from fetchcast.events import Event, Stage, StageEnded, StageStarted
from fetchcast.executors import ExecutorOptions, open_executor
from fetchcast.extract.lease import Coordinator
from fetchcast.extract.pace import PaceOptions
from fetchcast.landing.packed import Piece, entry_of, pack
from fetchcast.landing.shards import ShardStore
from fetchcast.pipeline import RunOptions, RunReport, arun
from fetchcast.pipeline.afar import Bench, shaped_afar
from fetchcast.pipeline.spread import Spread
from fetchcast.records import Fate, Landed
from fetchcast.testing.cluster import running_cluster
from fetchcast.testing.simulation.cluster import Cluster
from fetchcast.testing.simulation.gates import TokenBucket
from fetchcast.testing.simulation.world import Network, Server
from fetchcast.transform import Shaper
from fetchcast.transform.options import TableOptions

CHILD = Path(__file__).parents[1] / "tests" / "integration" / "limits_child.py"


def coordinator() -> None:
    """50,000 calls a second, lent to more and more lessees."""
    print("| lessees | limit | memory | calls/s | over the limit | refused | CPU a lease | cores |")
    print("|--:|--:|---|--:|--:|--:|--:|--:|")
    for lessees, limit, known in (
        (8, 200, False),
        (8, 3_000, False),
        (100, 10_000, True),
        (1_000, 50_000, True),
    ):
        one(lessees, limit, known=known)


def one(lessees: int, limit: int, *, known: bool) -> None:
    network = Network(one_way_s=0.005, jitter_s=0.001, service_s=0.02, spread=0.2)
    options = PaceOptions(max_rate=float(limit)) if known else PaceOptions()
    desk = Coordinator(options, max_connections=100_000, wall=1e9)
    server = Server(network=network, gates=[TokenBucket(limit, limit / 10)])
    calls = max(20_000, 10 * limit) // lessees
    books = Cluster(server, desk, workers=lessees, calls=calls).run()
    # Over any second; the bucket lets a tenth of a second's calls through beside.
    bins = [books.arrived_per_bin.get(number, 0) for number in range(int(books.last_at * 10))]
    over = max(0.0, max(map(sum, zip(*(bins[at:] for at in range(10)), strict=False))) / limit - 1)
    lasted = books.last_at - books.first_at
    print(
        f"| {lessees:,} | {limit:,}/s | {'your cap' if known else 'none'} "
        f"| {books.per_second:,.0f} | {over:.2%} | {books.refused_share:.2%} "
        f"| {1e3 * books.coordinator_cpu_s / books.leases:.3f} ms "
        f"| {books.coordinator_cpu_s / lasted:.2f} |",
        flush=True,
    )


DIFFERENT = 500
PORTION = 250
"""Bodies of 63 KB that make 16 MB: as many as a run shapes at a time."""


def bodies(count: int) -> list[Landed]:
    chance = random.Random(7)
    made = []
    for number in range(min(count, DIFFERENT)):
        rows = [
            {
                "id": f"{number}-{row}",
                "at": f"2024-0{1 + row % 9}-1{row % 9}T10:00:00Z",
                "price": round(chance.random() * 100, 2),
                "count": chance.randrange(1000),
                "name": "".join(chance.choices("abcdefgh ", k=24)),
                "place": {"lat": chance.random(), "lon": chance.random(), "zip": str(row)},
            }
            for row in range(330)
        ]
        made.append(json.dumps({"rows": rows}).encode())
    return [
        Landed(
            seq=number,
            key=f"{number:032x}",
            resource="r",
            url="http://x",
            params={},
            fate=Fate.LANDED,
            status=200,
            headers={},
            body=made[number % DIFFERENT],
            attempts=1,
            reason=None,
            finished_at=1.0,
        )
        for number in range(count)
    ]


def portions(answers: list[Landed], size: int) -> list[list[Piece]]:
    """As the journal has them packed, so many answers each."""
    made = []
    for start in range(0, len(answers), size):
        few = answers[start : start + size]
        frames = pack((entry_of(answer), answer.body) for answer in few)
        made.append([Piece(*frames, [answer.seq for answer in few])])
    return made


async def shaping(rounds: int = 3) -> None:
    """The same path with one worker and with two: through the store, rows back from it."""
    answers = bodies(10_000)
    print(f"{len(answers)} bodies of {len(answers[0].body) / 1e3:.0f} KB, {rounds} rounds")
    options = TableOptions(source="r", rows="rows[*]")
    packed = portions(answers, PORTION)
    took: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers in (1, 2):
            with running_cluster(workers, threads=1) as cluster, TemporaryDirectory() as folder:
                where = ExecutorOptions(run=cluster.address)
                async with open_executor(where, Path()) as executor:
                    store = ShardStore(Path(folder).as_uri(), "bench")
                    bench = Bench(Spread(executor, asyncio.get_running_loop()), store)

                    def shape(bench: Bench = bench, count: int = len(packed)) -> int:
                        work = shaped_afar(
                            bench, Shaper("t", options), options, {}, iter(packed[:count])
                        )
                        return sum(shaped.batches[0].rows.num_rows for shaped in work)

                    await asyncio.to_thread(shape, count=4)  # Imports on the workers.
                    begun, own = time.perf_counter(), time.process_time()
                    rows = await asyncio.to_thread(shape)
                    assert rows == 330 * len(answers)
                    took[workers].append((time.perf_counter() - begun, time.process_time() - own))
    one, two = (min(took[workers]) for workers in (1, 2))
    print(
        f"one worker {one[0]:.2f} s, two workers {two[0]:.2f} s: {one[0] / two[0]:.2f} x; "
        f"of that the run itself used {one[1]:.2f} and {two[1]:.2f} s of CPU"
    )
    begun = time.perf_counter()
    shaper = Shaper("t", options)
    for start in range(0, len(answers), PORTION):
        shaper.shape(answers[start : start + PORTION])
    print(f"in the run's own process {time.perf_counter() - begun:.2f} s")


async def calls(count: int = 20_000) -> None:
    print("| limit | known | workers | used | with start-up | refused | committed | seconds | us |")
    print("|--:|---|---|--:|--:|--:|--:|--:|---|")
    for limit, burst, known, warm in (
        (3_000, 100, True, False),
        (3_000, 100, True, True),
        (3_000, 100, False, False),
        (200, 20, True, False),
        (200, 20, False, False),
    ):
        await one_run(count, limit, burst, known=known, warm=warm)
    print("used: from the first call to the last; us: CPU a call of API, run, scheduler, workers")


class Cpu:
    """CPU of processes while calls are made, imports of workers that are not warm among it."""

    def __init__(self, pids: dict[str, list[int]]) -> None:
        self.processes = {name: [psutil.Process(pid) for pid in of] for name, of in pids.items()}
        self.begun: dict[str, float] = {}
        self.used: dict[str, float] = {}

    def hear(self, event: Event) -> None:
        """From the beginning of the stage to its end."""
        if isinstance(event, StageStarted) and event.stage is Stage.EXTRACT:
            self.begun = self.now()
        elif isinstance(event, StageEnded) and event.stage is Stage.EXTRACT:
            self.used = {name: total - self.begun[name] for name, total in self.now().items()}

    def now(self) -> dict[str, float]:
        return {
            name: sum(sum(one.cpu_times()[:2]) for one in of) for name, of in self.processes.items()
        }


async def run_file(
    folder: Path, name: str, url: str, *, where: str, count: int, cap: str, hear: Any = None
) -> RunReport:
    """Ask ``count`` calls on a cluster and load their rows."""
    numbers = "\n".join(map(str, range(count)))
    (folder / f"{name}.csv").write_text(f"n\n{numbers}\n")
    file = folder / f"{name}.toml"
    file.write_text(
        f'name = "{name}"\n[api]\nbase_url = "{url}"\n[resource.calls]\npath = "c/{{n}}"\n'
        f'params = {{ n = {{ csv = "{name}.csv", column = "n" }} }}\n{cap}'
        f'[executor]\nrun = "{where}"\n'
    )
    return await arun(
        read_pipeline(file), options=RunOptions(forecast=False), subscribers=[hear] if hear else []
    )


def books_of(api: subprocess.Popen[str]) -> dict[str, Any]:
    """What the API has counted so far."""
    assert api.stdin is not None
    assert api.stdout is not None
    api.stdin.write("?\n")
    api.stdin.flush()
    found: dict[str, Any] = json.loads(api.stdout.readline())
    return found


async def one_run(count: int, limit: int, burst: int, *, known: bool, warm: bool) -> None:
    with (
        TemporaryDirectory() as folder,
        running_cluster(4) as cluster,
        subprocess.Popen(  # noqa: ASYNC220  before anything runs
            [sys.executable, str(CHILD), "rate", str(limit), str(burst), "20"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as api,
    ):
        assert api.stdout is not None
        assert cluster.scheduler is not None
        workers = [worker.pid for worker in cluster.workers]
        cpu = Cpu(
            {
                "api": [api.pid],
                "run": [os.getpid()],
                "scheduler": [cluster.scheduler.pid],
                "workers": workers,
            }
        )
        try:
            url = api.stdout.readline().strip()
            cap = f"[limits]\nmax_rate = {0.99 * limit}\n" if known else ""
            before = {"accepted": 0, "refused": 0, "per_bin": {}}
            if warm:
                where = cluster.address
                await run_file(Path(folder), "warm", url, where=where, count=600, cap=cap)
                before = books_of(api)
            began = 1 + max(map(int, before["per_bin"]), default=-1)
            report = await run_file(
                Path(folder),
                "calls",
                url,
                where=cluster.address,
                count=count,
                cap=cap,
                hear=cpu.hear,
            )
            books = books_of(api)
        finally:
            api.kill()
    first_at = min(int(one) for one in books["per_bin"] if int(one) > began) / 10
    lasted = books["last_at"] - first_at
    accepted, refusals = (books[what] - before[what] for what in ("accepted", "refused"))
    used, whole = (accepted / (burst + limit * s) for s in (lasted, report.extract_s))
    refused = refusals / (refusals + accepted)
    landed = report.resources["calls"].fates[Fate.LANDED]
    each = ", ".join(f"{1e6 * used_s / count:.0f}" for used_s in cpu.used.values())
    print(
        f"| {limit:,}/s | {'yes' if known else 'no'} | {'warm' if warm else 'new'} | {used:.1%} "
        f"| {whole:.1%} | {refused:.2%} | {landed:,} of {accepted:,} | {lasted:.1f} | {each} |",
        flush=True,
    )
    print(f"  {report.pace}", file=sys.stderr)


def main() -> None:
    wanted = sys.argv[1:] or ["coordinator", "shaping", "calls"]
    for name in wanted:
        if name == "coordinator":
            coordinator()
        elif name == "shaping":
            asyncio.run(shaping())
        else:
            asyncio.run(calls())


if __name__ == "__main__":
    main()
