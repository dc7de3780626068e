"""Texts with ``{name}`` in them, and what they become when the values are there. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote, quote_plus

from fetchcast.records import Scalar

_NAME = r"[A-Za-z_][A-Za-z0-9_]*(?:\.end)?"
_PLACEHOLDER = re.compile(rf"\{{\{{({_NAME})\}}\}}|\{{({_NAME})\}}")

_UNRESERVED = re.compile(r"[A-Za-z0-9_.~-]*")
"""Needs no escaping; most values are of these characters alone."""


@dataclass(frozen=True, slots=True)
class Many:
    """Several values for one call."""

    values: tuple[Scalar, ...]
    separator: str


Sent: TypeAlias = Scalar | Many
"""What goes into a placeholder."""

Values: TypeAlias = Mapping[str, Sent]
Quote: TypeAlias = Callable[[str], str]


def text_of(value: Sent) -> str:
    """``value`` as text: true and false as JSON writes them."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Many):
        return value.separator.join(map(text_of, value.values))
    return str(value)


def quoted(value: Sent) -> str:
    """``value`` as a part of a path; what separates several values stays as it is."""
    if isinstance(value, Many):
        return value.separator.join(quote(text_of(one), safe="") for one in value.values)
    text = text_of(value)
    return text if _UNRESERVED.fullmatch(text) else quote(text, safe="")


class Template:
    """A text with placeholders; ``{{name}}`` stands for ``{name}`` itself."""

    __slots__ = ("_parts", "names")

    def __init__(self, text: str) -> None:
        self._parts: list[tuple[str, str | None]] = []
        """Text, and the name of what follows it."""
        rest = 0
        before = ""
        for found in _PLACEHOLDER.finditer(text):
            before += text[rest : found.start()]
            rest = found.end()
            if found[1]:
                before += f"{{{found[1]}}}"
                continue
            self._parts.append((before, found[2]))
            before = ""
        self._parts.append((before + text[rest:], None))
        self.names = frozenset(name for _, name in self._parts if name is not None)
        """The placeholders in it."""

    def fill(self, values: Values, write: Callable[[Sent], str] = text_of) -> str:
        """The text with ``values`` in it."""
        return "".join(
            [text if name is None else text + write(values[name]) for text, name in self._parts]
        )

    @property
    def only(self) -> str | None:
        """The name, if the text is one placeholder and nothing else."""
        (before, name), *more = self._parts
        return name if not before and more == [("", None)] else None


class Pairs:
    """Names with values, as in a query or a form; a list is the name several times."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._pairs = [
            (quote_plus(name), Template(text_of(one)), isinstance(value, list))
            for name, value in options.items()
            for one in (value if isinstance(value, list) else [value])
        ]
        self.names = frozenset(name for _, text, _ in self._pairs for name in text.names)
        """The placeholders in it."""

    def fill(self, values: Values) -> str:
        """``a=1&b=2``, escaped."""
        return "&".join(self._filled(values))

    def _filled(self, values: Values) -> Iterator[str]:
        for name, text, listed in self._pairs:
            only = text.only if listed else None
            value = values[only] if only is not None else None
            if isinstance(value, Many):  # ["{id}"] repeats the name for each of the ids.
                for one in value.values:
                    yield f"{name}={quote_plus(text_of(one))}"
            else:
                yield f"{name}={quote_plus(text.fill(values))}"


class Tree:
    """JSON with placeholders in its texts; a text that is one placeholder becomes its value."""

    def __init__(self, value: Any) -> None:
        self._value = _prepared(value)
        self.names = frozenset(_names(self._value))
        """The placeholders in it."""

    def fill(self, values: Values) -> Any:
        """The value, with numbers as numbers and several values as a list."""
        return _filled(self._value, values)


def _prepared(value: Any) -> Any:
    match value:
        case dict():
            return {name: _prepared(part) for name, part in value.items()}
        case list():
            return [_prepared(part) for part in value]
        case str():
            template = Template(value)
            return template if template.names else template.fill({})
        case _:
            return value


def _names(prepared: Any) -> Iterator[str]:
    match prepared:
        case dict():
            for part in prepared.values():
                yield from _names(part)
        case list():
            for part in prepared:
                yield from _names(part)
        case Template():
            yield from prepared.names


def _filled(prepared: Any, values: Values) -> Any:
    match prepared:
        case dict():
            return {name: _filled(part, values) for name, part in prepared.items()}
        case list():
            return [_filled(part, values) for part in prepared]
        case Template():
            value = values[prepared.only] if prepared.only else prepared.fill(values)
            return list(value.values) if isinstance(value, Many) else value
        case _:
            return prepared
