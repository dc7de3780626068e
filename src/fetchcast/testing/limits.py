"""A loopback API that enforces limits and keeps exact books.

    server = Server(network=instant(service_s=0.1), gates=[Concurrency(10)])
    async with running_limits(server) as api:
        ...                                     # call api.url as often as you like
    assert api.books.refused < 20

The limits are those of `fetchcast.testing.simulation`, under real time: what was tried in virtual
time can be tried over real sockets, with the same gates. One plain asyncio protocol, thousands of
calls a second.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from heapq import heappop, heappush
from http import HTTPStatus
from random import Random
from typing import Final

from fetchcast.testing.simulation.world import Network, Server

_HEAD_END: Final = b"\r\n\r\n"
_BIN_S: Final = 0.1


def instant(service_s: float, *, spread: float = 0.0) -> Network:
    """Answers that take ``service_s``; the real network is loopback and adds nothing."""
    return Network(one_way_s=0.0, jitter_s=0.0, service_s=service_s, spread=spread)


@dataclass(slots=True)
class LimitBooks:
    """What the server decided; every call is in it once."""

    accepted: int = 0
    refused: int = 0
    failed: int = 0
    hung: int = 0
    """Calls that never got an answer, in a silent outage."""
    inside: int = 0
    most_inside: int = 0
    """The most calls that were served at one moment."""
    accepted_per_bin: Counter[int] = field(default_factory=Counter)
    """Accepted calls by tenth of a second since the start."""
    refused_per_bin: Counter[int] = field(default_factory=Counter)

    @property
    def refused_share(self) -> float:
        """Of all verdicts."""
        return self.refused / max(1, self.refused + self.accepted)


@dataclass(slots=True)
class LimitedApi:
    """A running server: where it is, what it enforces, and what happened so far."""

    url: str
    server: Server
    books: LimitBooks
    refusal_status: int
    started_at: float
    """On the clock of the event loop; the gates' time is zero there."""
    first_call_at: float | None = None
    last_accepted_at: float = 0.0
    """When the last accepted answer was written, seconds since the start."""


@asynccontextmanager
async def running_limits(
    server: Server,
    *,
    refusal_status: int = 503,
    body: bytes = b'{"ok":true}',
    seed: int = 1,
    routes: Mapping[str, Server] | None = None,
) -> AsyncIterator[LimitedApi]:
    """Serve ``server`` on a free port of 127.0.0.1 until the block ends.

    Every path answers alike, but for those that begin with one of ``routes``: they have limits of
    their own. ``server.network`` gives the service time; its ways are not used.
    """
    loop = asyncio.get_running_loop()
    api = LimitedApi("", server, LimitBooks(), refusal_status, loop.time())
    random = Random(seed)  # noqa: S311  a model of service times
    shared = _Shared(api, loop, random, body, routes or {})
    listener = await loop.create_server(lambda: _Connection(shared), "127.0.0.1", 0, backlog=1024)
    port = listener.sockets[0].getsockname()[1]
    api.url = f"http://127.0.0.1:{port}"
    try:
        yield api
    finally:
        listener.close()
        for connection in list(shared.connections):
            connection.close()
        await listener.wait_closed()


class _Shared:
    """What all connections have in common: the one timeline on which limits are enforced."""

    def __init__(
        self,
        api: LimitedApi,
        loop: asyncio.AbstractEventLoop,
        random: Random,
        body: bytes,
        routes: Mapping[str, Server],
    ) -> None:
        self.api, self.loop, self.random, self.body = api, loop, random, body
        self.routes = {f" {path}".encode(): server for path, server in routes.items()}
        self.connections: set[_Connection] = set()
        self.due: list[float] = []
        reason = HTTPStatus(api.refusal_status).phrase
        self.refused_head = (
            f"HTTP/1.1 {api.refusal_status} {reason}\r\ncontent-length: 0\r\n".encode()
        )
        self.accepted_head = (
            f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        ).encode()

    def limits(self, head: bytes | bytearray) -> Server:
        """Those of the path that ``head`` asks for."""
        _, space, path = head.partition(b" ")
        for begins, server in self.routes.items():
            if (space + path).startswith(begins):
                return server
        return self.api.server

    def decide(self, connection: _Connection, server: Server) -> None:
        """A whole request is here: pass it through the gates, answer when it is served."""
        api, books = self.api, self.api.books
        now = self.loop.time() - api.started_at
        api.first_call_at = now if api.first_call_at is None else api.first_call_at
        for outage in server.outages:
            if outage.begin <= now < outage.end:
                if outage.silent:
                    books.hung += 1
                else:
                    self._refuse(connection, now, {})
                return
        network = server.network
        service = network.service_s
        if network.spread:
            service *= self.random.lognormvariate(0.0, network.spread)
        answered, refusal = server.serve(now, service)
        if refusal is not None:
            self._refuse(connection, now, refusal)
            return
        books.inside += 1
        # By the moments at which answers are due: timers that come late let nobody in.
        while self.due and self.due[0] <= now:
            heappop(self.due)
        heappush(self.due, answered)
        books.most_inside = max(books.most_inside, len(self.due))
        failing = server.failing and self.random.random() < server.failing
        self.loop.call_at(
            api.started_at + answered, self._answer, connection, server, bool(failing)
        )

    def _refuse(self, connection: _Connection, now: float, headers: Mapping[str, str]) -> None:
        self.api.books.refused += 1
        self.api.books.refused_per_bin[int(now / _BIN_S)] += 1
        connection.answer(self.refused_head + _lines(headers) + b"\r\n")

    def _answer(
        self,
        connection: _Connection,
        server: Server,
        failing: bool,  # noqa: FBT001  a callback
    ) -> None:
        books = self.api.books
        books.inside -= 1
        if failing:
            books.failed += 1
            connection.answer(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n")
            return
        now = self.loop.time() - self.api.started_at
        books.accepted += 1
        books.accepted_per_bin[int(now / _BIN_S)] += 1
        self.api.last_accepted_at = now
        headers = server.headers(now)
        connection.answer(self.accepted_head + _lines(headers) + b"\r\n" + self.body)


def _lines(headers: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()


class _Connection(asyncio.Protocol):
    """One client connection; requests without a body, kept alive, answered in order."""

    def __init__(self, shared: _Shared) -> None:
        self._shared = shared
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._shared.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(_HEAD_END)) >= 0:
            server = self._shared.limits(self._received[:end])
            del self._received[: end + len(_HEAD_END)]
            self._shared.decide(self, server)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._shared.connections.discard(self)
        self._transport = None

    def answer(self, data: bytes) -> None:
        """Write an answer, if the client is still there."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """End it now."""
        if self._transport is not None:
            self._transport.abort()
