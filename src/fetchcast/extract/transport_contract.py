"""What a transport promises, and its options. It sends one call and brings one answer back.

A transport knows nothing of pace, retries or landing. Two keep this contract: `transport_curl`
(libcurl in a thread of its own) and `transport_aiohttp` (pure asyncio). `transport` chooses.
The conformance suite in `fetchcast.testing.transport_conformance` is the contract in full.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypeAlias

import msgspec

from fetchcast.errors import CallError
from fetchcast.records import Answer, Request

Done: TypeAlias = Callable[[Answer | CallError], None]
"""Told how a call ended: the answer, whatever its status, or why there is none."""


class Handle(Protocol):
    """One call that was started."""

    def cancel(self) -> None:
        """Drop the call: what has not left is not sent, and ``done`` is not called any more.

        To be called on the event loop's thread; does nothing once the call has ended.
        """


class Transport(Protocol):
    """Sends calls. Made by `fetchcast.extract.transport.open_transport`."""

    @property
    def name(self) -> str:
        """``curl`` or ``aiohttp``."""

    def start(
        self, request: Request, headers: Mapping[str, str], done: Done, query: str = ""
    ) -> Handle:
        """Send ``request`` as soon as a connection is free; never waits, never raises CallError.

        Args:
            request: What to ask.
            headers: Added to the request's own (authentication). Never logged, never in an
                error's text, dropped when a redirect leads to another origin.
            done: Called once, on the event loop's thread, never within `start` and never after
                `Handle.cancel`. It must not block and must not raise.
            query: ``name=value``, encoded, added to the address on the wire in place of a
                parameter of that name. As secret as ``headers``: it is in no error and not in
                the answer's ``url``.
        """


class TransportOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How calls are sent; the same for all calls of one transport."""

    max_connections: int = 512
    """Sockets open at the same time, to all hosts together. Calls wait their turn; with HTTP/2
    many share a connection."""
    connect_timeout_s: float = 10.0
    """Name lookup, TCP and TLS together."""
    first_byte_timeout_s: float = 60.0
    """From sending to the first byte of the answer, connecting included."""
    total_timeout_s: float = 120.0
    """From sending to the last byte, redirects included. Waiting for a free connection is not
    counted in any of the three."""
    max_body_bytes: int = 64 * 1024 * 1024
    """Of one decoded body; a larger one is `BodyTooLarge` and is not kept."""
    user_agent: str = "fetchcast"
    allowed_hosts: tuple[str, ...] = ()
    """Hosts to which a redirect may lead, besides the request's own; ``*`` means any."""
    max_redirects: int = 5
    ca_file: str | None = None
    """A PEM file of authorities to trust instead of the system's."""
    proxy: str | None = None
    """``http://[user:password@]host:port`` or ``socks5://``; None reads the environment
    (``HTTPS_PROXY``, ``HTTP_PROXY``, ``NO_PROXY``), an empty text means none at all."""
    verify: bool = True
    """Whether a server must prove who it is; False only for tests."""
    http2: Literal["auto", "never"] = "auto"
    """``auto``: where a server offers it over TLS, and the transport can."""
    prefer: Literal["auto", "curl", "aiohttp"] = "auto"
    """``auto``: curl where pycurl can be imported, else aiohttp."""

    def __post_init__(self) -> None:
        for name in ("max_connections", "max_body_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        for name in ("connect_timeout_s", "first_byte_timeout_s", "total_timeout_s"):
            if not 0 < getattr(self, name) <= 86_400:  # noqa: PLR2004  a day
                raise ValueError(
                    f"{name} must be above 0 and at most 86400, not {getattr(self, name)}"
                )
        if self.max_redirects < 0:
            raise ValueError(f"max_redirects must be 0 or more, not {self.max_redirects}")
        if "\r" in self.user_agent or "\n" in self.user_agent:
            raise ValueError("user_agent must be one line")
