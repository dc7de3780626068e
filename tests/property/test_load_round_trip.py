"""Whatever the values, what comes back from a destination is what went in."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fetchcast.load import sql
from fetchcast.load.destinations import open_destination
from fetchcast.load.postgres import PostgreSQL
from fetchcast.records import Batch, Disposition, Target

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
NUMBERS = st.floats(allow_nan=False)
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001
COLUMNS = {
    "text": (TEXT, pa.string()),
    "integer": (st.integers(-(2**63), 2**63 - 1), pa.int64()),
    "number": (NUMBERS, pa.float64()),
    "flag": (st.booleans(), pa.bool_()),
    "moment": (MOMENTS, pa.timestamp("us", "UTC")),
    "day": (st.dates(date(1, 1, 1), date(9999, 12, 31)), pa.date32()),
    "numbers": (
        st.lists(st.none() | st.floats(allow_nan=False), max_size=4),
        pa.list_(pa.float64()),
    ),
    "bytes": (st.binary(max_size=20), pa.binary()),
    "amount": (st.decimals(-(10**9), 10**9, places=3), pa.decimal128(20, 3)),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, (values, _) in COLUMNS.items()}),
    max_size=8,
)
KINDS = [*(kind for kind in sql.DUCKDB.types), "decimal(10,2)", "decimal(38,9)", "number[]"]
REPLACE = Target(table="t", disposition=Disposition.REPLACE)
QUIET = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def table_of(rows: list[dict]) -> pa.Table:
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    arrays = {name: pa.array(columns[name], type_) for name, (_, type_) in COLUMNS.items()}
    return pa.table({"_row": pa.array(range(len(rows)), pa.int64())} | arrays)


def back(destination, rows: pa.Table) -> list[dict]:
    with destination.load() as loading:
        loading.write(Batch(target=REPLACE, rows=rows))
    amount = "CAST(amount AS varchar) AS amount"
    names = ", ".join(sql.quoted(name) for name in COLUMNS if name != "amount")
    found = destination.query(f"SELECT {names}, {amount} FROM t ORDER BY _row").to_pylist()
    return [{name: row[name] for name in COLUMNS} for row in found]


def went(rows: pa.Table) -> list[dict]:
    said = rows.drop_columns(["_row"]).to_pylist()
    return [
        row | {"amount": None if row["amount"] is None else f"{row['amount']:.3f}"} for row in said
    ]


@QUIET
@given(rows=ROWS)
def test_duckdb_returns_what_went_in(rows, tmp_path_factory):
    destination = open_destination("duckdb:///x.duckdb", tmp_path_factory.mktemp("d"))
    assert back(destination, table_of(rows)) == went(table_of(rows))


@pytest.mark.parametrize("way", ["pgpq", "adbc"])
@QUIET
@given(rows=ROWS)
def test_postgresql_returns_what_went_in(rows, postgres_url, way):
    assert back(PostgreSQL(postgres_url, copy=way), table_of(rows)) == went(table_of(rows))


@QUIET
@given(texts=st.lists(TEXT, min_size=1, max_size=10))
def test_a_csv_is_read_back_and_no_cell_is_a_formula(texts, tmp_path_factory):
    """Any CSV reader gets the text, but for a quote before what would run."""
    folder: Path = tmp_path_factory.mktemp("c")
    with open_destination("csv:///r.csv", folder).load() as loading:
        loading.write(Batch(target=REPLACE, rows=pa.table({"n": range(len(texts)), "t": texts})))

    with (folder / "r.csv").open(newline="", encoding="utf-8") as file:
        cells = [row[1] for row in list(csv.reader(file))[1:]]
    assert [cell.removeprefix("'") for cell in cells] == [text.removeprefix("'") for text in texts]
    for cell in cells:
        assert not cell.startswith(("=", "@", "\t", "\r", "\n"))


@given(one=st.sampled_from(KINDS), other=st.sampled_from(KINDS))
def test_widening_is_an_upper_bound(one, other):
    """In any order, and once is enough: two loads cannot chase each other."""
    wide = sql.widest(one, other)

    assert wide == sql.widest(other, one)
    assert sql.widest(wide, one) == sql.widest(wide, other) == wide


@QUIET
@given(name=TEXT.filter(bool))
def test_any_name_can_be_quoted(name):
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(sql.create_table(sql.quoted(name), {name: "BIGINT"}))
        columns = "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal"
        found = connection.execute(columns).fetchall()
    assert found == [(name, name)]


@given(kind=st.sampled_from(KINDS), dialect=st.sampled_from([sql.DUCKDB, sql.POSTGRES]))
def test_a_kind_survives_its_type_in_every_dialect(kind, dialect):
    type_ = dialect.type_of(kind)
    assert dialect.kind_of(type_) == kind
    assert sql.kind_of_arrow(sql.arrow_of_kind(kind)) == kind
