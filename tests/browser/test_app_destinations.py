"""The same app over PostgreSQL, over nothing yet, and over a file that changes beneath it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

import pytest

from fetchcast.clock import SystemClock
from fetchcast.load.destinations import open_destination
from fetchcast.load.duckdb import published_path
from fetchcast.serve import tables


def get_json(url):
    with urlopen(url) as answer:
        return json.load(answer)


def refused(url):
    """Status and text of an answer that is none."""
    with pytest.raises(HTTPError) as caught:
        urlopen(url)
    with caught.value as answer:
        return answer.code, answer.read().decode()


@pytest.mark.postgres
def test_postgresql_gives_the_same_answers(world, site, postgres_url, tmp_path, running):
    """Question, series, tables and queries do not depend on where the tables are."""
    other = replace(world, destination=running.fill(tmp_path, postgres_url), folder=tmp_path)
    with running(other) as second:
        for path in (
            "/api/v1/questions/tampere?deadline=16:07",
            "/api/v1/series",
            "/api/v1/series/arrival_delay/27%20TPE/backtest",
            "/api/v1/tables/observation/rows?filter=unique_id:eq:27+TPE&sort=-ds&limit=5",
        ):
            assert get_json(second + path) == get_json(site + path), path
        with urlopen(second + "/data/forecast") as page:
            assert "q975" in page.read().decode()


@pytest.mark.postgres
def test_sql_cannot_leave_postgresql(world, postgres_url, tmp_path, running):
    """A login that may only read answers one SELECT, and nothing that reaches further."""
    running.fill(tmp_path, postgres_url)
    with running(replace(world, destination=reader_of(postgres_url))) as site:
        asked = site + "/api/v1/sql?q="
        assert get_json(asked + quote("select 1 as one"))["rows"] == [{"one": 1}]
        assert len(get_json(asked + quote("select * from forecast"))["rows"]) == 560
        for sql in (
            "drop table forecast",
            "select 1; drop table forecast",
            "select 1) as x; commit; drop table forecast; --",
            "insert into forecast(series) values ('x') returning 1",
            "with gone as (delete from forecast returning 1) select * from gone",
            "copy forecast to '/tmp/stolen'",
            "select pg_read_file('/etc/passwd')",
            "select * from pg_ls_dir('/')",
            "select lo_import('/etc/passwd')",
            "select set_config('transaction_read_only', 'off', true), lo_create(0)",
            "select repeat('x', 900000000)",
            "select repeat('x', 1000000) from generate_series(1, 1000)",
        ):
            assert refused(asked + quote(sql))[0] == 422, sql
        assert get_json(site + "/api/v1/questions/tampere")["date"] == "2026-03-04"


@pytest.mark.postgres
def test_sql_is_not_asked_as_a_superuser(world, postgres_url, running):
    """It could read the server's files by a function; the pages go on."""
    with running(replace(world, destination=postgres_url)) as site:
        status, text = refused(site + "/api/v1/sql?q=" + quote("select 1"))
        assert status == 422
        assert "may only SELECT" in text


def reader_of(url):
    """The address of a login that may read every table of the database and no more."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'reader' IN ROLE pg_read_all_data")
    place = urlsplit(url)
    return place._replace(netloc="reader:reader@" + place.netloc.rpartition("@")[2]).geturl()


@pytest.mark.postgres
def test_postgresql_ends_a_query_that_takes_too_long(world, postgres_url, running, monkeypatch):
    monkeypatch.setattr(tables, "MOST_SECONDS", 0.3)
    with running(replace(world, destination=reader_of(postgres_url))) as site:
        status, text = refused(site + "/api/v1/sql?q=" + quote("select pg_sleep(5)"))
    assert status == 422
    assert "statement timeout" in text or "not done after" in text


def test_over_sqlite_the_pages_say_what_to_do(world, tmp_path, running):
    """SQLite has no time stamps; what has landed can be loaded into a file that has."""
    from fetchcast.records import Batch, Target

    url = "sqlite:///rows.db"
    rows = open_destination(world.destination, world.folder).query("select * from series")
    with open_destination(url, tmp_path).load() as loading:
        target = Target(table="series", key=("series", "unique_id"), whole_keys=False)
        loading.write(Batch(target=target, rows=rows))
    with running(replace(world, destination=url, folder=tmp_path)) as site:
        for path in ("/forecast", "/data"):
            status, text = refused(site + path)
            assert status == 503
            assert "fetchcast replay --to duckdb:///app.duckdb train-27.toml" in text


def test_a_database_that_is_not_there_yet_is_a_page_with_the_next_command(world, tmp_path, running):
    with running(replace(world, folder=tmp_path)) as site:
        status, text = refused(site + "/")
        assert status == 503
        assert "fetchcast run train-27.toml" in text
        status, text = refused(site + "/api/v1/series")
        assert status == 503
        assert json.loads(text)["title"] == "Nothing to show yet"


def test_old_data_are_said_beside_the_answer(world, running):
    """Nobody has loaded anything for half a year; the question is still about its day."""
    place = "/question/tampere?date=2026-03-10"
    with running(world, clock=SystemClock()) as site, urlopen(site + place) as answer:
        assert re.search(r"Not up to date.*\d{3} days old", answer.read().decode())


def published(folder):
    """The file that the app reads."""
    return published_path(folder / "world.duckdb")


def test_a_database_that_another_program_holds_is_a_page_that_says_so(world, tmp_path, running):
    url = running.fill(tmp_path)
    hold = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print(1); sys.stdin.read()"
    command = [sys.executable, "-u", "-c", hold, str(published(tmp_path))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"1\n"
        with running(replace(world, destination=url, folder=tmp_path)) as site:
            for path in ("/", "/forecast", "/data", "/api/v1/series"):
                status, text = refused(site + path)
                assert status == 503, path
                assert "another program holds the file open" in text
            other.stdin.close()
            other.wait(20)
            assert get_json(site + "/api/v1/series")["total"] > 0


@pytest.mark.parametrize("kind", ["another version", "no database"])
def test_a_file_that_cannot_be_read_is_a_page_that_says_so(world, tmp_path, running, kind):
    """Of a DuckDB of the future, or of none."""
    url = running.fill(tmp_path)
    file = published(tmp_path)
    body = bytearray(file.read_bytes())
    if kind == "no database":
        body = bytearray(b"nothing of the kind " * 1000)
    else:
        body[12:20] = (9999).to_bytes(8, "little")  # Behind the checksum and the four signs.
    file.chmod(0o644)
    file.write_bytes(body)
    with running(replace(world, destination=url, folder=tmp_path)) as site:
        for path in ("/", "/data", "/sql?q=select+1", "/api/v1/series"):
            status, text = refused(site + path)
            assert status in {422, 503}, path
            assert "Traceback" not in text
        status, text = refused(site + "/")
        assert (status, "The database cannot be read" in text) == (503, True)


def test_a_destination_that_cannot_be_reached_never_shows_its_password(world, running):
    """The page says what is wrong without the secret."""
    url = "postgresql://someone:s3cret@127.0.0.1:9/none"
    with running(replace(world, destination=url)) as site:
        for path in ("/", "/data", "/api/v1/series"):
            status, text = refused(site + path)
            assert status == 503
            assert "s3cret" not in text


def test_a_new_load_is_seen_at_once_and_nothing_fails_meanwhile(world, tmp_path, running):
    """Versions are published while the app reads; each answer is of one whole version."""
    url = running.fill(tmp_path)
    with running(replace(world, folder=tmp_path)) as site:
        before = get_json(site + "/api/v1/series")["total"]
        for count in range(3):
            with open_destination(url, tmp_path).load() as loading:
                loading.write(_one_more(tmp_path, url, count))
            assert get_json(site + "/api/v1/series")["total"] == before + 1


def _one_more(folder, url, count):
    from fetchcast.records import Batch, Target

    rows = open_destination(url, folder).query(
        "select * replace ('another' as series, 'x' as unique_id, "
        f"{count} as observations) from series limit 1"
    )
    target = Target(table="series", key=("series", "unique_id"), whole_keys=False)
    return Batch(target=target, rows=rows)
