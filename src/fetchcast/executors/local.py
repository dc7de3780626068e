"""Work in this process; the only executor without an extra."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


class LocalExecutor:
    """Runs blocking stages in a thread, so that the event loop stays free."""

    async def run(self, work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """The result of ``work``; its errors are raised here."""
        return await asyncio.to_thread(work, *args, **kwargs)
