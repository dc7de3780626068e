"""How many rows are in a body, whatever its format: enough to tell whether there are any."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from fetchcast.formats.options import BrokenFormat, Format
from fetchcast.formats.packed import count_members, gzip_size
from fetchcast.formats.reading import documents, is_line, stripped

Count: TypeAlias = Callable[[bytes], int | None]
"""Rows in a JSON document; None if the place where they should be is not there."""

_UNPACKED_TO_LOOK = 8 * 1024 * 1024


def counter(form: Format, count: Count) -> Count:
    """`Count` for bodies in ``form``, where ``count`` is that for JSON; for JSON it is that.

    A large packed body is not unpacked for it: a ZIP file counts its members, a gzip file one.
    """
    if form.is_json:
        return count
    if form.name == "zip":
        return lambda body: count_members(body, form.members)
    if form.name == "gzip":
        return lambda body: 1 if gzip_size(body) > _UNPACKED_TO_LOOK else _sum(body, form, count)
    if form.name == "ndjson":
        return lambda body: _of_lines(body, form, count)
    return lambda body: _sum(body, form, count)


def _sum(body: bytes, form: Format, count: Count) -> int | None:
    counts = [count(document) for document in documents(body, form)]
    found = [rows for rows in counts if rows is not None]
    return sum(found) if found or not counts else None


def _of_lines(body: bytes, form: Format, count: Count) -> int | None:
    """A last line that is no JSON was cut off; one in the middle is one row, to be rejected."""
    last = stripped(body.rstrip().rpartition(b"\n")[2])
    if last and not is_line(last):
        raise BrokenFormat("the last line is not whole")

    def tolerant(document: bytes) -> int | None:
        try:
            return count(document)
        except msgspec.DecodeError:
            return 1

    return _sum(body, form, tolerant)
