"""Reads an OpenAPI document, JSON or YAML, and follows its references."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any
from urllib.parse import unquote

import yaml

from fetchcast.errors import FileUnreadable

_MOST_STEPS = 2_000_000
"""Values of a document that are looked at; YAML's aliases can make few bytes endless."""
_MOST_HOPS = 32


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain values only, and JSON's idea of them: `no` is a country, 2026-01-31 a text."""


_Loader.yaml_implicit_resolvers = {
    mark: [(tag, shape) for tag, shape in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for mark, resolvers in _Loader.yaml_implicit_resolvers.items()
    if mark not in "yYnNoO"
}


def read_document(text: bytes, where: str) -> dict[str, Any]:
    """The document in ``text``.

    Raises:
        FileUnreadable: If it is neither JSON nor YAML, or not an object.
    """
    try:
        read = json.loads(text) if text.lstrip()[:1] == b"{" else yaml.load(text, _Loader)  # noqa: S506
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        problem = " ".join(str(error).split())
        raise FileUnreadable(where, f"is neither JSON nor YAML: {problem}") from None
    if not isinstance(read, dict):
        raise FileUnreadable(where, "is not an OpenAPI document: it holds no object")
    return read


class References:
    """The references of one document. A cycle is fine: nothing is followed further than asked."""

    def __init__(self, document: Mapping[str, Any], where: str) -> None:
        self._document, self._where = document, where

    def follow(self, value: Any, at: str) -> dict[str, Any]:
        """``value``, or the object that its ``$ref`` points to; ``at`` is its place.

        Raises:
            FileUnreadable: If the reference leads nowhere, in a circle, or to another file.
        """
        hops: list[str] = []
        while isinstance(value, dict) and isinstance(value.get("$ref"), str):
            text = value["$ref"]
            if text in hops or len(hops) > _MOST_HOPS:
                chain = " -> ".join([*hops, text])
                raise FileUnreadable(self._where, f"at {at}: references in a circle: {chain}")
            hops.append(text)
            value = self._target(text, at)
        return as_dict(value)

    def broken(self) -> list[tuple[str, str]]:
        """Every reference of the document that leads nowhere, with the place it stands at."""
        return [(text, at) for text, at in _references(self._document) if not self._leads(text)]

    def _leads(self, text: str) -> bool:
        try:
            self._target(text, "")
        except FileUnreadable:
            return False
        return True

    def _target(self, text: str, at: str) -> Any:
        if not text.startswith("#/"):
            raise FileUnreadable(
                self._where,
                f"at {at}: $ref {text!r} is another document, and only one is read\n"
                "hint: bundle them into one first, for example with `npx @redocly/cli bundle`",
            )
        place: Any = self._document
        for step in text.removeprefix("#/").split("/"):
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            below = _child(place, key)
            if below is _NOTHING:
                raise FileUnreadable(self._where, self._nowhere(text, at, key, place))
            place = below
        return place

    def _nowhere(self, text: str, at: str, key: str, place: Any) -> str:
        names = [str(name) for name in place] if isinstance(place, dict) else []
        nearest = get_close_matches(key, names, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        return f"at {at}: $ref {text!r} leads nowhere: there is no {key!r}{hint}"


def as_dict(value: Any) -> dict[str, Any]:
    """``value`` if it is an object, else an empty one: documents have anything anywhere."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """``value`` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def without_nulls(value: Any) -> Any:
    """``value`` without what is null in it: TOML has none."""
    if isinstance(value, dict):
        return {str(k): without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [without_nulls(one) for one in value if one is not None]
    return value


_NOTHING = object()


def _child(place: Any, key: str) -> Any:
    if isinstance(place, dict):
        # YAML reads the status 200 as a number.
        return place.get(key, place.get(int(key), _NOTHING) if key.isdecimal() else _NOTHING)
    if isinstance(place, list) and key.isdecimal() and int(key) < len(place):
        return place[int(key)]
    return _NOTHING


def _references(document: Any) -> Iterator[tuple[str, str]]:
    """Every ``$ref`` and its place; each object once, however many aliases lead to it."""
    seen: set[int] = set()
    waiting: list[tuple[Any, str]] = [(document, "")]
    while waiting and len(seen) < _MOST_STEPS:
        value, at = waiting.pop()
        if not isinstance(value, dict | list) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                yield value["$ref"], at
            waiting += [(one, f"{at}.{key}" if at else str(key)) for key, one in value.items()]
        else:
            waiting += [(one, f"{at}[{place}]") for place, one in enumerate(value)]
