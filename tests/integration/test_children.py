"""Resources whose parameters are in the rows of another: fetched while the parent still is."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fetchcast import arun
from fetchcast.config import Pipeline, pipeline_from
from fetchcast.errors import ConfigError
from fetchcast.pipeline import RunOptions, RunReport
from fetchcast.records import Fate
from fetchcast.testing import Api, Asked, Reply, cursor_pages, json_reply, running_api

STATIONS = [{"code": f"S{n}", "place": {"name": f"Place {n}"}} for n in range(25)]


def says(asked: Asked) -> Reply:
    """Stations in pages of 10, sensors of a station, values of a sensor."""
    parts = asked.path.strip("/").split("/")
    if len(parts) == 1:
        return cursor_pages(STATIONS, size=10)(asked)
    number = int(parts[1][1:])
    if len(parts) == 2:
        sensors = [{"id": 10 * number + k, "kind": "pm" if k else "no2"} for k in range(2)]
        return json_reply({"station": {"code": parts[1]}, "sensors": sensors})
    return json_reply([{"value": int(parts[3]) * 2}])


def pipeline(folder: Path, api: Api, **more: Any) -> Pipeline:
    return pipeline_from(
        {
            "name": "air",
            "api": {"base_url": api.url},
            "resource": {
                "values": {
                    "path": "stations/{station}/sensors/{sensor}",
                    "params": {
                        "station": {"from": "sensors", "field": "^.station.code"},
                        "sensor": {"from": "sensors", "field": "id"},
                    },
                },
                "sensors": {
                    "path": "stations/{code}",
                    "params": {"code": {"from": "stations", "field": "code"}},
                },
                "stations": {
                    "path": "stations",
                    "paginator": {
                        "type": "cursor",
                        "path": "meta.next_cursor",
                        "param": "cursor",
                    },
                },
            },
            "table": {
                "stations": {"from": "stations", "rows": "data[*]"},
                "sensors": {
                    "from": "sensors",
                    "rows": "sensors[*]",
                    "carry": {"station": "param:code"},
                },
                "values": {
                    "from": "values",
                    "rows": "[*]",
                    "carry": {
                        "sensor": "param:sensor",
                        "station": "param:station",
                        "kind": "param:kind",
                        "place": "param:place.name",
                    },
                },
            },
            **more,
        },
        folder=folder,
    )


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / "air.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def accounted(report: RunReport) -> None:
    for one in report.resources.values():
        assert one.planned == one.accounted, one


async def test_three_generations(tmp_path: Path) -> None:
    """Stations in pages, their sensors, their values; what a parent knows is on the child's rows.

    The file's order does not matter; names of places come from grandparents.
    """
    async with running_api({"*": says}) as api:
        made = pipeline(tmp_path, api)
        report = await arun(made)
        assert report.end == 0, report.failures
        accounted(report)
        assert {name: one.planned for name, one in report.resources.items()} == {
            "values": 50,
            "sensors": 25,
            "stations": 3,
        }
        found = rows(tmp_path, "select station, sensor, value, kind, place from values")
        assert len(found) == 50
        for station, sensor, value, kind, place in found:
            assert (station, value) == (f"S{sensor // 10}", sensor * 2)
            assert kind == ("pm" if sensor % 10 else "no2")
            assert place == f"Place {sensor // 10}"
        assert max(Counter(api.hits).values()) == 1
        asked = len(api.hits)
        again = await arun(made)
        assert len(api.hits) == asked
        accounted(again)


async def test_children_begin_while_parents_are_fetched(tmp_path: Path) -> None:
    """The second page of stations comes after sensors of the first were asked for."""
    async with running_api({"*": says}) as api:
        await arun(pipeline(tmp_path, api))
        lists = [i for i, hit in enumerate(api.hits) if "cursor=" in hit]
        sensors = [i for i, hit in enumerate(api.hits) if hit.startswith("/stations/")]
        assert sensors[0] < lists[-1]


async def test_only_what_is_missing_is_asked_in_each_generation(tmp_path: Path) -> None:
    """Sensors of one station and values of another failed: the next run asks just those."""
    ill = {"/stations/S3", "/stations/S7/sensors/71"}

    def sick(asked: Asked) -> Reply:
        return json_reply({"error": 1}, 410) if asked.path in ill else says(asked)

    async with running_api({"*": sick}) as api:
        made = pipeline(tmp_path, api)
        first = await arun(made)
        assert first.end == 3
        assert first.count(Fate.FAILED) == 2
        accounted(first)
        ill.clear()
        asked = len(api.hits)
        retried = await arun(made, options=RunOptions(failed_only=True))
        assert sorted(api.hits[asked:]) == [
            "/stations/S3",
            "/stations/S3/sensors/30",
            "/stations/S3/sensors/31",
            "/stations/S7/sensors/71",
        ]
        assert retried.end == 0
        assert rows(tmp_path, "select count(*) from values") == [(50,)]


async def test_equal_children_of_several_parents_are_asked_once(tmp_path: Path) -> None:
    """Forty orders of three customers make three calls for customers."""
    orders = [{"id": n, "customer": {"id": n % 3}} for n in range(40)]

    def shop(asked: Asked) -> Reply:
        if asked.path == "/orders":
            return cursor_pages(orders, size=5)(asked)
        return json_reply({"id": int(asked.path.rsplit("/", 1)[1])})

    raw = {
        "name": "air",
        "resource": {
            "orders": {"path": "orders", "paginator": "auto"},
            "customers": {
                "path": "customers/{id}",
                "params": {"id": {"from": "orders", "field": "customer.id"}},
            },
        },
        "table": {
            "orders": {"from": "orders", "rows": "data[*]"},
            "customers": {"from": "customers"},
        },
    }
    async with running_api({"*": shop}) as api:
        raw["api"] = {"base_url": api.url}
        report = await arun(pipeline_from(raw, folder=tmp_path))
        hits = Counter(hit for hit in api.hits if hit.startswith("/customers"))
        assert hits == {"/customers/0": 1, "/customers/1": 1, "/customers/2": 1}
        assert rows(tmp_path, "select id from customers order by id") == [(0,), (1,), (2,)]
        accounted(report)


async def test_a_row_without_the_field_is_a_reject(tmp_path: Path) -> None:
    """It is said which row of the parent makes no call, and the run is not complete."""
    there = [{"code": "S1"}, {"name": "no code"}, {"code": None}, {"code": ["S2"]}]
    routes = {"/stations": [json_reply({"data": there})], "*": says}
    async with running_api(routes) as api:
        report = await arun(pipeline(tmp_path, api))
    assert report.end == 3
    assert report.resources["sensors"].fates[Fate.SKIPPED] == 3
    assert "code is empty" in report.failures[0].reason


async def test_three_thousand_children(tmp_path: Path) -> None:
    """Children are asked about as soon as there is room, and all at the pace that is allowed."""

    async def slow(asked: Asked) -> Reply:
        await asyncio.sleep(0.005)
        if asked.path == "/parents":
            return json_reply([{"id": n} for n in range(300)])
        if asked.path.startswith("/parents/"):
            number = asked.path.split("/")[2]
            return json_reply([{"child": f"{number}-{k}"} for k in range(10)])
        return json_reply({"ok": 1})

    raw = {
        "name": "air",
        "resource": {
            "all": {"path": "parents"},
            "parents": {"path": "parents/{id}", "params": {"id": {"from": "all", "field": "id"}}},
            "children": {
                "path": "children/{child}",
                "params": {"child": {"from": "parents", "field": "child"}},
            },
        },
        "table": {"parents": {"from": "parents", "carry": {"id": "param:id"}}},
    }
    async with running_api({"*": slow}) as api:
        raw["api"] = {"base_url": api.url}
        report = await arun(pipeline_from(raw, folder=tmp_path))
        assert report.end == 0
        assert report.resources["children"].fates[Fate.LANDED] == 3000
        assert rows(tmp_path, "select count(*), count(distinct id) from parents") == [(3000, 300)]
        accounted(report)


async def test_rows_that_are_not_where_they_should_be(tmp_path: Path) -> None:
    """A wrong path is told with the keys that there are; plain values can be rows."""

    def api_says(asked: Asked) -> Reply:
        if asked.path == "/all":
            return json_reply({"data": {"ids": [1, 2, 3]}})
        return json_reply({"id": int(asked.path.rsplit("/", 1)[1])})

    raw: dict[str, Any] = {
        "name": "air",
        "resource": {"all": {"path": "all"}, "one": {"path": "one/{id}"}},
        "table": {"one": {"from": "one"}},
    }
    async with running_api({"*": api_says}) as api:
        raw["api"] = {"base_url": api.url}
        raw["resource"]["one"]["params"] = {
            "id": {"from": "all", "field": "$", "rows": "data.items[*]"}
        }
        wrong = await arun(pipeline_from(raw, folder=tmp_path))
        assert wrong.notes[0] == (
            "resource one: no answer of all has rows at $.data.items[*]: "
            "there is no 'items' in $.data, which has: ids"
        )
        raw["resource"]["one"]["params"]["id"]["rows"] = "data.ids[*]"
        right = await arun(pipeline_from(raw, folder=tmp_path))
        assert right.notes == []
        assert rows(tmp_path, "select id from one order by id") == [(1,), (2,), (3,)]
        assert len(api.hits) == 4, "the parent was not asked again"


async def test_parents_in_other_formats_than_json(tmp_path: Path) -> None:
    """A CSV of ids in pages by Link header, and an XML answer for each."""

    def api_says(asked: Asked) -> Reply:
        if asked.path.startswith("/one/"):
            number = asked.path.rsplit("/", 1)[1]
            xml = f"<answer><item><id>{number}</id></item></answer>"
            return Reply(200, {"content-type": "application/xml"}, xml.encode())
        page = int(asked.query.get("page", "1"))
        link = {"link": f'</ids?page={page + 1}>; rel="next"'} if page < 3 else {}
        return Reply(200, link, f"id,name\n{page}0,a\n{page}1,b\n".encode())

    raw: dict[str, Any] = {
        "name": "air",
        "resource": {
            "ids": {"path": "ids", "paginator": "link_header", "answer": {"format": "csv"}},
            "one": {
                "path": "one/{id}",
                "params": {"id": {"from": "ids", "field": "id"}},
                "answer": {"format": "xml"},
            },
        },
        "table": {
            "one": {"from": "one", "rows": "answer.item[*]", "carry": {"name": "param:name"}}
        },
    }
    async with running_api({"*": api_says}) as api:
        raw["api"] = {"base_url": api.url}
        report = await arun(pipeline_from(raw, folder=tmp_path))
        assert report.end == 0, report.failures
    found = rows(tmp_path, "select id::int, name from one order by id")
    assert found == [(10 * n + k, "ab"[k]) for n in (1, 2, 3) for k in (0, 1)]


def test_a_table_for_every_call_needs_calls_that_are_known(tmp_path: Path) -> None:
    """`every_call` is about the plan: a list's pages and a parent's children are not in it."""
    raw = {
        "name": "x",
        "api": {"base_url": "http://127.0.0.1:9"},
        "resource": {"items": {"path": "items", "paginator": "auto"}},
        "table": {"items": {"from": "items", "every_call": True}},
    }
    with pytest.raises(ConfigError, match=r"table\.items\.every_call"):
        pipeline_from(raw, folder=tmp_path)


def shop(folder: Path, api: Api, field: str = "customer") -> Pipeline:
    """Twelve orders of three customers, in pages of five, and the deals of each customer."""
    return pipeline_from(
        {
            "name": "shop",
            "api": {"base_url": api.url},
            "resource": {
                "orders": {"path": "orders", "paginator": {"type": "page_number", "size": 5}},
                "customers": {
                    "path": "customers/{id}",
                    "params": {"id": {"from": "orders", "field": field}},
                },
                "deals": {
                    "path": "deals/{deal}",
                    "params": {"deal": {"from": "customers", "field": "$", "rows": "deals[*]"}},
                },
            },
            "table": {
                "orders": {"from": "orders", "rows": "items[*]"},
                "deals": {"from": "deals", "carry": {"deal": "param:deal"}},
            },
        },
        folder=folder,
    )


def sells(asked: Asked) -> Reply:
    _, kind, *name = asked.path.split("/")
    if kind == "orders":
        found = [{"id": n, "customer": f"c{n % 3}"} for n in range(12)]
        begin = 5 * (int(asked.query["page"]) - 1)
        return json_reply({"items": found[begin : begin + 5]})
    if kind == "customers":
        return (
            Reply(404)
            if name == ["c2"]
            else json_reply({"deals": [f"{name[0]}-{k}" for k in (1, 2)]})
        )
    return json_reply([{"price": 1}])


async def test_equal_parents_are_followed_once_by_every_run(tmp_path: Path) -> None:
    """Also a later run counts four deals; a customer that fails is asked once a run."""
    async with running_api({"*": sells}) as api:
        first = await arun(shop(tmp_path, api))
        assert Counter(api.hits)["/customers/c2"] == 1
        asked = len(api.hits)
        again = await arun(shop(tmp_path, api))
        assert api.hits[asked:] == ["/customers/c2"]
    for report in (first, again):
        accounted(report)
        assert report.resources["deals"].planned == 4
        assert report.resources["customers"].fates[Fate.FAILED] == 1


async def test_a_field_that_no_parent_has_is_named_with_those_that_are_there(
    tmp_path: Path,
) -> None:
    async with running_api({"*": sells}) as api:
        report = await arun(shop(tmp_path, api, field="custommer"))
    assert report.end == 3
    assert (
        "resource customers: no row of orders has a value at custommer; the first has: id, customer"
        in report.notes
    )
