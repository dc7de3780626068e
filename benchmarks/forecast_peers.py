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
MOST = 24
"""Pairs of series and cutoff that a peer is asked about; of more, evenly spread ones."""

LONGEST_ARIMA = 250
"""Observations beyond which AutoARIMA is not asked: a fit takes minutes there."""

_OFFSETS = {"daily": "D", "weekly": "7D", "monthly": "MS", "quarterly": "QS", "yearly": "YS"}


def peers(rows: pa.Table, found: dict[str, pa.Table]) -> Iterator[dict[str, Any]]:
    """Each peer's loss as a share of seasonal naive's, and of ours, on the points it was asked."""
    about = {row["unique_id"]: row for row in found["series"].to_pylist()}
    tried = found["backtest"].to_pandas()
    frame = rows.to_pandas()
    ours = tried[tried["model"] == "combined"]
    naive = tried[tried["model"] == "seasonal_naive"]
    pairs = sorted({(row.unique_id, row.cutoff) for row in ours.itertuples()})
    keep = {pairs[k] for k in np.linspace(0, len(pairs) - 1, min(MOST, len(pairs))).astype(int)}
    losses = {
        name: part.set_index(["unique_id", "cutoff", "step"])["pinball"]
        for name, part in (("ours", ours), ("naive", naive))
    }
    for peer, ask in PEERS.items():
        nines, ys, keys, begun, asked = [], [], [], time.process_time(), 0
        for (unique_id, cutoff), part in ours.groupby(["unique_id", "cutoff"]):
            if (unique_id, cutoff) not in keep:
                continue
            past = frame[frame["unique_id"] == unique_id].sort_values("ds")
            past = past[past["ds"] <= cutoff.tz_localize(None)]
            nine = _attempt(ask, past, about[unique_id], part)
            if nine is None:
                continue
            asked += 1
            nines.append(nine)
            ys.append(part["y"].to_numpy())
            keys += [(unique_id, cutoff, step) for step in part["step"]]
        if asked:
            spent = (time.process_time() - begun) / asked * 1e3
            yield _line(peer, np.concatenate(nines), np.concatenate(ys), keys, losses, spent)


def _line(  # noqa: PLR0917
    peer: str, nine: Any, y: Any, keys: list[Any], losses: dict[str, Any], ms: float
) -> dict[str, Any]:
    loss = float(pinball(y, nine, NINE).mean())
    held = [float(((y >= nine[:, 3 - k]) & (y <= nine[:, 5 + k])).mean()) for k in (1, 2, 3)]
    same = {name: float(each.loc[keys].mean()) for name, each in losses.items()}
    return {
        "model": peer,
        "n": len(y),
        "loss": loss / same["naive"],
        "against_ours": loss / same["ours"],
        "mase": None,
        "coverage": held,
        "ms": ms,
    }


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
