"""``python -m fetchcast.sandbox '{"latency_ms": 0}'``: a sandbox for `running_sandbox`.

It prints its address as one line of JSON and ends when its standard input does. People use
``fetchcast sandbox``.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from threading import Thread

import msgspec

from fetchcast.errors import FetchcastError
from fetchcast.sandbox.options import SandboxOptions
from fetchcast.sandbox.server import serve_sandbox


async def _serve(options: SandboxOptions) -> None:
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    async with serve_sandbox(options) as sandbox:
        sys.stdout.write(msgspec.json.encode({"url": sandbox.url}).decode() + "\n")
        sys.stdout.flush()

        def watch() -> None:
            sys.stdin.buffer.read()
            with contextlib.suppress(RuntimeError):  # The loop is over already.
                loop.call_soon_threadsafe(end.set)

        Thread(target=watch, daemon=True).start()
        await end.wait()


if __name__ == "__main__":
    # Ctrl-C reaches every process of a terminal; this one ends with its parent, after it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        asyncio.run(_serve(msgspec.json.decode(sys.argv[1], type=SandboxOptions)))
    except FetchcastError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_status)
