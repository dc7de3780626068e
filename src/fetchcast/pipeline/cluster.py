"""Asking on a cluster: calls in shards to the workers, answers from the store to the journal."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from math import ceil
from typing import Final
from uuid import uuid4

import msgspec

from fetchcast.clock import Clock
from fetchcast.config import Pipeline
from fetchcast.errors import ConfigError, ExecutorError
from fetchcast.events import Ended, Events, Notice, Refused, Retried, Sent
from fetchcast.executors import Executor
from fetchcast.executors.contract import OpenDesk
from fetchcast.extract.engine import Stopped
from fetchcast.extract.lease import Coordinator, Tally
from fetchcast.landing.shards import Commit, ShardStore
from fetchcast.landing.writer import Writer
from fetchcast.pipeline.lists_ahead import Listed
from fetchcast.pipeline.pacing import Pacing
from fetchcast.pipeline.shard import Job, Shard, here, ready, run_shard
from fetchcast.pipeline.shared_row import ClusterPace, row_desk
from fetchcast.pipeline.waves import Waves
from fetchcast.records import WITH_ANSWER, Follow, Outcome, Request

STORE: Final = "shard store"
"""Under which name the landing remembers where answers may still lie."""
_LOOK_S: Final = 0.5
_CALLS: Final = 200
_MOST_CALLS: Final = 4096
_FEWEST_CALLS: Final = 64
_SHARDS_A_SLOT: Final = 4  # So many at least, or slots are idle while the last ones end.
_AGAIN: Final = 5
_UNBROUGHT: Final = 64
"""Commits that wait for the journal; more, and no new shards are sent."""
_FATES: Final = 1000


class Cutter:
    """Cuts calls into shards; may be asked again after it had nothing: shards come back.

    Where a shard ends is decided by the keys of its calls alone: the same calls are cut alike in
    every run, whatever has landed before them.

    Args:
        requests: The calls; what follows from answers may become known later.
        job: What all shards have in common.
        size: How many calls a shard should have, now; a power of two.
        slots: How many shards are done at once.
    """

    def __init__(
        self,
        requests: Iterator[Request],
        job: Job,
        size: Callable[[], int],
        slots: Callable[[], int],
    ) -> None:
        self._requests, self._job, self._size, self._slots = requests, job, size, slots
        self._again: deque[Shard] = deque()
        self._open: dict[str, Shard] = {}
        self._tries: Counter[str] = Counter()
        self._stopped = False

    def __iter__(self) -> Cutter:
        return self

    def __next__(self) -> tuple[str, tuple[Job, Shard]]:
        shard = self._again.popleft() if self._again else self._cut()
        self._open[shard.id] = shard
        key = f"fetchcast-{self._job.store.identity[:8]}-{shard.id}-{self._tries[shard.id]}"
        return key, (self._job, shard)

    def _cut(self) -> Shard:
        calls: list[Request] = []
        size = self._size()
        if is_wave := isinstance(self._requests, Waves):
            # A list is one worker's, however long it is: none may have all of them.
            slots = max(1, self._slots())
            size = max(1, min(size, ceil(self._requests.known(size * slots) / slots)))
        while not self._stopped and (request := next(self._requests, None)) is not None:
            calls.append(request)
            ends_here = int(request.key[:8], 16) % size == 0 and len(calls) > size // 4
            if ends_here or len(calls) >= (size if is_wave else 2 * size):
                break
        if not calls:
            raise StopIteration
        digest = blake2b("".join(call.key for call in calls).encode(), digest_size=10)
        return Shard(digest.hexdigest(), msgspec.msgpack.encode(calls))

    def stop(self) -> None:
        """Cut no more."""
        self._stopped = True

    def done(self, shard: str) -> None:
        """It is not needed any more."""
        del self._open[shard]

    def once_more(self, shard: str) -> bool:
        """Do it again; False if it was tried often enough."""
        self._tries[shard] += 1
        self._again.append(self._open[shard])
        return self._tries[shard] < _AGAIN


@dataclass(slots=True, kw_only=True)
class Cluster:
    """Asks the calls of a run on an executor that is elsewhere.

    Args:
        pipeline: What is run.
        writer: The journal; this run is the only one that brings answers into it.
        executor: Where the work is done.
        events: Told what a run on one machine would tell.
        clock: Time.
        total: About how many calls there are.
    """

    pipeline: Pipeline
    writer: Writer
    executor: Executor
    events: Events
    clock: Clock
    total: int
    pace: ClusterPace = field(default_factory=ClusterPace)
    _stopped: Stopped | None = None
    _refused: int = 0
    _full: bool = False
    _waves: Waves | None = None

    async def ask(
        self,
        requests: Iterator[Request],
        pacing: Pacing,
        *,
        follow: Follow | None = None,
        lists: Mapping[str, Listed] | None = None,
    ) -> Stopped | None:
        """Ask ``requests``; returns why some were left unasked, or None if every one ended.

        Args:
            requests: The calls of the plans.
            pacing: What earlier runs learnt of the pace.
            follow: Says which calls follow from the end of a call; None if none ever do.
            lists: Resources whose lists a worker can go on with by itself.
        """
        self._waves = Waves(requests, follow, self._keep) if follow else None
        store = await self._open_store()
        token = uuid4().hex
        await asyncio.to_thread(store.mark, token)
        # Side by side, before the clock of the pace runs; those that come later do it themselves.
        await self.executor.everywhere(partial(ready, self.pipeline.http))
        async with self._desk(pacing) as desk, self._watching(desk):
            job = Job(
                pipeline=self.pipeline,
                store=store,
                token=token,
                line=desk.line,
                versions=here(),
                lists=lists or {},
            )
            slots = partial(getattr, self.executor, "slots")
            cutter = Cutter(self._waves or requests, job, self._shard_calls, slots)
            async with self._bringing(store, cutter) as brought:
                async for _, commit in self.executor.results(run_shard, cutter):
                    if commit.lost and cutter.once_more(commit.shard):
                        continue
                    await brought.put(commit)
                    if self._waves is not None:
                        # What follows from it is to be known before the next shard is cut.
                        await brought.join()
        return self._stopped

    @asynccontextmanager
    async def _bringing(
        self, store: ShardStore, cutter: Cutter
    ) -> AsyncIterator[asyncio.Queue[Commit]]:
        """Bring what is put there into the journal, while workers go on; all of it on leaving."""
        commits: asyncio.Queue[Commit] = asyncio.Queue(_UNBROUGHT)

        async def bring() -> None:
            while True:
                await self._bring(store, await commits.get(), cutter)
                commits.task_done()

        bringing = asyncio.ensure_future(bring())
        here = asyncio.current_task()
        assert here is not None
        bringing.add_done_callback(lambda ended: None if ended.cancelled() else here.cancel())
        try:
            yield commits
            await commits.join()
        except asyncio.CancelledError:
            if bringing.done() and not bringing.cancelled():
                here.uncancel()
                bringing.result()
            raise
        finally:
            bringing.cancel()

    @asynccontextmanager
    async def _desk(self, pacing: Pacing) -> AsyncIterator[OpenDesk]:
        """Where the pace is held: with the executor, or in a row that others use too."""
        row = row_desk(self.pipeline, pacing.memory, connections=self._connections)
        if row is None:
            async with self.executor.desk("pace", self._coordinator(pacing)) as desk:
                yield desk
        else:
            await asyncio.to_thread(row.check)
            yield row

    @property
    def _connections(self) -> int:
        return self.pipeline.http.max_connections * max(16, 2 * self.executor.slots)

    def _coordinator(self, pacing: Pacing) -> Coordinator:
        return Coordinator(
            self.pipeline.limits,
            memory=pacing.memory,
            keys=pacing.keys,
            max_connections=self._connections,
            wall=self.clock.now(),
            # One that is started anew lends nothing on the old one's word.
            epoch=1 + int(self.clock.now() * 1000) % (1 << 31),
        )

    def _shard_calls(self) -> int:
        """How many calls keep a slot busy for as long as the file says, at the present pace."""
        slots = max(1, self.executor.slots)
        rates = [one.rate for one in self.pace.tally.learnt if one.rate is not None]
        rate = self.pipeline.limits.max_rate or sum(rates)
        wanted = self.pipeline.executor.shard_s * rate / slots if rate else _CALLS
        wanted = min(wanted, self.total / (_SHARDS_A_SLOT * slots))
        # In steps, so that a pace that wavers cuts the same shards.
        return 1 << int(max(_FEWEST_CALLS, min(_MOST_CALLS, wanted))).bit_length() - 1

    async def _open_store(self) -> ShardStore:
        url = store_url(self.pipeline)
        store = ShardStore(url, self.writer.identity)
        self.writer.remember(STORE, url)
        await self.writer.flush()
        return store

    # -- what comes back

    async def _bring(self, store: ShardStore, commit: Commit, cutter: Cutter) -> None:
        """From the store into the journal; the store lets go of it once the journal has it."""
        for name in commit.parts:
            outcomes = await asyncio.to_thread(_outcomes, store, commit.shard, name)
            if self._waves is not None:
                self._waves.take(outcomes)
            else:
                for outcome in outcomes:
                    self._keep(outcome)
            if self._full:
                self._full = False
                await self.writer.room()
        if self._waves is not None:
            self._waves.over()
        await self.writer.flush()
        await asyncio.to_thread(store.forget, commit.shard)
        cutter.done(commit.shard)
        if commit.stopped is not None:
            self._stopped = Stopped(reason=commit.stopped, own_cap=commit.own_cap)
            cutter.stop()

    def _keep(self, outcome: Outcome) -> None:
        """Tell of a call what its worker saw, and hand it to the journal."""
        at, more = outcome.finished_at, outcome.attempts - 1
        self.events(Sent(at=at, count=outcome.attempts))
        for attempt in range(more):
            reason = "failed on its worker"
            key = outcome.request.key
            self.events(Retried(at=at, key=key, attempt=attempt + 1, reason=reason))
        self.events(Ended(outcome=outcome))
        self._full |= not self.writer.take(outcome)

    # -- how things stand

    @asynccontextmanager
    async def _watching(self, desk: OpenDesk) -> AsyncIterator[None]:
        watching = asyncio.ensure_future(self._watch(desk))
        try:
            yield
        finally:
            watching.cancel()
            with suppress(OSError, ExecutorError, TimeoutError):
                async with asyncio.timeout(_LOOK_S * 4):
                    await self._look(desk)

    async def _watch(self, desk: OpenDesk) -> None:
        while True:
            with suppress(OSError, ExecutorError):
                await self._look(desk)
            await asyncio.sleep(_LOOK_S)

    async def _look(self, desk: OpenDesk) -> None:
        tally = msgspec.msgpack.decode(await desk.report(), type=Tally)
        self.pace.tally = tally
        self.pace.where = f"{self.executor.slots} slots on {self.executor.name}"
        if (more := tally.refused - self._refused) > 0:
            self._refused = tally.refused
            at = self.clock.now()
            self.events(Sent(at=at, count=more))
            for _ in range(more):
                self.events(Refused(at=at, status=None))


def _outcomes(store: ShardStore, shard: str, name: str) -> list[Outcome]:
    return list(store.outcomes(shard, [name]))


async def salvage(writer: Writer, events: Events, clock: Clock, lists: Collection[str] = ()) -> int:
    """Bring into the journal what an earlier run on a cluster left in its store.

    Args:
        writer: The journal.
        events: Told of it.
        clock: Time.
        lists: Resources whose answers may be pages: what a page behind the first means is known
            only where its list is followed, so those are asked again.

    Returns:
        How many answers that were not known before.
    """
    known = writer.recall(STORE)
    if known is None or known.value is None:
        return 0
    store = ShardStore(known.value, writer.identity)
    count = 0
    for shard in await asyncio.to_thread(store.left):
        commit = await asyncio.to_thread(store.committed, shard)
        names = commit.parts if commit else []
        # Whole parts of an attempt that ended early are answers too.
        names += [name for name in await asyncio.to_thread(store.parts, shard) if name not in names]
        for name in names:
            outcomes = await asyncio.to_thread(_outcomes, store, shard, name)
            meant = [one for one in outcomes if not one.request.page or not _is_of(one, lists)]
            count += await _take_new(writer, meant)
        await writer.flush()
        await asyncio.to_thread(store.forget, shard)
    if count:
        text = f"{count:,} answers of an earlier run were still in its store"
        events(Notice(at=clock.now(), text=text))
    return count


def _is_of(outcome: Outcome, resources: Collection[str]) -> bool:
    return outcome.request.resource in resources


async def _take_new(writer: Writer, outcomes: list[Outcome]) -> int:
    """Those that the journal does not have yet; a failure does not hide an answer."""
    count = 0
    for start in range(0, len(outcomes), _FATES):
        window = outcomes[start : start + _FATES]
        fates = writer.fates([outcome.request.key for outcome in window])
        for outcome in window:
            if fates.get(outcome.request.key) not in WITH_ANSWER:
                count += 1
                await writer.put(outcome)
    # The next window may have the same keys.
    await writer.flush()
    return count


def store_url(pipeline: Pipeline) -> str:
    """Where workers put answers; beside the landing for processes of this machine.

    Raises:
        ConfigError: If the file does not say where, and workers may be elsewhere.
    """
    options = pipeline.executor
    if options.store is not None:
        return options.store
    if not options.on_loopback:
        raise ConfigError(
            "executor.store",
            None,
            "file:///PATH that all machines of the cluster share, or s3://BUCKET/PREFIX: "
            "workers put answers there",
        )
    return (pipeline.landing_folder / "shards").resolve().as_uri()
