"""Counts the values of a JSON text from its bytes, without decoding it.

This is the other side of the books: what the decoder found must be as many values as there are
keys in the text. A key that comes twice in one object is two here and one there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_QUOTE, _COLON, _BACKSLASH = 34, 58, 92
_SPACE = 32

Bytes: TypeAlias = NDArray[np.uint8]
Places: TypeAlias = NDArray[np.int64]


def count_members(bodies: Sequence[bytes]) -> int:
    """How many keys in ``bodies`` have a string, number or boolean as their value.

    Each body must be valid JSON. The values of keys that come twice count twice.
    """
    # A gap between the bodies, so that looking ahead never leaves the text.
    joined = b"  ".join([b"", *bodies, b""])
    text = np.frombuffer(joined, np.uint8)
    quotes = np.flatnonzero(text == _QUOTE)
    if b"\\" in joined:
        quotes = _without_escaped(text, quotes)
    # In valid JSON every second quote that is not escaped ends a string.
    ends = quotes[1::2]
    after = _skip_spaces(text, ends + 1)
    values = _skip_spaces(text, after[text[after] == _COLON] + 1)
    return int(np.count_nonzero(_HOLDS_VALUE[text[values]]))


def _without_escaped(text: Bytes, quotes: Places) -> Places:
    """The quotes that begin or end a string."""
    escaped = np.flatnonzero(text[quotes - 1] == _BACKSLASH)
    back = np.ones(len(escaped), np.int64)
    open_ = np.arange(len(escaped))
    while len(open_):  # Count the backslashes before each: an odd number escapes the quote.
        open_ = open_[text[quotes[escaped[open_]] - back[open_] - 1] == _BACKSLASH]
        back[open_] += 1
    return np.delete(quotes, escaped[back % 2 == 1])


def _skip_spaces(text: Bytes, places: Places) -> Places:
    while len(more := np.flatnonzero(text[places] <= _SPACE)):
        more = more[places[more] + 1 < len(text)]
        if not len(more):
            break
        places[more] += 1
    return places


_HOLDS_VALUE = np.ones(256, np.bool_)
_HOLDS_VALUE[list(b"{[n")] = False
