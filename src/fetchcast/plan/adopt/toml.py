"""Writes TOML the way a person would: a header per section, short tables in one line.

`tomllib.loads(write_toml(document)) == document` for every document of texts, numbers, booleans,
dates, lists and dicts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time
from math import isfinite, isnan
from typing import Any, TypeAlias

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WIDTH = 96
_SECTIONS = ("resource", "table", "series", "question")
"""Their tables, one for each name, have headers."""
_ALWAYS = frozenset({"api", "auth", "answer", "limits", "http", "landing", "retry", "app"})
"""Tables with a header, however short they are."""
_DOTTED = "params"
"""Its keys stand one to a line: each is likely to be changed."""

_Path: TypeAlias = tuple[str, ...]
_Comments: TypeAlias = Mapping[_Path, str]


def write_toml(document: Mapping[str, Any], comments: _Comments | None = None) -> str:
    """``document`` as TOML, with ``comments`` (path of a key -> text) behind their lines.

    Raises:
        TypeError: For a value that TOML does not have, such as None.
    """
    text = "\n".join(_table((), document, comments or {})).strip("\n")
    return text + "\n"


def _table(path: _Path, table: Mapping[str, Any], comments: _Comments) -> Iterator[str]:
    """The lines of ``table``: its own keys first, because a header ends the table before it."""
    below = {key for key, value in table.items() if _has_header((*path, key), value)}
    own = {key: value for key, value in table.items() if key not in below}
    if path and (own or not below):
        yield ""
        yield _commented("[" + ".".join(map(_key, path)) + "]", path, comments)
    for key, value in own.items():
        yield from _lines((*path, key), value, comments)
    for key in table:
        if key in below:
            yield from _table((*path, key), table[key], comments)


def _has_header(path: _Path, value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    if len(path) == 1 or path[-1] in _ALWAYS or (len(path) == 2 and path[0] in _SECTIONS):  # noqa: PLR2004
        return True
    if _is_dotted(path, value):
        return False
    return len(f"{_key(path[-1])} = {_value(value)}") > _WIDTH


def _is_dotted(path: _Path, value: Mapping[str, Any]) -> bool:
    """Whether the keys of ``value`` stand in lines of their own, as ``params.name = ...``."""
    return path[-1] == _DOTTED and bool(value)


def _lines(path: _Path, value: Any, comments: _Comments) -> Iterator[str]:
    if isinstance(value, Mapping) and _is_dotted(path, value):
        for name, one in value.items():
            line = f"{_key(path[-1])}.{_key(name)} = {_value(one)}"
            yield _commented(line, (*path, name), comments)
        return
    if isinstance(value, list | tuple) and len(written := _value(value)) > _WIDTH:
        start = f"{_key(path[-1])} = ["
        yield _commented(start, path, comments)
        yield from (f"    {_value(one)}," for one in value)
        yield "]"
        return
    written = _text(value, several_lines=True) if isinstance(value, str) else _value(value)
    yield _commented(f"{_key(path[-1])} = {written}", path, comments)


def _commented(line: str, path: _Path, comments: _Comments) -> str:
    comment = " ".join(comments.get(path, "").split())
    return f"{line}  # {comment}" if comment else line


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    """``value`` in one line."""
    match value:
        case bool():
            written = "true" if value else "false"
        case str():
            written = _text(value)
        case int():
            written = str(value)
        case float():
            written = _float(value)
        case datetime() | date() | time():
            written = value.isoformat()
        case Mapping():
            written = _inline(value)
        case Sequence():
            written = "[" + ", ".join(map(_value, value)) + "]"
        case _:
            raise TypeError(f"TOML has no {type(value).__name__}: {value!r}")
    return written


def _inline(table: Mapping[str, Any]) -> str:
    inner = ", ".join(f"{_key(name)} = {_value(one)}" for name, one in table.items())
    return f"{{ {inner} }}" if inner else "{}"


def _float(value: float) -> str:
    if isnan(value):
        return "nan"
    # 1e16 is a float to TOML as to Python; only the infinities are written another way.
    return repr(value) if isfinite(value) else ("inf" if value > 0 else "-inf")


def _text(text: str, *, several_lines: bool = False) -> str:
    plain = all(mark.isprintable() or mark == "\n" for mark in text)
    fits = plain and "'''" not in text and not text.endswith("'")
    if several_lines and "\n" in text.strip("\n") and fits:
        return f"'''\n{text}'''"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
