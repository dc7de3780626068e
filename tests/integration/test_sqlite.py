"""SQLite as a destination, as a person finds it with the `sqlite3` shell."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from fetchcast.errors import DestinationError, QueryError
from fetchcast.load.destinations import open_destination
from fetchcast.records import Batch, Disposition, Target

APPEND = Target(table="t", disposition=Disposition.APPEND)


def load(folder, rows: dict, target: Target = APPEND) -> None:
    with open_destination("sqlite:///x.db", folder).load() as loading:
        loading.write(Batch(target=target, rows=pa.table(rows)))


def ask(folder, statement: str) -> list[tuple]:
    with closing(sqlite3.connect(folder / "x.db")) as connection:
        return connection.execute(statement).fetchall()


def test_how_types_are_kept(tmp_path):
    moment = datetime(2026, 11, 21, 13, 58, tzinfo=UTC)
    load(
        tmp_path,
        {
            "m": pa.array([moment], pa.timestamp("us", "UTC")),
            "d": [date(2026, 11, 21)],
            "f": [True],
            "q": [[0.5, None]],
            "zero": ["007"],
        },
    )

    assert ask(tmp_path, "SELECT * FROM t") == [
        ("2026-11-21T13:58:00.000000Z", "2026-11-21", 1, "[0.5, null]", "007")
    ]
    back = open_destination("sqlite:///x.db", tmp_path).query("SELECT m FROM t")
    assert back["m"].to_pylist() == [moment]


def test_numbers_that_become_text_keep_the_zeros_of_those_that_follow(tmp_path):
    load(tmp_path, {"v": [7]})
    load(tmp_path, {"v": ["007", "7b"]})

    assert ask(tmp_path, "SELECT v, typeof(v) FROM t") == [
        ("7", "text"),
        ("007", "text"),
        ("7b", "text"),
    ]


def test_a_reader_sees_the_old_rows_until_the_load_is_whole(tmp_path):
    load(tmp_path, {"v": [1]})
    with open_destination("sqlite:///x.db", tmp_path).load() as loading:
        loading.write(Batch(target=APPEND, rows=pa.table({"v": [2]})))
        assert ask(tmp_path, "SELECT v FROM t") == [(1,)]
    assert ask(tmp_path, "SELECT v FROM t") == [(1,), (2,)]


def test_a_writer_that_holds_the_file_is_an_error_with_the_state(tmp_path, monkeypatch):
    monkeypatch.setattr("fetchcast.load.sqlite._WAIT_S", 0.1)
    load(tmp_path, {"v": [1]})
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DestinationError, match=r"locked.*not applied"):
            load(tmp_path, {"v": [2]})


def test_a_query_cannot_attach_another_file(tmp_path):
    load(tmp_path, {"v": [1]})

    with pytest.raises(QueryError, match="not authorized"):
        open_destination("sqlite:///x.db", tmp_path).query(f"ATTACH '{tmp_path}/y.db' AS y")
    assert not (tmp_path / "y.db").exists()
