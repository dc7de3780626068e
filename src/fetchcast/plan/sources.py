"""Where the rows come from that parameters are columns of: files and queries.

Each is read a piece at a time, so a file of any length costs the memory of a piece, and may be read
several times: to look at its first rows, and to ask.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from fetchcast.errors import FetchcastError, InputError
from fetchcast.plan.estimates import Estimate
from fetchcast.plan.params import Column, Csv, Ndjson, Parquet, Sql
from fetchcast.records import Databases, Scalar

if TYPE_CHECKING:
    import pyarrow as pa

Row: TypeAlias = Mapping[str, Scalar]

_SMALL_BYTES = 1 << 20
"""Files up to this size are counted by reading them."""
_HEAD_BYTES = 1 << 18
_PIECE_ROWS = 4_096


class Source(Protocol):
    """Rows; all of them have the columns that were asked for."""

    def rows(self) -> Iterator[Row]:
        """Every row, in the order of the source; raises `InputError` if it cannot be used."""

    def estimate(self) -> Estimate:
        """How many rows there are, without reading a large file; raises `InputError`."""


def open_source(
    key: str, wanted: Sequence[Column], folder: Path, databases: Databases | None
) -> Source:
    """The source of ``wanted``, which are columns of the same one.

    Args:
        key: Where it stands in the pipeline file, for messages.
        wanted: The columns that must be there.
        folder: What relative paths are relative to.
        databases: What answers queries.
    """
    first = wanted[0]
    columns = frozenset(option.column for option in wanted)
    carried = [option.carry for option in wanted]
    keep = None if None in carried else columns.union(*(names or () for names in carried))
    match first:
        case Csv():
            return CsvRows(folder / first.csv, columns, keep, first.delimiter)
        case Ndjson():
            return NdjsonRows(folder / first.ndjson, columns, keep)
        case Parquet():
            return ParquetRows(folder / first.parquet, columns, keep)
        case Sql():
            assert databases is not None, "a pipeline gives its plans its databases"
            return QueryRows(key, first, columns, keep, databases)


@contextmanager
def _readable(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(path, "there is no such file; nothing was asked") from None
    except (UnicodeDecodeError, csv.Error, msgspec.DecodeError, OSError) as error:
        raise InputError(path, f"cannot be read as {what}: {error}") from None


def _check_columns(source: object, wanted: frozenset[str], there: Sequence[str]) -> None:
    if missing := sorted(wanted - set(there)):
        raise InputError(source, f"has no column {missing[0]!r}; it has: {', '.join(there)}")


def _nothing(path: Path, what: str) -> InputError:
    return InputError(path, f"{what}; there is nothing to ask")


class CsvRows:
    """The rows of a CSV file that are not blank, all values as text."""

    def __init__(
        self, path: Path, columns: frozenset[str], keep: frozenset[str] | None, delimiter: str
    ) -> None:
        self._path, self._columns, self._keep = path, columns, keep
        self._delimiter = delimiter

    def rows(self) -> Iterator[Row]:
        """See `Source`."""
        with (
            _readable(self._path, "CSV in UTF-8"),
            self._path.open(encoding="utf-8-sig", newline="") as file,
        ):
            yield from self._rows(csv.reader(file, delimiter=self._delimiter, strict=True))

    def estimate(self) -> Estimate:
        """See `Source`."""
        with _readable(self._path, "CSV in UTF-8"):
            size = self._path.stat().st_size
            if size <= _SMALL_BYTES:
                return self._counted()
            with self._path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
        text = head[: head.rfind(b"\n") + 1].decode("utf-8-sig", errors="replace")
        count = sum(1 for _ in self._rows(csv.reader(io.StringIO(text), delimiter=self._delimiter)))
        if not count:
            return self._counted()  # One long line, or many blank ones.
        about = round(size * count / len(head))
        why = f"the size of {self._path.name} and its first {count:,} rows"
        return Estimate(about, exact=False, why=why)

    def _counted(self) -> Estimate:
        count = sum(1 for _ in self.rows())
        if not count:
            raise _nothing(self._path, "has a header and no rows")
        return Estimate(count, exact=True, why=f"the rows of {self._path.name}")

    def _rows(self, reader: Iterator[list[str]]) -> Iterator[Row]:
        names = next(reader, None)
        if not names:
            raise InputError(self._path, "is empty; expected a header line and a line per call")
        if doubled := [name for name in names if names.count(name) > 1]:
            raise InputError(self._path, f"has two columns called {doubled[0]!r}")
        _check_columns(self._path, self._columns, names)
        keep = self._keep
        for cells in reader:
            if not any(cells):
                continue
            if len(cells) < len(names):
                cells.extend([""] * (len(names) - len(cells)))
            pairs = zip(names, cells, strict=False)  # Cells without a name are dropped.
            yield {name: cell for name, cell in pairs if keep is None or name in keep}


class NdjsonRows:
    """The objects of a file that has one JSON object a line; nested values are not carried."""

    def __init__(self, path: Path, columns: frozenset[str], keep: frozenset[str] | None) -> None:
        self._path, self._columns, self._keep = path, columns, keep

    def rows(self) -> Iterator[Row]:
        """See `Source`."""
        with _readable(self._path, "NDJSON"), self._path.open("rb") as file:
            yield from self._rows(file)

    def estimate(self) -> Estimate:
        """See `Source`."""
        with _readable(self._path, "NDJSON"):
            size = self._path.stat().st_size
            if size <= _SMALL_BYTES:
                count = sum(1 for _ in self.rows())
                if not count:
                    raise _nothing(self._path, "is empty")
                return Estimate(count, exact=True, why=f"the lines of {self._path.name}")
            with self._path.open("rb") as file:
                lines = list(islice(file, 1_000))
        count = sum(1 for _ in self._rows(lines))
        about = round(size * count / sum(map(len, lines)))
        why = f"the size of {self._path.name} and its first {count:,} lines"
        return Estimate(about, exact=False, why=why)

    def _rows(self, lines: Iterator[bytes] | Sequence[bytes] | io.BufferedReader) -> Iterator[Row]:
        decode = msgspec.json.Decoder().decode
        known = False
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                found = decode(line)
            except msgspec.DecodeError as error:
                raise InputError(self._path, f"line {number} is not JSON: {error}") from None
            if not isinstance(found, dict):
                raise InputError(self._path, f"line {number} is not an object: {line[:40]!r}")
            if not known:
                # Later objects may lack a key: then it is that row which is bad.
                _check_columns(self._path, self._columns, [*found])
                known = True
            yield self._row(number, found)

    def _row(self, number: int, found: dict[str, Any]) -> Row:
        keep = self._keep
        row = {}
        for name, value in found.items():
            if isinstance(value, dict | list):
                if name in self._columns:
                    problem = f"line {number}: {name} is not a text or a number"
                    raise InputError(self._path, problem)
            elif keep is None or name in keep:
                row[name] = value
        return row


class ParquetRows:
    """The rows of a Parquet file; its metadata say how many there are."""

    def __init__(self, path: Path, columns: frozenset[str], keep: frozenset[str] | None) -> None:
        self._path, self._columns, self._keep = path, columns, keep

    def rows(self) -> Iterator[Row]:
        """See `Source`."""
        with self.open() as file:
            schema = file.schema_arrow
            names = _usable(self._path, schema, self._columns, self._keep)
            for batch in file.iter_batches(_PIECE_ROWS, columns=names, use_threads=False):
                yield from arrow_rows(batch)

    def estimate(self) -> Estimate:
        """See `Source`."""
        with self.open() as file:
            _usable(self._path, file.schema_arrow, self._columns, self._keep)
            count = file.metadata.num_rows
        if not count:
            raise _nothing(self._path, "has no rows")
        return Estimate(count, exact=True, why=f"the metadata of {self._path.name}")

    @contextmanager
    def open(self) -> Iterator[Any]:
        """The file, as pyarrow reads it."""
        import pyarrow as pa  # noqa: PLC0415  60 MB that only those pay who use it
        import pyarrow.parquet as pq  # noqa: PLC0415

        with _readable(self._path, "Parquet"):
            try:
                # Without a buffer the whole of a row group's columns is in memory at once.
                with pq.ParquetFile(self._path, buffer_size=1 << 20, pre_buffer=False) as file:
                    yield file
            except pa.ArrowException as error:
                raise InputError(self._path, f"cannot be read as Parquet: {error}") from None


class QueryRows:
    """The rows of a query, as they are when it is first asked."""

    def __init__(
        self,
        key: str,
        option: Sql,
        columns: frozenset[str],
        keep: frozenset[str] | None,
        databases: Databases,
    ) -> None:
        self._key, self._option, self._databases = key, option, databases
        self._columns, self._keep = columns, keep

    def rows(self) -> Iterator[Row]:
        """See `Source`."""
        with self._told():
            batches = self._databases.batches(self._option.sql, self._option.on)
        for batch in batches:
            names = _usable(self._key, batch.schema, self._columns, self._keep)
            yield from arrow_rows(batch.select(names))

    def estimate(self) -> Estimate:
        """See `Source`."""
        with self._told():
            count = self._databases.count(self._option.sql, self._option.on)
        next(self.rows(), None)  # Its columns are there; a list of what is to do may be empty.
        return Estimate(count, exact=True, why="the rows of its query")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except FetchcastError as error:
            raise InputError(self._key, f"its query has no answer: {error}") from None


def _usable(
    source: object, schema: pa.Schema, columns: frozenset[str], keep: frozenset[str] | None
) -> list[str]:
    """The columns to read: those that are wanted, or carried and hold plain values."""
    _check_columns(source, columns, schema.names)
    plain = [name for name in schema.names if _plain(schema.field(name).type) is not None]
    if nested := sorted(columns - set(plain)):
        type_ = schema.field(nested[0]).type
        raise InputError(source, f"{nested[0]} holds {type_}: expected texts, numbers or dates")
    return [name for name in plain if keep is None or name in keep]


def arrow_rows(batch: pa.RecordBatch) -> Iterator[Row]:
    """The rows of ``batch``: dates and times as ISO text, decimals as text."""
    names = batch.schema.names
    columns = []
    for column in batch.columns:
        values = column.to_pylist()
        write = _plain(column.type)
        if write is not None and write is not _as_is:
            values = [None if value is None else write(value) for value in values]
        columns.append(values)
    for cells in zip(*columns, strict=True):
        yield dict(zip(names, cells, strict=True))


def _as_is(value: Any) -> Any:
    return value


def _iso(value: Any) -> str:
    text: str = value.isoformat()
    return text


def _plain(type_: pa.DataType) -> Callable[[Any], Scalar] | None:
    """How values of this type are written; None if they are no plain values."""
    from pyarrow import types  # noqa: PLC0415  a caller has it already

    if types.is_dictionary(type_):
        return _plain(type_.value_type)
    as_is = (
        types.is_string, types.is_large_string, types.is_string_view, types.is_integer,
        types.is_floating, types.is_boolean, types.is_null,
    )  # fmt: skip
    if any(is_kind(type_) for is_kind in as_is):
        return _as_is
    if types.is_temporal(type_) and not types.is_duration(type_) and not types.is_interval(type_):
        return _iso
    return str if types.is_decimal(type_) else None


def column_names(kind: str, path: Path, delimiter: str = ",") -> list[str]:
    """The columns of a ``csv``, ``parquet`` or ``ndjson`` file; raises `InputError`."""
    nothing: frozenset[str] = frozenset()
    if kind == "parquet":
        with ParquetRows(path, nothing, None).open() as file:
            names: list[str] = file.schema_arrow.names
            return names
    read: Source = NdjsonRows(path, nothing, None)
    if kind == "csv":
        read = CsvRows(path, nothing, None, delimiter)
    first = next(iter(read.rows()), None)
    if first is None:
        raise _nothing(path, "has no rows")
    return [*first]
