"""What a test server says: right answers, and every wrong one that a client must survive."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a `running_api`; whatever is wrong with it is said here, and nothing else is.

    The body is sent as it is: to compress it, use `gzip_reply`; to lie about its encoding, name an
    encoding in ``headers`` that it does not have.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay_s: float = field(default=0.0, kw_only=True)
    """Waits so long before the first byte."""
    never: bool = field(default=False, kw_only=True)
    """Says nothing at all, and keeps the connection open."""
    reset_after: int | None = field(default=None, kw_only=True)
    """Resets the connection after so many bytes of the body; -1: before the first header."""
    cut_after: int | None = field(default=None, kw_only=True)
    """Closes the connection, politely, after so many bytes of the body."""
    stall_after: int | None = field(default=None, kw_only=True)
    """Sends so many bytes of the body and then nothing more, and keeps the connection open."""
    content_length: int | None = field(default=None, kw_only=True)
    """Announces this length, whatever the body has."""
    chunked: bool = field(default=False, kw_only=True)
    """Sends the body in chunks, without a length; ``cut_after`` then loses the last chunk."""
    drip_bytes: int | None = field(default=None, kw_only=True)
    """Sends the body in pieces of this size ..."""
    drip_every_s: float = field(default=0.05, kw_only=True)
    """... with this pause between them."""
    close: bool = field(default=False, kw_only=True)
    """Says ``Connection: close`` and does it."""
    raw: bytes | None = field(default=None, kw_only=True)
    """Sends exactly these bytes in place of a status line, headers and body, then closes."""

    def head(self) -> bytes:
        """The status line and the headers, with the empty line that ends them."""
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}"]
        given = {name.lower() for name in self.headers}
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.chunked:
            lines.append("Transfer-Encoding: chunked")
        elif "content-length" not in given and self.status not in _WITHOUT_BODY:
            announced = len(self.body) if self.content_length is None else self.content_length
            lines.append(f"Content-Length: {announced}")
        if self.close:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def pieces(self) -> Iterator[bytes]:
        """What goes over the wire after the head, piece by piece."""
        ends = [
            end for end in (self.cut_after, self.stall_after, self.reset_after) if end is not None
        ]
        body = self.body[: max(0, min(ends))] if ends else self.body
        size = self.drip_bytes or max(1, len(body))
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            yield b"%x\r\n%b\r\n" % (len(piece), piece) if self.chunked else piece
        if self.chunked and not ends:
            yield b"0\r\n\r\n"


_WITHOUT_BODY = frozenset({204, 304})


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """``value`` as JSON, with its content type."""
    body = json.dumps(value, ensure_ascii=False).encode()
    return Reply(status, {"Content-Type": "application/json", **(headers or {})}, body)


def gzip_reply(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """``body``, compressed, and said so."""
    packed = gzip.compress(body, mtime=0)
    return Reply(status, {"Content-Encoding": "gzip", **(headers or {})}, packed)


def redirect(to: str, status: int = 302) -> Reply:
    """Sends the client elsewhere: a path, or a whole URL."""
    return Reply(status, {"Location": to})


def gzip_bomb(size_bytes: int) -> Reply:
    """A small answer, about a thousandth of ``size_bytes``, that unpacks to ``size_bytes``."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    step = b" " * 1_000_000
    whole, rest = divmod(size_bytes, len(step))
    packed = b"".join([packer.compress(step) for _ in range(whole)])
    packed += packer.compress(step[:rest]) + packer.flush()
    return Reply(200, {"Content-Encoding": "gzip", "Content-Type": "application/json"}, packed)
