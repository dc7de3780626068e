"""A real server on a free port of this machine, for tests: it says what it is told to say.

It is written on bare sockets, not on a server library, because it must be able to break every
rule that a library would keep: lie about lengths, stop in the middle, reset, say nothing.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import TypeAlias
from urllib.parse import parse_qsl

from fetchcast.testing.reply import Reply

_MAX_HEAD_BYTES = 1 << 20
# Linger on, for zero seconds: that is how a reset is asked for. Windows has shorter integers.
_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it arrived."""

    method: str
    target: str
    """Path and query, as sent."""
    headers: Mapping[str, str]
    """Names in lower case; of a name that came twice, the last value."""
    body: bytes
    connection: int
    """Which connection it came on, counted from 0: equal numbers mean a reused connection."""
    http_version: str
    scheme: str
    """``http`` or ``https``."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The decoded query; of a name that came twice, the last value."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


Says: TypeAlias = Reply | Sequence[Reply] | Callable[[Asked], Reply | Awaitable[Reply]]
"""One reply for ever; several in turn, the last one for ever; or whatever a function says."""


@dataclass(slots=True)
class Api:
    """A running test server: where it is, and what it received so far."""

    url: str
    """``http://127.0.0.1:PORT``, without a slash at the end."""
    asked: list[Asked] = field(default_factory=list)
    """Every request, in the order of arrival, also those that were never answered."""
    peak: int = 0
    """The most requests that were being answered at one time."""
    connections: int = 0
    """How many connections were opened."""

    @property
    def hits(self) -> list[str]:
        """The targets (path and query) of all requests, in the order of arrival."""
        return [asked.target for asked in self.asked]


@asynccontextmanager
async def running_api(
    routes: Mapping[str, Says],
    *,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Api]:
    """Serve ``routes`` until the block ends; then every connection is dropped.

    A key is ``/path``, ``/path?with=query``, either with a method before it (``POST /token``), or
    ``*`` for all the rest; the most exact one wins. What has no route is answered with 404 and
    counted like everything else.

    Args:
        routes: What to say where. A list is said one reply after the other, the last for ever.
        host: The address to listen on; the port is a free one.
        tls: Speak TLS with this context; ``url`` then begins with ``https``.
    """
    server = _Server(routes, "https" if tls else "http")
    listener = await asyncio.start_server(
        server.connected, host, 0, ssl=tls, limit=_MAX_HEAD_BYTES, backlog=1024
    )
    port = listener.sockets[0].getsockname()[1]
    server.api.url = f"{'https' if tls else 'http'}://{host}:{port}"
    try:
        yield server.api
    finally:
        listener.close()
        await server.stop()


class _Server:
    """Reads requests, finds the reply, plays it."""

    def __init__(self, routes: Mapping[str, Says], scheme: str) -> None:
        self.api = Api(url="")
        self._routes = routes
        self._scheme = scheme
        self._said: Counter[str] = Counter()
        self._busy = 0
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = writer
        number, self.api.connections = self.api.connections, self.api.connections + 1
        try:
            # A client that goes away in the middle is the client's business.
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                while (asked := await _read(reader, number, self._scheme)) is not None:
                    if not await self._answer(asked, writer):
                        break
        except asyncio.CancelledError:
            pass  # `stop` ends the connection; asyncio would report a cancelled handler.
        finally:
            self._tasks.pop(task, None)
            writer.close()

    async def stop(self) -> None:
        for task, writer in list(self._tasks.items()):
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # Lets the aborted transports close their sockets.

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        self.api.asked.append(asked)
        self._busy += 1
        self.api.peak = max(self.api.peak, self._busy)
        try:
            return await _play(await self._reply(asked), asked, writer)
        finally:
            self._busy -= 1

    async def _reply(self, asked: Asked) -> Reply:
        route = self._route(asked)
        if route is None:
            return Reply(404, {"Content-Type": "text/plain"}, b"no such route in this test")
        says = self._routes[route]
        if isinstance(says, Reply):
            return says
        if callable(says):
            said = says(asked)
            return await said if isawaitable(said) else said
        turn = min(self._said[route], len(says) - 1)
        self._said[route] += 1
        return says[turn]

    def _route(self, asked: Asked) -> str | None:
        targets = (asked.target, asked.path)
        exact = [f"{asked.method} {target}" for target in targets]
        return next((key for key in (*exact, *targets, "*") if key in self._routes), None)


async def _read(reader: asyncio.StreamReader, connection: int, scheme: str) -> Asked | None:
    """The next request of a connection; None when the client has closed it."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, version = first.split(" ", 2)
    headers = {
        name.lower(): value.strip() for name, _, value in (li.partition(":") for li in lines)
    }
    return Asked(
        method=method,
        target=target,
        headers=headers,
        body=await _read_body(reader, headers),
        connection=connection,
        http_version=version.removeprefix("HTTP/"),
        scheme=scheme,
    )


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


async def _play(reply: Reply, asked: Asked, writer: asyncio.StreamWriter) -> bool:
    """Send ``reply``; True if the connection may be used again."""
    if reply.delay_s:
        await asyncio.sleep(reply.delay_s)
    if reply.never:
        await asyncio.Event().wait()
    if reply.raw is not None:
        writer.write(reply.raw)
        await writer.drain()
        return False
    if reply.reset_after == -1:
        return _reset(writer)
    writer.write(reply.head())
    if asked.method != "HEAD":
        await _send_body(reply, writer)
    return await _end(reply, asked, writer)


async def _send_body(reply: Reply, writer: asyncio.StreamWriter) -> None:
    for number, piece in enumerate(reply.pieces()):
        if number and reply.drip_bytes:
            await asyncio.sleep(reply.drip_every_s)
        writer.write(piece)
        await writer.drain()


async def _end(reply: Reply, asked: Asked, writer: asyncio.StreamWriter) -> bool:
    await writer.drain()
    if reply.stall_after is not None:
        await asyncio.Event().wait()
    if reply.reset_after is not None:
        await asyncio.sleep(0.05)  # What was sent should arrive before the reset overtakes it.
        return _reset(writer)
    asked_to_close = asked.headers.get("connection", "").lower() == "close"
    return not (reply.close or asked_to_close or reply.cut_after is not None)


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Close with RST: the client sees "connection reset by peer", not an end of file."""
    sock: socket.socket | None = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    writer.transport.abort()
    return False
