"""The published paged lists and the token server, used as their kind is used."""

import asyncio
from base64 import b64encode

import aiohttp
import pytest

from fetchcast.testing import (
    Beyond,
    Reply,
    TokenServer,
    cursor_pages,
    link_pages,
    next_url_pages,
    numbered_pages,
    offset_pages,
    running_api,
)

ITEMS = list(range(23))


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


async def get(session, url):
    async with session.get(url) as answer:
        return answer, await answer.json()


async def test_link_headers_lead_through_the_list_and_back(session) -> None:
    async with running_api({"/items": link_pages(ITEMS, size=10)}) as api:
        url, seen, answer = f"{api.url}/items?per_page=7&sort=asc", [], None
        while url:
            answer, page = await get(session, url)
            seen += page
            url = answer.links["next"]["url"] if "next" in answer.links else None
        back = answer.links
    assert seen == ITEMS
    assert api.hits[1] == "/items?per_page=7&sort=asc&page=2"
    assert {name: link["url"].query["page"] for name, link in back.items()} == {
        "first": "1",
        "prev": "3",
    }


@pytest.mark.parametrize("relative", [False, True])
async def test_next_addresses_lead_through_the_list(session, relative) -> None:
    async with running_api({"/items": next_url_pages(ITEMS, size=10, relative=relative)}) as api:
        url, seen = "/items?q=%C3%A4", []
        while url:
            assert url.startswith("/") or not relative
            page = (await get(session, url if url.startswith("http") else api.url + url))[1]
            seen, url = seen + page["results"], page["next"]
    assert seen == ITEMS
    assert all(asked.query["q"] == "ä" for asked in api.asked)


async def test_cursors_lead_through_the_list_and_cannot_be_guessed(session) -> None:
    async with running_api({"/items": cursor_pages(ITEMS, size=10)}) as api:
        cursor, seen = "*", []
        while cursor:
            page = (await get(session, f"{api.url}/items?cursor={cursor}"))[1]
            seen, cursor = seen + page["data"], page["meta"]["next_cursor"]
        guessed, _ = await get(session, f"{api.url}/items?cursor=2")
    assert seen == ITEMS
    assert guessed.status == 400


async def test_offsets_are_capped_and_beyond_is_empty(session) -> None:
    async with running_api({"/items": offset_pages(ITEMS, size=10)}) as api:
        page = (await get(session, f"{api.url}/items?offset=20&limit=500"))[1]
        beyond = (await get(session, f"{api.url}/items?offset=23"))[1]
    assert page == {"items": [20, 21, 22], "total": 23, "offset": 20, "limit": 10}
    assert beyond["items"] == []


@pytest.mark.parametrize(
    ("beyond", "first", "expected"),
    [
        (Beyond.EMPTY, 1, (200, [])),
        (Beyond.FIRST, 1, (200, ITEMS[:10])),
        (Beyond.MISSING, 0, (404, None)),
    ],
)
async def test_a_page_after_the_last(session, beyond: Beyond, first: int, expected) -> None:
    routes = {"/items": numbered_pages(ITEMS, size=10, first=first, beyond=beyond)}
    async with running_api(routes) as api:
        seen = []
        for number in range(first, first + 3):
            page = (await get(session, f"{api.url}/items?page={number}"))[1]
            assert page["totalResults"] == 23
            seen += page["items"]
        answer, page = await get(session, f"{api.url}/items?page={first + 3}")
    assert seen == ITEMS
    assert (answer.status, page.get("items")) == expected


async def test_an_empty_list_has_one_empty_page(session) -> None:
    routes = {
        "/n": numbered_pages([], size=10, beyond=Beyond.MISSING),
        "/l": link_pages([], size=10),
    }
    async with running_api(routes) as api:
        assert (await get(session, api.url + "/n"))[1] == {"totalResults": 0, "items": []}
        answer, page = await get(session, api.url + "/l")
    assert (page, "Link" in answer.headers) == ([], False)


async def test_tokens_are_granted_expire_and_are_counted(session) -> None:
    now = [0.0]
    tokens = TokenServer(
        client_id="me", client_secret="s3cret", expires_in_s=60, delay_s=0.3, now=lambda: now[0]
    )
    routes = {"POST /token": tokens.grant, "/items": tokens.guarded(Reply(body=b"[1]"))}
    form = {"grant_type": "client_credentials", "client_id": "me", "client_secret": "s3cret"}
    async with running_api(routes) as api:

        async def items(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get(api.url + "/items", headers=headers) as answer:
                return answer.status

        async def grant(data, **options):
            async with session.post(api.url + "/token", data=data, **options) as answer:
                return answer.status, await answer.json()

        status, granted = await grant(form)
        assert (status, granted["expires_in"]) == (200, 60)
        token = granted["access_token"]
        assert [await items(token), await items("token-99")] == [200, 401]
        now[0] = 60.0
        assert await items(token) == 401

        basic = {"Authorization": "Basic " + b64encode(b"me:s3cret").decode()}
        only_kind = {"grant_type": "client_credentials"}
        both = await asyncio.gather(*[grant(only_kind, headers=basic) for _ in range(2)])
        assert [await items(value["access_token"]) for _, value in both] == [200, 200]
        tokens.revoke()
        assert await items(both[0][1]["access_token"]) == 401

        assert await grant({**form, "client_secret": "guess"}) == (401, {"error": "invalid_client"})
        assert (await grant({**form, "grant_type": "password"}))[0] == 400
        assert (await grant(only_kind, headers={"Authorization": "Basic ???"}))[0] == 401
    assert (tokens.granted, tokens.peak, tokens.turned_away) == (3, 2, 3)
