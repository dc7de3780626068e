"""What the app does for every request before a page is asked: whom it answers, by which rules.

One ASGI layer around everything. It answers only to the host names it knows (a page elsewhere
cannot reach a loopback server by DNS rebinding), asks for the token where there is one, refuses
writes that another site's page sent, and puts the same strict headers on each answer: scripts,
styles and pictures come from here or not at all.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fetchcast.clock import Clock
from fetchcast.errors import ConfigError

Network: TypeAlias = IPv4Network | IPv6Network
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""The content security policy of every answer; it has no ``unsafe-`` in it."""

_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_COOKIE = "fetchcast_token"
_FAILED_TOKENS = 10
_LONGEST_ADDRESS = 20_000
_LARGEST_BODY = 20_000
_WINDOW_S = 60.0


def network(text: str) -> Network:
    """A network or a single address; raises `ConfigError`."""
    try:
        return ip_network(text)
    except ValueError as problem:
        expected = 'an address or a network, such as "172.18.0.0/16"'
        raise ConfigError("--behind-proxy", text, expected) from problem


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(slots=True)
class FailedTokens:
    """Slows guessing down: at most ten wrong tokens a minute are looked at, from all together."""

    clock: Clock
    at: deque[float] = field(default_factory=deque)

    def full(self) -> bool:
        """Whether the next token is refused unread."""
        now = self.clock.monotonic()
        while self.at and self.at[0] < now - _WINDOW_S:
            self.at.popleft()
        return len(self.at) >= _FAILED_TOKENS

    def add(self) -> None:
        """Count one wrong token."""
        self.at.append(self.clock.monotonic())


class Manners:
    """The layer.

    ``hosts`` are names besides the loopback ones, ``token`` is the secret or None, ``proxies`` are
    the networks from which alone requests may come, if there are any.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str],
        token: str | None,
        clock: Clock,
        proxies: Iterable[Network] = (),
    ) -> None:
        self.app = app
        self._proxies = tuple(proxies)
        self._hosts = _LOOPBACK_NAMES | {host.lower() for host in hosts}
        self._token = token
        self._failed = FailedTokens(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that may not pass, or hand it on and dress the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self.app)(scope, receive, dressed)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        peer = scope["client"][0]
        if self._proxies and not self._by_proxy(peer):
            return _text(403, "Only the proxy before this app may ask it.")
        if headers.get("x-forwarded-proto") == "https" and (self._proxies or is_loopback(peer)):
            scope["scheme"] = "https"
        if _name(headers.get("host", "")) not in self._hosts:
            return _text(
                421, "This server does not answer to that host name. Add it to [app] hosts."
            )
        if len(scope["query_string"]) + len(scope["raw_path"]) > _LONGEST_ADDRESS:
            return _text(414, f"That address is longer than {_LONGEST_ADDRESS:,} characters.")
        if int(headers.get("content-length") or 0) > _LARGEST_BODY:
            return _text(413, f"Nothing here wants more than {_LARGEST_BODY:,} bytes.")
        if scope["method"] not in _SAFE and not _same_origin(headers):
            return _text(403, "Another site's page may not change anything here.")
        return self._stranger(scope, headers) if self._token is not None else None

    def _by_proxy(self, peer: str) -> bool:
        address = ip_address(peer)
        return any(address in network for network in self._proxies)

    def _stranger(self, scope: Scope, headers: Headers) -> Response | None:
        """None for a request that carries the token; else the way to get in."""
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        asked = query.pop("token", None)
        given = asked or _bearer(headers) or _cookie(headers)
        if given is None:
            return _text(401, "A token is needed: open the address that `fetchcast serve` printed.")
        if self._failed.full():
            return _text(429, "Too many wrong tokens. Wait a minute.", {"Retry-After": "60"})
        if not hmac.compare_digest(given.encode(), (self._token or "").encode()):
            self._failed.add()
            return _text(401, "That token is wrong.")
        return _welcome(scope, query, given) if asked else None


def _welcome(scope: Scope, query: dict[str, str], token: str) -> Response:
    """Move the token from the address into a cookie that no script can read."""
    target = scope["path"] + ("?" + urlencode(query) if query else "")
    answer = RedirectResponse("/" + target.lstrip("/"), status_code=303)
    answer.set_cookie(
        _COOKIE, token, httponly=True, samesite="strict", secure=scope["scheme"] == "https"
    )
    return answer


def _text(status: int, words: str, headers: dict[str, str] | None = None) -> Response:
    extra = {"www-authenticate": "Bearer"} if status == 401 else {}  # noqa: PLR2004
    return Response(
        words + "\n", status, media_type="text/plain", headers={**extra, **(headers or {})}
    )


def _name(host: str) -> str:
    """The name of a Host header, without its port."""
    return host.lower().rsplit(":", 1)[0] if not host.endswith("]") else host.lower()


def _same_origin(headers: Headers) -> bool:
    """Whether a write comes from our own page, or from a program that shows the token itself."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
    return _bearer(headers) is not None or "cookie" not in headers


def _bearer(headers: Headers) -> str | None:
    kind, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() or None if kind.lower() == "bearer" else None


def _cookie(headers: Headers) -> str | None:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(_COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None
