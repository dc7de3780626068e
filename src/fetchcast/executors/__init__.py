"""Where work is done: in this process, or on a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from fetchcast.errors import ConfigError
from fetchcast.executors.contract import Executor
from fetchcast.executors.local import LocalExecutor
from fetchcast.executors.options import ExecutorOptions

__all__ = ["Executor", "ExecutorOptions", "LocalExecutor", "open_executor"]


@asynccontextmanager
async def open_executor(options: ExecutorOptions, folder: Path) -> AsyncIterator[Executor]:
    """Open the executor that ``options`` names.

    Args:
        options: The ``[executor]`` table.
        folder: What relative file names are relative to.

    Raises:
        ConfigError: If an extra is missing, or a cluster elsewhere is to be used without TLS.
        ExecutorError: If the cluster cannot be used.
    """
    if options.is_local:
        yield LocalExecutor()
        return
    if find_spec("distributed") is None:
        expected = "the extra: pip install 'fetchcast[dask]', here and on every worker"
        raise ConfigError("executor.run", options.run, expected)
    if options.tls is None and not options.on_loopback:
        raise ConfigError(
            "executor.tls",
            None,
            f"certificates: {options.run} is another machine, and without TLS whoever reaches its "
            "port can run any code there and read the API's credentials\n"
            "hint: docs/how-to/cluster-ssh.md says how to make them",
        )
    from fetchcast.executors.dask import open_dask  # noqa: PLC0415  the base never imports it

    async with open_dask(options, folder) as executor:
        yield executor
