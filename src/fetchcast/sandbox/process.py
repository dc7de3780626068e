"""The sandbox as a process of its own, so that it does not share a core's turn with its client."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from functools import partial
from types import TracebackType
from typing import IO, Any
from urllib.request import ProxyHandler, build_opener

import msgspec

from fetchcast.errors import ConfigError
from fetchcast.sandbox.options import SandboxOptions
from fetchcast.sandbox.server import Sandbox

_PATIENCE_S = 10.0


class running_sandbox:  # noqa: N801  used as a function: `with running_sandbox(options) as sandbox:`
    """Run a sandbox in a process of its own until the block ends; ``with`` and ``async with``.

    The process ends with its parent, also when that is killed: it watches its standard input.

    Raises:
        ConfigError: The sandbox did not start (its port is taken, for one).
    """

    def __init__(self, options: SandboxOptions | None = None) -> None:
        self._options = options or SandboxOptions()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Sandbox:
        """Start it, and wait until it listens."""
        words = msgspec.json.encode(self._options).decode()
        self._process = subprocess.Popen(  # noqa: S603  our own interpreter and module
            [sys.executable, "-m", "fetchcast.sandbox", words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        line = _pipe(self._process.stdout).readline()
        if not line:
            self.__exit__(None, None, None)
            raise ConfigError("sandbox", self._options, "options with which it can start")
        url = msgspec.json.decode(line)["url"]
        return Sandbox(url, partial(_stats, url))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        process, self._process = self._process, None
        assert process is not None
        _pipe(process.stdin).close()
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _pipe(process.stdout).close()

    async def __aenter__(self) -> Sandbox:
        """Start it without holding up the event loop."""
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it without holding up the event loop."""
        await asyncio.to_thread(self.__exit__, kind, error, trace)


def _stats(url: str) -> dict[str, Any]:
    # Without the proxy of the environment: it could not reach this machine's loopback.
    opener = build_opener(ProxyHandler({}))
    with opener.open(url + "/stats", timeout=_PATIENCE_S) as answer:
        counted: dict[str, Any] = msgspec.json.decode(answer.read())
    return counted


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
