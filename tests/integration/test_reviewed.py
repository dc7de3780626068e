"""What a cold reader broke once: each of these cost rows, told a secret, or said too little."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

import fetchcast
from fetchcast import RunOptions, arun
from fetchcast.config import Pipeline, pipeline_from
from fetchcast.errors import ConfigError, DestinationError
from fetchcast.testing import Reply, json_reply, running_api


def made(folder: Path, url: str, **rest: Any) -> Pipeline:
    raw: dict[str, Any] = {
        "name": "p",
        "api": {"base_url": url},
        "resource": {"a": {"path": "x/{i}", "params": {"i": [1, 2, 3]}}},
        "table": {"t": {"from": "a"}},
    }
    return pipeline_from({**raw, **rest}, folder=folder)


def count(folder: Path, table: str = "t") -> int:
    with duckdb.connect(str(folder / "p.duckdb"), read_only=True) as connection:
        ((found,),) = connection.execute(f"select count(*) from {table}").fetchall()
    return int(found)


def same(body: Any) -> dict[str, list[Reply]]:
    return {f"/x/{i}": [json_reply(body)] for i in (1, 2, 3)}


async def test_an_answer_is_empty_only_if_every_table_finds_nothing_in_it(tmp_path: Path) -> None:
    tables = {"t": {"from": "a", "rows": "xs[*]"}, "u": {"from": "a", "rows": "ys[*]"}}
    without: dict[str, Any] = {"xs": [{"a": 1}]}
    async with running_api(same({**without, "ys": []})) as api:
        report = await arun(made(tmp_path / "none", api.url, table=tables))
    assert report.end == 0, report.failures
    assert count(tmp_path / "none") == 3

    routes = {**same(without), "/x/1": [json_reply({**without, "ys": [{"b": 2}]})]}
    async with running_api(routes) as api:
        report = await arun(made(tmp_path / "some", api.url, table=tables))
    assert report.end == 0, report.failures
    assert (count(tmp_path / "some"), count(tmp_path / "some", "u")) == (3, 1)


async def test_appended_rows_are_never_appended_again(tmp_path: Path) -> None:
    async with running_api(same([{"a": 1}])) as api:
        await arun(made(tmp_path, api.url))
        appending = made(tmp_path, api.url, table={"t": {"from": "a", "write": "append"}})
        await arun(appending)
        await arun(appending, options=RunOptions(ask=False))
    assert count(tmp_path) == 3


async def test_a_merge_key_that_comes_later_is_held_to(tmp_path: Path) -> None:
    async with running_api(same([{"id": 7}])) as api:
        await arun(made(tmp_path, api.url))
        keyed = {"t": {"from": "a", "write": "merge", "key": ["id"]}}
        with pytest.raises(DestinationError, match="id"):
            await arun(made(tmp_path, api.url, table=keyed))
    assert count(tmp_path) == 3


async def test_one_call_can_be_asked_by_the_beginning_of_its_key(tmp_path: Path) -> None:
    async with running_api(same([{"a": 1}])) as api:
        pipeline = made(tmp_path, api.url)
        await arun(pipeline)
        with duckdb.connect(str(tmp_path / "p.duckdb"), read_only=True) as connection:
            ((key,), *_) = connection.execute("select _request_key from t").fetchall()
        report = await arun(pipeline, options=RunOptions(only=key[:12]))
        assert (len(api.hits), report.end) == (4, 0)
        with pytest.raises(ConfigError, match="--only = 'zzz'"):
            await arun(pipeline, options=RunOptions(only="zzz"))


async def test_texts_in_another_charset_are_read_in_it(tmp_path: Path) -> None:
    latin = Reply(
        200,
        {"Content-Type": "application/json; charset=iso-8859-1"},
        '[{"b":"äö"}]'.encode("latin-1"),
    )
    marked = Reply(200, body=b'\xef\xbb\xbf[{"b":"x"}]')
    wrong = Reply(200, body=b'[{"b":"\xff"}]')
    async with running_api({"/x/1": [latin], "/x/2": [marked], "/x/3": [wrong]}) as api:
        report = await arun(made(tmp_path, api.url))
    assert report.end == 3
    assert "not utf-8" in report.failures[0].reason
    with duckdb.connect(str(tmp_path / "p.duckdb"), read_only=True) as connection:
        found = connection.execute("select b from t order by 1").fetchall()
    assert found == [("x",), ("äö",)]


async def test_a_series_that_cannot_be_forecast_hides_nothing_of_the_run(tmp_path: Path) -> None:
    series = {
        "wrong": {"sql": "select nothing from nowhere"},
        "short": {"sql": "select 'x' as unique_id, date '2026-01-01' as ds, 1.0 as y"},
    }
    async with running_api(same([{"a": 1}])) as api:
        report = await arun(made(tmp_path, api.url, series=series))
    assert report.end == 3
    assert [receipt.rows for receipt in report.receipts if receipt.table == "t"] == [3]
    assert any(note.startswith("series wrong: ") for note in report.notes)


@pytest.mark.parametrize(
    ("destination", "kind"),
    [
        ("mysql://host/db", ConfigError),
        ("x.duckdb", ConfigError),
        ("postgresql://nobody@127.0.0.1:1/none", DestinationError),
    ],
)
async def test_a_destination_that_is_none_is_told_before_any_call(
    tmp_path: Path, destination: str, kind: type[Exception]
) -> None:
    async with running_api(same([{"a": 1}])) as api:
        with pytest.raises(kind):
            await arun(made(tmp_path, api.url, destination=destination))
        assert api.hits == []


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ({"api": {"base_url": "127.0.0.1:1", "headers": {"Key": "hunter2"}}}, "api.base_url = "),
        ({"api": {"base_url": "http://h:99999", "headers": {"Key": "hunter2"}}}, "api.base_url"),
        ({"api": {"base_url": "http://h", "headers": {"Key": "hunter2\r\nX: y"}}}, "one line"),
        ({"http": {"proxy": "http://me:hunter2@h", "max_redirects": -1}}, "max_redirects"),
        ({"table": {"t": {"from": "a", "write": "mrege"}}}, "did you mean 'merge'?"),
        ({"table": {"t": {"from": "a", "types": {"b": "intt"}}}}, "table.t.types.b = 'intt'"),
        ({"name": "../up"}, "name = '../up'"),
        ({"name": ""}, "name = ''"),
        ({"destination": []}, "at least one address"),
        ({"series": {"s": {"unit": "min"}}}, "series.s.sql"),
        ({"resource": {"a": {"path": "x", "method": "GTE"}}}, "method = 'GTE': expected one of"),
        ({"resource": {"a": {"path": "x", "settles": "soon"}}}, "resource.a.settles = 'soon'"),
    ],
)
def test_a_wrong_file_names_the_place_and_tells_no_secret(
    tmp_path: Path, rest: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        made(tmp_path, "http://h", **rest)
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).count("expected") <= 1


async def test_an_input_column_hides_no_value_of_the_answers(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("i,a\n1,mine\n")
    resource = {"a": {"path": "x/{i}", "params": {"i": {"csv": "in.csv", "column": "i"}}}}
    table = {"t": {"from": "a", "every_call": True}}
    async with running_api(same([{"a": 1}])) as api:
        with pytest.raises(fetchcast.FetchcastError, match="input has a column 'a'"):
            await arun(made(tmp_path, api.url, resource=resource, table=table))


async def test_run_says_what_to_do_where_a_loop_is_running() -> None:
    with pytest.raises(RuntimeError, match=r"await fetchcast\.arun"):
        fetchcast.run("pipeline.toml")
