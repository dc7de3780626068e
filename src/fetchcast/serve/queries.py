"""Read-only queries on the destination, whatever it is.

A DuckDB file is opened read-only, without any way to other files or the network, and kept open
for as long as it is the published version: opening costs 27 ms, a query on a kept connection one.
Other destinations answer through `fetchcast.records.Destination.query`. What was read is kept
until a new version is published, or for two seconds where versions cannot be told apart.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import duckdb
import pyarrow as pa

from fetchcast.clock import Clock
from fetchcast.errors import DestinationError, QueryError
from fetchcast.load.destinations import open_destination
from fetchcast.load.duckdb import DuckDB, published_path
from fetchcast.records import Destination
from fetchcast.serve.asking import Job, ask

_KEPT_RESULTS = 512
_KEPT_DERIVED = 256
_KEPT_BYTES = 96 * 1024 * 1024
_FRESH_S = 2.0
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  columns without a zone have none
T = TypeVar("T")
_SETTINGS = (
    # Not as arguments of connect(): a load in this process opens the same file without any.
    "SET enable_external_access = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET GLOBAL timezone = 'UTC'",
    "SET memory_limit = '1GB'",
    "SET max_temp_directory_size = '2GB'",
)
_ALONE = (
    "SET temp_directory = ''",  # A process that is ended cannot remove what it spilled.
    *_SETTINGS,
    "SET python_enable_replacements = false",
    "SET enable_progress_bar = false",
    "SET lock_configuration = true",
)
_FOR_EACH_CURSOR = (
    # Else a query could name the variables of this module as tables.
    "SET python_enable_replacements = false; "
    # A slow query would draw over the terminal that the app was started in.
    "SET enable_progress_bar = false"
)


def quoted(value: str) -> str:
    """A text value inside a statement.

    Both databases read a doubled quote as a quote and nothing else as special (PostgreSQL since
    ``standard_conforming_strings``).
    """
    return "'" + value.replace("\0", "").replace("'", "''") + "'"


def named(name: str) -> str:
    """The name of a table or column inside a statement."""
    return '"' + name.replace("\0", "").replace('"', '""') + '"'


class Readable(Protocol):
    """Something that answers queries, and forgets the answers."""

    @property
    def kind(self) -> str:
        """``duckdb``, ``postgresql``, ...: the scheme of its address."""

    def version(self) -> str:
        """Changes whenever a new version of the data is published."""

    def table(self, sql: str) -> pa.Table:
        """The answer to a query; raises `DestinationError`."""

    def ask(self, sql: str, *, rows: int, size: int, seconds: float) -> pa.Table:
        """The first ``rows`` rows of one SELECT that a person wrote, if it ends in time.

        Raises:
            QueryError: If it cannot be answered within ``size`` bytes and ``seconds``.
        """

    def close(self) -> None:
        """Let go of everything."""


class Store(Readable, Protocol):
    """The same with a memory."""

    def derived(self, key: Hashable, make: Callable[[], T]) -> T:
        """What ``make`` makes of the tables; kept under ``key`` as long as their version."""


def open_store(url: str, folder: Path, clock: Clock) -> Store:
    """The store behind a destination's address; nothing is opened before the first query."""
    destination = open_destination(url, folder)
    if isinstance(destination, DuckDB):
        return _Kept(_Duck(destination))
    return _Kept(_Other(destination, url, folder, clock))


@dataclass(slots=True)
class _Version:
    """One published file, open."""

    path: Path
    connection: duckdb.DuckDBPyConnection


class _Duck:
    """A DuckDB destination: one kept connection for each published version."""

    kind = "duckdb"

    def __init__(self, destination: DuckDB) -> None:
        self._destination = destination
        self._lock = threading.Lock()
        self._open: _Version | None = None

    def version(self) -> str:
        return str(self._published())

    def _published(self) -> Path:
        path = published_path(self._destination.path)
        if path is None:
            problem = "there is no database yet"
            raise DestinationError(self._destination.url, problem, "run the pipeline first")
        return path

    def table(self, sql: str) -> pa.Table:
        try:
            return self._cursor().sql(sql).to_arrow_table()
        except duckdb.Error as problem:
            hint = "run the pipeline and its forecast, then try again"
            raise QueryError(self._destination.url, str(problem), hint) from problem

    def ask(self, sql: str, *, rows: int, size: int, seconds: float) -> pa.Table:
        destination = self._destination
        # What is no SELECT is told so at once, without a process for it.
        _check_select(self._cursor(), destination.url, sql)
        return ask(
            Job(
                url=destination.url,
                folder=str(destination.path.parent),
                file=str(self._published()),
                shown=destination.url,
                sql=sql,
                most_rows=rows,
                most_bytes=size,
                seconds=seconds,
            )
        )

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor on the newest version. The old connection closes with its last cursor."""
        path = self._published()
        with self._lock:
            if self._open is None or self._open.path != path:
                self._open = _Version(path, self._connect(path))
            cursor = self._open.connection.cursor()
        cursor.execute(_FOR_EACH_CURSOR)
        return cursor

    def _connect(self, path: Path) -> duckdb.DuckDBPyConnection:
        try:
            connection = duckdb.connect(str(path), read_only=True)
            for setting in _SETTINGS:
                connection.execute(setting)
        except duckdb.Error as problem:
            hint = "if another program holds the file open for writing, close it there"
            raise DestinationError(self._destination.url, str(problem), hint) from problem
        return connection

    def close(self) -> None:
        with self._lock:
            if self._open is not None:
                self._open.connection.close()
                self._open = None


class _Other:
    """Any other destination, through its own read-only queries."""

    def __init__(self, destination: Destination, address: str, folder: Path, clock: Clock) -> None:
        self._destination, self._address, self._folder = destination, address, folder
        self.kind, self._clock = address.partition(":")[0], clock

    def version(self) -> str:
        return f"{self._destination.url}#{int(self._clock.monotonic() / _FRESH_S)}"

    def table(self, sql: str) -> pa.Table:
        return self._destination.query(sql)

    def ask(self, sql: str, *, rows: int, size: int, seconds: float) -> pa.Table:
        return ask(
            Job(
                url=self._address,
                folder=str(self._folder),
                file=None,
                shown=self._destination.url,
                sql=sql,
                most_rows=rows,
                most_bytes=size,
                seconds=seconds,
            )
        )

    def close(self) -> None:
        """Nothing is kept open."""


@dataclass(slots=True)
class _Kept:
    """Keeps what was read of the newest version, the least used leaves first."""

    store: Readable
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _version: str = ""
    _bytes: int = 0
    _results: OrderedDict[str, pa.Table] = field(default_factory=OrderedDict)
    _derived: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)
    _making: dict[Hashable, threading.Lock] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return self.store.kind

    def version(self) -> str:
        return self.store.version()

    def table(self, sql: str) -> pa.Table:
        version = self.store.version()
        with self._lock:
            self._turn_to(version)
            if (found := self._results.get(sql)) is not None:
                self._results.move_to_end(sql)
                return found
        result = self.store.table(sql)
        with self._lock:
            if version == self._version:
                self._keep(sql, result)
        return result

    def ask(self, sql: str, *, rows: int, size: int, seconds: float) -> pa.Table:
        return self.store.ask(sql, rows=rows, size=size, seconds=seconds)

    def derived(self, key: Hashable, make: Callable[[], T]) -> T:
        version = self.store.version()
        with self._lock:
            self._turn_to(version)
            if key in self._derived:
                return cast("T", self._again(key))
            turn = self._making.setdefault(key, threading.Lock())
        with turn:  # Who comes second waits, instead of making the same beside it.
            with self._lock:
                if version == self._version and key in self._derived:
                    return cast("T", self._again(key))
            try:
                made = make()
            finally:
                with self._lock:
                    self._making.pop(key, None)
            with self._lock:
                if version == self._version:
                    self._derived[key] = made
                    if len(self._derived) > _KEPT_DERIVED:
                        self._derived.popitem(last=False)
            return made

    def _again(self, key: Hashable) -> Any:
        self._derived.move_to_end(key)
        return self._derived[key]

    def _turn_to(self, version: str) -> None:
        """Forget everything if another version was published."""
        if version != self._version:
            self._version, self._bytes = version, 0
            self._results.clear()
            self._derived.clear()

    def _keep(self, sql: str, result: pa.Table) -> None:
        self._results[sql] = result
        self._bytes += result.nbytes
        while self._results and (len(self._results) > _KEPT_RESULTS or self._bytes > _KEPT_BYTES):
            _, old = self._results.popitem(last=False)
            self._bytes -= old.nbytes

    def close(self) -> None:
        self.store.close()


def one_select(file: Path, shown: str, sql: str, most_rows: int) -> pa.Table:
    """The answer to one SELECT of a stranger, on a connection that is used for nothing else.

    Raises:
        QueryError: If it is anything else than one SELECT, or cannot be answered.
    """
    try:
        connection = duckdb.connect(str(file), read_only=True)
        for setting in _ALONE:
            connection.execute(setting)
        _check_select(connection, shown, sql)
        return connection.sql(sql).limit(most_rows).to_arrow_table()
    except duckdb.OutOfMemoryException as problem:
        raise QueryError(shown, "it needs more memory than a query is given", "ask for less") from (
            problem
        )
    except duckdb.Error as problem:
        raise QueryError(shown, str(problem), "correct the SQL") from problem


def _check_select(connection: duckdb.DuckDBPyConnection, shown: str, sql: str) -> None:
    """Raise `QueryError` if ``sql`` is anything else than one SELECT; nothing is run."""
    try:
        kinds = [statement.type for statement in connection.extract_statements(sql)]
    except duckdb.Error as problem:
        raise QueryError(shown, str(problem), "correct the SQL") from problem
    if kinds != [duckdb.StatementType.SELECT]:
        raise QueryError(shown, "only one query that reads is answered", "write one SELECT")


def rows(result: pa.Table) -> list[dict[str, Any]]:
    """The rows of an answer, as Python values; times are UTC where they have a zone."""
    names = result.column_names
    columns = [_values(column) for column in result.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pa.ChunkedArray) -> list[Any]:
    """A column as Python values.

    Arrow's own `to_pylist` imports pandas, a second of time, for the first time stamp that it
    sees, and takes four times as long for each.
    """
    kind = column.type
    if not pa.types.is_timestamp(kind):
        found: list[Any] = column.to_pylist()
        return found
    first = _EPOCH if kind.tz is None else _EPOCH.replace(tzinfo=UTC)
    counts = column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64()).to_pylist()
    return [None if count is None else _moment(first, count) for count in counts]


def _moment(first: datetime, microseconds: int) -> datetime | str:
    """A moment, or the word for one that Python's calendar ends before."""
    try:
        return first + timedelta(microseconds=microseconds)
    except OverflowError:
        return "infinity" if microseconds > 0 else "-infinity"
