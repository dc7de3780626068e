"""Every destination of dlt, for those that fetchcast does not write to itself.

dlt is handed Arrow tables and nothing else: it need not look at a single value. What is in one load
is one package of dlt's, with its note. A package is not a transaction: each table is. A load that
was cut off is therefore ended first, by dlt, before anything else is asked or loaded.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

import pyarrow as pa
import pyarrow.parquet as pq

from fetchcast.errors import ConfigError, DestinationError, QueryError
from fetchcast.load import sql
from fetchcast.load.notes import LOADS_COLUMNS, note_of, note_values
from fetchcast.load.rows import check_key, settled
from fetchcast.records import REQUEST_KEY, Batch, Disposition, LoadNote, Target

_GONE = "_fetchcast_gone"
"""Tells dlt of calls that have no rows any more; in a table only if that ever happened there."""
_MERGE = "delete-insert"
_DATASET = "fetchcast"
_PIECE_ROWS = 10_000
_SHAPE = (
    "dlt+duckdb:///file.duckdb, dlt+filesystem:///folder, dlt+sqlalchemy+sqlite:///file.db, "
    "dlt+snowflake://user@account/database or another of dlt's destinations"
)
_REACH = "see dlt's page on this destination; landed answers are kept and can be loaded again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A ``dlt+...`` address, taken apart."""

    name: str
    """Of dlt's destination: ``duckdb``, ``filesystem``, ``sqlalchemy``, ..."""
    place: str
    """What dlt calls credentials, or the bucket's address; empty: as dlt is configured."""
    dataset: str
    shown: str
    """For people, without a password."""


def address(url: str, folder: Path) -> Address:
    """Take ``url`` apart; relative files are relative to ``folder``.

    Raises:
        ConfigError: If it has no name of a destination.
    """
    scheme, found, rest = url.removeprefix("dlt+").partition("://")
    name, _, inner = scheme.partition("+")
    if not name or not found:
        raise ConfigError("destination", url.rpartition("@")[2], _SHAPE)
    rest, _, query_text = rest.partition("?")
    query = dict(parse_qsl(query_text, keep_blank_values=True))
    dataset = query.pop("dataset", _DATASET)
    more = f"?{urlencode(query)}" * bool(query)
    return Address(
        name=name,
        place=_place(name, inner, rest, folder) + more,
        dataset=dataset,
        shown=f"dlt+{scheme}://{_without_password(rest)}",
    )


def _place(name: str, inner: str, rest: str, folder: Path) -> str:
    if not rest:
        return ""
    path = folder / unquote(rest).removeprefix("/") if rest.startswith("/") else None
    if name == "filesystem":
        return path.resolve().as_uri() if path and not inner else f"{inner}://{rest}"
    if path is not None and (inner == "sqlite" or name == "duckdb"):
        return f"sqlite:///{path.resolve()}" if inner else str(path.resolve())
    return f"{inner or name}://{rest}"


def _without_password(rest: str) -> str:
    login, at, place = rest.rpartition("@")
    return f"{login.partition(':')[0]}{at}{place}"


class Dlt:
    """A destination of dlt's; implements `fetchcast.records.Destination`.

    Args:
        url: ``dlt+NAME://place?dataset=name``; without a place dlt's own settings count.
        folder: Of the pipeline file; dlt's working folder is below it.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self._address = address(url, folder)
        work = blake2b(url.encode(), digest_size=6).hexdigest()
        self._name, self._work = f"fetchcast_{work}", folder / ".fetchcast" / "dlt"

    @property
    def url(self) -> str:
        """The address without its password."""
        return self._address.shown

    @contextmanager
    def load(self) -> Iterator[DltLoading]:
        """Begin one load; leaving it without an error hands it to dlt.

        Raises:
            DestinationError: If dlt cannot load it; what dlt has of it is loaded first next time.
        """
        with self._open() as pipeline:
            staged = Path(tempfile.mkdtemp(prefix="load-", dir=self._work))
            try:
                loading = DltLoading(pipeline, self, staged)
                yield loading
                loading.finish()
            finally:
                shutil.rmtree(staged, ignore_errors=True)

    def last_note(self, table: str) -> LoadNote | None:
        """The newest note about ``table``, or None if nothing was ever loaded."""
        with self._open() as pipeline:
            if rows_of(pipeline, f"SELECT 1 AS one FROM {sql.quoted(table)} WHERE 1 = 0") is None:
                return None
            notes = notes_of(pipeline, f"table_name = {sql.text_literal(table)}")
            return max(notes, key=lambda note: (note.loaded_at, note.upto_seq), default=None)

    def query(self, sql_text: str) -> pa.Table:
        """The rows of a read-only query, in dlt's types.

        Raises:
            QueryError: If it is not one SELECT, or the database cannot answer.
        """
        import sqlglot  # noqa: PLC0415  comes with dlt
        from sqlglot.errors import SqlglotError  # noqa: PLC0415

        with self._open() as pipeline:
            try:
                dialect = pipeline.destination.capabilities().sqlglot_dialect
                parsed = sqlglot.parse(sql_text, read=dialect)
            except SqlglotError as error:
                raise QueryError(self.url, str(error), "correct the SQL") from None
            if len(parsed) != 1 or not isinstance(parsed[0], sqlglot.exp.Query):
                problem = "only one query that reads can be answered"
                raise QueryError(self.url, problem, "write one SELECT")
            found = rows_of(pipeline, sql_text)
        if found is None:
            raise QueryError(self.url, "a table of the query is not there", "correct the SQL")
        return found

    def batches(self, sql_text: str) -> Iterator[pa.RecordBatch]:
        """What `query` gives, which it holds."""
        yield from self.query(sql_text).to_batches(_PIECE_ROWS)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """The pipeline of dlt's, after what an earlier load left was ended."""
        dlt = _imported(self.url)
        from dlt.common.exceptions import DltException  # noqa: PLC0415  an extra

        try:
            self._work.mkdir(parents=True, exist_ok=True)
            pipeline = dlt.pipeline(
                self._name,
                destination=self._destination(dlt),
                dataset_name=self._address.dataset,
                pipelines_dir=str(self._work),
            )
            if pipeline.has_pending_data:
                pipeline.load()
            elif not pipeline.default_schema_name:
                pipeline.sync_destination()
            yield pipeline
        except (DltException, OSError) as error:
            problem = " ".join(str(error).split())
            raise DestinationError(
                self.url,
                f"{problem}; tables of this load may be there already, dlt ends it first next time "
                f"(what it keeps for that is in {self._work / self._name})",
                _REACH,
            ) from None

    def _destination(self, dlt: Any) -> Any:
        factory = getattr(dlt.destinations, self._address.name, None)
        if factory is None:
            raise ConfigError("destination", f"dlt+{self._address.name}", _SHAPE)
        return factory(self._address.place) if self._address.place else factory()


def _imported(url: str) -> Any:
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")  # Nothing here calls home.
    os.environ.setdefault("RUNTIME__LOG_LEVEL", "CRITICAL")  # Its errors are raised as well.
    try:
        import dlt  # noqa: PLC0415  an extra
    except ImportError:
        raise ConfigError(
            "destination", url, "`pip install 'fetchcast[dlt]'` first: dlt is not installed"
        ) from None
    return dlt


@dataclass(slots=True)
class DltLoading:
    """One load on its way to dlt; implements `fetchcast.records.Loading`.

    Batches wait on the disk, so that memory is bounded whatever the size.
    """

    _pipeline: Any
    _destination: Dlt
    _folder: Path
    _parts: dict[str, list[Path]] = field(default_factory=dict)
    _targets: dict[str, Target] = field(default_factory=dict)
    _keys: dict[str, list[str]] = field(default_factory=dict)
    _kinds: dict[str, dict[str, str]] = field(default_factory=dict)
    _notes: list[LoadNote] = field(default_factory=list)

    def note(self, note: LoadNote) -> bool:
        """Record the load; False if it was recorded before."""
        if notes_of(self._pipeline, f"load_id = {sql.text_literal(note.load_id)}"):
            return False
        self._notes.append(note)
        return True

    def write(self, batch: Batch) -> None:
        """Put ``batch`` with what is to be loaded."""
        target, url = batch.target, self._destination.url
        rows = settled(batch.rows, destination=url, table=target.table)
        merges = target.disposition == Disposition.MERGE
        if merges and rows.num_rows:
            check_key(rows, target.key, unique=not target.whole_keys, at=(url, target.table))
        kinds = self._kinds.setdefault(target.table, {})
        for column in rows.schema:
            kind = sql.kind_of_arrow(column.type) or "text"
            kinds[column.name] = sql.widest(kinds.get(column.name, kind), kind)
        parts = self._parts.setdefault(target.table, [])
        self._targets[target.table] = target
        if merges and target.whole_keys:
            self._keys.setdefault(target.table, []).extend(batch.keys)
        if rows.num_columns:
            parts.append(self._folder / f"{len(self._parts)}-{len(parts)}.parquet")
            pq.write_table(rows, parts[-1])

    def finish(self) -> None:
        """Let dlt load all of it in one package."""
        resources = [made for table in self._parts if (made := self._resource(table)) is not None]
        if self._notes:
            resources.append(self._loads())
        if resources:
            self._pipeline.run(resources)

    def _resource(self, table: str) -> Any:
        dlt = _imported(self._destination.url)
        target, gone = self._targets[table], self._gone(table)
        schema = pa.schema([(n, sql.arrow_of_kind(k)) for n, k in self._kinds[table].items()])
        if not len(schema):
            return None
        hints: dict[str, Any] = {"write_disposition": str(target.disposition)}
        if target.disposition == Disposition.MERGE:
            hints = self._merging(target)
        if gone:
            schema = schema.append(pa.field(_GONE, pa.bool_()))
            hints["columns"] = {_GONE: {"hard_delete": True, "data_type": "bool"}}
        return dlt.resource(self._tables(table, schema, gone), name=table, **hints)

    def _merging(self, target: Target) -> dict[str, Any]:
        able = self._pipeline.destination.capabilities().supported_merge_strategies or ()
        if _MERGE in able:
            key = "merge_key" if target.whole_keys else "primary_key"
            how = {"disposition": "merge", "strategy": _MERGE}
            return {"write_disposition": how, key: list(target.key)}
        if target.table == "_rejects":
            return {"write_disposition": "append"}
        raise DestinationError(
            self._destination.url,
            f"dlt cannot replace single rows there, which table {target.table!r} needs; nothing of "
            "this load was applied",
            f'write = "append" or "replace" in [table.{target.table}], then `fetchcast replay`',
        )

    def _gone(self, table: str) -> list[str]:
        """Calls without rows now that may have had some."""
        place = f"SELECT 1 AS one FROM {sql.quoted(table)} WHERE 1 = 0"
        if not self._keys.get(table) or rows_of(self._pipeline, place) is None:
            return []
        there: set[str] = set()
        for part in self._parts[table]:
            there.update(pq.read_table(part, columns=[REQUEST_KEY])[REQUEST_KEY].to_pylist())
        return [key for key in self._keys[table] if key not in there]

    def _tables(self, table: str, schema: pa.Schema, gone: Sequence[str]) -> Iterator[pa.Table]:
        for part in self._parts[table]:
            rows = pq.read_table(part)
            yield pa.table(
                {
                    column.name: rows[column.name].cast(column.type)
                    if column.name in rows.schema.names
                    else pa.nulls(rows.num_rows, column.type)
                    for column in schema
                }
            )
        if gone:
            known = {REQUEST_KEY: pa.array(gone, pa.string()), _GONE: pa.array([True] * len(gone))}
            yield pa.table({c.name: known.get(c.name, pa.nulls(len(gone), c.type)) for c in schema})

    def _loads(self) -> Any:
        dlt = _imported(self._destination.url)
        values = zip(*map(note_values, self._notes), strict=True)
        rows = pa.table(
            {
                name: pa.array(list(column), sql.arrow_of_kind(kind))
                for (name, kind), column in zip(LOADS_COLUMNS.items(), values, strict=True)
            }
        )
        return dlt.resource(iter([rows]), name=sql.LOADS_TABLE, write_disposition="append")


def notes_of(pipeline: Any, where: str) -> list[LoadNote]:
    """The notes with ``where``."""
    columns = ", ".join(LOADS_COLUMNS)
    place = sql.quoted(sql.LOADS_TABLE)
    found = rows_of(pipeline, f"SELECT {columns} FROM {place} WHERE {where}")
    return [] if found is None else [_note(row) for row in found.to_pylist()]


def _note(row: dict[str, Any]) -> LoadNote:
    moment = row["loaded_at"]
    if isinstance(moment, str):  # SQLite has no moments.
        moment = datetime.fromisoformat(moment)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return note_of([*[row[name] for name in LOADS_COLUMNS][:-1], moment.timestamp()])


def rows_of(pipeline: Any, statement: str) -> pa.Table | None:
    """What ``statement`` finds; None if one of its tables is not there."""
    from dlt.common.destination.exceptions import DestinationUndefinedEntity  # noqa: PLC0415

    if not pipeline.default_schema_name:
        return None
    try:
        with pipeline.sql_client() as client, client.execute_query(statement) as cursor:
            found = cursor.native_cursor  # SQLAlchemy's is none of the DB-API.
            by_keys = hasattr(found, "keys")
            names = [*found.keys()] if by_keys else [one[0] for one in found.description]
            rows = cursor.fetchall()
    except DestinationUndefinedEntity:
        return None
    columns = list(zip(*rows, strict=True)) or [() for _ in names]
    return pa.table(
        {name: pa.array(list(column)) for name, column in zip(names, columns, strict=True)}
    )
