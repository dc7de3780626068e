"""The published test server does what a `Reply` says, seen through two independent clients."""

import asyncio
import socket
import time
from urllib.parse import urlsplit

import aiohttp
import pytest

from fetchcast.testing import (
    Asked,
    FakeClock,
    Reply,
    gzip_bomb,
    gzip_reply,
    json_reply,
    redirect,
    running_api,
)
from fetchcast.testing.certificates import server_context


async def get(url: str, **options) -> tuple[int, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url, **options) as answer:
        return answer.status, await answer.read()


async def wire(url: str) -> bytes:
    """The bytes that a bare socket sees until the server closes the connection."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


async def test_replies_come_in_order_and_the_last_one_stays() -> None:
    async with running_api({"/trains": [Reply(429), Reply(200, body=b"[]")]}) as api:
        seen = [await get(api.url + "/trains?page=1") for _ in range(3)]

    assert seen == [(429, b""), (200, b"[]"), (200, b"[]")]
    assert api.hits == ["/trains?page=1"] * 3


async def test_the_most_exact_route_wins_and_a_function_sees_the_request() -> None:
    async def token(asked: Asked) -> Reply:
        await asyncio.sleep(0)
        return json_reply({"you_sent": asked.body.decode()})

    routes = {
        "/a": Reply(body=b"path"),
        "/a?x=1": Reply(body=b"query"),
        "POST /a": token,
        "*": lambda asked: Reply(body=asked.query["q"].encode()),
    }
    async with running_api(routes) as api:
        assert (await get(api.url + "/a"))[1] == b"path"
        assert (await get(api.url + "/a?x=1"))[1] == b"query"
        assert (await get(api.url + "/other?q=%C3%A4"))[1] == "ä".encode()
        async with aiohttp.ClientSession() as session:
            posted = await session.post(api.url + "/a", data=b"grant")
            assert await posted.json() == {"you_sent": "grant"}

            async def stream():
                yield b"in "
                yield b"chunks"

            chunked = await session.post(api.url + "/a", data=stream())
            assert await chunked.json() == {"you_sent": "in chunks"}


async def test_an_unknown_path_is_a_404_that_counts() -> None:
    async with running_api({}) as api:
        assert (await get(api.url + "/nothing"))[0] == 404
    assert api.hits == ["/nothing"]


async def test_connections_are_reused_and_counted() -> None:
    async with running_api({"/": Reply(body=b"x")}) as api, aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.get(api.url + "/") as answer:
                await answer.read()
    assert [asked.connection for asked in api.asked] == [0, 0, 0]
    assert api.connections == 1


async def test_what_runs_at_one_time_is_measured() -> None:
    async with running_api({"/": Reply(delay_s=0.3)}) as api:
        began = time.monotonic()
        await asyncio.gather(*[get(api.url + "/") for _ in range(7)])
        took = time.monotonic() - began
    assert api.peak == 7
    assert 0.3 <= took < 7 * 0.3


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(body=b"0123456789", cut_after=4), aiohttp.ClientPayloadError),
        (Reply(body=b"0123456789", cut_after=4, chunked=True), aiohttp.ClientPayloadError),
        (Reply(body=b"0123", content_length=10, close=True), aiohttp.ClientPayloadError),
        (Reply(body=b"0123456789", reset_after=4), aiohttp.ClientPayloadError),
        (Reply(reset_after=-1), aiohttp.ClientOSError),
        (Reply(raw=b"SMTP? 220 hello\r\n\r\n"), aiohttp.ClientResponseError),
        (Reply(headers={"Content-Encoding": "gzip"}, body=b"[]"), aiohttp.ClientPayloadError),
        (Reply(never=True), TimeoutError),
        (Reply(body=b"0123456789", stall_after=4), TimeoutError),
    ],
)
async def test_a_client_notices_each_broken_behaviour(reply: Reply, error: type) -> None:
    async with running_api({"/": reply}) as api:
        patience_s = 0.5 if error is TimeoutError else 20
        with pytest.raises(error):
            await get(api.url + "/", timeout=aiohttp.ClientTimeout(total=patience_s))
    assert api.hits[0] == "/"


async def test_a_reset_is_a_reset_and_not_an_end_of_file() -> None:
    async with running_api({"/": Reply(reset_after=-1)}) as api:
        with pytest.raises(ConnectionResetError):
            await wire(api.url)


async def test_it_speaks_tls_and_breaks_that_too() -> None:
    routes = {"/": Reply(body=b"secret"), "/reset": Reply(body=b"0123456789", reset_after=4)}
    async with running_api(routes, tls=server_context()) as api:
        assert api.url.startswith("https://127.0.0.1:")
        assert await get(api.url + "/", ssl=False) == (200, b"secret")
        with pytest.raises(aiohttp.ClientError):
            await get(api.url + "/reset", ssl=False)
    assert {asked.scheme for asked in api.asked} == {"https"}


async def test_a_cut_body_is_cut_where_it_was_said() -> None:
    async with running_api({"/": Reply(body=b"0123456789", cut_after=4)}) as api:
        seen = await wire(api.url)
    head, _, body = seen.partition(b"\r\n\r\n")
    assert b"Content-Length: 10" in head
    assert body == b"0123"


async def test_dripping_takes_its_time() -> None:
    async with running_api({"/": Reply(body=b"x" * 5, drip_bytes=1, drip_every_s=0.05)}) as api:
        began = time.monotonic()
        assert await get(api.url + "/") == (200, b"xxxxx")
    assert time.monotonic() - began >= 0.2


async def test_a_chunked_body_arrives_whole() -> None:
    async with running_api({"/": Reply(body=b"abcdef", chunked=True, drip_bytes=2)}) as api:
        assert await get(api.url + "/") == (200, b"abcdef")


async def test_gzip_is_undone_by_the_client_and_a_bomb_is_large() -> None:
    bomb = gzip_bomb(5_000_000)
    assert len(bomb.body) < 10_000
    async with running_api({"/fine": gzip_reply(b"[1]"), "/bomb": bomb}) as api:
        assert await get(api.url + "/fine") == (200, b"[1]")
        assert len((await get(api.url + "/bomb"))[1]) == 5_000_000


async def test_a_redirect_leads_on() -> None:
    async with running_api({"/old": redirect("/new"), "/new": Reply(body=b"here")}) as api:
        assert await get(api.url + "/old") == (200, b"here")
    assert api.hits == ["/old", "/new"]


async def test_leaving_the_block_drops_whoever_waits() -> None:
    arrived = asyncio.Event()

    def silence(_: Asked) -> Reply:
        arrived.set()
        return Reply(never=True)

    async with running_api({"/": silence}) as api:
        waiting = asyncio.create_task(get(api.url + "/"))
        await arrived.wait()
    with pytest.raises(aiohttp.ClientError):
        await waiting
    place = urlsplit(api.url)
    with pytest.raises(ConnectionRefusedError), socket.socket() as probe:
        probe.connect((place.hostname, place.port))


async def test_sleepers_wake_by_deadline_and_no_time_passes() -> None:
    """Three sleeps of an hour and more end in order, at once, and the clock shows the longest."""
    clock, woken = FakeClock(now=100.0), []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.monotonic()))

    began = time.monotonic()
    await asyncio.gather(sleeper(7200.0), sleeper(3600.0), sleeper(5400.0))

    assert woken == [(3600.0, 3600.0), (5400.0, 5400.0), (7200.0, 7200.0)]
    assert clock.slept == [7200.0, 3600.0, 5400.0]
    assert clock.now() == 7300.0
    assert time.monotonic() - began < 60


async def test_a_cancelled_sleep_does_not_move_the_clock() -> None:
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(1000.0))
    await asyncio.sleep(0)
    task.cancel()
    await clock.sleep(5.0)
    assert clock.monotonic() == 5.0
    await clock.sleep(0.0)
    assert clock.slept == [1000.0, 5.0]
