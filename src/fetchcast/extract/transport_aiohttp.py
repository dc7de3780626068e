"""The transport over aiohttp, for where libcurl has no wheel: the same contract, one task a call.

It costs three times the CPU of the one over libcurl and knows no HTTP/2 and no SOCKS.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import yarl

from fetchcast.errors import BrokenAnswer, CallError, ConfigError
from fetchcast.extract.addresses import REDIRECTS, Trail, ascii_url, follow, redacted, with_query
from fetchcast.extract.decoding import ENCODINGS, Overlong, Undecodable, decoded
from fetchcast.extract.failures import (
    merged,
    no_address,
    no_http,
    no_name,
    no_proxy,
    no_tls,
    nobody_there,
    not_begun,
    not_complete,
    not_connected,
    not_trusted,
    stopped,
    too_large,
    undecodable,
)
from fetchcast.extract.proxies import Proxies
from fetchcast.extract.transport_contract import Done, TransportOptions
from fetchcast.records import Answer, Request

_CLOSING_S = 1.0
_CHUNK_BYTES = 64 * 1024


@asynccontextmanager
async def open_aiohttp(options: TransportOptions) -> AsyncIterator[AiohttpTransport]:
    """Open the transport over aiohttp; see `fetchcast.extract.transport.open_transport`.

    Raises:
        ConfigError: If ``proxy`` is a SOCKS proxy, or ``ca_file`` is no file of certificates.
    """
    if options.proxy and not options.proxy.startswith("http"):
        raise ConfigError(
            "proxy", redacted(options.proxy), "http:// or https:// (SOCKS needs pycurl)"
        )
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=options.max_connections, ssl=_trust(options)),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": options.user_agent, "Accept-Encoding": ENCODINGS},
        auto_decompress=False,  # See `fetchcast.extract.decoding`.
        timeout=aiohttp.ClientTimeout(total=None, connect=options.connect_timeout_s),
        skip_auto_headers=("Content-Type",),
        read_bufsize=_CHUNK_BYTES,
    )
    async with session:
        transport = AiohttpTransport(options, session)
        try:
            yield transport
        finally:
            await transport.close()


def _trust(options: TransportOptions) -> ssl.SSLContext | bool:
    if not options.verify:
        return False
    ca_file = options.ca_file or os.environ.get("SSL_CERT_FILE")
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as unusable:
        raise ConfigError("ca_file", ca_file, f"a PEM file of certificates ({unusable})") from None


class _Call:
    """One call on its way, and its `Handle`."""

    __slots__ = ("done", "started", "task", "trail")

    def __init__(self, trail: Trail, done: Done) -> None:
        self.trail = trail
        self.done: Done | None = done
        self.started = 0.0
        self.task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """See `Handle.cancel`."""
        self.done = None
        if self.task is not None:
            self.task.cancel()

    def end(self, result: Answer | CallError) -> None:
        """Tell the caller, once."""
        done, self.done = self.done, None
        if done is not None:
            done(result)


class AiohttpTransport:
    """See `fetchcast.extract.transport_contract.Transport`."""

    name = "aiohttp"

    def __init__(self, options: TransportOptions, session: aiohttp.ClientSession) -> None:
        self._options, self._session = options, session
        self._loop = asyncio.get_running_loop()
        # Waiting for a connection happens here, before any deadline runs.
        self._room = asyncio.Semaphore(options.max_connections)
        self._calls: set[_Call] = set()
        self._proxies = Proxies(options)
        self._closed = False

    def start(
        self, request: Request, headers: Mapping[str, str], done: Done, query: str = ""
    ) -> _Call:
        """See `Transport.start`.

        Raises:
            ValueError: If a header has a line break in it.
        """
        merged(request.headers, headers)
        call = _Call(Trail(request=request, headers=headers, query=query), done)
        if self._closed:
            self._loop.call_soon(call.end, stopped(call.trail.request.url))
            return call
        self._calls.add(call)
        call.task = self._loop.create_task(self._serve(call))
        return call

    async def close(self) -> None:
        """Drop every call; what has not ended ends with `TransportStopped`."""
        self._closed = True
        left = list(self._calls)
        for call in left:
            call.end(stopped(call.trail.request.url))
            call.cancel()
        tasks = [call.task for call in left if call.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSING_S)

    async def _serve(self, call: _Call) -> None:
        try:
            async with self._room:
                call.started = time.monotonic()
                result = await self._result(call)
            call.end(result)
        finally:
            self._calls.discard(call)

    async def _result(self, call: _Call) -> Answer | CallError:
        options = self._options
        try:
            async with asyncio.timeout(options.total_timeout_s):
                return await self._answer(call)
        except CallError as error:
            return error
        except TimeoutError:
            return not_complete(call.trail.request.url, options)
        except Overlong:
            return too_large(call.trail.request.url, options)
        except Undecodable as why:
            return undecodable(call.trail.request.url, why)
        except Exception as error:  # noqa: BLE001  aiohttp and its parsers raise many kinds
            return _call_error(call.trail.request.url, error)

    async def _answer(self, call: _Call) -> Answer:
        """Ask, and ask again where a redirect leads."""
        options = self._options
        while True:
            response = await self._asked(call.trail)
            try:
                headers = _joined(response)
                if response.status not in REDIRECTS or "location" not in headers:
                    return Answer(
                        status=response.status,
                        headers=headers,
                        body=decoded(
                            await self._body(call.trail.request.url, response),
                            headers.get("content-encoding", ""),
                            options.max_body_bytes,
                        ),
                        url=call.trail.request.url,
                        elapsed_s=time.monotonic() - call.started,
                        http_version=_version(response),
                    )
            finally:
                # Closes the connection unless the body was read to its end.
                response.release()
            call.trail = follow(
                call.trail,
                response.status,
                headers["location"],
                allowed=options.allowed_hosts,
                at_most=options.max_redirects,
            )

    async def _asked(self, trail: Trail) -> aiohttp.ClientResponse:
        """The head of the answer."""
        request, options = trail.request, self._options
        try:
            async with asyncio.timeout(options.first_byte_timeout_s):
                return await self._session.request(
                    request.method,
                    yarl.URL(ascii_url(with_query(request.url, trail.query)), encoded=True),
                    headers=merged(request.headers, trail.headers),
                    data=request.body,
                    allow_redirects=False,
                    proxy=self._proxies.of(request.url) or None,
                )
        except aiohttp.ConnectionTimeoutError:
            raise not_connected(request.url, options) from None
        except TimeoutError:
            raise not_begun(request.url, options) from None

    async def _body(self, url: str, response: aiohttp.ClientResponse) -> bytes:
        chunks: list[bytes] = []
        room = self._options.max_body_bytes
        async for chunk in response.content.iter_any():
            room -= len(chunk)
            if room < 0:
                response.close()
                raise too_large(url, self._options)
            chunks.append(chunk)
        return b"".join(chunks)


def _joined(response: aiohttp.ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        name = name.lower()  # noqa: PLW2901
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _version(response: aiohttp.ClientResponse) -> str:
    version = response.version
    return f"{version.major}.{version.minor}" if version else "1.1"


def _call_error(url: str, error: Exception) -> CallError:
    """What aiohttp's exception means, in plain words."""
    text = str(error) or type(error).__name__
    for kind, verdict in _CONNECT_ERRORS:
        if isinstance(error, kind):
            return verdict(url, _cause(error))
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return BrokenAnswer(redacted(url), "the server closed the connection without an answer")
    if isinstance(error, aiohttp.ClientResponseError):
        return no_http(url, error.message)
    cut = isinstance(error, aiohttp.ClientPayloadError)
    meaning = "the answer was cut short" if cut else "the connection broke"
    return BrokenAnswer(redacted(url), f"{meaning} ({text})")


# The first that fits; a certificate error is also an SSL error is also a connector error.
_CONNECT_ERRORS: Final[Sequence[tuple[type[Exception], Callable[[str, object], CallError]]]] = (
    (aiohttp.ClientConnectorCertificateError, not_trusted),
    (aiohttp.ClientConnectorSSLError, no_tls),
    (aiohttp.ClientConnectorDNSError, no_name),
    (aiohttp.ClientProxyConnectionError, no_proxy),
    (aiohttp.ClientHttpProxyError, no_proxy),
    (aiohttp.ClientConnectorError, nobody_there),
    (aiohttp.InvalidURL, no_address),
    (aiohttp.NonHttpUrlClientError, no_address),
    (UnicodeError, no_address),
    (ValueError, no_address),
)


def _cause(error: Exception) -> str:
    """The reason without aiohttp's words around it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or str(error.os_error)
    return str(error) or type(error).__name__
