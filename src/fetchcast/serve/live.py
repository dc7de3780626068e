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
import threading
from collections.abc import AsyncIterator, Callable
from hashlib import blake2b
from pathlib import Path

from fetchcast.errors import FetchcastError
from fetchcast.serve.reading import Reading

_STEP_S = 0.5
_HEARTBEAT_S = 15.0


class RunGoing(FetchcastError):
    """A run was asked for while one that was started here goes; args: its process id."""

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


class Starter:
    """Starts runs of the pipeline file, one at a time, each in a process of its own."""

    def __init__(self, reading: Reading) -> None:
        self._file = Path(reading.source.file)
        self._folder = reading.source.folder
        self._arguments = reading.source.run_arguments
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def possible(self) -> bool:
        """Whether a page may start a run, and there is a pipeline file to run."""
        return self._arguments is not None and self._file.is_file()

    @property
    def going(self) -> int | None:
        """The process id of the run that was started here and goes, or None."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self, subcommand: str) -> None:
        """Start ``fetchcast run FILE`` (or ``retry-failed``).

        Raises:
            RunGoing: If one goes.
            NothingToRun: If no run may be started here.
        """
        if not self.possible:
            raise NothingToRun(self._file.name)
        with self._lock:
            if (pid := self.going) is not None:
                raise RunGoing(pid)
            program = [sys.executable, "-m", "fetchcast", subcommand]
            command = [*program, *(self._arguments or ()), str(self._file.resolve())]
            self._process = subprocess.Popen(  # noqa: S603  our own program, no shell
                command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
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
