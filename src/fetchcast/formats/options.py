"""Which format a body has, and its dialect."""

from __future__ import annotations

import codecs
from typing import Literal, TypeAlias

import msgspec

Inner: TypeAlias = Literal["json", "ndjson", "csv", "tsv", "xml"]
Name: TypeAlias = Literal["json", "ndjson", "csv", "tsv", "xml", "zip", "gzip"]
_MEGABYTE = 1024 * 1024


class BrokenFormat(ValueError):
    """A body is not what its format promises; args: what is wrong."""

    def __init__(self, problem: str, final: bool = False) -> None:  # noqa: FBT001, FBT002  pickle
        super().__init__(problem, final)
        self.final = final
        """Whether the same call will bring the same again."""

    def __str__(self) -> str:
        return str(self.args[0])


class CsvOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The dialect of a CSV or TSV body: what no standard settles."""

    separator: str | None = None
    """Between cells; None: of ``,``, ``;``, tab and ``|``, the one most common in the first line
    (a tab in TSV)."""
    quote: str | None = None
    """Around cells; None: ``"`` in CSV, nothing in TSV. An empty text: nothing."""
    names: list[str] | None = None
    """The columns, where the body has no line of names."""
    skip: int = 0
    """Lines before the names."""
    comment: str | None = None
    """Lines that begin so are left out."""
    numbers: bool = True
    """A column in which every cell is a number (without leading zeros) holds numbers; False: all
    cells are texts. Empty cells have no value in either case."""
    decimal: Literal[".", ","] = "."
    """The mark in a number."""
    strip: bool = False
    """Take blanks off the ends of cells."""

    def __post_init__(self) -> None:
        for name in ("separator", "quote"):
            mark = getattr(self, name)
            if mark is not None and (len(mark) > 1 or mark in {"\r", "\n"}):
                raise ValueError(f"{name} = {mark!r}: expected one character")
        if self.separator == "":
            raise ValueError("separator = '': expected one character")
        if self.skip < 0:
            raise ValueError(f"skip = {self.skip}: expected 0 or more")
        if self.names is not None and len(set(self.names)) < len(self.names):
            raise ValueError(f"names = {self.names!r}: expected each name once")


class XmlOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an XML body becomes a document.

    An element with nothing but text is that text, any other an object: attributes under
    ``@name``, its own text under ``#text``, elements under their names without namespace.
    """

    arrays: tuple[str, ...] = ()
    """Elements that are arrays even where there is one. Those that a table's ``rows`` goes
    through with ``[*]`` are so by themselves."""


class Format(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a body is read."""

    name: Name = "json"
    inner: Inner = "json"
    members: str = "*"
    charset: str | None = None
    csv: CsvOptions = CsvOptions()
    xml: XmlOptions = XmlOptions()
    max_unpacked_bytes: int = 1024 * _MEGABYTE

    @property
    def is_json(self) -> bool:
        """Whether a body is a document as it is."""
        return self.name == "json" and self.charset is None

    @property
    def is_text(self) -> bool:
        """Whether the charset of an answer's headers is that of the body."""
        return self.charset is None and self.name in {"json", "ndjson", "csv", "tsv"}

    @property
    def packed(self) -> Format:
        """How what is packed is read."""
        return msgspec.structs.replace(self, name=self.inner)


def check_charset(charset: str | None) -> None:
    """Raise ValueError if nobody knows ``charset``."""
    if charset is not None:
        try:
            codecs.lookup(charset)
        except LookupError:
            expected = "a charset such as 'windows-1252'"
            raise ValueError(f"charset = {charset!r}: expected {expected}") from None
