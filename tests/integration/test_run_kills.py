"""`kill -9` at any moment of a run: nothing that landed is lost, no row is there twice.

A folder lives through many kills: while it asks, lands, loads and publishes, each time with more
to ask. After each kill everything is looked at as a user finds it then; the next run goes on from
there, and after every fourth kill a run must complete. In the end all tables are those of a run
that nobody disturbed. Train 25 is asked for again in every run, conditionally; and the tables are
loaded while a run still asks.
"""

import csv
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
import pytest

from fetchcast.errors import LandingError
from fetchcast.landing.reader import open_reader
from fetchcast.load.versions import published_path
from fetchcast.records import Fate
from fetchcast.sandbox import Sandbox, SandboxOptions, running_sandbox

FIRST = date(2021, 3, 23)
DAYS_A_KILL = 3
MOVING = 25
"""The train whose answers grow old at once."""
KILLS_A_LIFE = 25
PHASES = ("extract", "landing", "load", "publish")
TABLES = ("stops", "stops_causes")
CSVS = ("timetable.csv", "timetable.timetable_causes.csv")
PIPELINE = """
name = "trains"
load_every = "0.2 seconds"
[api]
base_url = "http://127.0.0.1:9/"
[resource.trains]
path = "trains/{date}/{train}"
params = { date = { from = "FIRST", to = "LAST" }, train = [27] }
[resource.moving]
path = "trains/{date}/{train}"
params = { date = { from = "FIRST", to = "LAST" }, train = [MOVING] }
refresh = "0.1 seconds"
[table.stops]
from = ["trains", "moving"]
rows = "[*].timeTableRows[*]"
carry = { departure_date = "^.departureDate", train_number = "^.trainNumber" }
[table.timetable]
from = ["trains", "moving"]
rows = "[*].timeTableRows[*]"
carry = { departure_date = "^.departureDate", train_number = "^.trainNumber" }
destination = "csv:///timetable.csv"
"""


def write_pipeline(folder: Path, kills: int) -> Path:
    """As many days as ``kills`` kills need."""
    folder.mkdir(exist_ok=True)
    last = FIRST + timedelta(days=DAYS_A_KILL * kills - 1)
    file = folder / "trains.toml"
    file.write_text(
        PIPELINE.replace("FIRST", str(FIRST))
        .replace("LAST", str(last))
        .replace("MOVING", str(MOVING))
    )
    return file


def start(file: Path, sandbox: Sandbox) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fetchcast", "run", "--base-url", sandbox.rail_url, file.name]
    return subprocess.Popen(
        command,
        cwd=file.parent,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def complete(file: Path, sandbox: Sandbox) -> None:
    with start(file, sandbox) as run:
        said, _ = run.communicate(timeout=120)
    assert run.returncode == 0, said


def landed(folder: Path) -> dict[str, str]:
    """Key to path of every call that is kept; each body is read."""
    try:
        with open_reader(folder / ".fetchcast" / "trains") as reader:
            answers = list(reader.answers())
    except LandingError:
        assert not (folder / "trains.duckdb").exists(), "what was loaded from has gone"
        return {}
    for answer in answers:
        assert answer.body.endswith(b"]") or answer.fate is Fate.EMPTY
    found = {answer.key: urlsplit(answer.url).path for answer in answers}
    assert len(found) == len(answers), "an answer is there twice"
    return found


def count_landed(folder: Path) -> int:
    with suppress(LandingError), open_reader(folder / ".fetchcast" / "trains") as reader:
        return sum(reader.counts().values())
    return 0


def sent(sandbox: Sandbox) -> Counter[str]:
    """Path to how often it was asked; for train 25, how often it was answered in full."""
    paths = sandbox.stats()["paths"]
    moving = f"/{MOVING}"
    return Counter(
        {
            path: tally["answered"].get("200", 0) if path.endswith(moving) else tally["received"]
            for path, tally in paths.items()
        }
    )


def confirmed(sandbox: Sandbox) -> int:
    """How many calls were answered by 304: nothing new."""
    return int(sandbox.stats()["answered"].get("304", 0))


def table(database: Path, name: str) -> list[tuple[str, ...]]:
    """All rows as sorted texts, the columns by name; none if there is no table yet."""
    with duckdb.connect(database, read_only=True) as connection:
        found = connection.execute(
            "SELECT column_name FROM duckdb_columns() WHERE table_name = ? ORDER BY 1", [name]
        ).fetchall()
        if not found:
            return []
        columns = ", ".join(f'"{column}"::VARCHAR' for (column,) in found)
        return sorted(map(repr, connection.execute(f'SELECT {columns} FROM "{name}"').fetchall()))


def doubled(database: Path) -> dict[str, int]:
    """Table to how many rows stand in it more than once; it is read as a whole."""
    with duckdb.connect(database, read_only=True) as connection:
        names = [name for name, *_ in connection.execute("SHOW TABLES").fetchall()]
        twice = 'SELECT count(*) FROM (SELECT * FROM "{}" GROUP BY ALL HAVING count(*) > 1)'
        found = {name: connection.execute(twice.format(name)).fetchall() for name in names}
    return {name: count for name, ((count,),) in found.items() if count}


def csv_rows(path: Path) -> list[str]:
    """All rows as sorted texts, the columns by name; every line is whole."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True, restkey="too many", restval=None))
    assert all(None not in row.values() and "too many" not in row for row in rows)
    return sorted(repr(sorted(row.items())) for row in rows)


def look(folder: Path) -> None:
    """What a user finds: every file can be read, no row is there twice."""
    door = folder / "trains.duckdb"
    files = {door, published_path(door) or door}
    for database in filter(Path.exists, files):
        assert not doubled(database)
    for path in folder.glob("*.csv"):
        every = f"FROM read_csv('{path}', all_varchar = true, strict_mode = true)"
        twice = duckdb.sql(f"SELECT * {every} GROUP BY ALL HAVING count(*) > 1").fetchall()
        assert not twice, f"{path.name} has doubled rows"
    for path in folder.glob("*.d/*.parquet"):
        duckdb.sql(f"SELECT count(*) FROM '{path}'").fetchall()


def changes(path: Path) -> tuple[int, int]:
    """What is another one after ``path`` was written."""
    with suppress(FileNotFoundError):
        status = path.stat()
        return status.st_mtime_ns, status.st_size
    return 0, 0


@dataclass(slots=True)
class Killer:
    """Kills a run in the phase it was told, at a random moment of it."""

    folder: Path
    sandbox: Sandbox
    chance: random.Random
    in_time: Counter[str] = field(default_factory=Counter)
    """Kills by phase that came before the run had ended by itself."""

    def kill(self, file: Path, phase: str) -> dict[str, str]:
        """Start a run and kill it; what had landed as others could see it just before."""
        with self.moment(phase) as is_there, start(file, self.sandbox) as run:
            while not is_there() and run.poll() is None:
                time.sleep(0.002)
            before = landed(self.folder) if phase in {"landing", "load"} else {}
            time.sleep(self.chance.uniform(0.0, {"load": 0.5, "publish": 0.03}.get(phase, 0.01)))
            self.in_time[phase] += run.poll() is None
            run.kill()
            run.communicate()
        return before

    @contextmanager
    def moment(self, phase: str) -> Iterator[Callable[[], bool]]:
        """What tells from outside that the phase has begun."""
        if phase == "extract":
            calls = self.sandbox.stats()["received"] + self.chance.randint(1, DAYS_A_KILL)
            yield lambda: bool(self.sandbox.stats()["received"] >= calls)
        elif phase == "landing":
            some = count_landed(self.folder) + self.chance.randint(1, DAYS_A_KILL)
            yield lambda: count_landed(self.folder) >= some
        else:
            places = {
                "load": ("trains.duckdb.d/lock", "timetable.csv.d/.fetchcast/lock"),
                "publish": (
                    "trains.duckdb.d/door.duckdb.tmp",
                    "trains.duckdb.d/current",
                    "timetable.csv.d/.fetchcast/pending",
                    "timetable.csv.d/.fetchcast/timetable_causes.csv.tmp",
                    "timetable.csv",
                ),
            }
            path = self.folder / self.chance.choice(places[phase])
            before = changes(path)
            yield lambda: changes(path) != before


def live(folder: Path, sandbox: Sandbox, chance: random.Random, kills: int) -> Counter[str]:
    """One folder and ``kills`` kills in it; which of them came in time."""
    killer = Killer(folder, sandbox, chance)
    kept, times = landed(folder), sent(sandbox)
    for number in range(kills):
        phase = PHASES[number % len(PHASES)]
        file = write_pipeline(folder, number + 1)
        seen = killer.kill(file, phase)
        look(folder)
        if phase == PHASES[-1] or number == kills - 1:
            complete(file, sandbox)
            look(folder)
        again = sent(sandbox) - times
        assert not set(again) & set(kept.values()), "a landed answer was sent again"
        before, kept, times = {**kept, **seen}, landed(folder), sent(sandbox)
        assert before.items() <= kept.items(), "a landed answer is lost"
    return killer.in_time


def prove(folder: Path, lives: int, kills: int, seed: int) -> Counter[str]:
    """Several lives of a folder, each of which ends as if nobody had killed anything."""
    chance, in_time = random.Random(seed), Counter[str]()
    with running_sandbox(SandboxOptions(latency_ms=20, etags=True)) as sandbox:
        undisturbed = folder / "undisturbed"
        complete(write_pipeline(undisturbed, kills), sandbox)
        for number in range(lives):
            lived = folder / str(number)
            print(f"{time.monotonic():.0f} {dict(in_time)}", flush=True)
            in_time += live(lived, sandbox, chance, kills)
            assert len(landed(lived)) == 2 * DAYS_A_KILL * kills
            for name in TABLES:
                ours, wanted = (table(one / "trains.duckdb", name) for one in (lived, undisturbed))
                assert ours == wanted, f"table {name} is not as an undisturbed run has it"
                assert ours
            for name in CSVS:
                assert csv_rows(lived / name) == csv_rows(undisturbed / name)
        assert confirmed(sandbox) > lives * kills, "train 25 was not asked for again"
    return in_time


@pytest.mark.timeout(300)
def test_six_kills_cost_nothing(tmp_path: Path) -> None:
    """The short form, in one folder."""
    in_time = prove(tmp_path, lives=1, kills=6, seed=11)
    assert in_time.total() >= 4, f"most kills came in the middle: {in_time}"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [2021, 2022])
def test_two_hundred_kills_cost_nothing(tmp_path: Path, seed: int) -> None:
    """The long form, twice a hundred kills in four folders; says where the kills came."""
    in_time = prove(tmp_path, lives=4, kills=KILLS_A_LIFE, seed=seed)
    print(f"\nkilled in the middle: {dict(in_time)}, {in_time.total()} of 100")
    assert in_time.total() >= 75
    assert min(in_time[phase] for phase in PHASES) >= 10
