"""PostgreSQL 14 and later: binary COPY from Arrow, and one statement over whole sets.

Rows that only add (``append``, ``replace``, the insert of a merge by whole keys) are copied
straight into the table within the transaction. A merge row by row copies into a temporary table
first. Readers are never blocked but by a change of the table's shape, and see whole loads only:
nothing is truncated, because TRUNCATE shows an empty table to older snapshots.

Two ways to copy, with the same result: psycopg with pgpq, and ADBC where pgpq has no wheel.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode

import pyarrow as pa
import pyarrow.compute as pc

from fetchcast.errors import ConfigError, DestinationError, QueryError
from fetchcast.load import sql
from fetchcast.load.notes import LOADS_COLUMNS, note_of, note_values
from fetchcast.load.tables import STAGE, TableLoading
from fetchcast.records import LoadNote

_T = TypeVar("_T")

COPY_WAYS = ("pgpq", "adbc")
_COPY_ENV = "FETCHCAST_POSTGRES_COPY"
_CHUNK_ROWS = 32_768
_QUERY_TIMEOUT_S = 120
_STREAM_TIMEOUT_S = 600.0
_LOCK_TIMEOUT_S = 60
_CONNECT_TIMEOUT_S = 15
_OLDEST = 140_000
_HAS_MERGE = 150_000
_INDEX_FROM_ROWS = 100_000
_INDEX_FROM_TIMES = 10
_TODO = {
    "25006": "the server or the role only reads: name the primary, or another role; ",
    "42501": "give the role the right, such as GRANT USAGE, CREATE ON SCHEMA for the first load, "
    "or name another schema (?schema=name); ",
    "53100": "make room on the server's disk; ",
    "55P03": "another session has held a lock on the table for a minute: end it (see "
    "pg_stat_activity), or wait; ",
}
"""Code of an error -> what to do about it."""
_SECRETS = ("password", "sslpassword", "sslkey", "passfile")

_COLUMNS = """
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod)::text
FROM pg_catalog.pg_attribute a
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_INDEXED = """
SELECT count(*) FROM pg_catalog.pg_index i
WHERE i.indrelid = to_regclass($1) AND i.indpred IS NULL AND i.indexprs IS NULL
  AND (SELECT string_agg(quote_ident(a.attname), ',' ORDER BY a.attname COLLATE "C")
       FROM pg_catalog.pg_attribute a
       WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[]))
    = (SELECT string_agg(quote_ident(k), ',' ORDER BY k COLLATE "C")
       FROM unnest(string_to_array($2, chr(31))) k)
"""


class Session(Protocol):
    """One connection with one open transaction."""

    version: int
    """Of the server, as in 180004."""

    def run(self, statement: str, values: Sequence[object] = ()) -> int:
        """Execute; the number of rows it touched, 0 where that means nothing."""

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Execute and fetch all."""

    def copy(self, table: str, schema: str | None, rows: pa.Table) -> None:
        """Binary COPY into ``schema.table``; a temporary table if ``schema`` is None."""

    def commit(self) -> None:
        """End the transaction."""

    def close(self) -> None:
        """Give the connection back; without `commit` nothing happened."""


class PostgreSQL:
    """A PostgreSQL database as a destination; implements `fetchcast.records.Destination`.

    Args:
        url: ``postgresql://user:password@host/database``; ``?schema=name`` puts the tables into
            that schema, everything else after ``?`` is libpq's.
        copy: ``pgpq`` or ``adbc``; by default the first that is installed, or what the
            environment variable ``FETCHCAST_POSTGRES_COPY`` says.
    """

    def __init__(self, url: str, *, copy: str | None = None) -> None:
        self._address = address(url)
        self._url, self._schema = self._address.shown, self._address.schema
        self._copy = copy or os.environ.get(_COPY_ENV) or _best_copy()
        if self._copy not in COPY_WAYS:
            raise ConfigError(_COPY_ENV, self._copy, " or ".join(COPY_WAYS))

    @property
    def url(self) -> str:
        """The address without password."""
        return self._url

    @contextmanager
    def load(self) -> Iterator[TableLoading]:
        """Begin one load: one transaction, committed when it is left without an error.

        Raises:
            DestinationError: If the server cannot be reached or refuses; nothing is changed then.
        """
        session = self._open()
        try:
            engine = PostgresEngine(session, self._url, self._schema_of(session))
            loading = TableLoading(engine)
            yield loading
            loading.finish()
            with _told(self._url, _UNSURE):
                session.commit()
        finally:
            session.close()

    def last_note(self, table: str) -> LoadNote | None:
        """The newest note about ``table``, or None if nothing was ever loaded.

        Raises:
            DestinationError: If the server cannot be reached, or has no tables of such a name.
        """
        sql.check_name(table, sql.POSTGRES, self._url)
        session = self._open()
        try:
            engine = PostgresEngine(session, self._url, self._schema or _current(session))
            return engine.last_note(table)
        finally:
            session.close()

    def query(self, sql_text: str, *, seconds: float = _QUERY_TIMEOUT_S) -> pa.Table:
        """The rows of a read-only query; the server ends it after ``seconds``.

        ``numeric`` values come as doubles, JSON as text, times in UTC.

        Raises:
            QueryError: If the server cannot be reached or cannot answer.
        """
        with self._asking(seconds) as session:
            return _plain(session.arrow(sql_text))

    def batches(self, sql_text: str) -> Iterator[pa.RecordBatch]:
        """What `query` gives, a piece at a time; the server ends it after ten minutes."""
        with self._asking(_STREAM_TIMEOUT_S) as session:
            for batch in session.batches(sql_text):
                yield from _plain(pa.Table.from_batches([batch])).to_batches()

    @contextmanager
    def _asking(self, seconds: float) -> Iterator[AdbcSession]:
        """A session that only reads."""
        import adbc_driver_manager  # noqa: PLC0415  a driver is loaded if used

        try:
            session = AdbcSession(self._address.dsn)
            try:
                session.run("SET TRANSACTION READ ONLY")
                session.run(f"SET LOCAL statement_timeout = '{int(1000 * seconds)}ms'")
                session.run("SET LOCAL TimeZone = 'UTC'")
                if self._schema:
                    session.run(f"SET LOCAL search_path = {sql.quoted(self._schema)}, public")
                yield session
            finally:
                session.close()
        except adbc_driver_manager.Error as error:
            text = self._scrubbed(_text(error))
            raise QueryError(self._url, text, "correct the SQL, or the address") from None

    @contextmanager
    def locked(self, scope: str) -> Iterator[Session]:
        """A transaction that no other one of ``scope`` goes beside."""
        with _told(self._url, "nothing was changed"):
            session = self._open()
            try:
                # Before the table: two that make it at once would meet.
                session.run("SELECT pg_advisory_xact_lock(hashtextextended($1, 7))", [scope])
                session.run(_ROW_TABLE)
                yield session
                session.commit()
            finally:
                session.close()

    def _scrubbed(self, text: str) -> str:
        for secret in self._address.secrets:
            text = text.replace(secret, "***")
        return text

    def _open(self) -> Session:
        try:
            return self._connected()
        except DestinationError as error:
            url, problem, _ = error.args
            raise DestinationError(url, self._scrubbed(problem), _REACH) from None

    def _connected(self) -> Session:
        with _told(self._url, "nothing was changed"):
            way = AdbcSession if self._copy == "adbc" else PsycopgSession
            session = way(self._address.dsn)
        version = session.version
        if version < _OLDEST:
            session.close()
            raise DestinationError(
                self._url, f"it is PostgreSQL {version // 10_000}; 14 or later is needed", _REACH
            )
        session.run("SET LOCAL TimeZone = 'UTC'")
        session.run(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_S}s'")
        return session

    def _schema_of(self, session: Session) -> str:
        if self._schema is None:
            return _current(session)
        with _told(self._url, "nothing was changed"):
            if not session.rows("SELECT 1 FROM pg_namespace WHERE nspname = $1", [self._schema]):
                session.run(f"CREATE SCHEMA {sql.quoted(self._schema)}")
        return self._schema


_REACH = (
    "see that the server runs and the address is right; landed answers are kept, and the next "
    "`fetchcast run` loads them"
)
_UNSURE = (
    "the answer to COMMIT did not arrive: the load is whole or not there, and loading it again "
    "does no harm"
)


class PostgresEngine:
    """One transaction; implements `fetchcast.load.tables.Engine`."""

    dialect = sql.POSTGRES

    def __init__(self, session: Session, url: str, schema: str) -> None:
        self.url = url
        self._session = session
        self._schema = schema
        self._locked: set[str] = set()
        self._prepared: set[str] = set()

    def run(self, statement: str) -> int:
        """Execute; the number of rows it touched."""
        with _told(self.url):
            return self._session.run(statement)

    def columns(self, table: str) -> dict[str, str] | None:
        """Name to type as ``format_type`` gives it, or None if there is no such table."""
        with _told(self.url):
            found = dict(self._session.rows(_COLUMNS, [self.name(table)]))
        if found:
            self._lock(table)
        return found or None

    def first(self, query: str) -> tuple[Any, ...] | None:
        """The first row of a query, or None if there is none."""
        with _told(self.url):
            return next(iter(self._session.rows(query)), None)

    def is_ours(self, table: str) -> bool:
        """Whether the table carries our mark."""
        with _told(self.url):
            rows = self._session.rows(
                "SELECT obj_description(to_regclass($1), 'pg_class')", [self.name(table)]
            )
        return bool(rows) and rows[0][0] == sql.MARK

    def create(self, table: str, columns: Mapping[str, str]) -> None:
        """Make the table, with our mark."""
        place = self.name(table)
        self.run(sql.create_table(place, columns))
        self.run(f"COMMENT ON TABLE {place} IS {sql.text_literal(sql.MARK)}")
        self._locked.add(table)

    def widen(self, table: str, column: str, type_: str) -> None:
        """Change the type of a column and cast what is in it."""
        self.run(sql.alter_type(self.name(table), column, type_))

    def name(self, table: str) -> str:
        """The quoted name, with its schema."""
        return f"{sql.quoted(self._schema)}.{sql.quoted(table)}"

    def stage(self, name: str, rows: pa.Table) -> None:
        """Copy ``rows`` into a temporary table."""
        types = {field.name: _stage_type(field) for field in rows.schema}
        create = sql.create_table(sql.quoted(name), types)
        self.run(create.replace("CREATE TABLE", "CREATE TEMPORARY TABLE", 1))
        self._copy(name, None, rows)

    def unstage(self, name: str) -> None:
        """Drop it."""
        self.run(f"DROP TABLE pg_temp.{sql.quoted(name)}")

    def append(self, table: str, rows: pa.Table) -> None:
        """Copy straight into the table."""
        self._copy(table, self._schema, rows)

    def upsert(self, table: str, merge: sql.RowMerge) -> int:
        """Insert or update from the stage; rows that are the same already are not touched.

        No unique index is needed: the lock of the table keeps other loads from adding a key
        twice, and a hash join over both sides costs less than an index probed row by row.
        """
        place, source = self.name(table), sql.quoted(STAGE)
        if self._session.version >= _HAS_MERGE:
            return self.run(sql.merge_into(place, source, merge))
        return sum(self.run(step) for step in sql.update_and_insert(place, source, merge))

    def prepare_lookup(self, table: str, key: Sequence[str], staged: int) -> None:
        """Index the key of a table that is large beside what is looked for in it.

        Everything else is scanned faster than an index is kept.
        """
        with _told(self.url):
            rows = self._session.rows(
                "SELECT reltuples::float8 FROM pg_class WHERE oid = to_regclass($1)",
                [self.name(table)],
            )
        size = rows[0][0] if rows else 0.0
        if size >= _INDEX_FROM_ROWS and staged * _INDEX_FROM_TIMES <= size:
            self._ensure_index(table, key)

    def forget(self, table: str) -> None:
        """Remove the notes about ``table``."""
        if self._exists(sql.LOADS_TABLE):
            self.run(sql.forget_notes(self.name(sql.LOADS_TABLE), table))

    def note(self, note: LoadNote) -> bool:
        """Write into the loads table; False if its ``load_id`` is there."""
        self._ensure_loads_table()
        names = sql.listed(LOADS_COLUMNS)
        with _told(self.url):
            added = self._session.rows(
                f"INSERT INTO {self.name(sql.LOADS_TABLE)} ({names}) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (load_id) DO NOTHING "
                "RETURNING 1",
                note_values(note),
            )
        return bool(added)

    def last_note(self, table: str) -> LoadNote | None:
        """The newest note about ``table``."""
        if not self._exists(sql.LOADS_TABLE) or not self._exists(table):
            return None
        with _told(self.url):
            rows = self._session.rows(
                "SELECT load_id, run_id, table_name, landing, from_seq, upto_seq, shape, "
                "row_count, extract(epoch FROM loaded_at)::float8 "
                f"FROM {self.name(sql.LOADS_TABLE)} WHERE table_name = $1 "
                "ORDER BY ordinal DESC LIMIT 1",
                [table],
            )
        return note_of(rows[0]) if rows else None

    def _exists(self, table: str) -> bool:
        with _told(self.url):
            found = self._session.rows("SELECT to_regclass($1)::text", [self.name(table)])
        return found[0][0] is not None

    def _ensure_loads_table(self) -> None:
        if self._exists(sql.LOADS_TABLE):
            return
        place = self.name(sql.LOADS_TABLE)
        body = ", ".join(
            f"{sql.quoted(name)} {sql.POSTGRES.types[kind]} NOT NULL"
            for name, kind in LOADS_COLUMNS.items()
        )
        self.run(
            f"CREATE TABLE IF NOT EXISTS {place} ({body}, "
            "ordinal bigint GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (load_id))"
        )
        self.run(f"COMMENT ON TABLE {place} IS {sql.text_literal(sql.MARK)}")

    def _lock(self, table: str) -> None:
        """Keep other loads from the table, so that two of them cannot double its rows."""
        if table not in self._locked:
            self._locked.add(table)
            self.run(f"LOCK TABLE {self.name(table)} IN SHARE ROW EXCLUSIVE MODE")

    def _ensure_index(self, table: str, key: Sequence[str]) -> None:
        if table in self._prepared:
            return
        self._prepared.add(table)
        with _told(self.url):
            known = self._session.rows(_INDEXED, [self.name(table), "\x1f".join(key)])
        if not known[0][0]:
            self.run(f"CREATE INDEX ON {self.name(table)} ({sql.listed(key)})")

    def _copy(self, table: str, schema: str | None, rows: pa.Table) -> None:
        with _told(self.url):
            self._session.copy(table, schema, _storable(rows))


class PsycopgSession:
    """psycopg, and pgpq to encode Arrow."""

    def __init__(self, dsn: str) -> None:
        import psycopg  # noqa: PLC0415  a driver is loaded if used

        self._connection = psycopg.connect(dsn, cursor_factory=psycopg.RawCursor)
        self.version = self._connection.info.server_version

    def run(self, statement: str, values: Sequence[object] = ()) -> int:
        """Execute; the number of rows it touched."""
        return max(0, self._connection.execute(statement.encode(), values or None).rowcount)

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Execute and fetch all."""
        return self._connection.execute(statement.encode(), values or None).fetchall()

    def copy(self, table: str, schema: str | None, rows: pa.Table) -> None:
        """Binary COPY, encoded chunk by chunk."""
        import pgpq  # noqa: PLC0415  not installed everywhere

        encoder = pgpq.ArrowToPostgresBinaryEncoder(rows.schema)
        place = f"{sql.quoted(schema or 'pg_temp')}.{sql.quoted(table)}"
        statement = f"COPY {place} ({sql.listed(rows.schema.names)}) FROM STDIN (FORMAT BINARY)"
        with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.write(encoder.write_header())
            for chunk in rows.to_batches(max_chunksize=_CHUNK_ROWS):
                copy.write(encoder.write_batch(chunk))
            copy.write(encoder.finish())

    def commit(self) -> None:
        """End the transaction."""
        self._connection.commit()

    def close(self) -> None:
        """Roll back what is not committed."""
        self._connection.close()


_ROW_TABLE = """
CREATE TABLE IF NOT EXISTS _fetchcast_pace (
    scope text PRIMARY KEY, state bytea NOT NULL, heard_at double precision NOT NULL
)
"""
_ROW_NOW = "extract(epoch FROM clock_timestamp())::float8"


class SharedRow:
    """One row that several programs change in turn: each sees what the one before it left.

    Args:
        url: The database.
        scope: The row's name.
    """

    def __init__(self, url: str, scope: str) -> None:
        self._place, self._scope = PostgreSQL(url, copy="pgpq"), scope

    def exchange(self, decide: Callable[[bytes | None, float, float], tuple[bytes, _T]]) -> _T:
        """Have ``decide`` make the row's new content of the old one, alone; returns what it says.

        Args:
            decide: Is given the content (None: no such row yet), when it was written, and the
                time; both in seconds since 1970 by the server's clock.

        Raises:
            DestinationError: If the database cannot be used.
        """
        with self._place.locked(self._scope) as session:
            rows = session.rows(
                f"SELECT state, heard_at, {_ROW_NOW} FROM _fetchcast_pace WHERE scope = $1",
                [self._scope],
            )
            now = session.rows(f"SELECT {_ROW_NOW}")[0][0]
            state, heard_at = (bytes(rows[0][0]), rows[0][1]) if rows else (None, now)
            content, said = decide(state, heard_at, now)
            session.run(
                "INSERT INTO _fetchcast_pace VALUES ($1, $2, $3) ON CONFLICT (scope) "
                "DO UPDATE SET state = excluded.state, heard_at = excluded.heard_at",
                [self._scope, content, now],
            )
        return said


class AdbcSession:
    """ADBC, which encodes by itself."""

    def __init__(self, dsn: str) -> None:
        import adbc_driver_postgresql.dbapi as adbc  # noqa: PLC0415  a driver is loaded if used

        self._connection = adbc.connect(dsn)
        self.version = int(self.rows("SELECT current_setting('server_version_num')")[0][0])

    def run(self, statement: str, values: Sequence[object] = ()) -> int:
        """Execute; the number of rows it touched."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, tuple(values) or None)
            return max(0, int(cursor.rowcount))

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Execute and fetch all."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement, tuple(values) or None)
            return list(cursor.fetchall())

    def arrow(self, statement: str) -> pa.Table:
        """Execute and fetch all as Arrow."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetch_arrow_table()

    def batches(self, statement: str) -> Iterator[pa.RecordBatch]:
        """Execute and fetch as Arrow, a piece at a time."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            yield from filter(len, cursor.fetch_record_batch())

    def copy(self, table: str, schema: str | None, rows: pa.Table) -> None:
        """Ingest, which is a binary COPY."""
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(
                table,
                pa.RecordBatchReader.from_batches(
                    rows.schema, rows.to_batches(max_chunksize=_CHUNK_ROWS)
                ),
                mode="append",
                db_schema_name=schema,
                temporary=schema is None,
            )

    def commit(self) -> None:
        """End the transaction."""
        self._connection.commit()

    def close(self) -> None:
        """Roll back what is not committed."""
        self._connection.close()


def _best_copy() -> str:
    return "pgpq" if importlib.util.find_spec("pgpq") else "adbc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A PostgreSQL address, taken apart."""

    dsn: str
    """For libpq."""
    schema: str | None
    shown: str
    """For people, without secrets."""
    secrets: tuple[str, ...]
    """What a driver's message must not repeat."""


def address(url: str) -> Address:
    """Take ``url`` apart; also a malformed one gives away no password."""
    _, _, rest = url.partition("://")
    # The last @ ends the password, even one with unescaped characters that a URL parser trips on.
    login, at, place = rest.rpartition("@")
    user, _, password = login.partition(":")
    place, _, query_text = place.partition("?")
    # As libpq reads it: a plus is a plus, a space is %20.
    query = parse_qsl(query_text.replace("+", "%2B"), keep_blank_values=True)
    options = {name: value for name, value in query if name != "schema"}
    options.setdefault("connect_timeout", str(_CONNECT_TIMEOUT_S))
    shown = {name: value for name, value in query if name not in _SECRETS}
    secrets = [password, unquote(password), *re.split(r"[/?#@:]", password)]
    secrets += [value for name, value in query if name in _SECRETS]
    return Address(
        dsn=f"postgresql://{login}{at}{place}?{urlencode(options, quote_via=quote)}",
        schema=dict(query).get("schema"),
        shown=f"postgresql://{user}{at}{place}"
        + (f"?{urlencode(shown, safe='/', quote_via=quote)}" * bool(shown)),
        secrets=tuple(sorted((secret for secret in secrets if secret), key=len, reverse=True)),
    )


def _current(session: Session) -> str:
    return str(session.rows("SELECT current_schema()::text")[0][0])


def _stage_type(field: pa.Field) -> str:
    kind = sql.kind_of_arrow(field.type)
    return (sql.POSTGRES.type_of(kind) if kind else None) or "text"


def _storable(rows: pa.Table) -> pa.Table:
    """PostgreSQL's text holds every character but NUL, which becomes U+FFFD."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_string(field.type):
            column = rows.column(place)
            if pc.any(pc.match_substring(column, "\x00")).as_py():
                replaced = pc.replace_substring(column, "\x00", "\N{REPLACEMENT CHARACTER}")
                rows = rows.set_column(place, field, replaced)
    return rows


def _plain(table: pa.Table) -> pa.Table:
    """Without the extension types of ADBC: ``numeric`` as doubles, the rest as its storage."""
    for place, field in enumerate(table.schema):
        if isinstance(field.type, pa.BaseExtensionType):
            storage = pa.chunked_array(
                [chunk.storage for chunk in table.column(place).chunks], field.type.storage_type
            )
            if getattr(field.type, "type_name", "") == "numeric":
                storage = storage.cast(pa.float64())
            table = table.set_column(place, field.name, storage)
    return table


@contextmanager
def _told(
    url: str, state: str = "this load was not applied, the tables are as they were"
) -> Iterator[None]:
    """Turn the drivers' errors into ours."""
    import adbc_driver_manager  # noqa: PLC0415  a driver is loaded if used
    import psycopg  # noqa: PLC0415

    try:
        yield
    except (psycopg.Error, adbc_driver_manager.Error) as error:
        raise DestinationError(url, f"{_text(error)}; {state}", _hint(error)) from None


def _hint(error: Exception) -> str:
    todo = _TODO.get(getattr(error, "sqlstate", None) or "", "")
    return f"{todo}landed answers are kept: `fetchcast replay` loads them again"


def _text(error: Exception) -> str:
    return " ".join(str(error).split())
