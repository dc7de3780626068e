"""What a run leaves in its tables: order, whole replacements, true notes, one owner a table."""

import asyncio
import csv
from collections.abc import Sequence
from pathlib import Path

import duckdb
import msgspec
import pytest

from fetchcast import arun
from fetchcast.clock import SystemClock
from fetchcast.config import Pipeline, pipeline_from
from fetchcast.errors import ConfigError
from fetchcast.events import Events
from fetchcast.landing.reader import open_reader
from fetchcast.landing.writer import open_writer
from fetchcast.pipeline.ask import plans
from fetchcast.pipeline.store import Store, Stored, shape_scope
from fetchcast.records import Answer, Fate, Outcome
from fetchcast.testing import json_reply, running_api

NOW = 1_795_003_200.0


def pipeline(folder: Path, ids: Sequence[str], **table: object) -> Pipeline:
    raw = {
        "name": "things",
        "api": {"base_url": "http://things.test"},
        "resource": {"things": {"path": "{id}", "params": {"id": list(ids)}}},
        "table": {"things": {"from": "things", **table}},
    }
    return pipeline_from(raw, folder=folder)


def land(pipeline: Pipeline, bodies: dict[str, object]) -> None:
    """Keep ``bodies`` by id, as if they had been fetched; None is an empty answer."""
    asyncio.run(_land(pipeline, bodies))


async def _land(pipeline: Pipeline, bodies: dict[str, object]) -> None:
    async with open_writer(pipeline.landing_folder, clock=SystemClock(), events=Events()) as writer:
        for row in plans(pipeline, now=NOW)[0].rows():
            request = row.request
            assert request is not None
            if (name := str(row.params["id"])) not in bodies:
                continue
            content = bodies[name]
            body = b"[]" if content is None else msgspec.json.encode(content)
            await writer.put(
                Outcome(
                    request=request,
                    fate=Fate.EMPTY if content is None else Fate.LANDED,
                    answer=Answer(
                        status=200, headers={}, body=body, url=request.url, elapsed_s=0.1
                    ),
                    attempts=1,
                    reason=None,
                    finished_at=NOW,
                )
            )


def store(pipeline: Pipeline, run_id: str = "one") -> None:
    """Shape and load, and remember what was learnt, as a run does."""
    with open_reader(pipeline.landing_folder) as reader:
        planned = plans(pipeline, now=NOW)
        stored = Store(pipeline=pipeline, plans=planned, run_id=run_id, now=NOW).all(reader)
    asyncio.run(_remember(pipeline, stored))


async def _remember(pipeline: Pipeline, stored: Stored) -> None:
    async with open_writer(pipeline.landing_folder, clock=SystemClock(), events=Events()) as writer:
        for table, learnt in stored.learnt.items():
            writer.remember(shape_scope(table), learnt)


def rows(folder: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(folder / "things.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_ten_thousand_lines_stand_in_the_order_of_the_input(tmp_path: Path) -> None:
    """Several portions, answers that landed in another order, some with two rows, some missing."""
    ids = [f"{(number * 7919) % 10_000:05d}" for number in range(10_000)]
    made = pipeline(tmp_path, ids, every_call=True, rows="[*]", destination="csv:///out.csv")
    bodies: dict[str, object] = {name: [{"said": name}] for name in sorted(ids)}
    bodies |= {ids[4000]: [{"said": "a"}, {"said": "b"}], ids[17]: None}
    del bodies[ids[9_998]]
    land(made, bodies)
    store(made)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    expected = [name for name in ids for _ in range(2 if name == ids[4000] else 1)]
    assert [line["id"] for line in lines] == expected
    assert [line["said"] for line in lines[4000:4002]] == ["a", "b"]
    assert (lines[17]["_fate"], lines[17]["said"]) == ("empty", "")
    assert {path.name for path in tmp_path.glob("*.csv")} == {"out.csv"}, "nothing was rejected"
    store(made, "two")
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == lines


def test_a_note_says_how_many_rows_came(tmp_path: Path, postgres_url: str) -> None:
    """In every destination, also where a load has several portions."""
    made = pipeline(tmp_path, ["a", "b"], destination=[
        "duckdb:///things.duckdb", "sqlite:///things.db", "parquet:///things", postgres_url,
    ])  # fmt: skip
    land(made, {"a": [{"n": 1}, {"n": 2}], "b": [{"n": 3}]})
    store(made)
    from fetchcast.load.destinations import open_destination

    destinations = made.table["things"].destination
    assert isinstance(destinations, list)
    for url in destinations:
        note = open_destination(url, tmp_path).last_note("things")
        assert note is not None
        assert note.rows == 3, url


@pytest.mark.parametrize("write", ["replace", "merge"])
def test_when_all_answers_have_become_empty_the_old_rows_go(tmp_path: Path, write: str) -> None:
    made = pipeline(tmp_path, ["a", "b"], write=write)
    land(made, {"a": [{"n": 1}, {"n": 2}], "b": [{"n": 3, "parts": [{"m": 4}]}]})
    store(made)
    assert rows(tmp_path, "select count(*), sum(n) from things") == [(3, 6)]
    land(made, {"a": None, "b": None})
    store(made)
    assert rows(tmp_path, "select count(*), sum(n) from things") == [(0, None)]
    assert rows(tmp_path, "select count(*) from things_parts") == [(0,)]


def test_a_replaced_table_is_empty_when_there_is_nothing_at_all(tmp_path: Path) -> None:
    """Not one batch: the plan of an ``every_call`` table has no row any more."""
    ids = tmp_path / "ids.csv"
    ids.write_text("id\na\n")
    raw = {
        "name": "things",
        "api": {"base_url": "http://things.test"},
        "resource": {
            "things": {"path": "{id}", "params": {"id": {"csv": "ids.csv", "column": "id"}}}
        },
        "table": {"things": {"from": "things", "every_call": True}},
    }
    made = pipeline_from(raw, folder=tmp_path)
    land(made, {"a": [{"n": 1}]})
    store(made)
    assert rows(tmp_path, "select id, n from things") == [("a", 1)]
    ids.write_text("id\n")
    store(made, "two")
    assert rows(tmp_path, "select id, n from things") == []


def test_a_child_table_does_not_mix_with_another_table(tmp_path: Path) -> None:
    raw = {
        "name": "things",
        "api": {"base_url": "http://things.test"},
        "resource": {"things": {"path": "{id}", "params": {"id": ["a"]}}},
        "table": {"things": {"from": "things"}, "Things_parts": {"from": "things"}},
    }
    made = pipeline_from(raw, folder=tmp_path)
    land(made, {"a": [{"n": 1, "parts": [{"m": 4}]}]})
    with pytest.raises(ConfigError, match="makes a child table 'things_parts'"):
        store(made)
    assert not (tmp_path / "things.duckdb").exists(), "nothing was loaded"


async def test_tables_whose_names_differ_in_case_only_are_refused_before_any_call(
    tmp_path: Path,
) -> None:
    """They are one table to a database."""
    async with running_api({"/a": [json_reply([])]}) as api:
        raw = {
            "name": "x",
            "api": {"base_url": api.url},
            "resource": {"a": {"path": "a"}},
            "table": {"Stops": {"from": "a"}, "stops": {"from": "a"}},
        }
        made = pipeline_from(raw, folder=tmp_path)
        with pytest.raises(ConfigError, match="another name than 'Stops'"):
            await arun(made)
        assert api.hits == []
