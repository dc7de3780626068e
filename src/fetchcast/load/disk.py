"""Files that must be whole whenever the power fails, and a lock for the one who writes them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fetchcast.errors import DestinationError

_LOCK_WAIT_S = 10.0
_LOCK_STEP_S = 0.05


NOT_APPLIED = "this load was not applied, what was there before is as it was"


@contextmanager
def told(url: str, state: str = NOT_APPLIED) -> Iterator[None]:
    """Turn the errors of the disk into ours: full, read-only, not ours to write."""
    try:
        yield
    except OSError as error:
        raise DestinationError(
            url,
            f"{error.strerror or error} ({error.filename or 'its folder'}); {state}",
            "make room or give write permission and run again; landed answers are kept",
        ) from None


@contextmanager
def locked(folder: Path, url: str) -> Iterator[None]:
    """Hold ``folder`` for one load, made if need be; waits a little for another to end.

    Raises:
        DestinationError: If it cannot be made, or another load takes longer than that.
    """
    with told(url):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+", encoding="utf-8")
    with file:
        _take(file.fileno(), folder / "lock", url)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def sync(path: Path) -> None:
    """Bring the bytes of ``path`` to the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in ``folder`` to the disk."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_text(path: Path, text: str) -> None:
    """Make ``text`` the content of ``path``: before or after, never half."""
    fresh = path.with_name(path.name + ".tmp")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def _take(descriptor: int, path: Path, url: str) -> None:
    deadline = time.monotonic() + _LOCK_WAIT_S
    while not _try_lock(descriptor):
        if time.monotonic() > deadline:
            holder = path.read_text(encoding="utf-8").strip() or "unknown"
            raise DestinationError(
                url,
                f"another load (process {holder}) has been writing to it for more than "
                f"{_LOCK_WAIT_S:.0f} s; this load was not applied",
                "wait for that run to end and run again; landed answers are kept",
            )
        time.sleep(_LOCK_STEP_S)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            # flock, not lockf: it belongs to this open file, so that two threads exclude
            # each other as two processes do.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
