"""json-server pages by Link header, by number and by offset, and says how much there is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fetchcast import Pipeline, arun

PAGED = {"_limit": 10}


@pytest.mark.parametrize(
    ("query", "paginator"),
    [
        ({**PAGED, "_page": 1}, {"type": "link_header"}),
        ({**PAGED, "_page": 1}, "auto"),
        (
            {},
            {
                "type": "page_number",
                "param": "_page",
                "size": 10,
                "size_param": "_limit",
                "total_header": "X-Total-Count",
            },
        ),
        ({}, {"type": "page_number", "param": "_page", "size": 10, "size_param": "_limit"}),
        (
            {},
            {
                "type": "offset",
                "limit": 20,
                "param": "_start",
                "limit_param": "_limit",
                "total_header": "X-Total-Count",
            },
        ),
        ({}, {"type": "offset", "limit": 20, "param": "_start", "limit_param": "_limit"}),
        ({}, "single_page"),
    ],
    ids=["link", "auto", "number, total", "number, short page", "offset, total", "offset", "one"],
)
async def test_every_item_comes_once(
    query: dict[str, Any], paginator: Any, json_server: str, run: Callable[..., Any]
) -> None:
    ran = await run(json_server, {"path": "items", "query": query, "paginator": paginator})
    assert ran.report.end == 0, ran.report.failures
    assert ran.rows("select count(*), count(distinct id) from items") == [(95, 95)]


async def test_children_of_a_list(json_server: str, tmp_path: Path) -> None:
    raw = {
        "name": "peer",
        "api": {"base_url": json_server},
        "resource": {
            "groups": {"path": "groups"},
            "notes": {
                "path": "groups/{group}/notes",
                "params": {"group": {"from": "groups", "field": "id"}},
                "query": {"_limit": 4, "_page": 1},
                "paginator": {"type": "link_header"},
            },
        },
        "table": {"notes": {"from": "notes", "carry": {"group": "param:group"}}},
    }
    report = await arun(Pipeline.from_dict(raw, folder=tmp_path))
    assert report.end == 0, report.failures
    with duckdb.connect(str(tmp_path / "peer.duckdb"), read_only=True) as connection:
        found = connection.execute('select "group", count(*) from notes group by 1 order by 1')
        assert found.fetchall() == [(0, 10), (1, 10), (2, 10)]


async def test_a_missing_item_is_empty_where_the_file_says_so(
    json_server: str, run: Callable[..., Any]
) -> None:
    resource = {"path": "items/{id}", "params": {"id": [1, 2, 9999]}, "answer": {"empty": [404]}}
    ran = await run(json_server, resource)
    assert ran.report.end == 0, ran.report.failures
    assert ran.rows("select id from items order by id") == [(1,), (2,)]
