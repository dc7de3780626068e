"""The same pipeline file on one machine and on a cluster: the same tables, and no call twice."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import duckdb
import pytest

from fetchcast.config import read_pipeline
from fetchcast.events import RunEnd
from fetchcast.pipeline import RunReport, arun
from fetchcast.testing import Asked, Reply, running_api
from fetchcast.testing.api import Api
from fetchcast.testing.cluster import RunningCluster, running_cluster

CALLS = 300
PIPELINE = """
name = "numbers"
[api]
base_url = "{url}"
[resource.numbers]
path = "numbers/{{n}}"
params = {{ n = [{numbers}] }}
[table.numbers]
from = "numbers"
rows = "rows[*]"
carry = {{ n = "param:n", kind = "header:content-type" }}
[executor]
run = "{run}"
shard_s = 1.0
checkpoint_s = 0.3
{more}
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RunningCluster]:
    with running_cluster(2) as running:
        yield running


def answer(asked: Asked) -> Reply:
    """Some have rows, some have none, some are not there, and one never works."""
    n = int(asked.path.rsplit("/", 1)[1])
    if n % 50 == 13:
        return Reply(404, {"Content-Type": "application/json"}, b"{}")
    if n == 17:
        return Reply(418, {"Content-Type": "text/plain"}, b"a teapot")
    rows = [{"id": f"{n}-{k}", "value": n / 7 if n % 2 else n, "tags": ["a"]} for k in range(n % 4)]
    body = json.dumps({"rows": rows}).encode()
    return Reply(200, {"Content-Type": "application/json"}, body, delay_s=0.002)


@asynccontextmanager
async def numbers_api() -> AsyncIterator[Api]:
    async with running_api({"*": answer}) as api:
        yield api


def write(folder: Path, api: Api, run: str, calls: int = CALLS, more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "numbers.toml"
    numbers = ", ".join(map(str, range(calls)))
    file.write_text(PIPELINE.format(url=api.url, run=run, numbers=numbers, more=more))
    return file


async def run(folder: Path, api: Api, where: str, calls: int = CALLS, more: str = "") -> RunReport:
    return await arun(read_pipeline(write(folder, api, where, calls, more)))


def rows(folder: Path, table: str = "numbers") -> list[tuple[object, ...]]:
    with duckdb.connect(folder / "numbers.duckdb", read_only=True) as connection:
        return sorted(connection.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall())


def twice(api: Api) -> dict[str, int]:
    return {path: count for path, count in Counter(api.hits).items() if count > 1}


async def test_both_executors_make_the_same_tables(tmp_path: Path, cluster: RunningCluster) -> None:
    reports = {}
    async with numbers_api() as api:
        for name, where in (("here", "local"), ("there", cluster.address)):
            api.asked.clear()
            reports[name] = await run(tmp_path / name, api, where)
            assert not twice(api)
            assert len(api.hits) == CALLS
    here, there = reports["here"], reports["there"]
    assert here.end is there.end is RunEnd.INCOMPLETE
    assert there.resources["numbers"].fates == here.resources["numbers"].fates
    assert {(one.key, one.reason) for one in there.failures} == {
        (one.key, one.reason) for one in here.failures
    }
    for table in ("numbers", "numbers_tags"):
        ours, theirs = (rows(tmp_path / name, table) for name in ("here", "there"))
        assert ours
        assert ours == theirs


@pytest.mark.parametrize("first", ["local", "cluster"])
async def test_one_goes_on_where_the_other_ended(
    tmp_path: Path, cluster: RunningCluster, first: str
) -> None:
    """No call is made twice, but for those that failed."""
    wheres = ["local", cluster.address]
    wheres = wheres if first == "local" else wheres[::-1]
    async with numbers_api() as api:
        for where, calls in zip(wheres, (150, 300), strict=True):
            report = await run(tmp_path, api, where, calls)
            assert report.resources["numbers"].unasked == 0
        assert report.resources["numbers"].already == 150 - 4
        assert set(twice(api)) == {f"/numbers/{n}" for n in (13, 17, 63, 113)}
    assert not list((tmp_path / ".fetchcast" / "numbers" / "shards").glob("*/parts/*"))
