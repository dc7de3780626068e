"""What can be wrong with a cluster: each is said clearly, and nothing is lost."""

import os
from pathlib import Path

import pytest

from fetchcast.config import read_pipeline
from fetchcast.errors import ConfigError, ExecutorError
from fetchcast.events import Event, Notice, RunEnd
from fetchcast.landing.reader import open_reader
from fetchcast.landing.shards import Commit, ShardStore
from fetchcast.pipeline import Hooks, RunReport, arun
from fetchcast.records import Answer, Fate, Outcome, Request, request_key
from fetchcast.testing import Reply, running_api
from fetchcast.testing.cluster import running_cluster

PIPELINE = """
name = "calls"
[api]
base_url = "{url}"
[resource.calls]
path = "calls/{{n}}"
params = {{ n = {numbers} }}
{resource}
[table.calls]
from = "calls"
[executor]
run = "{run}"
checkpoint_s = 0.2
{more}
"""


def write(folder: Path, url: str, run: str, *, calls: int, resource: str, more: str) -> Path:
    file = folder / "calls.toml"
    text = PIPELINE.format(
        url=url, run=run, numbers=list(range(calls)), resource=resource, more=more
    )
    file.write_text(text)
    return file


async def ask(
    folder: Path,
    url: str,
    where: str,
    *,
    calls: int = 40,
    resource: str = "",
    more: str = "",
    notices: list[str] | None = None,
) -> RunReport:
    def hear(event: Event) -> None:
        if isinstance(event, Notice) and notices is not None:
            notices.append(event.text)

    file = write(folder, url, where, calls=calls, resource=resource, more=more)
    return await arun(read_pipeline(file), subscribers=[hear])


def with_start(folder: Path, code: str) -> dict[str, str]:
    """The environment of a process that runs ``code`` when it starts."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


def random_reply() -> Reply:
    body = b'{"id": "' + os.urandom(4000).hex().encode() + b'"}'
    return Reply(200, {"Content-Type": "application/json"}, body)


async def test_a_shared_path_that_is_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process has a working folder of its own."""
    async with running_api({"*": random_reply()}) as api:
        with running_cluster(1) as cluster:
            store = 'store = "file:///proc/self/cwd/not-shared"'
            monkeypatch.chdir(tmp_path)
            with pytest.raises(ExecutorError, match=r"is not shared: .*\nhint: mount") as found:
                await ask(tmp_path, api.url, cluster.address, more=store)
        assert "/proc/self/cwd/not-shared" in str(found.value)
        assert api.hits == []


async def test_a_disk_that_is_full_on_one_worker(tmp_path: Path) -> None:
    """The run ends and says so; what others committed is kept, and the next run goes on."""
    code = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))\n"
    async with running_api({"*": lambda _: random_reply()}) as api:
        with running_cluster(1) as cluster:
            cluster.add_worker(with_start(tmp_path / "full", code))
            with pytest.raises(ExecutorError, match=r"cannot use it: .*File too large.*\nhint: ma"):
                await ask(tmp_path, api.url, cluster.address, calls=600)
            cluster.kill_worker(1)
            report = await ask(tmp_path, api.url, cluster.address, calls=600)
        assert report.end is RunEnd.COMPLETE
        resource = report.resources["calls"]
        assert resource.already + resource.fates[Fate.LANDED] == 600
        with open_reader(tmp_path / ".fetchcast" / "calls") as reader:
            assert reader.counts()[Fate.LANDED] == 600


async def test_a_clock_that_is_an_hour_off(tmp_path: Path) -> None:
    """Its answers are dated by the coordinator's clock, and it is said whose clock is wrong."""
    code = "import time\nreal = time.time\ntime.time = lambda: real() + 3600.0\n"
    notices: list[str] = []
    async with running_api({"*": random_reply()}) as api:
        with running_cluster(0) as cluster:
            cluster.add_worker(with_start(tmp_path / "fast", code))
            report = await ask(tmp_path, api.url, cluster.address, notices=notices)
    assert report.end is RunEnd.COMPLETE
    assert any("s ahead of this one" in text and "3,6" in text for text in notices), notices
    import time

    with open_reader(tmp_path / ".fetchcast" / "calls") as reader:
        assert all(abs(one.finished_at - time.time()) < 120 for one in reader.answers())


async def test_a_worker_without_the_driver_of_the_destination(tmp_path: Path) -> None:
    """It needs none: workers ask, the run that started them loads."""
    code = "import sys\nsys.modules['duckdb'] = None\nsys.modules['psycopg'] = None\n"
    async with running_api({"*": random_reply()}) as api:
        with running_cluster(0) as cluster:
            cluster.add_worker(with_start(tmp_path / "bare", code))
            report = await ask(tmp_path, api.url, cluster.address)
    assert report.end is RunEnd.COMPLETE
    assert report.receipts[0].rows == 40


async def test_a_function_that_signs_is_called_on_one_machine(tmp_path: Path) -> None:
    async with running_api({"*": random_reply()}) as api:
        file = write(tmp_path, api.url, "local:2", calls=3, resource="", more="")
        hooks = Hooks(auth=lambda _: {"x-signed": "1"})
        with pytest.raises(ConfigError, match="a function that signs calls"):
            await arun(read_pipeline(file), hooks=hooks)
        assert api.hits == []


async def test_a_cluster_elsewhere_needs_a_store(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"executor.store = None: expected file:///PATH"):
        await ask(tmp_path, "http://127.0.0.1:9", "dask://10.0.0.1:8786")


def outcome(number: int) -> Outcome:
    url = f"http://x/{number}"
    request = Request(
        key=request_key("GET", url), resource="r", url=url, params={"n": number, "on": True}
    )
    answer = Answer(status=200, headers={"etag": "é"}, body=b"\x00\xff", url=url, elapsed_s=0.5)
    return Outcome(
        request=request,
        fate=Fate.LANDED,
        answer=answer,
        attempts=2,
        reason=None,
        finished_at=1.5,
    )


def test_a_store_gives_back_what_was_put(tmp_path: Path) -> None:
    store = ShardStore(tmp_path.as_uri(), "landing")
    one, two, three = map(outcome, range(3))
    failed = Outcome(
        request=two.request, fate=Fate.FAILED, answer=None, attempts=5, reason="no", finished_at=2.0
    )
    store.put("s", "a-0.parquet", [one, failed])
    store.put("s", "b-0.parquet", [one, three])
    assert store.parts("s") == ["a-0.parquet", "b-0.parquet"]
    assert list(store.outcomes("s", store.parts("s"))) == [one, failed, three]
    assert store.keys("s", "b-0.parquet") == [one.request.key, three.request.key]


def test_the_first_commit_counts(tmp_path: Path) -> None:
    stores = [ShardStore(tmp_path.as_uri(), "landing") for _ in range(2)]
    first = Commit(shard="s", attempt="a", parts=["a-0.parquet"])
    second = Commit(shard="s", attempt="b", parts=["b-0.parquet"])
    assert stores[0].commit(first) == first
    assert stores[1].commit(second) == first
    assert stores[1].left() == ["s"]
    stores[0].forget("s")
    assert stores[1].left() == []
    assert stores[1].committed("s") is None


@pytest.mark.parametrize("url", ["nothing://x/y", "s3:/bucket"])
def test_what_is_no_store_is_said(url: str) -> None:
    with pytest.raises(ExecutorError, match="cannot be opened here"):
        ShardStore(url, "landing")
