"""benchmarks/transport.py: what does one call cost, and how close is a burst to the ideal?

CPU: user and system time of the client's whole process per call, without its imports: connects,
headers, unpacking, handing over. A static server (nginx) has one core, the client the other.
Burst: wall time of 366 calls to a server that takes 100 ms for each, all at once, cold client.
Memory: resident set of a client along 1,000,000 calls.

Each row is a fresh process; rows of a table are run in turns, so that a noisy neighbour meets
all of them. Ratios are within one run. `--help` says what can be left out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import json
import os
import platform
import resource
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_ROWS = {"3.6 KB": 17, "60 KB": 283}
_BURST, _LATENCY_S = 366, 0.1
_GOALS = {
    "pool": 0.30,
    "gather": 0.16,
    "plain": 1.3,
    "h2": 1.5,
}


# The input


def body(rows: int) -> bytes:
    """A day of a train as JSON; the same bytes in every run."""
    stops = [
        {
            "stationShortCode": "HKI",
            "stationUICCode": 1 + row % 17,
            "countryCode": "FI",
            "type": "ARRIVAL" if row % 2 else "DEPARTURE",
            "trainStopping": True,
            "commercialTrack": str(row % 9),
            "cancelled": False,
            "scheduledTime": f"2022-03-{1 + row % 28:02}T{row % 24:02}:{row * 7 % 60:02}:00.000Z",
            "differenceInMinutes": row % 11,
        }
        for row in range(rows)
    ]
    train = {"trainNumber": 27, "departureDate": "2022-03-01", "timeTableRows": stops}
    return json.dumps([train]).encode()


# The servers


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr error; worker_rlimit_nofile 8192;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; gzip_static always; default_type application/json;
  keepalive_requests 100000000; keepalive_timeout 600; open_file_cache max=10;
  open_file_cache_valid 600; http2_max_concurrent_streams 512;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder}; client_header_buffer_size 4k;
  upstream slow {{ server 127.0.0.1:{slow}; keepalive 512; }}
  server {{ listen 127.0.0.1:{plain} backlog=1024; root {folder}; location /slow {{ {proxy} }} }}
  server {{ listen 127.0.0.1:{tls} ssl backlog=1024; {certificate} root {folder}; }}
  server {{ listen 127.0.0.1:{h2} ssl http2 backlog=1024; {certificate} root {folder};
            location /slow {{ {proxy} }} }}
}}
"""
_PROXY = 'proxy_pass http://slow; proxy_http_version 1.1; proxy_set_header Connection "";'


@contextlib.contextmanager
def servers() -> Iterator[dict[str, str]]:
    """Start nginx and the slow server on the last core; yields the addresses of what they serve."""
    from fetchcast.testing.certificates import GOOD, KEY

    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for size, rows in _ROWS.items():
            (folder / f"{size.partition(' ')[0]}.json.gz").write_bytes(gzip.compress(body(rows)))
        (folder / "chain.pem").write_text(GOOD)
        (folder / "key.pem").write_text(KEY)
        ports = {kind: free_port() for kind in ("plain", "tls", "h2", "slow")}
        certificate = f"ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem;"
        config = folder / "nginx.conf"
        config.write_text(
            _NGINX.format(folder=folder, certificate=certificate, proxy=_PROXY, **ports)
        )
        started = [
            subprocess.Popen([shutil.which("nginx") or "nginx", "-c", config, "-p", folder]),
            subprocess.Popen([sys.executable, __file__, "--slow-server", str(ports["slow"])]),
        ]
        try:
            for process in started:
                if hasattr(os, "sched_setaffinity"):
                    os.sched_setaffinity(process.pid, {cores[-1]})
            for port in ports.values():
                _wait_for(port)
            yield {
                "plain": f"http://127.0.0.1:{ports['plain']}",
                "tls": f"https://127.0.0.1:{ports['tls']}",
                "h2": f"https://127.0.0.1:{ports['h2']}",
                "slow": f"http://127.0.0.1:{ports['slow']}",
            }
        finally:
            for process in started:
                process.terminate()
                process.wait(10)


def _wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on {port}")


class _Slow(asyncio.Protocol):
    """Answers each request after 100 ms, and does nothing else, so as to be no bottleneck."""

    _answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(data.count(b"\r\n\r\n")):
            loop.call_later(_LATENCY_S, self.transport.write, self._answer)


async def slow_server(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Slow, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


# The clients: each makes `count` calls, at most `width` at a time


def _request(url: str) -> Any:
    from fetchcast.records import Request

    return Request(key="0" * 32, resource="bench", url=url)


def _options(prefer: str, width: int) -> Any:
    from fetchcast.extract.transport import TransportOptions

    return TransportOptions(prefer=prefer, max_connections=width, verify=False)


async def ours_callback(url: str, count: int, width: int, prefer: str = "curl") -> None:
    """The way the engine uses it: the end of one call starts the next."""
    from fetchcast.extract.transport import open_transport

    ended, left, failed = asyncio.Event(), count, 0
    request = _request(url)

    async with open_transport(_options(prefer, width)) as transport:

        def done(result: Any) -> None:
            nonlocal left, failed
            left -= 1
            failed += not hasattr(result, "body") or not result.body
            if left >= width:
                transport.start(request, {}, done)
            elif not left:
                ended.set()

        for _ in range(min(width, count)):
            transport.start(request, {}, done)
        await ended.wait()
    assert not failed, failed


async def ours_await(url: str, count: int, width: int, prefer: str = "curl") -> None:
    """Workers that await one call after the other."""
    from fetchcast.extract.transport import fetch, open_transport

    request = _request(url)
    async with open_transport(_options(prefer, width)) as transport:

        async def worker(calls: int) -> None:
            for _ in range(calls):
                answer = await fetch(transport, request)
                assert answer.body

        await _pool(worker, count, width)


async def _pool(worker: Callable[[int], Awaitable[None]], count: int, width: int) -> None:
    each, more = divmod(count, width)
    await asyncio.gather(*(worker(each + (number < more)) for number in range(width)))


def _session(width: int) -> Any:
    import aiohttp

    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=width, ssl=False))


async def aiohttp_pool(url: str, count: int, width: int) -> None:
    async with _session(width) as session:

        async def worker(calls: int) -> None:
            for _ in range(calls):
                async with session.get(url) as response:
                    assert await response.read()

        await _pool(worker, count, width)


async def aiohttp_gather(url: str, count: int, width: int) -> None:
    async with _session(width) as session:

        async def one() -> bytes:
            async with session.get(url) as response:
                return await response.read()

        assert all(await asyncio.gather(*(one() for _ in range(count))))


async def ours_on_aiohttp(url: str, count: int, width: int) -> None:
    await ours_callback(url, count, width, prefer="aiohttp")


async def bare_sockets(url: str, count: int, width: int) -> None:
    """The floor of a burst: no client at all, one request on each of `count` sockets."""
    assert count == width
    host, port = url.split("/")[2].split(":")
    ask = f"GET /{url.split('/', 3)[3]} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    with selectors.DefaultSelector() as ready, contextlib.ExitStack() as opened:
        for _ in range(count):
            one = opened.enter_context(socket.socket())
            one.settimeout(0)
            one.connect_ex((host, int(port)))
            ready.register(one, selectors.EVENT_WRITE)
        while count:
            for key, events in ready.select():
                one = key.fileobj
                if events & selectors.EVENT_WRITE:
                    one.send(ask)
                    ready.modify(one, selectors.EVENT_READ)
                elif one.recv(65536):
                    ready.unregister(one)
                    count -= 1


_CLIENTS: dict[str, tuple[Callable[[str, int, int], Awaitable[None]], bool]] = {
    # name -> (client, on uvloop)
    "fetchcast, callbacks": (ours_callback, False),
    "fetchcast, awaited": (ours_await, False),
    "fetchcast, awaited, uvloop": (ours_await, True),
    "fetchcast on aiohttp": (ours_on_aiohttp, False),
    "aiohttp pool, uvloop": (aiohttp_pool, True),
    "aiohttp gather": (aiohttp_gather, False),
}
_FLOOR = "bare sockets"
_BURST_ONLY = {_FLOOR: (bare_sockets, False)}


def one(name: str, url: str, count: int, width: int) -> None:
    """Run one client in this process and print what it used."""
    client, fast = _CLIENTS[name]
    if fast:
        import uvloop

        run = uvloop.run
    else:
        run = asyncio.run
    # Imports and the first connection's lazy work are not what is asked for.
    run(client(url, 2, 2))
    before, began = cpu_s(), time.perf_counter()
    run(client(url, count, width))
    wall, cpu = time.perf_counter() - began, cpu_s() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu_us": cpu / count * 1e6, "wall_s": wall, "peak_mb": peak}))


def burst(name: str, url: str) -> None:
    """366 calls at once, with a client that has never connected; the loop is running."""
    client, fast = (_CLIENTS | _BURST_ONLY)[name]

    async def timed() -> float:
        await client(url, 2, 2)  # Imports; its connections end with it.
        began = time.perf_counter()
        await client(url, _BURST, _BURST)
        return time.perf_counter() - began

    if fast:
        import uvloop

        wall = uvloop.run(timed())
    else:
        wall = asyncio.run(timed())
    print(json.dumps({"wall_s": wall, "cpu_ms": cpu_s() * 1000}))


def memory(url: str, count: int) -> None:
    """Resident set along `count` calls."""
    from fetchcast.extract.transport import open_transport

    marks = [n for n in (1_000, 10_000, 100_000, 250_000, 500_000, 1_000_000) if n <= count]
    seen: dict[int, float] = {}

    async def run() -> None:
        ended, made = asyncio.Event(), 0
        async with open_transport(_options("curl", 50)) as transport:

            def done(_: Any) -> None:
                nonlocal made
                made += 1
                if made in marks:
                    seen[made] = resident_mb()
                if made + 50 <= count:
                    start()
                elif made == count:
                    ended.set()

            def start() -> None:
                # A new value each time, as in life: nothing may be kept of it.
                transport.start(_request(f"{url}?n={made}"), {}, done)

            for _ in range(50):
                start()
            await ended.wait()

    asyncio.run(run())
    print(json.dumps(seen))


def resident_mb() -> float:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# The tables


def fresh(*arguments: str, script: str = __file__) -> dict[str, Any]:
    """``script``, by default this one, in a process of its own, on the first core."""
    first = sorted(os.sched_getaffinity(0))[:1] if hasattr(os, "sched_getaffinity") else []
    process = subprocess.run(
        [sys.executable, script, *arguments],
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=(lambda: os.sched_setaffinity(0, first)) if first else None,
    )
    return json.loads(process.stdout.splitlines()[-1])


def _floor(url: str, width: int, seconds: int = 3) -> float | None:
    """CPU microseconds a call of wrk (plain) or h2load, where there is one."""
    tool = shutil.which("wrk")
    if tool is None:
        return None
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = subprocess.run(
        [tool, "-t1", f"-c{width}", f"-d{seconds}", "-H", "Accept-Encoding: gzip", url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used / int(text.partition(" requests in")[0].split()[-1]) * 1e6


def cpu_table(base: dict[str, str], args: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for kind, size in (
        ("plain", "3.6 KB"),
        ("plain", "60 KB"),
        ("tls", "3.6 KB"),
        ("h2", "3.6 KB"),
    ):
        url = f"{base[kind]}/{size.partition(' ')[0]}.json"
        got: dict[str, list[dict[str, Any]]] = {name: [] for name in _CLIENTS}
        for _ in range(args.rounds):
            for name, results in got.items():
                results.append(fresh("--one", name, url, str(args.calls), str(args.width)))
        middle = {
            name: statistics.median(one["cpu_us"] for one in results)
            for name, results in got.items()
        }
        floor = _floor(url, args.width) if kind == "plain" else None
        for name, results in got.items():
            costs = [one["cpu_us"] for one in results]
            rows.append(
                {
                    "what": f"{kind}, {size}",
                    "client": name,
                    "cpu_us": round(middle[name], 1),
                    "range": [round(min(costs), 1), round(max(costs), 1)],
                    "to_pool": round(middle[name] / middle["aiohttp pool, uvloop"], 2),
                    "to_gather": round(middle[name] / middle["aiohttp gather"], 2),
                    "to_floor": round(middle[name] / floor, 1) if floor else None,
                    "peak_mb": round(max(one["peak_mb"] for one in results), 1),
                }
            )
            print(rows[-1], file=sys.stderr)
    return rows


def burst_table(base: dict[str, str], args: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    names = ("fetchcast, callbacks", "fetchcast on aiohttp", "aiohttp gather")
    for kind, url in (("plain", base["slow"] + "/"), ("h2", base["h2"] + "/slow")):
        floor = (_FLOOR,) if kind == "plain" else ()
        got: dict[str, list[dict[str, Any]]] = {name: [] for name in (*floor, *names)}
        for _ in range(args.rounds * 2):
            for name, results in got.items():
                results.append(fresh("--burst", name, url))
        middle = {
            name: statistics.median(one["wall_s"] for one in results)
            for name, results in got.items()
        }
        for name, results in got.items():
            walls = [one["wall_s"] for one in results]
            rows.append(
                {
                    "what": kind,
                    "client": name,
                    "wall_s": round(middle[name], 3),
                    "range": [round(min(walls), 3), round(max(walls), 3)],
                    "to_ideal": round(middle[name] / _LATENCY_S, 2),
                    "to_floor": round(middle[name] / middle[_FLOOR], 2) if floor else None,
                }
            )
            print(rows[-1], file=sys.stderr)
    return rows


def markdown(result: dict[str, Any]) -> str:
    lines = [
        "# What a call costs",
        "",
        (
            f"{result['machine']}; {result['versions']}; {result['calls']} calls a row, "
            f"{result['width']} at a time, {result['rounds']} rounds, median [lowest-highest]; "
            f"load average {result['load']}."
        ),
        "`benchmarks/transport.py` made this. CPU is user and system time of the client's process.",
        "",
        (
            "| server | client | CPU us a call | x aiohttp pool (uvloop) | x aiohttp gather "
            "| x wrk | peak MB |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["cpu"]:
        low, high = row["range"]
        lines.append(
            f"| {row['what']} | {row['client']} | {row['cpu_us']} [{low}-{high}] "
            f"| {row['to_pool']} | {row['to_gather']} | {row['to_floor'] or '-'} "
            f"| {row['peak_mb']} |"
        )
    lines += [
        "",
        (
            f"Goals, 3.6 KB, plain, awaited: <= {_GOALS['pool']} x pool, <= {_GOALS['gather']} x "
            f"gather. wrk, the floor, was {'there' if shutil.which('wrk') else 'not installed'}."
        ),
        "",
        f"## {_BURST} calls to a server that takes {_LATENCY_S * 1000:.0f} ms, all at once, cold",
        "",
        (
            f"The ideal is {_LATENCY_S} s. Goals: <= {_GOALS['plain']} x plain, "
            f"<= {_GOALS['h2']} x over TLS with HTTP/2. "
            "Bare sockets show what server and machine allow."
        ),
        "",
        "| server | client | wall s | x ideal | x bare sockets |",
        "|---|---|---|---|---|",
    ]
    for row in result["burst"]:
        low, high = row["range"]
        lines.append(
            f"| {row['what']} | {row['client']} | {row['wall_s']} [{low}-{high}] "
            f"| {row['to_ideal']} | {row['to_floor'] or '-'} |"
        )
    if result["memory"]:
        cells = ", ".join(f"{int(n):,}: {mb:.1f}" for n, mb in result["memory"].items())
        lines += ["", "## Resident MB after so many calls", "", cells]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=10_000, help="calls a row (default 10000)")
    parser.add_argument("--width", type=int, default=50, help="calls at a time (default 50)")
    parser.add_argument("--rounds", type=int, default=3, help="processes a row (default 3)")
    parser.add_argument("--memory-calls", type=int, default=1_000_000, help="0 leaves it out")
    parser.add_argument("--out", type=Path, default=_HERE / "results" / "transport")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--burst", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--slow-server", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.one[0], args.one[1], int(args.one[2]), int(args.one[3]))
    elif args.burst:
        burst(*args.burst)
    elif args.memory:
        memory(args.memory[0], int(args.memory[1]))
    elif args.slow_server:
        import uvloop

        uvloop.run(slow_server(args.slow_server))
    else:
        measure(args)


def measure(args: argparse.Namespace) -> None:
    if shutil.which("nginx") is None:
        raise SystemExit("this benchmark needs nginx")
    import aiohttp
    import pycurl

    # A terminated benchmark takes its servers along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with servers() as base:
        result: dict[str, Any] = {
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "versions": ", ".join(
                (
                    f"Python {platform.python_version()}",
                    pycurl.version.split(" OpenSSL")[0],
                    f"aiohttp {aiohttp.__version__}",
                )
            ),
            "calls": args.calls,
            "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
            "width": args.width,
            "rounds": args.rounds,
            "cpu": cpu_table(base, args),
            "burst": burst_table(base, args),
            "memory": fresh("--memory", base["plain"] + "/3.6.json", str(args.memory_calls))
            if args.memory_calls
            else {},
        }
    args.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    args.out.with_suffix(".md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
