"""Takes secrets out of what an API says back. Pure.

Some APIs repeat the key of a call in its answer: in the address of the next page, in an error,
in an echo of the request. What is kept of an answer must not hold it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

import msgspec

from fetchcast.records import HIDDEN, Answer

SHORTEST = 8
"""A shorter text is not looked for: it would be found in words that are no secret."""
_LOOKED_FOR = 5
_RARE = b"QZJXqzKWYVjxUHGBFk789wMP456"
"""Bytes that are rare in the answers of APIs, the rarest first."""
_OPENS = r"[\"'=/]"


class Secrets:
    """Texts that are to be nowhere, in the forms in which they come back."""

    __slots__ = ("_in_bytes", "_in_text", "_sought", "_texts")

    def __init__(self, values: Iterable[str]) -> None:
        long = dict.fromkeys(value for value in values if len(value) >= SHORTEST)
        self._texts = tuple(dict.fromkeys(form for value in long for form in _forms(value)))
        self._sought = tuple((_rarest(form.encode()), form.encode()) for form in self._texts)
        pattern = "|".join(_pattern(form) for form in sorted(self._texts, key=len, reverse=True))
        self._in_text = re.compile(pattern)
        self._in_bytes = re.compile(pattern.encode())

    def __bool__(self) -> bool:
        return bool(self._texts)

    def __repr__(self) -> str:
        return f"Secrets({HIDDEN})"

    def hide(self, text: str) -> str:
        """``text`` without them."""
        if not any(form in text for form in self._texts):
            return text
        return self._in_text.sub(HIDDEN, text)

    def without(self, answer: Answer) -> Answer:
        """``answer`` without them; the same object if there are none in it, as nearly always."""
        body, headers = answer.body, answer.headers
        beside = "\0".join((answer.url, *headers.values()))
        if not self._are_in(body) and self.hide(beside) is beside:
            return answer
        return msgspec.structs.replace(
            answer,
            body=self._in_bytes.sub(HIDDEN.encode(), body),
            headers={name: self.hide(value) for name, value in headers.items()},
            url=self.hide(answer.url),
        )

    def _are_in(self, body: bytes) -> bool:
        for rare, form in self._sought:
            for byte in rare:
                if byte not in body:
                    break
            else:
                if form in body:
                    return True
        return False


def _rarest(form: bytes) -> bytes:
    """Some bytes of ``form``: where one is missing, which is quickly seen, ``form`` is not."""
    return bytes(sorted(set(form), key=_rank)[:_LOOKED_FOR])


def _rank(byte: int) -> int:
    place = _RARE.find(byte)
    return place if place >= 0 else len(_RARE)


def _forms(value: str) -> Iterable[str]:
    """``value`` as it is, as in a URL, as in a form, and as in a JSON text."""
    written = json.dumps(value)[1:-1]
    yield value
    yield quote(value, safe="")
    yield quote(value)
    yield quote_plus(value)
    yield written
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield written.replace("/", "\\/")


def _pattern(form: str) -> str:
    """Finds ``form`` where it stands alone: a part of a longer word or number is no secret."""
    before = r"(?<![A-Za-z0-9])" if form[:1].isalnum() else ""
    if form.isdecimal():
        before = f"(?<={_OPENS})"  # A number of the data that happens to be equal stays.
    after = r"(?![A-Za-z0-9])" if form[-1:].isalnum() else ""
    return before + re.escape(form) + after
