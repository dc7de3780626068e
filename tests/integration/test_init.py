"""`fetchcast init URL`: what one real answer tells, in a file that runs."""

import tomllib
from pathlib import Path

from fetchcast.config import read_pipeline
from fetchcast.pipeline.draft import draft
from fetchcast.testing import json_reply, link_pages, numbered_pages, running_api

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
    assert "pages: page_number (param = page, total = totalResults)" in said


async def test_a_bare_list_with_links_has_a_key_and_link_pages() -> None:
    async with running_api({"/items": link_pages(ITEMS, size=10)}) as api:
        made = await draft(f"{api.url}/items?per_page=10")
    read = tomllib.loads(made.text)
    assert read["resource"]["items"] == {
        "path": "items",
        "query": {"per_page": "10"},
        "paginator": {"type": "link_header"},
    }
    assert read["table"]["items"]["key"] == ["id"]


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


async def test_the_file_can_be_read_and_run(tmp_path: Path) -> None:
    async with running_api({"/v1/items/7": json_reply({"id": 7, "parts": []})}) as api:
        made = await draft(f"{api.url}/v1/items/7")
    (tmp_path / "p.toml").write_text(made.text)
    pipeline = read_pipeline(tmp_path / "p.toml")
    assert pipeline.resource["items"].path == "items/{item}"
    assert "rows: the answer itself is one row" in made.said
