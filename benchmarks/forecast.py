"""How good, how honest and how fast are the forecasts?

    .venv/bin/python benchmarks/forecast.py [--no-peers] [--quick]

accuracy  `fetchcast.forecast.forecast_series` with nothing but its defaults, on recorded rail days
          (train 27, eight stops, 60 days, from the sandbox's data) and on public series carried by
          statsmodels and statsforecast; beside statsforecast's AutoETS, AutoARIMA, AutoCES and
          DynamicOptimizedTheta at the very same cutoffs, and both baselines.
          loss: twice the pinball loss over nine levels, as a share of seasonal naive's.
          cov: how often the 80, 90 and 95 % intervals held.
speed     CPU seconds of one core; 10,000 daily series of a year (noise), one series and a batch
          with level and season, both families.

Prophet and LightGBM are not installed here and not compared. The thresholds that decide which
family is asked were set while looking at these very series: the accuracy figures are those of a
tool that fits these series, not of a blind contest.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from collections.abc import Iterator
from datetime import date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fetchcast.forecast import SeriesOptions, forecast_series
from fetchcast.forecast.metrics import pinball
from fetchcast.forecast.models import NINE
from fetchcast.sandbox.recordings import train_days

RESULTS = Path(__file__).parent / "results"
LEVELS = [50, 80, 90, 95]


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
    month = macro["quarter"].astype(int) * 3 - 2
    when = macro["year"].astype(int).astype(str) + "-" + month.astype(str) + "-01"
    long = macro.drop(columns=["year", "quarter"]).assign(ds=pd.to_datetime(when)).melt("ds")
    yield "US economy, quarterly (12)", table(list(long["variable"]), long["ds"], long["value"])


def accuracy(name: str, rows: pa.Table, *, peers: bool) -> list[dict[str, Any]]:
    """Our models and the peers' at the same cutoffs, as shares of seasonal naive's loss."""
    begun = time.process_time()
    found = forecast_series("s", rows, SeriesOptions(), run="bench").tables
    spent = time.process_time() - begun
    board = found["leaderboard"].filter(pc.equal(found["leaderboard"]["unique_id"], "ALL"))
    lines = {row["model"]: row for row in board.to_pylist()}
    naive = lines["seasonal_naive"]["pinball"]
    result = [
        {
            "data": name,
            "model": model,
            "n": row["n"],
            "loss": row["pinball"] / naive,
            "mase": row["mase"],
            "coverage": [row[f"coverage_{level}"] for level in LEVELS[1:]],
            "ms": spent * 1e3 if model == "combined" else None,
        }
        for model, row in lines.items()
    ]
    if peers:
        result += [{"data": name, **line} for line in _peers(rows, found, naive)]
    return result


def _peers(rows: pa.Table, found: dict[str, pa.Table], naive: float) -> Iterator[dict[str, Any]]:
    """The automatic models of statsforecast models, fitted at each cutoff of our backtest."""
    from statsforecast import models

    about = {row["unique_id"]: row for row in found["series"].to_pylist()}
    tried = found["backtest"].filter(pc.equal(found["backtest"]["model"], "climatology"))
    frame, seen = rows.to_pandas(), tried.to_pandas()
    for peer in ("AutoETS", "AutoARIMA", "AutoCES", "DynamicOptimizedTheta"):
        losses, held, begun, fits = [], [], time.process_time(), 0
        for (unique_id, cutoff), part in seen.groupby(["unique_id", "cutoff"]):
            past = frame[frame["unique_id"] == unique_id].sort_values("ds")
            past = past[past["ds"] <= cutoff.tz_localize(None)]["y"].interpolate().to_numpy()
            season = about[unique_id]["season"]
            model = getattr(models, peer)(season_length=season)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    said = model.forecast(y=past, h=int(part["step"].max()), level=LEVELS)
            except Exception as problem:  # noqa: BLE001  a peer that gives up is told, not hidden
                print(f"  {peer} on {unique_id}: {problem}")
                continue
            fits += 1
            at = part["step"].to_numpy() - 1
            lows = [said[f"lo-{level}"][at] for level in (95, 90, 80, 50)]
            highs = [said[f"hi-{level}"][at] for level in LEVELS]
            nine = np.stack([*lows, said["mean"][at], *highs], axis=1)
            y = part["y"].to_numpy()
            losses.append(pinball(y, nine, NINE))
            held.append([(y >= nine[:, 3 - k]) & (y <= nine[:, 5 + k]) for k in (1, 2, 3)])
        if losses:
            yield {
                "model": f"statsforecast {peer}",
                "n": int(sum(part.size for part in losses)),
                "loss": float(np.concatenate(losses).mean()) / naive,
                "mase": None,
                "coverage": [float(np.concatenate([h[k] for h in held]).mean()) for k in range(3)],
                "ms": (time.process_time() - begun) / fits * 1e3,
            }


def noise(count: int, days: int = 365) -> pa.Table:
    """Delays without a level to find: the empirical family's own."""
    rng = np.random.default_rng(27)
    ids = np.repeat([f"s{k:05}" for k in range(count)], days)
    ds = np.tile(np.datetime64("2025-11-21") + np.arange(days), count)
    return pa.table({"unique_id": ids, "ds": ds, "y": rng.gamma(1.2, 4, count * days) - 2})


def wandering(count: int, days: int = 365) -> pa.Table:
    """Level, trend and week: the statistical family's own."""
    rng, t = np.random.default_rng(28), np.arange(days)
    made = [
        100
        + rng.normal(0, 0.05) * t
        + rng.uniform(2, 10) * np.sin((t + rng.integers(7)) * 2 * np.pi / 7)
        + rng.normal(0, 0.5, days).cumsum()
        + rng.normal(0, 4, days)
        for _ in range(count)
    ]
    ids = np.repeat([f"s{k:05}" for k in range(count)], days)
    ds = np.tile(np.datetime64("2025-11-21") + t, count)
    return pa.table({"unique_id": ids, "ds": ds, "y": np.concatenate(made)})


def timed(rows: pa.Table, **options: Any) -> float:
    begun = time.process_time()
    forecast_series("s", rows, SeriesOptions(**options), run="bench")
    return time.process_time() - begun


def speed(*, quick: bool) -> list[dict[str, Any]]:
    many, few = (1000, 5) if quick else (10_000, 20)
    both = ["climatology", "seasonal", "recent", "ets", "theta", "ces"]
    no_backtest = {"min_history": 9999, "origins": 1}
    rows = noise(many)
    lines = [
        {"what": f"{many:,} series, empirical, quantiles only", "s": _family(rows)},
        {"what": f"{many:,} series, empirical, rows to tables", "s": timed(rows, **no_backtest)},
        {"what": f"{many:,} series, the same with backtest", "s": timed(rows)},
    ]
    one, some = wandering(1), wandering(few)
    timed(one)  # statsforecast's import is not the forecast's cost
    lines += [
        {"what": "one series, both families, backtest, warm", "s": timed(one)},
        {
            "what": f"{few} series, both families, forecasts",
            "s": timed(some, models=both, **no_backtest),
        },
        {"what": f"{few} series, both families, with backtest", "s": timed(some)},
    ]
    for line in lines[-2:]:
        line["what"] += f" (1,000 at this pace: {line['s'] * 1000 / few:.0f} s)"
    return lines


def _family(rows: pa.Table) -> float:
    """What the models themselves cost: from panels to averaged, calibrated quantiles."""
    from fetchcast.forecast.backtest import Rehearsal, past_of
    from fetchcast.forecast.members import members
    from fetchcast.forecast.panel import panels

    options = SeriesOptions()
    found, _ = panels("s", rows, options)
    begun = time.process_time()
    for panel in found:
        asked = members(options, panel.season, statistics=False)
        rehearsal = Rehearsal(panel=panel, members=asked, levels=NINE, half_life=120, least=21)
        past = past_of(panel, panel.last[:, None] + np.arange(1, 29), 120)
        rehearsal.conclude(past, asked.said(past, NINE), None)
    return time.process_time() - begun


def written(quality: list[dict[str, Any]], speeds: list[dict[str, Any]]) -> str:
    lines = [
        "# Forecasts",
        "",
        "Loss as a share of seasonal naive's; coverage of the 80, 90 and 95 % intervals; CPU:",
        "for `combined` of everything (all models, backtest, tables), for a peer of one fit.",
        "",
        "| data | model | points | loss | 80 % | 90 % | 95 % | CPU ms |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in quality:
        held = " | ".join(f"{100 * share:.1f}" for share in row["coverage"])
        spent = "" if row["ms"] is None else f"{row['ms']:.0f}"
        shown = f"**{row['model']}**" if row["model"] == "combined" else row["model"]
        lines.append(
            f"| {row['data']} | {shown} | {row['n']:,} | {row['loss']:.3f} | {held} | {spent} |"
        )
    ours = [row for row in quality if row["model"] == "combined"]
    points = sum(row["n"] for row in ours)
    pooled = [sum(row["coverage"][k] * row["n"] for row in ours) / points for k in range(3)]
    shares = ", ".join(f"{100 * share:.1f} %" for share in pooled)
    lines += [
        "",
        f"`combined` over all {points:,} points: the 80, 90 and 95 % intervals held {shares}.",
        "",
        "| what | CPU s |",
        "|---|--:|",
        *(f"| {line['what']} | {line['s']:.2f} |" for line in speeds),
        "",
        _machine(),
        "",
    ]
    return "\n".join(lines)


def _machine() -> str:
    versions = f"statsforecast {version('statsforecast')}, numpy {version('numpy')}"
    where = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    now = datetime.now().astimezone().date()
    return f"{now}, {where}, {versions}. One run, machine busy: CPU of one core, no wall time."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-peers", action="store_true", help="ours alone; minutes less")
    parser.add_argument("--quick", action="store_true", help="few series; writes no results")
    asked = parser.parse_args()
    quick, peers = asked.quick, not asked.no_peers
    quality = accuracy("train 27, recorded days (8)", rail(), peers=peers)
    for name, rows in public():
        print(name, flush=True)
        quality += accuracy(name, rows, peers=peers)
    speeds = speed(quick=quick)
    text = written(quality, speeds)
    print(text)
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "forecast.md").write_text(text)
        figures = {"accuracy": quality, "speed": speeds}
        (RESULTS / "forecast.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
