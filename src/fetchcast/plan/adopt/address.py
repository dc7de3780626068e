"""An address taken apart: what stays, what looks like a parameter, what looks like a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from fetchcast.errors import ConfigError
from fetchcast.plan.adopt.secrets import is_secret, placeholder, variable

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_NUMBER = re.compile(r"\d{1,12}")
_CODE = re.compile(r"(?=.*\d)[A-Za-z0-9][A-Za-z0-9_.:-]*")
_VERSION = re.compile(r"v\d+(\.\d+)*")
_STARTS = re.compile(r"start|from|since|begin|after")
_ENDS = re.compile(r"end|until|before|(^|_)to($|_)")
_PAGING = re.compile(r"(per_?)?page(_?(size|number|no))?|limit|offset|cursor|size|skip|count")


@dataclass(slots=True, kw_only=True)
class Address:
    """The parts of one example address."""

    base_url: str
    path: str
    host: str
    resource: str
    """What the resource may be called: the last fixed part of the path."""
    params: dict[str, str] = field(default_factory=dict)
    """Parameter -> its value in the example."""
    spans: dict[str, str] = field(default_factory=dict)
    """Parameter -> the last day of its example, where two days in the query are one span."""
    query: dict[str, str] = field(default_factory=dict)
    auth: dict[str, Any] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Further keys in the query."""


def is_address(url: str) -> bool:
    """Whether ``url`` is one that can be asked, without a password or a hole in it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    known = parts.scheme in {"http", "https"} and parts.hostname and not parts.username
    return bool(known) and not re.search(r"[\s{}]", url)


def take_apart(url: str) -> Address:
    """What of ``url`` stays, and what of it may be another value in the next call.

    Dates, numbers and codes with digits in them become parameters; a key in the query or a
    password before the host becomes ``${NAME}``.

    Raises:
        ConfigError: If it is not an address.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        shown = url.partition("?")[0].rpartition("@")[2]  # The rest may be secret.
        raise ConfigError("URL", shown, "an address like https://host/path")
    names: dict[str, str] = {}
    steps = [unquote(step) for step in parts.path.split("/") if step]
    turned = [_parameter(step, steps[i - 1] if i else "", names) for i, step in enumerate(steps)]
    fixed = [step for step in turned if not step.startswith("{")]
    first = next((i for i, step in enumerate(turned) if step.startswith("{")), len(turned))
    split = max(0, min(first, len(turned)) - 1)
    host = parts.netloc.rpartition("@")[2]
    made = Address(
        base_url=f"{parts.scheme}://{host}/" + "/".join(turned[:split]),
        path="/".join(turned[split:]),
        host=host,
        resource=re.sub(r"\W+", "_", fixed[-1]).strip("_").lower() if fixed else "items",
        params=names,
    )
    if made.resource[:1] in {"", "_"} or _VERSION.fullmatch(made.resource):
        made.resource = "items"
    if parts.username:
        _take_user(made)
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        _take_query(made, key, value)
    return made


def _take_user(made: Address) -> None:
    user, password = variable(made.host, "user"), variable(made.host, "password")
    made.secrets += [user, password]
    made.auth = {"type": "basic", "user": placeholder(user), "password": placeholder(password)}


def _take_query(made: Address, key: str, value: str) -> None:
    if value and is_secret(key):
        name = variable(made.host, key)
        if made.auth:  # In the query it would be part of every address that is kept.
            made.left_out.append(key)
        else:
            made.secrets.append(name)
            made.auth = {"type": "api_key", "key": placeholder(name), "name": key, "in": "query"}
        return
    start = next((name for name in made.params if _STARTS.search(name.lower())), None)
    if start and _DATE.fullmatch(value) and _ENDS.search(key.lower()) and start not in made.spans:
        made.spans[start] = value
        made.query[key] = f"{{{start}.end}}"
        return
    paging = _PAGING.fullmatch(key.lower())  # How much is asked for, not what.
    made.query[key] = value if paging else _parameter(value, key, made.params, key)


def _parameter(text: str, before: str, names: dict[str, str], name: str | None = None) -> str:
    """``text`` or, where it looks like a value, ``{name}``; new names are put into ``names``."""
    if _VERSION.fullmatch(text):
        return text
    kind = name or _kind(text, before)
    if kind is None or not _looks_variable(text):
        return text
    word = re.sub(r"\W+", "_", kind).strip("_") or "value"
    word = f"p_{word}" if word[0].isdigit() else word
    free = word if word not in names else f"{word}_{len(names)}"
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


def param_values(address: Address) -> tuple[dict[str, Any], dict[str, str]]:
    """The ``params`` of the file for the values of the example, and a comment for each."""
    values: dict[str, Any] = {}
    comments: dict[str, str] = {}
    for name, value in address.params.items():
        if name in address.spans:
            span = {"from": value, "to": address.spans[name], "step": "1 week"}
            values[name], comments[name] = span, f"windows; {{{name}.end}} is the end of each"
        elif _DATE.fullmatch(value):
            values[name], comments[name] = {"last": "30 days"}, f"the example: {value}"
        else:
            # A text such as 007 is not the number 7.
            number = _NUMBER.fullmatch(value) and (value == "0" or not value.startswith("0"))
            values[name] = [int(value) if number else value]
            comments[name] = "a list, or { csv = ..., column = ... }"
    return values, comments
