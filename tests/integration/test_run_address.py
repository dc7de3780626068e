"""``fetchcast run URL``: no file at all, and how to get one."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytest_asyncio

from fetchcast.config import read_pipeline
from fetchcast.errors import ConfigError, InputError
from fetchcast.pipeline.addressed import as_file, describe, described
from fetchcast.testing import Api, Reply, json_reply, running_api
from fetchcast.testing.api import Asked


def answer(asked: Asked) -> Reply:
    last = asked.path.rsplit("/", 1)[1]
    return json_reply({"results": [{"id": f"{last}-{n}", "target": asked.target} for n in (1, 2)]})


@pytest_asyncio.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api({"*": answer}) as running:
        yield running


async def fetchcast(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    import asyncio

    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "fetchcast", *words],
        cwd=folder,
        env=os.environ | {"TOKEN": "hush-hush"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


async def test_an_address_and_a_file_of_ids_are_enough(api: Api, tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("id\na\nb\n")
    words = [f"{api.url}/v1/things/{{id}}", "--params", "ids.csv", "--to", "duckdb:///x.duckdb"]
    ran = await fetchcast("run", *words, "-H", "Authorization: Bearer ${TOKEN}", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "table things of duckdb:///x.duckdb" in ran.stderr
    assert "--save pipeline.toml" in ran.stderr
    assert {asked.headers["authorization"] for asked in api.asked} == {"Bearer hush-hush"}
    with duckdb.connect(str(tmp_path / "x.duckdb"), read_only=True) as found:
        rows = found.sql("select asked_id, id from things order by id").fetchall()
    assert rows == [("a", "a-1"), ("a", "a-2"), ("b", "b-1"), ("b", "b-2")]

    words += ["-H", "Authorization: Bearer ${TOKEN}", "--save", "things.toml"]
    again = await fetchcast("run", *words, folder=tmp_path)
    assert (again.returncode, len(api.asked)) == (0, 2), "what has landed is not asked again"
    kept = await fetchcast("run", "things.toml", folder=tmp_path)
    assert (kept.returncode, len(api.asked)) == (0, 2), "the file is the same pipeline"
    assert "hush" not in (tmp_path / "things.toml").read_text() + ran.stderr + ran.stdout


async def test_plan_shows_what_would_be_asked(api: Api, tmp_path: Path) -> None:
    words = [f"{api.url}/x/{{n}}", "--params", "n=1..3"]
    planned = await fetchcast("plan", *words, folder=tmp_path)
    assert "3 calls planned" in planned.stdout
    assert api.asked == []
    assert not (tmp_path / ".fetchcast").exists()
    lines = await fetchcast("plan", "--json", *words, folder=tmp_path)
    assert [json.loads(line)["params"] for line in lines.stdout.splitlines()] == [
        {"n": 1},
        {"n": 2},
        {"n": 3},
    ]


async def test_options_that_belong_to_an_address(tmp_path: Path) -> None:
    ran = await fetchcast("run", "p.toml", "--params", "id=1", folder=tmp_path)
    assert ran.returncode == 2
    assert "--params goes with a URL" in ran.stderr


def test_every_way_to_say_values(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("code,x\n1,2\n")
    pq.write_table(pa.table({"one": [1]}), tmp_path / "b.parquet")
    (tmp_path / "c.jsonl").write_text('{"q": 1}\n')
    url = "https://h.test:8/api/v2/{code}/{days}/{n}/{t}?a={one}&a=2&q={q}&token=${TOKEN}"
    document = describe(
        url,
        ["a.csv", "days=2026-01-01..2026-01-31", "n=3..1", "t=007,x", "one=b.parquet", "c.jsonl"],
        folder=tmp_path,
        rows="data[*]",
    )
    (resource,) = document["resource"].values()
    assert resource["params"] == {
        "code": {"csv": "a.csv", "column": "code"},
        "days": {"from": "2026-01-01", "to": "2026-01-31"},
        "n": {"from": 3, "to": 1, "step": -1},
        "t": ["007", "x"],
        "one": {"parquet": "b.parquet", "column": "one"},
        "q": {"ndjson": "c.jsonl", "column": "q"},
    }
    assert resource["query"] == {"a": ["{one}", "2"], "q": "{q}"}
    assert document["api"]["auth"]["in"] == "query"
    assert document["api"]["base_url"] == "https://h.test:8/api"
    (tmp_path / "p.toml").write_text(as_file(document))
    pipeline = read_pipeline(tmp_path / "p.toml", environment={"TOKEN": "t"})
    assert pipeline.resource["api"].params == resource["params"]


def test_a_file_of_one_column_needs_no_name(tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text("business_id\n1\n")
    document = describe("https://h.test/x/{id}", ["numbers.csv"], folder=tmp_path)
    assert document["resource"]["x"]["params"]["id"]["column"] == "business_id"


def test_each_address_is_a_pipeline_of_its_own(tmp_path: Path) -> None:
    addresses = ("https://h.test/x/{id}", "https://h.test/x/{id}?a=1", "https://h.test/x/{id}?a=2")
    names = {describe(u, ["id=1"], folder=tmp_path)["name"] for u in addresses}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("url", "params", "message"),
    [
        ("https://h.test/{id}", [], r"\{id\} to have values"),
        ("https://h.test/{id}", ["other=1"], "--params = 'other': expected one of id"),
        ("https://h.test/", ["id=1"], "the address has no {name}"),
        ("https://h.test/{id}", ["id=1,,2"], "NAME=1,2,3"),
        ("https://h.test/{id}", ["gone.csv"], "no such file"),
        (
            "https://h.test/{id}",
            ["two.csv"],
            "has no column 'id'; it has: a, b\nhint: --params id=",
        ),
        ("https://h.test/{id}", ["ids"], "NAME=FILE.csv"),
        ("http:///x", [], "an address like"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, url: str, params: list[str], message: str) -> None:
    (tmp_path / "two.csv").write_text("a,b\n1,2\n")
    with pytest.raises((ConfigError, InputError), match=message):
        describe(url, params, folder=tmp_path)


def test_a_key_in_the_address_is_refused_unless_it_is_a_variable(tmp_path: Path) -> None:
    document = describe("https://h.test/x?api_key=literal", [], folder=tmp_path)
    with pytest.raises(ConfigError, match=r"\$\{NAME\}") as caught:
        described(document, tmp_path)
    assert "literal" not in str(caught.value)
