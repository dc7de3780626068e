"""How fast do landed answers become committed rows, beside dlt?

    .venv/bin/python benchmarks/json_to_rows.py [--bodies 20000] [--dlt /path/to/python]

Ours: `fetchcast.pipeline.store.Store`, as every run uses it, from a landing on the disk (read,
unpacked, decoded, shaped, checked, loaded, committed, published) into PostgreSQL and DuckDB, each
in a process of its own that does nothing else and has loaded something small before: what that
costs once (imports, pandas among them where it is installed) is told apart. Input: 20,000
bodies of about 6 KB, 20 stops each, every second stop with a cause: 400,000 rows of stops and
200,000 of causes; rows/s counts both.

dlt: 2,000 of the bodies as dicts in memory (nothing to read or decode), through `pipeline.run` and
timed without its import, with `stops` and `causes` as it nests them; ours beside it has the
same 2,000. ``--dlt`` names a Python that has ``dlt[duckdb,postgres]``; without it dlt is left out.

Floors: decoding alone (strictly, every body, nothing kept) and shaping alone, in CPU time.
Wall time, CPU time of our process, and the high-water mark of its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from transform import train_bodies

from fetchcast.clock import SystemClock
from fetchcast.config import Pipeline, pipeline_from
from fetchcast.events import Events
from fetchcast.landing.reader import open_reader
from fetchcast.landing.writer import open_writer
from fetchcast.pipeline.store import Store
from fetchcast.records import Answer, Fate, Outcome, Request, request_key
from fetchcast.testing.postgres import running_postgres
from fetchcast.transform import Shaper

RESULTS = Path(__file__).parent / "results"
GOALS = {"postgresql": 250_000, "duckdb": 300_000}
MEMORY_MB = 400
DLT_TIMES = 10
DLT_BODIES = 2000
WARM_BODIES = 20
CHUNK_BODIES = 2500
Found = dict[str, float]

DLT = """
import json, sys, time
import dlt
from dlt.destinations import duckdb, postgres
bodies = [json.loads(line) for line in open(sys.argv[1], "rb")]
url, folder = sys.argv[2], sys.argv[3]
socket = {"database": "postgres", "username": "postgres", "password": "none", "host": url}
to = duckdb(url) if url.endswith(".duckdb") else postgres(socket)
rows = [
    {**stop, "departureDate": day["departureDate"], "trainNumber": day["trainNumber"]}
    for body in bodies for day in body for stop in day["timeTableRows"]
]
pipeline = dlt.pipeline("bench", destination=to, dataset_name="bench", pipelines_dir=folder)
began, cpu = time.perf_counter(), time.process_time()
pipeline.run(rows, table_name="stops", write_disposition="replace")
wall, cpu = time.perf_counter() - began, time.process_time() - cpu
counts = pipeline.last_trace.last_normalize_info.row_counts
print(json.dumps({"rows": sum(n for name, n in counts.items() if not name.startswith("_dlt")),
                  "wall_s": wall, "cpu_s": cpu}))
"""


def pipeline_to(url: str, folder: Path) -> Pipeline:
    """Stops and, as its child table, causes."""
    table = {
        "from": "trains",
        "rows": "[*].timeTableRows[*]",
        "carry": {"departure_date": "^.departureDate", "train_number": "^.trainNumber"},
    }
    raw = {
        "name": "bench",
        "api": {"base_url": "http://bench.test"},
        "resource": {"trains": {"path": "{n}", "params": {"n": [1]}}},
        "table": {"stops": table},
        "destination": url,
    }
    return pipeline_from(raw, folder=folder)


async def land(folder: Path, bodies: list[bytes]) -> None:
    """Keep the bodies as a run does."""
    made = pipeline_to("duckdb:///unused.duckdb", folder)
    async with open_writer(made.landing_folder, clock=SystemClock(), events=Events()) as writer:
        for number, body in enumerate(bodies):
            url = f"http://bench.test/{number}"
            answer = Answer(status=200, headers={}, body=body, url=url, elapsed_s=0.1)
            outcome = Outcome(
                request=Request(key=request_key("GET", url), resource="trains", url=url),
                fate=Fate.LANDED,
                answer=answer,
                attempts=1,
                reason=None,
                finished_at=1_700_000_000.0,
            )
            await writer.put(outcome)


def load(url: str, folder: Path) -> Found:
    """Store everything that has landed; runs in a process of its own."""
    made = pipeline_to(url, folder)
    began = time.perf_counter()
    warm = folder.parent / "warm"
    store(pipeline_to(url.replace("schema=", "schema=warm_"), warm))
    first_s = time.perf_counter() - began
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    store(made)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return {
        "wall_s": wall,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_mb": int(status.split("VmHWM:")[1].split()[0]) / 1024,
        "first_s": first_s,
    }


def store(made: Pipeline) -> None:
    with open_reader(made.landing_folder) as reader:
        Store(pipeline=made, plans=[], run_id="bench", now=1_700_000_000.0).all(reader)


def floors(folder: Path) -> Found:
    """CPU seconds of decoding alone and of shaping alone."""
    made = pipeline_to("duckdb:///unused.duckdb", folder)
    with open_reader(made.landing_folder) as reader:
        answers = list(reader.answers())
    shaper = Shaper("stops", made.table["stops"])
    shaper.shape(answers[:CHUNK_BODIES])  # All kinds are seen by then.
    began = time.process_time()
    for at in range(0, len(answers), CHUNK_BODIES):
        shaper.shape(answers[at : at + CHUNK_BODIES])
    shaped_s = time.process_time() - began
    decoder, began = shaper._model.decoder, time.process_time()  # noqa: SLF001
    for answer in answers:
        decoder.decode(answer.body)
    return {"shape_s": shaped_s, "decode_s": time.process_time() - began}


def ours(url: str, folder: Path, rows: int) -> Found:
    """One load into an empty destination, in a new process."""
    command = [sys.executable, __file__, "--load", url, "--folder", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: Found = json.loads(done.stdout)
    return {**found, "rows": rows, "rows_s": rows / found["wall_s"]}


def dlt(python: str, url: str, folder: Path, bodies: list[bytes]) -> Found:
    """The same rows by dlt, in its own Python."""
    lines = folder / "bodies.jsonl"
    lines.write_bytes(b"\n".join(bodies))
    work = Path(tempfile.mkdtemp(dir=folder))
    # The server listens on a socket in a folder, which dlt takes for the host.
    place = (
        quote(parse_qs(urlsplit(url).query)["host"][0], "")
        if "host=" in url
        else f"{work}/rows.duckdb"
    )
    quiet = {
        **os.environ,
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "ERROR",
    }
    done = subprocess.run(
        [python, "-c", DLT, str(lines), place, str(work)],
        check=True, stdout=subprocess.PIPE, text=True, env=quiet, cwd=work,
    )  # fmt: skip
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return {**found, "rows_s": found["rows"] / found["wall_s"]}


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """All ways, taking turns."""
    bodies = train_bodies(given.bodies)
    rows = sum(body.count(b'"stationShortCode"') for body in bodies)
    rows += sum(body.count(b'"categoryCodeId"') for body in bodies)
    top = Path(tempfile.mkdtemp(prefix="fetchcast-bench-"))
    folder, small = top / "all", top / "some"
    found: dict[str, Any] = {"ours": {}, "ours, some": {}, "dlt": {}}
    some = bodies[:DLT_BODIES]
    some_rows = rows * len(some) // len(bodies)
    try:
        for place, landed in ((folder, bodies), (small, some), (top / "warm", some[:WARM_BODIES])):
            asyncio.run(land(place, landed))
        found["floors"] = floors(folder)
        with running_postgres() as postgres:
            for turn in range(given.runs):
                for name, url in (("postgresql", postgres), ("duckdb", "duckdb:///b.duckdb")):
                    place = f"{url}&schema=run{turn}" if name == "postgresql" else url
                    for old in top.glob("*/b.duckdb*"):
                        shutil.rmtree(old) if old.is_dir() else old.unlink()
                    found["ours"].setdefault(name, []).append(ours(place, folder, rows))
                    if given.dlt:
                        again = place.replace("schema=", "schema=some_")
                        beside = ours(again, small, some_rows)
                        found["ours, some"].setdefault(name, []).append(beside)
                        found["dlt"].setdefault(name, []).append(dlt(given.dlt, url, small, some))
                    print(name, found["ours"][name][-1], file=sys.stderr)
    finally:
        shutil.rmtree(top)
    size = sum(map(len, bodies)) / len(bodies)
    return {**found, "bodies": len(bodies), "rows": rows, "body_bytes": size}


def report(found: dict[str, Any]) -> str:
    """The least of the runs of each way (a busy machine only adds), and the goals."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    busy = f"load average {os.getloadavg()[0]:.1f} at the end"
    floor = found["floors"]
    lines = [
        f"# Landed JSON to committed rows: {found['bodies']:,} bodies, {found['rows']:,} rows",
        "",
        f"A body has {found['body_bytes']:,.0f} bytes. Best of the runs. {machine}, {busy}.",
        "",
        f"Floors, CPU s: decoding {floor['decode_s']:.2f}, shaping {floor['shape_s']:.2f}.",
        "",
        "| way | rows | wall s | CPU s | rows/s | rows per CPU second | peak MB | first load s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    best: dict[str, dict[str, Found]] = {}
    for way in ("ours", "ours, some", "dlt"):
        best[way] = {name: min(all_, key=_wall) for name, all_ in found[way].items()}
        lines += [
            f"| {way}, {name} | {one['rows']:,} | {one['wall_s']:.2f} | {one['cpu_s']:.2f} "
            f"| {one['rows_s']:,.0f} | {one['rows'] / one['cpu_s']:,.0f} "
            f"| {one.get('peak_mb', 0):.0f} | {one.get('first_s', 0):.1f} |"
            for name, one in best[way].items()
        ]
    lines += ["", "| what | is | goal | |", "|---|---|---|---|"]
    for name, goal in GOALS.items():
        one = best["ours"][name]
        marks = [(f"{name}, rows/s", one["rows_s"], goal)]
        if name in best["dlt"]:
            times = best["ours, some"][name]["rows_s"] / best["dlt"][name]["rows_s"]
            marks.append((f"{name}, times dlt, of the same bodies", times, DLT_TIMES))
        lines += [
            f"| {what} | {is_:,.1f} | >= {least:,} | {'met' if is_ >= least else 'MISSED'} |"
            for what, is_, least in marks
        ]
        peak = one["peak_mb"]
        met = "met" if peak <= MEMORY_MB else "MISSED"
        lines.append(f"| {name}, peak MB | {peak:.0f} | <= {MEMORY_MB} | {met} |")
    return "\n".join(lines) + "\n"


def _wall(one: Found) -> float:
    return one["wall_s"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bodies", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--dlt", default=os.environ.get("DLT_PYTHON"))
    parser.add_argument("--load", help="an address: load into it and say what it cost")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.load:
        print(json.dumps(load(given.load, given.folder)))
        return
    found = measure(given)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "json_to_rows.json").write_text(json.dumps(found, indent=1) + "\n")
    text = report(found)
    (RESULTS / "json_to_rows.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
