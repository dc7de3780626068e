"""Some work at a time: enough that nobody waits for it, not so much that it piles up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Final, TypeVar

_R = TypeVar("_R")
_T = TypeVar("_T")

_PER_SLOT: Final = 2
"""One that runs and one that waits: the next begins at once."""


async def in_windows(
    begin: Callable[[str, _T], Awaitable[_R]],
    tasks: Iterable[tuple[str, _T]],
    slots: Callable[[], int],
) -> AsyncGenerator[tuple[str, _R], None]:
    """The results of ``tasks`` as they come; the first error is raised and drops the others.

    Args:
        begin: Starts one task and returns its end.
        tasks: Key and task; drawn one by one, when there is room.
        slots: How many run at once, now.
    """
    waiting = iter(tasks)
    running: dict[asyncio.Future[_R], str] = {}
    try:
        while True:
            # Asked again each time: a result may have made more to do.
            while len(running) < _PER_SLOT * max(1, slots()):
                drawn = next(waiting, None)
                if drawn is None:
                    break
                key, task = drawn
                running[asyncio.ensure_future(_ended(begin(key, task)))] = key
            if not running:
                return
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                key = running.pop(one)
                yield key, one.result()
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _ended(work: Awaitable[_R]) -> _R:
    return await work
