"""`fetchcast init URL`: what one real answer tells, in a file that runs."""

import tomllib
from pathlib import Path

import duckdb
import pytest

from fetchcast import arun
from fetchcast.errors import CallError
from fetchcast.pipeline.draft import draft
from fetchcast.testing import (
    Says,
    cursor_pages,
    json_reply,
    link_pages,
    next_url_pages,
    numbered_pages,
    offset_pages,
    running_api,
)

ITEMS = [
    {
        "id": number,
        "name": f"n{number % 3}",
        "createdAt": f"2026-01-{number % 28 + 1:02}T10:00:00Z",
        "born": "2026-01-31",
        "tags": [{"tag": "a"}],
    }
    for number in range(1, 40)
]


async def test_rows_key_types_pages_and_parameters_are_proposed() -> None:
    routes = {"/v1/users/17/items": numbered_pages(ITEMS, size=10)}
    async with running_api(routes) as api:
        made = await draft(f"{api.url}/v1/users/17/items?page=1&day=2026-01-31")
    read = tomllib.loads(made.text)
    assert read == {
        "api": {"base_url": f"{api.url}/v1"},
        "resource": {
            "items": {
                "path": "users/{user}/items",
                "query": {"day": "{day}"},
                "params": {"user": [17], "day": {"last": "30 days"}},
                "paginator": {"type": "page_number", "param": "page", "total": "totalResults"},
            }
        },
        "table": {
            "items": {
                "from": "items",
                "rows": "items[*]",
                "carry": {"user": "param:user", "day": "param:day"},
                "types": {"created_at": "timestamptz", "born": "date"},
            }
        },
    }
    assert len(made.text.splitlines()) <= 25
    said = "\n".join(made.said)
    assert f"GET {api.url}/v1/users/17/items?page=1&day=2026-01-31" in said
    assert "HTTP 200, application/json" in said
    assert "rows: items[*], of 5 fields" in said
    assert "key: id has another value in every row" in said
    assert "pages: page_number (param = page, total = totalResults): totalResults tells" in said


async def test_a_bare_list_with_links_has_a_key_and_link_pages() -> None:
    async with running_api({"/items": link_pages(ITEMS, size=10)}) as api:
        made = await draft(f"{api.url}/items?per_page=10")
    read = tomllib.loads(made.text)
    assert read["resource"]["items"] == {
        "path": "items",
        "query": {"per_page": "10"},
        "paginator": {"type": "link_header"},
    }
    assert "key" not in read["table"]["items"], "a list that grows has rows on two pages"
    assert 'from = "items"  # key = ["id"] holds the table to one row for each id' in made.text


async def test_the_rows_of_a_single_call_have_a_key() -> None:
    async with running_api({"/items": json_reply(ITEMS)}) as api:
        made = await draft(f"{api.url}/items")
    assert tomllib.loads(made.text)["table"]["items"]["key"] == ["id"]


async def test_secrets_are_sent_and_neither_written_nor_shown() -> None:
    async with running_api({"/items": json_reply(ITEMS)}) as api:
        url = f"{api.url}/items?api_key=s3cr3t-Value"
        made = await draft(url, ["X-Tenant: blue", "Authorization: Bearer 0th3r-Value"])
    assert api.asked[0].query == {"api_key": "s3cr3t-Value"}
    assert api.asked[0].headers["authorization"] == "Bearer 0th3r-Value"
    told = made.text + "\n".join(made.said)
    assert "s3cr3t" not in told
    assert "0th3r" not in told
    assert "X-Tenant" in made.text
    assert "secret: write" in told


async def test_a_call_that_does_not_work_tells_no_secret() -> None:
    with pytest.raises(CallError) as caught:
        await draft("http://127.0.0.1:9/items?api_key=s3cr3t-Value")
    assert "http://127.0.0.1:9/items?api_key=***" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


async def test_one_object_is_one_row() -> None:
    async with running_api({"/v1/items/7": json_reply({"id": 7, "parts": []})}) as api:
        made = await draft(f"{api.url}/v1/items/7")
    assert tomllib.loads(made.text)["resource"]["items"]["path"] == "items/{item}"
    assert "rows: the answer itself is one row" in made.said


@pytest.mark.parametrize(
    ("says", "query"),
    [
        (link_pages(ITEMS, size=10), "?per_page=10"),
        (next_url_pages(ITEMS, size=10, relative=True), ""),
        (cursor_pages(ITEMS, size=10), ""),
        (offset_pages(ITEMS, size=10), "?offset=0&limit=10"),
        (numbered_pages(ITEMS, size=10), "?page=1"),
        (numbered_pages(ITEMS, size=10, total=False), "?page=1"),
        (numbered_pages(ITEMS, size=10, first=0), "?page=0"),
    ],
)
async def test_the_file_runs_and_has_every_page(says: Says, query: str, tmp_path: Path) -> None:
    async with running_api({"/items": says}) as api:
        made = await draft(f"{api.url}/items{query}")
        (tmp_path / "p.toml").write_text(made.text)
        report = await arun(tmp_path / "p.toml")
    assert report.end == 0, report.failures
    with duckdb.connect(str(tmp_path / "p.duckdb"), read_only=True) as connection:
        counted = connection.execute("select count(*), count(distinct id) from items").fetchone()
    assert counted == (len(ITEMS), len(ITEMS)), made.text
