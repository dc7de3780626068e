"""A batch of answers as bytes, and back. Nothing here touches a disk.

A segment is two zstd frames with checksums: the entries (JSON, one array an answer: everything but
the body) and the bodies, one after the other. Apart, so that an URL or a status can be read without
the bodies; together per batch, because answers of one API resemble each other: 10 times smaller,
against 3.6 times if each is compressed alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import msgspec
import zstandard

from fetchcast.landing.index import BrokenBatch
from fetchcast.records import Fate, Landed, Outcome, Scalar

HEAD_BYTES = 4096
"""How much is kept of the body of a failed call."""


class Entry(msgspec.Struct, array_like=True, gc=False):
    """What is kept of one call beside its body, in the order of the array."""

    seq: int
    key: str
    resource: str
    url: str
    params: dict[str, Scalar]
    fate: Fate
    status: int | None
    headers: dict[str, str]
    attempts: int
    reason: str | None
    finished_at: float
    body_length: int
    method: str = "GET"
    sent: bytes | None = None
    """The request's own body."""


def entries_and_bodies(
    first_seq: int, outcomes: Sequence[Outcome], kept_headers: Sequence[str]
) -> tuple[list[Entry], list[bytes]]:
    """What is kept of ``outcomes``, numbered from ``first_seq`` on."""
    entries, bodies = [], []
    for seq, outcome in enumerate(outcomes, first_seq):
        request, answer, fate = outcome.request, outcome.answer, outcome.fate
        status, headers, body = None, {}, b""
        if answer is not None:
            status, found, body = answer.status, answer.headers, answer.body
            headers = {name: found[name] for name in kept_headers if name in found}
            if fate is Fate.FAILED:
                body = body[:HEAD_BYTES]
        entry = Entry(
            seq,
            request.key,
            request.resource,
            request.url,
            dict(request.params),
            fate,
            status,
            headers,
            outcome.attempts,
            outcome.reason,
            outcome.finished_at,
            len(body),
            request.method,
            request.body,
        )
        entries.append(entry)
        bodies.append(body)
    return entries, bodies


class Packer:
    """Makes the two frames; for one thread at a time."""

    def __init__(self, level: int = 1) -> None:
        self._zstd = zstandard.ZstdCompressor(level=level, write_checksum=True)

    def entries(self, entries: Sequence[Entry]) -> bytes:
        """The first frame."""
        try:
            text = msgspec.json.encode(entries)
        except UnicodeEncodeError:
            # Half a surrogate pair, as broken file names and hostile APIs have them.
            text = msgspec.json.encode([_writable(entry) for entry in entries])
        return self._zstd.compress(text)

    def bodies(self, bodies: Sequence[bytes]) -> bytes:
        """The second frame."""
        return self._zstd.compress(b"".join(bodies))


def _writable(entry: Entry) -> Entry:
    return msgspec.convert(_clean(msgspec.to_builtins(entry)), Entry)


def _clean(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case list() | tuple():
            return [_clean(part) for part in value]
        case dict():
            return {_clean(name): _clean(part) for name, part in value.items()}
        case _:
            return value


class Unpacker:
    """Reads the two frames; for one thread at a time. Raises `BrokenBatch` on damaged bytes."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdDecompressor()
        self._json = msgspec.json.Decoder(list[Entry])

    def entries(self, frame: bytes) -> list[Entry]:
        """The entries, in the order of their seq."""
        try:
            return self._json.decode(self._frame(frame))
        except msgspec.MsgspecError as error:
            raise BrokenBatch(str(error)) from error

    def bodies(self, frame: bytes, entries: Sequence[Entry]) -> Iterator[bytes]:
        """The body of each entry."""
        whole = self._frame(frame)
        ends = list(accumulate(entry.body_length for entry in entries))
        if (ends[-1] if ends else 0) != len(whole):
            raise BrokenBatch(f"its bodies have {len(whole)} bytes, not what the entries say")
        start = 0
        for end in ends:
            yield whole[start:end]
            start = end

    def _frame(self, frame: bytes) -> bytes:
        try:
            return self._zstd.decompress(frame)
        except zstandard.ZstdError as error:
            raise BrokenBatch(str(error)) from error


def landed(entry: Entry, body: bytes) -> Landed:
    """The two halves together."""
    return Landed(
        seq=entry.seq,
        key=entry.key,
        resource=entry.resource,
        url=entry.url,
        params=entry.params,
        fate=entry.fate,
        status=entry.status,
        headers=entry.headers,
        body=body,
        attempts=entry.attempts,
        reason=entry.reason,
        finished_at=entry.finished_at,
    )


def validators(entry: Entry) -> Mapping[str, str]:
    """The headers that ask "changed since?": ``if-none-match``, ``if-modified-since``."""
    asks = {"if-none-match": "etag", "if-modified-since": "last-modified"}
    return {ask: entry.headers[kept] for ask, kept in asks.items() if kept in entry.headers}
