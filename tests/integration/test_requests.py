"""Every kind of body and every source of parameters, asked of a real server on loopback."""

import json
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fetchcast import RunReport, arun
from fetchcast.config import pipeline_from
from fetchcast.errors import ConfigError, FetchcastError, InputError
from fetchcast.events import RunEnd
from fetchcast.landing.reader import open_reader
from fetchcast.testing import Api, Reply, json_reply, running_api
from fetchcast.testing.api import Asked

IDS = ("a-1", "b 2", "ä/3")


def echo(asked: Asked) -> Reply:
    """What was asked, as one row."""
    said = {"method": asked.method, "target": asked.target, "body": asked.body.decode()}
    return json_reply([said | {"type": asked.headers.get("content-type", "")}])


def file_of(
    url: str, *, destination: str = "duckdb:///x.duckdb", **resource: Any
) -> dict[str, Any]:
    return {
        "name": "x",
        "destination": destination,
        "api": {"base_url": url},
        "resource": {"items": resource},
        "table": {"items": {"from": "items"}},
    }


async def ask(folder: Path, **resource: Any) -> tuple[Api, RunReport]:
    async with running_api({"*": echo}) as api:
        pipeline = pipeline_from(file_of(api.url, **resource), folder=folder)
        return api, await arun(pipeline)


def targets(api: Api) -> list[str]:
    return sorted(asked.target for asked in api.asked)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_methods(tmp_path: Path, method: str) -> None:
    api, report = await ask(tmp_path, path="x/{id}", method=method, params={"id": [1]})
    assert report.end == RunEnd.COMPLETE
    assert [(asked.method, asked.target) for asked in api.asked] == [(method, "/x/1")]


async def test_a_json_body_arrives_as_it_was_meant(tmp_path: Path) -> None:
    query = [{"code": "Year", "selection": {"filter": "item", "values": ["{year}"]}}]
    api, report = await ask(
        tmp_path,
        path="px",
        json={"query": query, "response": {"format": "json"}, "first": "{year}"},
        params={"year": {"from": 2020, "to": 2022}},
    )
    bodies = sorted((json.loads(asked.body) for asked in api.asked), key=lambda b: b["first"])
    assert [body["first"] for body in bodies] == [2020, 2021, 2022]
    assert {asked.headers["content-type"] for asked in api.asked} == {"application/json"}
    assert report.resources["items"].planned == 3
    with open_reader(tmp_path / ".fetchcast" / "x") as reader:
        assert sum(reader.counts().values()) == 3, "bodies tell calls apart"


async def test_a_form(tmp_path: Path) -> None:
    api, _ = await ask(tmp_path, path="f", form={"q": "{q}", "n": [1, 2]}, params={"q": "å&b=c"})
    assert parse_qs(api.asked[0].body.decode()) == {"q": ["å&b=c"], "n": ["1", "2"]}
    assert api.asked[0].headers["content-type"] == "application/x-www-form-urlencoded"


async def test_a_raw_body(tmp_path: Path) -> None:
    api, _ = await ask(
        tmp_path,
        path="soap",
        body="<id>{id}</id>",
        headers={"Content-Type": "text/xml", "SOAPAction": "get-{id}"},
        params={"id": [1, 2]},
    )
    said = {(a.body, a.headers["soapaction"], a.headers["content-type"]) for a in api.asked}
    assert said == {
        (b"<id>1</id>", "get-1", "text/xml"),
        (b"<id>2</id>", "get-2", "text/xml"),
    }


async def test_graphql(tmp_path: Path) -> None:
    """A server that answers what the variables ask for."""
    query = "query($id: ID!) { train(id: $id) {number} }"

    def serve(asked: Asked) -> Reply:
        sent = json.loads(asked.body)
        assert sent["query"] == query
        return json_reply({"data": {"train": [{"number": sent["variables"]["id"]}]}})

    async with running_api({"POST /graphql": serve}) as api:
        raw = file_of(
            api.url,
            path="graphql",
            graphql={"query": query, "variables": {"id": "{id}"}},
            params={"id": [27, 28]},
        )
        raw["table"]["items"]["rows"] = "data.train[*]"
        report = await arun(pipeline_from(raw, folder=tmp_path))
    assert report.end == RunEnd.COMPLETE
    with duckdb.connect(str(tmp_path / "x.duckdb"), read_only=True) as found:
        assert found.sql("select number from items order by 1").fetchall() == [(27,), (28,)]


def write_csv(folder: Path) -> dict[str, Any]:
    (folder / "ids.csv").write_text("id;name\na-1;one\nb 2;two\nä/3;\n", encoding="utf-8")
    return {"csv": "ids.csv", "column": "id", "delimiter": ";"}


def write_parquet(folder: Path) -> dict[str, Any]:
    pq.write_table(pa.table({"id": IDS, "deep": [[1], [2], []]}), folder / "ids.parquet")
    return {"parquet": "ids.parquet", "column": "id"}


def write_ndjson(folder: Path) -> dict[str, Any]:
    lines = [json.dumps({"id": id_, "deep": {"n": 1}}) for id_ in IDS]
    (folder / "ids.ndjson").write_text("\n".join(lines) + "\n\n")
    return {"ndjson": "ids.ndjson", "column": "id"}


def write_duckdb(folder: Path) -> dict[str, Any]:
    with duckdb.connect(str(folder / "ids.duckdb")) as made:
        made.execute("create table ids as select unnest(?) as id", [list(IDS)])
    return {
        "sql": "select id from ids order by id -- ",
        "column": "id",
        "on": "duckdb:///ids.duckdb",
    }


def write_sqlite(folder: Path) -> dict[str, Any]:
    with sqlite3.connect(folder / "ids.db") as made:
        made.execute("create table ids (id text)")
        made.executemany("insert into ids values (?)", [(id_,) for id_ in IDS])
    made.close()
    return {"sql": "select id from ids", "column": "id", "on": "sqlite:///ids.db"}


@pytest.mark.parametrize(
    "write", [write_csv, write_parquet, write_ndjson, write_duckdb, write_sqlite]
)
async def test_sources(tmp_path: Path, write: Any) -> None:
    """The same calls from each, and nothing asked again by a second run."""
    option = write(tmp_path)
    async with running_api({"*": echo}) as api:
        raw = file_of(api.url, path="x/{id}", params={"id": option})
        raw["table"]["items"]["carry"] = {"asked": "param:id"}
        report = await arun(pipeline_from(raw, folder=tmp_path))
        again = await arun(pipeline_from(raw, folder=tmp_path))
    assert (report.end, again.end) == (RunEnd.COMPLETE, RunEnd.COMPLETE)
    assert targets(api) == ["/x/%C3%A4%2F3", "/x/a-1", "/x/b%202"]
    with duckdb.connect(str(tmp_path / "x.duckdb"), read_only=True) as found:
        assert {row[0] for row in found.sql("select asked from items").fetchall()} == {*IDS}


@pytest.mark.postgres
async def test_a_query_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as made:
        made.execute("drop table if exists wanted")
        made.execute("create table wanted as select n, 'i' || n as id from generate_series(1, 5) n")
    sql = {"sql": "select id, n from wanted where n > 2", "column": "id", "on": postgres_url}
    api, report = await ask(tmp_path, path="x/{id}", params={"id": sql})
    assert targets(api) == ["/x/i3", "/x/i4", "/x/i5"]
    assert report.end == RunEnd.COMPLETE


async def test_a_query_sees_the_destination_as_it_was_when_the_run_began(tmp_path: Path) -> None:
    """The run replaces the table that its parameters come from; all are asked and counted once."""
    with duckdb.connect(str(tmp_path / "x.duckdb")) as made:
        made.execute("create table todo as select range as id from range(3)")
    async with running_api({"*": json_reply([{"v": 99}])}) as api:
        raw = file_of(
            api.url, path="x/{id}", params={"id": {"sql": "select id from todo", "column": "id"}}
        )
        raw["table"] = {"done": {"from": "items", "every_call": True}}
        report = await arun(pipeline_from(raw, folder=tmp_path))
    assert report.resources["items"].planned == 3
    assert targets(api) == ["/x/0", "/x/1", "/x/2"]


async def test_groups_go_into_one_call(tmp_path: Path) -> None:
    ids = {"values": [*range(1, 8), 3], "group": 3}
    api, report = await ask(tmp_path, path="x", query={"ids": "{id}"}, params={"id": ids})
    asked = [parse_qs(one.target.partition("?")[2])["ids"][0] for one in api.asked]
    assert sorted(asked) == ["1,2,3", "4,5,6", "7"]
    assert report.resources["items"].planned == 3


async def test_a_filter_and_a_limit_choose_rows(tmp_path: Path) -> None:
    lines = ["id,country,rank", *(f"i{n},{'FI' if n % 2 else 'SE'},{n}" for n in range(20))]
    (tmp_path / "ids.csv").write_text("\n".join(lines))
    api, report = await ask(
        tmp_path,
        path="x/{id}/{year}",
        filter="country = 'FI' and rank::int > 5 and year = 2021 -- in Finland",
        limit=3,
        params={"id": {"csv": "ids.csv", "column": "id"}, "year": [2020, 2021]},
    )
    assert targets(api) == ["/x/i11/2021", "/x/i7/2021", "/x/i9/2021"]
    assert report.resources["items"].planned == 3


async def test_equal_calls_are_made_once_and_every_row_gets_its_answer(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("id,name\n1,first\n2,second\n1,third\n")
    async with running_api({"*": echo}) as api:
        raw = file_of(api.url, path="x/{id}", params={"id": {"csv": "ids.csv", "column": "id"}})
        raw["table"]["items"]["every_call"] = True
        report = await arun(pipeline_from(raw, folder=tmp_path))
    assert targets(api) == ["/x/1", "/x/2"]
    assert report.resources["items"].repeated == 1
    with duckdb.connect(str(tmp_path / "x.duckdb"), read_only=True) as found:
        rows = found.sql("select name, target from items order by name").fetchall()
    assert rows == [("first", "/x/1"), ("second", "/x/2"), ("third", "/x/1")]


async def test_windows_reach_the_api_with_both_ends(tmp_path: Path) -> None:
    days = {"from": "2026-03-28", "to": "2026-03-30", "time_zone": "Europe/Helsinki"}
    api, _ = await ask(
        tmp_path,
        path="x",
        query={"periodStart": "{day}", "periodEnd": "{day.end}"},
        params={"day": {**days, "written_in": "UTC", "format": "%Y%m%d%H%M", "ends": "exclusive"}},
    )
    assert targets(api) == [
        "/x?periodStart=202603272200&periodEnd=202603282200",
        "/x?periodStart=202603282200&periodEnd=202603292100",
        "/x?periodStart=202603292100&periodEnd=202603302100",
    ]


async def test_a_query_without_rows_is_nothing_to_do(tmp_path: Path) -> None:
    """What is left to do may be nothing; a run every hour should not fail for that."""
    with duckdb.connect(str(tmp_path / "x.duckdb")) as made:
        made.execute("create table todo (id integer)")
    sql = {"sql": "select id from todo", "column": "id"}
    api, report = await ask(tmp_path, path="x/{id}", params={"id": sql})
    assert (report.end, api.asked) == (RunEnd.COMPLETE, [])


def nothing(folder: Path) -> None:
    pass


def short_parquet(folder: Path) -> None:
    pq.write_table(pa.table({"other": [1], "nested": [[1]]}), folder / "p.parquet")


def broken_ndjson(folder: Path) -> None:
    (folder / "n.ndjson").write_text('{"id": 1}\n{"id": \n')


@pytest.mark.parametrize(
    ("write", "resource", "message"),
    [
        (nothing, {"params": {"id": {"parquet": "p.parquet", "column": "id"}}}, "no such file"),
        (short_parquet, {"params": {"id": {"parquet": "p.parquet", "column": "id"}}},
         "has no column 'id'; it has: other, nested"),
        (short_parquet, {"params": {"id": {"parquet": "p.parquet", "column": "nested"}}},
         "nested holds list"),
        (broken_ndjson, {"params": {"id": {"ndjson": "n.ndjson", "column": "id"}}},
         "line 2 is not JSON"),
        (broken_ndjson, {"params": {"id": {"parquet": "n.ndjson", "column": "id"}}},
         "cannot be read as Parquet"),
        (nothing, {"params": {"id": {"sql": "select 1 as id", "column": "id"}}},
         "there is no database yet"),
        (nothing, {"params": {"id": [1]}, "filter": "id ="}, "filter = 'id =': expected a SQL"),
        (nothing, {"params": {"id": [1]}, "filter": "ide = 1"}, "over these columns: id"),
        (nothing, {"params": {"id": [1]}, "filter": "true); drop table x; --"}, "expected a SQL"),
        (nothing, {"params": {"id": [1]}, "filter": "id in (from 'ids.csv')"}, "expected a SQL"),
        (nothing, {"params": {"other": [1]}}, r"a parameter for \{id\}"),
    ],
)  # fmt: skip
async def test_what_cannot_be_used_is_said_before_any_call(
    tmp_path: Path, write: Any, resource: dict[str, Any], message: str
) -> None:
    write(tmp_path)
    async with running_api({"*": echo}) as api:
        pipeline = pipeline_from(file_of(api.url, path="x/{id}", **resource), folder=tmp_path)
        with pytest.raises(FetchcastError, match=message) as caught:
            await arun(pipeline)
    assert isinstance(caught.value, ConfigError | InputError)
    assert api.asked == []
    assert not (tmp_path / ".fetchcast").exists(), "a wrong file leaves no trace"


async def test_zip_of_files_of_unequal_length_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n2\n")
    (tmp_path / "b.csv").write_text("b\n1\n")
    with pytest.raises(ConfigError, match=r"the rows of a.csv: 2, the rows of b.csv: 1"):
        await ask(
            tmp_path,
            path="{a}/{b}",
            combine="zip",
            params={"a": {"csv": "a.csv", "column": "a"}, "b": {"csv": "b.csv", "column": "b"}},
        )


async def test_the_report_knows_the_true_number_after_an_estimate(tmp_path: Path) -> None:
    """A file of two halves: the first rows are long, so their size misleads."""
    rows = [f"{n},{'x' * 2000}" for n in range(600)] + [f"{n},y" for n in range(600, 1400)]
    (tmp_path / "ids.csv").write_text("\n".join(["id,more", *rows]))
    params = {"id": {"csv": "ids.csv", "column": "id", "carry": []}}
    _, report = await ask(tmp_path, path="{id}", params=params)
    assert report.resources["items"].planned == 1400
    assert report.resources["items"].unasked == 0


def with_children(url: str, **child: Any) -> dict[str, Any]:
    """Parents with ids 1 to 4, and what is asked for each of them."""
    raw = file_of(url, path="parents")
    params = {"id": {"from": "items", "field": "id"}, **child.pop("params", {})}
    raw["resource"]["child"] = {"path": "child/{id}", "params": params, **child}
    return raw


@pytest.mark.parametrize(
    ("child", "message"),
    [
        ({"filter": "id = = 2"}, "child.filter = .*expected a SQL condition"),
        (
            {"path": "{id}/{n}", "params": {"n": {"csv": "gone.csv", "column": "n"}}},
            "gone.csv: there is no such file",
        ),
    ],
)
async def test_a_child_is_checked_before_its_parent_is_asked(
    tmp_path: Path, child: dict[str, Any], message: str
) -> None:
    async with running_api({"*": echo}) as api:
        pipeline = pipeline_from(with_children(api.url, **child), folder=tmp_path)
        with pytest.raises(FetchcastError, match=message):
            await arun(pipeline)
    assert api.asked == []


async def test_children_are_filtered_and_grouped(tmp_path: Path) -> None:
    def serve(asked: Asked) -> Reply:
        rows = [{"id": n} for n in range(1, 8)] if asked.path == "/parents" else [{"v": 1}]
        return json_reply(rows)

    async with running_api({"*": serve}) as api:
        ids = {"from": "items", "field": "id", "group": 2}
        raw = with_children(api.url, filter="id % 2 = 1", params={"id": ids})
        report = await arun(pipeline_from(raw, folder=tmp_path))
    assert report.end == RunEnd.COMPLETE
    assert targets(api) == ["/child/1,3", "/child/5,7", "/parents"]
