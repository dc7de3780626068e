"""Paths into a JSON document: where rows are, and what a column is read from.

[*].timeTableRows[*]      every element of that array in every element of the body
names[0].name             a key of the first element
["odd.key"].x             a key that has a dot in it
$.total                   from the top of the body (``$`` may be left out)
^.departureDate           from the object around the row; ``^^.`` from the one around that
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias


class Every:
    """The step ``[*]``: all elements of an array."""

    def __repr__(self) -> str:
        return "[*]"


EVERY: Final = Every()
Step: TypeAlias = str | int | Every
Path: TypeAlias = tuple[Step, ...]

_STEP = re.compile(
    r"""(?:^|\.)(?P<key>[^.\[\]"]+)      # key or .key
      | \[(?P<index>\d+)\]               # [0]
      | (?P<every>\[\*\])                # [*]
      | (?:^|\.)?\["(?P<quoted>[^"]*)"\] # ["any text"]
    """,
    re.VERBOSE,
)
_PLAIN_KEY = re.compile(r'[^.\[\]"]+')


def parse_path(text: str) -> Path:
    """The steps of ``text``; raises ValueError that shows the place that cannot be read."""
    rest = text.removeprefix("$").removeprefix(".") if text.startswith("$") else text
    steps: list[Step] = []
    at = 0
    while at < len(rest):
        match = _STEP.match(rest, at)
        if match is None:
            raise ValueError(f"path {text!r}: cannot read {rest[at:]!r}; see `names[0].name`")
        steps.append(_step(match))
        at = match.end()
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    if match["every"]:
        return EVERY
    if match["index"] is not None:
        return int(match["index"])
    return match["key"] if match["key"] is not None else match["quoted"]


def show_path(path: Path) -> str:
    """``path`` as text that `parse_path` reads; ``$`` for the top."""
    return "$" + "".join(_show(step) for step in path)


def _show(step: Step) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if isinstance(step, Every):
        return "[*]"
    return f".{step}" if _PLAIN_KEY.fullmatch(step) else f'["{step}"]'


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
