"""DuckDB: versions that nobody holds open for writing, so that everybody can read at any time.

DuckDB lets one process write a file and then nobody else read it. So a load never touches a
file that others may open: it copies the published version, applies everything in one
transaction, closes the copy and publishes it. `fetchcast.load.versions` has the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from fetchcast.errors import DestinationError, QueryError
from fetchcast.load import sql
from fetchcast.load.cells import cell
from fetchcast.load.disk import NOT_APPLIED, locked, told
from fetchcast.load.door import take_in
from fetchcast.load.notes import LOADS_COLUMNS, note_of, note_values
from fetchcast.load.tables import STAGE, TableLoading
from fetchcast.load.versions import Published, Versions, published_path
from fetchcast.records import LoadNote

_WRITE_AFTER_ROWS = 500_000
_PIECE_ROWS = 20_480
_LOAD_MEMORY = "112MB"
"""More is spilt to disk. With Python, Arrow and a batch a load stays below 400 MB."""
_NO_DATABASE = "not a valid DuckDB database"
_SHAPING = ("CREATE", "ALTER", "DROP")
"""How statements begin after which a table may have other columns."""

__all__ = ["DuckDB", "published_path", "read", "reading"]


class DuckDB:
    """A DuckDB database as a destination; implements `fetchcast.records.Destination`."""

    def __init__(self, path: Path, url: str) -> None:
        self.path, self._url = path, url
        self._versions = Versions(path)
        self.notices: list[str] = []
        """What a person should know of the loads so far."""

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
        with locked(self._versions.folder, self._url):
            with told(self._url):
                self._versions.recover()
                after = self._versions.published()
                base = self._base(after)
                includes = after.state if after and base != self.path else self._versions.state()
                number, path = self._versions.begin(base, after)
            connection = self._open_copy(path)
            try:
                engine = DuckDBEngine(connection, self._url)
                loading = TableLoading(engine)
                yield loading
                loading.finish()
                with _told(self._url):
                    connection.commit()
                    door = self._door(connection, number, after, includes)
                    connection.execute("CHECKPOINT")
                connection.close()
                if engine.changed or (after is not None and after.door_is_behind):
                    with told(self._url):
                        self._versions.publish(number, **door)
            finally:
                connection.close()
                self._versions.sweep(self._versions.published())

    def _door(
        self,
        connection: duckdb.DuckDBPyConnection,
        number: int,
        after: Published | None,
        includes: str | None,
    ) -> dict[str, Any]:
        """What to do about the door, after taking over what somebody made there meanwhile."""
        if self.path.exists() and _is_held(self.path):
            stays_at = after.door_version if after else 0
            self.notices.append(
                f"{self.path} is open for writing in another program, so it stays as it was before "
                "this load; the app shows the new rows\nhint: close that program: the next "
                "`fetchcast run` brings the file up to date, and what was made in it stays"
            )
            return {"includes": includes, "door_version": stays_at}
        state = self._versions.state()
        if state not in {None, includes}:
            self._take_in(connection, number, after)
        return {"includes": state, "door_version": None}

    def _take_in(
        self, connection: duckdb.DuckDBPyConnection, number: int, after: Published | None
    ) -> None:
        before = self._versions.path(after.door_version) if after else None
        try:
            known = before if before is not None and before.exists() else None
            left = take_in(connection, self.path, known)
        except duckdb.Error as error:
            left = [f"everything ({_text(error)})"]
        if left:
            aside = self._versions.set_aside(number)
            self.notices.append(
                f"{self.path} was written to while a load had another copy of it; not taken over: "
                f"{', '.join(left)}\nhint: the file as it was is {aside}: `duckdb {self.path}` and "
                f"`ATTACH '{aside}'` show both side by side; delete it when you need it no more"
            )

    def last_note(self, table: str) -> LoadNote | None:
        """The newest note about ``table``, or None if nothing was ever loaded."""
        base = self._base(self._catch_up())
        if base is None:
            return None
        # What a load would start from: someone may have dropped a table at the door.
        with _told(self._url, "nothing was loaded"), duckdb.connect(base, read_only=True) as found:
            return _last_note(_settle(found), table)

    def query(self, sql_text: str) -> pa.Table:
        """The rows of a read-only query against the published version.

        Raises:
            QueryError: If there is no database yet, or DuckDB cannot answer.
        """
        with reading(self.path, self._url) as connection:
            return read(connection, sql_text, self._url)

    def batches(self, sql_text: str) -> Iterator[pa.RecordBatch]:
        """What `query` gives, a piece at a time."""
        with reading(self.path, self._url) as connection:
            yield from pieces(connection, sql_text, self._url)

    def _base(self, after: Published | None) -> Path | None:
        """What the next version starts from: the door if someone changed it, else the last."""
        if after is None or not self._versions.path(after.version).exists():
            return self.path if self.path.exists() else None
        if after.door_is_behind:
            return self._versions.path(after.version)
        if self._versions.door_changed(after) and _is_free(self.path):
            return self.path
        return self._versions.path(after.version)

    def _catch_up(self) -> Published | None:
        """What is published; a door that was open when the last load ended is renewed first."""
        published = self._versions.published()
        if published is not None and published.door_is_behind and not _is_held(self.path):
            with suppress(DestinationError), self.load():
                pass  # Another load does it if it has the lock.
        return self._versions.published()

    def _open_copy(self, path: Path) -> duckdb.DuckDBPyConnection:
        with _told(self._url):
            return _settle(duckdb.connect(str(path)), memory=_LOAD_MEMORY)


class DuckDBEngine:
    """One transaction on a copy; implements `fetchcast.load.tables.Engine`."""

    dialect = sql.DUCKDB

    def __init__(self, connection: duckdb.DuckDBPyConnection, url: str) -> None:
        self.url = url
        self.changed = False
        self.noted: set[str] = set()
        """The tables that were noted."""
        self._connection = connection
        self._staged = self._unwritten = 0
        self._known: dict[str, dict[str, str] | None] = {}
        with _told(url):
            connection.begin()

    def run(self, statement: str) -> int:
        """Execute; the number of rows it touched."""
        self.changed = True
        if statement.startswith(_SHAPING):
            self._known.clear()
        with _told(self.url):
            rows = self._connection.execute(statement).fetchall()
        return int(rows[0][0]) if rows and isinstance(rows[0][0], int) else 0

    def columns(self, table: str) -> dict[str, str] | None:
        """Name to type, or None if there is no such table."""
        if table not in self._known:  # 3 ms a question, and several for each batch.
            self._known[table] = _columns(self._connection, table)
        return self._known[table]

    def first(self, query: str) -> tuple[Any, ...] | None:
        """The first row of a query, or None if there is none."""
        with _told(self.url):
            row: tuple[Any, ...] | None = self._connection.execute(query).fetchone()
        return row

    def is_ours(self, table: str) -> bool:
        """Whether the table carries our mark."""
        rows = self._connection.execute(
            "SELECT comment FROM duckdb_tables() WHERE table_name = ? AND NOT temporary", [table]
        ).fetchall()
        return bool(rows) and rows[0][0] == sql.MARK

    def create(self, table: str, columns: Mapping[str, str]) -> None:
        """Make the table, with our mark."""
        self.run(sql.create_table(self.name(table), columns))
        self._mark(table)

    def _mark(self, table: str) -> None:
        self.run(f"COMMENT ON TABLE {self.name(table)} IS {sql.text_literal(sql.MARK)}")

    def widen(self, table: str, column: str, type_: str) -> None:
        """Change the type of a column and cast what is in it."""
        self.run(sql.alter_type(self.name(table), column, type_))

    def name(self, table: str) -> str:
        """The quoted name."""
        return sql.quoted(table)

    def stage(self, name: str, rows: pa.Table) -> None:
        """Let statements read ``rows`` under ``name``, without a copy."""
        self._staged = rows.num_rows
        self._connection.register(name, rows)

    def unstage(self, name: str) -> None:
        """Forget it."""
        self._connection.unregister(name)
        self._breathe(self._staged)

    def append(self, table: str, rows: pa.Table) -> None:
        """Add rows."""
        self.stage(STAGE, rows)
        self.run(sql.insert_from(self.name(table), sql.quoted(STAGE), rows.schema.names, {}))
        self.unstage(STAGE)

    def _breathe(self, rows: int) -> None:
        """Write what is in memory to the file now and then, as a transaction of DuckDB grows.

        It may, for a load is not one transaction but one file, which nobody sees before it is
        published and which is thrown away if the load fails.
        """
        self._unwritten += rows
        if self._unwritten >= _WRITE_AFTER_ROWS:
            self._unwritten = 0
            with _told(self.url):
                self._connection.commit()
                self._connection.execute("CHECKPOINT")
                self._connection.begin()

    def upsert(self, table: str, merge: sql.RowMerge) -> int:
        """MERGE without a primary key: DuckDB joins by hash, and an index would slow all else."""
        return self.run(sql.merge_into(self.name(table), sql.quoted(STAGE), merge))

    def prepare_lookup(self, table: str, key: Sequence[str], staged: int) -> None:
        """Nothing to prepare: a scan with a hash table is DuckDB's fastest way."""

    def forget(self, table: str) -> None:
        """Remove the notes about ``table``."""
        if self.columns(sql.LOADS_TABLE) is not None:
            self.run(sql.forget_notes(self.name(sql.LOADS_TABLE), table))

    def note(self, note: LoadNote) -> bool:
        """Write into the loads table; False if its ``load_id`` is there."""
        place = self.name(sql.LOADS_TABLE)
        if self.columns(sql.LOADS_TABLE) is None:
            types = {name: sql.DUCKDB.types[kind] for name, kind in LOADS_COLUMNS.items()}
            self.create(sql.LOADS_TABLE, types | {"ordinal": "BIGINT"})
        with _told(self.url):
            known = self._connection.execute(
                f"SELECT 1 FROM {place} WHERE load_id = ?", [note.load_id]
            ).fetchall()
            if not known:
                self.changed = True
                self.noted.add(note.table)
                self._connection.execute(
                    f"INSERT INTO {place} SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                    f"(SELECT coalesce(max(ordinal), 0) + 1 FROM {place})",
                    note_values(note),
                )
        return not known


def read(connection: duckdb.DuckDBPyConnection, sql_text: str, url: str) -> pa.Table:
    """The rows of one read-only statement, times in UTC; raises `QueryError`."""
    with _asked(connection, sql_text, url) as found:
        return found.to_arrow_table()


def pieces(
    connection: duckdb.DuckDBPyConnection, sql_text: str, url: str
) -> Iterator[pa.RecordBatch]:
    """The rows of one read-only statement, a piece at a time; raises `QueryError`."""
    with _asked(connection, sql_text, url) as found:
        yield from filter(len, found.to_arrow_reader(_PIECE_ROWS))


@contextmanager
def _asked(
    connection: duckdb.DuckDBPyConnection, sql_text: str, url: str
) -> Iterator[duckdb.DuckDBPyRelation]:
    try:
        statements = connection.extract_statements(sql_text)
        kinds = [statement.type for statement in statements]
        if kinds != [duckdb.StatementType.SELECT]:
            raise QueryError(url, "only one query that reads can be answered", "write one SELECT")
        yield connection.sql(sql_text)
    except duckdb.Error as error:
        raise QueryError(url, _text(error), "correct the SQL") from None


class Conditions:
    """Evaluates conditions over rows that are in memory; reads nothing else on this machine."""

    def __init__(self) -> None:
        self._connection = _settle(duckdb.connect())
        self._connection.execute("SET enable_external_access = false")

    def kept(self, condition: str, rows: pa.Table) -> list[bool]:
        """For which of ``rows`` a SQL condition over their columns is true; raises `QueryError`."""
        self._connection.register("row", rows)
        try:
            # The line end ends a comment; the brackets hold what is one expression.
            text = f'SELECT coalesce(({condition}\n)::BOOLEAN, false) FROM "row"'
            found = read(self._connection, text, "the filter")
        finally:
            self._connection.unregister("row")
        if found.num_rows != rows.num_rows:
            raise QueryError("the filter", "it is not one condition a row", "correct the SQL")
        kept: list[bool] = found.column(0).to_pylist()
        return kept


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str] | None:
    rows = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? "
        "AND schema_name = 'main' AND database_name = current_database() ORDER BY column_index",
        [table],
    ).fetchall()
    return dict(rows) or None


def _last_note(connection: duckdb.DuckDBPyConnection, table: str) -> LoadNote | None:
    if _columns(connection, sql.LOADS_TABLE) is None or _columns(connection, table) is None:
        return None
    row = connection.execute(
        "SELECT load_id, run_id, table_name, landing, from_seq, upto_seq, shape, row_count, "
        f"epoch(loaded_at) FROM {sql.quoted(sql.LOADS_TABLE)} WHERE table_name = ? "
        "ORDER BY ordinal DESC LIMIT 1",
        [table],
    ).fetchone()
    return None if row is None else note_of(row)


class FilesEngine(DuckDBEngine):
    """A scratch database into which files are read when a load touches their table."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, url: str, files: Mapping[str, Path]
    ) -> None:
        super().__init__(connection, url)
        self._files, self._old = dict(files), frozenset(files)

    def columns(self, table: str) -> dict[str, str] | None:
        """Name to type; the table's file is read when it is first asked for."""
        file = self._files.pop(table, None)
        if file is not None:
            source = f"read_parquet({sql.text_literal(str(file))})"
            self.run(f"CREATE TABLE {self.name(table)} AS FROM {source}")
            self._mark(table)
        return super().columns(table)

    def written(self, tables: Sequence[str]) -> list[str]:
        """Of ``tables`` those that are worth a file, with the loads table if the load was noted.

        A table that was not asked for by name (a child table, the rejects) and never had a row
        is not: a file with a header alone would only puzzle.
        """
        with _told(self.url):
            self._connection.commit()
        there = [table for table in tables if self.columns(table) is not None]
        worth = [table for table in there if table in self._old | self.noted or self._filled(table)]
        return [*worth, sql.LOADS_TABLE] if self.noted else worth

    def _filled(self, table: str) -> bool:
        with _told(self.url):
            found = self._connection.execute(f"SELECT 1 FROM {self.name(table)} LIMIT 1")
            return bool(found.fetchall())

    def write(self, table: str, target: Path) -> Path:
        """Write the table as Parquet, rows in the order they came in."""
        place = sql.text_literal(str(target))
        self.run(f"COPY {self.name(table)} TO {place} (FORMAT parquet, COMPRESSION zstd)")
        return target


@contextmanager
def scratch(path: Path, url: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database that is gone when the block ends; on disk, so that memory stays bounded."""
    leftovers = (path, path.with_name(path.name + ".wal"))
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    with _told(url):
        connection = _settle(duckdb.connect(str(path)), memory=_LOAD_MEMORY)
    try:
        yield connection
    finally:
        connection.close()
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)


class Reading:
    """Parquet files as the tables of a database in memory."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def query(self, sql_text: str, url: str) -> pa.Table:
        """The rows of one read-only statement."""
        return read(self._connection, sql_text, url)

    def batches(self, sql_text: str, url: str) -> Iterator[pa.RecordBatch]:
        """The same, a piece at a time."""
        return pieces(self._connection, sql_text, url)

    def last_note(self, table: str) -> LoadNote | None:
        """The newest note about ``table``."""
        return _last_note(self._connection, table)


@contextmanager
def over_files(files: Mapping[str, Path]) -> Iterator[Reading]:
    """Read ``files`` and nothing else on this machine, each under the name of its table."""
    with _settle(duckdb.connect()) as connection:
        for table, path in files.items():
            source = f"read_parquet({sql.text_literal(str(path))})"
            connection.execute(f"CREATE VIEW {sql.quoted(table)} AS FROM {source}")
        allowed = ", ".join(sql.text_literal(str(path)) for path in files.values())
        connection.execute(f"SET allowed_paths = [{allowed}]")
        connection.execute("SET enable_external_access = false")
        yield Reading(connection)


def write_csv(
    source: Path,
    target: Path,
    *,
    order: Sequence[str],
    delimiter: str,
    guard: bool,
    at: tuple[str, str],
) -> None:
    """Write a Parquet file as CSV.

    Args:
        source: The Parquet file.
        target: The CSV file, which is overwritten.
        order: Columns to order by; rows stand as they were loaded if one of them is not there.
        delimiter: Between cells.
        guard: Whether text that a spreadsheet would run gets a ``'`` before it.
        at: Address and state of the data, for messages.
    """
    url, state = at
    table = f"read_parquet({sql.text_literal(str(source))})"
    with _told(url, state), _settle(duckdb.connect(), memory=_LOAD_MEMORY) as connection:
        described = connection.execute(f"DESCRIBE FROM {table}").fetchall()
        columns = ", ".join(
            f"{cell(name, type_, guard=guard)} AS {sql.quoted(name)}"
            for name, type_, *_ in described
        )
        there = {name for name, *_ in described}
        by = f" ORDER BY {sql.listed(order)}" if order and there.issuperset(order) else ""
        connection.execute(
            f"COPY (SELECT {columns} FROM {table}{by}) TO {sql.text_literal(str(target))} "
            f"(FORMAT csv, HEADER, DELIMITER {sql.text_literal(delimiter)})"
        )


@contextmanager
def reading(path: Path, url: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to the published version of the database at ``path``, which only reads.

    Raises:
        QueryError: If nothing was ever loaded, or the file is not a database.
    """
    with _settle(_open_published(path, url)) as connection:
        connection.execute("SET enable_external_access = false")
        yield connection


def _open_published(path: Path, url: str) -> duckdb.DuckDBPyConnection:
    while (version := published_path(path)) is not None:
        try:
            return duckdb.connect(str(version), read_only=True)
        except duckdb.Error as error:
            # Two loads may have passed since the question, and the version may be gone.
            if version.exists():
                raise QueryError(url, _text(error), "see what holds the file open") from None
    raise QueryError(url, "there is no database yet", "`fetchcast run` makes it")


def _settle(
    connection: duckdb.DuckDBPyConnection, *, memory: str | None = None
) -> duckdb.DuckDBPyConnection:
    """Times in UTC whatever the machine's zone, nothing printed, and no more than ``memory``.

    With a bound of memory it is a load, which leaves half of the processors to the shaping of
    what comes next.
    """
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    if memory is not None:
        connection.execute(f"SET memory_limit = {sql.text_literal(memory)}")
        connection.execute(f"SET threads = {max(1, (os.cpu_count() or 1) // 2)}")
    return connection


def _is_free(path: Path) -> bool:
    """Whether nobody has the file open for writing."""
    try:
        duckdb.connect(str(path), read_only=True).close()
    except duckdb.Error:
        return False
    return True


def _is_held(path: Path) -> bool:
    """Whether somebody has the file open for writing."""
    try:
        duckdb.connect(str(path), read_only=True).close()
    except duckdb.ConnectionException:
        return True  # In this very process.
    except duckdb.IOException as error:
        # Anything else that is wrong with it is no reason to leave it as it is.
        return "lock" in str(error) or "another process" in str(error)
    except duckdb.Error:
        return False
    return False


@contextmanager
def _told(url: str, state: str = NOT_APPLIED) -> Iterator[None]:
    """Turn DuckDB's errors into ours."""
    try:
        yield
    except duckdb.Error as error:
        kept = "landed answers are kept: `fetchcast replay` loads them again"
        other = "move the file out of the way or name another one; "
        hint = f"{other if _NO_DATABASE in str(error) else ''}{kept}"
        raise DestinationError(url, f"{_text(error)}; {state}", hint) from None


def _text(error: Exception) -> str:
    return str(error).strip()
