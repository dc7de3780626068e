"""The loopback server of limits: exact books over real sockets, and the engine against it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from fetchcast.clock import SystemClock
from fetchcast.events import Counters, Events
from fetchcast.extract.auth.credentials import FixedHeaders
from fetchcast.extract.engine import Engine, Rules
from fetchcast.extract.pace import Kind, Pace, PaceOptions
from fetchcast.extract.retry import RetryOptions
from fetchcast.extract.transport import TransportOptions, open_transport
from fetchcast.records import Outcome, Request, request_key
from fetchcast.testing.limits import instant, running_limits
from fetchcast.testing.simulation.gates import Concurrency, FixedWindow, TokenBucket
from fetchcast.testing.simulation.world import Outage, Server


async def _get(url: str, count: int) -> list[tuple[int, dict[str, str]]]:
    """``count`` calls at once over connections of their own: status and headers."""
    host, port = url.removeprefix("http://").split(":")

    async def one() -> tuple[int, dict[str, str]]:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /x HTTP/1.1\r\nhost: x\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        writer.close()
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        return int(head[0].split()[1]), dict(pairs)

    return await asyncio.gather(*(one() for _ in range(count)))


async def test_it_takes_so_many_at_once_and_books_them() -> None:
    """Ten calls at once to a server that takes four."""
    server = Server(network=instant(0.2), gates=[Concurrency(4)])

    async with running_limits(server) as api:
        answers = await _get(api.url, 10)

    assert sorted(status for status, _ in answers) == [200] * 4 + [503] * 6
    assert (api.books.accepted, api.books.refused, api.books.most_inside) == (4, 6, 4)


async def test_it_says_what_it_allows() -> None:
    """A window that tells in headers, with a status of the test's choice."""
    server = Server(network=instant(0.0), gates=[FixedWindow(2, 60.0, hints="x-delta")])

    async with running_limits(server, refusal_status=429) as api:
        answers = [(await _get(api.url, 1))[0] for _ in range(3)]

    assert [status for status, _ in answers] == [200, 200, 429]
    assert [headers["x-ratelimit-remaining"] for _, headers in answers] == ["1", "0", "0"]
    assert int(answers[2][1]["retry-after"]) == 60


class _Kept:
    def __init__(self) -> None:
        self.landed: list[str] = []

    def take(self, outcome: Outcome) -> bool:
        assert outcome.fate == "landed", outcome.reason
        self.landed.append(outcome.request.key)
        return True

    async def room(self) -> None:
        """There always is."""


def _requests(url: str, count: int) -> Iterator[Request]:
    for number in range(count):
        address = f"{url}/{number}"
        yield Request(key=request_key("GET", address), resource="r", url=address)


async def _extract(url: str, count: int) -> tuple[_Kept, Pace, Counters]:
    kept, pace, counters = _Kept(), Pace(PaceOptions()), Counters()
    async with open_transport(TransportOptions(max_connections=256)) as transport:
        engine = Engine(
            transport=transport,
            limiter=pace,
            sink=kept,
            events=Events([counters.update]),
            clock=SystemClock(),
            rules={"r": Rules()},
            retry=RetryOptions(),
            credentials=FixedHeaders({}),
        )
        assert await engine.run(_requests(url, count)) is None
    return kept, pace, counters


async def test_every_call_lands_although_only_five_fit() -> None:
    """The whole engine against a limit nobody told it: none lost, none twice, few refused."""
    server = Server(network=instant(0.04), gates=[Concurrency(5)])

    async with running_limits(server) as api:
        kept, pace, counters = await _extract(api.url, 250)

    assert len(set(kept.landed)) == len(kept.landed) == api.books.accepted == 250
    assert api.books.most_inside <= 5
    assert counters.refused == api.books.refused <= 25
    assert pace.explanation(asyncio.get_running_loop().time()).kind is Kind.CONCURRENCY


async def test_a_bucket_that_asks_to_wait_is_waited_for() -> None:
    """Whole seconds of Retry-After, over real sockets."""
    server = Server(network=instant(0.01), gates=[TokenBucket(200, 60, retry_after=True)])

    async with running_limits(server, refusal_status=429) as api:
        kept, _, counters = await _extract(api.url, 300)

    assert len(set(kept.landed)) == 300
    assert counters.refused == api.books.refused


async def test_an_outage_in_mid_run_loses_nothing() -> None:
    """One second of 503 for everybody."""
    server = Server(
        network=instant(0.02), gates=[Concurrency(4)], outages=[Outage(begin=0.3, end=1.3)]
    )

    async with running_limits(server) as api:
        kept, _, _ = await _extract(api.url, 200)

    assert len(set(kept.landed)) == 200
    assert sum(api.books.refused_per_bin[bin_] for bin_ in range(5, 13)) <= 15
