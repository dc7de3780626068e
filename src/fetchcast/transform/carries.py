"""Where a carried column is read: above the row, in the call, or in its answer's head.

^.departureDate           from the object around the row; ``^^.`` from the one around that
$.total                   from the top of the body
header:etag, param:date, url, landed_at
"""

from __future__ import annotations

from dataclasses import dataclass

from fetchcast.json_path import EVERY, Path, parse_path


@dataclass(frozen=True, slots=True)
class Carry:
    """Where a carried column comes from: ``source`` and, for an ancestor, ``up`` and ``path``."""

    source: str
    """``ancestor``, ``header``, ``param``, ``url`` or ``landed_at``."""
    up: int = 0
    """1 for the object around the row, 2 for the one around that; 0 for the top of the body."""
    path: Path = ()
    name: str = ""
    """The header (lower case) or the parameter."""


def parse_carry(text: str) -> Carry:
    """Read the right-hand side of a ``carry`` entry; raises ValueError if it is none."""
    if text in {"url", "landed_at"}:
        return Carry(text)
    for prefix in ("header", "param"):
        if text.startswith(prefix + ":") and len(text) > len(prefix) + 1:
            name = text[len(prefix) + 1 :]
            return Carry(prefix, name=name.lower() if prefix == "header" else name)
    if text.startswith(("^", "$")):
        return _ancestor(text)
    raise ValueError(
        f"{text!r}: expected '^.key' (the object around the row), '$.key' (the top), "
        "'header:name', 'param:name', 'url' or 'landed_at'"
    )


def _ancestor(text: str) -> Carry:
    up = len(text) - len(text.lstrip("^"))
    rest = text[up:].removeprefix("$").removeprefix(".")
    path = parse_path(rest)
    if not path or EVERY in path:
        raise ValueError(f"{text!r}: a carried value is one value, such as '^.departureDate'")
    return Carry("ancestor", up=up, path=path)
