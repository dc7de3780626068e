"""Unpacks bodies: gzip, deflate, Brotli, Zstandard; never further than a limit. Pure.

The drivers' own decoders are switched off. They take a body that was cut off inside its
compressed data for whole, and each has another idea of what is too large; doing it here costs
the same, treats both transports alike, and lets the answer be checked to its last byte.
"""

from __future__ import annotations

from typing import Final

try:
    from isal import isal_zlib as zlib  # The same interface, and a third to a half of the time.
except ImportError:  # No wheel for this platform.
    import zlib  # type: ignore[no-redef]

ENCODINGS: Final = "gzip, deflate, br, zstd"
"""What to ask for: the value of ``Accept-Encoding``."""

_BROKEN: Final[type[Exception]] = zlib.error  # type: ignore[assignment]  # Its stubs err.
_MOST = 5  # Encodings on top of each other; two are odd already.
_GZIP, _ZLIB, _RAW = 31, 15, -15
_GZIP_MAGIC = b"\x1f\x8b"


class Undecodable(ValueError):
    """The bytes are not what their encoding says, or not all of it."""


class Overlong(ValueError):
    """There is more than the limit allows."""


def decoded(body: bytes, encoding: str, at_most: int) -> bytes:
    """``body`` without the ``encoding`` that its header names; of no more than ``at_most`` bytes.

    An empty body is empty in every encoding. Memory stays near ``at_most``, whatever is packed.

    Raises:
        Undecodable: If it is damaged, cut off, or packed in a way that nobody asked for.
        Overlong: If there is more than ``at_most`` bytes.
    """
    if not body:
        return body
    if encoding == "gzip":  # Nearly always.
        return _gunzip(body, at_most)
    names = [name.strip().lower() for name in encoding.split(",")]
    if len(names) > _MOST:
        raise Undecodable(f"{len(names)} encodings on top of each other")
    for name in reversed(names):
        body = _unpacked(body, name, at_most)
    return body


def _unpacked(body: bytes, name: str, at_most: int) -> bytes:
    match name:
        case "gzip" | "x-gzip":
            return _gunzip(body, at_most)
        case "deflate":
            # The standard means zlib's format; many servers send what is inside of it.
            return _inflate(body, _ZLIB if _has_zlib_head(body) else _RAW, at_most)[0]
        case "br":
            return _brotli(body, at_most)
        case "zstd":
            return _zstd(body, at_most)
        case "identity" | "":
            return body
    raise Undecodable(f"unknown encoding {name[:40]!r}")


def _gunzip(body: bytes, at_most: int) -> bytes:
    text, rest = _inflate(body, _GZIP, at_most)
    if not rest:
        return text
    members = [text]  # Several in a row are one text.
    while rest.startswith(_GZIP_MAGIC):
        at_most -= len(members[-1])
        text, rest = _inflate(rest, _GZIP, at_most)
        members.append(text)
    return b"".join(members)


def _inflate(body: bytes, wbits: int, at_most: int) -> tuple[bytes, bytes]:
    """The text, and what follows its end."""
    inflater = zlib.decompressobj(wbits)
    try:
        text = inflater.decompress(body, at_most + 1)
    except _BROKEN as error:
        raise Undecodable(str(error)) from None
    if len(text) > at_most:
        raise Overlong
    if not inflater.eof:
        raise Undecodable("the packed data ends too early")
    return text, inflater.unused_data


def _has_zlib_head(body: bytes) -> bool:
    return len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and (body[0] << 8 | body[1]) % 31 == 0


def _brotli(body: bytes, at_most: int) -> bytes:
    # Few servers use it; who does not need it need not load it.
    import brotli  # type: ignore[import-untyped]  # noqa: PLC0415

    unpacker = brotli.Decompressor()
    try:
        text: bytes = unpacker.process(body, output_buffer_limit=at_most + 1)
    except brotli.error as error:
        raise Undecodable(str(error)) from None
    if len(text) > at_most:
        raise Overlong
    if not unpacker.is_finished():
        raise Undecodable("the packed data ends too early")
    return text


def _zstd(body: bytes, at_most: int) -> bytes:
    import zstandard  # noqa: PLC0415  the same

    unpacker = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    try:
        size = zstandard.get_frame_parameters(body).content_size
        if size == zstandard.CONTENTSIZE_UNKNOWN:
            # Read with a limit first: this does not tell a whole frame from a cut one.
            size = len(unpacker.stream_reader(body).read(at_most + 1))
        if size > at_most:
            raise Overlong
        text: bytes = unpacker.decompress(body, max_output_size=max(1, size))
    except zstandard.ZstdError as error:
        raise Undecodable(str(error)) from None
    return text
