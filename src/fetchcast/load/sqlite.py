"""SQLite: one file, one transaction a load, readers in WAL mode undisturbed.

SQLite has five storage classes. Times are text that sorts (``2026-11-21T13:58:00.000000Z``), flags
are 0 and 1, decimals text, lists JSON; a NaN becomes NULL, as SQLite knows none.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fetchcast.errors import DestinationError, QueryError
from fetchcast.load import sql
from fetchcast.load.disk import NOT_APPLIED
from fetchcast.load.notes import LOADS_COLUMNS, note_of, note_values
from fetchcast.load.tables import STAGE, TableLoading
from fetchcast.records import LoadNote

_OLDEST = (3, 39, 0)
_WAIT_S = 10.0
_CHUNK_ROWS = 10_000
_MARKS = "_fetchcast_tables"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_PIECE_ROWS = 20_480
_READS = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)


class SQLite:
    """A SQLite database as a destination; implements `fetchcast.records.Destination`."""

    def __init__(self, path: Path, url: str) -> None:
        self.path, self._url = path, url

    @property
    def url(self) -> str:
        """The address, for messages."""
        return self._url

    @contextmanager
    def load(self) -> Iterator[TableLoading]:
        """Begin one load: one transaction, committed when it is left without an error.

        Raises:
            DestinationError: If the file cannot be used or another process is writing to it.
        """
        with _told(self._url):
            if sqlite3.sqlite_version_info < _OLDEST:
                raise sqlite3.NotSupportedError(f"SQLite {sqlite3.sqlite_version} is before 3.39")
            connection = sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)
        with closing(connection):
            with _told(self._url):
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE")
            loading = TableLoading(SQLiteEngine(connection, self._url))
            yield loading
            loading.finish()
            with _told(self._url):
                connection.execute("COMMIT")

    def last_note(self, table: str) -> LoadNote | None:
        """The newest note about ``table``, or None if nothing was ever loaded."""
        if not self.path.exists():
            return None
        with _told(self._url), closing(self._reader()) as connection:
            engine = SQLiteEngine(connection, self._url)
            if not engine.columns(sql.LOADS_TABLE) or not engine.columns(table):
                return None
            row = connection.execute(
                "SELECT load_id, run_id, table_name, landing, from_seq, upto_seq, shape, "
                "row_count, (julianday(loaded_at) - 2440587.5) * 86400.0 "
                f"FROM {sql.quoted(sql.LOADS_TABLE)} WHERE table_name = ? "
                "ORDER BY rowid DESC LIMIT 1",
                [table],
            ).fetchone()
        # A Julian day is exact to 0.04 ms, and a note's time was never meant to be more.
        return None if row is None else note_of((*row[:-1], round(row[-1], 3)))

    def query(self, sql_text: str) -> pa.Table:
        """The rows of a read-only query in SQLite's SQL; text in our form of moments as moments.

        Raises:
            QueryError: If there is no database yet, or SQLite cannot answer.
        """
        if not self.path.exists():
            raise QueryError(self._url, "there is no database yet", "`fetchcast run` makes it")
        try:
            with closing(self._reader()) as connection:
                connection.set_authorizer(_only_reading)
                cursor = connection.execute(sql_text)
                if cursor.description is None:
                    raise sqlite3.ProgrammingError("not a query")
                names = [column[0] for column in cursor.description]
                rows = cursor.fetchall()
        except sqlite3.Error as error:
            raise QueryError(self._url, str(error), "write one SELECT in SQLite's SQL") from None
        columns = list(zip(*rows, strict=True)) or [()] * len(names)
        return pa.Table.from_arrays([_as_arrow(values) for values in columns], names=names)

    def batches(self, sql_text: str) -> Iterator[pa.RecordBatch]:
        """What `query` gives, which it holds: SQLite says the type of a column with its values."""
        yield from self.query(sql_text).to_batches(_PIECE_ROWS)

    def _reader(self) -> sqlite3.Connection:
        return sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True)


def _only_reading(action: int, *_: object) -> int:
    return sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY


class SQLiteEngine:
    """One transaction; implements `fetchcast.load.tables.Engine`."""

    dialect = sql.SQLITE

    def __init__(self, connection: sqlite3.Connection, url: str) -> None:
        self.url = url
        self._connection = connection
        self._key: Sequence[str] = ()

    def run(self, statement: str) -> int:
        """Execute; the number of rows it touched."""
        with _told(self.url):
            return max(0, self._connection.execute(statement).rowcount)

    def columns(self, table: str) -> dict[str, str] | None:
        """Name to declared type, or None if there is no such table."""
        with _told(self.url):
            return (
                dict(
                    self._connection.execute("SELECT name, type FROM pragma_table_info(?)", [table])
                )
                or None
            )

    def first(self, query: str) -> tuple[Any, ...] | None:
        """The first row of a query, or None if there is none."""
        with _told(self.url):
            row: tuple[Any, ...] | None = self._connection.execute(query).fetchone()
        return row

    def is_ours(self, table: str) -> bool:
        """Whether we made the table; SQLite has no comments, so there is a list of them."""
        if self.columns(_MARKS) is None:
            return False
        found = self._connection.execute(f"SELECT 1 FROM {_MARKS} WHERE table_name = ?", [table])
        return found.fetchone() is not None

    def create(self, table: str, columns: Mapping[str, str]) -> None:
        """Make the table, and remember that it is ours."""
        self.run(sql.create_table(self.name(table), columns))
        self.run(f"CREATE TABLE IF NOT EXISTS {_MARKS} (table_name TEXT PRIMARY KEY)")
        self.run(f"INSERT OR IGNORE INTO {_MARKS} VALUES ({sql.text_literal(table)})")

    def widen(self, table: str, column: str, type_: str) -> None:
        """Make the table anew: SQLite cannot change the type of a column."""
        have = self.columns(table) or {}
        fresh = sql.quoted(f"{table}_fetchcast_wider")
        self.run(sql.create_table(fresh, have | {column: type_}))
        self.run(sql.insert_from(fresh, self.name(table), list(have), {column: type_}))
        self.run(f"DROP TABLE {self.name(table)}")
        self.run(f"ALTER TABLE {fresh} RENAME TO {self.name(table)}")

    def name(self, table: str) -> str:
        """The quoted name."""
        return sql.quoted(table)

    def stage(self, name: str, rows: pa.Table) -> None:
        """Put ``rows`` into a temporary table, indexed by what they will be looked for."""
        types = {
            field.name: sql.SQLITE.type_of(sql.kind_of_arrow(field.type) or "text") or "TEXT"
            for field in rows.schema
        }
        create = sql.create_table(sql.quoted(name), types)
        self.run(create.replace("CREATE TABLE", "CREATE TEMPORARY TABLE", 1))
        self._fill(f"temp.{sql.quoted(name)}", rows)
        if self._key:
            index = sql.quoted(f"{name}_key")
            self.run(f"CREATE INDEX temp.{index} ON {sql.quoted(name)} ({sql.listed(self._key)})")

    def unstage(self, name: str) -> None:
        """Drop it."""
        self._key = ()
        self.run(f"DROP TABLE temp.{sql.quoted(name)}")

    def append(self, table: str, rows: pa.Table) -> None:
        """Add rows; in SQLite, which runs in this process, a loop in C is the bulk way."""
        self._fill(f"main.{self.name(table)}", rows)

    def upsert(self, table: str, merge: sql.RowMerge) -> int:
        """Update what differs and insert what is missing."""
        return sum(
            self.run(statement)
            for statement in sql.update_and_insert(self.name(table), sql.quoted(STAGE), merge)
        )

    def prepare_lookup(self, table: str, key: Sequence[str], staged: int) -> None:  # noqa: ARG002
        """Index the key: SQLite joins by looking up."""
        self._key = tuple(key)
        index = sql.quoted(f"{table}_{'_'.join(key)}")
        self.run(f"CREATE INDEX IF NOT EXISTS {index} ON {self.name(table)} ({sql.listed(key)})")

    def forget(self, table: str) -> None:
        """Remove the notes about ``table``."""
        if self.columns(sql.LOADS_TABLE) is not None:
            self.run(sql.forget_notes(self.name(sql.LOADS_TABLE), table))

    def note(self, note: LoadNote) -> bool:
        """Write into the loads table; False if its ``load_id`` is there."""
        place = self.name(sql.LOADS_TABLE)
        if self.columns(sql.LOADS_TABLE) is None:
            types = {name: sql.SQLITE.types[kind] for name, kind in LOADS_COLUMNS.items()}
            self.create(sql.LOADS_TABLE, types)
        values = note_values(note)
        loaded_at = pa.array([values[-1]], pa.timestamp("us", "UTC"))
        with _told(self.url):
            known = self._connection.execute(
                f"SELECT 1 FROM {place} WHERE load_id = ?", [note.load_id]
            ).fetchone()
            if known is None:
                self._connection.execute(
                    f"INSERT INTO {place} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [*values[:-1], *_storable(loaded_at)],
                )
        return known is None

    def _fill(self, place: str, rows: pa.Table) -> None:
        marks = ", ".join("?" * rows.num_columns)
        statement = f"INSERT INTO {place} ({sql.listed(rows.schema.names)}) VALUES ({marks})"
        with _told(self.url):
            for chunk in rows.to_batches(max_chunksize=_CHUNK_ROWS):
                columns = [_storable(column) for column in chunk.columns]
                self._connection.executemany(statement, zip(*columns, strict=True))


def _storable(column: pa.Array) -> list[object]:
    """The values as SQLite keeps them."""
    type_ = column.type
    if pa.types.is_list(type_):
        return [None if value is None else json.dumps(value) for value in column.to_pylist()]
    if pa.types.is_timestamp(type_):
        end = "Z" if type_.tz else ""
        column = pc.strftime(column, format=f"%Y-%m-%dT%H:%M:%S{end}")
    elif pa.types.is_boolean(type_):
        column = column.cast(pa.int64())
    elif pa.types.is_date(type_) or pa.types.is_time(type_) or pa.types.is_decimal(type_):
        column = column.cast(pa.string())
    return list(column.to_pylist())


def _as_arrow(values: Sequence[object]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {str} and all(v is None or _MOMENT.fullmatch(str(v)) for v in values):
        return pa.array(values, pa.string()).cast(pa.timestamp("us", "UTC"))
    if kinds == {int, float}:
        return pa.array(values, pa.float64())
    if len(kinds) > 1:
        return pa.array([None if value is None else str(value) for value in values], pa.string())
    return pa.array(values)


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except (sqlite3.Error, OverflowError) as error:
        raise DestinationError(
            url,
            f"{error}; {NOT_APPLIED}",
            "landed answers are kept: `fetchcast replay` loads them again",
        ) from None
