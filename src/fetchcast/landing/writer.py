"""The journal behind an asyncio `Sink`: takes outcomes at once, commits them in a thread.

Outcomes gather until there are 500 of them, 8 MB, or 200 ms have passed; then the thread takes all
that are there and commits them. While it does, the next ones gather. "Landed" is said (by
`events.Committed`, and by the return of `Writer.flush`) only after the commit.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from fetchcast.clock import Clock
from fetchcast.errors import LandingError
from fetchcast.events import (
    Committed,
    Event,
    Events,
    Notice,
    Paced,
    Refused,
    RunEnd,
    StageEnded,
    StageStarted,
)
from fetchcast.landing.journal import (
    SEGMENT_ANSWERS,
    SEGMENT_BYTES,
    Journal,
    Note,
    open_journal,
)
from fetchcast.landing.lock import exclusive
from fetchcast.landing.options import LandingOptions
from fetchcast.landing.reader import Reader, open_connection
from fetchcast.landing.retention import drop_bodies
from fetchcast.landing.runs import Memory, Refusal, RunInfo
from fetchcast.records import Fate, Landed, Outcome

T = TypeVar("T")

_LATEST_S: Final = 0.2
_MOST_WAITING: Final = 4 * SEGMENT_ANSWERS
_MOST_WAITING_BYTES: Final = 4 * SEGMENT_BYTES
_PACE_S: Final = 2.0  # A day of a limit that wavers must not fill the log.
_REFUSED_S: Final = 5.0
_GRACE_S: Final = 10.0  # Room for a slow fsync; a disk that hangs must not hang the shutdown.


@dataclass(slots=True)
class _Errand:
    """Work on the journal outside of a batch's transaction; ``done`` gets what it returns."""

    work: Callable[[Journal], Any]
    done: asyncio.Future[Any]


class Writer:
    """Keeps outcomes; from `open_writer`. A `fetchcast.records.Sink`.

    Its methods belong to the event loop's thread, but for `log`, which any thread may call.
    """

    def __init__(self, journal: Journal, reader: Reader, clock: Clock, events: Events) -> None:
        self._journal, self._reader, self._clock, self._events = journal, reader, clock, events
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Outcome | Note | _Errand] = deque()
        self._put_count = self._done_count = 0
        self._put_bytes = self._taken_bytes = 0
        self._flushes: list[tuple[int, asyncio.Future[None]]] = []
        self._failure: BaseException | None = None
        self._called = False
        self._paced_at = float("-inf")
        self._refused_at: dict[int | None, float] = {}
        self._something, self._now = threading.Event(), threading.Event()
        self._stopping = False
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="landing", daemon=True)
        self._thread.start()

    @property
    def identity(self) -> str:
        """The landing's own name, a UUID made with it."""
        return self._reader.identity

    # -- the sink

    def take(self, outcome: Outcome) -> bool:
        """Take ``outcome``; False if too much is not yet on the disk: await `room` then.

        Raises:
            LandingError: If an earlier outcome could not be kept; from then on, always.
        """
        if self._failure is not None:
            raise self._failure
        answer = outcome.answer
        if answer is not None:
            self._put_bytes += len(answer.body)
        self._hand_over(outcome)
        return (
            len(self._waiting) < _MOST_WAITING
            and self._put_bytes - self._taken_bytes < _MOST_WAITING_BYTES
        )

    async def room(self) -> None:
        """Wait until half of what may wait is on the disk: the next ones gather meanwhile.

        Raises:
            LandingError: If it could not be kept.
        """
        await self._reach(self._put_count - _MOST_WAITING // 2)

    async def put(self, outcome: Outcome) -> None:
        """`take`, and wait for `room` if there is none.

        Raises:
            LandingError: If an earlier outcome could not be kept; from then on, always.
        """
        if not self.take(outcome):
            await self.room()

    async def flush(self) -> None:
        """Wait until everything that was put is on the disk.

        Raises:
            LandingError: If it could not be kept.
        """
        await self._reach(self._put_count)

    async def _reach(self, target: int) -> None:
        if self._failure is not None:
            raise self._failure
        if self._done_count >= target:
            return
        reached = self._loop.create_future()
        self._flushes.append((target, reached))
        self._now.set()
        await reached

    def fates(self, keys: Sequence[str], since: float | None = None) -> Mapping[str, Fate]:
        """The fates of those of ``keys`` that are on the disk; ask for some 500 to 5,000 at a time.

        Args:
            keys: Request keys.
            since: Leave out what was answered (or last confirmed by a 304) before this moment,
                in seconds since 1970: it is to be asked again.
        """
        return self._reader.fates(keys, since)

    def validators(self, keys: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Headers that ask "changed since?" for those of ``keys`` whose answers offered them."""
        return self._reader.validators(keys)

    def by_keys(self, keys: Sequence[str]) -> Iterator[Landed]:
        """The newest answers to ``keys`` that are on the disk, in the order of their landing."""
        return self._reader.by_keys(keys)

    def has_answers(self) -> bool:
        """Whether any call has ended well, in this run or an earlier one."""
        counts = self._reader.counts()
        return counts.get(Fate.LANDED, 0) + counts.get(Fate.EMPTY, 0) > 0

    # -- what is told about the run

    def begin_run(self, run: RunInfo) -> None:
        """Note that ``run`` goes. Like all notes, on the disk within 0.2 s or after `flush`."""
        self._hand_over(lambda journal: journal.begin_run(run))

    def heartbeat(self, counts: Mapping[str, Any], planned: int | None = None) -> None:
        """Note how far the run is, for those who watch it; call it every 0.5 s or so."""
        text, at = _json(counts), self._clock.now()
        self._hand_over(lambda journal: journal.heartbeat(text, planned, at))

    def end_run(self, end: RunEnd, counts: Mapping[str, Any]) -> None:
        """Note how the run ended."""
        text, at = _json(counts), self._clock.now()
        self._hand_over(lambda journal: journal.end_run(end, text, at))

    def log(self, kind: str, text: str, at: float | None = None) -> None:
        """Add a line to the log that the app shows; stages and notices come here by themselves."""
        moment = self._clock.now() if at is None else at
        self._hand_over(lambda journal: journal.log(kind, text, moment))

    def remember(self, scope: str, value: Any) -> None:
        """Keep ``value`` (what JSON can carry) for later runs, in place of the last one.

        None forgets that.
        """
        if value is None:
            self._hand_over(lambda journal: journal.forget(scope))
            return
        text, at = _json(value), self._clock.now()
        self._hand_over(lambda journal: journal.remember(scope, text, at))

    def recall(self, scope: str) -> Memory | None:
        """What was remembered for ``scope`` and is on the disk."""
        return self._reader.recall(scope)

    async def errand(self, work: Callable[[Journal], T]) -> T:
        """Do ``work`` on the journal once all that was put before is kept; returns its result."""
        done: asyncio.Future[T] = self._loop.create_future()
        self._hand_over(_Errand(work, done))
        self._now.set()
        return await done

    async def retain(self, loaded_seq: int) -> int:
        """Drop the bodies that ``keep`` does not keep, of what is loaded up to ``loaded_seq``.

        Returns:
            How many batches lost their bodies; keys, headers and parameters stay.
        """
        kept_s = self._journal.options.kept_s
        if kept_s is None:
            return 0
        before = self._clock.now() - kept_s
        return await self.errand(
            lambda journal: drop_bodies(journal, loaded_seq=loaded_seq, before=before)
        )

    def hear(self, event: Event) -> None:
        """Keep stages, notices and felt limits in the log; subscribed by `open_writer`."""
        if self._failure is not None:
            return  # `put` and `flush` say so; a subscriber must not raise.
        match event:
            case StageStarted(stage=stage, at=at, what=what):
                self.log("stage_started", f"{stage} {what}".strip(), at)
            case StageEnded(stage=stage, at=at, what=what):
                self.log("stage_ended", f"{stage} {what}".strip(), at)
            case Notice(at=at, text=text):
                self.log("notice", text, at)
            case Paced(at=at, text=text) if at - self._paced_at >= _PACE_S:
                self._paced_at = at
                self.log("pace", text, at)
            case Refused():
                self._keep_refusal(event)
            case _:
                pass

    def _keep_refusal(self, event: Refused) -> None:
        """An example of each kind now and then: there may be a thousand a second."""
        if event.at - self._refused_at.get(event.status, float("-inf")) >= _REFUSED_S:
            self._refused_at[event.status] = event.at
            refusal = Refusal(event.status, event.url, event.head.decode("utf-8", "replace"))
            self.log("refused", _json(refusal), event.at)

    def _hand_over(self, item: Outcome | Note | _Errand) -> None:
        if self._failure is not None:
            raise self._failure
        if self._stopping:
            raise RuntimeError("the landing is closed: nothing can be kept any more")
        self._waiting.append(item)
        self._put_count += 1
        # The thread lowers the flag before it takes what is there: nothing is overlooked.
        if not self._called:
            self._called = True
            self._something.set()
        elif len(self._waiting) >= SEGMENT_ANSWERS and not self._now.is_set():
            self._now.set()

    # -- the thread

    def _work(self) -> None:
        while not (self._stopping and not self._waiting):
            self._something.wait()
            self._now.wait(_LATEST_S)
            self._something.clear()
            self._now.clear()
            self._called = False
            try:
                self._keep_all()
            except BaseException as error:  # noqa: BLE001  handed to whoever waits
                self._tell(partial(self._fail, error))
                break
        self._tell(self._stopped.set)

    def _keep_all(self) -> None:
        while self._waiting:
            outcomes, notes, errand, taken = self._take()
            if outcomes or notes:
                try:
                    count, size = self._journal.commit(outcomes, notes)
                except BaseException:
                    if errand is not None:
                        self._waiting.appendleft(errand)
                    raise
                self._tell(partial(self._kept, taken, count, size))
            if errand is not None:
                self._run(errand)

    def _take(self) -> tuple[list[Outcome], list[Note], _Errand | None, int]:
        """What goes into one transaction: each key once, and nothing behind an errand."""
        outcomes: list[Outcome] = []
        notes: list[Note] = []
        keys: set[str] = set()
        while self._waiting and len(outcomes) < _MOST_WAITING:
            item = self._waiting[0]
            if isinstance(item, Outcome):
                if item.request.key in keys:
                    break
                keys.add(item.request.key)
                outcomes.append(item)
                if item.answer is not None:
                    self._taken_bytes += len(item.answer.body)
            elif isinstance(item, _Errand):
                self._waiting.popleft()
                return outcomes, notes, item, len(outcomes) + len(notes)
            else:
                notes.append(item)
            self._waiting.popleft()
        return outcomes, notes, None, len(outcomes) + len(notes)

    def _run(self, errand: _Errand) -> None:
        try:
            result = errand.work(self._journal)
        except Exception as error:  # noqa: BLE001  belongs to who sent the errand
            self._tell(partial(self._ran, errand.done, None, error))
        else:
            self._tell(partial(self._ran, errand.done, result, None))

    def _tell(self, what: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:
            # The loop is closed: nobody is left to be told, and what is kept is kept.
            self._stopping = True

    # -- back in the loop's thread

    def _kept(self, taken: int, count: int, size_bytes: int) -> None:
        self._done_count += taken
        if count:
            self._events(Committed(at=self._clock.now(), count=count, size_bytes=size_bytes))
        waiting = []
        for target, reached in self._flushes:
            if target > self._done_count:
                waiting.append((target, reached))
            elif not reached.done():
                reached.set_result(None)
        self._flushes = waiting

    def _ran(self, done: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
        self._kept(1, 0, 0)
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        errands = [item.done for item in self._waiting if isinstance(item, _Errand)]
        for future in [*(reached for _, reached in self._flushes), *errands]:
            if not future.done():
                future.set_exception(error)
        self._flushes.clear()
        self._waiting.clear()

    async def close(self) -> None:
        """Keep what was put, then stop; cancellation waits for it, at most 10 s."""
        self._stopping = True
        self._something.set()
        self._now.set()
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.shield(stopped)
        except asyncio.CancelledError:
            await asyncio.wait([stopped], timeout=_GRACE_S)
            raise

    def raise_failure(self) -> None:
        """Raise what stopped the writer, if anything did."""
        if self._failure is not None:
            raise self._failure


def _json(value: Any) -> str:
    # At once, not in the thread: what cannot be written is the caller's error, nobody else's.
    return msgspec.json.encode(value).decode()


@asynccontextmanager
async def open_writer(
    directory: Path,
    *,
    clock: Clock,
    events: Events,
    options: LandingOptions | None = None,
) -> AsyncIterator[Writer]:
    """Open the landing in ``directory`` for its only writer; makes it if it is not there.

    On leaving, everything that was put is kept first, also if the run was cancelled.

    Raises:
        LandingInUse: If another writer has it, here or in another process.
        LandingFull: If the disk or ``max_disk`` is full; on leaving, too.
        LandingError: If it cannot be used; on leaving, too.
    """
    _make(directory)
    with (
        exclusive(directory),
        open_journal(directory, options or LandingOptions()) as journal,
        open_connection(directory) as connection,
    ):
        writer = Writer(journal, Reader(connection, directory, journal.index), clock, events)
        events.subscribers.append(writer.hear)
        try:
            yield writer
        finally:
            events.subscribers.remove(writer.hear)
            await writer.close()
        writer.raise_failure()


def _make(directory: Path) -> None:
    try:
        # Answers may be personal: nobody else's eyes.
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        hint = "choose a directory that can be written"
        raise LandingError(str(directory), f"cannot be made ({error.strerror})", hint) from error
