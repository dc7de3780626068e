"""benchmarks/app.py: how heavy and how quick are the app's pages and its API?

Pages: the forecast page of 200 days, of 10,000 and of 100,000 observations in a new Chromium
context each time: bytes that travel, time from navigation until the chart is on the canvas, time
of one zoom step (key press until it is drawn). List: the first and the next request for a list of
10,000 series, each with 200 observations, in a new process and in a warm one. API: one forecast
with four connections for ten seconds, alone and while a run asks, loads and forecasts into the
same DuckDB file again and again.

The app is `fetchcast serve` in a process of its own. Times are wall time on a machine that may be
busy; the load average is in the report.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import duckdb

from fetchcast.load.destinations import open_destination
from fetchcast.records import Batch, Disposition, Target
from fetchcast.sandbox import SandboxOptions, running_sandbox

RESULTS = Path(__file__).parent / "results"
EXAMPLE = Path(__file__).parents[1] / "examples" / "train-27" / "pipeline.toml"
GOALS = {
    "page_kb": 100,
    "drawn_s": 0.7,
    "zoom_ms": 10,
    "list_s": 0.5,
    "api_p50_ms": 15,
    "api_per_second": 300,
}
SIZES = {"year": 200, "ten thousand": 10_000, "hundred thousand": 100_000}
MANY = 10_000
CONNECTIONS = 4
PIPELINE = """
name = "bench"
destination = "duckdb:///bench.duckdb"
[api]
base_url = "http://127.0.0.1:9/"
[resource.none]
path = "none"
[series.many]
sql = "select 1"
[series.one]
sql = "select 1"
"""
Q = ["q025", "q05", "q10", "q25", "q50", "q75", "q90", "q95", "q975"]
FAN = ", ".join(f"{at} * 3e0 + (i % 7) as {name}" for at, name in enumerate(Q))
NAMES = """(select case when i < {many} then 'many' else 'one' end as series,
    case when i < {many} then 'place-' || i else {sizes}[i - {many} + 1]::varchar end as unique_id,
    case when i < {many} then 200 else {sizes}[i - {many} + 1] end as n,
    case when i < {many} then 86400 else 3600 end as every, i
    from range({many} + {count}) as r(i))"""
TABLES = {
    "series": """select series, unique_id, 'min' as unit,
        case when every = 86400 then 'daily' else 'hourly' end as frequency, 7 as season,
        'UTC' as time_zone, n as observations, n as scored, 0 as missing,
        timestamptz '2026-11-21 00:00:00+00' - to_seconds(n * every) as first_ds,
        timestamptz '2026-11-21 00:00:00+00' - to_seconds(every) as last_ds,
        null::varchar as note, 'r' as run from {names}""",
    "observation": """select series, unique_id,
        timestamptz '2026-11-21 00:00:00+00' - to_seconds((n - k) * every) as ds,
        round(10 + 5 * sin(k / 7.0) + hash(k * 31 + i) % 1000 / 100e0, 2) as y,
        null::timestamptz as scheduled, true as scored from {names}, range(n) as s(k)""",
    "forecast": """select series, unique_id,
        timestamptz '2026-11-21 00:00:00+00' + to_seconds((k - 1) * every) as ds, k as step,
        'combined' as model, 12e0 as mean, {fan}, null::double[] as quantiles,
        null::double as p_running, timestamptz '2026-11-21 00:00:00+00' - to_seconds(every)
        as cutoff, null::timestamptz as scheduled, 'r' as run from {names}, range(1, 29) as s(k)""",
    "backtest": """select series, unique_id,
        timestamptz '2026-11-21 00:00:00+00' - to_seconds(29 * every) as cutoff,
        timestamptz '2026-11-21 00:00:00+00' - to_seconds((29 - k) * every) as ds, k as step,
        'combined' as model, 10e0 + i % 9 as y, 12e0 as mean, {fan}, null::double[] as quantiles,
        1.0 as pinball, 1.0 as absolute_error, null::timestamptz as scheduled, 'r' as run
        from {names}, range(1, 29) as s(k)""",
    "leaderboard": """select series, unique_id, 'combined' as model, 1 as rank, 28 as n,
        1 as origins, 1.0 as mase, 1.0 as mae, 1.0 as pinball, 0.8 as coverage_80,
        0.95 as coverage_95, (i % 100) / 200.0 as skill_climatology, 'r' as run from {names}""",
}


def fill(folder: Path) -> Path:
    """Ten thousand series and three long ones in a DuckDB destination; its pipeline file."""
    names = NAMES.format(many=MANY, sizes=list(SIZES.values()), count=len(SIZES))
    made = duckdb.connect()
    made.execute("SET timezone = 'UTC'")
    with open_destination("duckdb:///bench.duckdb", folder).load() as loading:
        for name, sql in TABLES.items():
            target = Target(table=name, disposition=Disposition.REPLACE, key=())
            rows = made.sql(sql.format(names=names, fan=FAN)).to_arrow_table()
            loading.write(Batch(target=target, rows=rows))
    file = folder / "bench.toml"
    file.write_text(PIPELINE)
    return file


@contextmanager
def serving(file: Path, *more: str) -> Iterator[str]:
    """`fetchcast serve` on a free port; its address."""
    command = [sys.executable, "-m", "fetchcast", "serve", "--port", "0", *more, str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield re.search(r"http://\S+", line)[0]  # type: ignore[index]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def timed(url: str) -> float:
    """Seconds until the whole answer is here, compressed as for a browser."""
    begun = time.perf_counter()
    with urlopen(Request(url, headers={"Accept-Encoding": "gzip"})) as answer:
        answer.read()
    return time.perf_counter() - begun


# The list


def lists(file: Path) -> dict[str, float]:
    """Seconds for the list of ten thousand: at once after the start, later, sorted, searched."""
    with serving(file) as site:
        found = {"first of a new process": timed(site + "/forecast")}
        time.sleep(3)
        found["by surprise, first"] = timed(site + "/forecast?sort=surprise")
        found["search"] = timed(site + "/forecast?find=place-99")
        found["again"] = statistics.median(timed(site + "/forecast") for _ in range(9))
    with serving(file) as site:
        time.sleep(4)
        found["first, some seconds after the start"] = timed(site + "/forecast")
    return found


# The pages

ZOOM = """async () => {
  const found = [];
  for (let n = 0; n < 20; n++) {
    const key = n % 2 ? '-' : '+';
    await new Promise(requestAnimationFrame);
    const begun = performance.now();
    document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
    await null; await null; await null;
    found.push(performance.now() - begun);
  }
  return found;
}"""


def pages(file: Path, runs: int) -> dict[str, dict[str, float]]:
    """Weight, time until drawn, and time of a zoom step of each forecast page."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    found: dict[str, dict[str, float]] = {}
    with serving(file) as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        timed(site + "/forecast")
        time.sleep(3)
        for name, count in SIZES.items():
            address = f"{site}/forecast/one/{count}"
            first = timed(address)
            tries = [_visit(browser, address) for _ in range(runs)]
            best = {key: min(each[key] for each in tries) for key in tries[0]}
            middle = {key: statistics.median(each[key] for each in tries) for key in tries[0]}
            found[name] = {
                "kb": middle["kb"],
                "requests": middle["requests"],
                "drawn_s": middle["drawn_s"],
                "drawn_best_s": best["drawn_s"],
                "zoom_ms": middle["zoom_ms"],
                "first_html_s": first,
            }
        browser.close()
    return found


def _visit(browser: Any, address: str) -> dict[str, float]:
    context = browser.new_context(viewport={"width": 1280, "height": 820})
    page = context.new_page()
    sizes: list[int] = []
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(address, wait_until="load")
    page.wait_for_selector("#chart[data-drawn]", timeout=30_000)
    page.wait_for_timeout(300)
    drawn = page.evaluate("performance.getEntriesByName('chart-drawn')[0].startTime")
    zoom = statistics.median(page.evaluate(ZOOM))
    context.close()
    return {
        "kb": sum(sizes) / 1000,
        "requests": len(sizes),
        "drawn_s": drawn / 1000,
        "zoom_ms": zoom,
    }


# The API


async def _ask(
    host: str, port: int, path: str, until: float, told: list[tuple[int, float]]
) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\n\r\n".encode()
    while time.perf_counter() < until:
        begun = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        size = re.search(rb"content-length: (\d+)", head.lower())
        assert size is not None, head
        await reader.readexactly(int(size[1]))
        told.append((int(head[9:12]), time.perf_counter() - begun))
    writer.close()


def hammer(site: str, path: str, seconds: float) -> dict[str, float]:
    """Ask for one address over `CONNECTIONS` kept connections."""
    place, told = urlsplit(site), list[tuple[int, float]]()

    async def all_of_them() -> None:
        until = time.perf_counter() + seconds
        asks = (
            _ask(str(place.hostname), place.port or 80, path, until, told)
            for _ in range(CONNECTIONS)
        )
        await asyncio.gather(*asks)

    asyncio.run(all_of_them())
    times = sorted(spent for _, spent in told)
    return {
        "per_second": len(told) / seconds,
        "p50_ms": 1000 * times[len(times) // 2],
        "p99_ms": 1000 * times[int(len(times) * 0.99)],
        "errors": sum(status != 200 for status, _ in told),
    }


def api(folder: Path, seconds: float) -> dict[str, dict[str, float]]:
    """One forecast over the API, alone and beside runs that load into the same file."""
    file = folder / "pipeline.toml"
    shutil.copy(EXAMPLE, file)
    with running_sandbox(SandboxOptions(latency_ms=20)) as sandbox:
        run = [sys.executable, "-m", "fetchcast", "run", "--base-url", sandbox.rail_url]
        subprocess.run([*run, str(file)], check=True, capture_output=True)
        with serving(file, "--base-url", sandbox.rail_url) as site:
            place = "/api/v1/series/arrival_delay/27%20TPE/forecast"
            timed(site + place)
            found = {"alone": hammer(site, place, seconds)}
            over, loads = threading.Event(), [0]

            def again() -> None:
                while not over.is_set():
                    subprocess.run(
                        [*run, "--full-refresh", str(file)], check=True, capture_output=True
                    )
                    loads[0] += 1

            runner = threading.Thread(target=again)
            runner.start()
            time.sleep(2)
            found["while runs load"] = hammer(site, place, 3 * seconds)
            over.set()
            runner.join()
            found["while runs load"]["runs"] = loads[0]
    return found


# The report


def goals(found: dict[str, Any]) -> Iterator[tuple[str, float, float, bool]]:
    """Name, goal, figure, and whether it was reached."""
    year, busy = found["pages"]["year"], found["api"]["while runs load"]
    zoom = max(each["zoom_ms"] for each in found["pages"].values())
    for name, figure in (
        ("page_kb", year["kb"]),
        ("drawn_s", year["drawn_s"]),
        ("zoom_ms", zoom),
        ("list_s", found["lists"]["first of a new process"]),
        ("api_p50_ms", busy["p50_ms"]),
    ):
        yield name, GOALS[name], figure, figure <= GOALS[name]
    name = "api_per_second"
    yield name, GOALS[name], busy["per_second"], busy["per_second"] >= GOALS[name]


def report(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [f"# App: {found['machine']}, load average {found['load_average']:.1f} at the end", ""]
    lines += ["| goal | wanted | measured | |", "|---|---|---|---|"]
    for name, goal, figure, reached in goals(found):
        sign = "at least" if name == "api_per_second" else "at most"
        words = "reached" if reached else "missed"
        lines.append(f"| {name} | {sign} {goal} | {figure:.3g} | {words} |")
    for part in ("pages", "api"):
        columns = list(dict.fromkeys(key for row in found[part].values() for key in row))
        lines += ["", f"## {part}", "", f"| | {' | '.join(columns)} |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        for name, row in found[part].items():
            cells = [f"{row[key]:.4g}" if key in row else "" for key in columns]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"## list of {MANY:,} series", "", "| | s |", "|---|---|"]
    lines += [f"| {name} | {seconds:.3f} |" for name, seconds in found["lists"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write `results/app.{json,md}`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="visits of each page")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each burst on the API")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "api").mkdir()
        file = fill(folder)
        found: dict[str, Any] = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, "
            f"Python {platform.python_version()}",
            "pages": pages(file, arguments.runs),
            "lists": lists(file),
            "api": api(folder / "api", arguments.seconds),
            "load_average": os.getloadavg()[0],
        }
    (RESULTS / "app.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "app.md").write_text(report(found))
    print(report(found))


if __name__ == "__main__":
    main()
