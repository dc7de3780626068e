"""Work in other processes of this machine, begun when there is enough of it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType
from typing import Any, Self

_PAYS = 6
"""Pieces of work (16 series each, 1 to 2 s) below which importing the models anew costs more."""


class Processes:
    """A ``map`` over processes; in this one while ``count`` is 1 or there is little to do.

    The workers are started when first needed, used for all that follows, and end with the block.
    A program of your own must guard its start (``if __name__ == "__main__":``), as
    `multiprocessing` asks.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    def map(self, work: Callable[[Any], Any], pieces: Sequence[Any]) -> Iterable[Any]:
        """``work`` done on each of ``pieces``, in their order; the work's errors are raised."""
        if self.count < 2 or len(pieces) < _PAYS:  # noqa: PLR2004
            return map(work, pieces)
        if self._pool is None:
            # Not a fork: it would copy the locks that other threads of a run hold.
            self._pool = ProcessPoolExecutor(
                self.count, mp_context=get_context("spawn"), initializer=_leave_ctrl_c
            )
        return self._pool.map(work, pieces)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=kind is None, cancel_futures=True)
            self._pool = None


def _leave_ctrl_c() -> None:
    """Ctrl-C goes to everyone; only the parent answers it, then ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
