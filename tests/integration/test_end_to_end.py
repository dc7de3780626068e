"""The main job through the front door: the command line against the sandbox, as a user runs it."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import psycopg
import pytest

from fetchcast import arun
from fetchcast.config import pipeline_from
from fetchcast.errors import LandingError
from fetchcast.events import RunEnd
from fetchcast.landing.reader import open_reader
from fetchcast.records import Fate
from fetchcast.sandbox import Sandbox, SandboxOptions, running_sandbox
from fetchcast.testing import Reply, json_reply, running_api

DELAYS = Path(__file__).parents[1] / "data" / "train27_daily_delay_2020-01_02.csv"
EXAMPLES = Path(__file__).parents[2] / "examples"

TRAINS = """
name = "trains"
[api]
base_url = "set by --base-url"
[resource.trains]
path = "trains/{date}/{train}"
params = { date = { from = "2021-03-23", to = "2021-07-30" }, train = [27] }
[table.stops]
from = "trains"
rows = "[*].timeTableRows[*]"
carry = { departure_date = "^.departureDate", train_number = "^.trainNumber" }
""".replace("set by --base-url", "http://127.0.0.1:9/")


def fetchcast(
    *arguments: object, folder: Path, check: bool = False
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-m", "fetchcast", *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=check,
        timeout=90,
    )


def rows(database: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def landed(pipeline: Path) -> int:
    with open_reader(pipeline.parent / ".fetchcast" / "trains") as reader:
        return sum(reader.counts().values())


def wait_until_landed(pipeline: Path, more_than: int) -> None:
    """Start-up takes long on a busy machine; what has landed tells where a run is."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(LandingError):
            if landed(pipeline) > more_than:
                return
        time.sleep(0.02)
    pytest.fail(f"not more than {more_than} calls landed within a minute")


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "trains.toml"
    path.write_text(TRAINS)
    return path


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox(SandboxOptions(latency_ms=5)) as running:
        yield running


def served(sandbox: Sandbox) -> int:
    return int(sandbox.stats()["rows_distinct"])


def test_plan_run_status_and_a_rerun_that_asks_nothing(pipeline: Path, sandbox: Sandbox) -> None:
    base = ["--base-url", sandbox.rail_url]
    before = served(sandbox)

    planned = fetchcast("plan", *base, pipeline, folder=pipeline.parent, check=True)
    assert "trains: 130 calls planned" in planned.stdout
    assert f"{sandbox.rail_url}/trains/2021-03-23/27" in planned.stdout
    assert served(sandbox) == before, "a plan sends nothing"

    ran = fetchcast("run", *base, pipeline, folder=pipeline.parent)
    assert ran.returncode == 0, ran.stderr
    database = pipeline.parent / "trains.duckdb"
    assert rows(database, "select count(*) from stops") == [(served(sandbox) - before,)]
    assert rows(database, "select distinct train_number, typeof(scheduled_time) from stops") == [
        (27, "TIMESTAMP WITH TIME ZONE")
    ]

    again = fetchcast("run", *base, pipeline, folder=pipeline.parent)
    assert again.returncode == 0
    assert rows(database, "select count(*) from stops") == [(served(sandbox) - before,)]

    status = fetchcast("status", "--json", pipeline, folder=pipeline.parent, check=True)
    found = json.loads(status.stdout)
    assert sum(found["calls"]["trains"].values()) == 130
    assert [run["exit_status"] for run in found["runs"]] == [0, 0]


def test_ten_at_a_time_and_failures_lose_nothing(tmp_path: Path) -> None:
    """A hostile sandbox: both examples still end complete, no company and no day missing."""
    for name in ("train-27", "companies"):
        shutil.copytree(EXAMPLES / name, tmp_path / name)
    options = SandboxOptions(latency_ms=5, concurrency=10, fail_share=0.05)
    with running_sandbox(options) as sandbox:
        for file, url in (
            ("train-27/pipeline.toml", sandbox.rail_url),
            ("companies/v1.toml", sandbox.prh_v1_url),
            ("companies/v3.toml", sandbox.prh_v3_url),
        ):
            ran = fetchcast("run", "--base-url", url, tmp_path / file, folder=tmp_path)
            assert ran.returncode == 0, ran.stdout + ran.stderr
        stops = rows(tmp_path / "train-27/train-27.duckdb", "select count(*) from stops")
        assert stops == [(served(sandbox),)]
    asked = lines(tmp_path / "companies/companies.csv")
    for results in ("results.csv", "results-v3.csv"):
        got = lines(tmp_path / "companies" / results)
        assert [row["number"] for row in got] == [row["number"] for row in asked]
        assert {row["_fate"] for row in got} == {"landed", "empty", "skipped"}


def test_kill_nine_in_the_middle_costs_nothing(pipeline: Path) -> None:
    """Killed again and again: no landed day is asked for twice, the table has no doubles."""
    with running_sandbox(SandboxOptions(latency_ms=60, concurrency=6)) as sandbox:
        command = [sys.executable, "-m", "fetchcast", "run", "--base-url", sandbox.rail_url]
        landed_before: list[int] = []
        for more_than in (10, 40, 70):
            run = subprocess.Popen(
                [*command, str(pipeline)], cwd=pipeline.parent, stderr=subprocess.DEVNULL
            )
            wait_until_landed(pipeline, more_than)
            run.send_signal(signal.SIGKILL)
            run.wait()
            landed_before.append(landed(pipeline))
        said = fetchcast("status", "--json", pipeline, folder=pipeline.parent).stdout
        assert [one["state"] for one in json.loads(said)["runs"]] == ["killed"] * 3
        ran = fetchcast("run", "--base-url", sandbox.rail_url, pipeline, folder=pipeline.parent)
        assert ran.returncode == 0, ran.stderr
        paths = sandbox.stats()["paths"]
        accepted = {path: tally["answered"].get("200", 0) for path, tally in paths.items()}

    assert 0 < landed_before[-1] < 130, "the kills came in the middle"
    assert len(accepted) == 130
    # What was on the wire or not yet on the disk at a kill may be asked again, nothing else.
    repeated = sum(count - 1 for count in accepted.values())
    assert repeated <= 3 * 25
    database = pipeline.parent / "trains.duckdb"
    ((keys, calls),) = rows(
        database, "select count(distinct (_request_key, _row)), count(*) from stops"
    )
    assert keys == calls
    assert rows(database, "select count(distinct departure_date) > 100 from stops") == [(True,)]


def test_a_second_run_at_once_is_told_who_runs(pipeline: Path) -> None:
    with running_sandbox(SandboxOptions(latency_ms=300, concurrency=4)) as sandbox:
        command = ["run", "--base-url", sandbox.rail_url, str(pipeline)]
        first = subprocess.Popen(
            [sys.executable, "-m", "fetchcast", *command],
            cwd=pipeline.parent,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_until_landed(pipeline, 0)
            second = fetchcast(*command, folder=pipeline.parent)
            assert second.returncode == 5
            assert str(first.pid) in second.stderr
            assert "hint:" in second.stderr
        finally:
            first.kill()
            first.wait()


def test_ctrl_c_ends_soon_and_keeps_what_arrived(pipeline: Path) -> None:
    with running_sandbox(SandboxOptions(latency_ms=100, concurrency=5)) as sandbox:
        run = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "fetchcast",
                "run",
                "--base-url",
                sandbox.rail_url,
                str(pipeline),
            ],
            cwd=pipeline.parent,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until_landed(pipeline, 10)
        begun = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=10)
        took = time.monotonic() - begun
    assert run.returncode == 130, said
    assert took < 2.0
    assert "what had landed is safe" in said
    status = fetchcast("status", "--json", pipeline, folder=pipeline.parent, check=True)
    found = json.loads(status.stdout)
    assert found["calls"]["trains"]["landed"] > 0
    assert found["runs"][0]["state"] == "interrupted"


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (("http://127.0.0.1:9/", "http://127.0.0.1:9/"), 3, "nobody answers there"),
        (("[table.stops]", "[tabel.stops]"), 2, "unknown key tabel: did you mean 'table'?"),
        (('"trains/{date}/{train}"', "7"), 2, "resource.trains.path = 7: expected `str`"),
        (("[api]", "[api"), 2, "is not a TOML file"),
        (("train = [27]", 'train = { csv = "no.csv", column = "id" }'), 2, "there is no such file"),
        (("train = [27]", 'train = { csv = "empty.csv", column = "id" }'), 2, "is empty"),
    ],
)
def test_bad_input_is_one_clear_line_and_an_exit_status(
    pipeline: Path, change: tuple[str, str], status: int, message: str
) -> None:
    (pipeline.parent / "empty.csv").touch()
    pipeline.write_text(TRAINS.replace(*change))
    ran = fetchcast("run", pipeline, folder=pipeline.parent)
    assert ran.returncode == status, ran.stderr
    assert message in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


def test_init_writes_a_file_that_runs(tmp_path: Path, sandbox: Sandbox) -> None:
    url = f"{sandbox.rail_url}/trains/2020-01-15/27"
    made = fetchcast("init", url, folder=tmp_path)
    assert made.returncode == 0, made.stderr
    text = (tmp_path / "pipeline.toml").read_text()
    assert len(text.splitlines()) <= 25
    assert 'rows = "[*].timeTableRows[*]"' in text
    ran = fetchcast("run", folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    again = fetchcast("init", url, folder=tmp_path)
    assert again.returncode == 2
    assert "--force" in again.stderr


def test_the_recorded_days_give_exactly_the_recorded_delays(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    """Sixty real days, from the call to the table: the delays at three stations, to the second."""
    file = tmp_path / "recorded.toml"
    days = '{ from = "2021-03-23", to = "2021-07-30" }'
    assert days in TRAINS
    file.write_text(TRAINS.replace(days, '{ from = "2020-01-01", to = "2020-02-29" }'))
    ran = fetchcast("run", "--base-url", sandbox.rail_url, file, folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = rows(
        tmp_path / "trains.duckdb",
        """
        select departure_date::varchar, train_number::varchar, station_short_code,
               strftime(scheduled_time at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ'),
               strftime(actual_time at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ'),
               difference_in_minutes::varchar
        from stops
        where type = 'ARRIVAL' and station_short_code in ('TPE', 'SK', 'OL')
        order by _request_key, _row
        """,
    )
    expected = [tuple(line.values()) for line in lines(DELAYS)]
    assert len(expected) == 180
    assert sorted(found) == sorted(expected)


def test_postgresql_holds_the_same_rows(
    pipeline: Path, sandbox: Sandbox, postgres_url: str
) -> None:
    base = ["run", "--base-url", sandbox.rail_url, pipeline]
    into_duckdb = fetchcast(*base, folder=pipeline.parent)
    into_postgres = fetchcast(*base, "--to", postgres_url, folder=pipeline.parent)
    assert (into_duckdb.returncode, into_postgres.returncode) == (0, 0), into_postgres.stderr
    sql = (
        "select count(*), sum(difference_in_minutes), count(distinct _request_key), "
        "min(scheduled_time), max(scheduled_time) from stops"
    )
    with psycopg.connect(postgres_url) as connection:
        there = connection.execute(sql).fetchall()
    here = rows(pipeline.parent / "trains.duckdb", sql)
    assert [tuple(map(str, row[:3])) for row in there] == [tuple(map(str, row[:3])) for row in here]
    assert [row[3:] for row in there] == [row[3:] for row in here]


async def test_one_bad_answer_costs_only_itself(tmp_path: Path) -> None:
    """Each kind of bad answer is a line that names its call; the others are in the table."""
    good = json_reply([{"timeTableRows": [{"a": 1}, {"a": 2}]}])
    answers = {
        "1": good,
        "2": Reply(200, {"Content-Type": "text/html"}, b"<html>maintenance</html>"),
        "3": json_reply({"code": "TRAIN_NOT_FOUND", "errorMessage": "no such train"}),
        "4": Reply(200, body=b'[{"timeTableRows": [{"a"', cut_after=10),
        "5": Reply(200, body=b"[" + b"1," * 50_000 + b"1]"),
        "6": good,
    }
    raw = {
        "name": "bad",
        "retry": {"attempts": 2, "base_s": 0.01, "max_s": 0.02},
        "http": {"max_body_bytes": 50_000},
        "resource": {"trains": {"path": "{n}", "params": {"n": list(answers)}}},
        "table": {"stops": {"from": "trains", "rows": "[*].timeTableRows[*]"}},
    }
    async with running_api({f"/{n}": reply for n, reply in answers.items()}) as api:
        pipeline = pipeline_from({**raw, "api": {"base_url": api.url}}, folder=tmp_path)
        report = await arun(pipeline)

    assert report.end == RunEnd.INCOMPLETE == 3
    assert report.resources["trains"].fates == {Fate.LANDED: 2, Fate.FAILED: 4}
    reasons = {failure.what[-1]: failure.reason for failure in report.failures}
    assert "HTML" in reasons["2"]
    assert "no such train" in reasons["3"]
    assert set(reasons) == {"2", "3", "4", "5"}
    assert "50,000" in reasons["5"] or "50000" in reasons["5"]
    assert rows(tmp_path / "bad.duckdb", "select count(*) from stops") == [(4,)]


def test_the_demo_prints_the_answer_and_ends(tmp_path: Path) -> None:
    ran = fetchcast("demo", "--no-serve", "--latency", "5", folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Will train 27 be in Tampere by 16:00?" in ran.stdout
    assert "the same" in ran.stdout
    (trains,) = [line.split() for line in ran.stdout.splitlines() if line.startswith("trains ")]
    planned, *ends = (int(text) for text in trains[1:])
    assert planned == sum(ends) == 365
    again = fetchcast(
        "demo", "--no-serve", "--folder", ".", folder=tmp_path / "fetchcast-demo/companies"
    )
    assert again.returncode == 2, "a folder that is not the demo's is left alone"
