"""Secrets in files of their own, which others must not be able to read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from fetchcast.errors import FileUnreadable

_FOR_OTHERS = stat.S_IRWXO | stat.S_IWGRP
_LARGEST = 64 * 1024


def in_files(value: Any, folder: Path) -> Any:
    """``value`` of an ``[api.auth]`` with each ``{ file = "NAME" }`` replaced by the file's text.

    Raises:
        FileUnreadable: If it is not there, or others can read it.
    """
    if isinstance(value, dict):
        if value.keys() == {"file"} and isinstance(value["file"], str):
            return _read(folder / value["file"])
        return {key: in_files(below, folder) for key, below in value.items()}
    if isinstance(value, list):
        return [in_files(below, folder) for below in value]
    return value


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            # The mode of what was opened: what the name means may change in between.
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and mode & _FOR_OTHERS:
                problem = f"others can read or change this secret (mode {mode & 0o777:04o})"
                raise FileUnreadable(str(path), f"{problem}\nhint: chmod 600 {path}")
            return file.read(_LARGEST).decode().strip()
    except FileNotFoundError:
        raise FileUnreadable(str(path), "there is no such file; a secret is read from it") from None
    except UnicodeDecodeError:
        raise FileUnreadable(str(path), "a secret is text in UTF-8, this is not") from None
    except OSError as error:
        problem = f"the secret in it cannot be read ({error.strerror})"
        raise FileUnreadable(str(path), problem) from None
