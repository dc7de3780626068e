"""The engine against real sockets: every call ends exactly once, whatever the server does."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from fetchcast.clock import Clock, SystemClock
from fetchcast.events import Counters, Event, Events, Notice
from fetchcast.extract.auth.credentials import FixedHeaders
from fetchcast.extract.engine import Engine, Rules, Stopped
from fetchcast.extract.pace import Pace, PaceOptions
from fetchcast.extract.retry import RetryOptions
from fetchcast.extract.rules import AnswerOptions, row_counter
from fetchcast.extract.transport import TransportOptions, open_transport
from fetchcast.records import Fate, Outcome, Request, request_key
from fetchcast.testing import FakeClock, Reply, json_reply, running_api

FAST = RetryOptions(attempts=3, base_s=0.01, max_s=0.02)


class Kept:
    """A sink that holds what it is given."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.something = asyncio.Event()

    def take(self, outcome: Outcome) -> bool:
        self.outcomes.append(outcome)
        self.something.set()
        return True

    async def room(self) -> None:
        pytest.fail("there always is room")

    def fates(self) -> dict[str, Fate]:
        assert len({o.request.key for o in self.outcomes}) == len(self.outcomes)
        return {o.request.url.rsplit("/", 1)[-1]: o.fate for o in self.outcomes}

    def reason(self, name: str) -> str:
        return next(str(o.reason) for o in self.outcomes if o.request.url.endswith("/" + name))


def requests(base: str, names: Sequence[str]) -> Iterator[Request]:
    for name in names:
        url = f"{base}/{name}"
        yield Request(key=request_key("GET", url), resource="items", url=url)


async def extract(
    base: str,
    names: Sequence[str],
    *,
    clock: Clock | None = None,
    retry: RetryOptions = FAST,
    rows: str | None = "[*]",
    has_worked: bool = False,
    limits: PaceOptions | None = None,
    said: list[str] | None = None,
    **transport: object,
) -> tuple[Kept, Stopped | None, Counters]:
    kept, counters, clock = Kept(), Counters(), clock or SystemClock()

    def hear(event: Event) -> None:
        if said is not None and isinstance(event, Notice):
            said.append(event.text)

    async with open_transport(TransportOptions(**transport)) as opened:  # type: ignore[arg-type]
        engine = Engine(
            transport=opened,
            limiter=Pace(limits or PaceOptions()),
            sink=kept,
            events=Events([counters.update, hear]),
            clock=clock,
            rules={"items": Rules(options=AnswerOptions(), count_rows=row_counter(rows))},
            retry=retry,
            credentials=FixedHeaders({"X-Secret": "s3cret"}),
            has_worked=has_worked,
        )
        stopped = await engine.run(requests(base, names))
    return kept, stopped, counters


async def test_every_kind_of_end_in_one_run() -> None:
    """One bad call costs the others nothing, and each says what happened."""
    routes = {
        "/fine": [json_reply([{"a": 1}])],
        "/empty": [json_reply([])],
        "/gone": [Reply(404, body=b"no such train")],
        "/html": [Reply(200, {"Content-Type": "text/html"}, b"<html>maintenance</html>")],
        "/object": [json_reply({"code": "TRAIN_NOT_FOUND", "errorMessage": "no train"})],
        "/cut": [Reply(200, body=b'[{"a": 1}, {"a": 2}]', cut_after=9)],
        "/flaky": [Reply(500), Reply(502), json_reply([{"a": 1}])],
        "/broken": [Reply(500, body=b"kaputt")],
        "/large": [Reply(200, body=b"[" + b"1," * 5000 + b"1]")],
    }
    async with running_api(routes) as api:
        names = [route[1:] for route in routes]
        kept, stopped, counters = await extract(api.url, names, max_body_bytes=1000)
        hits = Counter(api.hits)

    assert stopped is None
    assert kept.fates() == {
        "fine": Fate.LANDED,
        "empty": Fate.EMPTY,
        "gone": Fate.FAILED,
        "html": Fate.FAILED,
        "object": Fate.FAILED,
        "cut": Fate.FAILED,
        "flaky": Fate.LANDED,
        "broken": Fate.FAILED,
        "large": Fate.FAILED,
    }
    assert "HTML" in kept.reason("html")
    assert "no train" in kept.reason("object")
    assert "kaputt" in kept.reason("broken")
    assert "HTTP 404: 'no such train'" in kept.reason("gone")
    assert hits["/broken"] == hits["/cut"] == 3, "bounded attempts"
    assert hits["/gone"] == hits["/html"] == hits["/large"] == 1, "final answers are not repeated"
    assert counters.in_flight == 0


async def test_a_refused_call_costs_no_attempt_and_waits_as_long_as_asked() -> None:
    """Five refusals and one attempt allowed: it lands all the same, after the waits."""
    busy = Reply(429, headers={"Retry-After": "2"})
    clock = FakeClock()
    async with running_api({"/x": [busy] * 5 + [json_reply([1])]}) as api:
        kept, _, counters = await extract(
            api.url, ["x"], clock=clock, retry=RetryOptions(attempts=1)
        )
        hits = len(api.hits)
    assert kept.fates() == {"x": Fate.LANDED}
    assert hits == 6
    assert counters.refused == 5
    assert clock.monotonic() >= 10.0, "five times two seconds"


async def test_nobody_there_ends_the_run_soon_and_says_so() -> None:
    async with running_api({}) as api:
        url = api.url
    kept, stopped, _ = await extract(url, [str(n) for n in range(500)])
    assert stopped is not None
    assert not stopped.own_cap
    assert "nobody answers there" in stopped.reason
    assert set(kept.fates().values()) == {Fate.FAILED}
    assert len(kept.outcomes) < 300, "the others are left for the next run"


async def test_that_no_call_works_is_said_once() -> None:
    """The calls in flight end one by one; none of them is news."""
    said: list[str] = []
    async with running_api({"*": Reply(404, delay_s=0.05)}) as api:
        names = [str(n) for n in range(200)]
        kept, stopped, _ = await extract(api.url, names, said=said)
    assert stopped is not None
    assert [text for text in said if "no call worked" in text] == [stopped.reason]
    assert len(kept.outcomes) < 150, "the others are left for the next run"


@pytest.mark.parametrize("reply", [Reply(404), Reply(422, body=b"{}"), Reply(200, body=b"<p>")])
async def test_what_always_fails_does_not_bar_the_way_to_the_rest(reply: Reply) -> None:
    """Twenty calls that fail in every run, first in the plan, of an API that works otherwise."""
    routes = {f"/{n}": reply for n in range(20)}
    names = [str(n) for n in range(40)]
    async with running_api({**routes, "*": Reply(200, body=b"[1]")}) as api:
        one = PaceOptions(max_concurrency=1)
        _, first, _ = await extract(api.url, names, limits=one)
        kept, again, _ = await extract(api.url, names, limits=one, has_worked=True)
    assert first is not None, "at first contact it may be that nothing works"
    assert again is None
    assert Counter(kept.fates().values()) == {Fate.FAILED: 20, Fate.LANDED: 20}


async def test_an_api_that_worked_and_is_down_is_left_alone_soon() -> None:
    async with running_api({}) as api:
        url = api.url
    gone, stopped, _ = await extract(url, [str(n) for n in range(500)], has_worked=True)
    assert stopped is not None
    assert "nobody answers there" in stopped.reason
    assert len(gone.outcomes) < 300
    async with running_api({"*": Reply(500)}) as api:
        broken, stopped, _ = await extract(api.url, [*map(str, range(900))], has_worked=True)
    assert stopped is not None
    assert len(broken.outcomes) < 600


async def test_a_server_that_lets_ten_in_gets_everything_asked() -> None:
    """Refusals above ten at a time: nothing is lost, whatever the pace finds."""
    at_once = peak = 0

    async def answer(_: object) -> Reply:
        nonlocal at_once, peak
        at_once += 1
        peak = max(peak, at_once)
        try:
            if at_once > 10:
                return Reply(503, body=b"too many")
            await asyncio.sleep(0.02)
            return json_reply([{"a": 1}])
        finally:
            at_once -= 1

    names = [str(n) for n in range(300)]
    async with running_api({f"/{name}": answer for name in names}) as api:
        kept, stopped, counters = await extract(api.url, names)
    assert stopped is None
    assert set(kept.fates().values()) == {Fate.LANDED}
    assert len(kept.outcomes) == 300
    assert counters.sent == 300 + counters.refused


async def test_cancelled_it_drops_what_is_on_the_wire_and_keeps_what_had_arrived() -> None:
    slow = Reply(200, body=b"[1]", delay_s=30)
    async with running_api({"/fast": [json_reply([1])], "/slow": [slow]}) as api:
        kept = Kept()
        async with open_transport(TransportOptions()) as opened:
            engine = Engine(
                transport=opened,
                limiter=Pace(PaceOptions()),
                sink=kept,
                events=Events(),
                clock=SystemClock(),
                rules={"items": Rules()},
                retry=FAST,
                credentials=FixedHeaders({}),
            )
            run = asyncio.ensure_future(engine.run(requests(api.url, ["fast", "slow"])))
            await kept.something.wait()
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(run, 1.0)
    assert kept.fates() == {"fast": Fate.LANDED}


async def test_headers_of_the_api_are_sent_and_kept_nowhere() -> None:
    async with running_api({"/x": [json_reply([1])]}) as api:
        kept, _, _ = await extract(api.url, ["x"])
        sent = api.asked[0].headers
    assert {k.lower(): v for k, v in sent.items()}["x-secret"] == "s3cret"
    assert "s3cret" not in repr(kept.outcomes)
