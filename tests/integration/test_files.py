"""CSV and Parquet files as a person finds them on the disk."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fetchcast.errors import ConfigError
from fetchcast.load.destinations import open_destination
from fetchcast.records import Batch, Disposition, LoadNote, Target

APPEND = Target(table="companies", disposition=Disposition.APPEND)


def write(url: str, folder: Path, rows: pa.Table, target: Target = APPEND) -> None:
    with open_destination(url, folder).load() as loading:
        loading.write(Batch(target=target, rows=rows))


def cells(path: Path, delimiter: str = ",") -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter=delimiter))


def test_a_csv_has_a_header_and_the_rows_in_their_order(tmp_path):
    rows = pa.table({"number": [3, 1, 2], "name": ["Ääkkönen, Oy", 'a "b"', "line\nbreak"]})
    write("csv:///results.csv", tmp_path, rows)

    assert cells(tmp_path / "results.csv") == [
        ["number", "name"],
        ["3", "Ääkkönen, Oy"],
        ["1", 'a "b"'],
        ["2", "line\nbreak"],
    ]


def test_a_csv_may_be_ordered_by_a_column_of_the_input(tmp_path):
    """Answers arrive in any order; the file is in the order of the input."""
    rows = pa.table({"number": [3, 1, 2], "name": ["c", "a", "b"]})
    write("csv:///results.csv?order=number", tmp_path, rows)

    assert [row[0] for row in cells(tmp_path / "results.csv")[1:]] == ["1", "2", "3"]


def test_spreadsheets_do_not_run_what_an_api_says(tmp_path):
    risky = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1"]
    plain = ["-5", "+358401234567", "1e5", "a=b", "", "it's"]
    rows = pa.table({"text": risky + plain, "number": [-1.5] * (len(risky) + len(plain))})
    write("csv:///results.csv", tmp_path, rows)

    got = cells(tmp_path / "results.csv")[1:]
    assert [row[0] for row in got] == ["'" + text for text in risky] + plain
    assert {row[1] for row in got} == {"-1.5"}


def test_the_guard_can_be_switched_off_and_the_delimiter_chosen(tmp_path):
    write("csv:///r.csv?guard=false&delimiter=;", tmp_path, pa.table({"a": ["=1"], "b": [1]}))

    assert cells(tmp_path / "r.csv", ";") == [["a", "b"], ["=1", "1"]]


def test_how_types_are_spelt_in_a_csv(tmp_path):
    moment = pa.array([datetime(2026, 11, 21, 13, 58, tzinfo=UTC), None], pa.timestamp("us", "UTC"))
    later = pa.array(["2026-11-21T13:58:00.25", None]).cast(pa.timestamp("us"))
    rows = pa.table(
        {"m": moment, "l": later, "f": [True, None], "q": [[1.0, 2.5], None], "t": ["", None]}
    )
    write("csv:///r.csv", tmp_path, rows)

    assert (tmp_path / "r.csv").read_text(encoding="utf-8").splitlines() == [
        "m,l,f,q,t",
        '2026-11-21T13:58:00Z,2026-11-21T13:58:00.250000,true,"[1.0,2.5]",""',
        ",,,,",
    ]


def test_other_tables_stand_beside_the_main_one(tmp_path):
    with open_destination("csv:///results.csv", tmp_path).load() as loading:
        loading.write(
            Batch(target=Target(table="_rejects"), rows=pa.table({"_request_key": ["a"]}))
        )
        loading.write(Batch(target=APPEND, rows=pa.table({"a": [1]})))
        loading.write(Batch(target=Target(table="names", key=("n",)), rows=pa.table({"n": ["x"]})))

    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "results._rejects.csv",
        "results.csv",
        "results.names.csv",
    ]
    assert cells(tmp_path / "results.csv") == [["a"], ["1"]]


def test_loads_add_up_and_a_deleted_csv_begins_anew(tmp_path):
    url, file = "csv:///results.csv", tmp_path / "results.csv"
    for value in (1, 2):
        write(url, tmp_path, pa.table({"a": [value]}))
    assert cells(file) == [["a"], ["1"], ["2"]]

    file.unlink()
    assert open_destination(url, tmp_path).last_note("companies") is None
    write(url, tmp_path, pa.table({"a": [3]}))
    assert cells(file) == [["a"], ["3"]]


def test_parquet_is_one_file_a_table(tmp_path):
    write("parquet:///out", tmp_path, pa.table({"a": [1, 2], "b": ["x", None]}))

    back = pq.read_table(tmp_path / "out" / "companies.parquet")
    assert back.to_pydict() == {"a": [1, 2], "b": ["x", None]}


def test_a_load_killed_after_its_commit_is_finished_by_the_next(tmp_path):
    """Every table of the load is there at once for readers of this package, then on the disk."""
    destination = open_destination("parquet:///out", tmp_path)
    write("parquet:///out", tmp_path, pa.table({"a": [1]}))
    inner = tmp_path / "out" / ".fetchcast"
    pq.write_table(pa.table({"a": [1, 2]}), inner / "companies.parquet.tmp")
    (inner / "pending").write_text('{"companies": "companies.parquet.tmp"}')

    assert destination.query("SELECT sum(a) s FROM companies").to_pylist() == [{"s": 3}]
    write("parquet:///out", tmp_path, pa.table({"a": [4]}))
    assert destination.query("SELECT sum(a) s FROM companies").to_pylist() == [{"s": 7}]
    assert pq.read_table(tmp_path / "out" / "companies.parquet")["a"].to_pylist() == [1, 2, 4]


def test_a_load_killed_before_its_commit_never_was(tmp_path):
    destination = open_destination("parquet:///out", tmp_path)
    write("parquet:///out", tmp_path, pa.table({"a": [1]}))
    inner = tmp_path / "out" / ".fetchcast"
    (inner / "companies.parquet.tmp").write_bytes(b"half a file")
    (inner / "scratch.duckdb").write_bytes(b"half a database")

    assert destination.query("SELECT a FROM companies").to_pylist() == [{"a": 1}]
    write("parquet:///out", tmp_path, pa.table({"a": [2]}))
    assert destination.query("SELECT sum(a) s FROM companies").to_pylist() == [{"s": 3}]
    assert sorted(path.name for path in inner.iterdir()) == ["lock"]


def test_queries_over_files_read_nothing_else(tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    write("parquet:///out", tmp_path, pa.table({"a": [1]}))
    destination = open_destination("parquet:///out", tmp_path)

    with pytest.raises(Exception, match="isabled"):
        destination.query(f"SELECT * FROM read_csv('{tmp_path / 'secret.csv'}')")


def test_an_unknown_option_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="ordr"):
        open_destination("csv:///results.csv?ordr=number", tmp_path)


def test_a_csv_that_a_kill_left_behind_its_rows_is_caught_up(tmp_path):
    url, file = "csv:///results.csv", tmp_path / "results.csv"
    write(url, tmp_path, pa.table({"a": [1]}))
    old = file.read_bytes()
    store = open_destination("parquet:///results.csv.d", tmp_path)
    with store.load() as loading:
        loading.note(
            LoadNote(
                load_id="x", run_id="r", table="companies", landing="l", from_seq=0, upto_seq=1,
                shape="s", rows=1, loaded_at=1.0,
            )
        )  # fmt: skip
        loading.write(Batch(target=APPEND, rows=pa.table({"a": [2]})))
    assert file.read_bytes() == old

    assert open_destination(url, tmp_path).last_note("companies") is not None
    assert cells(file) == [["a"], ["1"], ["2"]]


def test_a_file_that_was_there_before_is_kept(tmp_path):
    """The user's own, or their input: what an API says does not take its place for good."""
    file = tmp_path / "results.csv"
    file.write_text("mine\n1\n")
    destination = open_destination("csv:///results.csv", tmp_path)
    for value in (2, 3):
        with destination.load() as loading:
            loading.write(Batch(target=APPEND, rows=pa.table({"a": [value]})))

    (aside,) = (tmp_path / "results.csv.d").glob("set-aside-*")
    assert aside.read_text() == "mine\n1\n"
    assert cells(file) == [["a"], ["2"], ["3"]]
    (notice,) = destination.notices
    assert str(aside) in notice
