"""Lists in pages, from a real server into a table: every row once, whatever way the API pages."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import duckdb
import msgspec
import pytest

from fetchcast import arun
from fetchcast.config import Pipeline, pipeline_from
from fetchcast.errors import ConfigError, UnknownKey
from fetchcast.landing.options import LandingOptions
from fetchcast.pipeline import RunOptions, RunReport
from fetchcast.records import Fate
from fetchcast.testing import (
    Api,
    Asked,
    Beyond,
    FakeClock,
    Reply,
    cursor_pages,
    json_reply,
    link_pages,
    next_url_pages,
    numbered_pages,
    offset_pages,
    running_api,
)

ITEMS = [{"id": number, "name": f"item {number}"} for number in range(95)]
NOON = 1_795_003_200.0  # 2026-11-18 12:00 UTC


def pipeline(folder: Path, api: Api, rows: str | None, paginator: Any, **more: Any) -> Pipeline:
    return pipeline_from(
        {
            "name": "items",
            "api": {"base_url": api.url},
            "resource": {"items": {"path": "items", "paginator": paginator, **more}},
            "table": {"items": {"from": "items", **({} if rows is None else {"rows": rows})}},
        },
        folder=folder,
    )


def ids(folder: Path) -> list[int]:
    with duckdb.connect(str(folder / "items.duckdb"), read_only=True) as connection:
        return [id_ for (id_,) in connection.execute("select id from items order by id").fetchall()]


def bodies(pipeline: Pipeline) -> int:
    """How many batches of answers still have their bodies."""
    with closing(sqlite3.connect(pipeline.landing_folder / "landing.sqlite")) as journal:
        sql = "select count(*) from segment where bodies is not null"
        return int(journal.execute(sql).fetchone()[0])


def accounted(report: RunReport) -> None:
    for one in report.resources.values():
        assert one.planned == one.accounted, one


ALL = list(range(95))
EACH = {
    "link_header": (link_pages(ITEMS, size=10), "[*]", "link_header"),
    "next_url": (
        next_url_pages(ITEMS, size=10),
        "results[*]",
        {"type": "next_url", "path": "next"},
    ),
    "next_url relative": (
        next_url_pages(ITEMS, size=10, relative=True),
        "results[*]",
        {"type": "next_url", "path": "next"},
    ),
    "cursor": (
        cursor_pages(ITEMS, size=10),
        "data[*]",
        {"type": "cursor", "path": "meta.next_cursor", "param": "cursor"},
    ),
    "offset with a total": (
        offset_pages(ITEMS, size=10),
        "items[*]",
        {"type": "offset", "limit": 10, "total": "total"},
    ),
    "offset found by probing": (
        offset_pages(ITEMS, size=10),
        "items[*]",
        {"type": "offset", "limit": 10},
    ),
    "offset, the API gives fewer than asked for": (
        offset_pages(ITEMS, size=10),
        "items[*]",
        {"type": "offset", "limit": 50, "total": "total"},
    ),
    "page number with a total": (
        numbered_pages(ITEMS, size=10),
        "items[*]",
        {"type": "page_number", "total": "totalResults"},
    ),
    "page number from 0": (
        numbered_pages(ITEMS, size=10, first=0),
        "items[*]",
        {"type": "page_number", "first": 0, "total": "totalResults"},
    ),
    "page number until one is empty": (
        numbered_pages(ITEMS, size=10, total=False),
        "items[*]",
        "page_number",
    ),
    "page number until one is short": (
        numbered_pages(ITEMS, size=10, total=False),
        "items[*]",
        {"type": "page_number", "size": 10},
    ),
    "page number until one is missing": (
        numbered_pages(ITEMS, size=10, total=False, beyond=Beyond.MISSING),
        "items[*]",
        "page_number",
    ),
    "page number, page 1 again for ever": (
        numbered_pages(ITEMS, size=10, total=False, beyond=Beyond.FIRST),
        "items[*]",
        "page_number",
    ),
    "auto: Link header": (link_pages(ITEMS, size=10), None, "auto"),
    "auto: next": (next_url_pages(ITEMS, size=10), None, "auto"),
    "auto: relative next": (next_url_pages(ITEMS, size=10, relative=True), None, "auto"),
    "auto: cursor": (cursor_pages(ITEMS, size=10), None, "auto"),
    "auto: offset": (offset_pages(ITEMS, size=10), None, "auto"),
    "auto: total": (numbered_pages(ITEMS, size=10), None, "auto"),
}


@pytest.mark.parametrize("name", EACH)
async def test_every_row_of_every_page(name: str, tmp_path: Path) -> None:
    """Each way of paging gives all rows once, and a second run asks for nothing."""
    says, rows, paginator = EACH[name]
    async with running_api({"/items": says}) as api:
        made = pipeline(tmp_path, api, rows, paginator)
        report = await arun(made)
        assert ids(tmp_path) == ALL
        assert report.end == 0, report.failures
        assert report.count(Fate.LANDED) == 10
        accounted(report)
        assert max(Counter(api.hits).values()) == 1, "no page is asked twice"
        asked = len(api.hits)
        again = await arun(made)
        assert len(api.hits) == asked
        assert again.resources["items"].already >= 10
        accounted(again)


async def test_many_lists_side_by_side(tmp_path: Path) -> None:
    """Each list has its own end, and its parameters on each of its rows."""
    sizes = {"a": 0, "b": 1, "c": 10, "d": 95}
    routes: dict[str, Callable[[Asked], Reply]] = {
        f"/{name}/items": cursor_pages(
            [{"id": f"{name}{number}"} for number in range(size)], size=10
        )
        for name, size in sizes.items()
    }
    async with running_api(routes) as api:
        raw = {
            "name": "items",
            "api": {"base_url": api.url},
            "resource": {
                "items": {
                    "path": "{shop}/items",
                    "params": {"shop": [*sizes]},
                    "paginator": {
                        "type": "cursor",
                        "path": "meta.next_cursor",
                        "param": "cursor",
                    },
                }
            },
            "table": {
                "items": {"from": "items", "rows": "data[*]", "carry": {"shop": "param:shop"}}
            },
        }
        report = await arun(pipeline_from(raw, folder=tmp_path))
    with duckdb.connect(str(tmp_path / "items.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "select shop, count(*), bool_and(starts_with(id, shop)) from items group by 1"
        ).fetchall()
    assert {shop: count for shop, count, _ in found} == {"b": 1, "c": 10, "d": 95}
    assert all(own for *_, own in found)
    assert report.end == 0
    accounted(report)


def cursors_in(place: str) -> Callable[[Asked], Reply]:
    """A list whose cursor goes by header or by body, as some do."""

    def says(asked: Asked) -> Reply:
        body = msgspec.json.decode(asked.body) if asked.body else {}
        sent = asked.headers.get("x-after") if place == "header" else body.get("page", {}).get("at")
        start = int(sent or 0)
        after = start + 10 if start + 10 < len(ITEMS) else None
        headers = {"X-Next": str(after)} if after and place == "header" else {}
        said = {"next": after} if place == "body" else {}
        return json_reply({"items": ITEMS[start : start + 10], **said}, headers=headers)

    return says


@pytest.mark.parametrize(
    ("place", "paginator"),
    [
        ("header", {"type": "cursor", "header": "X-Next", "into_header": "X-After"}),
        ("body", {"type": "cursor", "path": "next", "into_body": "page.at"}),
    ],
)
async def test_cursors_in_headers_and_bodies(place: str, paginator: Any, tmp_path: Path) -> None:
    method = {"method": "POST"} if place == "body" else {}
    async with running_api({"/items": cursors_in(place)}) as api:
        made = pipeline(tmp_path, api, "items[*]", paginator, **method)
        assert (await arun(made)).end == 0
        assert ids(tmp_path) == ALL
        asked = len(api.hits)
        await arun(made)
        assert len(api.hits) == asked == 10


async def test_a_list_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """A page that fails stops its list; the next run asks for that page, and goes on."""
    pages = cursor_pages(ITEMS, size=10)
    ill = True

    def says(asked: Asked) -> Reply:
        if ill and len(api.asked) > 4:
            return json_reply({"error": "gone"}, 410)
        return pages(asked)

    async with running_api({"/items": says}) as api:
        paginator = {"type": "cursor", "path": "meta.next_cursor", "param": "cursor"}
        made = pipeline(tmp_path, api, "data[*]", paginator)
        first = await arun(made)
        assert first.end == 3
        assert len(ids(tmp_path)) == 40
        accounted(first)
        ill = False
        asked = len(api.hits)
        second = await arun(made)
        assert second.end == 0
        assert ids(tmp_path) == ALL
        assert len(api.hits) == asked + 6
        accounted(second)


async def test_a_cursor_that_comes_back_ends_the_list(tmp_path: Path) -> None:
    """Page 3 names page 2 as the next: the list ends, and it is said."""

    def says(asked: Asked) -> Reply:
        at = int(asked.query.get("cursor", "0"))
        return json_reply({"data": [{"id": at}], "next_cursor": 1 if at == 2 else at + 1})

    async with running_api({"/items": says}) as api:
        heard: list[Any] = []
        paginator = {"type": "cursor", "path": "next_cursor", "param": "cursor"}
        report = await arun(
            pipeline(tmp_path, api, "data[*]", paginator), subscribers=[heard.append]
        )
        assert ids(tmp_path) == [0, 1, 2]
        assert len(api.hits) == 3
        assert report.end == 0
        assert any("names as its next page one that was there" in str(event) for event in heard)


async def test_a_parameter_that_the_api_does_not_heed(tmp_path: Path) -> None:
    """A wrong parameter's name gives page 1 for ever: its rows are there once, and it is said."""
    async with running_api({"/items": cursor_pages(ITEMS, size=10)}) as api:
        heard: list[Any] = []
        paginator = {"type": "cursor", "path": "meta.next_cursor", "param": "after"}
        made = pipeline(tmp_path, api, "data[*]", paginator)
        await arun(made, subscribers=[heard.append])
        assert ids(tmp_path) == ALL[:10]
        assert len(api.hits) == 2
        assert any("may not heed" in str(event) for event in heard)


async def test_a_path_that_no_answer_has(tmp_path: Path) -> None:
    """A mistake in the file must not look like a list of one page."""
    async with running_api({"/items": cursor_pages(ITEMS, size=10)}) as api:
        paginator = {"type": "cursor", "path": "meta.cursor", "param": "cursor"}
        report = await arun(pipeline(tmp_path, api, "data[*]", paginator))
        assert len(ids(tmp_path)) == 10
        (note,) = report.notes
        assert note.startswith("resource items: no answer has meta.cursor, where its paginator")
        assert note.endswith("the first has: data, meta")


async def test_a_next_page_on_another_host_gets_nothing(tmp_path: Path) -> None:
    """Neither a call nor a key goes to a host that an answer names; the run is not complete."""
    async with running_api({"/steal": [json_reply([])]}) as other:
        said = json_reply({"results": ITEMS[:2], "next": f"{other.url}/steal"})
        async with running_api({"/items": [said]}) as api:
            made = pipeline(tmp_path, api, "results[*]", {"type": "next_url", "path": "next"})
            report = await arun(made)
    assert other.hits == []
    assert ids(tmp_path) == [0, 1]
    assert report.end == 3
    assert "on another host" in report.failures[0].reason


async def test_at_most_so_many_pages(tmp_path: Path) -> None:
    async with running_api({"/items": numbered_pages(ITEMS, size=10)}) as api:
        paginator = {"type": "page_number", "total": "totalResults", "maximum": 3}
        await arun(pipeline(tmp_path, api, "items[*]", paginator))
        assert ids(tmp_path) == ALL[:30]


async def test_a_list_that_was_refreshed_is_what_it_is_now(tmp_path: Path) -> None:
    """Rows that left the list leave the table, also where cursors name pages nobody can guess."""
    clock = FakeClock(now=NOON)
    there = list(ITEMS)
    async with running_api({"/items": cursor_pages(there, size=10)}) as api:
        paginator = {"type": "cursor", "path": "meta.next_cursor", "param": "cursor"}
        made = pipeline(tmp_path, api, "data[*]", paginator, refresh="1 hour")
        await arun(made, clock=clock)
        assert ids(tmp_path) == ALL
        await arun(made, clock=clock)
        assert len(api.hits) == 10, "nothing has grown old"
        del there[30:60]
        clock.advance(7200)
        report = await arun(made, clock=clock)
        assert ids(tmp_path) == [*range(30), *range(60, 95)]
        assert report.count(Fate.LANDED) == 7
        there.extend(ITEMS[30:60])
        await arun(made, clock=clock, options=RunOptions(again=True))
        assert ids(tmp_path) == ALL


async def test_a_refresh_that_did_not_come_to_its_end(tmp_path: Path) -> None:
    """What the list was is known until it has come as it is: also to the next run."""
    clock, ill, there = FakeClock(now=NOON), False, list(ITEMS)

    def says(asked: Asked) -> Reply:
        if ill and "cursor=" in asked.target and len(api.asked) > 12:
            return json_reply({"error": "gone"}, 410)
        return cursor_pages(there, size=10)(asked)

    async with running_api({"/items": says}) as api:
        paginator = {"type": "cursor", "path": "meta.next_cursor", "param": "cursor"}
        made = pipeline(tmp_path, api, "data[*]", paginator, refresh="1 hour")
        await arun(made, clock=clock)
        clock.advance(7200)
        del there[25:]
        ill = True
        assert (await arun(made, clock=clock)).end == 3
        ill = False
        clock.advance(60)
        report = await arun(made, clock=clock)
        assert report.end == 0
        assert ids(tmp_path) == [*range(25)]
        accounted(report)


async def test_pages_known_ahead_are_asked_side_by_side(tmp_path: Path) -> None:
    """The number of pages is in the first: the other nine are asked together."""
    slow = numbered_pages(ITEMS, size=10)

    def says(asked: Asked) -> Reply:
        return replace(slow(asked), delay_s=0.2)

    async with running_api({"/items": says}) as api:
        made = pipeline(tmp_path, api, "items[*]", {"type": "page_number", "total": "totalResults"})
        await arun(made)
        assert api.peak >= 4
        assert ids(tmp_path) == ALL


def test_what_a_file_may_say_wrong(tmp_path: Path) -> None:
    """Each mistake is told before any call, with its place."""
    api = Api(url="http://127.0.0.1:9")
    for paginator, error, text in [
        ("page_numbers", ConfigError, "did you mean 'page_number'"),
        ({"type": "cursor", "path": "x", "parm": "y"}, UnknownKey, "param"),
        ({"type": "cursor", "path": "x"}, ConfigError, "either param or into_header"),
        ({"type": "next_url"}, ConfigError, "path"),
        ({"type": "offset", "limit": 0}, ConfigError, "at least 1"),
        ({"type": "next_url", "path": "a[*]"}, ConfigError, "one value"),
        ({"type": "page_number", "size_param": "n"}, ConfigError, "how many rows n"),
        ({"path": "x"}, ConfigError, "type"),
        ({"type": "auto", "path": "x"}, ConfigError, "alone"),
    ]:
        with pytest.raises(error, match="paginator") as caught:
            pipeline(tmp_path, api, None, paginator)
        assert text in str(caught.value)


def test_addresses_keep_what_they_have() -> None:
    """Only the page's parameter changes: order, escapes and repeated names stay."""
    from fetchcast.plan.pagination.address import with_query

    url = with_query("http://h/x?b=%2F&a=1&page=3&a=2", "page", 4)
    assert url == "http://h/x?b=%2F&a=1&a=2&page=4"
    assert parse_qsl(urlsplit(with_query("http://h/x", "q", "ä&=")).query) == [("q", "ä&=")]


@pytest.mark.parametrize("paginator", ["cursor", "page_number"])
@pytest.mark.parametrize("etag", [{}, {"ETag": '"same"'}])
async def test_lists_shrink_also_where_bodies_are_dropped(
    paginator: str, etag: dict[str, str], tmp_path: Path
) -> None:
    """What the list was cannot be read any more; a 304 to its first page would end it there."""
    clock, count = FakeClock(now=NOON), 95

    def says(asked: Asked) -> Reply:
        if etag and asked.headers.get("if-none-match") and count < 95:
            return Reply(304)
        pages = {"cursor": cursor_pages, "page_number": numbered_pages}[paginator]
        reply = pages(ITEMS[:count], size=10)(asked)
        return replace(reply, headers={**reply.headers, **etag})

    options = {
        "cursor": {"type": "cursor", "path": "meta.next_cursor", "param": "cursor"},
        "page_number": {"type": "page_number", "size": 10, "total": "totalResults"},
    }[paginator]
    async with running_api({"/items": says}) as api:
        where = {"cursor": "data[*]", "page_number": "items[*]"}[paginator]
        made = pipeline(tmp_path, api, where, options, refresh="1 day")
        made = msgspec.structs.replace(made, landing=LandingOptions(keep="none"))
        for count in (95, 31, 74):
            asked = len(api.hits)
            report = await arun(made, clock=clock)
            assert report.end == 0, report.failures
            assert ids(tmp_path) == ALL[:count]
            clock.advance(10.0)
            assert (await arun(made, clock=clock)).end == 0  # Bodies are older than now and go.
            assert len(api.hits) - asked == -(-count // 10)
            assert bodies(made) == 0
            clock.advance(2 * 86_400.0)


def counted_wrong(total: int, beyond: Callable[[int], Reply]) -> Callable[[Asked], Reply]:
    """35 rows in pages of 10, of which ``total`` are said to be there."""

    def says(asked: Asked) -> Reply:
        number = int(asked.query["page"])
        found = ITEMS[10 * (number - 1) : min(10 * number, 35)]
        return json_reply({"items": found, "total": total}) if found else beyond(number)

    return says


@pytest.mark.parametrize("total", [7, 17, 25, 31, 35])
@pytest.mark.parametrize("status", [200, 404, 422])
async def test_a_total_that_is_too_small_ends_no_list(
    total: int, status: int, tmp_path: Path
) -> None:
    """A full last page where the total leaves room for a few rows: there is more."""
    beyond = json_reply({"items": [], "total": total}, status)
    async with running_api({"/items": counted_wrong(total, lambda _: beyond)}) as api:
        options = {"type": "page_number", "size": 10, "total": "total"}
        report = await arun(pipeline(tmp_path, api, "items[*]", options))
        assert report.end == 0, report.failures
        assert ids(tmp_path) == ALL[:35]
        assert len(api.hits) == 4


async def test_a_full_page_that_comes_again_ends_a_list_with_a_total_that_is_too_small(
    tmp_path: Path,
) -> None:
    last = ITEMS[10:20]

    def says(asked: Asked) -> Reply:
        number = int(asked.query["page"])
        found = {"items": ITEMS[:10] if number == 1 else last, "total": 13, "page": number}
        return json_reply(found)

    async with running_api({"/items": says}) as api:
        options = {"type": "page_number", "size": 10, "total": "total"}
        report = await arun(pipeline(tmp_path, api, "items[*]", options))
        assert report.end == 0, report.failures
        assert ids(tmp_path) == ALL[:20]
        assert len(api.hits) == 3


async def test_a_list_that_the_api_cuts_off_says_what_can_be_done(tmp_path: Path) -> None:
    """It tells of 80 pages and gives 2: the run is not complete, and says so once, not 78 times."""
    heard: list[Any] = []
    detail = json_reply({"detail": "page must be <= 2"}, 422)

    def says(asked: Asked) -> Reply:
        number = int(asked.query["page"])
        found = ITEMS[10 * (number - 1) : 10 * number]
        return json_reply({"items": found, "total": 800}) if number < 3 else detail

    async with running_api({"/items": says}) as api:
        options = {"type": "page_number", "size": 10, "total": "total"}
        made = pipeline(tmp_path, api, "items[*]", options)
        report = await arun(made, subscribers=[heard.append])
        assert report.end == 3
        assert sum("`maximum` in the paginator" in str(event) for event in heard) == 1
        made = pipeline(tmp_path, api, "items[*]", {**options, "maximum": 2})
        assert (await arun(made)).end == 0
        assert ids(tmp_path) == ALL[:20]


@pytest.mark.parametrize("paginator", ["auto", {"type": "page_number", "has_more": "has_more"}])
async def test_a_list_that_cannot_be_gone_on_with_is_not_complete(
    paginator: Any, tmp_path: Path
) -> None:
    """It says that there is more, and goes on in a way that nobody guessed: after the last id."""
    page = json_reply({"data": ITEMS[:10], "has_more": True})
    async with running_api({"/items": page}) as api:
        report = await arun(pipeline(tmp_path, api, "data[*]", paginator))
        assert report.end == 3
        assert "page 2 has the rows of page 1 again, and says that there is more" in str(
            report.failures
        )
        assert ids(tmp_path) == ALL[:10]
        accounted(report)
