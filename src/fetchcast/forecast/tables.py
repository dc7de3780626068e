"""The tables a forecast is handed on in: their columns, and Arrow from arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from fetchcast.forecast.models import NINE
from fetchcast.forecast.periods import Floats, Ints

QUANTILES = ("q025", "q05", "q10", "q25", "q50", "q75", "q90", "q95", "q975")
"""The columns of `fetchcast.forecast.models.NINE`."""

_MOMENT = pa.timestamp("us", "UTC")
_NINE = [pa.field(name, pa.float64()) for name in QUANTILES]
_WHO = [pa.field("series", pa.string()), pa.field("unique_id", pa.string())]

OBSERVATION = pa.schema(
    [
        *_WHO,
        pa.field("ds", _MOMENT),
        pa.field("y", pa.float64()),
        pa.field("scheduled", _MOMENT),
        pa.field("scored", pa.bool_()),
    ]
)
"""What was observed. ``ds`` of a day or a longer period is its midnight *in UTC*, whatever the
time zone of the series is: ``2026-11-25 00:00+00`` is the day 2026-11-25. An hour is an instant.
A period that meant "it did not happen" has a row with ``y`` null."""

FORECAST = pa.schema(
    [
        *_WHO,
        pa.field("ds", _MOMENT),
        pa.field("step", pa.int64()),
        pa.field("model", pa.string()),
        pa.field("mean", pa.float64()),
        *_NINE,
        pa.field("quantiles", pa.list_(pa.float64())),
        pa.field("p_running", pa.float64()),
        pa.field("cutoff", _MOMENT),
        pa.field("scheduled", _MOMENT),
        pa.field("run", pa.string()),
    ]
)
"""What is expected, one row per series, period and model; ``quantiles`` are at i/200, i = 1..199,
or null where so many series make them a burden. ``p_running`` is the probability that there will
be a value at all; everything else holds given that there is one."""

BACKTEST = pa.schema(
    [
        *_WHO,
        pa.field("cutoff", _MOMENT),
        pa.field("ds", _MOMENT),
        pa.field("step", pa.int64()),
        pa.field("model", pa.string()),
        pa.field("y", pa.float64()),
        pa.field("mean", pa.float64()),
        *_NINE,
        pa.field("quantiles", pa.list_(pa.float64())),
        pa.field("pinball", pa.float64()),
        pa.field("absolute_error", pa.float64()),
        pa.field("scheduled", _MOMENT),
        pa.field("run", pa.string()),
    ]
)
"""What would have been said at each ``cutoff`` beside what came; only scored observations."""

LEADERBOARD = pa.schema(
    [
        *_WHO,
        pa.field("model", pa.string()),
        pa.field("rank", pa.int64()),
        pa.field("n", pa.int64()),
        pa.field("origins", pa.int64()),
        pa.field("mase", pa.float64()),
        pa.field("rmsse", pa.float64()),
        pa.field("smape", pa.float64()),
        pa.field("mae", pa.float64()),
        pa.field("bias", pa.float64()),
        pa.field("pinball", pa.float64()),
        pa.field("interval_score_80", pa.float64()),
        pa.field("interval_score_95", pa.float64()),
        pa.field("coverage_50", pa.float64()),
        pa.field("coverage_80", pa.float64()),
        pa.field("coverage_90", pa.float64()),
        pa.field("coverage_95", pa.float64()),
        pa.field("skill_seasonal_naive", pa.float64()),
        pa.field("skill_climatology", pa.float64()),
        pa.field("weight", pa.float64()),
        pa.field("run", pa.string()),
    ]
)
"""Each model's backtest in figures: per series, and for all of them as ``unique_id = 'ALL'``.
``weight`` is the model's share in ``combined``; null for a model that has none."""

SERIES = pa.schema(
    [
        *_WHO,
        pa.field("unit", pa.string()),
        pa.field("frequency", pa.string()),
        pa.field("season", pa.int64()),
        pa.field("time_zone", pa.string()),
        pa.field("observations", pa.int64()),
        pa.field("scored", pa.int64()),
        pa.field("missing", pa.int64()),
        pa.field("first_ds", _MOMENT),
        pa.field("last_ds", _MOMENT),
        pa.field("note", pa.string()),
        pa.field("digest", pa.string()),
        pa.field("run", pa.string()),
    ]
)
"""One row per series: what it is, how much of it there is, and what is wrong with it. ``digest``
stands for the rows and options of the whole section: while it stays, so does the forecast."""

SCHEMAS = {
    "observation": OBSERVATION,
    "forecast": FORECAST,
    "backtest": BACKTEST,
    "leaderboard": LEADERBOARD,
    "series": SERIES,
}


def moments(stamps: Ints) -> pa.Array:
    """Microseconds since 1970 as instants; -1 becomes null."""
    return pa.array(stamps, pa.int64(), mask=stamps == -1).cast(_MOMENT)


def numbers(values: Floats) -> pa.Array:
    """Floats; NaN becomes null."""
    return pa.array(values, pa.float64(), from_pandas=True)


def repeated(text: str, count: int) -> pa.Array:
    """The same text ``count`` times."""
    return pa.repeat(pa.scalar(text, pa.string()), count)


def lists(values: Floats) -> pa.Array:
    """Rows of a matrix as lists."""
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel(), pa.float64()))


def nine(quantiles: Floats, levels: Floats) -> dict[str, pa.Array]:
    """The nine columns out of ``quantiles``, shape ``(rows, levels)``."""
    at = np.searchsorted(levels, NINE - 1e-9)
    return {name: numbers(quantiles[:, k]) for name, k in zip(QUANTILES, at, strict=True)}


def table(schema: pa.Schema, columns: dict[str, pa.Array]) -> pa.Table:
    """A table of ``schema``; a column that is not given is null."""
    rows = len(next(iter(columns.values())))
    arrays = [
        columns[field.name].cast(field.type)
        if field.name in columns
        else pa.nulls(rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def stacked(schema: pa.Schema, parts: Sequence[pa.Table]) -> pa.Table:
    """All ``parts`` one after the other; an empty table of ``schema`` if there is none."""
    return pa.concat_tables(parts) if parts else schema.empty_table()
