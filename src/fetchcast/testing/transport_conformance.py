"""What every transport has to do, as tests over real sockets.

Subclass, and name the transport:

    class TestMine(TransportConformance):
        def open(self, options: TransportOptions) -> AbstractAsyncContextManager[Transport]:
            return open_mine(options)

The methods are coroutines; pytest runs them with pytest-asyncio in auto mode.
"""

# ruff: noqa: PLR2004, SIM117, ASYNC110  numbers are the expectations; `with` is read in its order

from __future__ import annotations

import asyncio
import gzip
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import brotli  # type: ignore[import-untyped]

from fetchcast.errors import (
    BodyTooLarge,
    BrokenAnswer,
    CallError,
    ConnectFailed,
    RedirectRefused,
    TimedOut,
    TransportStopped,
)
from fetchcast.extract.transport import Handle, Transport, TransportOptions, fetch, open_transport
from fetchcast.records import Answer, Request, request_key
from fetchcast.testing.api import Asked, running_api
from fetchcast.testing.certificates import AUTHORITY, EXPIRED, GOOD, SELF_SIGNED, server_context
from fetchcast.testing.reply import Reply, gzip_bomb, gzip_reply, redirect
from fetchcast.testing.wire import echo, endless_head, no_http, resetting_idle, silent, wire

_BOMB_BYTES = 200_000_000
_PATIENCE_S = 20.0


def call(url: str, **changes: Any) -> Request:
    """A request for ``url``; a GET unless ``changes`` say otherwise."""
    return Request(key=request_key("GET", url), resource="test", url=url, **changes)


class Ends:
    """Starts calls and collects how they ended."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.results: dict[str, Answer | CallError] = {}
        self.handles: list[Handle] = []
        self._news = asyncio.Event()

    def start(self, urls: Sequence[str], headers: Mapping[str, str] | None = None) -> list[Handle]:
        """Start one call each, all at once."""
        started = [
            self._transport.start(call(url), headers or {}, self._noting(url)) for url in urls
        ]
        self.handles += started
        return started

    def _noting(self, url: str) -> Callable[[Answer | CallError], None]:
        def note(result: Answer | CallError) -> None:
            assert url not in self.results, f"{url} ended twice"
            self.results[url] = result
            self._news.set()

        return note

    async def have(self, count: int) -> dict[str, Answer | CallError]:
        """Wait until ``count`` calls have ended."""
        async with asyncio.timeout(_PATIENCE_S):
            while len(self.results) < count:
                self._news.clear()
                await self._news.wait()
        return self.results


async def failure(transport: Transport, url: str, *, query: str = "", **changes: Any) -> CallError:
    """The error in which a call ends; fails if there is an answer."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            answer = await fetch(transport, call(url, **changes), None, query)
    except CallError as error:
        return error
    raise AssertionError(f"{url} was answered: {answer.status}, {len(answer.body)} bytes")


class TransportConformance:
    """The contract of `fetchcast.extract.transport_contract`, point by point."""

    def open(self, options: TransportOptions) -> AbstractAsyncContextManager[Transport]:
        """Open the transport under test; to be overridden."""
        return open_transport(options)

    @asynccontextmanager
    async def transport(self, **options: Any) -> AsyncIterator[Transport]:
        """The transport under test with short deadlines, and ``options`` on top."""
        short = {"connect_timeout_s": 5.0, "first_byte_timeout_s": 5.0, "total_timeout_s": 10.0}
        async with self.open(TransportOptions(**{**short, **options})) as transport:
            yield transport

    # Answers

    async def test_an_answer_is_whole(self) -> None:
        """Status, headers in lower case, decoded body, address, time."""
        reply = gzip_reply(b'{"a": 1}', 207, {"X-Thing": "One", "Content-Type": "text/x"})
        async with running_api({"/a": reply}) as api, self.transport() as transport:
            answer = await fetch(transport, call(api.url + "/a?b=%20c"), {"Authorization": "me"})
            asked = api.asked[0]
        assert (answer.status, answer.body) == (207, b'{"a": 1}')
        assert (answer.headers["x-thing"], answer.headers["content-type"]) == ("One", "text/x")
        assert (answer.url, answer.http_version) == (api.url + "/a?b=%20c", "1.1")
        assert 0 < answer.elapsed_s < _PATIENCE_S
        assert (asked.target, asked.headers["authorization"]) == ("/a?b=%20c", "me")
        assert asked.headers["user-agent"] == "fetchcast"
        assert "gzip" in asked.headers["accept-encoding"]

    async def test_every_encoding_that_is_asked_for_is_decoded(self) -> None:
        """The body is what the server meant, whatever it was packed in."""
        text = b"[1, 2, 3]" * 999
        packed = {
            "gzip": gzip.compress(text),
            "deflate": zlib.compress(text),
            "br": brotli.compress(text),
        }
        routes = {
            f"/{name}": Reply(200, {"Content-Encoding": name}, body)
            for name, body in packed.items()
        }
        async with running_api(routes) as api, self.transport() as transport:
            for name in packed:
                answer = await fetch(transport, call(f"{api.url}/{name}"))
                assert answer.body == text, name
                assert name in api.asked[-1].headers["accept-encoding"]

    async def test_a_header_that_comes_twice_is_joined(self) -> None:
        """Nothing a server says in a header is lost."""
        raw = b"HTTP/1.1 200 OK\r\nLink: <a>\r\nContent-Length: 0\r\nlink: <b>\r\n\r\n"
        async with running_api({"/": Reply(raw=raw)}) as api, self.transport() as transport:
            assert (await fetch(transport, call(api.url + "/"))).headers["link"] == "<a>, <b>"

    async def test_an_error_status_is_an_answer(self) -> None:
        """What a status means is for others to say."""
        async with (
            running_api({"/": Reply(503, {}, b"busy")}) as api,
            self.transport() as transport,
        ):
            answer = await fetch(transport, call(api.url + "/"))
        assert (answer.status, answer.body) == (503, b"busy")

    async def test_methods_and_bodies(self) -> None:
        """Any method goes out with its body, and leaves nothing behind for the next call."""
        async with running_api({"*": Reply(200, {}, b"ok")}) as api, self.transport() as transport:
            sent = [("POST", b"a=1"), ("PUT", b"x" * 70_000), ("DELETE", None), ("GET", None)]
            for method, body in sent:
                await fetch(transport, call(api.url + "/", method=method, body=body))
            head = await fetch(transport, call(api.url + "/", method="HEAD"))
            await fetch(transport, call(api.url + "/"))
        assert [(asked.method, asked.body) for asked in api.asked] == [
            *((method, body or b"") for method, body in sent),
            ("HEAD", b""),
            ("GET", b""),
        ]
        assert head.body == b""

    async def test_headers_change_from_call_to_call(self) -> None:
        """A token that was renewed in place is the one that is sent."""
        secret = {"Authorization": "old"}
        async with running_api({"*": Reply(200)}) as api, self.transport() as transport:
            await fetch(transport, call(api.url + "/"), secret)
            secret["Authorization"] = "new"
            await fetch(transport, call(api.url + "/"), secret)
            await fetch(transport, call(api.url + "/", headers={"authorization": "mine"}))
            await fetch(transport, call(api.url + "/"))
        got = [asked.headers.get("authorization") for asked in api.asked]
        assert got == ["old", "new", "mine", None]

    async def test_a_header_cannot_smuggle_another(self) -> None:
        """A line break in a value is a mistake of the caller, and nothing is sent."""
        async with running_api({"*": Reply(200)}) as api, self.transport() as transport:
            refused = False
            try:
                transport.start(call(api.url), {"X": "a\r\nY: b"}, lambda _: None)
            except ValueError:
                refused = True
        assert (refused, api.hits) == (True, [])

    # Connections and cancelling

    async def test_the_cap_of_connections_is_kept(self) -> None:
        """Never more sockets than allowed, and all that are allowed."""
        async with (
            wire(echo(after_s=0.01)) as server,
            self.transport(max_connections=7) as transport,
        ):
            ends = Ends(transport)
            ends.start([f"{server.url}/{number}" for number in range(100)])
            await ends.have(100)
        assert server.peak == 7

    async def test_waiting_for_a_connection_is_not_held_against_a_call(self) -> None:
        """The deadlines begin when a call is sent."""
        options = {"max_connections": 1, "first_byte_timeout_s": 0.3, "total_timeout_s": 0.5}
        async with wire(echo(after_s=0.05)) as server, self.transport(**options) as transport:
            ends = Ends(transport)
            ends.start([f"{server.url}/{number}" for number in range(20)])
            results = await ends.have(20)
        assert all(isinstance(result, Answer) for result in results.values())

    async def test_nothing_is_sent_after_cancel(self) -> None:
        """Of 100 cancelled calls only those arrive that were on the wire; the rest is unharmed."""
        async with running_api({"*": _ghosts_hang}) as api:
            async with self.transport(max_connections=5) as transport:
                ends = Ends(transport)
                handles = ends.start([f"{api.url}/ghost/{number}" for number in range(100)])
                async with asyncio.timeout(_PATIENCE_S):
                    while len(api.hits) < 5:
                        await asyncio.sleep(0.005)
                for handle in handles:
                    handle.cancel()
                ends.start([f"{api.url}/{number}" for number in range(20)])
                results = await ends.have(20)
                arrived = {hit for hit in api.hits if "ghost" in hit}
        assert arrived == {f"/ghost/{number}" for number in range(5)}
        _each_has_its_own(results, 20)

    async def test_a_call_cancelled_at_once_is_never_sent(self) -> None:
        """Cancelling in the same breath costs the server nothing."""
        async with wire(echo()) as server, self.transport() as transport:
            ends = Ends(transport)
            for handle in ends.start([f"{server.url}/ghost/{number}" for number in range(50)]):
                handle.cancel()
            ends.start([f"{server.url}/1"])
            await ends.have(1)
        assert server.targets == ["/1"]

    async def test_no_body_ever_belongs_to_another_call(self) -> None:
        """Cancelling every other call, at any moment, mixes nothing up."""
        async with (
            wire(echo(after_s=0.003)) as server,
            self.transport(max_connections=20) as transport,
        ):
            ends = Ends(transport)
            for wave in range(10):
                kept = ends.start([f"{server.url}/{wave * 40 + number}" for number in range(40)])
                lost = ends.start([f"{server.url}/ghost/{wave}/{n}" for n in range(40)])
                await asyncio.sleep(0.001 * wave)
                for handle in lost:
                    handle.cancel()
                assert len(kept) == 40
            async with asyncio.timeout(_PATIENCE_S):
                while len(_real(ends.results)) < 400:
                    await asyncio.sleep(0.01)
        _each_has_its_own(_real(ends.results), 400)

    async def test_cancelling_an_ended_call_does_nothing(self) -> None:
        """Its connection goes on serving."""
        async with wire(echo()) as server, self.transport(max_connections=1) as transport:
            ends = Ends(transport)
            for number in range(10):
                (handle,) = ends.start([f"{server.url}/{number}"])
                await ends.have(number + 1)
                handle.cancel()
        _each_has_its_own(ends.results, 10)
        assert server.peak == 1

    async def test_resets_of_idle_connections_are_survived(self) -> None:
        """A server may drop a connection whenever it likes; the calls do not notice."""
        async with (
            wire(resetting_idle(every=5)) as server,
            self.transport(max_connections=10) as transport,
        ):
            ends = Ends(transport)
            for wave in range(30):
                ends.start([f"{server.url}/{wave * 10 + number}" for number in range(10)])
                await ends.have(wave * 10 + 10)
                await asyncio.sleep(0.003)
        broken = [result for result in ends.results.values() if isinstance(result, CallError)]
        assert broken == []
        _each_has_its_own(ends.results, 300)

    async def test_closing_ends_what_is_under_way(self) -> None:
        """Within a second, each call is told, and none hangs."""
        async with wire(silent) as server:
            async with self.transport(max_connections=3) as transport:
                ends = Ends(transport)
                ends.start([f"{server.url}/{number}" for number in range(9)])
                await asyncio.sleep(0.05)
                began = time.monotonic()
            took = time.monotonic() - began
            results = await ends.have(9)
            late: list[Answer | CallError] = []
            transport.start(call(server.url), {}, late.append)
            assert late == [], "told within start"
            await asyncio.sleep(0.01)
        assert all(isinstance(result, TransportStopped) for result in [*results.values(), *late])
        assert (len(late), took < 1.2) == (1, True)

    # Redirects

    async def test_a_redirect_is_followed_and_says_where_it_led(self) -> None:
        """On the same origin everything goes along."""
        routes = {"/a/b": redirect("../c?d=1", 301), "/c": Reply(200, {}, b"here")}
        async with running_api(routes) as api, self.transport() as transport:
            answer = await fetch(transport, call(api.url + "/a/b"), {"Authorization": "me"})
        assert (answer.body, answer.url) == (b"here", api.url + "/c?d=1")
        assert [asked.headers.get("authorization") for asked in api.asked] == ["me", "me"]

    async def test_credentials_stay_at_their_origin(self) -> None:
        """Another port is another origin: it is asked, without what proves who we are."""
        async with running_api({"/": Reply(200, {}, b"there")}) as other:
            routes = {"/": redirect(other.url + "/")}
            async with running_api(routes) as api, self.transport() as transport:
                mine = call(api.url + "/", headers={"Cookie": "c", "X-Plain": "p"})
                answer = await fetch(transport, mine, {"Authorization": "me", "X-Api-Key": "k"})
        got = other.asked[0].headers
        assert (answer.body, got["x-plain"]) == (b"there", "p")
        assert not {"authorization", "cookie", "x-api-key"} & set(got)

    async def test_a_secret_in_the_query_is_on_the_wire_and_nowhere_else(self) -> None:
        """It stays through a redirect here, is not in the answer's address, and leaves with us."""
        async with running_api({"/there": Reply(200, {}, b"there")}) as other:
            routes = {
                "/a": redirect("/b?appid=k%2F1&page=2"),
                "/b": redirect(f"{other.url}/there?appid=k%2F1&size=3"),
            }
            async with running_api(routes) as api, self.transport() as transport:
                mine = call(api.url + "/a?appid=old&c=d")
                answer = await fetch(transport, mine, None, "appid=k%2F1")
                lost = await failure(transport, "http://127.0.0.1:1/a", query="appid=k%2F1")
        assert api.hits == ["/a?c=d&appid=k%2F1", "/b?page=2&appid=k%2F1"]
        assert other.hits == ["/there?size=3"]
        assert answer.url == f"{other.url}/there?size=3"
        assert "k%2F1" not in str(lost)

    async def test_another_host_needs_permission(self) -> None:
        """A redirect to a host that nobody allowed is refused, and the host is not asked."""
        async with running_api({"/": Reply(200, {}, b"there")}) as other:
            away = other.url.replace("127.0.0.1", "localhost")
            async with running_api({"/": redirect(away + "/")}) as api:
                async with self.transport() as transport:
                    error = await failure(transport, api.url + "/")
                asked_before = list(other.hits)
                async with self.transport(allowed_hosts=("LOCALHOST",)) as transport:
                    answer = await fetch(transport, call(api.url + "/"))
        assert isinstance(error, RedirectRefused)
        assert "allowed_hosts" in str(error)
        assert (asked_before, answer.body) == ([], b"there")

    async def test_round_in_circles_ends(self) -> None:
        """After so many steps, with an error that says so."""
        async with running_api({"/": redirect("/")}) as api:
            async with self.transport(max_redirects=3) as transport:
                error = await failure(transport, api.url + "/")
        assert isinstance(error, RedirectRefused)
        assert (len(api.hits), "more than 3 times" in str(error)) == (4, True)

    async def test_a_post_becomes_a_get_where_it_should(self) -> None:
        """303 fetches the result; 307 repeats the call."""
        routes = {"/303": redirect("/end", 303), "/307": redirect("/end", 307), "/end": Reply(200)}
        async with running_api(routes) as api, self.transport() as transport:
            for status in (303, 307):
                await fetch(transport, call(f"{api.url}/{status}", method="POST", body=b"b"))
        ends = [(asked.method, asked.body) for asked in api.asked if asked.path == "/end"]
        assert ends == [("GET", b""), ("POST", b"b")]

    async def test_a_redirect_to_nowhere_is_refused(self) -> None:
        """Neither files nor other protocols."""
        for target in ("file:///etc/passwd", "gopher://127.0.0.1/", "http://"):
            async with running_api({"/": redirect(target)}) as api, self.transport() as transport:
                error = await failure(transport, api.url + "/")
            assert isinstance(error, RedirectRefused), target

    # Deadlines

    async def test_a_server_that_never_answers(self) -> None:
        """The call ends at the deadline for the first byte, and says which it was."""
        async with running_api({"/": Reply(never=True)}) as api:
            async with self.transport(first_byte_timeout_s=0.2) as transport:
                began = time.monotonic()
                error = await failure(transport, api.url + "/?token=s3cret")
        assert isinstance(error, TimedOut)
        assert ("first_byte_timeout_s" in str(error), "s3cret" in str(error)) == (True, False)
        assert 0.19 < time.monotonic() - began < 1.5

    async def test_a_server_that_never_shakes_hands(self) -> None:
        """TLS belongs to connecting."""
        async with wire(silent) as server, self.transport(connect_timeout_s=0.2) as transport:
            error = await failure(transport, server.url.replace("http:", "https:"))
        assert isinstance(error, TimedOut)
        assert "connect_timeout_s" in str(error)

    async def test_one_byte_at_a_time(self) -> None:
        """The whole has a deadline too; the others go on meanwhile."""
        drip = Reply(200, {}, b"x" * 100, drip_bytes=1, drip_every_s=0.05)
        async with running_api({"/slow": drip, "/fast": Reply(200, {}, b"ok")}) as api:
            async with self.transport(total_timeout_s=0.4, first_byte_timeout_s=0.3) as transport:
                ends = Ends(transport)
                ends.start([api.url + "/slow", api.url + "/fast"])
                results = await ends.have(2)
        slow, fast = results[api.url + "/slow"], results[api.url + "/fast"]
        assert isinstance(slow, TimedOut)
        assert "total_timeout_s" in str(slow)
        assert isinstance(fast, Answer)

    # Bad input

    async def test_broken_answers_are_said_to_be_broken(self) -> None:
        """Cut short, wrong length, wrong encoding: a clear error, and the next call works."""
        body = b"0123456789" * 50
        lies = gzip.compress(body)
        broken = {
            "/cut": Reply(200, {}, body, cut_after=100),
            "/cut-chunked": Reply(200, {}, body, chunked=True, cut_after=100),
            "/long": Reply(200, {}, body, content_length=900, close=True),
            "/reset": Reply(200, {}, body, reset_after=100),
            "/reset-at-once": Reply(reset_after=-1),
            "/closed": Reply(raw=b""),
            "/no-gzip": Reply(200, {"Content-Encoding": "gzip"}, body),
            "/damaged": Reply(200, {"Content-Encoding": "gzip"}, lies[:20] + b"????" + lies[24:]),
            "/half-gzip": Reply(200, {"Content-Encoding": "gzip"}, lies[:-12]),
        }
        async with running_api({**broken, "/fine": Reply(200, {}, b"ok")}) as api:
            async with self.transport(max_connections=1) as transport:
                for path in broken:
                    error = await failure(transport, api.url + path)
                    assert isinstance(error, BrokenAnswer), (path, error)
                    assert error.retryable
                    assert (await fetch(transport, call(api.url + "/fine"))).body == b"ok", path

    async def test_more_bytes_than_announced_are_nobody_elses_body(self) -> None:
        """What follows the announced length is not taken for the next answer."""
        routes = {
            "/more": Reply(200, {}, b"abcdef", content_length=3),
            "/next": Reply(200, {}, b"n"),
        }
        async with running_api(routes) as api, self.transport(max_connections=1) as transport:
            for _ in range(3):
                ends = Ends(transport)
                ends.start([api.url + "/more"])
                result = (await ends.have(1))[api.url + "/more"]
                assert isinstance(result, BrokenAnswer) or (
                    isinstance(result, Answer) and result.body == b"abc"
                )
                following = await self._retried(transport, api.url + "/next")
                assert following.body == b"n"

    async def _retried(self, transport: Transport, url: str) -> Answer:
        """The answer; a connection that the call before has spoilt may cost one attempt."""
        try:
            return await fetch(transport, call(url))
        except BrokenAnswer:
            return await fetch(transport, call(url))

    async def test_endless_headers_end(self) -> None:
        """The client has enough after some hundred kilobytes."""
        async with wire(endless_head) as server, self.transport() as transport:
            assert isinstance(await failure(transport, server.url), BrokenAnswer)

    async def test_another_protocol_is_no_answer(self) -> None:
        """A mail server on the port is a broken answer, not a crash."""
        async with wire(no_http) as server, self.transport() as transport:
            assert isinstance(await failure(transport, server.url), BrokenAnswer)

    async def test_a_bomb_costs_no_memory(self) -> None:
        """200 MB in 200 KB end at the limit for decoded bodies."""
        bomb = gzip_bomb(_BOMB_BYTES)
        async with running_api({"/": bomb}) as api:
            async with self.transport(max_body_bytes=1_000_000) as transport:
                tracemalloc.start()
                before = _resident_bytes()
                error = await failure(transport, api.url + "/")
                grown = _resident_bytes() - before
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
        assert isinstance(error, BodyTooLarge)
        assert "max_body_bytes = 1000000" in str(error)
        assert peak < 8_000_000
        assert grown < 30_000_000

    async def test_a_body_of_exactly_the_limit_is_fine(self) -> None:
        """The limit counts what was packed, unpacked."""
        routes = {"/": gzip_reply(b"x" * 1000), "/more": gzip_reply(b"x" * 1001)}
        async with running_api(routes) as api, self.transport(max_body_bytes=1000) as transport:
            assert len((await fetch(transport, call(api.url + "/"))).body) == 1000
            assert isinstance(await failure(transport, api.url + "/more"), BodyTooLarge)

    async def test_nobody_there(self) -> None:
        """Refused, no such name, no such protocol: each is said in words."""
        async with running_api({}) as api:
            closed = api.url
        async with self.transport() as transport:
            for url, words in (
                (closed, "nobody answers"),
                ("http://no-such-host.invalid/", "cannot be resolved"),
                ("ftp://127.0.0.1/", "no address"),
                ("http://user:s3cret@no-such-host.invalid/", "cannot be resolved"),
            ):
                error = await failure(transport, url)
                assert isinstance(error, ConnectFailed), url
                assert words in str(error), str(error)
                assert "s3cret" not in str(error)

    async def test_a_certificate_that_cannot_be_trusted(self, tmp_path: Path) -> None:
        """Expired and self-signed are told apart; a private authority can be trusted."""
        ca_file = tmp_path / "authority.pem"
        ca_file.write_text(AUTHORITY)
        trust = {"ca_file": str(ca_file)}
        for certificate, options, words in (
            (GOOD, {}, "certificate"),
            (EXPIRED, trust, "expired"),
            (SELF_SIGNED, trust, "self-signed"),
        ):
            async with running_api({"/": Reply(200)}, tls=server_context(certificate)) as api:
                async with self.transport(**options) as transport:
                    error = await failure(transport, api.url + "/")
            assert isinstance(error, ConnectFailed)
            assert words in str(error).replace("self signed", "self-signed"), str(error)
        async with running_api({"/": Reply(200, {}, b"ok")}, tls=server_context()) as api:
            async with self.transport(**trust) as transport:
                assert (await fetch(transport, call(api.url + "/"))).body == b"ok"
            async with self.transport(verify=False) as transport:
                assert (await fetch(transport, call(api.url + "/"))).body == b"ok"

    async def test_one_bad_host_does_not_hold_up_the_others(self) -> None:
        """While some calls hang and some break, the rest is answered at once."""
        routes = {"/hang": Reply(never=True), "/cut": Reply(200, {}, b"abc", cut_after=1)}
        async with running_api({**routes, "*": _own_path}) as api, self.transport() as transport:
            ends = Ends(transport)
            ends.start([f"{api.url}/{bad}?{n}" for bad in ("hang", "cut") for n in range(20)])
            began = time.monotonic()
            good = Ends(transport)
            good.start([f"{api.url}/{number}" for number in range(50)])
            results = await good.have(50)
            assert time.monotonic() - began < 3.0
            _each_has_its_own(results, 50)

    # Proxies

    async def test_a_proxy_is_used(self) -> None:
        """Of the options; it sees the whole address."""
        async with running_api({"*": Reply(200, {}, b"from the proxy")}) as proxy:
            async with self.transport(proxy=proxy.url) as transport:
                answer = await fetch(transport, call("http://far-away.invalid/x"))
        assert answer.body == b"from the proxy"
        assert proxy.hits == ["http://far-away.invalid/x"]

    async def test_the_environment_names_the_proxy(self, monkeypatch: Any) -> None:
        """And its exceptions; an empty option goes direct all the same."""
        routes = {"*": Reply(200, {}, b"from the proxy")}
        direct_routes = {"*": Reply(200, {}, b"direct")}
        async with running_api(routes) as proxy, running_api(direct_routes) as api:
            monkeypatch.setenv("http_proxy", proxy.url)
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            async with self.transport() as transport:
                far = await fetch(transport, call("http://far-away.invalid/x"))
                near = await fetch(transport, call(api.url + "/x"))
            monkeypatch.delenv("no_proxy")
            async with self.transport(proxy="") as transport:
                chosen = await fetch(transport, call(api.url + "/x"))
        assert (far.body, near.body) == (b"from the proxy", b"direct")
        assert chosen.body == b"direct"


def _own_path(asked: Asked) -> Reply:
    return Reply(200, {}, asked.path.encode())


def _ghosts_hang(asked: Asked) -> Reply:
    return Reply(never=True) if "ghost" in asked.path else _own_path(asked)


def _real(results: Mapping[str, Answer | CallError]) -> dict[str, Answer | CallError]:
    return {url: result for url, result in results.items() if "ghost" not in url}


def _each_has_its_own(results: Mapping[str, Answer | CallError], count: int) -> None:
    assert len(results) == count
    for url, result in results.items():
        assert isinstance(result, Answer), (url, result)
        assert url.endswith(result.body.decode()), (url, result.body)
        assert result.body[:1] == b"/"


def _resident_bytes() -> int:
    """Of this process; 0 where the system does not say."""
    try:
        fields = Path("/proc/self/statm").read_text().split()
    except OSError:
        return 0
    return int(fields[1]) * 4096
