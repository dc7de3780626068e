"""Answers as the journal has them packed, on their way to be shaped elsewhere.

A batch travels as it lies: two frames that nobody opened, and which of its answers are meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from fetchcast.landing.segment import Entry, Packer, Unpacker, landed
from fetchcast.records import Landed


@dataclass(frozen=True, slots=True)
class Frames:
    """A batch as it is packed."""

    entries: bytes
    bodies: bytes
    seqs: Sequence[int]
    """Of all the answers in it."""


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """Answers of one batch of the journal; see `fetchcast.landing.segment` for the frames."""

    entries: bytes
    bodies: bytes
    seqs: Sequence[int]
    """Which of them are meant."""


def as_content(pieces: Sequence[Piece]) -> bytes:
    """One file for all of ``pieces``."""
    return msgspec.msgpack.encode(pieces)


def pieces_in(content: bytes) -> list[Piece]:
    """What `as_content` was given."""
    return msgspec.msgpack.decode(content, type=list[Piece])


def answers_of(pieces: Sequence[Piece]) -> Iterator[Landed]:
    """The answers that ``pieces`` mean, in their order.

    Raises:
        BrokenBatch: If the bytes are damaged.
    """
    unpacker = Unpacker()
    for piece in pieces:
        entries, meant = unpacker.entries(piece.entries), frozenset(piece.seqs)
        bodies = unpacker.bodies(piece.bodies, entries)
        for entry, body in zip(entries, bodies, strict=True):
            if entry.seq in meant:
                yield landed(entry, body)


def pack(pairs: Iterable[tuple[Entry, bytes]]) -> tuple[bytes, bytes]:
    """The two frames of answers that are in no batch as it is."""
    packer, known = Packer(), list(pairs)
    entries, bodies = [entry for entry, _ in known], [body for _, body in known]
    return packer.entries(entries), packer.bodies(bodies)


def entry_of(answer: Landed) -> Entry:
    """What is kept of ``answer`` beside its body."""
    return Entry(
        answer.seq,
        answer.key,
        answer.resource,
        answer.url,
        dict(answer.params),
        answer.fate,
        answer.status,
        dict(answer.headers),
        answer.attempts,
        answer.reason,
        answer.finished_at,
        len(answer.body),
    )
