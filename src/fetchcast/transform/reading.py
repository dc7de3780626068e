"""Reads one body slowly and exactly: everything that a fast reader loses is kept as `Odd`.

A fast JSON reader takes the last of two equal keys without a word, refuses a body for one NaN,
rounds ``1e999`` to infinity. Here each such value stays where it was, with the reason why it
cannot be in a column, and the rest of the body is read as it should be.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from typing import Any

MAX_DIGITS = 1000
MAX_DEPTH = 200
"""What is nested deeper may be too deep to be read; Python's own limit is near 1000."""
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(rb"[\[\]{}]")
_UNNAMEABLE = re.compile('["\\\\\x00-\x1f\ud800-\udfff]')


@dataclass(frozen=True, slots=True)
class Odd:
    """A value that no column can hold: what it looked like, and why."""

    text: str
    reason: str


class Doubled(dict[str, Any]):
    """An object in which a key came more than once; ``earlier`` are the values that lost."""

    earlier: list[tuple[str, Any]]


class Unreadable(Exception):
    """The body is not JSON; args: what is wrong."""


def read_exactly(body: bytes) -> Any:
    """The document in ``body``: dicts, lists and scalars, with `Odd` and `Doubled` among them.

    Raises:
        Unreadable: If it is not JSON in UTF-8 (a byte order mark is taken off), or is nested
            deeper than can be walked.
    """
    try:
        return _DECODER.decode(body.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError as error:
        raise Unreadable(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise Unreadable(_explain(body, error)) from None
    except RecursionError:
        raise Unreadable("nested too deeply") from None


def _explain(body: bytes, error: json.JSONDecodeError) -> str:
    head = body[:200].lstrip().lower()
    if not head:
        return "empty body"
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        return "HTML or XML instead of JSON"
    if error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string"):
        return f"cut short after {len(body)} bytes"
    return f"not JSON: {error.msg} at character {error.pos}"


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    doubled = Doubled(found)
    last = {key: place for place, (key, _) in enumerate(pairs)}
    doubled.earlier = [pair for place, pair in enumerate(pairs) if last[pair[0]] != place]
    return doubled


def _integer(text: str) -> int | Odd:
    if len(text) > MAX_DIGITS:
        return Odd(text, f"a number of {len(text)} digits")
    return int(text)


def _float(text: str) -> float | Odd:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        return Odd(text, "a number out of range")
    return number


def _constant(text: str) -> Odd:
    return Odd(text, f"{text} is not a JSON value")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


def is_nameable(key: str) -> bool:
    """Whether a key can be a field of the types that decode: no quote, control or half letter."""
    return _UNNAMEABLE.search(key) is None


def check_text(text: str) -> str | Odd:
    """``text``, or why no destination can hold it."""
    if "\0" in text:
        return Odd(text, "a NUL character in a text")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return Odd(text, "half a surrogate pair in a text")
    return text


def count_leaves(value: Any) -> int:
    """How many values there are in ``value``: strings, numbers and booleans at any depth.

    A null is the absence of a value; an empty array or object holds none. The values that
    lost against an equal key count, because they were in the body.
    """
    total = 0
    open_ = [value]
    while open_:  # Not recursive: bodies are nested as deep as someone likes.
        item = open_.pop()
        if isinstance(item, dict):
            open_ += item.values()
            open_ += [lost for _, lost in getattr(item, "earlier", ())]
        elif isinstance(item, list):
            open_ += item
        elif item is not None:
            total += 1
    return total


def count_elements(value: Any) -> int:
    """How many of the values in ``value`` stand directly in an array."""
    total = 0
    open_ = [value]
    while open_:
        item = open_.pop()
        if isinstance(item, dict):
            open_ += item.values()
            open_ += [lost for _, lost in getattr(item, "earlier", ())]
        elif isinstance(item, list):
            total += sum(one is not None and not isinstance(one, (dict, list)) for one in item)
            open_ += item
    return total


def depth_of(body: bytes) -> int:
    """How deep the arrays and objects of ``body`` are nested."""
    depth = deepest = 0
    for bracket in _BRACKETS.finditer(_STRINGS.sub(b"", body)):
        depth += 1 if bracket[0] in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def is_doubled(value: Any) -> bool:
    """Whether a key comes twice in one of the objects in ``value``."""
    open_ = [value]
    while open_:
        item = open_.pop()
        if isinstance(item, Doubled):
            return True
        if isinstance(item, (dict, list)):
            open_ += item.values() if isinstance(item, dict) else item
    return False


def encode_exactly(value: Any) -> bytes:
    """``value`` as JSON text; integers of any size keep their digits."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
