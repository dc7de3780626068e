"""What an executor is: a place where work is done, and a desk that all work can reach."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import ParamSpec, Protocol, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")


class Desk(Protocol):
    """What is held once for all work: the pace of an API. It decides at once and waits never."""

    def answer(self, message: bytes, now: float, wall: float) -> bytes:
        """The answer to one message; ``now`` only grows, ``wall`` is seconds since 1970."""

    def report(self, now: float, wall: float) -> bytes:
        """How things stand, for the one who started the work."""

    def lost(self, worker: str, now: float) -> None:
        """``worker`` is gone, and with it whatever ran there."""


class Line(Protocol):
    """A way to the desk; it can be pickled, and is used where the work is done."""

    @property
    def worker(self) -> str:
        """The name of the worker that asks this, as `Desk.lost` will have it."""

    async def ask(self, message: bytes) -> bytes:
        """What the desk answers.

        Raises:
            OSError: If it cannot be reached; a moment later it may be.
            CoordinatorLost: If it is not there any more.
        """


class OpenDesk(Protocol):
    """A desk that is open; from `Executor.desk`."""

    @property
    def line(self) -> Line:
        """The way to it, to be handed to the work."""

    async def report(self) -> bytes:
        """How things stand; raises `OSError` if the desk cannot be reached."""


class Executor(Protocol):
    """Does work elsewhere, or here."""

    @property
    def name(self) -> str:
        """As it stands in messages."""

    @property
    def slots(self) -> int:
        """How much is done at once; may change while workers come and go."""

    @property
    def notes(self) -> Sequence[str]:
        """What a person should know about it."""

    async def run(self, work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """The result of ``work``, done in a thread of this process; its errors are raised here."""

    async def everywhere(self, work: Callable[[], _R]) -> Mapping[str, _R]:
        """What ``work`` returns on each worker that is there now, by name.

        The first error is raised.
        """

    def results(
        self, work: Callable[[_T], _R], tasks: Iterable[tuple[str, _T]]
    ) -> AsyncGenerator[tuple[str, _R], None]:
        """The result of ``work`` for each of ``tasks``, as they come; each with its task's key.

        A task is drawn when there is room for it: no more than a few per slot wait. Work that was
        lost with its worker is done again elsewhere; a key that is at work already is joined, not
        doubled. The first error ends it and is raised.
        """

    def desk(self, name: str, desk: Desk) -> AbstractAsyncContextManager[OpenDesk]:
        """Open ``desk`` to all work, held in one place, until the block ends."""
