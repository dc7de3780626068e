"""PostgreSQL as a destination: what readers see, and what errors say."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pyarrow as pa
import pytest

from fetchcast.errors import DestinationError, QueryError
from fetchcast.load.destinations import open_destination
from fetchcast.load.postgres import PostgreSQL, address
from fetchcast.records import Batch, Disposition, Target

HERE = Path()
REPLACE = Target(table="t", disposition=Disposition.REPLACE)
APPEND = Target(table="t", disposition=Disposition.APPEND)
MERGE = Target(table="t", key=("id",), whole_keys=False)


def load(url: str, rows: dict, target: Target, keys: tuple[str, ...] = ()) -> None:
    with open_destination(url, HERE).load() as loading:
        loading.write(Batch(target=target, rows=pa.table(rows), keys=keys))


def ask(url: str, statement: str) -> list[tuple]:
    with psycopg.connect(url) as connection:
        return connection.execute(statement).fetchall()


def test_replace_is_atomic_and_blocks_no_reader(postgres_url):
    """A reader in the middle of a replace sees the old table, whole, and waits for nothing."""
    load(postgres_url, {"v": [1, 2]}, REPLACE)
    with psycopg.connect(postgres_url) as patient:
        patient.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        patient.execute("SELECT 1 FROM pg_class LIMIT 1")
        with open_destination(postgres_url, HERE).load() as loading:
            loading.write(Batch(target=REPLACE, rows=pa.table({"v": [9]})))
            with psycopg.connect(postgres_url, options="-c lock_timeout=500") as reader:
                assert reader.execute("SELECT v FROM t ORDER BY v").fetchall() == [(1,), (2,)]
        assert patient.execute("SELECT v FROM t ORDER BY v").fetchall() == [(1,), (2,)]
    assert ask(postgres_url, "SELECT v FROM t") == [(9,)]


def test_readers_see_whole_loads_only(postgres_url):
    load(postgres_url, {"v": [0] * 500}, REPLACE)
    stop, counts = threading.Event(), []

    def read() -> None:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            while not stop.is_set():
                counts.append(
                    connection.execute("SELECT count(*), count(DISTINCT v) FROM t").fetchone()
                )

    reader = threading.Thread(target=read)
    reader.start()
    for value in range(1, 15):
        load(postgres_url, {"v": [value] * 500}, REPLACE)
    stop.set()
    reader.join()

    assert set(counts) == {(500, 1)}


@pytest.mark.parametrize("way", ["pgpq", "adbc"])
def test_rows_that_are_the_same_already_are_not_written(postgres_url, monkeypatch, way):
    monkeypatch.setenv("FETCHCAST_POSTGRES_COPY", way)
    load(postgres_url, {"id": ["a", "b"], "v": [1.0, None]}, MERGE)
    load(postgres_url, {"id": ["a", "b"], "v": [1.0, None]}, MERGE)
    before = ask(postgres_url, "SELECT id, xmin::text, xmax::text FROM t ORDER BY id")

    load(postgres_url, {"id": ["a", "b", "c"], "v": [1.0, 2.0, None]}, MERGE)

    after = ask(postgres_url, "SELECT id, xmin::text, xmax::text FROM t ORDER BY id")
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert ask(postgres_url, "SELECT * FROM t ORDER BY id") == [
        ("a", 1.0),
        ("b", 2.0),
        ("c", None),
    ]


def test_tables_may_go_into_a_schema_of_their_own(postgres_url):
    url = f"{postgres_url}&schema=Juna data"
    load(url, {"v": [1]}, APPEND)

    assert ask(postgres_url, 'SELECT v FROM "Juna data".t') == [(1,)]
    assert open_destination(url, HERE).query("SELECT v FROM t").to_pylist() == [{"v": 1}]


def test_two_loads_of_the_same_calls_at_once_double_nothing(postgres_url):
    target = Target(table="t")
    rows = {"_request_key": ["a"] * 2_000, "v": list(range(2_000))}
    load(postgres_url, rows, target, keys=("a",))
    threads = [
        threading.Thread(target=load, args=(postgres_url, rows, target, ("a",))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ask(postgres_url, "SELECT count(*), count(DISTINCT v) FROM t") == [(2000, 2000)]


def test_a_server_that_goes_away_in_mid_load(postgres_url):
    load(postgres_url, {"v": [1]}, APPEND)

    def write_on() -> None:
        with open_destination(postgres_url, HERE).load() as loading:
            loading.write(Batch(target=APPEND, rows=pa.table({"v": [2]})))
            with psycopg.connect(postgres_url, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE pid <> pg_backend_pid() AND datname = current_database()"
                )
            loading.write(Batch(target=APPEND, rows=pa.table({"v": [3]})))

    with pytest.raises(DestinationError, match="this load was not applied") as gone:
        write_on()
    assert "fetchcast replay" in str(gone.value)
    assert ask(postgres_url, "SELECT v FROM t") == [(1,)]


LOADER = """
    import sys
    from pathlib import Path
    import pyarrow as pa
    from fetchcast.load.destinations import open_destination
    from fetchcast.records import Batch, Target

    for number in range(10_000):
        with open_destination(sys.argv[1], Path()).load() as loading:
            for part in range(4):
                rows = pa.table({"_request_key": [f"{number}-{part}"] * 250, "n": [number] * 250})
                loading.write(Batch(target=Target(table="t"), rows=rows, keys=[f"{number}-{part}"]))
        print(number, flush=True)
"""


def test_kill_in_mid_load_leaves_whole_loads(postgres_url):
    for pause in (0.0, 0.037):
        command = [sys.executable, "-c", textwrap.dedent(LOADER), postgres_url]
        loader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert loader.stdout.readline()
        time.sleep(pause)
        loader.kill()
        done = [int(line) for line in loader.communicate()[0].splitlines()[:-1]]
        [(rows, loads, newest)] = ask(
            postgres_url, "SELECT count(*), count(DISTINCT n), max(n) FROM t"
        )
        assert rows == 1000 * loads
        assert loads == newest + 1
        assert newest >= max([0, *done])


def test_no_right_to_write_is_said_with_the_state(postgres_url):
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE t (v bigint); INSERT INTO t VALUES (1)")
        connection.execute("DROP ROLE IF EXISTS visitor; CREATE ROLE visitor LOGIN")
        connection.execute("GRANT SELECT ON t TO visitor")
    url = urlsplit(postgres_url)._replace(netloc="visitor@").geturl()

    with pytest.raises(DestinationError, match=r"permission denied.*not applied"):
        load(url, {"v": [2]}, APPEND)
    with pytest.raises(DestinationError, match=r"permission denied.*not applied"):
        load(url, {"v": [2]}, Target(table="other", disposition=Disposition.APPEND))
    assert ask(postgres_url, "SELECT v FROM t") == [(1,)]


@pytest.mark.parametrize("way", ["pgpq", "adbc"])
def test_what_the_server_refuses_comes_with_what_to_do(postgres_url, monkeypatch, way):
    monkeypatch.setenv("FETCHCAST_POSTGRES_COPY", way)
    monkeypatch.setattr("fetchcast.load.postgres._LOCK_TIMEOUT_S", 1)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE t (v bigint)")
    with psycopg.connect(postgres_url) as connection:
        connection.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(DestinationError, match=r"(?s)lock timeout.*end it \(see pg_stat_act"):
            load(postgres_url, {"v": [2]}, APPEND)
    only_reads = f"{postgres_url}&options=-c%20default_transaction_read_only%3Don"
    with pytest.raises(DestinationError, match=r"(?s)read-only.*name the primary.*replay"):
        load(only_reads, {"v": [2]}, APPEND)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@127.0.0.1:1/db",
        "postgresql://me:hunter2%20x@127.0.0.1:1/db",
        "postgresql://me:hun/ter2@127.0.0.1:1/db",
        "postgresql://me:hunter2@@127.0.0.1:nonsense/db",
        "postgresql://127.0.0.1:1/db?user=me&password=hunter2",
    ],
)
@pytest.mark.parametrize("way", ["pgpq", "adbc"])
def test_a_wrong_address_says_so_and_keeps_the_password(url, way):
    destination = PostgreSQL(url, copy=way)
    with pytest.raises(DestinationError) as refused, destination.load():
        pass
    with pytest.raises(QueryError) as unanswered:
        destination.query("SELECT 1")

    for text in (str(refused.value), str(unanswered.value), destination.url):
        assert "127.0.0.1" in text
        for secret in ("hunter2", "ter2"):
            assert secret not in text
    assert "landed answers are kept" in str(refused.value)


def test_the_address_without_options_is_left_as_it_is():
    parts = address("postgresql://me:pw@host:5433/db?sslmode=require&schema=s")

    assert parts.dsn == "postgresql://me:pw@host:5433/db?sslmode=require&connect_timeout=15"
    assert parts.shown == "postgresql://me@host:5433/db?sslmode=require&schema=s"
    assert parts.schema == "s"


def test_nul_becomes_a_replacement_character(postgres_url):
    """PostgreSQL cannot hold it; the landed answer can."""
    load(postgres_url, {"v": ["a\x00b", None]}, APPEND)

    assert ask(postgres_url, "SELECT v FROM t") == [("a\ufffdb",), (None,)]


def test_a_name_that_is_too_long_is_refused(postgres_url):
    with pytest.raises(DestinationError, match="200 bytes, PostgreSQL allows 63"):
        load(postgres_url, {"x" * 200: [1]}, APPEND)
    with pytest.raises(DestinationError, match="200 bytes, PostgreSQL allows 63"):
        open_destination(postgres_url, Path.cwd()).last_note("x" * 200)


def test_a_server_without_merge_does_the_same_in_two_statements(postgres_url, monkeypatch):
    monkeypatch.setattr("fetchcast.load.postgres._HAS_MERGE", 990_000)
    load(postgres_url, {"id": ["a", "b"], "v": [1.0, None]}, MERGE)
    before = ask(postgres_url, "SELECT xmin::text FROM t WHERE id = 'a'")
    load(postgres_url, {"id": ["a", "b", "c"], "v": [1.0, 2.0, None]}, MERGE)

    assert ask(postgres_url, "SELECT * FROM t ORDER BY id") == [
        ("a", 1.0),
        ("b", 2.0),
        ("c", None),
    ]
    assert ask(postgres_url, "SELECT xmin::text FROM t WHERE id = 'a'") == before


def test_the_key_of_a_large_table_is_indexed_once_when_little_is_loaded(postgres_url):
    keys = [f"{number:06}" for number in range(120_000)]
    target = Target(table="t")
    load(postgres_url, {"_request_key": keys, "v": keys}, target, tuple(keys))
    assert ask(postgres_url, "SELECT count(*) FROM pg_indexes WHERE tablename = 't'") == [(0,)]

    with psycopg.connect(postgres_url) as connection:
        connection.execute("ANALYZE t")
    for _ in range(2):
        load(postgres_url, {"_request_key": ["000007"], "v": ["x"]}, target, ("000007",))

    assert ask(postgres_url, "SELECT indexdef FROM pg_indexes WHERE tablename = 't'") == [
        ("CREATE INDEX t__request_key_idx ON public.t USING btree (_request_key)",)
    ]
    assert ask(postgres_url, "SELECT count(*), max(v) FROM t") == [(120_000, "x")]


def test_a_view_on_a_table_survives_a_replace_of_the_same_shape(postgres_url):
    load(postgres_url, {"v": [1]}, REPLACE)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE VIEW mine AS SELECT sum(v) s FROM t")

    load(postgres_url, {"v": [4]}, REPLACE)
    assert ask(postgres_url, "SELECT s::int FROM mine") == [(4,)]
    with pytest.raises(DestinationError, match="view mine depends"):
        load(postgres_url, {"v": ["text"]}, REPLACE)


def test_queries_return_arrow_types(postgres_url):
    table = open_destination(postgres_url, HERE).query(
        "SELECT 1.5::numeric n, '{\"a\": 1}'::jsonb j, '2026-03-29 01:00+00'::timestamptz m, "
        "ARRAY[0.5, 1]::float8[] q"
    )

    assert table.schema.field("n").type == pa.float64()
    assert table.schema.field("m").type == pa.timestamp("us", "UTC")
    assert table.to_pylist()[0]["j"] == '{"a": 1}'
    assert table.to_pylist()[0]["q"] == [0.5, 1.0]


def test_a_query_cannot_write_even_by_a_function(postgres_url):
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE SEQUENCE s")

    with pytest.raises(QueryError, match="read-only"):
        open_destination(postgres_url, HERE).query("SELECT nextval('s')")
