"""A pipeline without a file: from an address with ``{name}`` in it and what is to stand there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from fetchcast.config import Pipeline
from fetchcast.errors import ConfigError, InputError, WrongTable
from fetchcast.extract.auth.hygiene import check_secrets
from fetchcast.plan.adopt.secrets import is_secret
from fetchcast.plan.adopt.toml import write_toml
from fetchcast.plan.sources import column_names
from fetchcast.plan.templates import Template

Document: TypeAlias = dict[str, Any]

_KINDS: Mapping[str, tuple[str, dict[str, str]]] = {
    ".csv": ("csv", {}),
    ".tsv": ("csv", {"delimiter": "\t"}),
    ".parquet": ("parquet", {}),
    ".pq": ("parquet", {}),
    ".ndjson": ("ndjson", {}),
    ".jsonl": ("ndjson", {}),
}
"""How a file's name ends -> its key in a parameter, and what else it needs there."""
_NUMBER = re.compile(r"0|-?[1-9]\d{0,17}")
_NUMBERS = re.compile(r"(-?\d{1,18})\.\.(-?\d{1,18})")
_DAY = r"\d{4}-\d{2}-\d{2}"
_DAYS = re.compile(rf"({_DAY})\.\.({_DAY})?")
_LONGEST = 100
_EXPECTED = "NAME=1,2,3, NAME=1..100, NAME=2026-01-01..2026-03-31, NAME=FILE.csv or FILE.csv"


def describe(
    url: str,
    params: Sequence[str],
    *,
    folder: Path,
    destination: str | None = None,
    rows: str | None = None,
    headers: Sequence[str] = (),
) -> Document:
    """What a pipeline file for ``url`` would say.

    Args:
        url: An address; ``{name}`` in its path or query is a parameter, ``${NAME}`` a secret.
        params: ``NAME=1,2,3``, ``NAME=1..100``, ``NAME=2026-01-01..2026-03-31``, or a CSV, Parquet
            or NDJSON file: ``NAME=FILE``, ``NAME=FILE:COLUMN``, or ``FILE`` for all parameters that
            are columns of it.
        folder: What relative file names are relative to.
        destination: Where rows go; ``duckdb:///NAME.duckdb`` if not given.
        rows: Where they are in an answer; found if not given.
        headers: Sent with every call, each ``Name: value``.

    Raises:
        ConfigError: If something is no address, header or parameter, or a ``{name}`` has no values.
        InputError: If a file cannot be read, or has no such column.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError("URL", url, "an address like https://host/path/{id}")
    names = _placeholders(url)
    given = _given(params, names, folder)
    if missing := [name for name in names if name not in given]:
        expected = f"{{{missing[0]}}} to have values: --params {_EXPECTED}"
        raise ConfigError("--params", list(params), expected)
    steps = [step for step in parts.path.split("/") if step]
    split = max(next((i for i, step in enumerate(steps) if "{" in step), len(steps)) - 1, 0)
    resource = _resource(steps)
    host = parts.netloc.rpartition("@")[2]
    api = {"base_url": "/".join([f"{parts.scheme}://{parts.netloc}", *steps[:split]])}
    call: Document = {"path": "/".join(steps[split:])}
    return {
        "name": _name(host, parts.path, parts.query),
        **({"destination": destination} if destination else {}),
        "api": {**api, **_signed(parts.query, headers)},
        "resource": {resource: call | _asked(parts.query) | ({"params": given} if given else {})},
        "table": {resource: _table(resource, given, rows)},
    }


def described(document: Document, folder: Path) -> Pipeline:
    """The pipeline that ``document`` describes, its variables put in.

    Raises:
        ConfigError: Also for a key that stands there as it is: commands are kept by shells.
    """
    check_secrets(document)
    return Pipeline.from_dict(document, folder=folder)


def as_file(document: Document) -> str:
    """``document`` as a pipeline file."""
    return write_toml(document)


def _placeholders(url: str) -> list[str]:
    """The names in ``url``, in their order."""
    plain = re.sub(r"\$\{[^}]*\}", "", url)
    found = Template(unquote(plain)).names
    names = {name.removesuffix(".end") for name in found}
    return sorted(names, key=lambda name: plain.find(f"{{{name}"))


def _name(host: str, path: str, query: str) -> str:
    """Another one for each address: answers to one must not be taken for answers to another."""
    asked = [f"{name} {text}" for name, text in parse_qsl(query) if not is_secret(name)]
    text = " ".join([host, unquote(path), *asked])
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:_LONGEST].strip("-")


def _resource(steps: Sequence[str]) -> str:
    fixed = [unquote(step) for step in steps if "{" not in step]
    words = (re.sub(r"[^A-Za-z0-9]+", "_", step).strip("_").lower() for step in reversed(fixed))
    return next((word for word in words if re.match(r"(?!v\d+$)[a-z]", word)), "items")


def _asked(query: str) -> Document:
    """The query of the calls, without keys."""
    found: Document = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if is_secret(name) and value:
            continue
        found[name] = [*_as_list(found[name]), value] if name in found else value
    return {"query": found} if found else {}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _signed(query: str, headers: Sequence[str]) -> Document:
    """What is sent to say who we are, and kept nowhere."""
    found: Document = {}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon:
            raise WrongTable("--header", "expected 'Name: value'")
        found[name.strip()] = value.strip()
    keys = [(name, value) for name, value in parse_qsl(query) if is_secret(name)]
    if len(keys) > 1:
        raise ConfigError("URL", keys[1][0], f"one key in the query; {keys[0][0]!r} is one already")
    signed: Document = {"headers": found} if found else {}
    for name, value in keys:
        signed["auth"] = {"type": "api_key", "key": value, "name": name, "in": "query"}
    return signed


def _table(resource: str, given: Mapping[str, Any], rows: str | None) -> Document:
    carried = {f"asked_{name}": f"param:{name}" for name in given}
    table: Document = {"from": resource}
    if rows:
        table["rows"] = rows
    return table | ({"carry": carried} if carried else {})


def _given(params: Sequence[str], names: Sequence[str], folder: Path) -> Document:
    """Name -> what it is in the file, in the order of ``names``."""
    found: Document = {}
    files: list[str] = []
    for param in params:
        name, equals, text = param.partition("=")
        if not equals or name not in names:
            if equals and not _is_file(param):
                expected = f"one of {', '.join(names) or 'none: the address has no {name}'}"
                raise ConfigError("--params", name, expected)
            files.append(param)
        else:
            found[name] = _values(name, text)
    for file in files:
        open_ = [name for name in names if name not in found]
        found |= _columns(file, open_, folder)
    return {name: found[name] for name in names if name in found}


def _is_file(text: str) -> bool:
    return Path(text).suffix.lower() in _KINDS


def _values(name: str, text: str) -> Any:
    path, _, column = text.partition(":")
    if _is_file(text) or (column and _is_file(path)):
        return _column(text, name) if _is_file(text) else _column(path, column)
    if numbers := _NUMBERS.fullmatch(text):
        first, last = int(numbers[1]), int(numbers[2])
        return {"from": first, "to": last} | ({"step": -1} if last < first else {})
    if days := _DAYS.fullmatch(text):
        return {"from": days[1]} | ({"to": days[2]} if days[2] else {})
    values = [value.strip() for value in text.split(",")]
    if not all(values):
        raise ConfigError("--params", f"{name}={text}", _EXPECTED)
    # A text such as 007 is not the number 7.
    return [*map(int, values)] if all(map(_NUMBER.fullmatch, values)) else values


def _column(path: str, column: str) -> Document:
    key, more = _KINDS[Path(path).suffix.lower()]
    return {key: path, "column": column, **more}


def _columns(path: str, names: Sequence[str], folder: Path) -> Document:
    """Those of ``names`` that are columns of the file; one column alone needs no name."""
    if not _is_file(path):
        raise ConfigError("--params", path, _EXPECTED)
    key, more = _KINDS[Path(path).suffix.lower()]
    there = column_names(key, folder / path, more.get("delimiter", ","))
    if len(names) == 1 and len(there) == 1:
        return {names[0]: _column(path, there[0])}
    found = {name: _column(path, name) for name in names if name in there}
    if not found:
        wanted = " or ".join(map(repr, names)) or "that the address asks for"
        problem = f"has no column {wanted}; it has: {', '.join(there)}"
        hint = f"\nhint: --params {names[0]}={path}:{there[0]}" if names else ""
        raise InputError(path, problem + hint)
    return found
