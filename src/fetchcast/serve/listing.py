"""The list of series: found by name, sorted by what is wanted, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fetchcast.serve import marks
from fetchcast.serve.reading import BadAddress, Found, Reading
from fetchcast.serve.records import SeriesLine

PER_PAGE = 50


SORTS = {"name": "Name", "skill": "Most predictable", "surprise": "Most surprising"}
MOST = 10_000_000
"""More than there will be: all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One page of the list."""

    find: str
    sort: str
    page: int
    pages: int
    total: int
    """Of those found."""
    lines: Sequence[SeriesLine]
    sparks: dict[tuple[str, str], str]


def found(reading: Reading, *, find: str, sort: str, limit: int = MOST, offset: int = 0) -> Found:
    """The series whose names hold all words of ``find``; raises `BadAddress`."""
    if sort not in SORTS:
        raise BadAddress("sort", sort, "one of " + ", ".join(SORTS))
    return reading.found(find=find, sort=sort, limit=limit, offset=offset)


def listing(reading: Reading, *, find: str, sort: str, page: int) -> Listing:
    """Page ``page`` (from 1) of what was found, with its sparklines."""
    offset = (min(max(page, 1), MOST) - 1) * PER_PAGE
    there = found(reading, find=find, sort=sort, limit=PER_PAGE, offset=offset)
    pages = max(1, -(-there.total // PER_PAGE))
    if not 1 <= page <= pages:
        raise BadAddress("page", page, f"a whole number from 1 to {pages}")
    shown = there.lines
    sparks = reading.sparks(shown)
    return Listing(
        find=find,
        sort=sort,
        page=page,
        pages=pages,
        total=there.total,
        lines=shown,
        sparks={key: marks.sparkline(values) for key, values in sparks.items()},
    )
