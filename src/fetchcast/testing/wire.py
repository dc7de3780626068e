"""A server of bare connections, for what `running_api` cannot do.

It counts sockets, resets idle ones, and talks nonsense.

async with wire(resetting_idle(every=5)) as server:
    ...
    assert server.peak <= 20
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(slots=True)
class Wire:
    """A running server: where it is, and what it saw."""

    url: str
    open: int = 0
    """Connections that are open now."""
    peak: int = 0
    """The most connections that were open at one time."""
    targets: list[str] = field(default_factory=list)
    """What was asked for, in the order of arrival."""


Behaviour: TypeAlias = Callable[[Wire, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Serves one connection; it is closed on return."""


@asynccontextmanager
async def wire(behaviour: Behaviour, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """Serve every connection with ``behaviour`` until the block ends; then drop them all."""
    seen = Wire(url="")
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        seen.open += 1
        seen.peak = max(seen.peak, seen.open)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await behaviour(seen, reader, writer)
        finally:
            seen.open -= 1
            tasks.discard(task)
            writer.transport.abort()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls, backlog=1024)
    scheme = "https" if tls else "http"
    seen.url = f"{scheme}://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield seen
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


async def target(seen: Wire, reader: asyncio.StreamReader) -> str:
    """Read one request without a body; what it asks for is noted."""
    head = await reader.readuntil(b"\r\n\r\n")
    asked = head.split(b" ", 2)[1].decode("latin-1")
    seen.targets.append(asked)
    return asked


def echo(*, after_s: float = 0.0) -> Behaviour:
    """Answers with what was asked for, as text, after a while."""

    async def serve(seen: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = await target(seen, reader)
            await asyncio.sleep(after_s)
            _say(writer, asked.encode("latin-1"))

    return serve


def resetting_idle(*, every: int) -> Behaviour:
    """Like `echo`, but resets the connection, idle or in use again, after every so many answers."""

    async def serve(seen: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(every):
            _say(writer, (await target(seen, reader)).encode("latin-1"))
        await writer.drain()
        await asyncio.sleep(0.002)
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return serve


async def silent(_seen: Wire, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Takes connections and everything that comes, and never says a word, not even about TLS."""
    while await reader.read(65536):
        pass


async def endless_head(
    seen: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Sends headers until the client has had enough."""
    await target(seen, reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    number = 0
    while True:
        number += 1
        writer.write(b"x-header-%d: %b\r\n" % (number, b"y" * 100))
        await writer.drain()


async def no_http(seen: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers in another language."""
    await target(seen, reader)
    writer.write(b"220 smtp.example.org ESMTP\r\n")
    await writer.drain()
    await reader.read(1)


def _say(writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
