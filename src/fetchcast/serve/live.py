"""Runs as they go: a stream of events for a page, and a button that starts one.

Each event is the whole state of the run, read from the landing, so it does not matter which
process runs, how many events a page missed, or whether this app was restarted meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO

from fetchcast.errors import FetchcastError
from fetchcast.events import RunEnd
from fetchcast.serve import runs
from fetchcast.serve.reading import Reading

_STEP_S = 0.5
_SAID_BYTES = 2000
_QUIET_ENDS = frozenset({RunEnd.COMPLETE, RunEnd.INCOMPLETE, RunEnd.STOPPED, RunEnd.INTERRUPTED})
"""Ends that the page of the run itself tells enough about."""
_HEARTBEAT_S = 15.0


class RunGoing(FetchcastError):
    """A run was asked for while another one goes; args: its process id."""

    def __str__(self) -> str:
        (pid,) = self.args
        return f"a run (process {pid}) is going already; wait for it, or stop it first"


class NothingToRun(FetchcastError):
    """No run may be started from a page here; args: the pipeline file's name."""

    def __str__(self) -> str:
        (file,) = self.args
        return f"no run of {file} can be started here; start it in a terminal"


async def stream(
    panel: Callable[[], tuple[str, bool]], last_seen: str | None
) -> AsyncIterator[bytes]:
    """Server-sent events until the run is over.

    Args:
        panel: Reads the landing; the page's panel as HTML, and whether the run goes on. Called
            in a thread.
        last_seen: The id of the last event a reconnecting page has; it is not sent again.
    """
    quiet = 0.0
    yield b"retry: 2000\n\n"
    while True:
        text, going = await asyncio.to_thread(panel)
        mark = blake2b(text.encode(), digest_size=8).hexdigest()
        if mark != last_seen:
            last_seen, quiet = mark, 0.0
            yield _event("panel", text, mark)
        elif quiet >= _HEARTBEAT_S:
            quiet = 0.0
            yield b": still here\n\n"
        if not going:
            yield _event("over", "", mark)
            return
        await asyncio.sleep(_STEP_S)
        quiet += _STEP_S


def _event(name: str, text: str, mark: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"event: {name}\nid: {mark}\n{lines}\n".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """A run that was started here and could not do its work."""

    status: int
    said: str
    """The end of what it said."""


class Starter:
    """Starts runs of the pipeline file, one at a time, each in a process of its own."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._file = Path(reading.source.file)
        self._folder = reading.source.folder
        self._arguments = reading.source.run_arguments
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None

    @property
    def possible(self) -> bool:
        """Whether a page may start a run, and there is a pipeline file to run."""
        return self._arguments is not None and self._file.is_file()

    @property
    def going(self) -> int | None:
        """The process id of the run that was started here and goes, or None."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def mishap(self) -> Mishap | None:
        """What the last run that was started here said, if it is over and could not work."""
        status = None if self._process is None else self._process.poll()
        if status is None or status in _QUIET_ENDS or self._said is None:
            return None
        with self._lock:
            self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - _SAID_BYTES))
            end = self._said.read()
        return Mishap(status=status, said=end.decode("utf-8", "replace").strip())

    def start(self, subcommand: str) -> None:
        """Start ``fetchcast run FILE`` (or ``retry-failed``).

        Raises:
            RunGoing: If one goes, whoever started it.
            NothingToRun: If no run may be started here.
        """
        if not self.possible:
            raise NothingToRun(self._file.name)
        with self._lock:
            if (pid := self.going) is not None:
                raise RunGoing(pid)
            if (run := runs.going(self._reading)) is not None:
                raise RunGoing(run.pid)
            self._forget()
            # What it says where no terminal is; the page shows it if it could not work.
            self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed by `_forget`
            program = [sys.executable, "-m", "fetchcast", subcommand]
            command = [*program, *(self._arguments or ()), str(self._file.resolve())]
            self._process = subprocess.Popen(  # noqa: S603  our own program, no shell
                command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Ask the run to end as Ctrl-C does; what has landed is kept."""
        with self._lock:
            if self._process is not None and self.going is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._process.pid, signal.SIGINT)

    def close(self) -> None:
        """End the run that was started here, and wait for it."""
        self.stop()
        if self._process is not None:
            self._process.wait()
        self._forget()

    def _forget(self) -> None:
        if self._said is not None:
            self._said.close()
            self._said = None
