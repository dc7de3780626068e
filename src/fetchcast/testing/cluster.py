"""A real Dask cluster of this machine for tests: processes that can be killed one by one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_PATIENCE_S: Final = 60.0
_SETTINGS: Final = {
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "10",
    "DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE": "False",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
}


@dataclass(slots=True)
class RunningCluster:
    """A scheduler and its workers, each a process of its own, none of which comes back."""

    folder: Path
    """Where the processes run, and keep their logs."""
    threads: int
    environment: Mapping[str, str]
    security: tuple[str, ...] = ()
    """Options of both commands; for TLS."""
    scheduler: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        """As a pipeline file has it."""
        return f"dask://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        """On the port it had before, if it had one."""
        said = self.folder / "scheduler.log"
        said.unlink(missing_ok=True)
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        options += ["--protocol", "tls"] if self.security else []
        self.scheduler = self._start("scheduler", [*options, *self.security], said)
        mark = b"Scheduler at:"
        line = _wait_for(said, mark, self.scheduler)
        self.port = int(line.rsplit(b":", 1)[1])

    def add_worker(self, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """One worker more; returns when it is registered."""
        said = self.folder / f"worker-{len(self.workers)}.log"
        scheme = "tls" if self.security else "tcp"
        options = [f"{scheme}://127.0.0.1:{self.port}", "--nthreads", str(self.threads)]
        options += ["--no-nanny", "--no-dashboard", "--host", "127.0.0.1", *self.security]
        options += ["--death-timeout", "20", "--local-directory", str(self.folder)]
        worker = self._start("worker", options, said, environment)
        self.workers.append(worker)
        _wait_for(said, b"Registered to:", worker)
        return worker

    def _start(
        self,
        what: str,
        options: list[str],
        said: Path,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        with said.open("wb") as log:
            return subprocess.Popen(  # noqa: S603  our own interpreter
                [sys.executable, "-m", f"distributed.cli.dask_{what}", *options],
                cwd=self.folder,
                env={**self.environment, **(environment or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill_worker(self, number: int) -> None:
        """SIGKILL: it cannot say goodbye."""
        self.workers[number].kill()
        self.workers[number].wait()

    def kill_scheduler(self) -> None:
        """SIGKILL; workers notice and end by and by."""
        assert self.scheduler is not None
        self.scheduler.kill()
        self.scheduler.wait()

    def stop(self) -> None:
        """End everything that still runs."""
        for process in [*self.workers, self.scheduler]:
            if process is not None and process.poll() is None:
                process.kill()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE_S)


def _wait_for(said: Path, mark: bytes, process: subprocess.Popen[bytes]) -> bytes:
    """The line of the log that has ``mark``."""
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        for line in said.read_bytes().splitlines():
            if mark in line:
                return line.strip()
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError(f"it did not start:\n{said.read_text()}")


@contextmanager
def running_cluster(
    workers: int = 2, *, threads: int = 2, security: tuple[str, ...] = ()
) -> Iterator[RunningCluster]:
    """Run a scheduler and ``workers`` workers until the block ends; needs ``distributed``."""
    environment = {**os.environ, **_SETTINGS}
    with tempfile.TemporaryDirectory(prefix="fetchcast-cluster-") as folder:
        cluster = RunningCluster(Path(folder), threads, environment, security)
        try:
            cluster.start_scheduler()
            for _ in range(workers):
                cluster.add_worker()
            yield cluster
        finally:
            cluster.stop()
