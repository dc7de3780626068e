"""SIGKILL of workers and the scheduler in mid-run: complete, nothing doubled, little repeated."""

import asyncio
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fetchcast.config import read_pipeline
from fetchcast.errors import ExecutorError
from fetchcast.events import Ended, RunEnd
from fetchcast.landing.reader import open_reader
from fetchcast.pipeline import RunOptions, RunReport, arun
from fetchcast.records import Fate
from fetchcast.testing.cluster import RunningCluster, running_cluster
from fetchcast.testing.limits import LimitedApi, instant, running_limits
from fetchcast.testing.simulation.gates import Concurrency, TokenBucket
from fetchcast.testing.simulation.world import Server

RATE = 150
LEVEL = 16
SERVICE_S = 0.1
BIN_S = 0.1
KILLS = ("one worker", "two workers", "scheduler")
LIMITS = {"rate": f"max_rate = {RATE}", "level": f"max_concurrency = {LEVEL}"}
PIPELINE = """
name = "calls"
[api]
base_url = "{url}"
[resource.calls]
path = "calls/{{n}}"
params = {{ n = {{ csv = "numbers.csv", column = "n" }} }}
[limits]
{limits}
[table.calls]
from = "calls"
carry = {{ n = "param:n" }}
[executor]
run = "{run}"
shard_s = 4.0
checkpoint_s = 0.5
"""


def write(folder: Path, url: str, where: str, calls: int, limit: str = "rate") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "numbers.csv").write_text("n\n" + "\n".join(map(str, range(calls))) + "\n")
    file = folder / "calls.toml"
    file.write_text(PIPELINE.format(url=url, run=where, limits=LIMITS[limit]))
    return file


async def run(file: Path, *watch: Any) -> RunReport:
    return await arun(read_pipeline(file), options=RunOptions(forecast=False), subscribers=watch)


def landed(folder: Path) -> int:
    """How many calls are in the journal; none is there twice."""
    with open_reader(folder / ".fetchcast" / "calls") as reader:
        keys = [answer.key for answer in reader.answers()]
        assert len(keys) == len(set(keys)) == reader.counts()[Fate.LANDED]
    return len(keys)


def rows(folder: Path) -> int:
    import duckdb

    with duckdb.connect(folder / "calls.duckdb", read_only=True) as connection:
        (found,) = connection.execute("SELECT count(*), count(DISTINCT n) FROM calls").fetchall()
    assert found[0] == found[1], "a row is there twice"
    return int(found[0])


async def accepted(api: LimitedApi, count: int, running: "asyncio.Future[RunReport]") -> None:
    """Until the API has accepted so many, or the run has ended."""
    for _ in range(10_000):
        if api.books.accepted >= count or running.done():
            return
        await asyncio.sleep(0.02)


def served(limit: str) -> Server:
    """An API that refuses whatever goes beyond the limit."""
    if limit == "level":
        return Server(network=instant(SERVICE_S), gates=[Concurrency(LEVEL)])
    return Server(network=instant(0.02), gates=[TokenBucket(1.05 * RATE, 15)])


def per_second(limit: str) -> float:
    """As much as may be had."""
    return LEVEL / SERVICE_S if limit == "level" else RATE


@dataclass
class Found:
    """What a disturbed life came to."""

    repeated: float
    """Share of the calls that were made again."""
    refused: float
    after: float
    """Share of the allowance that was used in the second second after the kill (of workers), or
    after the first call of the run that went on (the scheduler)."""


class Life:
    """One run that is disturbed once, and goes on to its end."""

    def __init__(
        self, folder: Path, api: LimitedApi, cluster: RunningCluster, calls: int, limit: str
    ) -> None:
        self.folder, self.api, self.cluster, self.calls = folder, api, cluster, calls
        self.limit, self.before = limit, api.books.accepted
        self.file = write(folder, api.url, cluster.address, calls, limit)

    def now(self) -> float:
        """On the API's clock."""
        return asyncio.get_running_loop().time() - self.api.started_at

    async def disturbed(self, what: str, share: float) -> tuple[RunReport | None, float]:
        """Run, and kill ``what`` when ``share`` of the calls were accepted; and when that was."""
        running = asyncio.ensure_future(run(self.file))
        await accepted(self.api, self.before + int(share * self.calls), running)
        assert not running.done(), "it was killed in the middle"
        at = self.now()
        if what == "scheduler":
            self.cluster.kill_scheduler()
            with pytest.raises(ExecutorError, match="run again"):
                await running
            return None, at
        alive = [n for n, one in enumerate(self.cluster.workers) if one.poll() is None]
        for number in alive[: 2 if what == "two workers" else 1]:
            self.cluster.kill_worker(number)
        return await running, at

    async def resumed(self) -> tuple[RunReport, float]:
        """A new scheduler, two new workers, the same command; and when its first call was."""
        self.cluster.stop()
        self.cluster.workers.clear()
        self.cluster.start_scheduler()
        for _ in range(2):
            self.cluster.add_worker()
        started = int(self.now() / BIN_S) + 1
        report = await run(self.file)
        return report, BIN_S * min(one for one in self.api.books.accepted_per_bin if one > started)

    def check(self) -> float:
        """Complete, nothing doubled; the share of calls that were made again."""
        assert landed(self.folder) == self.calls
        assert rows(self.folder) == self.calls
        assert not list((self.folder / ".fetchcast" / "calls" / "shards").glob("*/*/*"))
        return (self.api.books.accepted - self.before - self.calls) / self.calls

    def used(self, since: float) -> float:
        """Share of the allowance that was used between one and two seconds after ``since``."""
        first = int((since + 1) / BIN_S)
        bins = [self.api.books.accepted_per_bin[n] for n in range(first, first + int(1 / BIN_S))]
        return sum(bins) / per_second(self.limit)


async def live(folder: Path, what: str, calls: int, share: float, limit: str = "rate") -> Found:
    """One disturbed life on a cluster of its own."""
    async with running_limits(served(limit)) as api:
        with running_cluster(4) as cluster:
            life = Life(folder, api, cluster, calls, limit)
            report, since = await life.disturbed(what, share)
            if report is None:
                report, since = await life.resumed()
        assert report.end is RunEnd.COMPLETE
        return Found(life.check(), api.books.refused_share, life.used(since))


@pytest.mark.timeout(300)
async def test_a_kill_costs_little(tmp_path: Path) -> None:
    """The short form: one worker."""
    found = await live(tmp_path, "one worker", calls=1200, share=0.4)
    assert found.repeated <= 0.12  # Of so few calls, what is under way is a good part.


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(20))
async def test_twenty_kills_cost_little(tmp_path: Path, number: int) -> None:
    """One worker, two workers, the scheduler, under a rate or a level, at a random moment."""
    what, limit = KILLS[number % 3], ("rate", "level")[number // 3 % 2]
    share = random.Random(number).uniform(0.2, 0.8)
    found = await live(tmp_path, what, calls=3000, share=share, limit=limit)
    line = json.dumps([number, what, limit, round(share, 2), *vars(found).values()])
    print(line, flush=True)
    assert found.repeated <= 0.06
    assert found.refused <= 0.03
    assert found.after >= 0.75  # All but what a busy machine takes for itself.


async def test_a_killed_run_leaves_answers_that_the_next_one_finds_on_one_machine(
    tmp_path: Path,
) -> None:
    """The driver is killed; what its workers had put into the store is not asked again, locally."""
    server = Server(network=instant(0.02), gates=[TokenBucket(1.05 * RATE, 15)])
    async with running_limits(server) as api:
        with running_cluster(2) as cluster:
            life = Life(tmp_path, api, cluster, 900, "rate")
            driving = asyncio.ensure_future(run(life.file))
            await accepted(api, 450, driving)
            driving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await driving
            # Whatever was under way ends by itself: nobody lends it anything any more.
            settled = -1
            while api.books.accepted != settled:
                settled = api.books.accepted
                await asyncio.sleep(3)
        assert settled < 900
        ended = []
        report = await run(
            write(tmp_path, api.url, "local", 900),
            lambda event: ended.append(event) if isinstance(event, Ended) else None,
        )
        assert report.end is RunEnd.COMPLETE
        assert landed(tmp_path) == 900
        assert report.resources["calls"].already + len(ended) == 900
        assert api.books.accepted - 900 <= 0.06 * 900
