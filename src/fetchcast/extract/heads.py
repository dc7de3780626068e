"""Status and headers of an answer, from the lines as they came over the wire. Pure.

Most header lines of an API are the same in every answer, so that a line that was seen before
costs one look into a dictionary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

Head: TypeAlias = tuple[int, str, dict[str, str]]
"""Status, HTTP version (``1.1``, ``2``), headers with names in lower case."""

_BLANK: Final = b"\r\n"
_KEPT = 2_048  # Lines and no more: a memory that grows with the number of calls is a leak.
_LONG = 512  # Longer lines (cookies, policies with a nonce) hardly come twice.


class _Fields(dict[bytes, tuple[str, str]]):
    """Header line -> name and value, read when it is first seen."""

    def __missing__(self, line: bytes) -> tuple[str, str]:
        name, _, value = line.partition(b":")
        field = name.strip().lower().decode("latin-1"), value.strip().decode("latin-1")
        if len(line) <= _LONG:
            if len(self) >= _KEPT:
                self.clear()
            self[line] = field
        return field


class _Starts(dict[bytes, tuple[int, str]]):
    """Status line -> status and version."""

    def __missing__(self, line: bytes) -> tuple[int, str]:
        protocol, _, rest = line.partition(b" ")
        start = int(rest[:3]), protocol[5:].decode("latin-1")
        if len(self) >= _KEPT:
            self.clear()
        self[line] = start
        return start


class HeadReader:
    """Reads heads; keeps the lines it has seen, so make one per transport. Not for many threads."""

    def __init__(self) -> None:
        self._fields, self._starts = _Fields(), _Starts()

    def read(self, lines: list[bytes]) -> Head:
        """The head in ``lines``, each with its line end, the first a status line.

        Interim answers and a proxy's own before it and trailers after it are left out; a header
        that came several times has its values joined with ``, ``.

        Raises:
            ValueError: If there is no final status line.
        """
        # Almost always there is one block, and its end is the end.
        if lines and (lines[-1] != _BLANK or lines.count(_BLANK) > 1):
            lines = _last_block(lines)
        elif not lines:
            raise ValueError("no head")
        status, version = self._starts[lines[0]]
        pairs = [*map(self._fields.__getitem__, lines[1:-1])]
        headers = dict(pairs)
        return status, version, headers if len(headers) == len(pairs) else _joined(pairs)


def _last_block(lines: list[bytes]) -> list[bytes]:
    """The lines of the last head with the blank line that ends it; trailers may follow that."""
    first = 0
    for number, line in enumerate(lines):
        if line[:5] == b"HTTP/" and (not number or lines[number - 1] == _BLANK):
            first = number
    try:
        return lines[first : lines.index(_BLANK, first) + 1]
    except ValueError:  # Not ended: the connection was.
        return [*lines[first:], _BLANK]


def _joined(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in pairs:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
