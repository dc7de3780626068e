"""Taking over what people made at the door into the version that a load is making.

Their own tables and views change at the door only, so there the truth about them is. Tables that
fetchcast made change by loads only; what somebody edited in them cannot be taken over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from fetchcast.load import sql

_TABLES = """
SELECT table_name, sql, coalesce(comment, '') FROM duckdb_tables()
WHERE database_name = ? AND schema_name = 'main' AND NOT internal ORDER BY table_oid
"""
_VIEWS = """
SELECT view_name, sql FROM duckdb_views()
WHERE database_name = ? AND schema_name = 'main' AND NOT internal ORDER BY view_oid
"""
_INDEXES = """
SELECT table_name, sql FROM duckdb_indexes()
WHERE database_name = ? AND schema_name = 'main' AND sql IS NOT NULL
"""
_OTHERS = """
SELECT 'schema ' || schema_name FROM duckdb_schemas()
WHERE database_name = ? AND NOT internal AND schema_name <> 'main'
UNION ALL SELECT 'sequence ' || sequence_name FROM duckdb_sequences() WHERE database_name = ?
UNION ALL SELECT DISTINCT 'macro ' || function_name FROM duckdb_functions()
WHERE database_name = ? AND NOT internal
UNION ALL SELECT 'type ' || type_name FROM duckdb_types() WHERE database_name = ? AND NOT internal
"""
_THEIRS, _BEFORE = "fetchcast_door", "fetchcast_before"


def take_in(connection: Any, door: Path, before: Path | None) -> list[str]:
    """Make the user's tables and views those of ``door``; what could not be taken over.

    Args:
        connection: Of DuckDB, to the version that is being made.
        door: A database that nobody writes to.
        before: The version that the door was a copy of, to see what was edited; None: gone.
    """
    known = _attached(connection, before, _BEFORE) if before else nullcontext()
    # Attached outside of the transaction: one that failed could not let go of them.
    with _attached(connection, door, _THEIRS), known, _transaction(connection):
        ((ours,),) = connection.execute("SELECT current_database()").fetchall()
        left = _take_tables(connection, ours)
        _take_views(connection, ours)
        left += [name for (name,) in connection.execute(_OTHERS, [_THEIRS] * 4).fetchall()]
        return left + _edited(connection, known=before is not None)


def _take_tables(connection: Any, ours: str) -> list[str]:
    """The user's tables as they are at the door; the names of those that are a load's by now."""
    mine, theirs = _tables(connection, ours), _tables(connection, _THEIRS)
    for name in mine.keys() - theirs.keys():
        if mine[name][1] != sql.MARK:
            connection.execute(f"DROP TABLE {sql.quoted(name)}")
    left = []
    for name, (statement, comment) in theirs.items():
        if comment == sql.MARK:
            continue
        if name in mine and mine[name][1] == sql.MARK:
            left.append(f"table {name}")
        else:
            _copy(connection, name, statement, there=name in mine)
    return left


@contextmanager
def _transaction(connection: Any) -> Iterator[None]:
    connection.begin()
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


@contextmanager
def _attached(connection: Any, path: Path, name: str) -> Iterator[None]:
    connection.execute(f"ATTACH {sql.text_literal(str(path))} AS {name} (READ_ONLY)")
    try:
        yield
    finally:
        connection.execute(f"DETACH {name}")


def _tables(connection: Any, database: str) -> dict[str, tuple[str, str]]:
    found = connection.execute(_TABLES, [database]).fetchall()
    return {name: (statement, comment) for name, statement, comment in found}


def _copy(connection: Any, name: str, statement: str, *, there: bool) -> None:
    place = sql.quoted(name)
    if there:
        connection.execute(f"DROP TABLE {place}")
    connection.execute(statement)
    connection.execute(f"INSERT INTO {place} FROM {_THEIRS}.main.{place}")
    for table, index in connection.execute(_INDEXES, [_THEIRS]).fetchall():
        if table == name:
            connection.execute(index)


def _take_views(connection: Any, ours: str) -> None:
    theirs = dict(connection.execute(_VIEWS, [_THEIRS]).fetchall())
    for name, _ in connection.execute(_VIEWS, [ours]).fetchall():
        connection.execute(f"DROP VIEW {sql.quoted(name)}")
    for statement in theirs.values():
        connection.execute(statement)


def _edited(connection: Any, *, known: bool) -> list[str]:
    """Which of our tables somebody wrote to, as far as the version before them is ``known``."""
    found = _tables(connection, _THEIRS).items()
    ours = [name for name, (_, comment) in found if comment == sql.MARK]
    if not known:
        return [f"changes in table {name}, if there are any" for name in ours]
    before = _tables(connection, _BEFORE)
    return [
        f"changes in table {name}"
        for name in ours
        if name not in before or _differ(connection, sql.quoted(name))
    ]


def _differ(connection: Any, place: str) -> bool:
    now, then = f"FROM {_THEIRS}.main.{place}", f"FROM {_BEFORE}.main.{place}"
    counts = connection.execute(
        f"SELECT (SELECT count(*) {now}), (SELECT count(*) {then}), "
        f"(SELECT count(*) FROM ({now} EXCEPT ALL {then}))"
    ).fetchall()
    ((here, there, others),) = counts
    return bool(here != there or others)
