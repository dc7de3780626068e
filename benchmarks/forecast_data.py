"""Series for the forecast's benchmark: recorded rail days, and public sets that packages carry."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from fetchcast.sandbox.recordings import train_days

LATER = (
    "fertility, yearly, every other country (97)",
    "fertility, yearly, the others (97)",
    "Danish economy, quarterly (5)",
    "German interest and inflation, quarterly (2)",
    "US firms, yearly (33)",
    "electrical equipment, monthly",
)
"""Sets that joined after the thresholds between the families were set. All but the second were
looked at when the number of learning cutoffs was chosen; the second chose nothing. None of them,
nor the first eight, chose what `benchmarks/forecast_tuning.py` is for."""


def table(ids: list[str], ds: Any, y: Any) -> pa.Table:
    stamps = pa.array(np.asarray(ds, "datetime64[us]"))
    return pa.table({"unique_id": ids, "ds": stamps, "y": np.asarray(y, np.float64)})


def rail() -> pa.Table:
    """Arrival delays in minutes at the stops of train 27."""
    ids, days, delays = [], [], []
    for day, train in train_days().items():
        for row in train["timeTableRows"]:
            if row["type"] == "ARRIVAL" and row.get("commercialStop") and "actualTime" in row:
                moments = (row[name] for name in ("scheduledTime", "actualTime"))
                planned, actual = (datetime.fromisoformat(moment) for moment in moments)
                ids.append(row["stationShortCode"])
                days.append(date.fromisoformat(day))
                delays.append((actual - planned).total_seconds() / 60)
    return table(ids, days, delays)


def public() -> Iterator[tuple[str, pa.Table]]:
    """Series that packages carry: name, rows."""
    import pandas as pd
    import statsmodels.datasets as data
    from statsforecast import utils

    frame = utils.AirPassengersDF
    yield "airline passengers, monthly", table(["air"] * len(frame), frame["ds"], frame["y"])
    weekly = data.co2.load_pandas().data["co2"]
    recent = weekly[weekly.index >= "1985"]
    yield "CO2 at Mauna Loa, weekly", table(["co2"] * len(recent), recent.index, recent)
    monthly = weekly.resample("MS").mean()
    yield "CO2 at Mauna Loa, monthly", table(["co2"] * len(monthly), monthly.index, monthly)
    warmth = data.elnino.load_pandas().data.melt("YEAR")
    text = warmth["YEAR"].astype(int).astype(str) + "-" + warmth["variable"]
    when = pd.to_datetime(text, format="%Y-%b")
    yield "El Nino, monthly", table(["elnino"] * len(warmth), when, warmth["value"])
    spots = data.sunspots.load_pandas().data
    when = pd.to_datetime(spots["YEAR"].astype(int).astype(str))
    yield "sunspots, yearly", table(["sun"] * len(spots), when, spots["SUNACTIVITY"])
    nile = data.nile.load_pandas().data
    when = pd.to_datetime(nile["year"].astype(int).astype(str))
    yield "Nile, yearly", table(["nile"] * len(nile), when, nile["volume"])
    macro = data.macrodata.load_pandas().data
    yield "US economy, quarterly (12)", _wide(macro, _quarters(macro), ["year", "quarter"])
    yield from _later()


def _later() -> Iterator[tuple[str, pa.Table]]:
    import pandas as pd
    import statsmodels.datasets as data
    from statsmodels.datasets import elec_equip

    births = data.fertility.load_pandas().data.set_index("Country Code")
    births = births.select_dtypes("number").dropna(axis=1, how="all").T.dropna(axis=1, thresh=40)
    births.index = pd.to_datetime(births.index)
    yield LATER[0], _wide(births.iloc[:, ::2], births.index, [])
    yield LATER[1], _wide(births.iloc[:, 1::2], births.index, [])
    danish = data.danish_data.load_pandas().data
    if "period" in danish:
        danish = danish.set_index("period")
    yield LATER[2], _wide(danish, danish.index, [])
    german = data.interest_inflation.load_pandas().data
    yield LATER[3], _wide(german[["Dp", "R"]], _quarters(german), [])
    firms = data.grunfeld.load_pandas().data
    parts = [
        firms.pivot_table(index="year", columns="firm", values=name).add_prefix(f"{name} ")
        for name in ("invest", "value", "capital")
    ]
    wide = pd.concat(parts, axis=1)
    yield LATER[4], _wide(wide, pd.to_datetime(wide.index.astype(int).astype(str)), [])
    made = elec_equip.load_pandas().data
    yield LATER[5], _wide(made, pd.to_datetime(made.index), [])


def _quarters(frame: Any) -> Any:
    import pandas as pd

    month = frame["quarter"].astype(int) * 3 - 2
    return pd.to_datetime(frame["year"].astype(int).astype(str) + "-" + month.astype(str) + "-01")


def _wide(frame: Any, when: Any, drop: list[str]) -> pa.Table:
    """One series a column."""
    long = frame.drop(columns=drop).assign(ds=np.asarray(when)).melt("ds").dropna()
    name = next(column for column in long.columns if column not in ("ds", "value"))
    return table(list(long[name].astype(str)), long["ds"], long["value"])
