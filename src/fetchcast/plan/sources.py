"""Parameter sources that are files. A source may be read twice: to count, and to ask."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fetchcast.errors import InputError


@contextmanager
def _reader(path: Path) -> Iterator[csv.DictReader[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield csv.DictReader(file, restkey="", strict=True)
    except FileNotFoundError:
        raise InputError(path, "there is no such file; nothing was asked") from None
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise InputError(path, f"cannot be read as CSV in UTF-8: {error}") from None


def csv_rows(path: Path, columns: frozenset[str]) -> Iterator[Mapping[str, str]]:
    """The rows of ``path`` that are not blank, all values as text; checks that ``columns`` exist.

    Raises:
        InputError: If the file is missing, empty, not CSV in UTF-8, or lacks a column.
    """
    with _reader(path) as reader:
        names = reader.fieldnames
        if not names:
            raise InputError(path, "is empty; expected a header line and a line per call")
        if doubled := [name for name in names if list(names).count(name) > 1]:
            raise InputError(path, f"has two columns called {doubled[0]!r}")
        if missing := sorted(columns - set(names)):
            have = ", ".join(names)
            raise InputError(path, f"has no column {missing[0]!r}; it has: {have}")
        for row in reader:
            values = {name: row.get(name) or "" for name in names}
            if any(values.values()):
                yield values


def csv_count(path: Path, columns: frozenset[str]) -> int:
    """How many rows `csv_rows` will give; raises `InputError` if there are none."""
    count = sum(1 for _ in csv_rows(path, columns))
    if not count:
        raise InputError(path, "has a header and no rows; there is nothing to ask")
    return count
