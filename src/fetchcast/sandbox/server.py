"""The sandbox as an HTTP server in the running event loop."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Protocol

from aiohttp import web

from fetchcast.clock import Clock, SystemClock
from fetchcast.errors import ConfigError
from fetchcast.sandbox import prh, rail
from fetchcast.sandbox.gate import Fault, Faults, Gate
from fetchcast.sandbox.ledger import Ledger
from fetchcast.sandbox.options import SandboxOptions
from fetchcast.sandbox.served import Call, Served, text

# Linger on, for zero seconds: that is how a reset is asked for. Windows has shorter integers.
_LINGER = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_FINE = 200
_OPENED = frozenset({"routes", "paths"})
"""The parts of ``/stats`` that are written one entry a line."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox, wherever it runs. The paths of its APIs are those of the live ones."""

    url: str
    """Scheme, host and port, without a slash at the end."""
    stats: Callable[[], dict[str, Any]]
    """Exactly what was received and answered since the start."""

    @property
    def rail_url(self) -> str:
        """Takes the place of ``https://rata.digitraffic.fi/api/v1``."""
        return self.url + rail.PREFIX

    @property
    def prh_v1_url(self) -> str:
        """Takes the place of ``http://avoindata.prh.fi/bis/v1``."""
        return self.url + prh.V1_PREFIX

    @property
    def prh_v3_url(self) -> str:
        """Takes the place of ``https://avoindata.prh.fi/opendata-ytj-api/v3``."""
        return self.url + prh.V3_PREFIX


@asynccontextmanager
async def serve_sandbox(
    options: SandboxOptions, *, clock: Clock | None = None
) -> AsyncIterator[Sandbox]:
    """Serve both APIs in the running event loop until the block ends.

    Args:
        options: What to enforce.
        clock: Says which day is today; the sandbox's waits are real in any case.

    Raises:
        ConfigError: The port is taken.
    """
    server = _Server(options, clock or SystemClock())
    runner = web.ServerRunner(web.Server(server.handle, access_log=None), shutdown_timeout=0.2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.host, options.port, backlog=1024)
        await _start(site, options)
        host, port = runner.addresses[0][:2]
        url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        server.sandbox = Sandbox(url, server.ledger.as_json)
        yield server.sandbox
    finally:
        await runner.cleanup()


async def _start(site: web.TCPSite, options: SandboxOptions) -> None:
    try:
        await site.start()
    except OSError as error:
        where, problem = options.host, error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            expected = f"a free port of {where}; another program listens there (0 finds one)"
        elif error.errno == errno.EACCES:
            expected = f"a port of {where} that you may open ({problem}); 0 finds one"
        else:
            expected = f"an address of this machine to listen on ({problem})"
            raise ConfigError("sandbox.host", where, expected) from None
        raise ConfigError("sandbox.port", options.port, expected) from None


class _Api(Protocol):
    """One of the reference APIs."""

    def route(self, path: str) -> str: ...
    def answer(self, call: Call) -> Served: ...
    def refused(self, limit_text: str) -> Served: ...


class _Server:
    """Answers requests."""

    sandbox: Sandbox

    def __init__(self, options: SandboxOptions, clock: Clock) -> None:
        self.ledger = Ledger()
        self._latency_s = options.latency_ms / 1000
        self._etags = options.etags
        self._faults = Faults(share=options.fail_share, seed=options.seed)
        limit, v1_limit = options.concurrency, options.prh_v1_concurrency
        rail_api = rail.Rail(seed=options.seed, clock=clock)
        self._apis: dict[str, tuple[_Api, Gate]] = {
            rail.PREFIX: (rail_api, Gate(options, concurrency=limit)),
            prh.V1_PREFIX: (prh.PrhV1(), Gate(options, concurrency=v1_limit)),
            prh.V3_PREFIX: (prh.PrhV3(clock), Gate(options, concurrency=limit)),
        }

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        for prefix, (api, gate) in self._apis.items():
            if request.path.startswith(prefix):
                return await self._api(request, api, gate)
        if request.path == "/stats":
            return _page(self.ledger.as_json())
        if request.path == "/":
            return _page(_index(self.sandbox))
        return _response(text(404, "There is no such API here; see /"))

    async def _api(self, request: web.BaseRequest, api: _Api, gate: Gate) -> web.StreamResponse:
        route, target = api.route(request.path), request.path_qs
        self.ledger.arrived(route, target)
        served: Served | None = None
        outcome = "gone"
        try:
            served = await self._served(request, api, gate)
            outcome = _outcome(request, served)
        finally:  # Also when the server stops in the middle of the wait.
            rows = served.rows if served and outcome == str(served.status) else 0
            train = served.train if served else None
            self.ledger.ended(route, target, outcome, rows=rows, train=train)
        return _response(served) if served else _reset(request)

    async def _served(self, request: web.BaseRequest, api: _Api, gate: Gate) -> Served | None:
        """What to say; None to reset the connection."""
        refused = gate.enter(asyncio.get_running_loop().time())
        if refused is not None:
            return api.refused(refused)
        try:
            if self._latency_s:
                await asyncio.sleep(self._latency_s)
            fault = self._faults.draw(request.path_qs)
            if fault is not None:
                return _failure(fault)
            served = api.answer(_call(request, self.sandbox.url))
            return _tagged(served, request) if self._etags and served.status == _FINE else served
        finally:
            gate.leave()


def _index(sandbox: Sandbox) -> dict[str, str]:
    return {
        "rail": sandbox.rail_url,
        "prh_v1": sandbox.prh_v1_url,
        "prh_v3": sandbox.prh_v3_url,
        "stats": sandbox.url + "/stats",
    }


def _outcome(request: web.BaseRequest, served: Served | None) -> str:
    transport = request.transport
    if transport is None or transport.is_closing():
        return "gone"
    return "reset" if served is None else str(served.status)


def _call(request: web.BaseRequest, base_url: str) -> Call:
    headers = request.headers
    return Call(
        method=request.method,
        path=request.path,
        query=dict(request.query),
        query_string=request.query_string,
        accept=headers.get("Accept", ""),
        accepts_gzip=_accepts_gzip(headers.get("Accept-Encoding", "")),
        base_url=base_url,
    )


def _accepts_gzip(accept_encoding: str) -> bool:
    for part in accept_encoding.lower().split(","):
        name, _, quality = part.partition(";")
        if name.strip() in {"gzip", "*"}:
            return quality.replace(" ", "").rstrip("0").rstrip(".") != "q="
    return False


def _tagged(served: Served, request: web.BaseRequest) -> Served:
    tag = f'"{blake2b(served.body, digest_size=8).hexdigest()}"'
    if request.headers.get("If-None-Match") == tag:
        return Served(status=304, body=b"", headers={"ETag": tag})
    return replace(served, headers={**served.headers, "ETag": tag})


def _failure(fault: Fault) -> Served | None:
    if fault is Fault.RESET:
        return None
    status = int(fault)
    return text(status, f"<html><body>{status}</body></html>", {"Content-Type": "text/html"})


def _response(served: Served) -> web.Response:
    return web.Response(status=served.status, body=served.body, headers=served.headers)


def _page(value: Mapping[str, Any]) -> web.Response:
    return web.Response(text=_lines(value, "") + "\n", content_type="application/json")


def _lines(value: Mapping[str, Any], indent: str) -> str:
    """JSON for people and for grep: a line for each route and each path."""
    inside = [
        f"{indent}  {json.dumps(name)}: "
        + (_lines(inner, indent + "  ") if name in _OPENED else json.dumps(inner))
        for name, inner in value.items()
    ]
    return "{\n" + ",\n".join(inside) + f"\n{indent}}}"


def _reset(request: web.BaseRequest) -> web.StreamResponse:
    """Drop the connection with RST; the response is only what the server library waits for."""
    transport = request.transport
    if transport is not None:
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        transport.abort()
    return web.Response()
