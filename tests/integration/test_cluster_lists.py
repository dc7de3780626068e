"""Lists, parents and children on a cluster: what one machine keeps, whatever becomes of it."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from fetchcast.config import read_pipeline
from fetchcast.events import RunEnd
from fetchcast.landing.reader import open_reader
from fetchcast.landing.shards import Commit, ShardStore
from fetchcast.pipeline import ResourceReport, RunOptions, RunReport, arun
from fetchcast.pipeline.cluster import Cluster, Cutter
from fetchcast.records import Fate
from fetchcast.testing import (
    Asked,
    Reply,
    cursor_pages,
    json_reply,
    numbered_pages,
    offset_pages,
    running_api,
)
from fetchcast.testing.api import Api
from fetchcast.testing.cluster import RunningCluster, running_cluster
from fetchcast.testing.paging import Beyond, link_pages, next_url_pages

LISTS = 12
PIPELINE = """
name = "lists"
[api]
base_url = "{url}"
[resource.chains]
path = "chains/{{n}}"
params = {{ n = {numbers} }}
paginator = {{ type = "cursor", path = "meta.next_cursor", param = "cursor" }}
[resource.links]
path = "links/{{n}}"
params = {{ n = {numbers} }}
paginator = "auto"
[resource.nexts]
path = "nexts/{{n}}"
params = {{ n = {numbers} }}
paginator = {{ type = "next_url", path = "next" }}
[resource.counted]
path = "counted/{{n}}"
params = {{ n = {numbers} }}
paginator = {{ type = "page_number", total = "totalResults" }}
[resource.endless]
path = "endless/{{n}}"
params = {{ n = {numbers} }}
paginator = "page_number"
[resource.offsets]
path = "offsets/{{n}}"
params = {{ n = {numbers} }}
paginator = {{ type = "offset", total = "total", limit = 7 }}
[resource.each]
path = "each/{{id}}"
params = {{ id = {{ from = "chains", field = "id" }} }}
[resource.notes]
path = "notes/{{id}}"
params = {{ id = {{ from = "each", field = "id" }} }}
paginator = {{ type = "page_number", total = "totalResults" }}
[table.chains]
from = "chains"
rows = "data[*]"
[table.links]
from = "links"
[table.nexts]
from = "nexts"
rows = "results[*]"
[table.counted]
from = "counted"
rows = "items[*]"
[table.endless]
from = "endless"
rows = "items[*]"
[table.offsets]
from = "offsets"
rows = "items[*]"
[table.each]
from = "each"
[table.notes]
from = "notes"
rows = "items[*]"
carry = {{ of = "param:id" }}
[executor]
run = "{run}"
shard_s = 1.0
checkpoint_s = 0.2
"""
TABLES = ("chains", "links", "nexts", "counted", "endless", "offsets", "each", "notes")
COUNTED = ("/chains/", "/links/", "/nexts/", "/counted/", "/offsets/", "/each/", "/notes/")


def items(n: int, name: str) -> list[dict[str, object]]:
    """Lists of 0 to 40 items: of no page, of one, of a whole number of pages, and others."""
    return [{"id": 100 * n + k, "list": f"{name}{n}"} for k in range(n * n * 7 % 41)]


def answer(name: str, n: int, asked: Asked) -> Reply:
    rows = items(n, name)
    endless = numbered_pages(rows, size=7, total=False, beyond=Beyond.FIRST)
    kinds = {
        "chains": cursor_pages(rows, size=7),
        "links": link_pages(rows, size=7),
        "nexts": next_url_pages(rows, size=7),
        "counted": numbered_pages(rows, size=7),
        "endless": endless,
        "offsets": offset_pages(rows, size=7),
        "notes": numbered_pages(items(n % 5, name), size=3),
        "long": cursor_pages([{"id": k} for k in range(120)], size=2),
    }
    if name in kinds:
        return kinds[name](asked)
    return json_reply({"id": n, "text": f"item {n}"})


async def says(asked: Asked) -> Reply:
    await asyncio.sleep(0.01)
    _, name, number = asked.path.split("/")
    return answer(name, int(number), asked)


def write(folder: Path, url: str, where: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / "lists.toml"
    file.write_text(PIPELINE.format(url=url, run=where, numbers=list(range(LISTS))))
    return file


async def run(file: Path) -> RunReport:
    return await arun(read_pipeline(file), options=RunOptions(forecast=False))


def rows(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    with duckdb.connect(folder / "lists.duckdb", read_only=True) as connection:
        return {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()
            for table in TABLES
        }


async def asked_for(api: Api, count: int, running: "asyncio.Future[RunReport]") -> None:
    """Until so many calls have been made, in the middle of the run."""
    for _ in range(3000):
        if len(api.hits) >= count or running.done():
            break
        await asyncio.sleep(0.01)
    assert not running.done()


@pytest.fixture(scope="module")
def cluster() -> Iterator[RunningCluster]:
    with running_cluster(2) as running:
        yield running


@pytest.mark.timeout(120)
async def test_lists_are_asked_there_as_here(tmp_path: Path, cluster: RunningCluster) -> None:
    """Every kind of list, children of their items, lists of those: the same calls and tables."""
    asked, reports = {}, {}
    async with running_api({"*": says}) as api:
        for name, where in (("here", "local"), ("there", cluster.address)):
            api.asked.clear()
            reports[name] = await run(write(tmp_path / name, api.url, where))
            asked[name] = Counter(hit for hit in api.hits if hit.startswith(COUNTED))
            assert reports[name].end is RunEnd.COMPLETE
    assert set(asked["here"].values()) == {1}
    assert asked["there"] == asked["here"]
    here, there = rows(tmp_path / "here"), rows(tmp_path / "there")
    assert {name: len(found) for name, found in here.items() if not found} == {}
    assert there == here
    for name, report in reports["here"].resources.items():
        other = reports["there"].resources[name]
        assert without_ahead(other) == without_ahead(report), name


def without_ahead(report: ResourceReport) -> tuple[Counter[Fate], int]:
    """Fates and number of calls; how many go behind the end of a list depends on what came when."""
    behind = report.fates[Fate.EMPTY]
    return report.fates - Counter({Fate.EMPTY: behind}), report.planned - behind


LONG = """
name = "lists"
[api]
base_url = "{url}"
[resource.long]
path = "long/1"
paginator = {{ type = "cursor", path = "meta.next_cursor", param = "cursor" }}
[table.long]
from = "long"
rows = "data[*]"
[executor]
run = "{run}"
"""


async def test_a_worker_goes_on_with_its_list(
    tmp_path: Path, cluster: RunningCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty pages, each named by the one before it, are one shard and not sixty."""
    shards, bring = [], Cluster._bring

    async def counted(self: Cluster, store: ShardStore, commit: Commit, cutter: Cutter) -> None:
        shards.append(commit)
        await bring(self, store, commit, cutter)

    monkeypatch.setattr(Cluster, "_bring", counted)
    async with running_api({"*": says}) as api:
        file = tmp_path / "lists.toml"
        file.write_text(LONG.format(url=api.url, run=cluster.address))
        report = await run(file)
    assert report.resources["long"].fates[Fate.LANDED] == 60
    assert len(api.hits) == 60
    assert [commit.answers for commit in shards] == [60]


@pytest.mark.parametrize("first", ["local", "cluster"])
@pytest.mark.timeout(120)
async def test_one_goes_on_with_the_lists_of_the_other(
    tmp_path: Path, cluster: RunningCluster, first: str
) -> None:
    """A run is stopped in the middle; the other executor asks nothing again that has landed."""
    wheres = ["local", cluster.address] if first == "local" else [cluster.address, "local"]
    async with running_api({"*": says}) as api:
        running = asyncio.ensure_future(run(write(tmp_path, api.url, wheres[0])))
        await asked_for(api, 150, running)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        settled = -1
        while settled != len(api.hits):  # What is under way on workers ends by itself.
            settled = len(api.hits)
            await asyncio.sleep(1)
        with open_reader(tmp_path / ".fetchcast" / "lists") as reader:
            known = {answer.url for answer in reader.answers()}
        report = await run(write(tmp_path, api.url, wheres[1]))
        assert report.end is RunEnd.COMPLETE
        again = {api.url + hit for hit in api.hits[settled:]}
        assert again.isdisjoint(known)
    found = rows(tmp_path)
    for name in ("chains", "counted", "each"):
        made = found[name]
        assert len(made) == len(set(made)) == sum(len(items(n, name)) for n in range(LISTS))


@pytest.mark.timeout(200)
async def test_a_worker_is_killed_in_the_middle_of_lists(tmp_path: Path) -> None:
    async with running_api({"*": says}) as api:
        reference = tmp_path / "here"
        await run(write(reference, api.url, "local"))
        calls = len(api.hits)
        api.asked.clear()
        with running_cluster(3) as cluster:
            running = asyncio.ensure_future(
                run(write(tmp_path / "there", api.url, cluster.address))
            )
            await asked_for(api, calls // 3, running)
            cluster.kill_worker(0)
            report = await running
        assert report.end is RunEnd.COMPLETE
        assert report.resources["each"].fates[Fate.FAILED] == 0
        assert len(api.hits) - calls <= 0.2 * calls
    assert rows(tmp_path / "there") == rows(reference)
