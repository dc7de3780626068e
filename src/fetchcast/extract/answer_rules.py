"""Rules of one's own about answers: what a status, a header or a place in the body means. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import msgspec

from fetchcast.formats import Format, documents
from fetchcast.json_path import parse_path, values_at
from fetchcast.records import Answer

Scalar: TypeAlias = str | int | float | bool
Then: TypeAlias = Literal["ok", "empty", "retry", "fail", "skip", "slow_down"]
_LOOKED_AT = 64 * 1024
"""So much of a body is text for ``matches`` without a path."""
_CLASS = re.compile(r"[1-5]xx")


class AnswerRule(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"among": "in"},
):
    """What to do with an answer that is like this; everything that is said must hold."""

    status: int | str | list[int | str] | None = None
    """The status: 200, ``"4xx"``, or a list of them. None: any."""
    path: str | None = None
    """A place in the body, such as ``error.code``; with ``[*]`` any of several."""
    header: str | None = None
    """The name of a header, instead of a place in the body."""
    equals: Scalar | None = None
    """What is there."""
    among: list[Scalar] | None = None
    """One of these is there (``in`` in the file)."""
    exists: bool | None = None
    """True: something other than null is there; False: nothing is."""
    matches: str | None = None
    """A regular expression that is found in the text there; without a place, in the body."""
    then: Then
    """``ok``: a good answer, whatever its status. ``empty``: nothing is here. ``retry``: try
    again, which costs an attempt. ``fail``: final. ``skip``: leave this call out, which is no
    failure. ``slow_down``: the API said "not now"; the pace learns from it, and it costs no
    attempt."""

    def __post_init__(self) -> None:
        for one in self.statuses or ():
            if isinstance(one, str) and not _CLASS.fullmatch(one):
                raise ValueError(f"status = {one!r}: expected a number, or a class such as '4xx'")
        if self.path is not None and self.header is not None:
            raise ValueError(f"header = {self.header!r}: expected a path or a header, not both")
        _check_path(self.path)
        _check_pattern(self.matches)
        conditions = [self.equals, self.among, self.exists, self.matches]
        said = sum(one is not None for one in conditions)
        placed = self.path is not None or self.header is not None
        if placed and said != 1:
            place = "path" if self.path is not None else "header"
            text = self.path or self.header
            raise ValueError(f"{place} = {text!r}: expected equals, in, exists or matches with it")
        if not placed and said != (self.matches is not None):
            raise ValueError("path = None: expected a path or a header that equals, in or exists")
        if not placed and self.matches is None and self.status is None:
            raise ValueError("status = None: expected a status, a path, a header or matches")

    @property
    def statuses(self) -> list[int | str] | None:
        """The statuses as a list."""
        if self.status is None or isinstance(self.status, list):
            return self.status
        return [self.status]

    def text(self) -> str:
        """What it looks for, in words, for the reason of an outcome."""
        place = self.path or (f"header {self.header}" if self.header else "the body")
        if self.equals is not None:
            return f"{place} = {self.equals!r}"
        if self.among is not None:
            return f"{place} is one of {self.among!r}"
        if self.exists is not None:
            return f"{place} is {'there' if self.exists else 'not there'}"
        return f"{place} is like {self.matches!r}" if self.matches is not None else "its status"


def first_match(
    rules: tuple[AnswerRule, ...], answer: Answer, form: Callable[[], Format]
) -> tuple[int, AnswerRule] | None:
    """The first of ``rules`` that ``answer`` fulfils, and its number, counted from 1.

    The body is read at most once, and not at all if no rule about it fits the status.
    """
    body = _Body(answer, form)
    for number, rule in enumerate(rules, start=1):
        statuses = rule.statuses
        if statuses is not None and not _has_status(statuses, answer.status):
            continue
        if _holds(rule, answer, body):
            return number, rule
    return None


class _Body:
    """The documents in a body, read when first asked for."""

    def __init__(self, answer: Answer, form: Callable[[], Format]) -> None:
        self._answer, self._form = answer, form
        self._documents: list[Any] | None = None

    def at(self, path: str) -> Iterator[Any]:
        """What stands there."""
        if self._documents is None:
            self._documents = self._read()
        steps = parse_path(path)
        for document in self._documents:
            yield from values_at(document, steps)

    def _read(self) -> list[Any]:
        # What is packed is data; an error that is sent in its place is JSON or text.
        form = self._form()
        forms = (form, Format()) if form.name not in {"zip", "gzip"} else (Format(),)
        for one in forms:  # An error may be JSON where the data are something else.
            try:
                return [msgspec.json.decode(text) for text in documents(self._answer.body, one)]
            except (ValueError, RecursionError):
                continue
        return []


def _has_status(statuses: list[int | str], status: int) -> bool:
    return status in statuses or f"{status // 100}xx" in statuses


def _holds(rule: AnswerRule, answer: Answer, body: _Body) -> bool:
    if rule.path is not None:
        found = [value for value in body.at(rule.path) if value is not None]
    elif rule.header is not None:
        value = answer.headers.get(rule.header.lower())
        found = [] if value is None else [value]
    elif rule.matches is not None:
        found = [answer.body[:_LOOKED_AT].decode("utf-8", "replace")]
    else:
        return True
    if rule.exists is not None:
        return bool(found) == rule.exists
    return any(_test(rule)(value) for value in found)


def _test(rule: AnswerRule) -> Callable[[Any], bool]:
    if rule.matches is not None:
        pattern = _compiled(rule.matches)
        return lambda value: pattern.search(_as_text(value)) is not None
    wanted = rule.among if rule.among is not None else [rule.equals]
    return lambda value: any(_same(value, one) for one in wanted)


def _same(value: Any, wanted: Scalar | None) -> bool:
    """Whether they are equal; a header, which is text, may be equal to a number. True is not 1."""
    if isinstance(value, bool) != isinstance(wanted, bool):
        return isinstance(value, str) and value.lower() == str(wanted).lower()
    if isinstance(value, str) != isinstance(wanted, str):
        return _as_text(value) == _as_text(wanted)
    return bool(value == wanted)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _check_path(path: str | None) -> None:
    try:
        parse_path(path or "")
    except ValueError as error:
        raise ValueError(f"path = {path!r}: expected a path ({error})") from None


def _check_pattern(pattern: str | None) -> None:
    try:
        _compiled(pattern or "")
    except re.error as error:
        raise ValueError(
            f"matches = {pattern!r}: expected a regular expression ({error})"
        ) from None
