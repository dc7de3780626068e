"""The JSON documents in a body, whatever its format."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import msgspec

from fetchcast.formats.options import BrokenFormat, Format
from fetchcast.formats.packed import unpacked_gzip, zip_members
from fetchcast.formats.tables import table_documents
from fetchcast.formats.xml import xml_document

PORTION_BYTES = 1 << 20
"""Lines are put together into documents of about this size."""
_HTML = (b"<!doctype html", b"<html")
_LINE = msgspec.json.Decoder(msgspec.Raw)
_AROUND = b" \t\x1e"  # A record separator begins a line of JSON text sequences.


def documents(body: bytes, form: Format) -> Iterator[bytes]:
    """The JSON documents in ``body``, one after the other; JSON itself costs nothing.

    A table is arrays of objects, NDJSON arrays of its lines. A line of NDJSON that is not JSON
    is an array of its own, which cannot be read: it harms no other.

    Raises:
        BrokenFormat: If ``body`` has another format, is damaged, or unpacks to too much.
    """
    match form.name:
        case "json":
            yield body if form.charset is None else _text(body, form).encode()
        case "zip":
            for member in zip_members(body, form.members, form.max_unpacked_bytes):
                yield from documents(member.removeprefix(codecs.BOM_UTF8), form.packed)
        case "gzip":
            text = unpacked_gzip(body, form.max_unpacked_bytes)
            yield from documents(text.removeprefix(codecs.BOM_UTF8), form.packed)
        case "xml":
            _refuse_html(body, form)
            yield xml_document(body, form.xml, form.charset)
        case "ndjson":
            yield from _lines(body if form.charset is None else _text(body, form).encode())
        case "csv" | "tsv":
            _refuse_html(body, form)
            yield from table_documents(_text(body, form), form.csv, form.name, PORTION_BYTES)


def is_line(line: bytes) -> bool:
    """Whether ``line`` is JSON."""
    try:
        _LINE.decode(line)
    except msgspec.MsgspecError:
        return False
    return True


def stripped(line: bytes) -> bytes:
    """``line`` without what may stand around it."""
    return line.strip(_AROUND)


def _lines(body: bytes) -> Iterator[bytes]:
    portion: list[bytes] = []
    size = 0
    for raw in body.splitlines():
        line = stripped(raw)
        if not line:
            continue
        if not is_line(line):
            yield b"[" + line + b"]"
            continue
        portion.append(line)
        size += len(line)
        if size >= PORTION_BYTES:
            yield b"[" + b",".join(portion) + b"]"
            portion, size = [], 0
    if portion:
        yield b"[" + b",".join(portion) + b"]"


def _text(body: bytes, form: Format) -> str:
    charset = form.charset or "utf-8"
    try:
        return body.decode(charset).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        problem = f"text that is not {charset} (at byte {error.start})"
        hint = "" if form.charset else '; charset = "windows-1252" may be right'
        raise BrokenFormat(problem + hint, final=True) from None


def _refuse_html(body: bytes, form: Format) -> None:
    if body[:200].lstrip().lower().startswith(_HTML):
        raise BrokenFormat(f"HTML instead of {form.name.upper()}", final=True)
