"""Which keys are there: sorted arrays, 31 bytes a key, that a window of keys is looked up in.

A B-tree of random keys costs more than the answers: each batch of 500 touches 500 of its pages
(17 us of CPU a call at a million keys, 3 us a look-up). So each segment carries its own keys, which
is an append, and this index over all of them is rebuilt when a journal is opened. Its larger arrays
are in files without names that go with the process; of these, memory holds what is looked at.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final, TypeAlias
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from fetchcast.records import Fate

Digests: TypeAlias = NDArray[np.uint64]
"""Shape ``(n, 2)``: the 128 bits of each key."""


class BrokenBatch(Exception):
    """Bytes of a segment are not what was written."""


FATES: Final = tuple(Fate)
CODES: Final = {fate: code for code, fate in enumerate(FATES)}

LEVEL_KEYS: Final = 1 << 17
"""So many keys are sorted at once."""
FILED_KEYS: Final = LEVEL_KEYS // 4
"""As many as this, sorted, go to the disk."""

_KEY_BYTES: Final = 16
_CHECK_BYTES: Final = 4
_HALVES: Final = np.dtype("<u8")
_ROW: Final = np.dtype([("seq", "<i8"), ("finished", "<u4"), ("resource", "<u2"), ("fate", "u1")])
Flags: TypeAlias = NDArray[np.bool_]
Places: TypeAlias = NDArray[np.intp]
Rows: TypeAlias = NDArray[np.void]
"""What is known of each key: seq, finished (whole seconds since 1970), resource's code, fate."""


def digests(keys: Sequence[str]) -> Digests:
    """The 128 bits of each key; keys that are not 32 hex digits are hashed first."""
    if set(map(len, keys)) == {2 * _KEY_BYTES}:
        try:
            raw = bytes.fromhex("".join(keys))
        except ValueError:
            raw = b""
        if len(raw) == _KEY_BYTES * len(keys):
            return np.frombuffer(raw, _HALVES).reshape(-1, 2)
    return np.frombuffer(b"".join(map(_digest, keys)), _HALVES).reshape(-1, 2)


def _digest(key: str) -> bytes:
    if len(key) == 2 * _KEY_BYTES:
        try:
            raw = bytes.fromhex(key)
        except ValueError:
            raw = b""
        if len(raw) == _KEY_BYTES:
            return raw
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()


def rows(
    seqs: Sequence[int], finished: Sequence[int], resources: Sequence[int], fates: Sequence[int]
) -> Rows:
    """Columns of equal length as rows."""
    made = np.empty(len(seqs), _ROW)
    made["seq"], made["finished"], made["resource"], made["fate"] = seqs, finished, resources, fates
    return made


def as_blob(keys: Digests, known: Rows) -> bytes:
    """What a segment stores: all digests, all rows, and a checksum."""
    content = keys.tobytes() + known.tobytes()
    return content + crc32(content).to_bytes(_CHECK_BYTES, "little")


def from_blob(blob: bytes) -> tuple[Digests, Rows]:
    """The inverse of `as_blob`; raises `BrokenBatch` if it is not what was written."""
    content = blob[:-_CHECK_BYTES]
    count, rest = divmod(len(content), _KEY_BYTES + _ROW.itemsize)
    if rest or crc32(content) != int.from_bytes(blob[-_CHECK_BYTES:], "little"):
        raise BrokenBatch("its keys do not fit their checksum")
    keys = np.frombuffer(content, _HALVES, 2 * count).reshape(-1, 2)
    return keys, np.frombuffer(content, _ROW, count, offset=_KEY_BYTES * count)


_Part: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Level:
    """Keys sorted by their first half, with their rows."""

    high: Digests
    low: Digests
    rows: Rows
    file: mmap.mmap | None = None
    """What the arrays are in; None for memory."""

    def let_go(self) -> None:
        """Give back the memory of what was looked at in the file."""
        if self.file is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.file.madvise(mmap.MADV_DONTNEED)

    def hits(self, wanted: Digests) -> tuple[Places, Places]:
        """Which of ``wanted`` are here, and where."""
        high, low = wanted[:, 0], wanted[:, 1]
        at = self.high.searchsorted(high)
        which = np.flatnonzero(self.high.take(at, mode="clip") == high)
        at = at[which]
        same = self.low.take(at, mode="clip") == low[which]
        if not same.all():
            # Two keys that share 64 bits: not by chance, but never a reason to lose one.
            for place in np.flatnonzero(~same):
                at[place] = self._further(int(at[place]), wanted[which[place]])
            which, at = which[at >= 0], at[at >= 0]
        return which, at

    def _further(self, at: int, wanted: Digests) -> int:
        while at < len(self.high) and self.high[at] == wanted[0]:
            if self.low[at] == wanted[1]:
                return at
            at += 1
        return -1


def _sorted(keys: Digests, known: Rows) -> _Level:
    order = np.argsort(keys[:, 0], kind="stable")
    return _Level(keys[order, 0], keys[order, 1], known[order])


def _merged(older: _Level, newer: _Level) -> Iterator[_Part]:
    """High, low and rows of both, one after the other: together they would be memory twice."""
    high = np.concatenate((older.high, newer.high))
    # Two sorted runs: a stable sort sees them and merges.
    order = np.argsort(high, kind="stable")
    yield high[order]
    del high
    yield np.concatenate((older.low, newer.low))[order]
    yield np.concatenate((older.rows, newer.rows))[order]


def _filed(parts: Iterator[_Part], count: int, folder: Path) -> _Level:
    """The level of ``parts`` in a file in ``folder``; raises `OSError`."""
    with TemporaryFile(dir=folder) as made:
        for part in parts:
            made.write(part.data.cast("B"))
        made.flush()
        file = mmap.mmap(made.fileno(), 0)
    high, low = (np.frombuffer(file, "<u8", count, offset=8 * count * part) for part in (0, 1))
    return _Level(high, low, np.frombuffer(file, _ROW, count, offset=_KEY_BYTES * count), file)


class KeyIndex:
    """The newest state of every key; one thread may add while others look.

    Args:
        folder: Where most of it may be, on the disk; None for memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        # Windows lets no file without a name be mapped.
        self._folder = folder if os.name != "nt" else None
        self._levels: list[_Level] = []
        self._latest: _Level | None = None
        self._count = 0
        self._turn = threading.Lock()

    def __len__(self) -> int:
        return self._count

    def all_rows(self) -> Iterator[Rows]:
        """The rows of all keys, in portions."""
        for level in list(self._levels):
            yield level.rows

    def clear(self) -> None:
        """Forget all keys."""
        with self._turn:
            self._levels, self._latest, self._count = [], None, 0

    def look(self, wanted: Digests) -> tuple[Flags, Rows]:
        """Which of the keys are there, and their rows (of no meaning for those that are not)."""
        found, known = np.zeros(len(wanted), np.bool_), np.zeros(len(wanted), _ROW)
        with self._turn:
            for level, which, at in self._hits(wanted):
                known[which] = level.rows[at]
                found[which] = True
        return found, known

    def put(self, keys: Digests, known: Rows) -> None:
        """Add keys, each at most once in ``keys``; those that are there get the new row."""
        new = np.ones(len(keys), np.bool_)
        with self._turn:
            for level, which, at in self._hits(keys):
                level.rows[at] = known[which]
                new[which] = False
        self.add(keys[new], known[new])

    def _hits(self, wanted: Digests) -> Iterator[tuple[_Level, Places, Places]]:
        """The levels with some of ``wanted``: which of them, and where."""
        # In their order, neighbours are found where the last one was: half the time.
        left = np.argsort(wanted[:, 0])
        for level in sorted(self._levels, key=lambda level: level is not self._latest):
            which, at = level.hits(wanted[left])
            if len(which):
                # What is asked together was mostly kept together: begin here next time.
                if self._latest is not level:
                    self._forget_latest()
                    self._latest = level
                yield level, left[which], at
                left = np.delete(left, which)
                if not len(left):
                    return
            elif level is not self._latest:
                level.let_go()

    def _forget_latest(self) -> None:
        if self._latest is not None:
            self._latest.let_go()
        self._latest = None

    def add(self, keys: Digests, known: Rows) -> None:
        """Add keys of which none is there yet, each once."""
        if len(keys):
            with self._turn:
                self._levels.append(_sorted(keys, known))
                self._count += len(keys)
                self._settle()

    def _settle(self) -> None:
        """Merge small levels, so that there are few; large ones would need their room twice."""
        levels, largest = self._levels, max(LEVEL_KEYS, self._count // 16)
        while len(levels) > 1:
            newer, older = len(levels[-1].high), len(levels[-2].high)
            if older >= 4 * newer or older + newer > largest:
                break
            self._forget_latest()
            levels[-2:] = [self._made(partial(_merged, *levels[-2:]), older + newer)]
        last = levels[-1]
        if last.file is None and len(last.high) >= FILED_KEYS:
            parts = (last.high, last.low, last.rows)
            levels[-1] = self._made(partial(iter, parts), len(last.high))

    def _made(self, parts: Callable[[], Iterator[_Part]], count: int) -> _Level:
        """The level of ``parts``, on the disk if it is large."""
        if self._folder is not None and count >= FILED_KEYS:
            with suppress(OSError):  # No room, or none to write in: memory will do.
                return _filed(parts(), count, self._folder)
        high, low, known = parts()
        return _Level(high, low, known)
