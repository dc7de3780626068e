"""A store in a bucket: moto's S3 over real HTTP, and the library that talks to it for real."""

import json
import os
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import duckdb
import pytest

from fetchcast.config import read_pipeline
from fetchcast.errors import ExecutorError
from fetchcast.events import RunEnd
from fetchcast.landing.places import Bucket, open_place
from fetchcast.landing.shards import Commit, ShardStore
from fetchcast.pipeline import arun
from fetchcast.testing import Asked, Reply, running_api
from fetchcast.testing.cluster import running_cluster

from .conftest import free_port, program, running

pytest.importorskip("obstore", reason="the extra s3 is not installed")

PIPELINE = """
name = "numbers"
[api]
base_url = "{url}"
[resource.numbers]
path = "numbers/{{n}}"
params = {{ n = {numbers} }}
[table.numbers]
from = "numbers"
rows = "rows[*]"
carry = {{ n = "param:n" }}
[executor]
run = "{run}"
shard_s = 1.0
checkpoint_s = 0.3
{store}
"""


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a store in a bucket that is there, and who may use it in the environment."""
    found, port = program("moto_server"), free_port()
    command = [found, "-H", "127.0.0.1", "-p", str(port)]
    with (
        running(command, port, tmp_path_factory.mktemp("s3")) as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "a secret")
        urllib.request.urlopen(urllib.request.Request(f"{url}/answers", method="PUT")).close()
        yield f"s3://answers/runs/here?endpoint_override={url}&region=us-east-1"


def test_objects_are_whole_and_the_first_one_stays(bucket: str) -> None:
    place = open_place(bucket)
    assert isinstance(place, Bucket)
    place.write("a/x", b"1")
    place.write("a/x", b"2")
    place.write("a/y/z", b"3")
    assert place.read("a/x") == b"2"
    assert place.create("a/c", b"first")
    assert not place.create("a/c", b"second")
    assert place.read("a/c") == b"first"
    assert sorted(place.names("a")) == ["c", "x", "y"]
    assert place.names("b") == []
    place.delete("a/x")
    place.delete("a/x")
    with pytest.raises(FileNotFoundError):
        place.read("a/x")
    place.delete_folder("a")
    place.delete_folder("a")
    assert place.names("a") == []


def test_of_many_who_commit_at_once_one_was_the_first(bucket: str) -> None:
    """However many attempts at a shard end in the same moment: all of them name the same parts."""
    store, count = ShardStore(bucket, "many"), 8
    together = Barrier(count)

    def commit(attempt: int) -> str:
        together.wait()
        one = Commit(shard="s", attempt=str(attempt), parts=[f"{attempt}-0.parquet"])
        return store.commit(one).attempt

    with ThreadPoolExecutor(count) as threads:
        for _ in range(5):
            first = set(threads.map(commit, range(count)))
            assert len(first) == 1
            committed = store.committed("s")
            assert committed is not None
            assert {committed.attempt} == first
            store.forget("s")
            assert store.left() == []


def test_a_bucket_that_is_not_there_is_said(bucket: str) -> None:
    store = ShardStore(bucket.replace("answers/", "nobody/"), "landing")
    with pytest.raises(ExecutorError, match=r"cannot use it: .*nobody"):
        store.mark("token")


def test_what_a_store_cannot_be_told_is_said(bucket: str) -> None:
    with pytest.raises(ExecutorError, match="'secret_key' behind the \\?; known: endpoint"):
        ShardStore(f"{bucket}&secret_key=1", "landing")


def answer(asked: Asked) -> Reply:
    n = int(asked.path.rsplit("/", 1)[1])
    body = json.dumps({"rows": [{"id": f"{n}-{k}", "value": n / 7} for k in range(n % 4)]})
    return Reply(200, {"Content-Type": "application/json"}, body.encode())


@pytest.mark.timeout(120)
async def test_a_cluster_that_shares_a_bucket(tmp_path: Path, bucket: str) -> None:
    """Asked, committed, brought into the landing, shaped and loaded: nothing stays behind."""
    found = {}
    async with running_api({"*": answer}) as api:
        with running_cluster(2) as cluster:
            for name, where, store in (
                ("here", "local", ""),
                ("there", cluster.address, f'store = "{bucket}"'),
            ):
                api.asked.clear()
                file = tmp_path / name / "numbers.toml"
                file.parent.mkdir()
                numbers = list(range(300))
                file.write_text(
                    PIPELINE.format(url=api.url, numbers=numbers, run=where, store=store)
                )
                report = await arun(read_pipeline(file))
                assert report.end is RunEnd.COMPLETE
                assert len(api.hits) == 300
                with duckdb.connect(file.parent / "numbers.duckdb", read_only=True) as there:
                    found[name] = there.execute("SELECT * FROM numbers ORDER BY ALL").fetchall()
    assert found["there"] == found["here"]
    assert len(found["here"]) == sum(n % 4 for n in range(300))
    place = open_place(bucket)
    (identity,) = [name for name in place.names("") if name not in {"many", "landing"}]
    assert place.names(f"{identity}/parts") == place.names(f"{identity}/commits") == []
    assert place.names(f"{identity}/shaping") == []


async def test_a_worker_that_cannot_talk_to_buckets_says_so(tmp_path: Path, bucket: str) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['obstore'] = None\n")
    file = tmp_path / "numbers.toml"
    async with running_api({"*": answer}) as api:
        with running_cluster(0) as cluster:
            path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
            cluster.add_worker({"PYTHONPATH": path})
            store = f'store = "{bucket}"'
            file.write_text(
                PIPELINE.format(url=api.url, numbers=[1, 2], run=cluster.address, store=store)
            )
            with pytest.raises(ExecutorError, match=r"obstore is not installed here.*\n.*s3"):
                await arun(read_pipeline(file))
        assert api.hits == []
