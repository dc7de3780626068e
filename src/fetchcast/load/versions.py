"""Whole versions of one file, and which of them is the published one. No database here.

For ``x.duckdb`` there is a folder ``x.duckdb.d`` with

    000041.duckdb  000042.duckdb    the last versions, never changed once they are published
    current                         which one is published: the truth, replaced atomically
    lock                            held by the one load that is under way

and ``x.duckdb`` itself, the *door*: a copy of the published version for people and their tools.
It is a file of its own because a lock belongs to a file: someone who opens the door for writing
disturbs neither the app, which reads versions, nor a load, which makes the next one.

What someone writes through the door between two loads is kept: the next load starts from it. A door
that somebody has open for writing is never replaced, as what they write later would be lost: it
stays behind the published version until they have closed it, and is then brought up to date
with their tables in it. What cannot be taken over is set aside in the folder, never thrown away.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fetchcast.errors import DestinationError
from fetchcast.load.disk import replace_text, sync, sync_folder

_KEPT = 2
_HEAD_BYTES = 3 * 4096
"""DuckDB's main header and its two alternating ones: every checkpoint changes them."""
_COPY_TRIES = 20
_COPY_STEP_S = 0.05


@dataclass(frozen=True, slots=True)
class Published:
    """What ``current`` says."""

    version: int
    door: str
    """Digest of the door's head when it was last written by a load."""
    door_version: int
    """Which version the door was made a copy of."""

    @property
    def door_is_behind(self) -> bool:
        """Whether somebody had the door open when the last load ended."""
        return self.door_version < self.version

    @property
    def state(self) -> str:
        """The `Versions.state` of a door that nobody wrote to since."""
        return f"{self.door}-0"


class Versions:
    """The versions of ``door``."""

    def __init__(self, door: Path) -> None:
        self.door = door
        self.folder = door.with_name(door.name + ".d")
        self._current = self.folder / "current"

    def path(self, version: int) -> Path:
        """The file of ``version``."""
        return self.folder / f"{version:06d}{self.door.suffix}"

    @property
    def wal(self) -> Path:
        """What a session at the door has written and not yet put into the file."""
        return _wal_of(self.door)

    def published(self) -> Published | None:
        """The published version; None if there is none, or the door was deleted."""
        if not self.door.exists():
            return None
        with suppress(FileNotFoundError):
            said = json.loads(self._current.read_text(encoding="utf-8"))
            version = said["version"]
            return Published(version, said["door"], said.get("door_version", version))
        return None

    def door_changed(self, since: Published) -> bool:
        """Whether someone wrote to the door after the load that published ``since``."""
        return self.state() != since.state

    def begin(self, base: Path | None, after: Published | None) -> tuple[int, Path]:
        """Sweep what a killed load left and copy ``base`` to the file of the next version."""
        self.sweep(after)
        number = after.version + 1 if after else 1
        path = self.path(number)
        if base is not None:
            copy_whole(base, path)
            base_wal = _wal_of(base)
            if base_wal.exists():
                shutil.copyfile(base_wal, _wal_of(path))
        return number, path

    def publish(self, version: int, *, includes: str | None, door_version: int | None) -> None:
        """Make ``version`` the published one: first at the door, then for the app.

        Args:
            version: Its file is complete and closed.
            includes: The `state` of the door that the version grew from.
            door_version: Which version the door stays at, as somebody has it open; None: renew it.
        """
        path = self.path(version)
        sync(path)
        door_head = includes.partition("-")[0] if includes else ""
        if door_version is None:
            try:
                door_head, door_version = self._renew(version), version
            except PermissionError:
                if os.name != "nt":
                    raise
                # Somebody reads it just now: they keep what they see, the next load tries again.
                door_version = version - 1
        note = {"version": version, "door": door_head, "door_version": door_version}
        replace_text(self._current, json.dumps(note))

    def state(self) -> str | None:
        """A text that changes with every write through the door; None if there is no door."""
        if not self.door.exists():
            return None
        wal = self.wal
        return f"{head(self.door)}-{wal.stat().st_size if wal.exists() else 0}"

    def set_aside(self, version: int) -> Path:
        """Keep a copy of the door as it is, with its log, before ``version`` takes its place."""
        aside = self.folder / f"set-aside-{version:06d}{self.door.suffix}"
        copy_whole(self.door, aside)
        with suppress(FileNotFoundError):
            shutil.copyfile(self.wal, _wal_of(aside))
        return aside

    def recover(self) -> None:
        """Put the door's log back if a load was killed before it had replaced the door."""
        for log in self.folder.glob("log-*.wal"):
            version = self.path(int(log.stem.partition("-")[2]))
            replaced = version.exists() and self.door.exists() and head(self.door) == head(version)
            if replaced or not self.door.exists() or self.wal.exists():
                log.unlink()
            else:
                log.replace(self.wal)

    def _renew(self, version: int) -> str:
        """Put a copy of ``version`` at the door; its head.

        The log of the old file would keep everybody from opening the new one. All of it is in the
        new version, but until that is at the door it must not be lost.
        """
        log = self.folder / f"log-{version:06d}.wal"
        with suppress(FileNotFoundError):
            self.wal.replace(log)
        found = self._renew_door(self.path(version))
        log.unlink(missing_ok=True)
        return found

    def _renew_door(self, path: Path) -> str:
        fresh = self.folder / f"door{self.door.suffix}.tmp"
        copy_whole(path, fresh)
        sync(fresh)
        new_head = head(fresh)
        fresh.replace(self.door)
        sync_folder(self.door.parent)
        return new_head

    def sweep(self, published: Published | None) -> None:
        """Remove versions that a killed load left behind and those that have grown old."""
        newest = published.version if published else 0
        at_door = published.door_version if published and published.door_is_behind else newest
        for path in self.folder.glob("*.tmp"):
            if path.is_dir():  # What DuckDB had spilt.
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for path in self.folder.glob(f"[0-9]*{self.door.suffix}*"):
            number = int(path.name.split(".", 1)[0])
            young = newest - _KEPT < number <= newest or number == at_door
            kept = young and path.suffix == self.door.suffix
            if kept or path.is_dir():
                continue
            with suppress(PermissionError):  # Windows: a reader still has it open.
                path.unlink(missing_ok=True)


def published_path(path: Path) -> Path | None:
    """The file to read for the database at ``path``: a version that never changes.

    Open it read-only. A later call may name another file: open that one, and close the first
    when nobody reads from it any more. None if nothing was ever loaded.
    """
    versions = Versions(path)
    published = versions.published()
    if published is not None and versions.path(published.version).exists():
        return versions.path(published.version)
    return path if path.exists() else None


def head(path: Path) -> str:
    """What tells two states of a DuckDB file apart: a digest of its headers."""
    with path.open("rb") as file:
        return hashlib.blake2b(file.read(_HEAD_BYTES), digest_size=16).hexdigest()


def copy_whole(source: Path, target: Path) -> None:
    """Copy a database file that someone may be writing to; the copy is one whole state of it.

    A checkpoint writes to free blocks first and to the header last, and blocks are freed by the
    header: if that was the same before and after, the blocks it speaks of did not change.
    """
    for _ in range(_COPY_TRIES):
        before = head(source)
        _copy(source, target)
        if before == head(source) == head(target):
            return
        time.sleep(_COPY_STEP_S)
    raise DestinationError(
        str(source),
        f"was written to all the while, {_COPY_TRIES} copies of it were not whole; nothing was "
        "loaded",
        "close the session that writes to it and run again",
    )


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    with source.open("rb") as from_, target.open("wb") as to:
        if not _clone(from_.fileno(), to.fileno()):
            shutil.copyfileobj(from_, to, 1 << 20)


def _clone(source: int, target: int) -> bool:
    """Let the file system share or copy the blocks by itself; False if it cannot."""
    if sys.platform != "linux":
        return False
    import fcntl  # noqa: PLC0415  not on Windows

    ficlone = 0x40049409
    with suppress(OSError):
        fcntl.ioctl(target, ficlone, source)
        return True
    left = os.fstat(source).st_size
    try:
        while left > 0 and (done := os.copy_file_range(source, target, left)) > 0:
            left -= done
    except OSError:
        os.lseek(source, 0, os.SEEK_SET)
        os.ftruncate(target, 0)
        os.lseek(target, 0, os.SEEK_SET)
        return False
    return left == 0


def _wal_of(path: Path) -> Path:
    return path.with_name(path.name + ".wal")
