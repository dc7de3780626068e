"""Whether a forecast would come out the same: one word for the rows and options behind it."""

from __future__ import annotations

from hashlib import blake2b

import msgspec
import numpy as np
import pyarrow as pa

from fetchcast.forecast import statistical
from fetchcast.forecast.options import SeriesOptions

_METHOD = "3"
"""Goes up when the same rows are forecast in another way."""

_COLUMNS = ("unique_id", "ds", "y", "scheduled", "scored")


def digest(rows: pa.Table, options: SeriesOptions) -> str:
    """A word that differs if the rows, the options or the installed models differ.

    The order of the rows does not matter: a database hands them out as it likes.
    """
    there = [name for name in (*_COLUMNS, *options.known) if name in rows.column_names]
    rows = rows.select(there)
    order = [(name, "ascending") for name in ("unique_id", "ds", "y") if name in there]
    if order:
        rows = rows.sort_by(order)
    found = blake2b(digest_size=12)
    found.update(f"{_METHOD} {statistical.available()} {rows.num_rows}".encode())
    found.update(msgspec.json.encode(options, order="deterministic"))
    for name in there:
        found.update(f"{name} {rows[name].type}".encode())
        for part in _parts(rows[name]):
            found.update(part)
    return found.hexdigest()


def _parts(column: pa.ChunkedArray) -> list[bytes]:
    """The nulls, then the values; what stands in memory under a null is nobody's word."""
    known = np.asarray(column.is_valid().to_numpy())
    parts = [known.tobytes()]
    for chunk in column.filter(pa.array(known)).chunks:
        if pa.types.is_dictionary(chunk.type):
            chunk = chunk.dictionary_decode()  # noqa: PLW2901
        if pa.types.is_primitive(chunk.type) and not pa.types.is_boolean(chunk.type):
            parts.append(chunk.to_numpy(zero_copy_only=False).tobytes())
        else:
            parts.append("\x1f".join(chunk.cast(pa.string()).to_pylist()).encode())
    return parts
