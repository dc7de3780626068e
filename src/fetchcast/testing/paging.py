"""Lists in pages, in each of the ways in which APIs page; for the routes of a `running_api`.

async with running_api({"/items": link_pages(range(95), size=10)}) as api: ...
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from fetchcast.testing.api import Asked
from fetchcast.testing.reply import Reply, json_reply


class Beyond(StrEnum):
    """What a numbered list says to a page after its last."""

    EMPTY = "empty"
    """A page of no items."""
    FIRST = "first"
    """Page 1 again, for ever: who pages until a page is empty never ends."""
    MISSING = "missing"
    """404."""


def link_pages(items: Sequence[Any], *, size: int) -> Callable[[Asked], Reply]:
    """A bare array; where the others are says the ``Link`` header (as GitHub does).

    The page is ``page``, from 1; ``per_page`` asks for at most ``size`` items a page.
    """

    def says(asked: Asked) -> Reply:
        number, page_size = _number(asked, "page", 1), min(size, _number(asked, "per_page", size))
        last = max(1, -(-len(items) // page_size))
        others = {"first": 1, "prev": number - 1, "next": number + 1, "last": last}
        links = [
            f'<{_url(asked, page=page, per_page=page_size)}>; rel="{name}"'
            for name, page in others.items()
            if 1 <= page <= last and page != number
        ]
        headers = {"Link": ", ".join(links)} if links else {}
        return json_reply(_cut(items, (number - 1) * page_size, page_size), headers=headers)

    return says


def next_url_pages(
    items: Sequence[Any], *, size: int, relative: bool = False
) -> Callable[[Asked], Reply]:
    """``{"results": [...], "next": URL or null}``; the address may be relative."""

    def says(asked: Asked) -> Reply:
        start = _number(asked, "start", 0)
        url = _url(asked, start=start + size)
        there = url.removeprefix(_origin(asked)) if relative else url
        more = start + size < len(items)
        return json_reply({"results": _cut(items, start, size), "next": there if more else None})

    return says


def cursor_pages(
    items: Sequence[Any], *, size: int, parameter: str = "cursor"
) -> Callable[[Asked], Reply]:
    """``{"data": [...], "meta": {"next_cursor": TEXT or null}}``; a cursor is not to be guessed.

    A cursor that was not given out is answered with 400.
    """

    def says(asked: Asked) -> Reply:
        try:
            start = _opened(asked.query.get(parameter))
        except (NotBase64, ValueError):
            return json_reply({"error": f"unknown {parameter}"}, 400)
        following = _sealed(start + size) if start + size < len(items) else None
        return json_reply({"data": _cut(items, start, size), "meta": {"next_cursor": following}})

    return says


def offset_pages(items: Sequence[Any], *, size: int) -> Callable[[Asked], Reply]:
    """``{"items": [...], "total": N, "offset": N, "limit": N}``; ``limit`` is at most ``size``."""

    def says(asked: Asked) -> Reply:
        start, limit = _number(asked, "offset", 0), min(size, _number(asked, "limit", size))
        found = _cut(items, start, limit)
        return json_reply({"items": found, "total": len(items), "offset": start, "limit": limit})

    return says


def numbered_pages(
    items: Sequence[Any],
    *,
    size: int,
    first: int = 1,
    total: bool = True,
    beyond: Beyond = Beyond.EMPTY,
) -> Callable[[Asked], Reply]:
    """``{"items": [...], "totalResults": N}``, by ``page``.

    Args:
        items: All there are.
        size: Items a page.
        first: The number of the first page: 1 or 0.
        total: Whether the answer says how many items there are.
        beyond: What is said to a page after the last.
    """

    def says(asked: Asked) -> Reply:
        start = (_number(asked, "page", first) - first) * size
        if not 0 <= start < max(1, len(items)):
            if beyond is Beyond.MISSING:
                return json_reply({"error": "no such page"}, 404)
            start = 0 if beyond is Beyond.FIRST else len(items)
        counted = {"totalResults": len(items)} if total else {}
        return json_reply({**counted, "items": _cut(items, start, size)})

    return says


def _cut(items: Sequence[Any], start: int, size: int) -> list[Any]:
    return list(items[max(0, start) : max(0, start + size)])


def _number(asked: Asked, name: str, default: int) -> int:
    value = asked.query.get(name, "")
    return int(value) if value.isdecimal() else default


def _origin(asked: Asked) -> str:
    return f"{asked.scheme}://{asked.headers['host']}"


def _url(asked: Asked, **changes: int) -> str:
    return f"{_origin(asked)}{asked.path}?{urlencode({**asked.query, **changes})}"


def _sealed(start: int) -> str:
    return urlsafe_b64encode(f"after:{start}".encode()).decode()


def _opened(cursor: str | None) -> int:
    if cursor in {None, "", "*"}:
        return 0
    return int(urlsafe_b64decode(cursor or "").decode().removeprefix("after:"))
