"""The journal's tables, their version, and the two ways to open them."""

from __future__ import annotations

import os
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fetchcast.errors import LandingDamaged, LandingError, LandingFull, LandingInUse
from fetchcast.landing.index import BrokenBatch

JOURNAL: Final = "landing.sqlite"
APPLICATION_ID: Final = 0x66636A31  # "fcj1": tells our files from other SQLite files.
OLDEST_SQLITE: Final = (3, 37, 0)  # The first with STRICT tables.

_HEAD_BYTES: Final = 100

_FIRST: Final = """
CREATE TABLE landing (
    identity TEXT NOT NULL, made_at REAL NOT NULL,
    last_seq INTEGER NOT NULL,     -- never goes back, not even when answers are erased
    erasures INTEGER NOT NULL      -- grows when segments are rewritten: readers look again
) STRICT;
CREATE TABLE resource (code INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE segment (
    first_seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL,
    finished_at REAL NOT NULL,     -- of its newest answer
    answers INTEGER NOT NULL, failed INTEGER NOT NULL, body_bytes INTEGER NOT NULL,
    keys BLOB NOT NULL,            -- see index.py
    entries BLOB NOT NULL,         -- see segment.py; before the bodies, to be read without them
    bodies BLOB                    -- NULL once they are dropped or sealed
) STRICT;
CREATE INDEX segment_failed ON segment (first_seq) WHERE failed > 0;
CREATE TABLE sealed (first_seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, file TEXT NOT NULL)
STRICT;
CREATE TABLE superseded (seq INTEGER PRIMARY KEY, by INTEGER NOT NULL) STRICT;
CREATE TABLE confirmed (seq INTEGER PRIMARY KEY, at REAL NOT NULL) STRICT;
CREATE TABLE tally (
    resource INTEGER NOT NULL, fate TEXT NOT NULL, answers INTEGER NOT NULL,
    PRIMARY KEY (resource, fate)
) STRICT, WITHOUT ROWID;
CREATE TABLE run (
    id TEXT PRIMARY KEY, pipeline TEXT NOT NULL, file_digest TEXT NOT NULL,
    started_at REAL NOT NULL, heartbeat_at REAL NOT NULL, ended_at REAL, end INTEGER,
    planned INTEGER, counts TEXT NOT NULL, pid INTEGER NOT NULL, host TEXT NOT NULL
) STRICT;
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT, at REAL NOT NULL,
    kind TEXT NOT NULL, text TEXT NOT NULL
) STRICT;
CREATE TABLE memory (
    scope TEXT PRIMARY KEY, value TEXT NOT NULL, at REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""

_SALVAGE: Final = (
    "copy the directory, then `fetchcast purge --damaged` removes what cannot be read; "
    "a run asks for those calls again"
)

STEPS: Final = (_FIRST,)
"""Step N leads from format N to N + 1; a fresh journal takes all of them."""


def open_for_writing(directory: Path) -> sqlite3.Connection:
    """Open, make or migrate the journal for its only writer (hold the lock first).

    The connection may be used by one thread at a time, also another than this one.

    Raises:
        LandingError: If SQLite is too old, or the journal comes from a newer fetchcast.
        LandingDamaged: If the file is no journal.
    """
    _check_sqlite()
    path = directory / JOURNAL
    if path.exists():
        _check_whole(path)
    with told(path):
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            # Before the first table: only then does it let room be given back later on.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            # On macOS fsync alone does not reach the platter; nothing elsewhere.
            connection.execute("PRAGMA fullfsync = ON")
            connection.execute("PRAGMA secure_delete = ON")
            migrate(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def open_for_reading(directory: Path) -> sqlite3.Connection:
    """Open the journal read only, also while a run writes to it.

    Only the writer's connection ever checkpoints: SQLite before 3.51.3 can damage a file when
    two connections do it at the same moment.

    Raises:
        LandingError: If there is no journal, or SQLite or the journal's format does not fit.
        LandingDamaged: If the file is no journal.
    """
    _check_sqlite()
    path = directory / JOURNAL
    if not path.exists():
        raise LandingError(str(path), "nothing has landed here yet", "`fetchcast run` fills it")
    _check_whole(path)
    with told(path):
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro{_if_nobody_can_write(path)}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _check_format(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _if_nobody_can_write(path: Path) -> str:
    """On a read-only disk SQLite cannot make the files by which readers and writer agree.

    Without a log there is no writer now, and none can come while the disk is read only.
    """
    log = path.with_name(f"{JOURNAL}-wal")
    return "" if log.exists() or os.access(path.parent, os.W_OK) else "&immutable=1"


def _check_whole(path: Path) -> None:
    """A copy that stopped inside a page: SQLite would read zeros where the rest was."""
    log = path.with_name(f"{JOURNAL}-wal")
    if log.exists() and log.stat().st_size > 0:
        return  # Whatever is missing is in the log.
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    # As the format has it, 1 stands for 65,536.
    page_bytes = int.from_bytes(head[16:18], "big")
    page_bytes = 65_536 if page_bytes == 1 else page_bytes
    if head and (len(head) < _HEAD_BYTES or not page_bytes or path.stat().st_size % page_bytes):
        raise LandingDamaged(
            str(path),
            "is cut short",
            "copy the whole directory again, or move it away and the next run asks for everything "
            "anew; nothing was changed",
        )


def migrate(connection: sqlite3.Connection, path: Path, steps: Sequence[str] = STEPS) -> None:
    """Bring the journal to the newest format, all of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _format(connection, path, len(steps))
        for step in steps[version:]:
            for statement in _statements(step):
                connection.execute(statement)
        if version == 0:
            identity = (str(uuid.uuid4()), time.time())
            connection.execute("INSERT INTO landing VALUES (?, ?, 0, 0)", identity)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _statements(script: str) -> Iterator[str]:
    """One by one: ``executescript`` would commit what was begun."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _check_sqlite() -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise LandingError(
            "landing",
            f"this Python carries SQLite {sqlite3.sqlite_version}, 3.37 or newer is needed",
            "use a newer build of Python",
        )


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    version = _format(connection, path, len(STEPS))
    if version < len(STEPS):
        raise LandingError(
            str(path),
            f"has format {version}, this fetchcast reads format {len(STEPS)}",
            "`fetchcast run` brings it up to date",
        )


def _format(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != APPLICATION_ID:
        raise LandingDamaged(str(path), "is no landing journal", "move the file out of the way")
    if version > newest:
        raise LandingError(
            str(path),
            f"has format {version}, this fetchcast knows formats up to {newest}",
            "update fetchcast: a newer one wrote this landing",
        )
    return int(version)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, which say what it means and what to do."""
    try:
        yield
    except BrokenBatch as error:
        raise LandingDamaged(str(path), f"holds a damaged batch ({error})", _SALVAGE) from error
    except sqlite3.Error as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: sqlite3.Error) -> LandingError:
    code = getattr(error, "sqlite_errorcode", None) or 0
    text = str(error)
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return LandingFull(
                str(path),
                f"the disk is full ({text})",
                "make room and run again: what landed is safe",
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            hint = "check that the directory and its files can be written; what landed is safe"
            return LandingError(str(path), f"cannot be written or opened ({text})", hint)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            hint = (
                "copy the directory, then `sqlite3 landing.sqlite .recover` saves what can be read"
            )
            return LandingDamaged(str(path), f"is damaged ({text})", hint)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            hint = "another program writes to the journal; close it and run again"
            return LandingInUse(str(path), f"is locked ({text})", hint)
        case _:
            hint = "what had landed before is safe; check the disk and run again"
            return LandingError(str(path), f"cannot be used ({text})", hint)
