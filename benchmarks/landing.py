"""What does it cost to keep an answer, and to find out which are kept?

    .venv/bin/python benchmarks/landing.py [--calls 1000000]

floor    write + fsync of the same bodies, as they are and compressed, per batch of 500
landing  `Writer.put` to commit: entries, compression, proof, sync; CPU of the whole process, less
         what making the outcomes costs
resume   `Reader.fates` over all keys in windows of 500, the building of its index included
replay   `Reader.answers` over all of them
memory   growth of the process from 10,000 calls to the end

Every part runs in a process of its own. Input: bodies of about 3 KB (27 stops of a train), made
from seed 7; compression is flattered by their likeness.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import zstandard

from fetchcast.clock import SystemClock
from fetchcast.events import Events
from fetchcast.landing.reader import open_reader
from fetchcast.landing.writer import open_writer
from fetchcast.records import Answer, Fate, Outcome, Request, request_key

BATCH = 500
HEADERS = {
    "content-type": "application/json;charset=UTF-8",
    "date": "Wed, 23 Mar 2022 10:00:00 GMT",
    "etag": '"0a1b2c3d4e5f"',
    "server": "nginx",
    "vary": "accept-encoding",
}


def bodies(count: int = 1000) -> list[bytes]:
    chance = random.Random(7)

    def stop() -> dict[str, object]:
        moment = f"2022-03-{chance.randrange(1, 29):02}T{chance.randrange(24):02}:13:00.000Z"
        return {
            "stationShortCode": chance.choice(["HKI", "PSL", "TPE", "OL", "KOK", "SK"]),
            "scheduledTime": moment,
            "differenceInMinutes": chance.randrange(-3, 40),
        }

    return [
        json.dumps([{"trainNumber": 27, "timeTableRows": [stop() for _ in range(27)]}]).encode()
        for _ in range(count)
    ]


def outcomes(calls: int, some: list[bytes]) -> Iterator[Outcome]:
    for number in range(calls):
        url = f"https://rata.example/api/v1/trains/{number}/27"
        params = {"date": number, "train": 27}
        request = Request(key=request_key("GET", url), resource="trains", url=url, params=params)
        body = some[number % len(some)]
        answer = Answer(status=200, headers=HEADERS, body=body, url=url, elapsed_s=0.1)
        yield Outcome(
            request=request,
            fate=Fate.LANDED,
            answer=answer,
            attempts=1,
            reason=None,
            finished_at=1_648_000_000.0 + number,
        )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def tell(**figures: float) -> None:
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


def floor(calls: int, directory: Path, *, squeeze: bool) -> None:
    some, zstd = bodies(), zstandard.ZstdCompressor(level=1)
    handle = os.open(directory / "floor", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    cpu, wall = time.process_time(), time.perf_counter()
    for start in range(0, calls, BATCH):
        batch = b"".join(some[n % len(some)] for n in range(start, min(start + BATCH, calls)))
        os.write(handle, zstd.compress(batch) if squeeze else batch)
        os.fsync(handle)
    used, took = time.process_time() - cpu, time.perf_counter() - wall
    os.close(handle)
    tell(cpu_us=used / calls * 1e6, wall_us=took / calls * 1e6)


def making(calls: int, directory: Path) -> None:
    del directory
    some = bodies()

    async def main() -> None:
        cpu = time.process_time()
        for outcome in outcomes(calls, some):
            await asyncio.sleep(0) if outcome is None else None
        tell(cpu_us=(time.process_time() - cpu) / calls * 1e6)

    asyncio.run(main())


def size_bytes(directory: Path) -> int:
    return sum(part.stat().st_size for part in directory.glob("landing.sqlite*"))


def landing(calls: int, directory: Path) -> None:
    some = bodies()

    async def main() -> None:
        early = 0.0
        async with open_writer(directory, clock=SystemClock(), events=Events()) as writer:
            cpu, wall = time.process_time(), time.perf_counter()
            for number, outcome in enumerate(outcomes(calls, some)):
                await writer.put(outcome)
                if number == 10_000:
                    early = peak_mb()
            await writer.flush()
            used, took = time.process_time() - cpu, time.perf_counter() - wall
        tell(
            cpu_us=used / calls * 1e6,
            wall_us=took / calls * 1e6,
            bytes_a_call=size_bytes(directory) / calls,
            mb_at_10_000=early,
            mb_at_end=peak_mb(),
        )

    asyncio.run(main())


def resume(calls: int, directory: Path) -> None:
    keys = [
        request_key("GET", f"https://rata.example/api/v1/trains/{number}/27")
        for number in range(calls)
    ]
    cpu, wall = time.process_time(), time.perf_counter()
    with open_reader(directory) as reader:
        found = sum(
            len(reader.fates(keys[start : start + BATCH])) for start in range(0, calls, BATCH)
        )
    used, took = time.process_time() - cpu, time.perf_counter() - wall
    assert found == calls, f"{found} of {calls} keys found"
    tell(cpu_s=used, wall_s=took)


def replay(calls: int, directory: Path) -> None:
    cpu, wall = time.process_time(), time.perf_counter()
    with open_reader(directory) as reader:
        read = sum(1 for _ in reader.answers())
    used, took = time.process_time() - cpu, time.perf_counter() - wall
    assert read == calls, f"{read} of {calls} answers read"
    tell(cpu_us=used / calls * 1e6, wall_us=took / calls * 1e6, peak_mb=peak_mb())


PARTS = {
    "floor-plain": lambda calls, directory: floor(calls, directory, squeeze=False),
    "floor-zstd": lambda calls, directory: floor(calls, directory, squeeze=True),
    "making": making,
    "landing": landing,
    "resume": resume,
    "replay": replay,
}


def measured(part: str, calls: int, directory: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--part", part, "--calls", str(calls)]
    done = subprocess.run(
        [*command, "--directory", str(directory)], check=True, capture_output=True, text=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def report(calls: int) -> str:
    directory = Path(tempfile.mkdtemp(prefix="fetchcast-landing-"))
    try:
        found = {part: measured(part, calls, directory) for part in PARTS}
    finally:
        shutil.rmtree(directory)
    cost = found["landing"]["cpu_us"] - found["making"]["cpu_us"]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    busy = f"load average {os.getloadavg()[0]:.1f} at the end"
    lines = [
        f"# Landing: {calls:,} calls with bodies of {sum(map(len, bodies())) / 1000:,.0f} bytes",
        "",
        f"{machine}, {busy}. Each part in a process of its own.",
        "",
    ]
    for part, figures in found.items():
        said = ", ".join(f"{name} {value:,}" for name, value in figures.items())
        lines.append(f"- {part}: {said}")
    ratio = cost / found["floor-zstd"]["cpu_us"]
    cpu_s, wall_s = found["resume"]["cpu_s"], found["resume"]["wall_s"]
    first, last = found["landing"]["mb_at_10_000"], found["landing"]["mb_at_end"]
    lines += [
        "",
        "| what | is | goal |",
        "|---|---|---|",
        f"| landing beyond making the outcomes, us CPU a call | {cost:.1f} | <= 12 |",
        f"| ... times compress, write and sync of the same bodies | {ratio:.1f} | |",
        f"| resume, s ({cpu_s:.2f} of CPU) | {wall_s:.2f} | <= 1 for 1,000,000 |",
        f"| peak MB at 10,000 calls and at the end | {first:.0f}, {last:.0f} | flat |",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--part", choices=PARTS)
    parser.add_argument("--directory", type=Path)
    options = parser.parse_args()
    if options.part:
        PARTS[options.part](options.calls, options.directory)
    else:
        text = report(options.calls)
        (Path(__file__).parent / "results" / "landing.md").write_text(text)
        print(text)
