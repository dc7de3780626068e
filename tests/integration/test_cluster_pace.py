"""One budget for a whole cluster: used, not exceeded, and back in use when a worker is killed.

The API and its limit are a process of their own, and so are the scheduler and each worker.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fetchcast.config import read_pipeline
from fetchcast.events import RunEnd
from fetchcast.landing.reader import open_reader
from fetchcast.pipeline import RunOptions, RunReport, arun
from fetchcast.records import Fate
from fetchcast.testing.cluster import running_cluster

CHILD = Path(__file__).with_name("limits_child.py")
PIPELINE = """
name = "calls"
[api]
base_url = "{url}"
[resource.calls]
path = "calls/{{n}}"
params = {{ n = {{ csv = "numbers.csv", column = "n" }} }}
[executor]
run = "{run}"
shard_s = {shard_s}
checkpoint_s = 1.0
{more}
"""


@dataclass
class LimitedChild:
    url: str
    process: subprocess.Popen[str]

    def books(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("?\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@contextmanager
def limited_api(gate: str, limit: float, burst: float = 20) -> Iterator[LimitedChild]:
    command = [sys.executable, str(CHILD), gate, str(limit), str(burst), "20"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield LimitedChild(process.stdout.readline().strip(), process)
        finally:
            process.kill()


def write(
    folder: Path, url: str, where: str, calls: int, more: str = "", *, shard_s: float = 5
) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "numbers.csv").write_text("n\n" + "\n".join(map(str, range(calls))) + "\n")
    file = folder / "calls.toml"
    file.write_text(PIPELINE.format(url=url, run=where, more=more, shard_s=shard_s))
    return file


async def run(file: Path, *watch: Any) -> RunReport:
    return await arun(read_pipeline(file), options=RunOptions(forecast=False), subscribers=watch)


def landed(folder: Path) -> int:
    with open_reader(folder / ".fetchcast" / "calls") as reader:
        keys = [answer.key for answer in reader.answers()]
        assert len(keys) == len(set(keys)) == reader.counts()[Fate.LANDED]
        return len(keys)


@dataclass
class Used:
    share: float
    refused: float
    repeated: int


def used(books: dict[str, Any], calls: int, limit: float, burst: float) -> Used:
    """What of the allowance was used between the first and the last call, the burst left out."""
    lasted = books["last_at"] - books["first_at"]
    accepted, refused = books["accepted"], books["refused"]
    return Used(
        share=accepted / (burst + limit * lasted),
        refused=refused / (refused + accepted),
        repeated=accepted - calls,
    )


async def measure(folder: Path, calls: int, limit: float, burst: float, more: str) -> Used:
    with limited_api("rate", limit, burst) as api, running_cluster(4) as cluster:
        report = await run(write(folder, api.url, cluster.address, calls, more))
        books = api.books()
    assert report.end is RunEnd.COMPLETE
    assert landed(folder) == calls
    found = used(books, calls, limit, burst)
    print(f"\n{limit}/s {more!r}: {found} {report.pace} {report.extract_s:.1f} s")
    return found


@pytest.mark.slow  # A share of 200 a second needs two cores that nobody else uses.
async def test_a_known_limit_is_used_and_kept(tmp_path: Path) -> None:
    """The short form."""
    found = await measure(tmp_path, 2000, 200, 20, "[limits]\nmax_rate = 198")
    assert found.share >= 0.9
    assert found.refused <= 0.005
    assert found.repeated == 0


@pytest.mark.slow
async def test_a_limit_is_found_by_all_together(tmp_path: Path) -> None:
    """The short form."""
    found = await measure(tmp_path, 2000, 200, 20, "")
    assert found.share >= 0.8
    assert found.refused <= 0.03
    assert found.repeated == 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("limit", "burst"), [(200, 20), (3000, 100)])
async def test_twenty_thousand_calls_at_a_known_limit(
    tmp_path: Path, limit: int, burst: int
) -> None:
    found = await measure(tmp_path, 20_000, limit, burst, f"[limits]\nmax_rate = {0.99 * limit}")
    assert found.share >= 0.95
    assert found.refused <= 0.005
    assert found.repeated == 0


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("limit", "burst"), [(200, 20), (3000, 100)])
async def test_twenty_thousand_calls_at_a_limit_that_is_found(
    tmp_path: Path, limit: int, burst: int
) -> None:
    found = await measure(tmp_path, 20_000, limit, burst, "")
    assert found.share >= 0.95
    assert found.refused <= 0.03
    assert found.repeated == 0
