"""A query that a visitor wrote, answered in a process of its own.

What one statement needs cannot be told before: a database's own memory limit does not count the
text that `repeat` makes. So the query runs where it can take no more than it is given, can be
ended at any moment, and sees neither the app's memory nor its environment.

`ask` starts `fetchcast.serve.answering` as a program: a `Job` as JSON goes in; out comes ``A`` and
the rows as an Arrow stream, or ``E`` and the reason why there are none.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Final

import msgspec
import pyarrow as pa

from fetchcast.errors import QueryError

MEMORY_BYTES: Final = 1_500_000_000
_START_S: Final = 30.0
_AT_ONCE: Final = 2
_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "HOME", "LANG", "SYSTEMROOT", "USERPROFILE")
_turns = threading.BoundedSemaphore(_AT_ONCE)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of which database."""

    url: str
    """May hold a password; it goes through a pipe, never into a command line."""
    folder: str
    file: str | None
    """The published file of a DuckDB destination."""
    shown: str
    """The address as errors may show it."""
    sql: str
    most_rows: int
    most_bytes: int
    seconds: float


def ask(job: Job) -> pa.Table:
    """The answer to one SELECT, at most ``most_rows`` of it.

    Raises:
        QueryError: If it is no single SELECT, needs more than it is given, or is wrong.
    """
    with _turns:
        said, status = _run(job)
    if said[:1] == b"A":
        return pa.ipc.open_stream(said[1:]).read_all()
    if said[:1] == b"E":
        raise QueryError(job.shown, *msgspec.json.decode(said[1:], type=list[str]))
    limit = f"{MEMORY_BYTES // 1_000_000:,} MB of memory"
    raise QueryError(
        job.shown,
        f"it needs more than {limit} (the query's process ended, {status})",
        "ask for less",
    )


def _run(job: Job) -> tuple[bytes, int]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in _ENVIRONMENT or name.startswith(("PG", "LC_"))
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "fetchcast.serve.answering"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        said, _ = process.communicate(msgspec.json.encode(job), timeout=job.seconds + _START_S)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
    return said, process.returncode
