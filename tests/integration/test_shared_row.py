"""Two runs with one credential: the pace is one row of PostgreSQL, and the API sees one client."""

import asyncio
import json
from pathlib import Path

import pytest

from fetchcast.config import read_pipeline
from fetchcast.errors import ConfigError, CoordinatorLost, DestinationError
from fetchcast.events import RunEnd
from fetchcast.extract.lease import Ask, Coordinator
from fetchcast.extract.lease.frozen import freeze, thaw
from fetchcast.extract.pace import Learnt, PaceOptions, Quota
from fetchcast.pipeline import arun
from fetchcast.testing.limits import instant, running_limits
from fetchcast.testing.simulation.gates import TokenBucket
from fetchcast.testing.simulation.world import Server

WALL = 1_700_000_000.0
PIPELINE = """
name = "{name}"
[api]
base_url = "{url}"
[resource.calls]
path = "{name}/{{n}}"
params = {{ n = {numbers} }}
[limits]
max_rate = {rate}
[executor]
coordinator = "{row}"
"""

pytestmark = pytest.mark.postgres


def write(
    folder: Path, name: str, url: str, row: str, *, calls: int = 5, rate: float = 95.0
) -> Path:
    (folder / name).mkdir()
    file = folder / name / "calls.toml"
    numbers = json.dumps(list(range(calls)))
    file.write_text(PIPELINE.format(name=name, url=url, numbers=numbers, rate=rate, row=row))
    return file


async def test_two_runs_share_one_budget(tmp_path: Path, postgres_url: str) -> None:
    # Room for what a busy machine sends late: two budgets would be twice the rate, not a burst.
    server = Server(network=instant(0.02), gates=[TokenBucket(100, 25)])
    async with running_limits(server) as api:
        files = [write(tmp_path, name, api.url, postgres_url, calls=150) for name in ("one", "two")]
        reports = await asyncio.gather(*(arun(read_pipeline(file)) for file in files))
        assert [report.end for report in reports] == [RunEnd.COMPLETE] * 2
        assert api.books.accepted == 300
        assert api.books.refused <= 3
        assert api.last_accepted_at - (api.first_call_at or 0.0) >= 2.8
        assert all("your own cap of 95" in report.pace for report in reports)


async def test_other_limits_beside_a_run_that_goes_are_refused(
    tmp_path: Path, postgres_url: str
) -> None:
    server = Server(network=instant(0.01))
    async with running_limits(server) as api:
        await arun(read_pipeline(write(tmp_path, "one", api.url, postgres_url)))
        other = write(tmp_path, "two", api.url, postgres_url, rate=7.0)
        with pytest.raises(ConfigError, match=r"limits = .*one pace has one set of caps"):
            await arun(read_pipeline(other))


async def test_a_database_that_is_not_there_is_said_before_a_call(tmp_path: Path) -> None:
    server = Server(network=instant(0.01))
    async with running_limits(server) as api:
        row = "postgresql://nobody:secret@127.0.0.1:9/none"
        with pytest.raises(DestinationError) as found:
            await arun(read_pipeline(write(tmp_path, "one", api.url, row)))
        assert api.books.accepted == 0
    assert "127.0.0.1:9" in str(found.value)
    assert "secret" not in str(found.value)


def test_a_coordinator_goes_on_from_its_row_where_it_was() -> None:
    """With what it lent, what it learnt and what its quota has left."""
    options = PaceOptions(max_rate=50.0, quota=Quota(requests=1000, per="day"))
    memory = Learnt(at=WALL, rate=40.0, sure=9)
    there = Coordinator(options, memory=memory, wall=WALL, epoch=3)
    for number in range(20):
        there.lease(Ask(f"w/{number % 3}", 4, 3), 0.05 * number, WALL)
    again = thaw(freeze(there))
    for number in range(20):
        ask, now = Ask(f"w/{number % 4}", 4, 3), 1.0 + 0.03 * number
        assert again.lease(ask, now, WALL) == there.lease(ask, now, WALL)
    assert again.tally(2.0, WALL) == there.tally(2.0, WALL)


def test_a_row_that_names_anything_else_runs_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            import os

            return os.mkdir, (str(tmp_path / "made"),)

    import pickle

    for state in (pickle.dumps(Evil()), b"nonsense", b"", pickle.dumps({"a": 1})):
        with pytest.raises(CoordinatorLost):
            thaw(state)
    assert not (tmp_path / "made").exists()
