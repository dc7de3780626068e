"""Keeps secrets out of places from which they would be kept: the file itself, the plan. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fetchcast.errors import WrongTable
from fetchcast.extract.auth.options import literal_secret

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")
_SECRET_NAME = re.compile(
    r"(?:^|[-_.])(?:\w*token|api_?key|\w*secret|\w*password|passwd|pwd|auth|authorization|cookie|key)$",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(?:bearer|basic|token|apikey)\s+", re.IGNORECASE)
_NOT_SENT = frozenset({"on"})
"""The address of a database that parameters are read from."""


def check_secrets(raw: Mapping[str, Any]) -> None:
    """Refuse a file ``raw``, its variables not yet put in, that would give a secret away.

    Raises:
        WrongTable: If a secret stands in the file, or would become part of a call that is kept.
    """
    api = raw.get("api")
    auth = api.get("auth") if isinstance(api, dict) else None
    if isinstance(auth, dict):
        name = literal_secret(str(auth.get("type")), auth)
        if name is not None:
            raise WrongTable(
                f"api.auth.{name}",
                "a secret does not belong into this file, which others read\n"
                f'hint: {name} = "${{NAME}}" takes it from the environment or from .env beside '
                f'the file, {name} = {{ file = "NAME" }} from a file that only you can read',
            )
    resources = raw.get("resource")
    for where, text in _texts(resources, "resource") if isinstance(resources, dict) else ():
        _check_sent(where, text)


def header_secrets(
    headers: Mapping[str, Any], known: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """What is secret in ``headers``.

    Args:
        headers: As they are in the file, or (without ``known``) as they are sent.
        known: The variables. What comes from one is secret; without them, what stands under a
            name that says so.
    """
    if known is not None:
        names = [name for value in headers.values() for name in _VARIABLE.findall(str(value))]
        return tuple(known[name] for name in names if name in known)
    return tuple(
        _SCHEME.sub("", value, count=1)
        for name, value in headers.items()
        if isinstance(value, str) and _SECRET_NAME.search(name)
    )


def _check_sent(where: str, text: str) -> None:
    # A parameter may be called `key` without being one.
    named = ".params." not in where and _SECRET_NAME.search(where)
    for variable in _VARIABLE.findall(text):
        if named or _SECRET_NAME.search(variable):
            raise WrongTable(
                where,
                f"${{{variable}}} would be kept with every answer, as part of its call\n"
                'hint: [api.auth] with type = "api_key" adds it when a call leaves, and keeps it '
                'nowhere; in = "query" puts it into the address',
            )


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """Every text in ``value`` that goes into a call, and where it stands."""
    if isinstance(value, dict):
        for key, below in value.items():
            if key not in _NOT_SENT:
                yield from _texts(below, f"{where}.{key}")
    elif isinstance(value, list):
        for below in value:
            yield from _texts(below, where)
    elif isinstance(value, str):
        yield where, value
