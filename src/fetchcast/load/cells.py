"""The text of CSV cells, as SQL expressions of DuckDB."""

from __future__ import annotations

from fetchcast.load import sql

_STARTS = "^[=+\\-@\\t\\r\\n\uff1d\uff0b\uff0d\uff20]"
"""What a spreadsheet takes for the start of a formula, full-width forms too (OWASP)."""
_NUMBER = "[+-]?[0-9]+([.,][0-9]+)?([eE][+-]?[0-9]+)?"


def cell(name: str, type_: str, *, guard: bool) -> str:
    """The expression for a cell of column ``name`` whose DuckDB type is ``type_``.

    Numbers and flags stand as they are, moments as ``2026-11-21T13:58:00Z``, lists as JSON,
    bytes as base64; text that a spreadsheet would run as a formula gets a ``'`` before it,
    unless it is just a number such as ``-5`` or ``+358401234567``.
    """
    column = sql.quoted(name)
    if type_ == "VARCHAR":
        return _guarded(column) if guard else column
    if type_ == "TIMESTAMP WITH TIME ZONE":
        return _moment(f"{column} AT TIME ZONE 'UTC'", "Z")
    if type_ == "TIMESTAMP":
        return _moment(column, "")
    if type_ == "BLOB":
        return f"to_base64({column})"
    if type_.endswith("[]"):
        return f"CAST(to_json({column}) AS VARCHAR)"
    return column


def _guarded(column: str) -> str:
    risky = (
        f"regexp_matches({column}, {sql.text_literal(_STARTS)}) "
        f"AND NOT regexp_full_match({column}, {sql.text_literal(_NUMBER)})"
    )
    return f"CASE WHEN {risky} THEN '''' || {column} ELSE {column} END"


def _moment(column: str, zone: str) -> str:
    text = f"strftime({column}, '%Y-%m-%dT%H:%M:%S.%f')"
    return f"regexp_replace({text}, '\\.000000$', '') || '{zone}'"
