"""The pace of an API in one row of PostgreSQL, for runs and clusters that share a credential."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

import msgspec

from fetchcast.clock import Clock
from fetchcast.config import Pipeline
from fetchcast.errors import ConfigError, DestinationError
from fetchcast.extract.lease import Coordinator, Tally
from fetchcast.extract.lease.frozen import freeze, thaw
from fetchcast.extract.lease.leasing import Leasing, leasing
from fetchcast.extract.lease.messages import ENCODER
from fetchcast.extract.pace import Learnt, PaceOptions
from fetchcast.load.postgres import SharedRow
from fetchcast.pipeline.pacing import scopes

_ABANDONED_S: Final = 60.0
"""Nobody has asked for so long: whatever is lent is void, and what was learnt is where to begin."""


_LOOK_S: Final = 1.0
_SLICE_S: Final = 0.5  # A transaction takes its time, and all of them wait for each other.
_NO_END: Final = 1 << 40
"""An engine that draws its calls from a plan does not say how many there are."""


@dataclass(frozen=True, slots=True)
class Felt:
    """What the coordinator says of the pace, for the progress line."""

    text: str
    what: str


@dataclass(slots=True)
class ClusterPace:
    """The pace as it was told last; stands where a run on one machine has its own."""

    tally: Tally = field(default_factory=Tally)
    where: str = ""
    """Who works at this pace."""

    def explanation(self, now: float) -> Felt:
        """Which limit is felt, and by how many."""
        del now  # What was told last is what is known.
        told = self.tally
        flying = f"{told.in_flight} in flight" if told.in_flight else ""
        return Felt(
            text=", ".join(part for part in (told.explanation, self.where) if part),
            what=" · ".join(part for part in (told.limit, self.where, flying) if part),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowDesk:
    """A coordinator in a row; each message is one transaction, so that all messages have an order.

    The row's clock is the server's: machines that share it need not agree about the time.
    """

    url: str
    scope: str
    """Of the pace: scheme, host, port and a digest of the credential."""
    limits: PaceOptions
    memory: Learnt | None
    connections: int

    @property
    def line(self) -> RowDesk:
        """Itself: whoever can reach the database asks it."""
        return self

    @property
    def worker(self) -> str:
        """Machine and process."""
        return f"{socket.gethostname()}-{os.getpid()}"

    async def ask(self, message: bytes) -> bytes:
        """The coordinator's answer; raises `OSError` if the database cannot be reached."""
        return await asyncio.to_thread(self._exchange, message)

    async def report(self) -> bytes:
        """How things stand."""
        return await asyncio.to_thread(self._exchange, b"")

    def check(self) -> None:
        """See that the row can be used, and that whoever uses it has the same limits.

        Raises:
            ConfigError: If another run that goes on was told other limits.
            DestinationError: If the database cannot be used.
        """
        SharedRow(self.url, self.scope).exchange(self._checked)

    def _exchange(self, message: bytes) -> bytes:
        def decide(state: bytes | None, heard_at: float, now: float) -> tuple[bytes, bytes]:
            coordinator = self._coordinator(state, heard_at, now)
            said = coordinator.answer(message, now, now) if message else b""
            return freeze(coordinator), said or coordinator.report(now, now)

        try:
            return SharedRow(self.url, self.scope).exchange(decide)
        except DestinationError as error:
            raise ConnectionError(str(error)) from error

    def _checked(self, state: bytes | None, heard_at: float, now: float) -> tuple[bytes, bytes]:
        coordinator = self._coordinator(state, heard_at, now)
        if ENCODER.encode(coordinator.options) != ENCODER.encode(self.limits):
            raise ConfigError(
                "limits",
                msgspec.to_builtins(self.limits),
                "what the other run that shares the coordinator was told: "
                f"{msgspec.to_builtins(coordinator.options)}; one pace has one set of caps",
            )
        return freeze(coordinator), b""

    def _coordinator(self, state: bytes | None, heard_at: float, now: float) -> Coordinator:
        memory, epoch = self.memory, 1
        if state is not None:
            there = thaw(state)
            if now - heard_at <= _ABANDONED_S:
                return there
            learnt = there.pace.learnt(heard_at)
            memory = learnt if isinstance(learnt, Learnt) else None
            epoch = there.epoch + 1
        return Coordinator(
            self.limits,
            memory=memory,
            max_connections=self.connections,
            wall=now,
            slice_s=_SLICE_S,
            epoch=epoch,
        )


def row_desk(
    pipeline: Pipeline, memory: Learnt | None, *, connections: int | None = None
) -> RowDesk | None:
    """The desk that the file's ``[executor] coordinator`` names; None if it names none."""
    if pipeline.executor.coordinator is None:
        return None
    return RowDesk(
        url=pipeline.executor.coordinator,
        scope=scopes(pipeline)[0],
        limits=pipeline.limits,
        memory=memory,
        connections=connections or 16 * pipeline.http.max_connections,
    )


@asynccontextmanager
async def borrowing(
    pipeline: Pipeline, memory: Learnt | None, pace: ClusterPace, clock: Clock
) -> AsyncIterator[Leasing | None]:
    """Borrow from the row that the file names, for an engine of this process; None without one.

    Args:
        pipeline: Says which row.
        memory: What is known of the pace, if the row knows nothing.
        pace: Told how things stand.
        clock: This machine's time.

    Raises:
        ConfigError: If others who use the row were told other limits.
        DestinationError: If the database cannot be used.
    """
    desk = row_desk(pipeline, memory)
    if desk is None:
        yield None
        return
    await asyncio.to_thread(desk.check)
    most = pipeline.http.max_connections
    name = f"{desk.worker}/{uuid4().hex[:8]}"
    looking = asyncio.ensure_future(_look(desk, pace))
    try:
        async with leasing(desk, name, calls=_NO_END, most=most, clock=clock) as lent:
            yield lent
        pace.tally = msgspec.msgpack.decode(await desk.report(), type=Tally)
    finally:
        looking.cancel()


async def _look(desk: RowDesk, pace: ClusterPace) -> None:
    while True:
        with suppress(OSError):
            pace.tally = msgspec.msgpack.decode(await desk.report(), type=Tally)
        await asyncio.sleep(_LOOK_S)
