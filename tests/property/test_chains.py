"""Lists of any length, in any order of arrival: every page is asked once, and the end is found."""

import random
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fetchcast.plan.pagination import Page, detect, paginator_of, read_paginator
from fetchcast.plan.pagination.chains import Chain
from fetchcast.records import Request, request_key

URL = "http://api.test/items"
FIRST = Request(key=request_key("GET", URL, resource="items"), resource="items", url=URL)


def asked_of(request: Request, name: str) -> int | None:
    query = dict(pair.split("=") for pair in request.url.partition("?")[2].split("&") if pair)
    return int(query[name]) if name in query else None


def drive(
    paginator: Any, answer: Callable[[Request], tuple[int, Any, int]], seed: int
) -> tuple[Chain, list[Request], list[Request]]:
    """Ask for a list, its pages coming in any order; the chain, all calls, those with rows kept."""
    paginator = paginator_of(read_paginator("paginator", paginator))  # type: ignore[arg-type]
    order, first = random.Random(seed), paginator.first(FIRST)
    chain, waiting, asked, kept = paginator.chain(first, 0.0), [first], [first], []
    while waiting:
        assert len(asked) < 2000, "it does not end"
        request = waiting.pop(order.randrange(len(waiting)))
        status, content, rows = answer(request)
        page = Page(
            request,
            status=status,
            headers={},
            body=msgspec.json.encode(content),
            rows=rows,
            failed=status >= 400,
        )
        step = chain.after(page)
        if status < 400 and step.empty_because is None and rows:
            kept.append(request)
        new = list(step.requests)
        asked += new
        waiting += new
    assert chain.is_over
    assert len({request.key for request in asked}) == len(asked), "a page was asked twice"
    assert set(chain.keys()) == {request.key for request in asked}
    return chain, asked, kept


def numbered(
    length: int, size: int, *, total: bool, beyond: str
) -> Callable[[Request], tuple[int, Any, int]]:
    def answer(request: Request) -> tuple[int, Any, int]:
        number = asked_of(request, "page") or 1
        last = max(1, -(-length // size))
        if number > last and beyond == "missing":
            return 404, {"error": "no such page"}, 0
        number = 1 if number > last and beyond == "first" else number
        rows = [{"id": n} for n in range((number - 1) * size, min(length, number * size))]
        said = {"total": length} if total else {}
        return 200, {**said, "page": number, "items": rows}, len(rows)

    return answer


@given(
    length=st.integers(0, 300),
    size=st.integers(1, 20),
    total=st.booleans(),
    sized=st.booleans(),
    beyond=st.sampled_from(["empty", "missing", "first"]),
    seed=st.integers(0, 10_000),
)
def test_numbered_lists_of_any_length(
    *, length: int, size: int, total: bool, sized: bool, beyond: str, seed: int
) -> None:
    """Exactly the pages with rows are kept; where the length is known, no call is wasted."""
    options = {"type": "page_number", **({"total": "total"} if total else {})}
    if sized:
        options["size"] = size
    answer = numbered(length, size, total=total, beyond=beyond)
    chain, asked, kept = drive(options, answer, seed)
    pages = {asked_of(request, "page") for request in kept}
    last = -(-length // size)
    if not total and beyond == "first" and not sized:
        # Which of two equal pages is the first to come, nobody can know: their rows are the same.
        assert len(kept) == last
    else:
        assert pages == set(range(1, last + 1))
    assert len(asked) <= max(1, last) if total else len(asked) <= 3 * max(1, last) + 16
    assert not chain.is_broken


@given(length=st.integers(0, 200), step=st.integers(1, 30), cap=st.integers(1, 30))
def test_offsets_with_an_api_that_gives_fewer_than_asked_for(
    length: int, step: int, cap: int
) -> None:
    """No row is left out and none comes twice, whatever the API makes of the limit."""

    def answer(request: Request) -> tuple[int, Any, int]:
        start = asked_of(request, "offset") or 0
        rows = list(range(start, min(length, start + min(step, cap))))
        return 200, {"total": length, "items": rows}, len(rows)

    _, _, kept = drive({"type": "offset", "limit": step, "total": "total"}, answer, 1)
    rows = [row for request in kept for row in answer(request)[1]["items"]]
    assert sorted(rows) == list(range(length))


@given(length=st.integers(1, 60), fails=st.integers(0, 80), seed=st.integers(0, 99))
def test_a_page_that_fails(length: int, fails: int, seed: int) -> None:
    """A list with a page that failed is broken, and the others are asked all the same."""
    whole = numbered(length, 1, total=True, beyond="empty")

    def answer(request: Request) -> tuple[int, Any, int]:
        ill = asked_of(request, "page") == fails
        return (500, {}, 0) if ill else whole(request)

    chain, _, kept = drive({"type": "page_number", "total": "total"}, answer, seed)
    ill = 1 <= fails <= length
    assert chain.is_broken == ill
    assert fails == 1 or len(kept) == length - ill


@given(st.integers(1, 40), st.integers(0, 60))
def test_cursors_that_come_back(length: int, back: int) -> None:
    """Whatever page the last one names, the list ends."""

    def answer(request: Request) -> tuple[int, Any, int]:
        at = asked_of(request, "cursor") or 0
        return 200, {"data": [{"at": at}], "next": at + 1 if at + 1 < length else min(back, at)}, 1

    _, asked, _ = drive({"type": "cursor", "path": "next", "param": "cursor"}, answer, 1)
    # One page more, if the last names the first: the first was asked for without a cursor.
    assert len(asked) <= length + 1


def page(
    content: Any, headers: dict[str, str] | None = None, url: str = URL, rows: int = 2
) -> Page:
    request = msgspec.structs.replace(FIRST, url=url)
    body = msgspec.json.encode(content)
    return Page(request, status=200, headers=headers or {}, body=body, rows=rows)


def test_what_shows_how_a_list_goes_on() -> None:
    """The dialects that APIs use, and what is read from each."""
    rows = [{"id": 1}, {"id": 2}]
    link = '<http://api.test/items?page=2>; rel="next"'
    expected: list[tuple[Page, dict[str, Any] | None]] = [
        (page(rows, {"link": link}), {"type": "link_header"}),
        (page({"next": "http://api.test/x", "r": rows}), {"type": "next_url", "path": "next"}),
        (page({"links": {"next": "/x?page=2"}}), {"type": "next_url", "path": "links.next"}),
        (
            page({"_links": {"next": {"href": "/x?page=2"}}}),
            {"type": "next_url", "path": "_links.next.href"},
        ),
        (
            page({"@odata.nextLink": "http://api.test/x?$skip=2"}),
            {"type": "next_url", "path": '["@odata.nextLink"]'},
        ),
        (
            page({"meta": {"next_cursor": "abc"}}),
            {"type": "cursor", "path": "meta.next_cursor", "param": "cursor"},
        ),
        (
            page({"nextPageToken": "t"}),
            {"type": "cursor", "path": "nextPageToken", "param": "pageToken"},
        ),
        (
            page({"totalResults": 90, "companies": rows}),
            {"type": "page_number", "total": "totalResults"},
        ),
        (
            page({"page": 0, "total_pages": 9, "r": rows}),
            {"type": "page_number", "first": 0, "total_pages": "total_pages"},
        ),
        (
            page({"offset": 0, "total": 90, "r": rows}),
            {"type": "offset", "limit": 2, "limit_param": "", "total": "total"},
        ),
        (
            page({"total": 90, "r": rows}, url=URL + "?skip=0&take=2"),
            {
                "type": "offset",
                "limit": 2,
                "param": "skip",
                "limit_param": "take",
                "total": "total",
            },
        ),
        (
            page(rows, {"x-total-count": "90"}),
            {"type": "page_number", "total_header": "x-total-count"},
        ),
        (
            page({"has_more": True, "r": rows}),
            {"type": "page_number", "has_more": "has_more"},
        ),
        (page(rows), None),
        (page({"next": None, "r": rows}), None),
        (page({"count": 2, "r": rows}), None),
    ]
    for given_page, options in expected:
        found = detect(given_page)
        wanted = None if options is None else read_paginator("paginator", options)
        assert (None if found is None else found.options) == wanted, given_page.body
