"""`load_every`: tables grow while the run still asks, by whole loads only."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from fetchcast.config import pipeline_from
from fetchcast.errors import ConfigError
from fetchcast.load.versions import published_path
from fetchcast.sandbox import Sandbox, SandboxOptions, running_sandbox

PIPELINE = """
name = "trains"
load_every = "0.5 seconds"
[api]
base_url = "http://127.0.0.1:9/"
[limits]
max_rate = 5
[resource.trains]
path = "trains/{date}/{train}"
params = { date = { from = "2021-03-23", to = "2021-05-21" }, train = [27] }
[table.stops]
from = "trains"
rows = "[*].timeTableRows[*]"
[table.added]
from = "trains"
rows = "[*].timeTableRows[*]"
write = "append"
[table.made_anew]
from = "trains"
rows = "[*]"
columns = { departure_date = "departureDate" }
write = "replace"
"""
DAYS = 60


@contextmanager
def going(file: Path, sandbox: Sandbox) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "fetchcast", "run", "--base-url", sandbox.rail_url, file.name]
    with subprocess.Popen(
        command,
        cwd=file.parent,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        yield run


def look(folder: Path) -> tuple[int, int, set[str]]:
    """Rows, loads and tables that a reader finds; that the loads are whole is asserted."""
    version = published_path(folder / "trains.duckdb")
    if version is None:
        return 0, 0, set()
    try:
        connection = duckdb.connect(version, read_only=True)
    except duckdb.IOException:
        assert not version.exists(), "a published version cannot be opened"
        return look(folder)
    with connection:
        tables = {name for name, *_ in connection.execute("show tables").fetchall()}
        for table in tables & {"stops", "added"}:
            found = connection.execute(
                f"select (select count(*) from {table}), sum(row_count), count(*) "
                f"from _fetchcast_loads where table_name = '{table}'"
            ).fetchone()
            assert found is not None
            rows, noted, loads = found
            assert rows == noted, f"a part of a load is to be seen in {table}"
    return rows, loads, tables


@pytest.mark.timeout(180)
def test_a_reader_sees_whole_loads_and_a_kill_costs_nothing(tmp_path: Path) -> None:
    file = tmp_path / "trains.toml"
    file.write_text(PIPELINE)
    with running_sandbox(SandboxOptions(latency_ms=5)) as sandbox:
        with going(file, sandbox) as run:
            seen: dict[int, int] = {}
            while not seen:
                assert run.poll() is None, "no load came before the end"
                rows, loads, tables = look(tmp_path)
                if loads:
                    seen[loads] = rows
                    assert "made_anew" not in tables, "it waits for the end"
                time.sleep(0.01)
            run.kill()
        assert sorted(seen.values()) == list(seen.values()), "it only grows"
        asked = sandbox.stats()["received"]
        assert asked < DAYS, "they came while the run was still asking"

        with going(file, sandbox) as run:
            said, _ = run.communicate()
        assert run.returncode == 0, said
        rows, loads, tables = look(tmp_path)
        stats = sandbox.stats()
        assert rows == stats["rows_distinct"]
        assert loads > len(seen)
        assert "made_anew" in tables
        # What was on the wire or not yet on the disk at the kill may be asked again.
        assert stats["received"] <= DAYS + 30


def test_a_span_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    raw = {
        "name": "x",
        "api": {"base_url": "http://x.test"},
        "resource": {"x": {"path": "{n}", "params": {"n": [1]}}},
        "load_every": "often",
    }
    with pytest.raises(ConfigError, match="load_every = 'often': expected a span"):
        pipeline_from(raw, folder=tmp_path)
