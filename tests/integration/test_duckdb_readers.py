"""The published DuckDB file can be opened by anybody at any time while loads run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from fetchcast.errors import DestinationError
from fetchcast.load.destinations import open_destination
from fetchcast.load.duckdb import published_path
from fetchcast.records import Batch, Destination, Disposition, Target

ROWS = 5_000
URL = "duckdb:///x.duckdb"

LOADER = """
    import sys
    from pathlib import Path
    import pyarrow as pa
    from fetchcast.load.destinations import open_destination
    from fetchcast.records import Batch, LoadNote, Target

    folder, first, last, rows = Path(sys.argv[1]), *map(int, sys.argv[2:])
    destination = open_destination("duckdb:///x.duckdb", folder)
    for number in range(first, last):
        with destination.load() as loading:
            note = LoadNote(load_id=f"load-{number}", run_id="r", table="t", landing="l",
                from_seq=number, upto_seq=number + 1, shape="s", rows=rows, loaded_at=number)
            if loading.note(note):
                for part in range(4):
                    key = f"{number}-{part}"
                    data = pa.table({"_request_key": [key] * (rows // 4),
                                     "load": [number] * (rows // 4)})
                    loading.write(Batch(target=Target(table="t"), rows=data, keys=[key]))
        print(number, flush=True)
"""

READER = """
    import json, sys, time
    from pathlib import Path
    import duckdb
    from fetchcast.load.duckdb import published_path

    door, app, rows = Path(sys.argv[1]) / "x.duckdb", sys.argv[2] == "app", int(sys.argv[3])
    reads, errors, broken, times, newest = 0, [], [], [], -1
    print("ready", flush=True)
    while not (door.parent / "stop").exists():
        began = time.perf_counter()
        try:
            path = published_path(door) if app else door
            with duckdb.connect(str(path), read_only=True) as connection:
                got = connection.execute(
                    "SELECT count(*), count(DISTINCT load), max(load) FROM t").fetchone()
        except duckdb.Error as error:
            errors.append(str(error)[:200])
            continue
        times.append(time.perf_counter() - began)
        if got[0] != rows * got[1] or got[2] < newest:
            broken.append(got)
        reads, newest = reads + 1, got[2]
    times.sort()
    print(json.dumps({"reads": reads, "errors": errors, "broken": broken, "newest": newest,
                      "p99_s": times[int(len(times) * 0.99)]}))
"""


def start(script: str, *args: object, stdin: int | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, args)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=stdin, stdout=pipe, stderr=pipe, text=True)


def load(folder: Path, number: int, rows: int = ROWS) -> None:
    done = start(LOADER, folder, number, number + 1, rows)
    _, errors = done.communicate(timeout=60)
    assert done.returncode == 0, errors


def load_here(folder: Path, value: int, table: str = "t") -> None:
    load_into(open_destination(URL, folder), value, table)


def load_into(destination: Destination, value: int, table: str = "t") -> None:
    with destination.load() as loading:
        target = Target(table=table, disposition=Disposition.APPEND)
        loading.write(Batch(target=target, rows=pa.table({"load": [value]})))


def at_the_door(folder: Path, statement: str) -> list[tuple]:
    with duckdb.connect(str(folder / "x.duckdb"), read_only=True) as connection:
        return connection.execute(statement).fetchall()


@pytest.mark.parametrize("loads", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_readers_meet_no_lock_and_whole_loads_only(tmp_path, loads):
    """Two tools read in a loop while another process loads: 0 errors, nothing half, no way back."""
    load(tmp_path, 0)
    readers = [start(READER, tmp_path, way, ROWS) for way in ("app", "door")]
    for reader in readers:
        assert reader.stdout.readline() == "ready\n"
    loader = start(LOADER, tmp_path, 1, loads + 1, ROWS)
    _, errors = loader.communicate(timeout=100)
    (tmp_path / "stop").touch()
    assert loader.returncode == 0, errors

    for reader in readers:
        said = json.loads(reader.communicate(timeout=30)[0])
        print(loads, said)
        assert said["errors"] == []
        assert said["broken"] == []
        assert said["reads"] >= loads // 2
        assert said["newest"] >= loads - 1


def test_old_versions_go_and_two_stay(tmp_path):
    for number in range(5):
        load_here(tmp_path, number)

    assert sorted(path.name for path in (tmp_path / "x.duckdb.d").iterdir()) == [
        "000004.duckdb",
        "000005.duckdb",
        "current",
        "lock",
    ]


def test_a_version_that_is_open_stays_as_it_is(tmp_path):
    """A reader keeps its rows; the next question goes to the next version."""
    load_here(tmp_path, 1)
    first = published_path(tmp_path / "x.duckdb")
    with duckdb.connect(str(first), read_only=True) as old:
        for value in range(2, 6):
            load_here(tmp_path, value)
        assert old.execute("SELECT count(*) FROM t").fetchone() == (1,)
        second = published_path(tmp_path / "x.duckdb")
        with duckdb.connect(str(second), read_only=True) as new:
            assert new.execute("SELECT count(*) FROM t").fetchone() == (5,)


def test_what_a_person_makes_between_two_loads_is_kept(tmp_path):
    load_here(tmp_path, 1)
    with duckdb.connect(str(tmp_path / "x.duckdb")) as person:
        person.execute("CREATE VIEW mine AS SELECT sum(load) total FROM t")
        person.execute("CREATE TABLE notes AS SELECT 'late again' AS text")

    load_here(tmp_path, 2)

    assert at_the_door(tmp_path, "FROM mine") == [(3,)]
    assert open_destination(URL, tmp_path).query("FROM notes").to_pylist() == [
        {"text": "late again"}
    ]


def test_a_database_that_was_there_before_keeps_its_tables(tmp_path):
    with duckdb.connect(str(tmp_path / "x.duckdb")) as person:
        person.execute("CREATE TABLE customers AS SELECT 42 AS id")

    load_here(tmp_path, 1)

    assert at_the_door(tmp_path, "FROM customers") == [(42,)]
    assert at_the_door(tmp_path, "FROM t") == [(1,)]


SESSION = """
    import sys, time, duckdb
    connection = duckdb.connect(sys.argv[1])
    connection.execute("SET wal_autocheckpoint = '1TB'")
    connection.execute("CREATE TABLE mine AS SELECT 7 AS seven")
    print("open", flush=True)
    time.sleep(60)
"""


HOLDER = """
    import sys, time, duckdb
    connection = duckdb.connect(sys.argv[1], read_only=True)
    print("open", flush=True)
    time.sleep(60)
"""


def test_a_session_that_crashed_with_a_wal_loses_nothing(tmp_path):
    """Its log would keep everybody from opening the next version; what it wrote goes along."""
    load_here(tmp_path, 1)
    session = start(SESSION, tmp_path / "x.duckdb")
    assert session.stdout.readline() == "open\n"
    session.kill()
    session.communicate()
    assert (tmp_path / "x.duckdb.wal").exists()

    load_here(tmp_path, 2)

    assert not (tmp_path / "x.duckdb.wal").exists()
    assert at_the_door(tmp_path, "FROM mine") == [(7,)]
    assert at_the_door(tmp_path, "SELECT count(*) FROM t") == [(2,)]


TYPED = """
    import sys, duckdb
    connection = duckdb.connect(sys.argv[1])
    print("open", flush=True)
    for line in sys.stdin:
        connection.execute(line)
        print("done", flush=True)
    connection.close()
"""


def typed(session, statement: str) -> None:
    session.stdin.write(statement + "\n")
    session.stdin.flush()
    assert session.stdout.readline() == "done\n"


def test_a_session_that_stays_open_for_writing_stops_no_load_and_loses_nothing(tmp_path):
    """What it makes before and after a load is in the file with the next load after its end."""
    load_here(tmp_path, 1)
    session = start(TYPED, tmp_path / "x.duckdb", stdin=subprocess.PIPE)
    assert session.stdout.readline() == "open\n"
    typed(session, "CREATE TABLE early AS SELECT 1 AS one")

    destination = open_destination(URL, tmp_path)
    load_into(destination, 2)

    assert "open for writing in another program" in "".join(destination.notices)
    assert open_destination(URL, tmp_path).query("FROM t").num_rows == 2
    typed(session, "CREATE TABLE late (two INTEGER PRIMARY KEY)")
    typed(session, "INSERT INTO late VALUES (2)")
    typed(session, "CREATE VIEW both_of_them AS SELECT one, two FROM early, late")
    load_here(tmp_path, 3)
    session.communicate()

    assert at_the_door(tmp_path, "FROM late") == [(2,)]
    assert at_the_door(tmp_path, "SELECT count(*) FROM t") == [(1,)], "as it was"
    # Whoever asks what was loaded brings it up to date, also if there is nothing to load.
    open_destination(URL, tmp_path).last_note("t")
    assert at_the_door(tmp_path, "SELECT count(*) FROM t") == [(3,)]
    assert at_the_door(tmp_path, "FROM both_of_them") == [(1, 2)]
    assert not list((tmp_path / "x.duckdb.d").glob("set-aside*"))


def test_an_open_session_that_is_killed_loses_nothing(tmp_path):
    load_here(tmp_path, 1)
    session = start(SESSION, tmp_path / "x.duckdb")
    assert session.stdout.readline() == "open\n"
    load_here(tmp_path, 2)
    assert open_destination(URL, tmp_path).query("FROM t").num_rows == 2
    session.kill()
    session.communicate()
    load_here(tmp_path, 3)
    assert at_the_door(tmp_path, "SELECT count(*) FROM t") == [(3,)]
    assert at_the_door(tmp_path, "FROM mine") == [(7,)]


def test_changes_in_a_table_of_ours_are_set_aside_and_told(tmp_path):
    """They cannot go along with a load that knew nothing of them; nor do macros."""
    load_here(tmp_path, 1)
    session = start(TYPED, tmp_path / "x.duckdb", stdin=subprocess.PIPE)
    assert session.stdout.readline() == "open\n"
    typed(session, "UPDATE t SET load = 100")
    typed(session, "CREATE MACRO twice(x) AS 2 * x")
    load_here(tmp_path, 2)
    session.communicate()

    destination = open_destination(URL, tmp_path)
    load_into(destination, 3)

    assert "changes in table t" in "".join(destination.notices)
    assert "macro twice" in "".join(destination.notices)
    assert sorted(at_the_door(tmp_path, "FROM t")) == [(1,), (2,), (3,)]
    (aside,) = (tmp_path / "x.duckdb.d").glob("set-aside*.duckdb")
    with duckdb.connect(str(aside), read_only=True) as connection:
        assert connection.execute("SELECT twice(load) FROM t").fetchall() == [(200,)]


def test_a_kill_before_the_door_is_replaced_keeps_its_log(tmp_path):
    """The log of a crashed session was moved away, and the door not yet replaced."""
    load_here(tmp_path, 1)
    session = start(SESSION, tmp_path / "x.duckdb")
    assert session.stdout.readline() == "open\n"
    session.kill()
    session.communicate()
    (tmp_path / "x.duckdb.wal").rename(tmp_path / "x.duckdb.d" / "log-000002.wal")
    load_here(tmp_path, 2)
    assert at_the_door(tmp_path, "FROM mine") == [(7,)]


def test_a_person_may_open_it_for_writing_while_the_app_reads(tmp_path):
    """The door and the app's version are two files, so their locks do not meet."""
    load_here(tmp_path, 1)
    app = start(HOLDER, published_path(tmp_path / "x.duckdb"))
    assert app.stdout.readline() == "open\n"

    with duckdb.connect(str(tmp_path / "x.duckdb")) as person:
        assert person.execute("SELECT count(*) FROM t").fetchone() == (1,)
    load_here(tmp_path, 2)
    app.kill()
    app.communicate()
    assert at_the_door(tmp_path, "SELECT count(*) FROM t") == [(2,)]


FULL_DISK = """
    import random, resource, sys
    from pathlib import Path
    import pyarrow as pa
    from fetchcast.errors import DestinationError
    from fetchcast.load.destinations import open_destination
    from fetchcast.records import Batch, Disposition, Target

    destination = open_destination(sys.argv[2], Path(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
    rows = pa.table({"load": [random.random() for _ in range(500_000)]})
    try:
        with destination.load() as loading:
            target = Target(table="t", disposition=Disposition.APPEND)
            loading.write(Batch(target=target, rows=rows))
    except DestinationError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize(
    ("url", "limit"), [(URL, 60_000), (URL, 1_500_000), ("parquet:///x", 1_500_000)]
)
def test_no_room_on_the_disk_leaves_what_was_there(tmp_path, url, limit):
    destination = open_destination(url, tmp_path)
    target = Target(table="t", disposition=Disposition.APPEND)
    with destination.load() as loading:
        loading.write(Batch(target=target, rows=pa.table({"load": [1.0]})))

    said, errors = start(FULL_DISK, tmp_path, url, limit).communicate(timeout=60)

    assert "not applied" in said, errors
    assert "landed answers are kept" in said
    assert destination.query("SELECT count(*) n FROM t").to_pylist() == [{"n": 1}]


def test_a_deleted_database_is_gone(tmp_path):
    load_here(tmp_path, 1)
    (tmp_path / "x.duckdb").unlink()

    destination = open_destination(URL, tmp_path)
    assert published_path(tmp_path / "x.duckdb") is None
    assert destination.last_note("t") is None
    load_here(tmp_path, 2)
    assert destination.query("FROM t").to_pylist() == [{"load": 2}]


def test_two_loads_at_once_wait_for_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr("fetchcast.load.disk._LOCK_WAIT_S", 0.2)
    destination = open_destination(URL, tmp_path)
    with (
        destination.load(),
        pytest.raises(DestinationError, match=rf"process {os.getpid()}.*not applied"),
        destination.load(),
    ):
        raise AssertionError


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "x.duckdb").write_bytes(b"not a database " * 2_000)

    with pytest.raises(DestinationError, match="not applied"):
        load_here(tmp_path, 1)
    assert (tmp_path / "x.duckdb").read_bytes().startswith(b"not a database")


@pytest.mark.parametrize("kills", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_kill_at_any_moment_leaves_whole_loads(tmp_path, kills):
    """SIGKILL while loading or publishing: the old version or the new one, then go on."""
    chance, done = random.Random(4), -1
    load(tmp_path, 0)
    for _ in range(kills):
        loader = start(LOADER, tmp_path, 0, 10_000, ROWS)
        assert loader.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.25))
        loader.send_signal(signal.SIGKILL)
        said = loader.communicate()[0].split()
        done = max([done, *map(int, said[:-1])])
        for path in (tmp_path / "x.duckdb", published_path(tmp_path / "x.duckdb")):
            with duckdb.connect(str(path), read_only=True) as connection:
                rows, loads, newest = connection.execute(
                    "SELECT count(*), count(DISTINCT load), max(load) FROM t"
                ).fetchone()
            assert rows == ROWS * loads
            assert loads == newest + 1
            assert newest >= done
    load(tmp_path, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.duckdb", "x.duckdb.d"]
