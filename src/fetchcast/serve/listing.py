"""The list of series: found by name, sorted by what is wanted, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fetchcast.serve import marks
from fetchcast.serve.reading import BadAddress, Reading
from fetchcast.serve.records import SeriesLine

PER_PAGE = 50


def _skill(line: SeriesLine) -> tuple[bool, float]:
    return line.skill is None, -(line.skill or 0.0)


def _surprise(line: SeriesLine) -> tuple[bool, float]:
    return line.surprise is None, -(line.surprise or 0.0)


def _name(line: SeriesLine) -> tuple[str, str]:
    return line.series, line.unique_id


SORTS: dict[str, tuple[str, Callable[[SeriesLine], tuple[object, ...]]]] = {
    "name": ("Name", _name),
    "skill": ("Most predictable", _skill),
    "surprise": ("Most surprising", _surprise),
}


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


def found(reading: Reading, *, find: str, sort: str) -> list[SeriesLine]:
    """Every series whose name holds all words of ``find``, in the order of ``sort``."""
    if sort not in SORTS:
        raise BadAddress("sort", sort, "one of " + ", ".join(SORTS))
    words = find.lower().split()
    lines = [
        line
        for line in reading.lines()
        if all(word in f"{line.series}/{line.unique_id}".lower() for word in words)
    ]
    return sorted(lines, key=SORTS[sort][1])


def listing(reading: Reading, *, find: str, sort: str, page: int) -> Listing:
    """Page ``page`` (from 1) of what was found, with its sparklines."""
    lines = found(reading, find=find, sort=sort)
    pages = max(1, -(-len(lines) // PER_PAGE))
    if not 1 <= page <= pages:
        raise BadAddress("page", page, f"a whole number from 1 to {pages}")
    shown = lines[(page - 1) * PER_PAGE : page * PER_PAGE]
    sparks = reading.sparks(shown)
    return Listing(
        find=find,
        sort=sort,
        page=page,
        pages=pages,
        total=len(lines),
        lines=shown,
        sparks={key: marks.sparkline(values) for key, values in sparks.items()},
    )
