"""DuckDB: versions that nobody holds open for writing, so that everybody can read at any time.

DuckDB lets one process write a file and then nobody else read it. So a load never touches a
file that others may open: it copies the published version, applies everything in one
transaction, closes the copy and publishes it. `fetchcast.load.versions` has the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from fetchcast.errors import DestinationError, QueryError
from fetchcast.load import sql
from fetchcast.load.notes import LOADS_COLUMNS, note_of, note_values
from fetchcast.load.tables import STAGE, RowMerge, TableLoading
from fetchcast.load.versions import Published, Versions, published_path
from fetchcast.records import LoadNote

__all__ = ["DuckDB", "published_path", "read"]


class DuckDB:
    """A DuckDB database as a destination; implements `fetchcast.records.Destination`."""

    def __init__(self, path: Path, url: str) -> None:
        self.path, self._url = path, url
        self._versions = Versions(path)

    @property
    def url(self) -> str:
        """The address, for messages."""
        return self._url

    @contextmanager
    def load(self) -> Iterator[TableLoading]:
        """Begin one load; leaving it without an error publishes a new version.

        Raises:
            DestinationError: If another load is under way, or the file cannot be used.
        """
        with self._versions.locked(self._url):
            before, after = self._versions.state(), self._versions.published()
            number, path = self._versions.begin(self._base(after), after)
            connection = self._open_copy(path)
            try:
                with _told(self._url):
                    connection.begin()
                engine = DuckDBEngine(connection, self._url)
                yield TableLoading(engine)
                with _told(self._url):
                    connection.commit()
                    connection.execute("CHECKPOINT")
                connection.close()
                if engine.changed:
                    self._versions.publish(number, before=before)
            finally:
                connection.close()
                self._versions.sweep(self._versions.published())

    def last_note(self, table: str) -> LoadNote | None:
        """The newest note about ``table``, or None if nothing was ever loaded."""
        path = published_path(self.path)
        if path is None:
            return None
        with _told(self._url), _reading(path) as connection:
            return _last_note(connection, table)

    def query(self, sql_text: str) -> pa.Table:
        """The rows of a read-only query against the published version.

        Raises:
            QueryError: If there is no database yet, or DuckDB cannot answer.
        """
        path = published_path(self.path)
        if path is None:
            raise QueryError(self._url, "there is no database yet", "`fetchcast run` makes it")
        with _reading(path) as connection:
            return read(connection, sql_text, self._url)

    def _base(self, after: Published | None) -> Path | None:
        """What the next version starts from: the door if someone changed it, else the last."""
        if after is None or not self._versions.path(after.version).exists():
            return self.path if self.path.exists() else None
        if self._versions.door_changed(after) and _is_free(self.path):
            return self.path
        return self._versions.path(after.version)

    def _open_copy(self, path: Path) -> duckdb.DuckDBPyConnection:
        with _told(self._url):
            connection = duckdb.connect(str(path))
            connection.execute("SET TimeZone = 'UTC'")
            return connection


class DuckDBEngine:
    """One transaction on a copy; implements `fetchcast.load.tables.Engine`."""

    dialect = sql.DUCKDB

    def __init__(self, connection: duckdb.DuckDBPyConnection, url: str) -> None:
        self.url = url
        self.changed = False
        self._connection = connection

    def run(self, statement: str) -> int:
        """Execute; the number of rows it touched."""
        self.changed = True
        with _told(self.url):
            row = self._connection.execute(statement).fetchone()
        return int(row[0]) if row and isinstance(row[0], int) else 0

    def columns(self, table: str) -> dict[str, str] | None:
        """Name to type, or None if there is no such table."""
        return _columns(self._connection, table)

    def is_ours(self, table: str) -> bool:
        """Whether the table carries our mark."""
        row = self._connection.execute(
            "SELECT comment FROM duckdb_tables() WHERE table_name = ? AND NOT temporary", [table]
        ).fetchone()
        return row is not None and row[0] == sql.MARK

    def create(self, table: str, columns: Mapping[str, str]) -> None:
        """Make the table, with our mark."""
        place = self.name(table)
        self.run(sql.create_table(place, columns))
        self.run(f"COMMENT ON TABLE {place} IS {sql.text_literal(sql.MARK)}")

    def name(self, table: str) -> str:
        """The quoted name."""
        return sql.quoted(table)

    def stage(self, name: str, rows: pa.Table) -> None:
        """Let statements read ``rows`` under ``name``, without a copy."""
        self._connection.register(name, rows)

    def unstage(self, name: str) -> None:
        """Forget it."""
        self._connection.unregister(name)

    def append(self, table: str, rows: pa.Table) -> None:
        """Add rows."""
        self.stage(STAGE, rows)
        self.run(sql.insert_from(self.name(table), sql.quoted(STAGE), rows.schema.names, {}))
        self.unstage(STAGE)

    def upsert(self, table: str, merge: RowMerge) -> int:
        """MERGE without a primary key: DuckDB joins by hash, and an index would slow all else."""
        place = self.name(table)
        on = sql.matches(merge.key, "t", merge.casts)
        update = (
            f"WHEN MATCHED AND ({sql.differs(merge.others, merge.casts, 't')}) "
            f"THEN UPDATE SET {sql.assignments(merge.others, merge.casts)} "
            if merge.others
            else ""
        )
        values = sql.picked(merge.columns, merge.casts)
        return self.run(
            f"MERGE INTO {place} t USING {sql.quoted(STAGE)} s ON ({on}) {update}"
            f"WHEN NOT MATCHED THEN INSERT ({sql.listed(merge.columns)}) VALUES ({values})"
        )

    def prepare_whole_keys(self, table: str, key: Sequence[str]) -> None:
        """Nothing to prepare: a scan with a hash table is DuckDB's fastest way."""

    def note(self, note: LoadNote) -> bool:
        """Write into the loads table; False if its ``load_id`` is there."""
        place = sql.quoted(sql.LOADS_TABLE)
        if self.columns(sql.LOADS_TABLE) is None:
            types = {name: sql.DUCKDB.types[kind] for name, kind in LOADS_COLUMNS.items()}
            self.create(sql.LOADS_TABLE, types)
        with _told(self.url):
            known = self._connection.execute(
                f"SELECT 1 FROM {place} WHERE load_id = ?", [note.load_id]
            ).fetchone()
            if known is None:
                self.changed = True
                self._connection.execute(
                    f"INSERT INTO {place} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", note_values(note)
                )
        return known is None


def read(connection: duckdb.DuckDBPyConnection, sql_text: str, url: str) -> pa.Table:
    """The rows of one read-only statement, times in UTC; raises `QueryError`."""
    try:
        statements = connection.extract_statements(sql_text)
        kinds = [statement.type for statement in statements]
        if kinds != [duckdb.StatementType.SELECT]:
            raise QueryError(url, "only one query that reads can be answered", "write one SELECT")
        return connection.sql(sql_text).to_arrow_table()
    except duckdb.Error as error:
        raise QueryError(url, str(error), "correct the SQL") from None


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str] | None:
    rows = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? "
        "AND schema_name = 'main' AND database_name = current_database() ORDER BY column_index",
        [table],
    ).fetchall()
    return dict(rows) or None


def _last_note(connection: duckdb.DuckDBPyConnection, table: str) -> LoadNote | None:
    if _columns(connection, sql.LOADS_TABLE) is None:
        return None
    row = connection.execute(
        "SELECT load_id, run_id, table_name, landing, from_seq, upto_seq, shape, row_count, "
        f"epoch(loaded_at) FROM {sql.quoted(sql.LOADS_TABLE)} WHERE table_name = ? "
        "ORDER BY rowid DESC LIMIT 1",
        [table],
    ).fetchone()
    return None if row is None else note_of(row)


@contextmanager
def _reading(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_external_access = false")
        yield connection


def _is_free(path: Path) -> bool:
    """Whether nobody has the file open for writing."""
    try:
        duckdb.connect(str(path), read_only=True).close()
    except duckdb.Error:
        return False
    return True


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn DuckDB's errors into ours."""
    try:
        yield
    except duckdb.Error as error:
        raise DestinationError(
            url,
            f"{error}; this load was not applied, the database is as it was",
            "landed answers are kept: `fetchcast replay` loads them again",
        ) from None
