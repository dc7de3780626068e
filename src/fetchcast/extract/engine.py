"""The engine: sends calls at the pace it is allowed, until each of them has ended.

One coroutine decides and starts; the transport reports back on the same loop. There is no task
and no future per call, so a million calls cost the memory of those in flight.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fetchcast.clock import Clock
from fetchcast.errors import CallError, ConnectFailed
from fetchcast.events import (
    REFUSED_HEAD_BYTES,
    Ended,
    Events,
    Notice,
    Refused,
    Retried,
    Sent,
)
from fetchcast.extract.auth.credentials import Credentials, Rejected, Signed
from fetchcast.extract.pace.headers import read_hints
from fetchcast.extract.pace.routes import Routes
from fetchcast.extract.retry import RetryOptions, delay_s
from fetchcast.extract.rules import (
    AnswerOptions,
    CountRows,
    Meaning,
    Verdict,
    in_utf8,
    is_conditional,
    judge,
    row_counter,
)
from fetchcast.extract.scheduler import Call, Scheduler
from fetchcast.extract.transport import Handle, Transport
from fetchcast.records import Answer, Fate, Follow, Outcome, Request, Sink

_IDLE_S = 1.0
_DENIED = frozenset({401, 402, 403})
_REJECTIONS = 20
"""So often one call is sent again because its token had run out; then it counts as answered."""
_BREAKER = 8
"""So many calls in a row that ended failed, before any was accepted, end the run."""
_BREAKER_WORKED = 100
"""The same for an API of which answers have landed before, unless nobody answers at all."""


class Limiter(Protocol):
    """What the engine asks before each call and tells after it; see `fetchcast.extract.pace`."""

    @property
    def lane(self) -> int:
        """With which of several keys the call leaves that `next` allows; 0 if there is one."""

    def next(self, now: float) -> float | None:
        """When one call may leave: now or earlier, later, or None: ask after the next event."""

    def sent(self, call: int, now: float) -> None:
        """A call left."""

    def accepted(self, call: int, now: float, headers: Mapping[str, str], wall: float) -> None:
        """An answer that is no refusal."""

    def refused(
        self, call: int, now: float, *, status: int | None, headers: Mapping[str, str], wall: float
    ) -> None:
        """The API said "not now"."""

    def failed(self, call: int, now: float) -> None:
        """No answer, or a broken one."""

    def denied(self, call: int, now: float, *, status: int) -> None:
        """The API said "you may not"."""

    def cancelled(self, call: int, now: float) -> None:
        """The call was dropped."""

    def stopped(self) -> str | None:
        """Why nothing more should be sent, in words, or None."""

    @property
    def stopped_by_own_cap(self) -> bool:
        """Whether that was a cap of the user's own, rather than the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the answers of one resource are judged."""

    options: AnswerOptions = field(default_factory=AnswerOptions)
    count_rows: CountRows = field(default_factory=lambda: row_counter(None))
    in_utf8: bool = True
    """Whether a body is text in the charset of its headers, which is kept in UTF-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Why calls were left unasked; a later run asks them."""

    reason: str
    """In words."""
    own_cap: bool
    """True if a quota or cap of the user's was reached, False if the calls did not work."""


class Engine:
    """Runs calls to their end. Build one per run and `await` its `run`.

    Args:
        transport: Sends; open for as long as the engine runs.
        limiter: Says when.
        sink: Where ends go.
        events: Who is told.
        clock: Time and chance.
        rules: Resource name -> how its answers are judged.
        retry: How stubborn to be.
        credentials: What is added to each call when it is sent, and kept nowhere.
        follow: Says which calls follow from the end of a call; None if none ever do.
        has_worked: Earlier runs have got answers. What failed then is asked first now, and must
            not end the run before it comes to what was never asked.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        limiter: Limiter,
        sink: Sink,
        events: Events,
        clock: Clock,
        rules: Mapping[str, Rules],
        retry: RetryOptions,
        credentials: Credentials,
        follow: Follow | None = None,
        has_worked: bool = False,
    ) -> None:
        self._transport, self._limiter, self._sink = transport, limiter, sink
        self._tell, self._clock, self._rules = events, clock, rules
        self._routes = limiter if isinstance(limiter, Routes) else None
        self._retry, self._credentials, self._follow = retry, credentials, follow
        self._flying: dict[int, tuple[Call, Handle, Signed]] = {}
        self._scheduler = Scheduler(iter(()))
        self._woken = asyncio.Event()
        self._look_at: float | None = None
        self._full = False
        self._error: BaseException | None = None
        self._failures = 0
        self._accepted = 0
        self._has_worked = has_worked
        self._broken: str | None = None
        self._now = self._wall = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn_due = False
        self._looked_at: float | None = None
        self._unsaid = 0
        credentials.watch(self._on_credentials)

    async def run(self, *requests: Iterator[Request]) -> Stopped | None:
        """Ask ``requests``; returns why some were left unasked, or None if every one ended.

        Several are asked one after the other, unless their routes have limits of their own.

        The end of one call starts the next, without this coroutine: it wakes when time must pass,
        when the sink is full, and when nothing is in flight any more. Cancelled, it drops what is
        on the wire; what had arrived has been handed to the sink.
        """
        self._scheduler = Scheduler(*requests)
        self._loop = asyncio.get_running_loop()
        try:
            while True:
                self._read_clock()
                self._start_ready()
                self._tell_sent()
                if self._full:
                    await self._sink.room()
                    self._full = False
                elif not self._flying and (self._stopped() or self._scheduler.finished()):
                    return None if self._scheduler.finished() else self._stopped()
                else:
                    await self._wait()
                if self._error is not None:
                    raise self._error
        finally:
            self._loop = None
            self._tell_sent()
            self._drop_all()

    def wake(self) -> None:
        """Ask the limiter again: something changed that no call of this engine brought about."""
        self._woken.set()

    def prove(self) -> None:
        """Calls to this API are known to work: failures speak against themselves alone."""
        self._accepted = max(1, self._accepted)

    def _stopped(self) -> Stopped | None:
        if self._broken:
            return Stopped(reason=self._broken, own_cap=False)
        reason = self._limiter.stopped()
        own_cap = self._limiter.stopped_by_own_cap
        return Stopped(reason=reason, own_cap=own_cap) if reason else None

    def _read_clock(self) -> None:
        """Once for all that is done between two awaits."""
        self._now, self._wall = self._clock.monotonic(), self._clock.now()

    def _start_ready(self) -> None:
        """Start what may start, and note when to look again (None: after the next event)."""
        now = self._now
        # With nothing in flight there is no event to wait for.
        self._look_at = None if self._flying else now + _IDLE_S
        scheduler, limiter, sign = self._scheduler, self._limiter, self._credentials.sign
        ask, routes = limiter.next, self._routes
        while not (self._full or self._broken):
            if routes is None:
                call = scheduler.peek(now)
                at = scheduler.due() if call is None else ask(now)
            else:
                call, at = scheduler.choose(now, routes.next_on, are_apart=bool(routes.apart))
            if call is None or at is None or at > now:
                self._look_at = at if at is not None else self._look_at
                break
            signed = sign(call.request, limiter.lane)
            if signed is None:  # A token is on its way; `_on_credentials` goes on from here.
                break
            self._start(scheduler.take(now), signed, now)
            self._look_at = None

    def _tell_sent(self) -> None:
        if self._unsaid:
            self._tell(Sent(at=self._wall, count=self._unsaid))
            self._unsaid = 0

    def _start(self, call: Call, signed: Signed, now: float) -> None:
        self._limiter.sent(call.id, now)
        handle = self._transport.start(
            call.request, signed.headers, lambda result: self._on_done(call, result), signed.query
        )
        self._flying[call.id] = (call, handle, signed)
        self._unsaid += 1

    def _on_credentials(self, broken: str | None) -> None:
        """A token is there, or there will never be one."""
        self._broken = self._broken or broken
        self._woken.set()

    def _on_done(self, call: Call, result: Answer | CallError) -> None:
        """Settle a call and start the next; the transport must never see an error of ours."""
        if not self._turn_due and self._loop is not None:
            # Calls end in batches; what need not be done for each is done once for all of them.
            self._turn_due, self._looked_at = True, self._look_at
            self._read_clock()
            self._loop.call_soon(self._end_turn)
        try:
            self._settle(call, result)
            self._start_ready()
        except BaseException as error:  # noqa: BLE001  `run` raises it
            self._error = error

    def _end_turn(self) -> None:
        """Say what has left, and wake `run` if it has something to do."""
        self._turn_due = False
        if self._loop is None:  # The run has ended meanwhile.
            return
        try:
            self._tell_sent()
        except BaseException as error:  # noqa: BLE001  `run` raises it
            self._error = error
        before = self._looked_at
        sooner = self._look_at is not None and (before is None or self._look_at < before)
        if sooner or self._full or self._error or not self._flying:
            self._woken.set()

    async def _wait(self) -> None:
        """Until there is something to do that the end of a call does not do by itself."""
        self._woken.clear()
        if self._look_at is None:
            await self._woken.wait()
            return
        pause = self._look_at - self._clock.monotonic()
        timer = asyncio.ensure_future(self._clock.sleep(pause))
        # Not when it is cancelled: that would wake the next wait, which cancels its own timer, and
        # so on, a whole core for as long as calls wait for their moment.
        timer.add_done_callback(lambda ended: None if ended.cancelled() else self._woken.set())
        try:
            await self._woken.wait()
        finally:
            timer.cancel()

    def _settle(self, call: Call, result: Answer | CallError) -> None:
        _, _, signed = self._flying.pop(call.id)
        outcome = self._settle_one(self._scheduler, call, result, signed)
        if outcome is not None:
            if self._follow is not None:
                followed = self._follow(outcome)
                outcome = followed.outcome
                self._scheduler.follow(followed.pages, followed.children)
            self._tell(Ended(outcome=outcome))
            if not self._sink.take(outcome):
                self._full = True

    def _settle_one(
        self, scheduler: Scheduler, call: Call, result: Answer | CallError, signed: Signed
    ) -> Outcome | None:
        """What became of one call; None if it will be sent again."""
        secrets = signed.secrets
        if isinstance(result, Answer):
            rules = self._rules[call.request.resource]
            if secrets is not None:
                result = secrets.without(result)
            if rules.in_utf8:
                result = in_utf8(result)
            conditional = is_conditional(call.request.headers)
            verdict = judge(result, rules.options, rules.count_rows, conditional=conditional)
            if verdict.meaning is Meaning.REFUSED:
                self._refuse(scheduler, call, result)
                return None
            denied = verdict.meaning is Meaning.FAIL and result.status in _DENIED
            if denied and self._rejected(scheduler, call, result, signed):
                return None
            return self._judged(scheduler, call, result, verdict)
        self._limit_error(call, result)
        meaning = Meaning.RETRY if result.retryable else Meaning.FAIL
        reason = str(result.args[-1])
        verdict = Verdict(meaning, reason if secrets is None else secrets.hide(reason))
        return self._failed(scheduler, call, None, verdict, result)

    def _rejected(self, scheduler: Scheduler, call: Call, answer: Answer, signed: Signed) -> bool:
        """Whether the call goes again, with a new token or another key; that costs no attempt."""
        if call.rejections >= _REJECTIONS:
            return False
        follows = self._credentials.rejected(signed, answer.status, call.doubts)
        if follows is Rejected.FINAL:
            return False
        call.rejections += 1
        call.doubts += follows is not Rejected.STALE
        if follows is not Rejected.OTHER_KEY:
            self._limiter.cancelled(call.id, self._now)  # It says nothing about limits.
        else:
            self._limiter.denied(call.id, self._now, status=answer.status)
        self._tell(
            Retried(
                at=self._wall,
                key=call.request.key,
                attempt=call.attempts,
                reason=f"HTTP {answer.status}: again with another token or key",
            )
        )
        scheduler.refused(call)
        return True

    def _limit_error(self, call: Call, error: CallError) -> None:
        """A connection that is refused where others are accepted is a way to say "not now"."""
        if isinstance(error, ConnectFailed) and self._accepted:
            self._limiter.refused(call.id, self._now, status=None, headers={}, wall=self._wall)
        else:
            self._limiter.failed(call.id, self._now)

    def _refuse(self, scheduler: Scheduler, call: Call, answer: Answer) -> None:
        status, headers = answer.status, answer.headers
        self._limiter.refused(call.id, self._now, status=status, headers=headers, wall=self._wall)
        head = answer.body[:REFUSED_HEAD_BYTES]
        self._tell(Refused(at=self._wall, status=status, url=call.request.url, head=head))
        scheduler.refused(call)

    def _judged(
        self, scheduler: Scheduler, call: Call, answer: Answer, verdict: Verdict
    ) -> Outcome | None:
        meaning = verdict.meaning
        if meaning is Meaning.FINE or meaning is Meaning.EMPTY:
            self._limiter.accepted(call.id, self._now, answer.headers, self._wall)
            self._accepted += 1
            self._failures = 0
            fate = Fate.LANDED if meaning is Meaning.FINE else Fate.EMPTY
            return self._outcome(call, fate, answer, None)
        if meaning is Meaning.SKIP:
            self._limiter.accepted(call.id, self._now, answer.headers, self._wall)
            return self._outcome(call, Fate.SKIPPED, None, verdict.reason)
        if meaning is Meaning.RETRY:
            self._limiter.failed(call.id, self._now)
        elif answer.status in _DENIED:
            self._limiter.denied(call.id, self._now, status=answer.status)
        else:
            self._limiter.accepted(call.id, self._now, answer.headers, self._wall)
        return self._failed(scheduler, call, answer, verdict, None)

    def _failed(
        self,
        scheduler: Scheduler,
        call: Call,
        answer: Answer | None,
        verdict: Verdict,
        error: CallError | None,
    ) -> Outcome | None:
        call.attempts += 1
        reason = verdict.reason or "failed"
        if verdict.meaning is Meaning.RETRY:
            wait_s = delay_s(
                self._retry,
                attempt=call.attempts,
                jitter=self._clock.jitter(),
                asked_s=_asked_s(answer, self._wall),
            )
            if wait_s is not None and not self._broken:
                self._tell(
                    Retried(
                        at=self._wall,
                        key=call.request.key,
                        attempt=call.attempts,
                        reason=reason,
                    )
                )
                scheduler.retry(call, self._now + wait_s)
                return None
        if not (self._accepted or self._broken or self._says_it_of_one(verdict, answer)):
            self._count_failure(reason, error)
        return self._outcome(call, Fate.FAILED, answer, reason)

    def _says_it_of_one(self, verdict: Verdict, answer: Answer | None) -> bool:
        """Whether a failure says nothing about other calls: 404 of an API that is known to work."""
        if not self._has_worked or answer is None:
            return False
        return verdict.meaning is Meaning.FAIL and answer.status not in _DENIED

    def _count_failure(self, reason: str, error: CallError | None) -> None:
        self._failures += 1
        is_nobody = isinstance(error, ConnectFailed)
        most = _BREAKER_WORKED if self._has_worked and not is_nobody else _BREAKER
        if self._failures < most:
            return
        what = "nobody answers there" if is_nobody else "no call worked"
        self._broken = (
            f"{what}: the first {self._failures} calls all failed ({reason}); "
            "the others were not asked"
        )
        self._tell(Notice(at=self._wall, text=self._broken))

    def _outcome(
        self, call: Call, fate: Fate, answer: Answer | None, reason: str | None
    ) -> Outcome:
        attempts = call.attempts + (fate is not Fate.FAILED)
        return Outcome(
            request=call.request,
            fate=fate,
            answer=answer,
            attempts=attempts,
            reason=reason,
            finished_at=self._wall,
        )

    def _drop_all(self) -> None:
        for call, handle, _ in self._flying.values():
            handle.cancel()
            self._limiter.cancelled(call.id, self._clock.monotonic())
        self._flying.clear()


def _asked_s(answer: Answer | None, wall: float) -> float | None:
    """How long ``Retry-After`` on a failed answer asks to wait, in whatever form it does."""
    return None if answer is None else read_hints(answer.headers, wall).retry_after_s
