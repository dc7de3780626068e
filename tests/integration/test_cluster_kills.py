"""SIGKILL of workers and the scheduler in mid-run: complete, nothing doubled, little repeated."""

import asyncio
import random
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
from fetchcast.testing.simulation.gates import TokenBucket
from fetchcast.testing.simulation.world import Server

RATE = 150
PIPELINE = """
name = "calls"
[api]
base_url = "{url}"
[resource.calls]
path = "calls/{{n}}"
params = {{ n = {{ csv = "numbers.csv", column = "n" }} }}
[limits]
max_rate = {rate}
[table.calls]
from = "calls"
carry = {{ n = "param:n" }}
[executor]
run = "{run}"
shard_s = 4.0
checkpoint_s = 0.5
"""


def write(folder: Path, url: str, where: str, calls: int) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "numbers.csv").write_text("n\n" + "\n".join(map(str, range(calls))) + "\n")
    file = folder / "calls.toml"
    file.write_text(PIPELINE.format(url=url, run=where, rate=RATE))
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


class Life:
    """One run that is disturbed once, and goes on to its end."""

    def __init__(self, folder: Path, api: LimitedApi, cluster: RunningCluster, calls: int) -> None:
        self.folder, self.api, self.cluster, self.calls = folder, api, cluster, calls
        self.before = api.books.accepted
        self.file = write(folder, api.url, cluster.address, calls)

    async def disturbed(self, what: str, share: float) -> RunReport | None:
        """Run, and kill ``what`` when ``share`` of the calls were accepted."""
        running = asyncio.ensure_future(run(self.file))
        await accepted(self.api, self.before + int(share * self.calls), running)
        assert not running.done(), "it was killed in the middle"
        if what == "scheduler":
            self.cluster.kill_scheduler()
            with pytest.raises(ExecutorError, match="run again"):
                await running
            return None
        alive = [n for n, one in enumerate(self.cluster.workers) if one.poll() is None]
        for number in alive[: 2 if what == "two workers" else 1]:
            self.cluster.kill_worker(number)
        return await running

    def check(self) -> float:
        """Complete, nothing doubled; the share of calls that were made again."""
        assert landed(self.folder) == self.calls
        assert rows(self.folder) == self.calls
        assert not list((self.folder / ".fetchcast" / "calls" / "shards").glob("*/*/*"))
        return (self.api.books.accepted - self.before - self.calls) / self.calls


async def live(folder: Path, what: str, calls: int, share: float) -> tuple[float, float]:
    """One disturbed life on a cluster of its own: calls repeated, calls refused."""
    server = Server(network=instant(0.02), gates=[TokenBucket(1.05 * RATE, 15)])
    async with running_limits(server) as api:
        with running_cluster(4) as cluster:
            life = Life(folder, api, cluster, calls)
            report = await life.disturbed(what, share)
            if report is None:
                cluster.stop()
                cluster.workers.clear()
                cluster.start_scheduler()
                for _ in range(2):
                    cluster.add_worker()
                report = await run(life.file)
        assert report.end is RunEnd.COMPLETE
        repeated = life.check()
        print(f"\n{what}: {repeated:.1%} repeated, {api.books.refused} refused")
        return repeated, api.books.refused_share


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "what",
    [
        "one worker",
        pytest.param("two workers", marks=pytest.mark.slow),
        pytest.param("scheduler", marks=pytest.mark.slow),
    ],
)
async def test_a_kill_costs_little(tmp_path: Path, what: str) -> None:
    """The short form."""
    repeated, _ = await live(tmp_path, what, calls=1500, share=0.4)
    assert repeated <= 0.12  # Of so few calls, what is under way is a good part.


@pytest.mark.slow
@pytest.mark.timeout(3600)
async def test_twenty_kills_cost_little(tmp_path: Path) -> None:
    """One worker, two workers, the scheduler, again and again, at random moments."""
    chance, found = random.Random(8), []
    for number in range(20):
        what = ("one worker", "two workers", "scheduler")[number % 3]
        share = chance.uniform(0.2, 0.8)
        repeated, refused = await live(tmp_path / str(number), what, calls=3000, share=share)
        found.append((what, round(share, 2), round(repeated, 4), round(refused, 4)))
        print(found[-1], flush=True)
        assert repeated <= 0.06


async def test_a_killed_run_leaves_answers_that_the_next_one_finds_on_one_machine(
    tmp_path: Path,
) -> None:
    """The driver is killed; what its workers had put into the store is not asked again, locally."""
    server = Server(network=instant(0.02), gates=[TokenBucket(1.05 * RATE, 15)])
    async with running_limits(server) as api:
        with running_cluster(2) as cluster:
            life = Life(tmp_path, api, cluster, 900)
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
