"""The request of another page: the same call with one value changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import (
    SplitResult,
    unquote_plus,
    urlencode,
    urljoin,
    urlsplit,
    urlunsplit,
)

import msgspec

from fetchcast.json_path import Path
from fetchcast.records import HIDDEN, Request, Scalar, request_key


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value goes in a request: one of the three."""

    query: str | None = None
    header: str | None = None
    body: Path = ()
    named_by: frozenset[str] = frozenset()
    """The headers by which a call differs from its siblings."""

    def put(self, request: Request, value: Scalar, *, page: int) -> Request:
        """``request`` with ``value`` there, as page number ``page`` of its list."""
        if self.query is not None:
            url = with_query(request.url, self.query, value)
            return renamed(request, page=page, url=url, named_by=self.named_by)
        if self.header is not None:
            headers = {**request.headers, self.header: str(value)}
            named_by = self.named_by | {self.header}
            return renamed(request, page=page, headers=headers, named_by=named_by)
        content = msgspec.json.decode(request.body) if request.body else {}
        body = msgspec.json.encode(_with_value(content, self.body, value))
        return renamed(request, page=page, body=body, named_by=self.named_by)


def renamed(
    request: Request,
    *,
    page: int,
    url: str | None = None,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
    named_by: frozenset[str] = frozenset(),
) -> Request:
    """``request`` with what is given changed, and the key that belongs to it."""
    url = request.url if url is None else url
    content = request.body if body is None else body
    sent = request.headers if headers is None else headers
    told = {name: value for name, value in sent.items() if name in named_by}
    return msgspec.structs.replace(
        request,
        url=url,
        headers=sent,
        body=content,
        page=page,
        key=request_key(request.method, url, content, resource=request.resource, headers=told),
    )


def with_query(url: str, name: str, value: Scalar) -> str:
    """``url`` with the query parameter ``name`` set to ``value``; the others stay as they are."""
    parts = urlsplit(url)
    kept = [
        pair
        for pair in parts.query.split("&")
        if pair and unquote_plus(pair.partition("=")[0]) != name
    ]
    return urlunsplit(parts._replace(query="&".join([*kept, urlencode({name: str(value)})])))


def followed_url(url: str, link: str) -> str:
    """The address that ``link`` in the answer of ``url`` means.

    Raises:
        ValueError: If it is none that may be asked: another host gets neither calls nor secrets.
    """
    here, there = urlsplit(url), urlsplit(urljoin(url, link.strip()))
    if _host(here) != _host(there):
        raise ValueError(f"the next page is on another host ({there.netloc or link!r})")
    # A secret that the API repeats in the link was taken out of it; the call is signed anew.
    kept = [pair for pair in there.query.split("&") if pair.partition("=")[2] != HIDDEN]
    # Behind a proxy that ends TLS, an API takes itself for one without.
    there = there._replace(scheme=here.scheme, netloc=here.netloc)
    return urlunsplit(there._replace(query="&".join(kept), fragment=""))


def _host(parts: SplitResult) -> tuple[str, int | None]:
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    port = parts.port if parts.port not in {usual, None} else None
    return parts.hostname or "", port


def _with_value(content: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, int) and isinstance(content, list) and step < len(content):
        return [*content[:step], _with_value(content[step], rest, value), *content[step + 1 :]]
    found = content if isinstance(content, dict) else {}
    return {**found, str(step): _with_value(found.get(str(step)), rest, value)}
