"""The desk on a Dask scheduler: one handler more, and a note when a worker goes.

An extra handler is what the scheduler's own extensions add, though no promised interface: all of
it is on this page, and tried against the newest release.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from distributed import get_worker
from distributed.diagnostics.plugin import SchedulerPlugin

from fetchcast.errors import CoordinatorLost
from fetchcast.executors.contract import Desk

_OPERATION: Final = "fetchcast_desk"
_REPORT: Final = b""
_ALLOWED_FAILURES: Final = 10  # Spot machines go often, and the work is not to blame.


class DeskPlugin(SchedulerPlugin):  # type: ignore[misc]  # distributed is not typed
    """Holds ``desk`` on the scheduler for as long as a run goes.

    Args:
        key: Which desk it is; a scheduler may hold those of several runs.
        desk: What answers.
        client: Whose it is: with that client it goes, so that work which nobody waits for any
            more cannot go on beside that of the next run.
    """

    def __init__(self, key: str, desk: Desk, client: str) -> None:
        self.name, self._key, self._desk = f"fetchcast-{key}", key, desk
        self._client = client

    async def start(self, scheduler: Any) -> None:
        """Answer from now on."""
        scheduler.allowed_failures = max(_ALLOWED_FAILURES, scheduler.allowed_failures)
        desks = scheduler.extensions.setdefault(_OPERATION, {})
        desks[self._key] = self._desk
        scheduler.handlers[_OPERATION] = _handler(desks)

    def remove_worker(self, scheduler: Any, worker: str, **_: Any) -> None:
        """Whatever ran there is gone."""
        del scheduler
        self._desk.lost(worker, time.monotonic())

    def remove_client(self, scheduler: Any, client: str) -> None:
        """The run has ended, whether well or not."""
        if client == self._client:
            scheduler.extensions.get(_OPERATION, {}).pop(self._key, None)


def _handler(desks: dict[str, Desk]) -> Callable[..., Awaitable[bytes | None]]:
    """What the scheduler calls for each message; it wants a function, with a name."""

    async def fetchcast_desk(desk: str, message: bytes, *, end: bool) -> bytes | None:
        found = desks.pop(desk, None) if end else desks.get(desk)
        if found is None:
            return None
        now, wall = time.monotonic(), time.time()
        return found.answer(message, now, wall) if message else found.report(now, wall)

    return fetchcast_desk


class DaskLine:
    """The way to a desk from a task on a worker."""

    def __init__(self, key: str) -> None:
        self._key = key

    @property
    def worker(self) -> str:
        """The worker's address, as the scheduler knows it."""
        return str(get_worker().address)

    async def ask(self, message: bytes) -> bytes:
        """What the desk answers; the worker's own loop carries it, over its own connection."""
        worker = get_worker()
        asked = asyncio.run_coroutine_threadsafe(
            ask_scheduler(worker.scheduler, self._key, message), worker.loop.asyncio_loop
        )
        return await asyncio.wrap_future(asked)


async def ask_scheduler(
    scheduler: Any, key: str, message: bytes = _REPORT, *, end: bool = False
) -> bytes:
    """What the desk ``key`` on ``scheduler`` says; nothing as message asks how things stand."""
    answer = await getattr(scheduler, _OPERATION)(desk=key, message=message, end=end)
    if not isinstance(answer, bytes):
        raise CoordinatorLost("the scheduler was started anew, or the run has ended")
    return answer
