"""httpbin says what it was sent, and answers as it is asked to."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from fetchcast.records import Fate

SECRET = "0123456789abcdef"


@pytest.mark.parametrize(
    ("path", "auth"),
    [
        (
            "basic-auth/ada/lovelace-1815",
            {"type": "basic", "user": "ada", "password": "lovelace-1815"},
        ),
        ("bearer", {"type": "bearer", "token": SECRET}),
    ],
)
async def test_who_asks_is_shown(
    path: str, auth: dict[str, str], httpbin: str, run: Callable[..., Any]
) -> None:
    ran = await run(httpbin, {"path": path}, auth=auth)
    assert ran.report.end == 0, ran.report.failures
    assert ran.rows("select authenticated from items") == [(True,)]
    if "password" in auth:
        wrong = {**auth, "password": "not-the-right-one"}
        refused = await run(httpbin, {"path": path + "?again"}, auth=wrong)
        assert refused.report.end == 3
        assert "HTTP 401" in refused.report.failures[0].reason


@pytest.mark.parametrize("place", ["header", "query", "cookie"])
async def test_a_key_is_sent_and_its_echo_is_not_kept(
    place: str, httpbin: str, run: Callable[..., Any]
) -> None:
    """httpbin repeats the whole call in its answer, key and all."""
    key = {"type": "api_key", "key": SECRET, "name": "my-key", "in": place}
    ran = await run(httpbin, {"path": "anything"}, auth=key)
    assert ran.report.end == 0, ran.report.failures
    (names,) = ran.rows("select * from items")
    told = json.dumps(names, default=str)
    assert SECRET not in told
    assert "***" in told


@pytest.mark.parametrize(
    ("body", "column", "value"),
    [
        ({"json": {"n": "{n}", "deep": {"a": [1]}}}, "json_n", 7),
        ({"form": {"q": "a b {n}"}}, "form_q", "a b 7"),
        ({"body": "plain {n}"}, "data", "plain 7"),
        ({"graphql": {"query": "{ a }", "variables": {"n": "{n}"}}}, "json_variables_n", 7),
        ({"query": {"q": "{n}"}, "method": "PATCH"}, "args_q", "7"),
        ({"headers": {"X-Number": "{n}"}, "method": "DELETE"}, "headers_x_number", "7"),
    ],
    ids=["json", "form", "raw", "graphql", "query", "header"],
)
async def test_what_is_sent_arrives(
    body: dict[str, Any], column: str, value: Any, httpbin: str, run: Callable[..., Any]
) -> None:
    ran = await run(httpbin, {"path": "anything", "params": {"n": [7]}, **body})
    assert ran.report.end == 0, ran.report.failures
    method = body.get("method", "POST")
    assert ran.rows(f"select method, {column} from items") == [(method, value)]


@pytest.mark.parametrize("path", ["gzip", "deflate", "brotli"])
async def test_packed_answers_are_unpacked(
    path: str, httpbin: str, run: Callable[..., Any]
) -> None:
    ran = await run(httpbin, {"path": path})
    assert ran.report.end == 0, ran.report.failures
    packed = {"gzip": "gzipped", "deflate": "deflated", "brotli": "brotli"}[path]
    assert ran.rows(f"select {packed} from items") == [(True,)]


@pytest.mark.parametrize(
    ("path", "form", "rows"),
    [("stream/2", "ndjson", None), ("xml", "xml", "slideshow.slide[*]")],
)
async def test_two_rows_of_each_format(
    path: str, form: str, rows: str, *, httpbin: str, run: Callable[..., Any]
) -> None:
    ran = await run(httpbin, {"path": path, "answer": {"format": form}}, rows=rows)
    assert ran.report.end == 0, ran.report.failures
    assert ran.rows("select count(*) from items") == [(2,)]


async def test_statuses_mean_what_the_file_says(httpbin: str, run: Callable[..., Any]) -> None:
    rules = [{"status": 418, "then": "skip"}, {"status": 410, "then": "empty"}]
    resource = {
        "path": "status/{status}",
        "params": {"status": [204, 404, 410, 418]},
        "answer": {"empty": [404], "rules": rules},
    }
    ran = await run(httpbin, resource)
    assert ran.report.end == 0, ran.report.failures
    assert ran.report.resources["items"].fates == {Fate.EMPTY: 3, Fate.SKIPPED: 1}


async def test_a_server_that_fails_now_and_then_is_asked_again(
    httpbin: str, run: Callable[..., Any]
) -> None:
    """Of the answers a third are 500 and a third 503: every call ends all the same."""
    resource = {
        "path": "status/204:0.4,500:0.3,503:0.3",
        "query": {"n": "{n}"},
        "params": {"n": {"from": 1, "to": 20}},
    }
    ran = await run(httpbin, resource)
    fates = ran.report.resources["items"].fates
    assert sum(fates.values()) == 20
    assert fates[Fate.EMPTY] >= 15
