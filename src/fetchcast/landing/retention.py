"""Drops bodies that were kept long enough, and erases answers that must not be kept at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from fetchcast.landing.index import BrokenBatch, as_blob, digests, from_blob
from fetchcast.landing.journal import Journal, open_journal
from fetchcast.landing.lock import exclusive
from fetchcast.landing.options import LandingOptions
from fetchcast.landing.schema import told
from fetchcast.landing.sealing import rewrite, sweep
from fetchcast.landing.segment import Entry, Unpacker
from fetchcast.records import Fate


def drop_bodies(journal: Journal, *, loaded_seq: int, before: float) -> int:
    """Drop bodies of whole batches; keys and entries stay, so no call is made again for them.

    Args:
        journal: The open journal.
        loaded_seq: Nothing behind this seq is dropped: it is not in a table yet.
        before: Only batches whose newest answer is older, seconds since 1970.

    Returns:
        How many batches lost their bodies.
    """
    with journal.transaction():
        dropped = journal.connection.execute(
            "UPDATE segment SET bodies = NULL "
            "WHERE last_seq <= ? AND finished_at < ? AND bodies IS NOT NULL",
            (loaded_seq, before),
        ).rowcount
        # A sealed file goes as a whole, once its newest batch may go.
        files = journal.connection.execute(
            "DELETE FROM sealed WHERE last_seq <= ? AND ? > (SELECT max(finished_at) FROM segment "
            "WHERE segment.first_seq BETWEEN sealed.first_seq AND sealed.last_seq)",
            (loaded_seq, before),
        ).rowcount
    if files:
        sweep(journal)
    if dropped:
        journal.give_back()
    return int(dropped + files)


def erase(
    journal: Journal,
    *,
    keys: Collection[str] | None = None,
    resource: str | None = None,
    before: float | None = None,
) -> int:
    """Erase answers for good, every version of them; a run asks for these calls again.

    An answer goes if it matches everything that is given; nothing given means all.

    Args:
        journal: The open journal.
        keys: Request keys.
        resource: The name of a resource.
        before: Only answers older than this, seconds since 1970.

    Returns:
        How many answers went, older versions included.

    Raises:
        LandingError: If it could not be done; then nothing is erased.
    """
    wanted = None if keys is None else frozenset(keys)

    def matches(entry: Entry) -> bool:
        return (
            (wanted is None or entry.key in wanted)
            and (resource is None or entry.resource == resource)
            and (before is None or entry.finished_at < before)
        )

    with journal.transaction():
        erased = _erase_matching(journal, matches)
    if erased:
        sweep(journal)
        journal.give_back()
        journal.look_again()
    return erased


def purge(
    directory: Path,
    *,
    keys: Collection[str] | None = None,
    resource: str | None = None,
    before: float | None = None,
) -> int:
    """`erase` in the landing of ``directory`` while no run writes to it."""
    with exclusive(directory), open_journal(directory, LandingOptions()) as journal:
        return erase(journal, keys=keys, resource=resource, before=before)


def purge_damaged(directory: Path) -> int:
    """Remove the batches of ``directory`` that cannot be read; a run asks for their calls again.

    Returns:
        How many batches went.
    """
    options = LandingOptions()
    with exclusive(directory), open_journal(directory, options, damaged=True) as journal:
        firsts = _first_seqs(journal)
        damaged = [(first,) for first in firsts if not _readable(journal, first)]
        with journal.transaction():
            journal.connection.executemany("DELETE FROM segment WHERE first_seq = ?", damaged)
            journal.connection.execute("UPDATE landing SET erasures = erasures + 1")
            journal.look_again()
            journal.count_again()
    return len(damaged)


def _first_seqs(journal: Journal) -> list[int]:
    firsts = journal.connection.execute("SELECT first_seq FROM segment ORDER BY first_seq")
    return [first_seq for (first_seq,) in firsts.fetchall()]


def _readable(journal: Journal, first_seq: int) -> bool:
    unpacker = Unpacker()
    try:
        keys, entries_frame, bodies_frame = journal.connection.execute(
            "SELECT keys, entries, bodies FROM segment WHERE first_seq = ?", (first_seq,)
        ).fetchone()
        from_blob(keys)
        entries = unpacker.entries(entries_frame)
        if bodies_frame is not None:
            list(unpacker.bodies(bodies_frame, entries))
    except (BrokenBatch, sqlite3.DatabaseError):
        return False
    return True


def _erase_matching(journal: Journal, matches: Callable[[Entry], bool]) -> int:
    unpacker = Unpacker()
    gone: set[int] = set()
    for first_seq in _first_seqs(journal):
        entries = _entries(journal, unpacker, first_seq)
        going = [entry for entry in entries if matches(entry)]
        if going:
            _forget(journal, going)
            _rewrite_segment(journal, unpacker, first_seq, {entry.seq for entry in going})
            gone.update(entry.seq for entry in going)
    if gone:
        journal.connection.execute("UPDATE landing SET erasures = erasures + 1")
        _rewrite_sealed(journal, gone)
    return len(gone)


def _entries(journal: Journal, unpacker: Unpacker, first_seq: int) -> list[Entry]:
    (frame,) = journal.connection.execute(
        "SELECT entries FROM segment WHERE first_seq = ?", (first_seq,)
    ).fetchone()
    return unpacker.entries(frame)


def _forget(journal: Journal, going: Sequence[Entry]) -> None:
    """Take them out of the tally, and away from what was noted about them."""
    span = (going[0].seq, going[-1].seq)
    replaced = {
        seq
        for (seq,) in journal.connection.execute(
            "SELECT seq FROM superseded WHERE seq BETWEEN ? AND ?", span
        )
    }
    journal.count(journal.rows_of([one for one in going if one.seq not in replaced]), -1)
    seqs = [(entry.seq,) for entry in going]
    journal.connection.executemany("DELETE FROM superseded WHERE seq = ?", seqs)
    journal.connection.executemany("DELETE FROM confirmed WHERE seq = ?", seqs)


def _rewrite_segment(
    journal: Journal, unpacker: Unpacker, first_seq: int, gone: Collection[int]
) -> None:
    entries_frame, bodies_frame = journal.connection.execute(
        "SELECT entries, bodies FROM segment WHERE first_seq = ?", (first_seq,)
    ).fetchone()
    entries = unpacker.entries(entries_frame)
    kept = [entry for entry in entries if entry.seq not in gone]
    if not kept:
        journal.connection.execute("DELETE FROM segment WHERE first_seq = ?", (first_seq,))
        return
    bodies = None
    if bodies_frame is not None:
        pairs = zip(entries, unpacker.bodies(bodies_frame, entries), strict=True)
        bodies = journal.packer.bodies([body for entry, body in pairs if entry.seq not in gone])
    journal.connection.execute(
        "UPDATE segment SET finished_at = ?, answers = ?, failed = ?, body_bytes = ?, "
        "keys = ?, entries = ?, bodies = ? WHERE first_seq = ?",
        (
            max(entry.finished_at for entry in kept),
            len(kept),
            sum(entry.fate is Fate.FAILED for entry in kept),
            sum(entry.body_length for entry in kept),
            as_blob(digests([entry.key for entry in kept]), journal.rows_of(kept)),
            journal.packer.entries(kept),
            bodies,
            first_seq,
        ),
    )


def _rewrite_sealed(journal: Journal, gone: set[int]) -> None:
    (revision,) = journal.connection.execute("SELECT erasures FROM landing").fetchone()
    for first_seq, last_seq in journal.connection.execute(
        "SELECT first_seq, last_seq FROM sealed"
    ).fetchall():
        if any(first_seq <= seq <= last_seq for seq in gone):
            rewrite(journal, first_seq, lambda seq: seq not in gone, revision)


def forget_runs(journal: Journal, before: float) -> int:
    """Remove runs, and their lines of the log, that ended before; returns how many runs."""
    with told(journal.path), journal.transaction():
        gone = journal.connection.execute("DELETE FROM run WHERE ended_at < ?", (before,)).rowcount
        journal.connection.execute("DELETE FROM event WHERE at < ?", (before,))
    return int(gone)
