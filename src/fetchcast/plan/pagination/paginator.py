"""From options to chains: how the pages of one resource are asked for. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from fetchcast.json_path import Path, parse_path, value_at
from fetchcast.plan.pagination.address import Place, followed_url, renamed
from fetchcast.plan.pagination.chains import Chain, Following, Numbered, Page
from fetchcast.plan.pagination.options import (
    Cursor,
    LinkHeader,
    NextUrl,
    Offset,
    PageNumber,
    PaginatorOptions,
)
from fetchcast.records import Request

_LINK = re.compile(r"<([^>]*)>([^<]*)")
_REL = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,]+))", re.IGNORECASE)


class Paginator(Protocol):
    """How the pages of one resource are asked for; a class of your own may be one."""

    headers: frozenset[str]
    """Which headers of the answers, in lower case, it reads: they are kept with the answers."""

    def first(self, request: Request) -> Request:
        """The call of the first page, from the call that the plan makes. Of equal calls, equal."""

    def chain(self, first: Request, since: float) -> Chain:
        """Begin one list, whose first page was answered at ``since``."""


def paginator_of(options: PaginatorOptions, named_by: frozenset[str] = frozenset()) -> Paginator:
    """The paginator that ``options`` describe.

    Args:
        options: From `read_paginator`.
        named_by: The headers by which a call of the resource differs from its siblings.
    """
    match options:
        case LinkHeader():
            return _Linked(options.maximum, lambda page: link_in(page, options.rel), named_by)
        case NextUrl():
            path = parse_path(options.path)
            return _Linked(options.maximum, lambda page: _text_at(page, path), named_by)
        case Cursor():
            return _Cursors(options, named_by)
        case Offset():
            return _Offsets(options, named_by)
        case PageNumber():
            return _Numbers(options, named_by)


def link_in(page: Page, rel: str) -> str | None:
    """The address with ``rel`` in a page's ``Link`` header (RFC 8288), or None."""
    for address, rest in _LINK.findall(page.headers.get("link", "")):
        found = _REL.search(rest)
        if found and rel in (found[1] or found[2] or "").lower().split():
            return str(address)
    return None


def _text_at(page: Page, path: Path) -> str | None:
    value = value_at(page.document, path)
    return value if isinstance(value, str) and value.strip() else None


class _Linked:
    """The answer gives the next page's address."""

    def __init__(
        self,
        maximum: int | None,
        link_of: Callable[[Page], str | None],
        named_by: frozenset[str],
    ) -> None:
        self._maximum, self._link_of, self._named_by = maximum, link_of, named_by
        self.headers = frozenset({"link"})

    def first(self, request: Request) -> Request:
        return request

    def chain(self, first: Request, since: float) -> Chain:
        return Following(first, since, self._maximum, next_of=self._next)

    def _next(self, page: Page) -> Request | None:
        link = self._link_of(page)
        if link is None:
            return None
        url = followed_url(page.request.url, link)
        page_number = page.request.page + 1
        return renamed(page.request, page=page_number, url=url, named_by=self._named_by)


class _Cursors:
    """The answer gives a text that is sent for the next page."""

    def __init__(self, options: Cursor, named_by: frozenset[str]) -> None:
        self._options = options
        self.headers = frozenset(filter(None, [(options.header or "").lower()]))
        self._path = parse_path(options.path or "")
        self._more = parse_path(options.has_more or "")
        self._place = Place(
            query=options.param,
            header=options.into_header,
            body=parse_path(options.into_body or ""),
            named_by=named_by,
        )

    def first(self, request: Request) -> Request:
        return request

    def chain(self, first: Request, since: float) -> Chain:
        return Following(first, since, self._options.maximum, next_of=self._next)

    def _next(self, page: Page) -> Request | None:
        if self._more and not value_at(page.document, self._more):
            return None
        cursor = self._cursor(page)
        if cursor is None or cursor == "":
            return None
        return self._place.put(page.request, cursor, page=page.request.page + 1)

    def _cursor(self, page: Page) -> str | int | None:
        if self._options.header is not None:
            return page.headers.get(self._options.header.lower())
        value = value_at(page.document, self._path)
        return value if isinstance(value, str | int) and not isinstance(value, bool) else None


class _Offsets:
    """Pages by how many rows to leave out."""

    def __init__(self, options: Offset, named_by: frozenset[str]) -> None:
        self._options, self._named_by = options, named_by
        self._place = _numbers_go(options, named_by)
        self.headers = frozenset(filter(None, [(options.total_header or "").lower()]))

    def first(self, request: Request) -> Request:
        if self._options.limit_param:
            limit = Place(query=self._options.limit_param, named_by=self._named_by)
            request = limit.put(request, self._options.limit, page=0)
        return self._place.put(request, self._options.first, page=0)

    def chain(self, first: Request, since: float) -> Chain:
        count = _Count(self._options, self._options.limit)

        def at(index: int) -> Request:
            # An API that gives fewer rows than it is asked for must not have rows left out.
            value = self._options.first + index * (count.size or 0)
            return self._place.put(first, value, page=index)

        return _numbered(self._options, first, since, count, at)


class _Numbers:
    """Pages by number."""

    def __init__(self, options: PageNumber, named_by: frozenset[str]) -> None:
        self._options, self._named_by = options, named_by
        self._place = _numbers_go(options, named_by)
        self.headers = frozenset(filter(None, [(options.total_header or "").lower()]))

    def first(self, request: Request) -> Request:
        if self._options.size_param and self._options.size:
            size = Place(query=self._options.size_param, named_by=self._named_by)
            request = size.put(request, self._options.size, page=0)
        return self._at(request, 0)

    def chain(self, first: Request, since: float) -> Chain:
        count = _Count(self._options, self._options.size)
        return _numbered(self._options, first, since, count, lambda index: self._at(first, index))

    def _at(self, request: Request, index: int) -> Request:
        return self._place.put(request, self._options.first + index, page=index)


def _numbers_go(options: Offset | PageNumber, named_by: frozenset[str]) -> Place:
    return Place(
        query=None if options.into_body else options.param,
        body=parse_path(options.into_body or ""),
        named_by=named_by,
    )


def _numbered(
    options: Offset | PageNumber,
    first: Request,
    since: float,
    count: _Count,
    at: Callable[[int], Request],
) -> Numbered:
    return Numbered(
        first,
        since,
        options.maximum,
        at=at,
        pages_of=count.pages,
        is_last=count.is_last,
        says_more=count.says_more,
    )


class _Count:
    """What the pages of one list say of its length."""

    def __init__(self, options: Offset | PageNumber, size: int | None) -> None:
        self.size = size
        """Rows of a full page, as far as is known."""
        self._header = options.total_header
        self._total = parse_path(options.total or "")
        self._more = parse_path(options.has_more or "")
        pages = options.total_pages if isinstance(options, PageNumber) else None
        self._total_pages = parse_path(pages or "")

    def pages(self, page: Page) -> int | None:
        """How many pages there are, as ``page`` says; None if it does not."""
        pages = page.number_at(self._total_pages, None)
        if pages is not None:
            return pages
        total = page.number_at(self._total, self._header)
        if page.request.page == 0 and page.rows and (total or 0) > page.rows:
            self.size = page.rows if self.size is None else min(self.size, page.rows)
        if total is None or (total and not self.size and not page.rows):
            return None
        pages = -(-total // (self.size or page.rows or 1))
        return max(pages, self._behind(page, total))

    def _behind(self, page: Page, total: int) -> int:
        """A full page with rows that the total does not count: there may be one more."""
        upto = page.request.page + 1
        if page.rows != self.size or upto * self.size <= total:
            return 0
        return upto + 1

    def says_more(self, page: Page) -> bool:
        """Whether ``page`` says in so many words that there is one behind it."""
        return bool(self._more and value_at(page.document, self._more))

    def is_last(self, page: Page) -> bool:
        """Whether ``page`` shows by itself that none is behind it."""
        if self._more:
            return not value_at(page.document, self._more)
        return self.size is not None and page.rows < self.size
