"""A process that lands numbered answers until it is killed, and says what is on the disk.

    python landing_child.py DIRECTORY CALLS SEED MODE

Each line of its output, ``kept N``, promises: the first N calls that were missing at the start are
on the disk. MODE ``tidy`` seals and erases a call that no one counts, again and again.
"""

from __future__ import annotations

import asyncio
import random
import sys
from hashlib import blake2b
from pathlib import Path

from fetchcast.clock import SystemClock
from fetchcast.events import Committed, Event, Events
from fetchcast.landing.retention import erase
from fetchcast.landing.sealing import seal
from fetchcast.landing.writer import Writer, open_writer
from fetchcast.records import Answer, Fate, Outcome, Request, request_key

EXTRA = "https://api.example/extra"


def body(number: int) -> bytes:
    return blake2b(number.to_bytes(8, "big")).digest() * (1 + number % 50)


def outcome(url: str, content: bytes) -> Outcome:
    request = Request(key=request_key("GET", url), resource="numbers", url=url)
    answer = Answer(status=200, headers={"etag": url}, body=content, url=url, elapsed_s=0.0)
    return Outcome(
        request=request, fate=Fate.LANDED, answer=answer, attempts=1, reason=None, finished_at=1e9
    )


def url(number: int) -> str:
    return f"https://api.example/{number}"


def key(number: int) -> str:
    return request_key("GET", url(number))


async def tidy(writer: Writer) -> None:
    await writer.put(outcome(EXTRA, b"extra"))
    await writer.errand(lambda journal: seal(journal, journal.last_seq))
    await writer.errand(lambda journal: erase(journal, keys=[request_key("GET", EXTRA)]))


async def land(directory: Path, calls: int, chance: random.Random, mode: str) -> None:
    counted = 0

    def hear(event: Event) -> None:
        nonlocal counted
        if isinstance(event, Committed):
            counted += event.count
            if mode == "plain":
                print("kept", counted, flush=True)

    async with open_writer(directory, clock=SystemClock(), events=Events([hear])) as writer:
        there = writer.fates([key(number) for number in range(calls)])
        missing = [number for number in range(calls) if key(number) not in there]
        print("missing", len(missing), flush=True)
        for done, number in enumerate(missing, 1):
            await writer.put(outcome(url(number), body(number)))
            if done % 10 == 0:
                await asyncio.sleep(0.001)  # So that a kill may meet any of many small batches.
            if chance.random() < 0.005:
                await writer.flush()
                print("kept", done, flush=True)
                if mode == "tidy":
                    await tidy(writer)
    print("end", flush=True)


if __name__ == "__main__":
    where, count, seed, how = sys.argv[1:]
    asyncio.run(land(Path(where), int(count), random.Random(int(seed)), how))
