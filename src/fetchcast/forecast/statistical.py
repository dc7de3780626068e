"""The statistical family: ETS, theta, CES and MSTL, for series with a level, a trend, a season.

The only module that knows ``statsforecast``, and it imports it when a model is first asked: the
import takes seconds, and data without a level to find never ask.

What is asked for is cheap on purpose. A point forecast of CES takes 1/10 of the time that its
simulated intervals take, and those are too narrow anyway; so CES borrows the spread of ETS, and
the widths of all are put right by calibration (`fetchcast.forecast.calibrate`). From 24 periods
per cycle on MSTL takes the place of ETS, which is slow there and blind to cycles beyond 24.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np

from fetchcast.forecast.models import Past, Prediction
from fetchcast.forecast.periods import Bools, Floats, Frequency, Ints

Spread: TypeAlias = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""Does what the built-in ``map`` does, in other processes perhaps; the order is kept."""

NAMES = ("ets", "theta", "ces", "mstl")

_LONGEST = 2000
"""Observations that are looked at; older ones say little about the level of today."""
MSTL_SEASON = 24
_Z95 = NormalDist().inv_cdf(0.975)
_TOO_MANY_ZEROS = 0.4
_CHUNK = 16
_FAR, _WIDE = 10, 2
"""Ranges of the history beyond which a middle, or a standard deviation, has run away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """One model's forecast of one series: a middle, and a spread to each side."""

    mean: Floats
    below: Floats
    above: Floats


def available() -> bool:
    """Whether the optional extra ``statistical`` is installed."""
    return find_spec("statsforecast") is not None


def fitting(names: Sequence[str], season: int) -> tuple[str, ...]:
    """Those of ``names`` that can see a cycle of ``season`` periods."""
    blind = "ets" if season >= MSTL_SEASON else "mstl"
    return tuple(name for name in names if name != blind)


def predict(
    past: Past, levels: Floats, names: Sequence[str], rows: Ints, spread: Spread = map
) -> dict[str, Prediction]:
    """Quantiles of the series in ``rows`` by each model in ``names``; NaN for all others.

    Args:
        past: What may be seen.
        levels: At which levels, shape ``(levels,)``.
        names: Of `NAMES`; ``mstl`` answers only for a cycle of 24 periods or more.
        rows: Which series to fit, ascending.
        spread: How to walk over the series: ``map``, or that of a pool of processes.
    """
    work = partial(_fit_many, season=past.season, names=tuple(names))
    clock, wanted, resting = _by_the_clock(past)
    histories = [_regular(past, row, clock, wanted, resting) for row in rows.tolist()]
    chunks = [histories[at : at + _CHUNK] for at in range(0, len(histories), _CHUNK)]
    fitted = [found for chunk in spread(work, chunks) for found in chunk]
    normal = np.array([NormalDist().inv_cdf(level) for level in levels])
    shape = past.targets.shape
    said = {
        name: Prediction(
            quantiles=np.full((*shape, levels.size), np.nan), mean=np.full(shape, np.nan)
        )
        for name in names
    }
    for row, found in zip(rows.tolist(), fitted, strict=True):
        for name, points in found.items():
            width = np.where(normal < 0, points.below[:, None], points.above[:, None])
            said[name].quantiles[row] = points.mean[:, None] + width * normal
            said[name].mean[row] = points.mean
    return said


def _by_the_clock(past: Past) -> tuple[Ints, Ints, Bools]:
    """Periods and targets as a calendar on the wall counts them, and which periods are holidays.

    When summer time begins an hour is left out, when it ends one counts for two: so the rush hour
    keeps its place for models that know cycles of a fixed length only.
    """
    raw = (past.positions - past.periods) % past.season
    raw_ahead = (past.ahead - past.targets) % past.season
    if past.grid.frequency is not Frequency.HOURLY:
        # The place of a day differs from the calendar's for one reason: it is like a Sunday.
        return past.periods, past.targets, raw != 0
    half = past.season // 2
    shift, shift_ahead = ((each - raw[0] + half) % past.season - half for each in (raw, raw_ahead))
    return past.periods + shift, past.targets + shift_ahead, np.zeros(raw.size, np.bool_)


def _regular(
    past: Past, row: int, clock: Ints, wanted: Ints, resting: Bools
) -> tuple[Floats, Ints]:
    """The newest unbroken stretch of one series, gaps filled, and which periods after it to say.

    The end of the history may lie before the cutoff (the last days did not happen); the forecast
    then starts further away. Holidays are gaps, and read as the nearest coming Sunday.
    """
    seen = np.flatnonzero(~np.isnan(past.values[row]) & ~resting)
    seen = seen[np.append(np.diff(clock[seen]) > 0, True)[: seen.size]]
    if seen.size == 0:
        return np.empty(0), np.ones(wanted.shape[1], np.int64)
    numbers = clock[seen]
    breaks = np.flatnonzero(np.diff(numbers) > max(28, 2 * past.season))
    start = int(breaks[-1]) + 1 if breaks.size else 0
    numbers, values = numbers[start:][-_LONGEST:], past.values[row, seen[start:]][-_LONGEST:]
    every = np.arange(numbers[0], numbers[-1] + 1)
    y = np.interp(every, numbers, values)
    known = np.zeros(every.size, np.bool_)
    known[numbers - numbers[0]] = True
    if past.season > 1:
        for at in np.flatnonzero(~known):
            # A missing Sunday looks like the last Sunday, not like a mean of its neighbours.
            y[at] = y[at - past.season] if at >= past.season else y[at]
    steps = _as_sundays(past, row, wanted[row], int(numbers[-1])) - numbers[-1]
    return y, np.maximum(steps, 1)


def _as_sundays(past: Past, row: int, wanted: Ints, last: int) -> Ints:
    """``wanted``, but for each holiday the nearest Sunday after ``last``."""
    if past.grid.frequency is not Frequency.DAILY:
        return wanted
    place = past.ahead[row]
    since = (wanted - place) % past.season
    earlier = wanted - since
    near = (since <= past.season // 2) & (earlier > last)
    return np.where(since == 0, wanted, np.where(near, earlier, earlier + past.season))


def _fit_many(
    histories: Sequence[tuple[Floats, Ints]], *, season: int, names: Sequence[str]
) -> list[Mapping[str, Points]]:
    """Fit every model to every history; what cannot be fitted is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [fit(y, season=season, steps=steps, names=names) for y, steps in histories]


def fit(y: Floats, *, season: int, steps: Ints, names: Sequence[str]) -> dict[str, Points]:
    """Forecasts of one series by each model of ``names`` that can say something about it.

    Args:
        y: The history, evenly spaced, no gaps.
        season: Periods per cycle.
        steps: Which periods after the end of ``y`` to forecast, from 1.
        names: Of `NAMES`.
    """
    if y.size < max(8, season // 4) or np.ptp(y) == 0:
        return {}
    if np.count_nonzero(y == 0) > _TOO_MANY_ZEROS * y.size:
        return {}  # Intermittent: its own quantiles say it better than any level.
    cycle = season if y.size >= 2 * season + 2 else 1
    total = int(steps.max())
    found: dict[str, Points] = {}
    models = {"mstl": _mstl} if cycle >= MSTL_SEASON else {"ets": _ets}
    for name, model in (models | {"theta": _theta}).items():
        points = _attempt(model, y, cycle, total)
        if points is not None:
            found[name] = points
    guide = next(iter(found.values()), None)
    if guide is not None and "ces" in names:
        points = _attempt(partial(_ces, guide=guide), y, cycle, total)
        if points is not None:
            found["ces"] = points
    return {name: _at(points, steps - 1) for name, points in found.items() if name in names}


def _at(points: Points, at: Ints) -> Points:
    return Points(mean=points.mean[at], below=points.below[at], above=points.above[at])


def _attempt(
    model: Callable[[Floats, int, int], Points], y: Floats, season: int, horizon: int
) -> Points | None:
    """A model's forecast, or None where its optimiser gives up or runs away."""
    try:
        points = model(y, season, horizon)
    except (ValueError, ArithmeticError, IndexError, RuntimeError, np.linalg.LinAlgError):
        return None
    except Exception as problem:
        # statsforecast raises bare Exceptions ("no model able to be fitted").
        if type(problem) is not Exception:
            raise
        return None
    seen = float(np.ptp(y)) or 1.0
    sound = np.isfinite(points.mean) & np.isfinite(points.below) & np.isfinite(points.above)
    within = (points.mean >= y.min() - _FAR * seen) & (points.mean <= y.max() + _FAR * seen)
    # A trend that may trend itself answers a jump of ten with intervals of a thousand.
    within &= np.maximum(points.below, points.above) <= _WIDE * seen
    return points if bool(np.all(sound & within)) else None


def _points(said: Mapping[str, Floats]) -> Points:
    mean = np.asarray(said["mean"], np.float64)
    return Points(
        mean=mean,
        below=np.maximum(mean - said["lo-95"], 0) / _Z95,
        above=np.maximum(said["hi-95"] - mean, 0) / _Z95,
    )


def _ets(y: Floats, season: int, horizon: int) -> Points:
    """The best of a few exponential smoothings by AICc: first the season, then a damped trend.

    All 30 forms take five times as long and were not better on the data of the benchmark.
    """
    from statsforecast.models import AutoETS  # noqa: PLC0415  seconds; see the module's text

    def fitted(form: str, *, damped: bool | None = None) -> Any:
        return AutoETS(season_length=season, model=form, damped=damped).fit(y)

    candidates = [fitted("ANN")]
    positive = bool((y > 0).all())
    if season > 1:
        candidates.append(fitted("ANA"))
        if positive:
            candidates.append(fitted("MNM"))
    best = min(candidates, key=_aicc)
    form = best.model_["components"]
    trended = f"{form[0]}A{form[2]}"
    candidates += [best, fitted(trended, damped=True), fitted(trended, damped=False)]
    return _points(min(candidates, key=_aicc).predict(h=horizon, level=[95]))


def _aicc(fitted: Any) -> float:
    aicc = float(fitted.model_["aicc"])
    return aicc if np.isfinite(aicc) else float("inf")


def _theta(y: Floats, season: int, horizon: int) -> Points:
    from statsforecast.models import DynamicOptimizedTheta  # noqa: PLC0415

    model = DynamicOptimizedTheta(season_length=season)
    return _points(model.forecast(y, h=horizon, level=[95]))


def _mstl(y: Floats, season: int, horizon: int) -> Points:
    from statsforecast.models import MSTL  # noqa: PLC0415

    cycles: list[int] = [season]
    if season == 24 and y.size >= 2 * 168:  # noqa: PLR2004  hours: the day and the week
        cycles.append(168)
    return _points(MSTL(season_length=cycles).forecast(y, h=horizon, level=[95]))


def _ces(y: Floats, season: int, horizon: int, guide: Points) -> Points:
    """CES's middle between the bounds of another model."""
    from statsforecast.models import AutoCES  # noqa: PLC0415

    said = AutoCES(season_length=season).forecast(y, h=horizon)
    return Points(mean=np.asarray(said["mean"], np.float64), below=guide.below, above=guide.above)
