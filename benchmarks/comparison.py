"""The comparison that started it: a year of calls and its rows, the three usual ways and ours.

    .venv/bin/python benchmarks/comparison.py [--latency 100]

calls   366 days of train 27 (2021-03-23..2022-03-23) from the sandbox at 100 ms an answer:
        a loop with `requests`, `aiohttp` awaited one by one, `aiohttp` with `gather`, and
        `fetchcast run` as a process of its own, landing and table included.
        floor: one answer's latency, if all 366 were let in at once.
rows    the stops of these answers into PostgreSQL: row by row, `execute_values`, and ours.
        floor: `COPY` of the same rows from a prepared binary file.

Each way runs in a process of its own, one after the other, with its connections and imports
inside the time (imports of the three scripts and of fetchcast are told apart).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

FIRST, DAYS = date(2021, 3, 23), 366
RESULTS = Path(__file__).parent / "results"
PIPELINE = """
name = "year"
destination = "{destination}"
[api]
base_url = "http://127.0.0.1:9/"
[resource.trains]
path = "trains/{{date}}/27"
params = {{ date = {{ from = "2021-03-23", to = "2022-03-23" }} }}
[table.stops]
from = "trains"
rows = "[*].timeTableRows[*]"
carry = {{ departure_date = "^.departureDate", train_number = "^.trainNumber" }}
nested = "json"
"""


def urls(base: str) -> list[str]:
    return [f"{base}/trains/{FIRST + timedelta(days=n)}/27" for n in range(DAYS)]


def with_requests(base: str) -> int:
    import requests

    return sum(len(requests.get(url, timeout=30).json()) for url in urls(base))


async def one_by_one(base: str) -> int:
    import aiohttp

    found = 0
    async with aiohttp.ClientSession() as session:
        for url in urls(base):
            async with session.get(url) as answer:
                found += len(await answer.json())
    return found


async def gathered(base: str) -> int:
    import aiohttp

    async with aiohttp.ClientSession() as session:

        async def one(url: str) -> int:
            async with session.get(url) as answer:
                return len(await answer.json())

        return sum(await asyncio.gather(*(one(url) for url in urls(base))))


SCRIPTS: dict[str, Callable[[str], int]] = {
    "requests": with_requests,
    "one-by-one": lambda base: asyncio.run(one_by_one(base)),
    "gather": lambda base: asyncio.run(gathered(base)),
}
LABELS = {
    "requests": "requests, a loop",
    "one-by-one": "aiohttp, one by one",
    "gather": "aiohttp, gather",
}


def timed_script(name: str, base: str) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, __file__, "--script", name, "--base", base],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(result.stdout))


def run_script(name: str, base: str) -> None:
    __import__("requests" if name == "requests" else "aiohttp")
    begun, cpu = time.perf_counter(), time.process_time()
    found = SCRIPTS[name](base)
    took, used = time.perf_counter() - begun, time.process_time() - cpu
    print(json.dumps({"way": LABELS[name], "seconds": took, "cpu_s": used, "trains": found}))


def timed_fetchcast(base: str, folder: Path, label: str) -> dict[str, Any]:
    """`fetchcast run`; called a second time with the landing gone, the pace is known."""
    folder.mkdir(exist_ok=True)
    file = folder / "year.toml"
    file.write_text(PIPELINE.format(destination="duckdb:///year.duckdb"))
    program = (
        "import json, sys, time\n"
        "import fetchcast\n"
        "pipeline = fetchcast.read_pipeline(sys.argv[1], base_url=sys.argv[2])\n"
        "import fetchcast.extract.transport_curl, pyarrow, duckdb\n"
        "begun, cpu = time.perf_counter(), time.process_time()\n"
        "report = fetchcast.run(pipeline, options=fetchcast.RunOptions(again=True))\n"
        "print(json.dumps({'seconds': time.perf_counter() - begun,\n"
        "    'cpu_s': time.process_time() - cpu, 'extract_s': report.extract_s,\n"
        "    'end': int(report.end), 'trains': report.count('landed')}))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(file), base],
        capture_output=True,
        text=True,
        check=True,
    )
    return {"way": label, **json.loads(result.stdout)}


def whole_process(base: str, folder: Path) -> float:
    """The command as a person types it, imports and all."""
    folder.mkdir(exist_ok=True)
    (folder / "year.toml").write_text(PIPELINE.format(destination="duckdb:///year.duckdb"))
    command = [sys.executable, "-m", "fetchcast", "run", "--base-url", base, "year.toml"]
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    return time.perf_counter() - begun


def calls(latency_ms: float, folder: Path) -> list[dict[str, Any]]:
    from fetchcast.sandbox import SandboxOptions, running_sandbox

    with running_sandbox(SandboxOptions(latency_ms=latency_ms)) as sandbox:
        base = sandbox.rail_url
        # The sandbox makes its days when they are first asked for; that is not to be timed.
        asyncio.run(gathered(base))
        found = [timed_script(name, base) for name in SCRIPTS]
        found.append(timed_fetchcast(base, folder / "known", "fetchcast.run, first contact"))
        found.append(timed_fetchcast(base, folder / "known", "fetchcast.run, pace known"))
        command = whole_process(base, folder / "command")
        found.append({"way": "$ fetchcast run (whole process)", "seconds": command})
    loop = found[0]["seconds"]
    for row in found:
        row["times_faster"] = loop / row["seconds"]
    return found


def rows(folder: Path) -> list[dict[str, Any]]:
    from fetchcast.load.destinations import open_destination
    from fetchcast.records import Batch, Disposition, Target
    from fetchcast.testing.postgres import running_postgres

    stops = open_destination("duckdb:///year.duckdb", folder / "known").query(
        "select * exclude (_request_key, _row, train_ready_timestamp) from stops"
        if "train_ready_timestamp" in _columns(folder)
        else "select * exclude (_request_key, _row) from stops"
    )
    with running_postgres() as url:
        tuples = [tuple(row.values()) for row in stops.to_pylist()]
        found = [
            {"way": "row by row", "seconds": _row_by_row(url, stops, tuples)},
            {"way": "execute_values", "seconds": _execute_values(url, stops, tuples)},
        ]
        target = Target(table="ours", disposition=Disposition.APPEND)
        begun = time.perf_counter()
        with open_destination(url, folder).load() as loading:
            loading.write(Batch(target=target, rows=stops))
        found.append({"way": "fetchcast, from Arrow", "seconds": time.perf_counter() - begun})
        found.append({"way": "COPY, prepared binary (floor)", "seconds": _copy(url, "ours")})
    for row in found:
        row["rows_per_s"] = len(tuples) / row["seconds"]
        row["times_faster"] = found[0]["seconds"] / row["seconds"]
    return found


def _columns(folder: Path) -> list[str]:
    from fetchcast.load.destinations import open_destination

    destination = open_destination("duckdb:///year.duckdb", folder / "known")
    return list(destination.query("select * from stops limit 0").schema.names)


def _create(url: str, name: str, stops: Any) -> str:
    import psycopg

    kinds = {"int64": "bigint", "bool": "boolean", "double": "double precision"}
    columns = ", ".join(
        f'"{field.name}" '
        + (
            "timestamptz"
            if str(field.type).startswith("timestamp")
            else "date"
            if str(field.type).startswith("date")
            else kinds.get(str(field.type), "text")
        )
        for field in stops.schema
    )
    with psycopg.connect(url) as connection:
        connection.execute(f"drop table if exists {name}")
        connection.execute(f"create table {name} ({columns})")
    return ", ".join(["%s"] * len(stops.schema))


def _row_by_row(url: str, stops: Any, tuples: list[tuple[Any, ...]]) -> float:
    import psycopg2

    marks = _create(url, "by_row", stops)
    begun = time.perf_counter()
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        for row in tuples:
            cursor.execute(f"insert into by_row values ({marks})", row)
    connection.close()
    return time.perf_counter() - begun


def _execute_values(url: str, stops: Any, tuples: list[tuple[Any, ...]]) -> float:
    import psycopg2
    from psycopg2.extras import execute_values

    _create(url, "by_values", stops)
    begun = time.perf_counter()
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        execute_values(cursor, "insert into by_values values %s", tuples)
    connection.close()
    return time.perf_counter() - begun


def _copy(url: str, table: str) -> float:
    import psycopg

    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        prepared = io.BytesIO()
        with cursor.copy(f"copy {table} to stdout (format binary)") as copy:
            for part in copy:
                prepared.write(part)
        cursor.execute(f"create table copied (like {table})")
        connection.commit()
        begun = time.perf_counter()
        with cursor.copy("copy copied from stdin (format binary)") as copy:
            copy.write(prepared.getvalue())
        connection.commit()
        return time.perf_counter() - begun


def machine() -> dict[str, Any]:
    names = ("fetchcast", "aiohttp", "requests", "pycurl", "duckdb", "pyarrow", "psycopg2-binary")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "versions": {name: version(name) for name in names},
        "date": time.strftime("%Y-%m-%d"),
    }


def text(found: dict[str, Any]) -> str:
    lines = [
        f"# {DAYS} calls at {found['latency_ms']:g} ms an answer",
        "",
        "| way | seconds | CPU s | faster than the loop |",
        "|---|--:|--:|--:|",
    ]
    for row in found["calls"]:
        cpu = f"{row['cpu_s']:.2f}" if "cpu_s" in row else ""
        lines.append(
            f"| {row['way']} | {row['seconds']:.2f} | {cpu} | {row['times_faster']:.1f}x |"
        )
    first, known = found["calls"][3], found["calls"][4]
    lines += ["", _floor(first, known, found["latency_ms"] / 1000), ""]
    lines += [f"# {found['row_count']:,} rows into PostgreSQL", ""]
    lines += ["| way | seconds | rows/s | faster than row by row |", "|---|--:|--:|--:|"]
    lines += [
        f"| {row['way']} | {row['seconds']:.2f} | {row['rows_per_s']:,.0f} "
        f"| {row['times_faster']:.1f}x |"
        for row in found["rows"]
    ]
    return "\n".join([*lines, "", _machine_text(found["machine"])]) + "\n"


def _floor(first: dict[str, Any], known: dict[str, Any], floor: float) -> str:
    return (
        f"Floor: {floor:.2f} s, if all calls were let in at once. Of the time of `fetchcast.run`, "
        f"{first['extract_s']:.2f} s (first contact) and {known['extract_s']:.2f} s (pace known) "
        "went into the calls and their landing; the rest is plan, table and publishing."
    )


def _machine_text(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return (
        f"{about['date']}, Python {about['python']}, {about['system']}, {about['cores']} cores, "
        f"load {about['load_before']:.1f} before; {versions}. One run; ratios within it."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--latency", type=float, default=100.0, help="milliseconds")
    parser.add_argument("--script", choices=SCRIPTS)
    parser.add_argument("--base")
    given = parser.parse_args()
    if given.script:
        run_script(given.script, given.base)
        return
    about = machine()
    with tempfile.TemporaryDirectory() as name:
        found = {"latency_ms": given.latency, "machine": about}
        found["calls"] = calls(given.latency, Path(name))
        found["rows"] = rows(Path(name))
        seconds = found["rows"][0]
        found["row_count"] = round(seconds["rows_per_s"] * seconds["seconds"])
    shown = text(found)
    print(re.sub(r"\n\n+", "\n\n", shown))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "comparison.md").write_text(shown)
    (RESULTS / "comparison.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
