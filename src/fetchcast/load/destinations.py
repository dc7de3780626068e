"""From an address to a destination."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from fetchcast.errors import ConfigError
from fetchcast.records import Destination

_Options = TypeVar("_Options")
_KNOWN = (
    "duckdb:///file.duckdb, postgresql://host/database, sqlite:///file.db, parquet:///folder, "
    "csv:///file.csv or dlt+..."
)


def open_destination(url: str, folder: Path = Path()) -> Destination:
    """The destination at ``url``; nothing is opened before it is used.

    Args:
        url: ``duckdb:///x.duckdb``, ``postgresql://user:password@host/db``, ``sqlite:///x.db``,
            ``parquet:///dir``, ``csv:///results.csv`` or ``dlt+...`` (see `fetchcast.load.dlt`);
            four slashes make a path absolute.
        folder: What relative paths are relative to: the folder of the pipeline file; the current
            one if not given.

    Raises:
        ConfigError: If no destination has such an address.
    """
    scheme = url.split(":", 1)[0]
    if scheme == "duckdb":
        from fetchcast.load.duckdb import DuckDB  # noqa: PLC0415  a driver is loaded if used

        return DuckDB(_path(url, folder), url)
    if scheme in {"postgresql", "postgres"}:
        from fetchcast.load.postgres import PostgreSQL  # noqa: PLC0415

        return PostgreSQL(url)
    if scheme == "sqlite":
        from fetchcast.load.sqlite import SQLite  # noqa: PLC0415

        return SQLite(_path(url, folder), url)
    if scheme == "parquet":
        from fetchcast.load.files import ParquetFolder  # noqa: PLC0415

        return ParquetFolder(_path(url, folder), url)
    if scheme == "csv":
        from fetchcast.load.files import CsvFile, CsvOptions  # noqa: PLC0415

        return CsvFile(_path(url, folder), url, _options(url, CsvOptions))
    if scheme.startswith("dlt+"):
        from fetchcast.load.dlt import Dlt  # noqa: PLC0415

        return Dlt(url, folder)
    raise ConfigError("destination", url.partition("@")[2] or url, _KNOWN)


def _options(url: str, type_: type[_Options]) -> _Options:
    given = dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
    try:
        return msgspec.convert(given, type_, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError("destination", url, f"other options after the ?: {error}") from None


def _path(url: str, folder: Path) -> Path:
    parts = urlsplit(url)
    # duckdb:///x -> x in the folder; duckdb:////x -> /x; duckdb:///C:/x -> C:/x on Windows.
    path = unquote(parts.path).removeprefix("/")
    if parts.netloc or not path:
        raise ConfigError("destination", url, f"three slashes before the path: {_KNOWN}")
    return folder / path
