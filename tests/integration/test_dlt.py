"""dlt's destinations, fed Arrow tables: three of them that run on this machine."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fetchcast import arun
from fetchcast.config import Pipeline, pipeline_from
from fetchcast.errors import ConfigError, DestinationError, QueryError
from fetchcast.load.destinations import open_destination
from fetchcast.records import Batch, Destination, Disposition, LoadNote, Target
from fetchcast.testing import Api, FakeClock, json_reply, running_api

pytest.importorskip("dlt", reason="the extra is not installed: pip install 'fetchcast[dlt]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # dlt's own, of what it is built on.

MERGING = {
    "duckdb": "dlt+duckdb:///x.duckdb",
    "sqlite": "dlt+sqlalchemy+sqlite:///x.db",
}
URLS = {**MERGING, "filesystem": "dlt+filesystem:///out?dataset=trains"}


def note(load_id: str) -> LoadNote:
    return LoadNote(
        load_id=load_id, run_id="run-1", table="stops", landing="a-landing", from_seq=0,
        upto_seq=7, shape="a-shape", rows=3, loaded_at=1_700_000_000.25,
    )  # fmt: skip


def stops(keys: list[str], values: list[Any], *, spoken: list[str] | None = None) -> Batch:
    rows = pa.table({"_request_key": pa.array(keys, pa.string()), "v": values})
    return Batch(target=Target(table="stops"), rows=rows, keys=spoken or sorted(set(keys)))


def added(values: list[int], disposition: Disposition) -> Batch:
    target = Target(table="stops", disposition=disposition)
    return Batch(target=target, rows=pa.table({"v": values}))


def load(destination: Destination, load_id: str, *batches: Batch) -> bool:
    with destination.load() as loading:
        if loading.note(note(load_id)):
            for batch in batches:
                loading.write(batch)
            return True
    return False


def values(destination: Destination) -> list[Any]:
    return destination.query("SELECT v FROM stops ORDER BY v")["v"].to_pylist()


@pytest.mark.parametrize("kind", MERGING)
def test_rows_of_a_call_are_replaced_and_those_of_an_empty_one_go(
    kind: str, tmp_path: Path
) -> None:
    """By a new object each time, as each run makes one."""
    url = MERGING[kind]
    assert open_destination(url, tmp_path).last_note("stops") is None
    assert load(open_destination(url, tmp_path), "1", stops(["a", "a", "b"], [1, 2, 3]))
    assert values(open_destination(url, tmp_path)) == [1, 2, 3]
    assert not load(open_destination(url, tmp_path), "1", stops(["a"], [9])), "it was loaded"
    assert load(open_destination(url, tmp_path), "2", stops(["a"], [10], spoken=["a", "b"]))
    assert values(open_destination(url, tmp_path)) == [10]
    last = open_destination(url, tmp_path).last_note("stops")
    assert last == note("2") or last == note("1")


@pytest.mark.parametrize("kind", URLS)
def test_append_adds_and_replace_replaces(kind: str, tmp_path: Path) -> None:
    destination = open_destination(URLS[kind], tmp_path)
    load(destination, "1", added([1, 2], Disposition.APPEND), added([3], Disposition.APPEND))
    load(destination, "2", added([4], Disposition.APPEND))
    assert values(destination) == [1, 2, 3, 4]
    load(destination, "3", added([7], Disposition.REPLACE), added([8], Disposition.REPLACE))
    assert values(destination) == [7, 8]


@pytest.mark.parametrize("kind", MERGING)
def test_a_column_widens_within_a_load(kind: str, tmp_path: Path) -> None:
    destination = open_destination(MERGING[kind], tmp_path)
    load(destination, "1", stops(["a"], [1]), stops(["b"], ["7b"]))
    assert values(destination) == ["1", "7b"]


def test_a_merge_where_dlt_cannot_merge_says_what_to_write(tmp_path: Path) -> None:
    destination = open_destination(URLS["filesystem"], tmp_path)
    with pytest.raises(DestinationError, match='write = "append" or "replace"'):
        load(destination, "1", stops(["a"], [1]))
    assert destination.last_note("stops") is None, "nothing of it was applied"


def test_a_query_only_reads_and_an_error_says_what_is_wrong(tmp_path: Path) -> None:
    destination = open_destination(URLS["duckdb"], tmp_path)
    load(destination, "1", stops(["a"], [1]))
    for wrong in ("DELETE FROM stops", "SELECT 1; SELECT 2", "SELECT v FROM nowhere", "SELEC"):
        with pytest.raises(QueryError):
            destination.query(wrong)
    assert values(destination) == [1]


@pytest.mark.parametrize("url", ["dlt+duckdb", "dlt+://x", "dlt+nowhere:///x"])
def test_an_address_that_names_no_destination_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="another of dlt's destinations"):
        open_destination(url, tmp_path).last_note("stops")


def test_no_password_is_shown(tmp_path: Path) -> None:
    destination = open_destination("dlt+snowflake://user:hunter2@account/db", tmp_path)
    assert destination.url == "dlt+snowflake://user@account/db"


def pipeline(folder: Path, api: Api, url: str) -> Pipeline:
    raw = {
        "name": "days",
        "destination": url,
        "api": {"base_url": api.url},
        "resource": {"days": {"path": "{day}", "params": {"day": [1, 2]}, "refresh": "1 hour"}},
        "table": {"hours": {"from": "days", "rows": "[*]"}},
    }
    return pipeline_from(raw, folder=folder)


@pytest.mark.parametrize("kind", MERGING)
async def test_a_run_ends_in_tables_that_equal_the_answers(kind: str, tmp_path: Path) -> None:
    """Nested arrays become a child table; a second run replaces what has changed."""
    clock = FakeClock(now=1_795_003_200.0)
    replies = {
        "/1": [json_reply([{"h": 1, "causes": [{"c": "x"}]}]), json_reply([{"h": 10}])],
        "/2": [json_reply([{"h": 2, "causes": [{"c": "y"}]}])] * 2,
    }
    async with running_api(replies) as api:
        made = pipeline(tmp_path, api, MERGING[kind])
        await arun(made, clock=clock)
        clock.advance(7200.0)
        await arun(made, clock=clock)
    destination = open_destination(MERGING[kind], tmp_path)
    assert destination.query("SELECT h FROM hours ORDER BY h")["h"].to_pylist() == [2, 10]
    assert destination.query("SELECT c FROM hours_causes")["c"].to_pylist() == ["y"]
