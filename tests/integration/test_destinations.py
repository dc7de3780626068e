"""What every destination promises, shown on each of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from fetchcast.errors import DestinationError, QueryError
from fetchcast.load.destinations import open_destination
from fetchcast.records import Batch, Destination, Disposition, LoadNote, Target

# CSV files are made from Parquet files: tests/integration/test_files.py.
KINDS = ["duckdb", "pgpq", "adbc", "sqlite", "parquet"]
URLS = {
    "duckdb": "duckdb:///x.duckdb",
    "sqlite": "sqlite:///x.db",
    "parquet": "parquet:///out",
}
DATABASES = ["duckdb", "pgpq", "adbc"]


@pytest.fixture(params=KINDS)
def destination(request, tmp_path, monkeypatch) -> Destination:
    return make(request, tmp_path, monkeypatch)


@pytest.fixture(params=[*DATABASES, "sqlite"])
def typed(request, tmp_path, monkeypatch) -> Destination:
    """Where somebody may have made a table with types of their own."""
    return make(request, tmp_path, monkeypatch)


@pytest.fixture(params=DATABASES)
def database(request, tmp_path, monkeypatch) -> Destination:
    return make(request, tmp_path, monkeypatch)


def make(request, folder: Path, monkeypatch) -> Destination:
    if request.param in {"pgpq", "adbc"}:
        monkeypatch.setenv("FETCHCAST_POSTGRES_COPY", request.param)
        return open_destination(request.getfixturevalue("postgres_url"), folder)
    return open_destination(URLS[request.param], folder)


def note(load_id: str, table: str = "stops") -> LoadNote:
    return LoadNote(
        load_id=load_id,
        run_id="run-1",
        table=table,
        landing="a-landing",
        from_seq=0,
        upto_seq=7,
        shape="a-shape",
        rows=3,
        loaded_at=1_700_000_000.25,
    )


def stops(keys: list[str], values: list, **more) -> Batch:
    rows = pa.table({"_request_key": pa.array(keys, pa.string()), "v": values} | more)
    return Batch(target=Target(table="stops"), rows=rows, keys=sorted(set(keys)))


def write(destination: Destination, *batches: Batch) -> None:
    with destination.load() as loading:
        for batch in batches:
            loading.write(batch)


def seen(destination: Destination, table: str = "stops", order: str = "1, 2") -> list[tuple]:
    rows = destination.query(f'SELECT * FROM "{table}" ORDER BY {order}').to_pylist()
    return [tuple(row.values()) for row in rows]


LOCAL = datetime(2026, 3, 29, 3, 30)  # noqa: DTZ001  a moment that Helsinki's clocks skip
ALL_TYPES = pa.table(
    {
        "_request_key": ["k1", "k2", "k3"],
        "text": ["Hämeenlinna", "", None],
        "integer": pa.array([2**63 - 1, -(2**63), None], pa.int64()),
        "number": [1.5, float("inf"), None],
        "flag": [True, False, None],
        "moment": pa.array(
            [
                datetime(2026, 11, 21, 13, 58, 0, 123456, UTC),
                datetime(1970, 1, 1, tzinfo=UTC),
                None,
            ],
            pa.timestamp("us", "UTC"),
        ),
        "local": pa.array([LOCAL, LOCAL.replace(year=1900), None]),
        "day": pa.array([date(2024, 2, 29), date(1970, 1, 1), None]),
        "quantiles": pa.array([[1.0, 2.5], [], None], pa.list_(pa.float64())),
        "tags": pa.array([["a", None], [], None], pa.list_(pa.string())),
        "bytes": pa.array([b"\x00\xff", b"", None]),
        "amount": pa.array(
            [Decimal("12345678901234567890.123"), Decimal("-0.001"), None], pa.decimal128(38, 3)
        ),
    }
)


def test_every_type_comes_back_as_it_went(destination):
    """The last microsecond, the largest integer, the empty list and NULL told apart."""
    write(destination, Batch(target=Target(table="stops"), rows=ALL_TYPES, keys=["k1", "k2", "k3"]))

    back = destination.query("SELECT * FROM stops ORDER BY _request_key")

    # SQLite has no lists and no decimals: they are JSON and text there.
    other = ["amount", "quantiles", "tags"] if "sqlite" in destination.url else ["amount"]
    want = ALL_TYPES.drop_columns(other)
    assert back.drop_columns(other).cast(want.schema).to_pylist() == want.to_pylist()
    text = destination.query("SELECT CAST(amount AS varchar) a FROM stops ORDER BY _request_key")
    assert text["a"].to_pylist() == ["12345678901234567890.123", "-0.001", None]


def test_append_adds_and_replace_leaves_only_what_it_brings(destination):
    added = Target(table="log", disposition=Disposition.APPEND)
    anew = Target(table="log", disposition=Disposition.REPLACE)
    write(destination, Batch(target=added, rows=pa.table({"a": [1, 2]})))
    write(destination, Batch(target=added, rows=pa.table({"a": [2]})))
    assert seen(destination, "log", "1") == [(1,), (2,), (2,)]

    write(
        destination,
        Batch(target=anew, rows=pa.table({"a": [7]})),
        Batch(target=anew, rows=pa.table({"a": [8]})),
    )
    assert seen(destination, "log", "1") == [(7,), (8,)]


def test_replace_may_give_a_table_another_shape(destination):
    anew = Target(table="log", disposition=Disposition.REPLACE)
    write(destination, Batch(target=anew, rows=pa.table({"a": ["x"], "b": [1]})))
    write(destination, Batch(target=anew, rows=pa.table({"a": [1], "c": [1.5]})))

    assert destination.query("SELECT * FROM log").to_pylist() == [{"a": 1, "c": 1.5}]


def test_replace_with_no_rows_empties_the_table(destination):
    anew = Target(table="log", disposition=Disposition.REPLACE)
    write(destination, Batch(target=anew, rows=pa.table({"a": [1]})))
    write(destination, Batch(target=anew, rows=pa.table({"a": pa.array([], pa.int64())})))

    assert seen(destination, "log", "1") == []
    write(destination, Batch(target=anew, rows=pa.table({"a": [1]})))
    write(destination, Batch(target=anew, rows=pa.table({"a": pa.nulls(2)})))
    assert seen(destination, "log", "1") == [(None,), (None,)]
    write(destination, Batch(target=anew, rows=pa.table({})))
    assert seen(destination, "log", "1") == []


def test_whole_keys_replaces_the_rows_of_the_calls_it_speaks_for(destination):
    """A call that has fewer rows now, or none, leaves none of its old rows behind."""
    write(destination, stops(["a", "a", "b", "c"], [1, 2, 3, 4]))

    again = stops(["a"], [9])
    write(destination, Batch(target=again.target, rows=again.rows, keys=["a", "b"]))

    assert seen(destination) == [("a", 9), ("c", 4)]


def test_the_same_load_twice_is_the_same_as_once(destination):
    batch = stops(["a", "a", "b"], [1, 2, 3])
    for _ in range(2):
        write(destination, batch)

    assert seen(destination) == [("a", 1), ("a", 2), ("b", 3)]


def test_whole_keys_over_chosen_columns_join_within_a_load(destination):
    """Rows of one day may come in several batches; those of an earlier load go."""
    target = Target(table="days", key=("day",))
    old = Batch(target=target, rows=pa.table({"day": [1, 1, 2], "v": [1, 2, 3]}))
    write(destination, old)

    write(
        destination,
        Batch(target=target, rows=pa.table({"day": [1], "v": [10]})),
        Batch(target=target, rows=pa.table({"day": [1, 3], "v": [11, 12]})),
    )

    assert seen(destination, "days") == [(1, 10), (1, 11), (2, 3), (3, 12)]


def test_row_merge_updates_inserts_and_keeps(destination):
    target = Target(table="f", key=("id", "step"), whole_keys=False)
    first = pa.table({"id": ["a", "a", "b"], "step": [1, 2, 1], "y": [1.0, None, 3.0]})
    write(destination, Batch(target=target, rows=first))

    second = pa.table({"id": ["a", "c"], "step": [2, 1], "y": [2.5, None]})
    write(destination, Batch(target=target, rows=second))

    assert seen(destination, "f") == [
        ("a", 1, 1.0),
        ("a", 2, 2.5),
        ("b", 1, 3.0),
        ("c", 1, None),
    ]


def test_a_load_that_fails_leaves_nothing(destination):
    write(destination, stops(["a"], [1]))

    def fail() -> None:
        with destination.load() as loading:
            loading.note(note("two"))
            loading.write(stops(["a", "b"], [5, 6], new=["x", "y"]))
            raise RuntimeError("power")

    with pytest.raises(RuntimeError, match="power"):
        fail()

    assert seen(destination) == [("a", 1)]
    assert destination.last_note("stops") is None


def test_a_load_is_noted_once(destination):
    """What the process that died after the commit did not hear, the next one does."""
    for expected in (True, False):
        with destination.load() as loading:
            fresh = loading.note(note("one"))
            assert fresh is expected
            if fresh:
                loading.write(stops(["a"], [1]))
    with destination.load() as loading:
        assert loading.note(note("two"))
        assert loading.note(note("three", table="other"))

    assert seen(destination) == [("a", 1)]
    assert destination.last_note("stops") == note("two")
    assert destination.last_note("nothing") is None
    assert destination.query("SELECT count(*) n FROM _fetchcast_loads").to_pylist() == [{"n": 3}]


def test_a_table_that_someone_dropped_is_loaded_again(database):
    for _ in range(2):
        with database.load() as loading:
            assert loading.note(note("one"))
            loading.write(stops(["a"], [1]))
        assert seen(database) == [("a", 1)]
        user_table(database, "DROP TABLE stops")
        assert database.last_note("stops") is None


def test_columns_come_alive_late_and_widen(destination):
    """A new column, a column of NULLs at first, integers that become doubles, then text."""
    write(destination, stops(["a"], [1], note=pa.nulls(1)))
    write(destination, stops(["b"], [2.5], note=["late"]))
    assert destination.query("SELECT v, note FROM stops ORDER BY v").to_pylist() == [
        {"v": 1.0, "note": None},
        {"v": 2.5, "note": "late"},
    ]

    write(destination, stops(["c"], ["x"]))
    write(destination, stops(["d"], [7]))
    values = destination.query("SELECT v FROM stops ORDER BY _request_key").column("v").to_pylist()
    assert values[1:] == ["2.5", "x", "7"]
    assert values[0] in {"1", "1.0"}  # As the database itself writes a double.


def test_schemas_may_widen_within_one_load(destination):
    write(destination, stops(["a"], [1]), stops(["b"], ["x"], more=[True]))

    assert seen(destination) == [("a", "1", None), ("b", "x", True)]


def test_names_that_sql_knows_or_cannot_spell_without_quotes(destination):
    rows = pa.table({"_request_key": ["a"], "select": [1], "Lähtö aika": ["x"], 'a"b': [True]})
    write(destination, Batch(target=Target(table="order"), rows=rows, keys=["a"]))

    assert destination.query('SELECT * FROM "order"').to_pylist() == rows.to_pylist()


def test_hostile_text_arrives_as_it_is(destination):
    texts = ["'; DROP TABLE stops; --", "\t\n\r\\", "\u2028 \U0001f682", "=1+1", "NULL", "\\N", '"']
    write(destination, stops(["k"] * len(texts), texts))

    back = destination.query("SELECT v FROM stops").column("v").to_pylist()
    assert sorted(back) == sorted(texts)


@pytest.mark.parametrize(
    ("rows", "key", "whole", "says"),
    [
        ({"id": ["a", None], "y": [1, 2]}, ("id",), False, "no value in the key column 'id'"),
        ({"id": ["a", None], "y": [1, 2]}, ("id",), True, "no value in the key column 'id'"),
        ({"id": ["a", "a"], "y": [1, 2]}, ("id",), False, "more than one row"),
        ({"y": [1, 2]}, ("id",), False, "the key column 'id' is not in the rows"),
        ({"id": ["a"], "ID": ["b"]}, ("id",), False, "'id' and 'ID'"),
        ({"id": ["a"], "y": [{"x": 1}]}, ("id",), False, "column 'y'"),
    ],
)
def test_rows_that_cannot_be_merged_are_refused_with_the_reason(
    destination, rows, key, whole, says
):
    target = Target(table="f", key=key, whole_keys=whole)
    with pytest.raises(DestinationError, match=says) as refused:
        write(destination, Batch(target=target, rows=pa.table(rows)))

    assert "this load was not applied" in str(refused.value)
    with pytest.raises(QueryError):
        destination.query("SELECT * FROM f")


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM stops", "DROP TABLE stops", "CREATE TABLE x (a int)", "SELECT 1; SELECT 2"],
)
def test_queries_only_read(destination, statement):
    write(destination, stops(["a"], [1]))

    with pytest.raises(QueryError):
        destination.query(statement)
    assert seen(destination) == [("a", 1)]


def test_a_query_says_what_is_wrong(destination):
    write(destination, stops(["a"], [1]))

    with pytest.raises(QueryError, match="nosuch"):
        destination.query("SELECT nosuch FROM stops")


def test_a_table_of_someone_else_is_not_reshaped(typed):
    """A column that the user made stays what it is; a value it cannot hold is an error."""
    user_table(typed, "CREATE TABLE stops (_request_key varchar, v integer)")
    write(typed, stops(["a"], [5]))
    assert seen(typed) == [("a", 5)]

    says = "column 'v' of table 'stops' has the type (?i:integer), which does not hold .*x.*replay"
    with pytest.raises(DestinationError, match=f"(?s){says}"):
        write(typed, stops(["b"], ["x"]))
    assert seen(typed) == [("a", 5)]


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("integer", 1.5),
        ("integer", "007"),
        ("numeric(5,1)", 1.25),
        ("real", 16777217),
        ("varchar(3)", "four"),
        ("date", datetime(2020, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_a_cast_that_would_change_a_value_is_an_error(typed, type_, value):
    """Databases round, cut and guess: 1.5 becomes 2, 007 becomes 7, a time becomes a date."""
    kind = typed.url.partition(":")[0]
    wide = {"sqlite": {"real", "varchar(3)", "numeric(5,1)"}, "duckdb": {"varchar(3)"}}
    if type_ in wide.get(kind, ()):
        pytest.skip("there this type holds the value as it is")
    user_table(typed, f"CREATE TABLE stops (_request_key varchar, v {type_})")
    with pytest.raises(DestinationError, match="does not hold every value"):
        write(typed, stops(["a"], [value]))
    assert seen(typed) == []


def test_a_type_of_the_users_that_holds_the_values_is_filled(typed):
    user_table(typed, "CREATE TABLE stops (_request_key varchar, v numeric(9,3))")
    write(typed, stops(["a", "b"], [1.5, None]))
    assert [(key, value and float(value)) for key, value in seen(typed)] == [
        ("a", 1.5),
        ("b", None),
    ]


def user_table(destination: Destination, statement: str) -> None:
    if destination.url.startswith("duckdb"):
        import duckdb

        with duckdb.connect(str(destination.path)) as connection:
            connection.execute(statement)
    elif destination.url.startswith("sqlite"):
        with closing(sqlite3.connect(destination.path)) as connection:
            connection.execute(statement)
    else:
        import psycopg

        with psycopg.connect(destination._address.dsn) as connection:
            connection.execute(statement)


def test_pieces_are_what_a_query_gives(destination: Destination) -> None:
    """In order, more than one of them where there are many rows, none without rows."""
    write(destination, stops([f"k{n:06d}" for n in range(60_000)], list(range(60_000))))
    sql = "SELECT v FROM stops WHERE v >= 10 ORDER BY v"
    pieces = list(destination.batches(sql))
    assert pa.Table.from_batches(pieces).equals(destination.query(sql))
    assert all(piece.num_rows for piece in pieces)
    assert list(destination.batches("SELECT v FROM stops WHERE v < 0")) == []
    with pytest.raises(QueryError):
        list(destination.batches("SELECT nothing FROM stops"))


def test_pieces_of_a_csv_destination(tmp_path: Path) -> None:
    destination = open_destination("csv:///out.csv", tmp_path)
    with pytest.raises(QueryError, match="no files yet"):
        list(destination.batches("SELECT v FROM stops"))
    write(destination, stops(["a", "b"], [1, 2]))
    (piece,) = destination.batches("SELECT v FROM stops ORDER BY v")
    assert piece.to_pylist() == [{"v": 1}, {"v": 2}]
