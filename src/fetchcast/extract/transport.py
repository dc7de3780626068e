"""Opens the transport that this machine can run: libcurl where there is one, else aiohttp."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec

from fetchcast.errors import CallError, ConfigError
from fetchcast.extract.transport_contract import Done, Handle, Transport, TransportOptions
from fetchcast.records import Answer, Request

__all__ = ["Done", "Handle", "Transport", "TransportOptions", "fetch", "open_transport", "preload"]


@asynccontextmanager
async def open_transport(options: TransportOptions) -> AsyncIterator[Transport]:
    """Open a transport; leaving drops every call that has not ended, within a second.

    Raises:
        ConfigError: If ``options.prefer`` names a transport that is not installed, or the
            ``ca_file`` cannot be read.
    """
    if options.ca_file is not None and not os.access(options.ca_file, os.R_OK):
        raise ConfigError("ca_file", options.ca_file, "a PEM file that can be read")
    async with _chosen(options) as transport:
        yield transport


def preload(options: TransportOptions) -> None:
    """Load the driver that `open_transport` will use; the first call need not wait for it then."""
    _chosen(options)


def _chosen(options: TransportOptions) -> AbstractAsyncContextManager[Transport]:
    """Import only what is used: either driver costs a good part of a start."""
    if options.prefer == "curl" or (options.prefer == "auto" and _curl_works()):
        if not _curl_works():
            raise ConfigError("prefer", "curl", "a platform where pycurl can be imported")
        from fetchcast.extract.transport_curl import open_curl  # noqa: PLC0415

        return open_curl(options)
    from fetchcast.extract.transport_aiohttp import open_aiohttp  # noqa: PLC0415

    return open_aiohttp(options)


def _curl_works() -> bool:
    if find_spec("pycurl") is None:
        return False
    try:
        import fetchcast.extract.transport_curl  # noqa: F401, PLC0415
    except ImportError:  # Installed, but the libcurl it was built for is not there.
        return False
    return True


async def fetch(
    transport: Transport,
    request: Request,
    headers: Mapping[str, str] | None = None,
    query: str = "",
) -> Answer:
    """The answer to one call; for the odd one, such as a token. Many calls go through `start`.

    Raises:
        CallError: If there is no answer. Cancelling drops the call.
    """
    ended: asyncio.Future[Answer | CallError] = asyncio.get_running_loop().create_future()
    handle = transport.start(request, headers or {}, ended.set_result, query)
    try:
        result = await ended
    except asyncio.CancelledError:
        handle.cancel()
        raise
    if isinstance(result, CallError):
        raise result
    return result
