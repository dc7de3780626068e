"""What a URL says about trust: its origin, the form that may be shown, where a redirect may lead.

Pure. Both transports ask here, so that they follow, drop and refuse alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote_plus, urljoin, urlsplit, urlunsplit

from msgspec import structs

from fetchcast.errors import RedirectRefused
from fetchcast.records import Request

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_SECRET_NAMES = re.compile(
    r"([?&;](?:[^=&;#]*[-_.])?(?:key|apikey|token|secret|password|passwd|pwd|sig|signature|auth)=)[^&;#]*",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"^([a-z][a-z0-9+.-]*://)[^/?#]*@", re.IGNORECASE)
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
_ABOUT_THE_BODY = frozenset({"content-type", "content-length", "content-encoding"})
# What may stand in a URL as it is: the reserved marks, the percent sign of what is encoded already.
_SAFE = "/:?#[]@!$&'()*+,;=%-._~"


def redacted(url: str) -> str:
    """``url`` as it may be shown: without user and password, and without the values of keys."""
    return _SECRET_NAMES.sub(r"\1***", _USERINFO.sub(r"\1***@", url))


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port; credentials given to one origin are no other's business.

    Raises:
        ValueError: If ``url`` is no URL.
    """
    parts = urlsplit(url)
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port


def ascii_url(url: str) -> str:
    """``url`` as it goes over the wire: host in IDNA, other characters percent-encoded.

    Raises:
        ValueError: If the host is no host name.
    """
    if url.isascii() and " " not in url:
        return url
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    netloc = quote(user, safe=_SAFE) + at + host.encode("idna").decode("ascii")
    rest = (quote(part, safe=_SAFE) for part in (parts.path, parts.query, parts.fragment))
    return urlunsplit((parts.scheme, netloc, *rest))


def with_query(url: str, query: str) -> str:
    """``url`` with ``query`` (``name=value``), in place of parameters of that name."""
    if not query:
        return url
    name = query.partition("=")[0]
    url = _dropped(url.partition("#")[0], lambda part: part.partition("=")[0] == name)
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _dropped(url: str, unwanted: Callable[[str], bool]) -> str:
    """``url`` without the ``unwanted`` parameters of its query."""
    start, mark, query = url.partition("?")
    kept = "&".join(part for part in query.split("&") if not unwanted(part))
    return f"{start}?{kept}" if mark and (kept or not query) else start


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """Where a call has got to: what to ask next, with which credentials, after how many steps."""

    request: Request
    headers: Mapping[str, str]
    query: str = ""
    """See `with_query`; not part of the request's own address."""
    steps: int = 0


def follow(
    trail: Trail, status: int, location: str, *, allowed: tuple[str, ...], at_most: int
) -> Trail:
    """The next step of ``trail`` after a redirect answer.

    Another origin gets no credentials; 303, and 301 or 302 to a POST, go on as GET (as browsers
    do); 307 and 308 repeat the call as it was.

    Raises:
        RedirectRefused: To a host that is not allowed, from https to http, or too many steps.
    """
    request = trail.request
    target, query = _secret_apart(_target(request.url, location), trail.query)
    if trail.steps >= at_most:
        raise RedirectRefused(
            redacted(request.url),
            f"redirected more than {at_most} times, last to {redacted(target)}",
        )
    here, there = origin(request.url), origin(target)
    _refuse_strangers(request.url, target, here, there, allowed)
    request = _repeat(request, status, target)
    if here == there:
        return Trail(request=request, headers=trail.headers, query=query, steps=trail.steps + 1)
    return Trail(
        request=structs.replace(request, headers=_without(request.headers, _CREDENTIALS)),
        headers={},
        steps=trail.steps + 1,
    )


def _secret_apart(target: str, query: str) -> tuple[str, str]:
    """``target`` without our key, which some servers repeat there, and the key to go on with.

    A server that names another value means that one.
    """
    if not query:
        return target, query
    name, _, value = query.partition("=")
    ours = f"{name}={unquote_plus(value)}"
    target = _dropped(target, lambda part: unquote_plus(part) == ours)
    others = any(part.partition("=")[0] == name for part in target.partition("?")[2].split("&"))
    return target, "" if others else query


def _target(url: str, location: str) -> str:
    try:
        target = ascii_url(urljoin(url, location.strip()))
        scheme, host, _ = origin(target)
    except ValueError:
        scheme = host = target = ""
    if scheme not in _DEFAULT_PORTS or not host:
        raise RedirectRefused(
            redacted(url), f"redirected to {redacted(location)[:200]!r}, which is no web address"
        )
    return target


def _refuse_strangers(
    url: str,
    target: str,
    here: tuple[str, str, int | None],
    there: tuple[str, str, int | None],
    allowed: tuple[str, ...],
) -> None:
    if there[1] != here[1] and "*" not in allowed and there[1] not in map(str.lower, allowed):
        raise RedirectRefused(
            redacted(url),
            f"redirected to {redacted(target)}, a host that is not allowed\n"
            f'hint: allowed_hosts = ["{there[1]}"] allows it; credentials do not go along',
        )
    if (here[0], there[0]) == ("https", "http"):
        raise RedirectRefused(
            redacted(url),
            f"redirected to {redacted(target)}, from an encrypted address to a plain one",
        )


def _repeat(request: Request, status: int, target: str) -> Request:
    turns_to_get = status == 303 or (status in {301, 302} and request.method == "POST")  # noqa: PLR2004
    if turns_to_get and request.method != "HEAD":
        return structs.replace(
            request,
            url=target,
            method="GET",
            body=None,
            headers=_without(request.headers, _ABOUT_THE_BODY),
        )
    return structs.replace(request, url=target)


def _without(headers: Mapping[str, str], names: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in names}
