"""CSV and TSV as arrays of objects."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from fetchcast.formats.options import CsvOptions

_SEPARATORS = (",", ";", "\t", "|")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LONGEST_CELL = 1 << 30
csv.field_size_limit(_LONGEST_CELL)  # The size of a body is limited already.


def table_documents(
    text: str, options: CsvOptions, name: str, portion_bytes: int
) -> Iterator[bytes]:
    """The rows of ``text`` as JSON arrays of objects of about ``portion_bytes`` each.

    It is read twice: first to see which columns hold numbers only, so that a column of one body
    has one type and texts such as ``007`` stay as they are.
    """
    names, rows = _rows(text, options, name)
    numeric: set[int] = set()
    if options.numbers:
        numeric = _numeric(rows, options)
        _, rows = _rows(text, options, name)
    portion: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        portion.append(_record(row, names, numeric, options))
        size += sum(map(len, row)) + len(row)
        if size >= portion_bytes:
            yield msgspec.json.encode(portion)
            portion, size = [], 0
    if portion:
        yield msgspec.json.encode(portion)


def count_rows(text: str, options: CsvOptions, name: str) -> int:
    """How many rows there are."""
    return sum(1 for _ in _rows(text, options, name)[1])


def _rows(text: str, options: CsvOptions, name: str) -> tuple[list[str], Iterator[list[str]]]:
    """The names of the columns, and the rows; empty lines are none."""
    lines = _lines(text, options)
    if options.separator is not None:
        separator = options.separator
    else:
        separator = "\t" if name == "tsv" else _separator(text, options)
    quote = options.quote if options.quote is not None else ("" if name == "tsv" else '"')
    if quote:
        cells = csv.reader(lines, delimiter=separator, quotechar=quote)
    else:
        cells = csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)
    rows: Iterator[list[str]] = (row for row in cells if row)
    if options.strip:
        rows = ([cell.strip() for cell in row] for row in rows)
    names = options.names if options.names is not None else next(rows, [])
    return _distinct(names), rows


def _lines(text: str, options: CsvOptions) -> Iterator[str]:
    lines: Iterator[str] = islice(io.StringIO(text, newline=""), options.skip, None)
    comment = options.comment
    return lines if comment is None else (one for one in lines if not one.startswith(comment))


def _separator(text: str, options: CsvOptions) -> str:
    """The mark that is most common in the first line; the first of them if none is."""
    first = re.sub(r'"[^"]*"', "", next(_lines(text, options), ""))
    return max(_SEPARATORS, key=first.count)


def _distinct(names: Sequence[str]) -> list[str]:
    """``names`` with a number where there is none, or where one comes again."""
    given: list[str] = []
    for place, name in enumerate(names, start=1):
        wish = name.strip() or f"column_{place}"
        again = 2
        while wish in given:
            wish, again = f"{name.strip() or f'column_{place}'}_{again}", again + 1
        given.append(wish)
    return given


def _numeric(rows: Iterator[list[str]], options: CsvOptions) -> set[int]:
    """The columns in which each cell that is not empty is a number."""
    numbers: set[int] = set()
    others: set[int] = set()
    open_: list[int] = []  # Looked at still: a column of texts is soon known to be one.
    width = 0
    match, point = _NUMBER.fullmatch, options.decimal == "."
    for row in rows:
        if len(row) > width:
            open_ += range(width, len(row))
            width = len(row)
        for place in open_ if len(row) == width else range(len(row)):
            cell = row[place]
            if not cell:
                continue
            if match(cell if point else _with_point(cell, options)):
                numbers.add(place)
            else:
                others.add(place)
        if not others.isdisjoint(open_):
            open_ = [place for place in open_ if place not in others]
    return numbers - others


def _with_point(cell: str, options: CsvOptions) -> str:
    return cell if options.decimal == "." else cell.replace(".", "x").replace(",", ".")


def _record(
    row: list[str], names: list[str], numeric: set[int], options: CsvOptions
) -> dict[str, Any]:
    while len(names) < len(row):  # More cells than names: nothing is dropped.
        names[:] = _distinct([*names, ""])
    record: dict[str, Any] = dict(zip(names, row, strict=False))
    for place in numeric:
        if place < len(row) and (cell := row[place]):
            record[names[place]] = msgspec.Raw(_with_point(cell, options).encode())
    if "" in row:
        for name, cell in record.items():
            if cell == "":
                record[name] = None
    for name in names[len(row) :]:
        record[name] = None
    return record
