"""One piece of work on a worker: the engine of the laptop, on lent permits, into the store."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from uuid import uuid4

import msgspec
import pyarrow as pa

from fetchcast.clock import SystemClock
from fetchcast.config import Pipeline
from fetchcast.errors import CoordinatorLost, ExecutorError
from fetchcast.events import Events
from fetchcast.executors.contract import Line
from fetchcast.extract.engine import Engine, Stopped
from fetchcast.extract.lease.leasing import Leasing, leasing
from fetchcast.extract.transport import TransportOptions, open_transport, preload
from fetchcast.landing.shards import Commit, ShardStore
from fetchcast.pipeline.forms import rules
from fetchcast.pipeline.hooks import open_signing
from fetchcast.pipeline.lists_ahead import Listed, ListsAhead
from fetchcast.records import Follow, Outcome, Request

_PART_ANSWERS = 1000
_PART_BYTES = 8_000_000
_MOST_BYTES = 4 * _PART_BYTES


@cache
def here() -> tuple[str, str]:
    """The versions of fetchcast and Python that must be the same everywhere."""
    return version("fetchcast"), platform.python_version().rpartition(".")[0]


def ready(http: TransportOptions) -> None:
    """Load what a shard needs, once a process, before the first call is due."""
    preload(http)
    pa.array([""])  # Arrow looks for more to load when it makes its first array.


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What all shards of a run have in common. It holds secrets: it travels, it is not kept."""

    pipeline: Pipeline
    store: ShardStore
    token: str
    line: Line
    versions: tuple[str, str]
    lists: Mapping[str, Listed] = field(default_factory=dict)
    """Resources whose lists go on with the shard that has their beginning."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Calls that are made together."""

    id: str
    """From its calls: the same calls are the same shard, whoever asks for it."""
    requests: bytes
    """`Request` s as msgpack."""


def run_shard(task: tuple[Job, Shard]) -> Commit:
    """Make the calls of a shard that no attempt before this one has made, and commit it.

    Raises:
        ExecutorError: If this worker runs other versions, or cannot use the store.
    """
    job, shard = task
    if here() != job.versions:
        raise ExecutorError(
            job.pipeline.executor.run,
            f"{job.line.worker} has fetchcast {' on Python '.join(here())}, the run has "
            f"{' on Python '.join(job.versions)}",
            "install the same versions everywhere; what was committed is safe",
        )
    job.store.check(job.token)
    return job.store.committed(shard.id) or asyncio.run(_run(job, shard))


async def _run(job: Job, shard: Shard) -> Commit:
    store, attempt = job.store, uuid4().hex[:8]
    before = store.parts(shard.id)
    done = {key for name in before for key in store.keys(shard.id, name)}
    requests = msgspec.msgpack.decode(shard.requests, type=list[Request])
    left = [request for request in requests if request.key not in done]
    parts = Parts(store, shard.id, attempt)
    stopped: Stopped | None = None
    lost = False
    if left:
        keeping = asyncio.ensure_future(parts.keep(job.pipeline.executor.checkpoint_s))
        try:
            stopped = await _ask(job, f"{job.line.worker}/{shard.id}-{attempt}", left, parts)
        except CoordinatorLost:
            lost = True
        finally:
            keeping.cancel()
            await parts.flush()
    commit = Commit(
        shard=shard.id,
        attempt=attempt,
        parts=[*before, *parts.names],
        answers=len(done) + parts.count,
        worker=job.line.worker,
        stopped=stopped.reason if stopped else None,
        own_cap=stopped.own_cap if stopped else False,
        lost=lost,
    )
    return commit if stopped or lost else store.commit(commit)


async def _ask(job: Job, name: str, requests: Sequence[Request], parts: Parts) -> Stopped | None:
    """Run the engine; what differs from a run on one machine is who its limiter asks."""
    pipeline, clock = job.pipeline, SystemClock()
    http, retry = pipeline.http, pipeline.retry
    most = http.max_connections
    async with leasing(job.line, name, calls=len(requests), most=most, clock=clock) as lent:
        leased = _LeasedClock(lent)
        async with (
            open_transport(http) as transport,
            open_signing(pipeline, None, leased) as credentials,
        ):
            engine = Engine(
                transport=transport,
                limiter=lent.lessee,
                sink=parts,
                events=Events(),
                clock=leased,
                rules=rules(pipeline),
                retry=retry,
                credentials=credentials,
                follow=_following(job, requests, lent),
            )
            lent.serve(engine)
            return await engine.run(iter(requests))


def _following(job: Job, requests: Sequence[Request], lent: Leasing) -> Follow | None:
    if not job.lists:
        return None
    return ListsAhead(job.pipeline, job.lists, requests, lent.lessee.more)


class _LeasedClock(SystemClock):
    """This machine's clock, set by the coordinator's: workers may be an hour off."""

    def __init__(self, lent: Leasing) -> None:
        super().__init__()
        self._lent = lent

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return self._lent.now()

    async def sleep(self, seconds: float) -> None:
        """Wait ``seconds``, to the millisecond: calls that are lent leave a few at a time."""
        await asyncio.sleep(max(0.0, seconds))


class Parts:
    """Puts the ends of calls into the store, part by part; a `fetchcast.records.Sink`."""

    def __init__(self, store: ShardStore, shard: str, attempt: str) -> None:
        self._store, self._shard, self._attempt = store, shard, attempt
        self._waiting: list[Outcome] = []
        self._bytes = 0
        self._turn = asyncio.Lock()
        self._enough = asyncio.Event()
        self._failure: ExecutorError | None = None
        self.names: list[str] = []
        """The parts that are in the store, whole."""
        self.count = 0
        """The ends of calls in them."""

    def take(self, outcome: Outcome) -> bool:
        """Take ``outcome``; False if too much is not yet in the store.

        Raises:
            ExecutorError: If an earlier one could not be put there.
        """
        if self._failure is not None:
            raise self._failure
        self._waiting.append(outcome)
        self._bytes += len(outcome.answer.body) if outcome.answer else 0
        if len(self._waiting) >= _PART_ANSWERS or self._bytes >= _PART_BYTES:
            self._enough.set()
        return self._bytes < _MOST_BYTES and len(self._waiting) < 4 * _PART_ANSWERS

    async def room(self) -> None:
        """Wait until what was taken is in the store."""
        await self.flush()

    async def keep(self, every_s: float) -> None:
        """Put a part whenever there is enough for one, and at least ``every_s``."""
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(every_s):
                        await self._enough.wait()
                await self.flush()
        except ExecutorError as error:
            self._failure = error

    async def flush(self) -> None:
        """Put what is there; raises `ExecutorError` if it cannot be."""
        if self._failure is not None:
            raise self._failure
        async with self._turn:
            outcomes, self._waiting, self._bytes = self._waiting, [], 0
            self._enough.clear()
            if outcomes:
                name = f"{self._attempt}-{len(self.names):04}.parquet"
                put = asyncio.ensure_future(
                    asyncio.to_thread(self._store.put, self._shard, name, outcomes)
                )
                try:
                    await asyncio.shield(put)
                except asyncio.CancelledError:
                    await asyncio.wait([put])
                    raise
                finally:
                    if put.done() and not put.cancelled() and put.exception() is None:
                        self.names.append(name)
                        self.count += len(outcomes)
