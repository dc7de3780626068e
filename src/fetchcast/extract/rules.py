"""What an answer means: fine, empty, "not now", worth another try, or final. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeAlias

import msgspec

from fetchcast.extract.answer_rules import AnswerRule, first_match
from fetchcast.formats import BrokenFormat, CsvOptions, Format, XmlOptions
from fetchcast.formats.options import Inner, Name, check_charset
from fetchcast.json_path import parse_path
from fetchcast.records import Answer, Request

_OK, _REDIRECT = 200, 300
_NO_CONTENT = 204
NOT_MODIFIED = 304
_CONDITIONS = frozenset({"if-none-match", "if-modified-since"})
_TRANSIENT = frozenset({408, 425, 500, 502, 504, 520, 521, 522, 523, 524})
_REFUSALS = frozenset({429, 503})
_HEAD = 60
_NAMES = 12
_SHORT = 1000
"""A longer body is not `[]` with some blanks around it."""


class AnswerOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the answers of a resource are read and judged."""

    empty: tuple[int, ...] = ()
    """Statuses that mean "there is nothing here", for instance 404."""
    refused: tuple[int, ...] = (429, 503)
    """Statuses that mean "not now"; they cost no attempt."""
    rules: tuple[AnswerRule, ...] = ()
    """Rules of your own, looked at before anything else; the first that holds decides."""
    missing_rows: str = "fail"
    """An answer without the key that rows are taken from: ``fail`` or ``empty``."""
    format: Name = "json"
    """What a body is. One that is not whole is a broken answer."""
    inner: Inner = "json"
    """What is packed in ``zip`` or ``gzip``."""
    members: str = "*"
    """The names of the members of a ZIP file that are read, such as ``*.json``."""
    charset: str | None = None
    """The charset of a body, where the API's headers say none or a wrong one."""
    csv: CsvOptions = CsvOptions()
    """The dialect of ``csv`` and ``tsv``."""
    xml: XmlOptions = XmlOptions()
    """How ``xml`` becomes a document."""
    max_unpacked_bytes: int = 1024 * 1024 * 1024
    """Of what is packed in one body, all members together; more is a broken answer."""

    def __post_init__(self) -> None:
        if self.missing_rows not in {"fail", "empty"}:
            raise ValueError(f"missing_rows = {self.missing_rows!r}: expected 'fail' or 'empty'")
        check_charset(self.charset)
        if self.max_unpacked_bytes < 1:
            raise ValueError(f"max_unpacked_bytes = {self.max_unpacked_bytes}: expected 1 or more")

    def form(self, arrays: tuple[str, ...] = ()) -> Format:
        """How a body is read; ``arrays`` are elements of XML that are arrays besides."""
        return Format(
            name=self.format,
            inner=self.inner,
            members=self.members,
            charset=self.charset,
            csv=self.csv,
            xml=XmlOptions(arrays=(*self.xml.arrays, *arrays)),
            max_unpacked_bytes=self.max_unpacked_bytes,
        )


class Meaning(Enum):
    """What to do with a call after an answer."""

    FINE = auto()
    EMPTY = auto()
    REFUSED = auto()
    RETRY = auto()
    FAIL = auto()
    SKIP = auto()
    """Left out by a rule, which is no failure."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A meaning, and the reason for it in words where it is not fine."""

    meaning: Meaning
    reason: str | None = None


FINE, EMPTY = Verdict(Meaning.FINE), Verdict(Meaning.EMPTY)

CountRows: TypeAlias = Callable[[bytes], int | None]
"""Rows in a body: None if the place where they should be is not there.

Raises ValueError (msgspec's errors are such) if the body is not whole JSON, TypeError with a
text if it is JSON of another shape.
"""

_LINES = frozenset({"ndjson", "csv", "tsv"})
"""Formats in which no bytes are no rows."""
_IN_UTF8 = _LINES | {"json"}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)


def row_counter(path: str | None) -> CountRows:
    """Counts what stands at the first ``[*]`` of ``path``; reads nothing that it need not read.

    ``"[*].timeTableRows[*]"`` wants an array, ``"results[*]"`` an object with an array in it.
    Without a path (or without ``[*]``) any whole JSON counts as one row, ``[]``, ``{}`` and
    ``null`` as none.
    """
    if path is None or "[*]" not in path:
        return _any_json
    keys = [step for step in parse_path(path.split("[*]", 1)[0]) if isinstance(step, str)]
    kind: Any = list[msgspec.Raw]
    for key in reversed(keys):
        field = ("at", kind | None | msgspec.UnsetType, msgspec.UNSET)
        kind = msgspec.defstruct("Found", [field], rename={"at": key})
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)

    def count(body: bytes) -> int | None:
        try:
            found = decoder.decode(body)
        except msgspec.ValidationError as error:
            raise TypeError(f"{error}; the body begins {head(body)}") from None
        for _ in keys:
            found = found.at
            if found is msgspec.UNSET:
                return None
            if found is None:
                return 0
        return len(found)

    return count


def any_counter(paths: Collection[str | None]) -> CountRows:
    """Counts for several tables at once: an answer is empty only if each finds nothing in it."""
    counters = [row_counter(path) for path in paths] or [row_counter(None)]
    if len(counters) == 1:
        return counters[0]

    def count(body: bytes) -> int | None:
        found: list[int] = []
        problem: TypeError | None = None
        for counter in counters:
            try:
                rows = counter(body)
            except TypeError as error:
                problem = error
                continue
            if rows is not None:
                found.append(rows)
        if found:
            return max(found)
        if problem is not None:
            raise problem
        return None

    return count


_RAW = msgspec.json.Decoder(msgspec.Raw)


def _any_json(body: bytes) -> int:
    _RAW.decode(body)  # Reads the whole body, and keeps nothing of it.
    return 0 if len(body) < _SHORT and b"".join(body.split()) in {b"[]", b"{}", b"null"} else 1


def head(body: bytes) -> str:
    """The beginning of a body, for messages."""
    text = body[: _HEAD * 4].decode("utf-8", "replace")
    line = " ".join(text.split())
    return repr(line if len(line) <= _HEAD else line[:_HEAD] + "…")


def in_utf8(answer: Answer) -> Answer:
    """``answer`` with its body in UTF-8, where its headers name another charset or it has a mark.

    A body that is not in its charset stays as it is; `judge` says so.
    """
    body = answer.body.removeprefix(_BYTE_ORDER_MARK)
    if not body.isascii() and (charset := _charset(answer)) not in {"utf-8", "utf8"}:
        with suppress(LookupError, UnicodeDecodeError):
            body = body.decode(charset).encode()
    return answer if body is answer.body else msgspec.structs.replace(answer, body=body)


def _charset(answer: Answer) -> str:
    found = _CHARSET.search(answer.headers.get("content-type", ""))
    return found[1].lower() if found else "utf-8"


def is_conditional(headers: Mapping[str, str]) -> bool:
    """Whether a request with ``headers`` asks for what has changed only."""
    return not _CONDITIONS.isdisjoint(headers)


def without_conditions(request: Request) -> Request:
    """``request`` as the plan makes it, whatever was asked about changes."""
    if not is_conditional(request.headers):
        return request
    kept = {name: value for name, value in request.headers.items() if name not in _CONDITIONS}
    return msgspec.structs.replace(request, headers=kept)


def judge(
    answer: Answer, options: AnswerOptions, count_rows: CountRows, *, conditional: bool = False
) -> Verdict:
    """What ``answer`` means for its call.

    Args:
        answer: What the server said.
        options: How answers of this resource are judged.
        count_rows: How many rows are in a body.
        conditional: The call asked for what has changed only: 304 confirms what is kept.
    """
    status = answer.status
    if status == NOT_MODIFIED and conditional:
        return FINE
    if options.rules and (verdict := _by_rule(answer, options, count_rows)) is not None:
        return verdict
    if _OK <= status < _REDIRECT:
        return _judge_body(answer, options, count_rows)
    if status in options.empty:
        return EMPTY
    if status in options.refused:
        return Verdict(Meaning.REFUSED, f"HTTP {status}")
    reason = f"HTTP {status}: {head(answer.body)}" if answer.body else f"HTTP {status}"
    transient = status in _TRANSIENT or status in _REFUSALS
    return Verdict(Meaning.RETRY if transient else Meaning.FAIL, reason)


_THEN = {
    "retry": Meaning.RETRY,
    "fail": Meaning.FAIL,
    "skip": Meaning.SKIP,
    "slow_down": Meaning.REFUSED,
}


def _by_rule(answer: Answer, options: AnswerOptions, count_rows: CountRows) -> Verdict | None:
    """What the first rule that holds says of ``answer``; None if none holds."""
    found = first_match(options.rules, answer, options.form)
    if found is None:
        return None
    number, rule = found
    if rule.then == "ok":
        return _judge_body(answer, options, count_rows)
    if rule.then == "empty":
        return EMPTY
    said = f": {head(answer.body)}" if answer.body else ""
    reason = f"HTTP {answer.status}, {rule.text()} (rule {number}: {rule.then}){said}"
    return Verdict(_THEN[rule.then], reason)


def _judge_body(answer: Answer, options: AnswerOptions, count_rows: CountRows) -> Verdict:
    body = answer.body
    if answer.status == _NO_CONTENT:
        return EMPTY
    if not body or body.isspace():
        return EMPTY if options.format in _LINES else Verdict(Meaning.RETRY, "an empty body")
    try:
        if not body.isascii() and options.format in _IN_UTF8 and options.charset is None:
            body.decode()
        rows = count_rows(body)
    except (TypeError, ValueError, RecursionError) as error:
        return _unreadable(answer, options.format.upper(), error)
    if rows:
        return FINE
    if rows is None and options.missing_rows == "fail":
        return Verdict(Meaning.FAIL, f"no rows where the table expects them: {_there(body)}")
    return EMPTY


def _there(body: bytes) -> str:
    """What is there instead: the keys of an object and of the objects in it, else how it begins."""
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return head(body)
    if not isinstance(document, dict) or not document:
        return head(body)
    names = [
        f"{key}.{below}" if below else key
        for key, value in document.items()
        for below in (value if isinstance(value, dict) and value else ("",))
    ]
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return f"the answer has {', '.join(names[:_NAMES])}{more}: {head(body)}"


def _unreadable(answer: Answer, name: str, error: Exception) -> Verdict:
    start = head(answer.body)
    if isinstance(error, UnicodeDecodeError):
        return Verdict(Meaning.FAIL, f"text that is not {_charset(answer)}: {start}")
    if isinstance(error, TypeError):
        return Verdict(Meaning.FAIL, f"not the expected JSON: {error}")
    if isinstance(error, BrokenFormat) and error.final:
        return Verdict(Meaning.FAIL, f"{error}: {start}")
    if answer.body.lstrip()[:1] == b"<" and name != "XML":
        return Verdict(Meaning.FAIL, f"HTML or XML instead of {name}: {start}")
    return Verdict(Meaning.RETRY, f"broken {name} ({error}): {start}")
