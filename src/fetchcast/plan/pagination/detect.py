"""Which paginator an answer calls for, for ``paginator = "auto"``. Pure.

Signs are looked for in the order of how sure they are: a ``Link`` header, the address of a next
page, a cursor, a number of pages or rows. Whoever is wrong here is found out by the second page,
which has the rows of the first again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from fetchcast.json_path import Path, show_path
from fetchcast.plan.pagination.chains import Page
from fetchcast.plan.pagination.options import (
    Cursor,
    LinkHeader,
    NextUrl,
    Offset,
    PageNumber,
    PaginatorOptions,
)
from fetchcast.plan.pagination.paginator import link_in

_NEXT: Final = re.compile(
    r"next|next_?(page|link|url|uri|href)|next_?page_?(url|uri|link)|@odata\.nextlink"
    r"|odata\.nextlink|(more|next)_?results_?(url|uri)",
    re.IGNORECASE,
)
_CURSORS: Final = {
    "next_cursor": "cursor",
    "nextcursor": "cursor",
    "cursor": "cursor",
    "next": "cursor",
    "nextpagetoken": "pageToken",
    "next_page_token": "page_token",
    "nexttoken": "nextToken",
    "next_token": "next_token",
    "pagetoken": "pageToken",
    "continuation": "continuation",
    "continuationtoken": "continuationToken",
    "continuation_token": "continuation_token",
    "endcursor": "after",
    "end_cursor": "after",
    "after": "after",
    "bookmark": "bookmark",
    "scroll_id": "scroll_id",
}
"""Key of the answer, in lower case -> the query parameter in which such a text is sent back."""
_PAGES: Final = frozenset(
    {"total_pages", "totalpages", "page_count", "pagecount", "last_page", "lastpage", "num_pages"}
    | {"numpages", "pages"}
)
_TOTALS: Final = frozenset(
    {"total", "total_results", "totalresults", "total_count", "totalcount", "total_items"}
    | {"totalitems", "total_records", "totalrecords", "total_hits", "totalhits", "numfound"}
    | {"recordstotal", "total_rows", "totalrows", "totalelements"}
)
_WEAK_TOTALS: Final = frozenset({"count", "found", "hits"})
"""Often the number of rows on the page: a total only if it is larger."""
_TOTAL_HEADERS: Final = ("x-total-count", "x-total", "x-wp-total", "total-count")
SIGNS: Final = frozenset({"link", *_TOTAL_HEADERS})
"""The headers that are looked at."""
_MORE: Final = frozenset({"has_more", "hasmore", "has_next", "hasnext", "more", "hasnextpage"})
_PAGE_PARAMS: Final = ("page", "p", "pg", "page_number", "pagenumber", "pageindex", "page_index")
_OFFSET_PARAMS: Final = ("offset", "skip", "start", "startindex", "start_index", "from")
_LIMIT_PARAMS: Final = ("limit", "take", "top", "per_page", "perpage", "pagesize", "page_size")
_DEPTH: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """What an answer shows of how its list is paged."""

    options: PaginatorOptions
    why: str
    """In words, for people."""


def detect(page: Page) -> Detected | None:
    """How the list that ``page`` is the first page of goes on; None if nothing shows it.

    An answer without a sign may be one of a list that fits on one page.
    """
    if link_in(page, "next") or link_in(page, "last"):
        return Detected(options=LinkHeader(), why="its Link header names other pages")
    fields = list(_fields(page.document))
    return _next_url(fields) or _cursor(page, fields) or _counted(page, fields)


def _fields(document: Any, at: Path = ()) -> Iterator[tuple[Path, str, Any]]:
    """The values beside the rows, those nearest to the top first: path, key, value."""
    if not isinstance(document, dict) or len(at) > _DEPTH:
        return
    for key, value in document.items():
        if not isinstance(value, dict | list):
            yield (*at, key), key.lower(), value
    for key, value in document.items():
        yield from _fields(value, (*at, key))


def _shown(path: Path) -> str:
    return show_path(path).removeprefix("$.").removeprefix("$")


def _next_url(fields: list[tuple[Path, str, Any]]) -> Detected | None:
    for path, key, value in fields:
        # {"next": {"href": ...}} as well as {"next": ...}
        name = str(path[-2]) if key in {"href", "url"} and len(path) > 1 else key
        if _NEXT.fullmatch(name) and isinstance(value, str) and _is_address(value):
            shown = _shown(path)
            return Detected(options=NextUrl(path=shown), why=f"{shown} is the next page's address")
    return None


def _is_address(text: str) -> bool:
    return text.startswith(("http://", "https://", "/", "?")) or ("?" in text and "=" in text)


def _cursor(page: Page, fields: list[tuple[Path, str, Any]]) -> Detected | None:
    asked = _query(page)
    for path, key, value in fields:
        if key in _CURSORS and isinstance(value, str) and value:
            usual = _CURSORS[key]
            param = next((name for low, name in asked.items() if low == usual.lower()), usual)
            shown = _shown(path)
            return Detected(
                options=Cursor(path=shown, param=param),
                why=f"{shown} is a cursor, sent back as {param}",
            )
    return None


def _query(page: Page) -> dict[str, str]:
    """Names of the query parameters: in lower case -> as they are."""
    pairs = parse_qsl(urlsplit(page.request.url).query, keep_blank_values=True)
    return {name.lower(): name for name, _ in pairs}


def _counted(page: Page, fields: list[tuple[Path, str, Any]]) -> Detected | None:
    pages = _number(fields, _PAGES)
    total = _number(fields, _TOTALS) or _number(fields, _WEAK_TOTALS, above=page.rows)
    header = next((name for name in _TOTAL_HEADERS if name in page.headers), None)
    more = next((path for path, key, value in fields if key in _MORE and value is True), None)
    if not page.rows or not (pages or total or header or more):
        return None
    counts: dict[str, Any] = {
        "total": _shown(total) if total else None,
        "total_header": None if total else header,
        "has_more": _shown(more) if more and not (pages or total or header) else None,
    }
    sign = _shown(pages or total or more or ()) or str(header)
    if offset := _first_of(_query(page), _OFFSET_PARAMS) or _said(fields, _OFFSET_PARAMS):
        return _by_offset(page, offset, counts, sign)
    param = _first_of(_query(page), _PAGE_PARAMS) or "page"
    options = PageNumber(
        param=param,
        first=_first_number(page, param, fields),
        total_pages=_shown(pages) if pages else None,
        **counts,
    )
    return Detected(options=options, why=f"{sign} tells how much there is; asked for by {param}")


def _by_offset(page: Page, offset: str, counts: dict[str, Any], sign: str) -> Detected:
    limit = _first_of(_query(page), _LIMIT_PARAMS)
    options = Offset(limit=page.rows, param=offset, limit_param=limit or "", **counts)
    return Detected(options=options, why=f"{sign} tells how much there is; asked for by {offset}")


def _number(
    fields: list[tuple[Path, str, Any]], names: frozenset[str], above: int = -1
) -> Path | None:
    for path, key, value in fields:
        if key in names and _is_number(value) and value > above:
            return path
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _first_of(asked: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((asked[name] for name in names if name in asked), None)


def _said(fields: list[tuple[Path, str, Any]], names: tuple[str, ...]) -> str | None:
    """A parameter that the answer repeats, as many do: ``{"offset": 0, "limit": 50, ...}``."""
    for path, key, value in fields:
        if key in names and _is_number(value):
            return str(path[-1])
    return None


def _first_number(page: Page, param: str, fields: list[tuple[Path, str, Any]]) -> int:
    """1 or 0: as it was asked for, or as the answer calls its page."""
    asked = dict(parse_qsl(urlsplit(page.request.url).query)).get(param)
    said = next(
        (value for _, key, value in fields if key in {*_PAGE_PARAMS, "number"} and value in {0, 1}),
        1,
    )
    return int(asked) if asked is not None and asked.isdecimal() else int(said)
