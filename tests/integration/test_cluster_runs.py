"""The same pipeline file on one machine and on a cluster: the same tables, and no call twice."""

import json
import re
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from fetchcast.config import read_pipeline
from fetchcast.errors import ExecutorError
from fetchcast.events import RunEnd
from fetchcast.landing.reader import open_reader
from fetchcast.pipeline import RunReport, afar, arun
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
    # What the progress line says, the app reads from the landing: of all workers together.
    with open_reader(tmp_path / "there" / ".fetchcast" / "numbers") as reader:
        counts = reader.runs()[0].counts
    assert f"4 slots on {cluster.address}" in counts["pace"]
    assert counts["landed"] + counts["empty"] + counts["failed"] == counts["sent"] == CALLS
    for table in ("numbers", "numbers_tags"):
        ours, theirs = (rows(tmp_path / name, table) for name in ("here", "there"))
        assert ours
        assert ours == theirs


async def test_rows_made_by_workers_are_those_of_one_machine(
    tmp_path: Path, cluster: RunningCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In portions of eight answers, so that many of them go to the workers and come back."""
    monkeypatch.setattr("fetchcast.pipeline.store._CHUNK_ROWS", 8)
    made = []
    begin = afar._Work.begin
    monkeypatch.setattr(afar._Work, "begin", lambda *given: made.append(1) or begin(*given))
    async with numbers_api() as api:
        for name, where in (("here", "local"), ("there", cluster.address)):
            await run(tmp_path / name, api, where)
            assert bool(made) == (name == "there")
    for table in ("numbers", "numbers_tags"):
        ours, theirs = (rows(tmp_path / name, table) for name in ("here", "there"))
        assert len(ours) >= sum(n % 4 > 0 for n in range(CALLS)) / 2
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


KEYS = """[api.auth]
type = "api_key"
key = ["${K0}", "${K1}", "${K2}"]
"""


async def with_keys(
    folder: Path, wheres: list[str], route: Callable[[Asked], Reply], auth: str
) -> list[RunReport]:
    reports = []
    async with running_api({"*": route}) as api:
        for where in wheres:
            file = write(folder, api, where, calls=150)
            file.write_text(file.read_text().replace("[resource", f"{auth}[resource", 1))
            (folder / ".env").write_text("K0=canary-a\nK1=canary-b\nK2=canary-c\n")
            reports.append(await arun(read_pipeline(file)))
    return reports


async def test_each_of_several_keys_has_its_pace_and_its_quota(
    tmp_path: Path, cluster: RunningCluster
) -> None:
    """Three keys of 40 calls a day make 120 on the cluster, and none more on this machine then."""
    seen: Counter[str] = Counter()

    def count(asked: Asked) -> Reply:
        seen[asked.headers["x-api-key"]] += 1
        return Reply(200, {"Content-Type": "application/json"}, b'{"rows": []}')

    # Not around midnight: a quota that resets soon is waited for.
    resets = f"{datetime.now(UTC) + timedelta(hours=12):%H:00} UTC"
    auth = KEYS + f'quota = {{ requests = 40, per = "day", resets = "{resets}" }}\n'
    first, second = await with_keys(tmp_path / "a", [cluster.address, "local"], count, auth)
    assert first.end is second.end is RunEnd.STOPPED
    assert "none of the 3 keys can be used: your quota of 40 calls" in (first.stopped or "")
    assert seen == {f"canary-{key}": 40 for key in "abc"}


async def test_a_key_that_is_refused_does_not_hold_the_others_back(
    tmp_path: Path, cluster: RunningCluster
) -> None:
    seen: Counter[str] = Counter()

    def limited(asked: Asked) -> Reply:
        key = asked.headers["x-api-key"]
        seen[key] += 1
        if key == "canary-a" and seen[key] > 5:
            return Reply(429, {"Retry-After": "3600"})
        return Reply(200, {"Content-Type": "application/json"}, b'{"rows": []}')

    (report,) = await with_keys(tmp_path / "b", [cluster.address], limited, KEYS)
    assert report.end is RunEnd.COMPLETE
    assert sum(report.resources["numbers"].fates.values()) == 150
    assert seen["canary-a"] <= 60
    assert min(seen["canary-b"], seen["canary-c"]) >= 30


def said(file: Path, *options: str) -> str:
    from click.testing import CliRunner

    from fetchcast.cli.main import cli

    return CliRunner().invoke(cli, ["plan", *options, str(file)]).output


def test_the_plan_says_when_workers_gain_nothing(tmp_path: Path) -> None:
    slow, fast = "[limits]\nmax_rate = 50.0", "[limits]\nmax_rate = 8000.0"
    api = Api(url="http://127.0.0.1:9")
    file = write(tmp_path, api, "local:4", 20)
    assert "is not known yet" in said(file)
    assert "workers" not in said(file, "--executor", "local")
    file = write(tmp_path, api, "local:4", 20, slow)
    assert "workers gain nothing in asking: 50 calls a second (your own cap)" in said(file)
    file = write(tmp_path, api, "local:4", 20, fast)
    assert "keep about 8 workers busy" in said(file)


def make_certificates(folder: Path) -> list[str]:
    guide = (Path(__file__).parents[2] / "docs" / "how-to" / "cluster-ssh.md").read_text()
    blocks = re.findall(r"^```text\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    (made,) = [block for block in blocks if block.startswith("openssl")]
    commands = made.partition("for host")[0]
    subprocess.run(["sh", "-ec", commands], cwd=folder, check=True, capture_output=True)
    return [str(folder / name) for name in ("ca.pem", "cert.pem", "key.pem")]


@pytest.mark.timeout(200)
async def test_a_cluster_with_certificates_made_as_the_guide_says(tmp_path: Path) -> None:
    """The guide's own commands; without the certificates nobody gets in."""
    names = make_certificates(tmp_path)
    options = [*zip(("--tls-ca-file", "--tls-cert", "--tls-key"), names, strict=True)]
    security = tuple(word for pair in options for word in pair)
    tls = 'tls = {{ ca_file = "{}", cert_file = "{}", key_file = "{}" }}'.format(*names)
    async with numbers_api() as api:
        with running_cluster(1, security=security) as cluster:
            report = await run(tmp_path / "in", api, cluster.address, 30, tls)
            assert report.resources["numbers"].unasked == 0
            assert len(rows(tmp_path / "in")) == sum(n % 4 for n in range(30) if n not in (13, 17))
            with pytest.raises(ExecutorError, match="nobody answers"):
                await run(tmp_path / "out", api, cluster.address, 30)
