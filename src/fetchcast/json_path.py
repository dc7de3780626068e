"""Paths into a JSON document: where rows are, what a column is read from, where the next page is.

[*].timeTableRows[*]      every element of that array in every element of the body
names[0].name             a key of the first element
["odd.key"].x             a key that has a dot in it
$.total                   from the top of the body (``$`` may be left out)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, TypeAlias


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


def values_at(document: Any, path: Path) -> Iterator[Any]:
    """Everything that stands at ``path`` in ``document``, in its order; nothing if nothing does."""
    if not path:
        yield document
        return
    step, rest = path[0], path[1:]
    if isinstance(step, Every):
        for element in document if isinstance(document, list) else ():
            yield from values_at(element, rest)
    elif isinstance(step, int):
        if isinstance(document, list) and step < len(document):
            yield from values_at(document[step], rest)
    elif isinstance(document, dict) and step in document:
        yield from values_at(document[step], rest)


def value_at(document: Any, path: Path) -> Any:
    """The first of `values_at`, or None."""
    return next(values_at(document, path), None)
