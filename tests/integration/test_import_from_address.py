"""An OpenAPI document that an API serves itself, at a path, with relative servers."""

from pathlib import Path

import duckdb
import pytest

from fetchcast import Pipeline, arun
from fetchcast.errors import FileUnreadable
from fetchcast.pipeline.draft import draft_openapi
from fetchcast.testing import Beyond, Reply, json_reply, numbered_pages, running_api

DOCUMENT = {
    "openapi": "3.0.3",
    "servers": [{"url": "v1"}],
    "paths": {
        "/items": {
            "get": {
                "operationId": "listItems",
                "parameters": [{"name": "page", "in": "query", "schema": {"type": "integer"}}],
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "object",
                                    "properties": {
                                        "totalResults": {"type": "integer"},
                                        "items": {"type": "array", "items": {"type": "object"}},
                                    },
                                }
                            }
                        }
                    }
                },
            }
        }
    },
}
ITEMS = [{"id": number} for number in range(45)]


async def test_the_file_asks_the_api_that_served_the_document(tmp_path: Path) -> None:
    pages = numbered_pages(ITEMS, size=10, beyond=Beyond.FIRST)
    routes = {"/api/openapi.json": json_reply(DOCUMENT), "/api/v1/items": pages}
    async with running_api(routes) as api:
        made = await draft_openapi(f"{api.url}/api/openapi.json")
        assert made.document["api"] == {"base_url": f"{api.url}/api/v1"}
        report = await arun(Pipeline.from_dict({"name": "p", **made.document}, folder=tmp_path))
    assert report.end == 0, report.failures
    assert len(api.hits) == 1 + 5, "the document, and five pages"
    with duckdb.connect(str(tmp_path / "p.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from items").fetchall() == [(45,)]


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(404, {}, b"gone"), "HTTP 404: 'gone'"),
        (Reply(200, {"Content-Type": "text/html"}, b"<html>: [</html>"), "neither JSON nor YAML"),
    ],
)
async def test_what_is_no_document_is_told(reply: Reply, says: str) -> None:
    async with running_api({"/openapi.json": reply}) as api:
        with pytest.raises(FileUnreadable) as caught:
            await draft_openapi(f"{api.url}/openapi.json?token=s3cr3t-Value")
    assert says in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


async def test_nobody_at_the_address_is_told() -> None:
    with pytest.raises(FileUnreadable, match=r"http://127\.0\.0\.1:9/openapi\.json: "):
        await draft_openapi("http://127.0.0.1:9/openapi.json")
