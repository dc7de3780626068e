"""What the other ways to make many calls cost: the rows beside ours in `engine.py`.

    .venv/bin/python benchmarks/engine_peers.py NAME URL CALLS WIDTH

requests       a `Session` and a loop
one by one     `aiohttp`, each awaited before the next
dlt            `rest_api`, at its best settings: children of a parent resource, parallelized, as
               many workers as calls at once, a session with as many connections; extraction alone
Scrapy         at its best settings: uvloop, no robots, cookies, telnet, referer or log, no
               duplicate filter; answers are handed to a callback that reads their body
wrk, h2load    the floor: C programs that make requests and look at nothing

Prints the CPU of one call in microseconds (imports and the first call left out where the program
is Python) and the seconds of the whole run. None of the others judges answers or keeps a pace.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

NAMES = ("requests", "one by one", "dlt", "Scrapy", "floor")


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def addresses(url: str, count: int) -> list[str]:
    return [f"{url}?{number}" for number in range(count)]


def with_requests(url: str, count: int, width: int) -> None:
    import requests

    del width
    with requests.Session() as session:
        session.verify = session.trust_env = False
        for address in addresses(url, count):
            assert session.get(address, timeout=60).content


def one_by_one(url: str, count: int, width: int) -> None:
    import aiohttp

    del width

    async def run() -> None:
        connector = aiohttp.TCPConnector(ssl=False)
        async with aiohttp.ClientSession(connector=connector) as session:
            for address in addresses(url, count):
                async with session.get(address) as answer:
                    assert await answer.read()

    asyncio.run(run())


def with_dlt(url: str, count: int, width: int) -> None:
    os.environ |= {
        "EXTRACT__WORKERS": str(width),
        "EXTRACT__MAX_PARALLEL_ITEMS": str(4 * width),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }
    import dlt
    import requests
    from dlt.sources.rest_api import rest_api_source
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    session.verify = session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=width))

    @dlt.resource
    def numbers() -> Iterator[list[dict[str, int]]]:
        yield [{"n": number} for number in range(count)]

    folder, _, name = url.rpartition("/")
    child = {
        "name": "answers",
        "endpoint": {
            "path": name,
            "params": {"n": "{resources.numbers.n}"},
            "paginator": "single_page",
        },
        "parallelized": True,
    }
    source = rest_api_source(
        {"client": {"base_url": folder + "/", "session": session}, "resources": [numbers(), child]}
    )
    found = sum(1 for _ in source.with_resources("answers"))
    assert found >= (count if name else 0), found


def with_scrapy(url: str, count: int, width: int) -> None:
    from scrapy import Request, Spider
    from scrapy.crawler import AsyncCrawlerProcess

    class Calls(Spider):
        name = "calls"
        seen = 0

        async def start(self) -> Any:
            for address in addresses(url, count):
                yield Request(address, dont_filter=True)

        def parse(self, response: Any) -> None:
            assert response.body
            Calls.seen += 1

    process = AsyncCrawlerProcess(
        {
            "ASYNCIO_EVENT_LOOP": "uvloop.Loop",
            "CONCURRENT_REQUESTS": width,
            "CONCURRENT_REQUESTS_PER_DOMAIN": width,
            "DOWNLOAD_DELAY": 0,
            "COOKIES_ENABLED": False,
            "REFERER_ENABLED": False,
            "ROBOTSTXT_OBEY": False,
            "TELNETCONSOLE_ENABLED": False,
            "LOG_ENABLED": False,
        }
    )
    process.crawl(Calls)
    process.start()
    assert Calls.seen == count, Calls.seen


def floor(url: str, count: int, width: int) -> dict[str, float] | None:
    """With wrk, or with h2load where ``url`` begins with ``h2:``; None if it is not installed."""
    h2 = url.startswith("h2:")
    tool = shutil.which("h2load" if h2 else "wrk")
    if tool is None:
        return None
    url = url.removeprefix("h2:")
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    head = ["-H", "Accept-Encoding: gzip"]
    call = (
        [tool, "-n", str(count), "-c1", f"-m{width}", *head, url]
        if h2
        else [tool, "-t1", f"-c{width}", "-d2", *head, url]
    )
    text = subprocess.run(call, check=True, capture_output=True, text=True).stdout
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - begun
    found = re.search(r"(\d+) succeeded|(\d+) requests in", text)
    assert found is not None, text
    made = int(found[1] or found[2])
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_us": used / made * 1e6, "wall_s": wall * count / made}


CLIENTS: dict[str, Callable[[str, int, int], None]] = {
    "requests": with_requests,
    "one by one": one_by_one,
    "dlt": with_dlt,
    "Scrapy": with_scrapy,
}


def measured(name: str, url: str, count: int, width: int) -> None:
    if name == "floor":
        print(json.dumps(floor(url, count, width)))
        return
    import warnings

    warnings.simplefilter("ignore")
    if name != "Scrapy":  # Its reactor runs once a process.
        CLIENTS[name](url, 2, 2)
    else:
        import scrapy.crawler  # noqa: F401
    before, begun = cpu_s(), time.perf_counter()
    CLIENTS[name](url, count, width)
    wall = time.perf_counter() - begun
    print(json.dumps({"cpu_us": (cpu_s() - before) / count * 1e6, "wall_s": wall}))


if __name__ == "__main__":
    measured(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
