"""One writer per directory, told apart by a lock that the system gives up when a process dies."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from fetchcast.errors import LandingError, LandingInUse

LOCK: Final = "landing.lock"
_TRIES: Final = 3
_TRY_S: Final = 0.01
_GUARDED_BYTE: Final = 1 << 30
"""Far behind the text: Windows locks bytes, and a locked byte cannot be read by others."""

if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> None:
        os.lseek(handle, _GUARDED_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    def is_held(directory: Path) -> bool:
        """Whether a writer has ``directory``; here True, as nobody can see it without writing."""
        return (directory / LOCK).exists()

else:
    import fcntl

    def _try_lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_held(directory: Path) -> bool:
        """Whether a writer has ``directory`` at this moment, in whichever process."""
        try:
            handle = os.open(directory / LOCK, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(handle)
        return False


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Hold ``directory`` for one writer; ends with the process, however that ends.

    Raises:
        LandingInUse: If another writer has it, in this process or another.
        LandingError: If the lock file cannot be made.
    """
    path = directory / LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        hint = "give the directory write access, or choose another one"
        raise LandingError(str(path), f"cannot be opened ({error.strerror})", hint) from error
    try:
        _lock_or_explain(handle, directory)
        # The file stays: removing it would let two writers lock two files of one name.
        _leave_note(handle, {"pid": os.getpid(), "host": socket.gethostname()})
        yield
        _leave_note(handle, {})
    finally:
        os.close(handle)


def _lock_or_explain(handle: int, directory: Path) -> None:
    try:
        _insist_on_lock(handle)
    except OSError as error:
        note = os.pread(handle, 1000, 0) if hasattr(os, "pread") else b""
        raise LandingInUse(
            str(directory),
            f"another run writes here ({_holder(note)})",
            "wait for it or stop it; `fetchcast status` shows how far it is",
        ) from error


def _insist_on_lock(handle: int) -> None:
    """Who only looks whether it is held has it for a moment, too."""
    for _ in range(_TRIES):
        with suppress(OSError):
            _try_lock(handle)
            return
        time.sleep(_TRY_S)
    _try_lock(handle)


def _leave_note(handle: int, note: dict[str, int | str]) -> None:
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, json.dumps(note).encode())


def _holder(note: bytes) -> str:
    try:
        known = json.loads(note)
    except ValueError:
        return "it left no note"
    return f"process {known.get('pid', '?')} on {known.get('host', '?')}"
