"""Other forecasters at the very cutoffs of our backtest: the same past, the same points judged."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fetchcast.forecast.metrics import pinball
from fetchcast.forecast.models import NINE

LEVELS = [50, 80, 90, 95]
MOST = 100
"""Pairs of series and cutoff that a peer is asked about; of more, evenly spread ones."""

LONGEST_ARIMA = 250
"""Observations beyond which AutoARIMA is not asked: a fit takes minutes there."""

_OFFSETS = {"daily": "D", "weekly": "7D", "monthly": "MS", "quarterly": "QS", "yearly": "YS"}


def peers(rows: pa.Table, found: dict[str, pa.Table]) -> Iterator[dict[str, Any]]:
    """Each peer beside `combined`, both on the points that the peer was asked about."""
    about = {row["unique_id"]: row for row in found["series"].to_pylist()}
    tried = found["backtest"].to_pandas()
    frame = rows.to_pandas()
    ours = tried[tried["model"] == "combined"]
    naive = tried[tried["model"] == "seasonal_naive"].set_index(KEYS)["pinball"]
    pairs = sorted({(row.unique_id, row.cutoff) for row in ours.itertuples()})
    keep = {pairs[k] for k in np.linspace(0, len(pairs) - 1, min(MOST, len(pairs))).astype(int)}
    for peer, ask in PEERS.items():
        nines, parts, begun = [], [], time.process_time()
        for (unique_id, cutoff), part in ours.groupby(["unique_id", "cutoff"]):
            if (unique_id, cutoff) not in keep:
                continue
            past = frame[frame["unique_id"] == unique_id].sort_values("ds")
            past = past[past["ds"] <= cutoff.tz_localize(None)]
            nine = _attempt(ask, past, about[unique_id], part)
            if nine is not None:
                nines.append(nine)
                parts.append(part)
        if parts:
            spent = (time.process_time() - begun) / len(parts) * 1e3
            yield _line(peer, np.concatenate(nines), parts, naive, spent)


KEYS = ["unique_id", "cutoff", "step"]
FITTED = ("ets", "mstl", "theta", "ces")
NINES = ("q025", "q05", "q10", "q25", "q50", "q75", "q90", "q95", "q975")


def against_members(found: dict[str, pa.Table]) -> dict[str, float | None]:
    """`combined`'s loss as a multiple of what its own fitted models would have had.

    Returns:
        ``median``: of the median of their losses. ``ensemble``: of the loss of the forecast whose
        quantiles are the medians of theirs. Both on the points about which all of them spoke;
        None where nothing was fitted.
    """
    tried = found["backtest"].to_pandas().set_index(KEYS)
    parts = {str(model): part for model, part in tried.groupby("model")}
    names = [name for name in FITTED if name in parts]
    if len(names) < 2:
        return {"median": None, "ensemble": None}
    ours = parts["combined"]
    nines = np.stack([parts[name].reindex(ours.index)[list(NINES)].to_numpy() for name in names])
    spoken = ~np.isnan(nines).any(axis=(0, 2))
    y = ours["y"].to_numpy()[spoken]
    loss = float(ours["pinball"].to_numpy()[spoken].mean())
    each = [float(pinball(y, nine, NINE).mean()) for nine in nines[:, spoken]]
    together = float(pinball(y, np.median(nines[:, spoken], axis=0), NINE).mean())
    return {"median": loss / float(np.median(each)), "ensemble": loss / together}


def _line(peer: str, nine: Any, parts: list[Any], naive: Any, ms: float) -> dict[str, Any]:
    import pandas as pd

    ours = pd.concat(parts)
    y = ours["y"].to_numpy()
    unit = float(naive.loc[list(ours[KEYS].itertuples(index=False, name=None))].mean())
    return {
        "model": peer,
        "n": len(y),
        "loss": float(pinball(y, nine, NINE).mean()) / unit,
        "ours": float(ours["pinball"].mean()) / unit,
        "coverage": _held(y, nine),
        "our_coverage": _held(y, ours[list(NINES)].to_numpy()),
        "ms": ms,
    }


def _held(y: Any, nine: Any) -> list[float]:
    return [float(((y >= nine[:, 3 - k]) & (y <= nine[:, 5 + k])).mean()) for k in (1, 2, 3)]


def _attempt(ask: Callable[..., Any], past: Any, about: Any, part: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nine = ask(past, about, part)
    except Exception as problem:  # noqa: BLE001  a peer that gives up is told, not hidden
        print(f"  {ask.__name__} on {about['unique_id']}: {problem}")
        return None
    return None if nine is None or np.isnan(nine).any() else np.sort(nine, axis=1)


def _statsforecast(name: str) -> Callable[[Any, Any, Any], Any]:
    def ask(past: Any, about: Any, part: Any) -> Any:
        from statsforecast import models

        y = past["y"].interpolate().to_numpy()
        if name == "AutoARIMA" and (y.size > LONGEST_ARIMA or about["season"] > 12):
            return None
        model = getattr(models, name)(season_length=about["season"])
        said = model.forecast(y=y, h=int(part["step"].max()), level=LEVELS)
        at = part["step"].to_numpy() - 1
        lows = [said[f"lo-{level}"][at] for level in (95, 90, 80, 50)]
        highs = [said[f"hi-{level}"][at] for level in LEVELS]
        return np.stack([*lows, said["mean"][at], *highs], axis=1)

    ask.__name__ = name
    return ask


def prophet(past: Any, about: Any, part: Any) -> Any:
    """Prophet as it comes; quantiles of 400 of its own samples."""
    import pandas as pd

    for name in ("cmdstanpy", "prophet", "prophet.plot"):
        logging.getLogger(name).disabled = True
    from prophet import Prophet

    model = Prophet(uncertainty_samples=400).fit(past[["ds", "y"]])
    days = pd.DataFrame({"ds": part["ds"].dt.tz_localize(None)})
    samples = model.predictive_samples(days)["yhat"]
    return np.quantile(samples, NINE, axis=1).T


def lightgbm(past: Any, about: Any, part: Any) -> Any:
    """LightGBM through mlforecast: nine quantile objectives, lags of 1 and a cycle, recursive."""
    from lightgbm import LGBMRegressor
    from mlforecast import MLForecast

    models = {
        f"q{level}": LGBMRegressor(
            objective="quantile",
            alpha=level,
            n_estimators=50,
            min_child_samples=5,
            verbosity=-1,
            n_jobs=1,
        )
        for level in NINE
    }
    step = _OFFSETS[about["frequency"]]
    lags = sorted({1, min(about["season"], len(past) // 3)})
    parts = ["dayofweek"] if step == "D" else ["month"] if step in ("MS", "QS") else []
    model = MLForecast(models=models, freq=step, lags=lags, date_features=parts)
    regular = past.set_index("ds")[["y"]].resample(step, origin="start").mean().interpolate()
    model.fit(regular.reset_index().assign(unique_id="a"))
    said = model.predict(int(part["step"].max()))
    return said[[f"q{level}" for level in NINE]].to_numpy()[part["step"].to_numpy() - 1]


PEERS: dict[str, Callable[[Any, Any, Any], Any]] = {
    **{
        f"statsforecast {name}": _statsforecast(name)
        for name in ("AutoETS", "AutoARIMA", "AutoCES", "DynamicOptimizedTheta")
    },
    "Prophet": prophet,
    "LightGBM (mlforecast)": lightgbm,
}


def oracle(rows: pa.Table, found: dict[str, pa.Table]) -> list[float]:
    """How often intervals held that knew the quantiles of all days, the judged ones too."""
    about = found["backtest"].filter(pc.equal(found["backtest"]["model"], "climatology"))
    judged, frame = about.to_pandas(), rows.to_pandas()
    held = []
    for unique_id, part in judged.groupby("unique_id"):
        everything = frame[frame["unique_id"] == unique_id]["y"].dropna()
        nine = np.quantile(everything, NINE, method="weibull")
        y = part["y"].to_numpy()
        held.append([(y >= nine[3 - k]) & (y <= nine[5 + k]) for k in (1, 2, 3)])
    return [float(np.concatenate([each[k] for each in held]).mean()) for k in range(3)]
