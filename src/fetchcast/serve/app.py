"""The app: one page for the answer, one for each series behind it, and the same as JSON and CSV.

`create_app` builds it from a `Source`, which says what there is to show; `serve` listens. The
app only reads: the destination through `fetchcast.serve.queries`, runs through the landing.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from fetchcast.clock import Clock, SystemClock
from fetchcast.errors import ConfigError
from fetchcast.serve import api, assets, data_pages, pages, problems, reference, run_pages
from fetchcast.serve.live import Starter
from fetchcast.serve.manners import Manners, is_loopback, network
from fetchcast.serve.queries import open_store
from fetchcast.serve.reading import Reading
from fetchcast.serve.source import Source
from fetchcast.serve.warming import Warming

__all__ = ["Source", "create_app", "serve"]

_GZIP_LEAST_BYTES = 600
_BACKLOG = 256
_WARM_S = 1.0
_GRACE_S = 2
"""How long Ctrl-C waits for answers that are under way; the stream of a run would never end."""


def create_app(
    source: Source,
    *,
    token: str | None = None,
    proxies: Sequence[str] = (),
    clock: Clock | None = None,
) -> FastAPI:
    """Build the app. Nothing is opened before the first request, so a missing database is a page.

    Args:
        source: What there is to show.
        token: If given, nobody reads anything without it.
        proxies: Addresses or networks from which alone requests may come: those of a proxy that
            asks people who they are.
        clock: The time, for ages and for the day that "next Wednesday" is counted from.
    """
    clock = clock or SystemClock()
    store = open_store(source.destination, source.folder, clock)
    reading = Reading(source=source, store=store, clock=clock)
    starter = Starter(reading)
    warming = Warming(reading)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        warming.stop()
        starter.close()
        store.close()

    app = FastAPI(
        title=f"fetchcast: {source.options.title or source.name}",
        version=assets.version(),
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # Its page would load scripts from another host.
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.warming = warming
    app.state.guarded = token is not None or bool(proxies)
    problems.install(app, reading)
    app.mount("/static", assets.Files())
    app.include_router(api.router(reading))
    app.include_router(pages.router(reading))
    app.include_router(run_pages.router(reading, starter))
    app.include_router(data_pages.router(reading))
    reference.install(app, reading)
    app.add_middleware(GZipMiddleware, minimum_size=_GZIP_LEAST_BYTES)
    app.add_middleware(
        Manners,
        hosts=source.options.hosts,
        token=token,
        clock=clock,
        proxies=[network(text) for text in proxies],
    )
    return app


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


def serve(
    app: FastAPI,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Listen until SIGINT or SIGTERM; prints nothing.

    Args:
        app: From `create_app`.
        host: The address to listen on. One that other machines reach needs an app with a token.
        port: 0 takes a free one.
        on_ready: Told the address once requests are answered.

    Raises:
        ConfigError: If others could reach the app without a token, or the port is taken.
    """
    if not is_loopback(host) and not app.state.guarded:
        expected = "a loopback address, a --token that visitors must show, or --behind-proxy"
        raise ConfigError("--host", host, expected)
    listener = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        # Who asks is the other end of the connection, whatever a header says.
        proxy_headers=False,
        lifespan="on",
        timeout_graceful_shutdown=_GRACE_S,
    )

    def ready() -> None:
        # The first page would wait for the same; so the address is told a moment later.
        app.state.warming.wait(_WARM_S)
        if on_ready is not None:
            on_ready(url)

    app.state.warming.start()
    with listener:
        _Server(config, ready).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as problem:
        listener.close()
        raise ConfigError("--port", port, f"a port that is free on {host} ({problem})") from problem
    return listener
