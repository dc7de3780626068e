"""The only code that writes: one transaction per batch, with the proof and the bodies in it."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from fetchcast.errors import LandingFull
from fetchcast.events import RunEnd
from fetchcast.landing.index import (
    CODES,
    FATES,
    LEVEL_KEYS,
    Digests,
    Flags,
    KeyIndex,
    Rows,
    as_blob,
    digests,
    from_blob,
    rows,
)
from fetchcast.landing.options import LandingOptions
from fetchcast.landing.runs import RunInfo
from fetchcast.landing.schema import JOURNAL, open_for_writing, told
from fetchcast.landing.segment import Entry, Packer, entries_and_bodies
from fetchcast.records import Fate, Outcome

SEGMENT_ANSWERS: Final = 500
SEGMENT_BYTES: Final = 8_000_000
"""A segment is read as a whole: it stays small, but for a single larger answer."""

_CHECKPOINT_PAGES: Final = 4000
_KEPT_EVENTS: Final = 10_000
_HAVE_ANSWER: Final = (CODES[Fate.LANDED], CODES[Fate.EMPTY])
_NOT_MODIFIED: Final = 304

Note: TypeAlias = Callable[["Journal"], None]
"""A small write that rides along in the next transaction."""


@dataclass(slots=True)
class _Batch:
    """What one transaction changes beside the disk; applied once it is committed."""

    index: list[tuple[Digests, Rows, bool]] = field(default_factory=list)
    """What it learns: keys, their rows, and whether none of them was known."""
    count: int = 0
    body_bytes: int = 0


class Journal:
    """The open journal. One thread at a time; `KeyIndex` alone may be read beside it."""

    def __init__(self, connection: sqlite3.Connection, path: Path, options: LandingOptions) -> None:
        self.connection, self.path, self.options = connection, path, options
        self.index = KeyIndex(path.parent)
        self.run: str | None = None
        self.packer = Packer()
        self._headers = tuple(name.lower() for name in options.headers)
        self._batch = _Batch()
        (self.last_seq,) = self._one("SELECT last_seq FROM landing")
        self._resources: dict[str, int] = {
            name: code for code, name in connection.execute("SELECT code, name FROM resource")
        }
        (self._page_bytes,) = self._one("PRAGMA page_size")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")

    def _one(self, sql: str) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self.connection.execute(sql).fetchone()
        return row

    # -- one transaction

    def commit(self, outcomes: Sequence[Outcome], notes: Sequence[Note]) -> tuple[int, int]:
        """Keep ``outcomes`` (each key once) and ``notes``, or nothing of it.

        Returns:
            How many outcomes are on the disk now, and the bytes of their bodies.

        After an error the journal is to be closed: it does not know any more what comes next.

        Raises:
            LandingFull: If the disk or ``max_disk`` is full.
            LandingError: If it cannot be written for another reason.
        """
        with self.transaction():
            for outcomes_of_one in _portions(outcomes):
                self._add_segment(outcomes_of_one)
            for note in notes:
                note(self)
            self.connection.execute("UPDATE landing SET last_seq = ?", (self.last_seq,))
        batch, self._batch = self._batch, _Batch()
        for keys, known, are_new in batch.index:
            (self.index.add if are_new else self.index.put)(keys, known)
        return batch.count, batch.body_bytes

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        with told(self.path):
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def _add_segment(self, outcomes: Sequence[Outcome]) -> None:
        self._batch.count += len(outcomes)
        fresh = list(self._fresh(outcomes))
        if not fresh:
            return
        entries, bodies = entries_and_bodies(self.last_seq + 1, fresh, self._headers)
        self.last_seq += len(entries)
        keys, known = digests([entry.key for entry in entries]), self.rows_of(entries)
        there, old = self.index.look(keys)
        are_new = not bool(there.any())
        current = ~there if are_new else self._supersede(known, there, old)
        body_bytes = sum(map(len, bodies))
        row = (
            entries[0].seq,
            entries[-1].seq,
            max(entry.finished_at for entry in entries),
            len(entries),
            sum(entry.fate is Fate.FAILED for entry in entries),
            body_bytes,
            as_blob(keys, known),
            self.packer.entries(entries),
            self.packer.bodies(bodies),
        )
        self._check_room(len(row[-1]) + len(row[-2]))
        self.connection.execute("INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        self.count(known[current], 1)
        self._batch.body_bytes += body_bytes
        self._batch.index.append((keys[current], known[current], are_new))

    def rows_of(self, entries: Sequence[Entry]) -> Rows:
        """What the index knows of ``entries``."""
        return rows(
            [entry.seq for entry in entries],
            [int(entry.finished_at) for entry in entries],
            [self._code(entry.resource) for entry in entries],
            [CODES[entry.fate] for entry in entries],
        )

    def _code(self, resource: str) -> int:
        code = self._resources.get(resource)
        if code is None:
            code = self._resources[resource] = len(self._resources)
            self.connection.execute("INSERT INTO resource VALUES (?, ?)", (code, resource))
        return code

    def _supersede(self, known: Rows, there: Flags, old: Rows) -> Flags:
        """Note which older answers these replace; True for those that count from now on."""
        # A failure never hides an answer: what once landed stays what can be read.
        have, bring = (np.isin(rows["fate"], _HAVE_ANSWER) for rows in (old, known))
        current = ~there | bring | ~have
        replaced, hidden = there & current, ~current
        pairs = [
            *zip(old["seq"][replaced].tolist(), known["seq"][replaced].tolist(), strict=True),
            *((seq, seq) for seq in known["seq"][hidden].tolist()),
        ]
        self.connection.executemany("INSERT INTO superseded VALUES (?, ?)", pairs)
        self.count(old[replaced], -1)
        return current

    def count(self, known: Rows, sign: int) -> None:
        """Add answers to the tally of resources and fates (``sign`` 1), or take them away (-1)."""
        pairs = Counter(zip(known["resource"].tolist(), known["fate"].tolist(), strict=True))
        self.connection.executemany(
            "INSERT INTO tally VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET answers = answers + excluded.answers",
            [(code, FATES[fate], sign * count) for (code, fate), count in pairs.items()],
        )

    def _fresh(self, outcomes: Sequence[Outcome]) -> Iterator[Outcome]:
        """Those that bring something to keep: a 304 does not, it confirms what is kept."""
        for outcome in outcomes:
            if outcome.answer is None or outcome.answer.status != _NOT_MODIFIED:
                yield outcome
            elif not self._confirms(outcome):
                yield Outcome(
                    request=outcome.request,
                    fate=Fate.FAILED,
                    answer=outcome.answer,
                    attempts=outcome.attempts,
                    reason="not modified (304), but no answer is kept that could be meant",
                    finished_at=outcome.finished_at,
                )

    def _confirms(self, outcome: Outcome) -> bool:
        """Note that the kept answer is still the newest; False if there is none."""
        key = digests([outcome.request.key])
        there, known = self.index.look(key)
        if not there[0] or known["fate"][0] not in _HAVE_ANSWER:
            return False
        self.connection.execute(
            "INSERT INTO confirmed VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at",
            (int(known["seq"][0]), outcome.finished_at),
        )
        known["finished"] = int(outcome.finished_at)
        self._batch.index.append((key, known, False))
        return True

    def _check_room(self, coming_bytes: int) -> None:
        limit = self.options.max_disk_bytes
        if limit is not None and self.size_bytes() + coming_bytes > limit:
            raise LandingFull(
                str(self.path),
                f"would grow beyond max_disk = {self.options.max_disk}",
                "raise max_disk, or make room with `fetchcast purge`; what landed is safe",
            )

    def size_bytes(self) -> int:
        """The journal's size once its log is folded in."""
        (pages,) = self._one("PRAGMA page_count")
        return int(pages) * int(self._page_bytes)

    def give_back(self) -> None:
        """Return free pages to the disk and fold the write-ahead log in."""
        with told(self.path):
            # `execute` would take one step of it, which is one page.
            self.connection.executescript("PRAGMA incremental_vacuum")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def look_again(self) -> None:
        """Build the index anew, as after answers were erased."""
        self.index.clear()
        with told(self.path):
            load_index(self.connection, self.index)

    def count_again(self) -> None:
        """Build the tally anew from the index."""
        self.connection.execute("DELETE FROM tally")
        for known in self.index.all_rows():
            self.count(known, 1)

    # -- notes, to be called inside a transaction

    def begin_run(self, run: RunInfo) -> None:
        """Note that ``run`` goes; runs that never said how they ended were killed."""
        self.run = run.id
        self.connection.execute(
            "UPDATE run SET ended_at = heartbeat_at WHERE ended_at IS NULL AND id <> ?", (run.id,)
        )
        self.connection.execute(
            "INSERT INTO run VALUES (?, ?, ?, ?, ?, NULL, NULL, ?, '{}', ?, ?)",
            (
                run.id, run.pipeline, run.file_digest, run.started_at, run.started_at,
                run.planned, run.pid, run.host,
            ),
        )  # fmt: skip
        self.connection.execute(
            "DELETE FROM event WHERE seq <= (SELECT max(seq) FROM event) - ?", (_KEPT_EVENTS,)
        )

    def heartbeat(self, counts: str, planned: int | None, at: float) -> None:
        """Note how far the run is; ``counts`` is JSON."""
        self.connection.execute(
            "UPDATE run SET heartbeat_at = ?, counts = ?, planned = coalesce(?, planned) "
            "WHERE id = ?",
            (at, counts, planned, self.run),
        )

    def end_run(self, end: RunEnd, counts: str, at: float) -> None:
        """Note how the run ended; ``counts`` is JSON."""
        self.connection.execute(
            "UPDATE run SET ended_at = ?, heartbeat_at = ?, end = ?, counts = ? WHERE id = ?",
            (at, at, int(end), counts, self.run),
        )

    def log(self, kind: str, text: str, at: float) -> None:
        """Add a line to the log."""
        self.connection.execute(
            "INSERT INTO event (run, at, kind, text) VALUES (?, ?, ?, ?)",
            (self.run, at, kind, text),
        )

    def remember(self, scope: str, value: str, at: float) -> None:
        """Keep ``value`` (JSON) for later runs, in place of what was kept for ``scope``."""
        self.connection.execute(
            "INSERT INTO memory VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET value = excluded.value, at = excluded.at",
            (scope, value, at),
        )

    def forget(self, scope: str) -> None:
        """Drop what was kept for ``scope``, if anything was."""
        self.connection.execute("DELETE FROM memory WHERE scope = ?", (scope,))


def _portions(outcomes: Sequence[Outcome]) -> Iterator[Sequence[Outcome]]:
    """Cut into segments of at most `SEGMENT_ANSWERS` and, if it can be, `SEGMENT_BYTES`."""
    start, size = 0, 0
    for place, outcome in enumerate(outcomes):
        more = len(outcome.answer.body) if outcome.answer is not None else 0
        if place > start and (place - start >= SEGMENT_ANSWERS or size + more > SEGMENT_BYTES):
            yield outcomes[start:place]
            start, size = place, 0
        size += more
    if start < len(outcomes):
        yield outcomes[start:]


def load_index(connection: sqlite3.Connection, index: KeyIndex, after_seq: int = 0) -> None:
    """Fill ``index`` with the current answers of the segments behind ``after_seq``."""
    add = index.put if after_seq else index.add
    blobs: list[bytes] = []
    count = 0
    for answers, blob in connection.execute(
        "SELECT answers, keys FROM segment WHERE first_seq > ? ORDER BY first_seq", (after_seq,)
    ):
        blobs.append(blob)
        count += answers
        if count >= LEVEL_KEYS:
            add(*_current(connection, blobs))
            blobs, count = [], 0
    if blobs:
        add(*_current(connection, blobs))


def _current(connection: sqlite3.Connection, blobs: Sequence[bytes]) -> tuple[Digests, Rows]:
    """The keys of neighbouring segments, without answers that were replaced later on."""
    parts = [from_blob(blob) for blob in blobs]
    keys = np.concatenate([part for part, _ in parts])
    known = np.concatenate([part for _, part in parts])
    span = (int(known["seq"][0]), int(known["seq"][-1]))
    for seq, at in connection.execute("SELECT * FROM confirmed WHERE seq BETWEEN ? AND ?", span):
        # A 304 makes an answer younger than its segment says.
        known["finished"][known["seq"] == seq] = int(at)
    replaced = connection.execute("SELECT seq FROM superseded WHERE seq BETWEEN ? AND ?", span)
    current = ~np.isin(known["seq"], np.fromiter((seq for (seq,) in replaced), np.int64))
    return keys[current], known[current]


@contextmanager
def open_journal(
    directory: Path, options: LandingOptions, *, damaged: bool = False
) -> Iterator[Journal]:
    """Open the journal of ``directory``; hold the lock first.

    Args:
        directory: The landing.
        options: What is kept.
        damaged: Open it although its keys may be unreadable, to repair it; the index stays empty.
    """
    path = directory / JOURNAL
    connection = open_for_writing(directory)
    try:
        with told(path):
            journal = Journal(connection, path, options)
        if not damaged:
            journal.look_again()
        yield journal
    finally:
        # The last one to close folds the write-ahead log into the file.
        connection.close()
