"""Everything that can be asked of a landing, at any time, also while a run writes to it."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from fetchcast.events import RunEnd
from fetchcast.landing.index import FATES, KeyIndex, digests
from fetchcast.landing.journal import load_index
from fetchcast.landing.packed import Frames, pack
from fetchcast.landing.runs import Logged, Memory, Run
from fetchcast.landing.schema import JOURNAL, open_for_reading, told
from fetchcast.landing.sealing import sealed_bodies
from fetchcast.landing.segment import Entry, Unpacker, landed, validators
from fetchcast.records import WITH_ANSWER, Fate, Landed

WITH_CONTENT: Final = frozenset({Fate.LANDED})


class Reader:
    """What has landed; from `open_reader`. For one thread at a time."""

    def __init__(
        self, connection: sqlite3.Connection, directory: Path, index: KeyIndex | None = None
    ) -> None:
        self._connection, self._path = connection, directory / JOURNAL
        self._unpacker = Unpacker()
        self._index = index if index is not None else KeyIndex()
        # Somebody else keeps an index that was handed in up to date.
        self._follows = index is None
        self._index_upto, self._index_erasures = 0, -1
        self.identity: str = self._row("SELECT identity FROM landing")[0]
        """The landing's own name, a UUID made with it."""

    def _row(self, sql: str, values: Sequence[Any] = ()) -> Any:
        with told(self._path):
            return self._connection.execute(sql, values).fetchone()

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with told(self._path):
            return self._connection.execute(sql, values).fetchall()

    # -- figures

    @property
    def last_seq(self) -> int:
        """The seq of the newest answer; 0 if there is none."""
        return int(self._row("SELECT last_seq FROM landing")[0])

    @property
    def size_bytes(self) -> int:
        """Bytes on the disk, with the write-ahead log."""
        parts = (self._path, self._path.with_name(f"{JOURNAL}-wal"))
        return sum(part.stat().st_size for part in parts if part.exists())

    def counts(self, resource: str | None = None) -> Mapping[Fate, int]:
        """How many calls ended how, by their newest answer; every fate is there."""
        found = dict.fromkeys(Fate, 0)
        for name, fate, answers in self._rows(
            "SELECT name, fate, answers FROM tally JOIN resource ON code = resource"
        ):
            if resource in (None, name):
                found[Fate(fate)] += answers
        return found

    def resources(self) -> Mapping[str, Mapping[Fate, int]]:
        """The same by resource; every resource that ever had an answer is there."""
        found: dict[str, dict[Fate, int]] = {}
        for name, fate, answers in self._rows(
            "SELECT name, fate, answers FROM tally JOIN resource ON code = resource ORDER BY code"
        ):
            found.setdefault(name, dict.fromkeys(Fate, 0))[Fate(fate)] += answers
        return found

    def landed_between(self, since: float, until: float) -> list[tuple[float, int]]:
        """When each batch was complete and how many answers it has, in the order of time.

        Args:
            since: Seconds since 1970.
            until: The same; both ends belong to it.
        """
        return self._rows(
            "SELECT finished_at, answers FROM segment WHERE finished_at BETWEEN ? AND ? "
            "ORDER BY finished_at",
            (since, until),
        )

    def bodies_dropped(self) -> int:
        """How many kept calls have no body any more (see ``keep``): they cannot be shaped again.

        Answers that a later one has replaced do not count.
        """
        found = self._row(
            "SELECT coalesce(sum(answers - (SELECT count(*) FROM superseded "
            "WHERE seq BETWEEN segment.first_seq AND segment.last_seq)), 0) "
            "FROM segment WHERE bodies IS NULL "
            "AND NOT EXISTS (SELECT 1 FROM sealed "
            "WHERE segment.first_seq BETWEEN sealed.first_seq AND sealed.last_seq)"
        )
        return int(found[0])

    # -- by key

    def fates(self, keys: Sequence[str], since: float | None = None) -> Mapping[str, Fate]:
        """The fates of those of ``keys`` that are kept; ask for some 500 to 5,000 at a time.

        Args:
            keys: Request keys.
            since: Leave out what was answered (or last confirmed by a 304) before this moment,
                in seconds since 1970.
        """
        if not keys:
            return {}
        self._refresh()
        there, known = self._index.look(digests(keys))
        if since is not None:
            there &= known["finished"] >= int(since)
        places = np.flatnonzero(there)
        codes = known["fate"][places].tolist()
        return {keys[at]: FATES[code] for at, code in zip(places.tolist(), codes, strict=True)}

    def by_keys(self, keys: Sequence[str]) -> Iterator[Landed]:
        """The newest answers to ``keys``, in the order in which they landed."""
        for first_seq, seqs in self._places(keys).items():
            yield from self._of_segment(first_seq, seqs)

    def validators(self, keys: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Headers that ask "changed since?" for those of ``keys`` whose answers offered them."""
        found = {}
        for first_seq, seqs in self._places(keys).items():
            for entry in self._entries(first_seq):
                if entry.seq in seqs and (headers := validators(entry)):
                    found[entry.key] = headers
        return found

    def _places(self, keys: Sequence[str]) -> dict[int, set[int]]:
        """The seqs of ``keys`` by the first seq of their segments."""
        places: dict[int, set[int]] = defaultdict(set)
        if keys:
            self._refresh()
            there, known = self._index.look(digests(keys))
            for seq in sorted(known["seq"][there].tolist()):
                row = self._row(
                    "SELECT first_seq FROM segment WHERE first_seq <= ? "
                    "ORDER BY first_seq DESC LIMIT 1",
                    (seq,),
                )
                if row is not None:
                    places[row[0]].add(seq)
        return places

    def _refresh(self) -> None:
        """Read what was added since the last look."""
        if not self._follows:
            return
        with told(self._path), self._snapshot():
            upto, erasures = self._row("SELECT last_seq, erasures FROM landing")
            if erasures != self._index_erasures:
                self._index, self._index_upto = KeyIndex(), 0
            if upto > self._index_upto:
                load_index(self._connection, self._index, self._index_upto)
            self._index_upto, self._index_erasures = upto, erasures

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """What is read inside belongs together. Short: the log cannot shrink meanwhile."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    # -- in the order of landing

    def answers(
        self,
        after_seq: int = 0,
        upto_seq: int | None = None,
        resources: Collection[str] | None = None,
        fates: Collection[Fate] = WITH_ANSWER,
    ) -> Iterator[Landed]:
        """The answers with ``after_seq < seq <= upto_seq``, in the order in which they landed.

        One per key: the newest with a seq up to ``upto_seq``. What lands while this is read is
        left out, also where it replaces an answer that is read. Answers whose bodies were dropped
        by ``keep`` are left out, see `bodies_dropped`. Memory: one segment.

        Args:
            after_seq: Where the last read ended; 0 for all.
            upto_seq: Where to end; None for the newest at this moment.
            resources: Names of the resources to read; None for all.
            fates: Which fates; a failed call's body is the head of its last answer.
        """
        for first_seq, chosen in self._chosen(after_seq, upto_seq, resources, fates):
            yield from self._of_segment(first_seq, {entry.seq for entry in chosen})

    def packed(
        self,
        after_seq: int = 0,
        upto_seq: int | None = None,
        resources: Collection[str] | None = None,
        fates: Collection[Fate] = WITH_ANSWER,
    ) -> Iterator[tuple[Frames, list[Entry]]]:
        """The same answers, batch by batch and still packed: to be opened elsewhere.

        Gives the frames of a batch (see `fetchcast.landing.segment`), and the entries in them
        that are meant. Opening the bodies is most of the work of reading them.
        """
        for first_seq, chosen in self._chosen(after_seq, upto_seq, resources, fates):
            frames = self._frames(first_seq)
            if frames is not None:
                there = frozenset(frames.seqs)
                yield frames, [entry for entry in chosen if entry.seq in there]

    def _chosen(
        self,
        after_seq: int,
        upto_seq: int | None,
        resources: Collection[str] | None,
        fates: Collection[Fate],
    ) -> Iterator[tuple[int, list[Entry]]]:
        """The first seq of each batch that has some of these, and their entries."""
        upto = self.last_seq if upto_seq is None else upto_seq
        wanted = frozenset(fates)
        for first_seq in self._segments(after_seq, upto):
            replaced = self._replaced(first_seq, upto)
            chosen = [
                entry
                for entry in self._entries(first_seq)
                if after_seq < entry.seq <= upto
                and entry.fate in wanted
                and (resources is None or entry.resource in resources)
                and entry.seq not in replaced
            ]
            if chosen:
                yield first_seq, chosen

    def failed(self) -> Iterator[Landed]:
        """The calls that failed in the end and have no answer from another time either."""
        for (first_seq,) in self._rows(
            "SELECT first_seq FROM segment WHERE failed > 0 ORDER BY first_seq"
        ):
            replaced = self._replaced(first_seq, None)
            failed = {
                entry.seq
                for entry in self._entries(first_seq)
                if entry.fate is Fate.FAILED and entry.seq not in replaced
            }
            yield from self._of_segment(first_seq, failed)

    def _segments(self, after_seq: int, upto_seq: int) -> Iterator[int]:
        """One question each: the writer may rewrite segments while we go through them."""
        at = after_seq
        while (row := self._segment_behind(at)) and row[0] <= upto_seq:
            yield row[0]
            at = row[1]

    def _segment_behind(self, seq: int) -> tuple[int, int] | None:
        """First and last seq of the segment with the first answer behind ``seq``."""
        columns = "SELECT first_seq, last_seq FROM segment WHERE first_seq"
        row = self._row(f"{columns} <= ? ORDER BY first_seq DESC LIMIT 1", (seq,))
        if row is None or row[1] <= seq:
            row = self._row(f"{columns} > ? ORDER BY first_seq LIMIT 1", (seq,))
        return row  # type: ignore[no-any-return]

    def _replaced(self, first_seq: int, upto_seq: int | None) -> frozenset[int]:
        rows = self._rows(
            "SELECT seq FROM superseded WHERE seq BETWEEN ? AND "
            "(SELECT last_seq FROM segment WHERE first_seq = ?) AND by <= coalesce(?, by)",
            (first_seq, first_seq, upto_seq),
        )
        return frozenset(seq for (seq,) in rows)

    # -- one segment

    def _entries(self, first_seq: int) -> list[Entry]:
        row = self._row("SELECT entries FROM segment WHERE first_seq = ?", (first_seq,))
        if row is None:
            return []  # It was erased a moment ago.
        with told(self._path):
            return self._unpacker.entries(row[0])

    def _frames(self, first_seq: int) -> Frames | None:
        """A batch as it is packed; None if its bodies were dropped, or it was erased just now."""
        row = self._row("SELECT entries, bodies FROM segment WHERE first_seq = ?", (first_seq,))
        if row is None:
            return None
        with told(self._path):
            entries = self._unpacker.entries(row[0])
            if row[1] is not None:
                return Frames(row[0], row[1], [entry.seq for entry in entries])
            sealed = self._sealed(first_seq, entries)
        return Frames(*pack(sealed), [entry.seq for entry, _ in sealed]) if sealed else None

    def _of_segment(self, first_seq: int, seqs: Collection[int]) -> Iterator[Landed]:
        row = self._row("SELECT entries, bodies FROM segment WHERE first_seq = ?", (first_seq,))
        if row is None:
            return  # It was erased a moment ago.
        with told(self._path):
            entries = self._unpacker.entries(row[0])
            if row[1] is not None:
                bodies = list(self._unpacker.bodies(row[1], entries))
                pairs = list(zip(entries, bodies, strict=True))
            else:
                pairs = self._sealed(first_seq, entries)
        for entry, body in pairs:
            if entry.seq in seqs:
                yield landed(entry, body)

    def _sealed(self, first_seq: int, entries: Sequence[Entry]) -> list[tuple[Entry, bytes]]:
        """The entries whose bodies are in a sealed file; none if they were dropped."""
        bodies = sealed_bodies(self._connection, self._path.parent, first_seq) or {}
        return [(entry, bodies[entry.seq]) for entry in entries if entry.seq in bodies]

    # -- runs

    def runs(self) -> list[Run]:
        """All runs, the newest first."""
        return [
            Run(
                id=row[0],
                pipeline=row[1],
                file_digest=row[2],
                started_at=row[3],
                heartbeat_at=row[4],
                ended_at=row[5],
                end=None if row[6] is None else RunEnd(row[6]),
                planned=row[7],
                counts=msgspec.json.decode(row[8]),
                pid=row[9],
                host=row[10],
            )
            for row in self._rows("SELECT * FROM run ORDER BY started_at DESC, rowid DESC")
        ]

    def events(self, after: int = 0, limit: int = 1000) -> list[Logged]:
        """Lines of the log with a seq above ``after``, the oldest first."""
        rows = self._rows(
            "SELECT seq, run, at, kind, text FROM event WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [
            Logged(seq=seq, run=run, at=at, kind=kind, text=text)
            for seq, run, at, kind, text in rows
        ]

    def recall(self, scope: str) -> Memory | None:
        """What was remembered for ``scope``."""
        row = self._row("SELECT value, at FROM memory WHERE scope = ?", (scope,))
        return None if row is None else Memory(value=msgspec.json.decode(row[0]), at=row[1])


@contextmanager
def open_connection(directory: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only reads."""
    with closing(open_for_reading(directory)) as connection:
        yield connection


@contextmanager
def open_reader(directory: Path) -> Iterator[Reader]:
    """Open the landing in ``directory`` for reading, also while a run writes to it.

    Raises:
        LandingError: If nothing has landed there, or this fetchcast cannot read it.
        LandingDamaged: If the file is no journal.
    """
    with open_connection(directory) as connection:
        yield Reader(connection, directory)
