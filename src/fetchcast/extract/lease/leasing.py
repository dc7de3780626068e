"""Carries messages between a lessee and its coordinator, for as long as an engine runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

from fetchcast.clock import Clock
from fetchcast.errors import CoordinatorLost
from fetchcast.extract.lease.lessee import Lessee
from fetchcast.extract.lease.messages import ENCODER, LEASES

_PATIENCE_S: Final = 60.0
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0
_CLOSING_S: Final = 2.0


class Line(Protocol):
    """A way to a coordinator."""

    async def ask(self, message: bytes) -> bytes:
        """The answer to ``message``.

        Raises:
            OSError: If it cannot be reached; it is asked again then.
            CoordinatorLost: If there is no such coordinator any more.
        """


class Woken(Protocol):
    """What an engine is to one who borrows for it."""

    def wake(self) -> None:
        """There may be a permit now."""

    def prove(self) -> None:
        """Calls of others have worked."""


class Leasing:
    """Asks for leases while `lessee` needs them. From `leasing`."""

    def __init__(self, line: Line, name: str, *, calls: int, most: int, clock: Clock) -> None:
        self._line, self._clock = line, clock
        self._woken = asyncio.Event()
        self.lessee = Lessee(name, calls=calls, tell=self._woken.set, most=most)
        self.on_lease: Callable[[], None] = _nothing
        """Called when a lease has come."""
        self._skew_s = 0.0
        self.failure: CoordinatorLost | None = None

    def serve(self, engine: Woken) -> None:
        """Have ``engine`` go on whenever a lease has come."""

        def go_on() -> None:
            if self.lessee.proven:
                engine.prove()
            engine.wake()

        self.on_lease = go_on
        go_on()

    def now(self) -> float:
        """The coordinator's time of day: clocks of workers may be wrong."""
        return self._clock.now() + self._skew_s

    async def first(self) -> None:
        """Ask until the coordinator has answered once: then its clock is known."""
        await self._exchange()

    async def keep(self) -> None:
        """Ask whenever it is due; ends only when cancelled, or when nobody answers for long."""
        try:
            await self._keep_asking()
        except CoordinatorLost as error:
            self.failure = error
            self.lessee.stop(str(error))
            self.on_lease()

    async def _keep_asking(self) -> None:
        while True:
            now = self._clock.monotonic()
            due = self.lessee.due(now)
            if due > now:
                self._woken.clear()
                # Not `wait_for`, which before Python 3.12 can lose a cancellation.
                with suppress(TimeoutError):
                    async with asyncio.timeout(due - now):
                        await self._woken.wait()
                # What ends in one turn of the loop is told in one message.
                await asyncio.sleep(0)
                continue
            await self._exchange()

    async def _exchange(self, *, closing: bool = False) -> None:
        ask = ENCODER.encode(self.lessee.ask(self._clock.monotonic(), closing=closing))
        begun, pause = self._clock.monotonic(), _FIRST_PAUSE_S
        while True:
            try:
                lease = LEASES.decode(await self._line.ask(ask))
                break
            except OSError as error:
                # Nobody lends: wait. A limiter of one's own is how an API is overrun.
                if closing or self._clock.monotonic() - begun > _PATIENCE_S:
                    raise CoordinatorLost(str(error) or type(error).__name__) from error
            await self._clock.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, 2 * pause)
        self._skew_s = lease.wall - self._clock.now()
        self.lessee.take(lease, self._clock.monotonic())
        self.on_lease()

    async def close(self) -> None:
        """Give back what is left; the coordinator does without it if it cannot be told."""
        with suppress(CoordinatorLost, TimeoutError):
            async with asyncio.timeout(_CLOSING_S):
                await self._exchange(closing=True)


def _nothing() -> None:
    """Until an engine is there, nobody waits for a lease."""


@asynccontextmanager
async def leasing(
    line: Line, name: str, *, calls: int, most: int, clock: Clock
) -> AsyncIterator[Leasing]:
    """Borrow over ``line`` until the block ends; what is left then is given back.

    Args:
        line: The way to the coordinator.
        name: ``WORKER/SOMETHING``, unique.
        calls: How many calls there are to make.
        most: Calls in flight that the transport allows.
        clock: This machine's time.

    Raises:
        CoordinatorLost: If there is none; on leaving, if it went away meanwhile. The engine was
            stopped then, and what was in flight has ended.
    """
    lent = Leasing(line, name, calls=calls, most=most, clock=clock)
    await lent.first()
    keeping = asyncio.ensure_future(lent.keep())
    try:
        yield lent
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])
        await lent.close()
    if lent.failure is not None:
        raise lent.failure
