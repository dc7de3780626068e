"""XML as a document: expat of the standard library, with everything that is a trap refused."""

from __future__ import annotations

from typing import Any

# Expat itself does nothing but call us; what makes parsers unsafe is refused below.
from xml.parsers import expat

import msgspec

from fetchcast.formats.options import BrokenFormat, XmlOptions

_DEEPEST = 200


class _Element:
    """One that has begun."""

    __slots__ = ("children", "name", "texts")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.children: dict[str, Any] = attributes
        self.texts: list[str] = []

    def value(self) -> Any:
        """What it is in the document."""
        if not self.children:
            return "".join(self.texts).strip() or None
        text = " ".join(piece for one in self.texts if (piece := one.strip()))
        return self.children | {"#text": text} if text else self.children


class _Builder:
    """Makes plain data of what expat tells."""

    def __init__(self, options: XmlOptions) -> None:
        self._arrays = frozenset(options.arrays)
        self._open = [_Element("", {})]

    @property
    def document(self) -> Any:
        """The whole, when all is told."""
        return self._open[0].children

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        if len(self._open) > _DEEPEST:
            raise BrokenFormat(f"elements nested more than {_DEEPEST} deep", final=True)
        named: dict[str, str] = {}
        # Of two names that differ in their namespace only, the one without keeps the short form.
        for full, value in sorted(attributes.items(), key=_has_namespace):
            short = f"@{_local(full)}"
            named[f"@{full.replace(' ', ':')}" if short in named else short] = value
        self._open.append(_Element(_local(name), named))

    def end(self, _: str) -> None:
        """It ends."""
        element = self._open.pop()
        siblings, name, value = self._open[-1].children, element.name, element.value()
        there = siblings.get(name)
        if isinstance(there, list):
            there.append(value)
        elif name in siblings:
            siblings[name] = [there, value]
        else:
            siblings[name] = [value] if name in self._arrays else value

    def text(self, text: str) -> None:
        """Text in it."""
        self._open[-1].texts.append(text)

    def unknown_entity(self, name: str, _: bool) -> None:  # noqa: FBT001  expat calls
        """A name for a text that only a document elsewhere would tell; it stays as it is."""
        self._open[-1].texts.append(f"&{name};")

    @staticmethod
    def refuse_entity(*_: object) -> None:
        """Entities are how a few bytes become gigabytes, or read a file of ours."""
        raise BrokenFormat("it declares entities, which are refused", final=True)


def xml_document(body: bytes, options: XmlOptions, charset: str | None) -> bytes:
    """``body`` as JSON: an object with the root element under its name.

    Raises:
        BrokenFormat: If it is not well-formed, or declares entities.
    """
    builder = _Builder(options)
    parser = expat.ParserCreate(charset, namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.SkippedEntityHandler = builder.unknown_entity
    parser.EntityDeclHandler = builder.refuse_entity
    try:
        parser.Parse(body, True)  # noqa: FBT003
    except expat.ExpatError as error:
        raise BrokenFormat(f"not XML: {error}") from None
    except (LookupError, ValueError) as error:
        if isinstance(error, BrokenFormat):
            raise
        raise BrokenFormat(f"not XML: {error}", final=True) from None
    return msgspec.json.encode(builder.document)


def _has_namespace(attribute: tuple[str, str]) -> bool:
    return " " in attribute[0]


def _local(name: str) -> str:
    """Without the namespace, which stands before a blank."""
    return name.rpartition(" ")[2]
