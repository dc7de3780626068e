"""A first pipeline file from one example URL: make the call, look at the answer, propose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from fetchcast.errors import ConfigError, Unexpected
from fetchcast.extract.rules import head
from fetchcast.extract.transport import TransportOptions, fetch, open_transport
from fetchcast.records import Answer, Request, request_key

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_NUMBER = re.compile(r"\d{1,12}")
_CODE = re.compile(r"(?=.*\d)[A-Za-z0-9][A-Za-z0-9_.:-]*")
_VERSION = re.compile(r"v\d+(\.\d+)*")
_DEPTH = 4
_MANY = 20
"""So many objects in an array inside a single object: they are the rows, not it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A pipeline file, and what was found on the way."""

    text: str
    said: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guess:
    """An address taken apart: what stays, and the parameters in it with their example values."""

    base_url: str
    path: str
    params: dict[str, str]
    query: dict[str, str]
    resource: str


async def draft(url: str) -> Draft:
    """Ask ``url`` once and propose a pipeline file of at most 25 lines.

    Raises:
        ConfigError: If ``url`` is not an address.
        CallError: If there is no answer, or none with rows in it.
    """
    guess = take_apart(url)
    async with open_transport(TransportOptions()) as transport:
        request = Request(key=request_key("GET", url), resource=guess.resource, url=url)
        answer = await fetch(transport, request)
    rows = _rows(url, answer)
    said = [
        f"asked {url}: HTTP {answer.status}, {len(answer.body):,} bytes",
        *(f"parameter {name}, here {value}" for name, value in guess.params.items()),
        f"rows at {rows or 'the answer itself'}",
    ]
    return Draft(text=_toml(guess, rows), said=said)


def take_apart(url: str) -> _Guess:
    """What of ``url`` looks like a parameter: dates, numbers and codes with digits in them."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise ConfigError("URL", url, "an address like https://host/path")
    names: dict[str, str] = {}
    steps = [unquote(step) for step in parts.path.split("/") if step]
    turned = [_parameter(step, steps[i - 1] if i else "", names) for i, step in enumerate(steps)]
    query = {key: _parameter(value, key, names, key) for key, value in parse_qsl(parts.query)}
    fixed = [step for step in turned if not step.startswith("{")]
    first = next((i for i, step in enumerate(turned) if step.startswith("{")), len(turned))
    split = max(0, min(first, len(turned)) - 1)
    return _Guess(
        base_url=f"{parts.scheme}://{parts.netloc}/" + "/".join(turned[:split]),
        path="/".join(turned[split:]),
        params=names,
        query=query,
        resource=re.sub(r"\W+", "_", fixed[-1]).strip("_").lower() if fixed else "items",
    )


def _parameter(text: str, before: str, names: dict[str, str], name: str | None = None) -> str:
    """``text`` or, where it looks like a value, ``{name}``; new names are put into ``names``."""
    if _VERSION.fullmatch(text):
        return text
    kind = name or _kind(text, before)
    if kind is None or not _looks_variable(text):
        return text
    free = kind if kind not in names else f"{kind}_{len(names)}"
    names[free] = text
    return f"{{{free}}}"


def _looks_variable(text: str) -> bool:
    return any(shape.fullmatch(text) for shape in (_DATE, _NUMBER, _CODE))


def _kind(text: str, before: str) -> str | None:
    if _DATE.fullmatch(text):
        return "date"
    word = re.sub(r"\W+", "_", before).strip("_").lower()
    if not word or _looks_variable(before):
        return "number" if _NUMBER.fullmatch(text) else "id"
    return word.removesuffix("s") + ("" if _NUMBER.fullmatch(text) else "_id")


def _rows(url: str, answer: Answer) -> str | None:
    if answer.status >= 400:  # noqa: PLR2004
        raise Unexpected(url, f"HTTP {answer.status}: {head(answer.body)}; nothing was written")
    try:
        body = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = f"the answer is not JSON: {head(answer.body)}; nothing was written"
        raise Unexpected(url, text) from None
    found = list(_arrays(body, "", 0))
    many = next((path for count, path in found if count >= _MANY), None)
    return many or (found[0][1] if found else None)


def _arrays(value: Any, path: str, depth: int) -> Iterator[tuple[int, str]]:
    """Every array of objects below ``value``: how many objects, and its row path."""
    if depth > _DEPTH:
        return
    if isinstance(value, list):
        objects = [one for one in value if isinstance(one, dict)]
        if objects:
            yield len(objects), f"{path}[*]"
            yield from _arrays(objects[0], f"{path}[*]", depth + 1)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if re.fullmatch(r"[A-Za-z_]\w*", key):
                yield from _arrays(inner, f"{path}.{key}" if path else key, depth + 1)


def _toml(guess: _Guess, rows: str | None) -> str:
    def quoted(text: str) -> str:
        return msgspec.json.encode(text).decode()

    lines = ["[api]", f"base_url = {quoted(guess.base_url)}", "", f"[resource.{guess.resource}]"]
    lines.append(f"path = {quoted(guess.path)}")
    for name, value in guess.query.items():
        lines.append(f"query.{quoted(name)} = {quoted(value)}")
    for name, value in guess.params.items():
        if name == "date":
            lines.append(f'params.date = {{ last = "30 days" }}  # the example: {value}')
        else:
            shown = (
                value if _NUMBER.fullmatch(value) and not value.startswith("0") else quoted(value)
            )
            lines.append(f"params.{name} = [{shown}]  # a list, or {{ csv = ..., column = ... }}")
    lines += ["", f"[table.{guess.resource}]", f"from = {quoted(guess.resource)}"]
    if rows:
        lines.append(f"rows = {quoted(rows)}")
    carried = ", ".join(f"{name} = {quoted('param:' + name)}" for name in guess.params)
    if carried:
        lines.append(f"carry = {{ {carried} }}")
    return "\n".join(lines) + "\n"
