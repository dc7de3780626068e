"""How good, how honest and how fast are the forecasts?

    .venv/bin/python benchmarks/forecast.py [--no-peers] [--quick]

accuracy  `fetchcast.forecast.forecast_series` with nothing but its defaults, on recorded rail days
          (train 27, eight stops, 60 days, from the sandbox's data) and on public series carried by
          statsmodels and statsforecast; beside statsforecast's AutoETS, AutoARIMA, AutoCES and
          DynamicOptimizedTheta, Prophet, LightGBM through mlforecast (of many pairs of series and
          cutoff on 100), at the very same cutoffs; and both baselines. What is compared is
          always of the same points: a peer that was asked about some stands beside ours on those.
          loss: twice the pinball loss over nine levels, as a share of seasonal naive's.
          cov: how often the 80, 90 and 95 % intervals held.
luck      the recorded days in 100 random orders: how much the measured coverage of 39 days differs
          when nothing but their order does; and intervals that knew all 60 days.
speed     CPU seconds; 10,000 daily series of a year (noise), one series and a batch with level and
          season, both families; the batch over two processes, as a run does it.

What was seen when: the thresholds of the first form of the average were set while looking at the
first eight sets; the six others (`forecast_data.LATER`) joined later. Those of today were chosen on
other sets altogether (`benchmarks/forecast_tuning.py`); these were looked at afterwards.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import time
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from forecast_data import public, rail, table
from forecast_peers import against_members, oracle
from forecast_peers import peers as others

from fetchcast.executors.processes import Processes
from fetchcast.forecast import SeriesOptions, forecast_series
from fetchcast.forecast.models import NINE

RESULTS = Path(__file__).parent / "results"
LEVELS = [50, 80, 90, 95]
THREE = ("AutoETS", "AutoCES", "DynamicOptimizedTheta")


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
            **(against_members(found) if model == "combined" else {}),
        }
        for model, row in lines.items()
    ]
    if peers:
        result += [{"data": name, **line} for line in others(rows, found)]
    return result


def luck(times: int) -> dict[str, Any]:
    """The rail days' coverage in other orders: all stops of a day stay together."""
    frame = rail().to_pandas().pivot_table(index="ds", columns="unique_id", values="y")
    rng, found = np.random.default_rng(27), []
    for _ in range(times):
        order = rng.permutation(len(frame))
        mixed = frame.iloc[order].set_axis(frame.index, axis=0)
        long = mixed.reset_index().melt("ds").dropna()
        rows = table(list(long["unique_id"]), long["ds"], long["value"])
        board = forecast_series("s", rows, SeriesOptions(), run="b").tables["leaderboard"]
        line = next(row for row in board.to_pylist() if row["model"] == "combined")
        found.append([line[f"coverage_{level}"] for level in LEVELS[1:]])
    shares = np.array(found)
    near = (np.abs(shares - [0.8, 0.9, 0.95]) <= 0.02).all(axis=1)
    actual = rail()
    tables = forecast_series("s", actual, SeriesOptions(), run="b").tables
    return {
        "orders": times,
        "mean": shares.mean(axis=0).tolist(),
        "deviation": shares.std(axis=0).tolist(),
        "within_2_points": float(near.mean()),
        "oracle": oracle(actual, tables),
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
    many, few = (1000, 8) if quick else (10_000, 120)
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
    lines.append({"what": "one series, both families, backtest, warm", "s": timed(one)})
    for what, options in (("forecasts", {"models": both, **no_backtest}), ("with backtest", {})):
        spent, wall = shared(some, **options)
        text = (
            f"{few} series, both families, {what}, two processes "
            f"(1,000 on 2 cores: {spent * 500 / few:.0f} s of CPU each; here {wall:.0f} s wall)"
        )
        lines.append({"what": text, "s": spent, "wall_s": wall})
    return lines


def shared(rows: pa.Table, **options: Any) -> tuple[float, float]:
    """CPU seconds of this and two other processes, their start left out; and by the clock."""
    with Processes(2) as pool:
        # The workers' start and imports cost seconds, of which long work sees nothing.
        forecast_series("s", wandering(96), SeriesOptions(origins=1), run="b", spread=pool.map)
        before, begun = _children(pool), time.process_time()
        clock = time.monotonic()
        forecast_series("s", rows, SeriesOptions(**options), run="b", spread=pool.map)
        wall = time.monotonic() - clock
        spent = time.process_time() - begun + _children(pool) - before
    return spent, wall


def _children(pool: Processes) -> float:
    """CPU seconds of the workers so far (Linux: the kernel's own count)."""
    total, ticks = 0, os.sysconf("SC_CLK_TCK")
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / ticks


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


def written(
    quality: list[dict[str, Any]], chance: dict[str, Any], speeds: list[dict[str, Any]]
) -> str:
    asked = [row for row in quality if "ours" in row]
    own = [row for row in quality if "ours" not in row]
    ours = [row for row in own if row["model"] == "combined"]
    lines = [
        "# Forecasts",
        "",
        "Loss: twice the pinball loss over nine levels as a share of seasonal naive's on the same",
        "points. Coverage of the 80, 90 and 95 % intervals.",
        "",
        *_against(ours, asked),
        "`combined`, coverage pooled over points (80, 90, 95 %):",
        "",
        "| which | points | 80 % | 90 % | 95 % |",
        "|---|--:|--:|--:|--:|",
        _pooled("all sets", ours),
        _pooled("rail", ours[:1]),
        _pooled("public, seen while the first thresholds were set", ours[1:8]),
        _pooled("public, joined later", ours[8:]),
        "",
        _lucky(chance),
        "",
        *_own(own),
        *_asked(asked),
        "## Speed",
        "",
        "| what | CPU s |",
        "|---|--:|",
        *(f"| {line['what']} | {line['s']:.2f} |" for line in speeds),
        "",
        _machine(),
        "",
    ]
    return "\n".join(lines)


def _against(ours: list[dict[str, Any]], asked: list[dict[str, Any]]) -> list[str]:
    """The goal on data with a level: no worse than the median of ETS, CES and theta."""
    lines = [
        "Where a level, a trend or a season was found: `combined`'s loss as a multiple of",
        "the median of the losses of its own ETS (or MSTL), CES and theta; of the loss of their",
        "*ensemble*, which says the median of their quantiles; and of the median of the losses",
        "of statsforecast's AutoETS, AutoCES and DynamicOptimizedTheta. Below 1: better.",
        "",
        "| data | points | / median | / ensemble | / statsforecast's median | on points |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in ours:
        if not row["median"]:
            continue
        same = [
            each
            for each in asked
            if each["data"] == row["data"] and each["model"].split()[-1] in THREE
        ]
        theirs = f"{_versus(same):.3f} | {same[0]['n']:,}" if len(same) == len(THREE) else " | "
        lines.append(
            f"| {row['data']} | {row['n']:,} | {row['median']:.3f} | {row['ensemble']:.3f} "
            f"| {theirs} |"
        )
    return [*lines, ""]


def _versus(same: list[dict[str, Any]]) -> float:
    return float(same[0]["ours"] / np.median([row["loss"] for row in same]))


def _own(own: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## All models on all points",
        "",
        "CPU of `combined`: of everything (all models, backtest, tables).",
        "",
        "| data | model | points | loss | 80 % | 90 % | 95 % | CPU ms |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in own:
        spent = "" if row["ms"] is None else f"{row['ms']:.0f}"
        shown = f"**{row['model']}**" if row["model"] == "combined" else row["model"]
        lines.append(
            f"| {row['data']} | {shown} | {row['n']:,} | {row['loss']:.3f} "
            f"| {_bars(row['coverage'])} | {spent} |"
        )
    return [*lines, ""]


def _asked(asked: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Other forecasters, and `combined` on the very points they were asked about",
        "",
        "| data | forecaster | points | its loss | ours | its coverage | ours | CPU ms a fit |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row['data']} | {row['model']} | {row['n']:,} | {row['loss']:.3f} | {row['ours']:.3f} "
        f"| {_percent(row['coverage'])} | {_percent(row['our_coverage'])} | {row['ms']:.0f} |"
        for row in asked
    ]
    return [*lines, ""]


def _bars(shares: list[float]) -> str:
    return " | ".join(f"{100 * share:.1f}" for share in shares)


def _pooled(name: str, rows: list[dict[str, Any]]) -> str:
    points = sum(row["n"] for row in rows)
    pooled = [sum(row["coverage"][k] * row["n"] for row in rows) / points for k in range(3)]
    return f"| {name} | {points:,} | " + " | ".join(f"{100 * each:.1f}" for each in pooled) + " |"


def _lucky(chance: dict[str, Any]) -> str:
    mean, spread = _percent(chance["mean"]), _percent(chance["deviation"])
    return (
        f"The recorded days in {chance['orders']} random orders: the intervals held {mean} on "
        f"average, with a standard deviation of {spread} from order to order; all three within 2 "
        f"points in {100 * chance['within_2_points']:.0f} % of orders. Intervals that knew all 60 "
        f"days held {_percent(chance['oracle'])} in the true order."
    )


def _percent(shares: list[float]) -> str:
    return "/".join(f"{100 * share:.1f}" for share in shares)


def _machine() -> str:
    names = ("statsforecast", "prophet", "mlforecast", "lightgbm", "numpy")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
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
    chance = luck(5 if quick else 100)
    speeds = speed(quick=quick)
    text = written(quality, chance, speeds)
    print(text)
    if not quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "forecast.md").write_text(text)
        figures = {"accuracy": quality, "luck": chance, "speed": speeds}
        (RESULTS / "forecast.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
