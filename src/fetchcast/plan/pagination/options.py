"""What a pipeline file may say about pages: ``paginator`` of a ``[resource.NAME]``."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Final, TypeAlias

import msgspec

from fetchcast.errors import ConfigError, UnknownKey
from fetchcast.json_path import EVERY, parse_path

AUTO: Final = "auto"
SINGLE_PAGE: Final = "single_page"


class LinkHeader(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="link_header"
):
    """The next page's address is in the ``Link`` header, as GitHub says it."""

    rel: str = "next"
    """Which of the header's links is the next page."""
    maximum: int | None = None
    """At most so many pages of each list."""

    def __post_init__(self) -> None:
        _check_maximum(self.maximum)


class NextUrl(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="next_url"
):
    """The next page's address, absolute or relative, is in the answer's body."""

    path: str
    """Where: ``next``, ``links.next.href``."""
    maximum: int | None = None
    """At most so many pages of each list."""

    def __post_init__(self) -> None:
        _check_path("path", self.path)
        _check_maximum(self.maximum)


class Cursor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="cursor"):
    """The answer gives a text that is sent to get the next page."""

    path: str | None = None
    """Where it is in the answer's body: ``meta.next_cursor``. (This or ``header``.)"""
    header: str | None = None
    """Which header of the answer it is."""
    param: str | None = None
    """The query parameter in which it is sent. (This, ``into_header`` or ``into_body``.)"""
    into_header: str | None = None
    """The header in which it is sent."""
    into_body: str | None = None
    """Where in the JSON body it is sent: ``variables.after``."""
    has_more: str | None = None
    """Where the body says whether there is more; false ends the list."""
    maximum: int | None = None
    """At most so many pages of each list."""

    def __post_init__(self) -> None:
        _one_of("path", self.path, {"header": self.header})
        _one_of("param", self.param, {"into_header": self.into_header, "into_body": self.into_body})
        _check_path("path", self.path)
        _check_path("into_body", self.into_body)
        _check_path("has_more", self.has_more)
        _check_maximum(self.maximum)


class Offset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="offset"):
    """Pages are asked for by how many rows to leave out; all of them side by side."""

    limit: int
    """Rows of a page."""
    param: str = "offset"
    """The query parameter that says how many rows to leave out."""
    limit_param: str | None = "limit"
    """The query parameter that says how many rows to give; ``""``: none is sent."""
    into_body: str | None = None
    """Where in the JSON body the offset is sent instead: ``paging.offset``."""
    first: int = 0
    """The first offset."""
    total: str | None = None
    """Where the body says how many rows there are in all: ``meta.total``."""
    total_header: str | None = None
    """Which header says it."""
    has_more: str | None = None
    """Where the body says whether there is more; false ends the list."""
    maximum: int | None = None
    """At most so many pages of each list."""

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ConfigError("limit", self.limit, "at least 1")
        _check_numbered(self)


class PageNumber(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="page_number"
):
    """Pages are asked for by their number; all of them side by side."""

    param: str = "page"
    """The query parameter with the page's number."""
    into_body: str | None = None
    """Where in the JSON body the number is sent instead: ``paging.page``."""
    first: int = 1
    """The first page's number: 1 or 0."""
    size: int | None = None
    """Rows of a full page: one with fewer is the last. None: a page without rows ends the list."""
    size_param: str | None = None
    """The query parameter that asks for ``size`` rows, such as ``per_page``."""
    total: str | None = None
    """Where the body says how many rows there are in all: ``totalResults``."""
    total_pages: str | None = None
    """Where the body says how many pages there are."""
    total_header: str | None = None
    """Which header says how many rows there are: ``X-Total-Count``."""
    has_more: str | None = None
    """Where the body says whether there is more; false ends the list."""
    maximum: int | None = None
    """At most so many pages of each list."""

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 1:
            raise ConfigError("size", self.size, "at least 1")
        if self.size_param is not None and self.size is None:
            raise ConfigError("size", None, f"how many rows {self.size_param} is to ask for")
        _check_path("total_pages", self.total_pages)
        _check_numbered(self)


PaginatorOptions: TypeAlias = LinkHeader | NextUrl | Cursor | Offset | PageNumber
PAGINATORS: Final[tuple[type[PaginatorOptions], ...]] = (
    LinkHeader,
    NextUrl,
    Cursor,
    Offset,
    PageNumber,
)
_KINDS: Final = {str(kind.__struct_config__.tag): kind for kind in PAGINATORS}


def read_paginator(key: str, raw: Any) -> PaginatorOptions | str:
    """``raw`` from the file as options, `AUTO` or `SINGLE_PAGE`; raises `ConfigError`."""
    if isinstance(raw, LinkHeader | NextUrl | Cursor | Offset | PageNumber):
        return raw
    if isinstance(raw, str):
        raw = {"type": raw}
    if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
        raise ConfigError(key, raw, f"a table with type = one of {', '.join(map(repr, _names()))}")
    name = raw["type"]
    if name in {AUTO, SINGLE_PAGE}:
        if len(raw) > 1:
            raise ConfigError(key, raw, f"type = {name!r} alone")
        return str(name)
    kind = _KINDS.get(name)
    if kind is None:
        nearest = get_close_matches(name, _names(), n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise ConfigError(key, name, f"one of {', '.join(map(repr, _names()))}{hint}")
    return _read(key, raw, kind)


def _read(key: str, raw: dict[str, Any], kind: type[PaginatorOptions]) -> PaginatorOptions:
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for name in raw:
        if name not in {*known, "type"}:
            nearest = get_close_matches(name, known, n=1)
            raise UnknownKey(f"{key}.{name}", nearest[0] if nearest else None, known)
    try:
        read: PaginatorOptions = msgspec.convert(raw, kind)
    except ConfigError as error:
        below, *rest = error.args
        raise type(error)(f"{key}.{below}", *rest) from None
    except msgspec.ValidationError as error:
        raise ConfigError(key, raw, str(error).replace(" - at `$", " at `")) from None
    return read


def _names() -> list[str]:
    return [*_KINDS, AUTO, SINGLE_PAGE]


def _check_numbered(options: Offset | PageNumber) -> None:
    _check_path("into_body", options.into_body)
    _check_path("total", options.total)
    _check_path("has_more", options.has_more)
    _check_maximum(options.maximum)


def _check_path(key: str, text: str | None) -> None:
    if text is None:
        return
    try:
        path = parse_path(text)
    except ValueError as error:
        raise ConfigError(key, text, str(error)) from None
    if not path or EVERY in path:
        raise ConfigError(key, text, "the path of one value, such as 'meta.next'")


def _check_maximum(maximum: int | None) -> None:
    if maximum is not None and maximum < 1:
        raise ConfigError("maximum", maximum, "at least 1")


def _one_of(name: str, value: str | None, others: dict[str, str | None]) -> None:
    given = [key for key, said in {name: value, **others}.items() if said is not None]
    if len(given) != 1:
        expected = " or ".join([name, *others])
        raise ConfigError(name, ", ".join(given) or None, f"either {expected}")
