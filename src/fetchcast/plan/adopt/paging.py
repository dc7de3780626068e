"""How a list is paged, guessed from the parameters that a call takes and the answer it gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fetchcast.plan.adopt.shape import Shape, places, words

_PAGE = ("page", "page_number", "page_no", "pagenumber", "current_page", "page_index", "pg", "p")
_OFFSET = ("offset", "skip", "start", "start_index", "results_from", "from_index", "first_result")
_CURSOR = (
    "cursor", "page_token", "next_token", "continuation_token", "continuation", "after",
    "starting_after", "next_cursor", "marker", "page_cursor", "scroll_id", "pagetoken",
)  # fmt: skip
_SIZE = (
    "per_page", "page_size", "limit", "size", "max_results", "count", "pagesize", "perpage",
    "rows", "top", "results_per_page", "max", "items_per_page", "page_limit",
)  # fmt: skip
_NEXT_URL = ("next", "next_url", "next_page_url", "next_link", "next_page", "next_href", "nextlink")
_NEXT_CURSOR = (
    "next_cursor", "cursor", "next_page_token", "next_token", "end_cursor", "continuation_token",
    "after", "next", "page_token", "next_page_cursor", "next_marker", "scroll_id", "continuation",
)  # fmt: skip
_TOTAL = (
    "total", "total_results", "total_count", "total_items", "total_elements", "total_hits",
    "total_rows", "total_records", "num_found", "found", "count", "results_count", "nb_hits",
)  # fmt: skip
_TOTAL_PAGES = ("total_pages", "pages", "page_count", "last_page", "num_pages", "nb_pages")
_HAS_MORE = ("has_more", "has_next", "has_next_page", "more")
_TOTAL_HEADER = ("x_total_count", "x_total", "x_total_results", "total_count")
_SIZE_IF_UNSAID = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One query parameter that a call takes, as far as is known."""

    name: str
    kind: str = "any"
    default: Any = None
    least: int | None = None
    most: int | None = None


def guess_paginator(
    taken: Iterable[Taken], answer: Shape, headers: Iterable[str] = ()
) -> dict[str, Any] | None:
    """The ``paginator`` of a resource; None if nothing points to pages.

    Args:
        taken: The query parameters of the call.
        answer: What comes back.
        headers: Names of the answer's headers.
    """
    params = {words(one.name): one for one in taken}
    found = [(path, word, shape) for path, word, shape in places(answer) if shape.kind != "boolean"]
    names = {words(name) for name in headers}
    size = _first(_SIZE, params)
    if cursor := _cursor(params, found):
        return cursor
    if "link" in names:
        return {"type": "link_header"}
    if next_url := _next_url(found):
        return {"type": "next_url", "path": next_url}
    ends = _ends(answer, names)
    if page := _first(_PAGE, params):
        return _numbered(page, size, ends)
    if offset := _first(_OFFSET, params):
        return _offset(offset, size, ends)
    return None


def paging_names(paginator: Mapping[str, Any] | None) -> set[str]:
    """The query parameters that ``paginator`` sets itself."""
    keys = ("param", "size_param", "limit_param")
    return {str(paginator[key]) for key in keys if key in paginator} if paginator else set()


def _first(wanted: Iterable[str], params: Mapping[str, Taken]) -> Taken | None:
    return next((params[name] for name in wanted if name in params), None)


def _cursor(
    params: Mapping[str, Taken], found: list[tuple[str, str, Shape]]
) -> dict[str, Any] | None:
    param = _first(_CURSOR, params)
    here = [path for name in _NEXT_CURSOR for path, word, shape in found if word == name
            and shape.format != "uri"]  # fmt: skip
    if param is None or not here:
        return None
    return {"type": "cursor", "path": here[0], "param": param.name}


def _next_url(found: list[tuple[str, str, Shape]]) -> str | None:
    """Where the next page's address stands: in a field of that name, or in ``next.href``."""
    for path, word, shape in found:
        called = word in _NEXT_URL or (word == "href" and words(path).endswith("next_href"))
        said = shape.format in {"uri", "uri-reference", "url"}
        if called and shape.kind in {"string", "any"} and (said or word != "next_page"):
            return path
    return None


def _ends(answer: Shape, headers: set[str]) -> dict[str, Any]:
    """What tells how much there is: total rows, total pages, or whether there is more."""
    found = list(places(answer))
    for key, names, kinds in (
        ("total_pages", _TOTAL_PAGES, {"integer", "number"}),
        ("total", _TOTAL, {"integer", "number"}),
        ("has_more", _HAS_MORE, {"boolean"}),
    ):
        for path, word, shape in found:
            if word in names and shape.kind in kinds:
                return {key: path}
    for name in _TOTAL_HEADER:
        if name in headers:
            return {"total_header": "-".join(part.title() for part in name.split("_"))}
    return {}


def _numbered(page: Taken, size: Taken | None, ends: Mapping[str, Any]) -> dict[str, Any]:
    zero = page.default == 0 or (page.default is None and page.least == 0)
    made: dict[str, Any] = {"type": "page_number", "param": page.name}
    if zero:
        made["first"] = 0
    if size is not None:
        made |= {"size_param": size.name, "size": _largest(size)}
    return {**made, **ends}


def _offset(offset: Taken, size: Taken | None, ends: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "offset", "param": offset.name}
    made["limit"] = _largest(size) if size else _SIZE_IF_UNSAID
    if size is not None:
        made["limit_param"] = size.name
    return {**made, **({"total": ends["total"]} if "total" in ends else {})}


def _largest(size: Taken) -> int:
    """As many rows a page as the API gives: fewer calls."""
    if size.most is not None and 0 < size.most <= 10_000:  # noqa: PLR2004  no page is larger
        return size.most
    return size.default if isinstance(size.default, int) and size.default > 0 else _SIZE_IF_UNSAID
