"""How good a forecast was. Small functions on arrays, each with its source.

Levels and probabilities are between 0 and 1; lower is better unless a docstring says otherwise.
"""

from __future__ import annotations

import numpy as np

from fetchcast.forecast.periods import Bools, Floats, Ints


def _same_shape(actual: Floats, forecast: Floats) -> None:
    if actual.shape != forecast.shape:
        raise ValueError(f"actual {actual.shape} and forecast {forecast.shape} differ in shape")


def naive_scale(history: Floats, *, season: int, power: int = 1) -> float:
    """Mean change from one cycle to the next, absolute (``power=1``) or squared (``power=2``).

    Args:
        history: What a model was fitted on, shape ``(n,)``; NaN is left out in pairs.
        season: Periods per cycle; 1 for none.
        power: 1 or 2.

    Raises:
        ValueError: If ``history`` is no longer than one cycle.
    """
    if history.size <= season:
        raise ValueError(f"history has {history.size} values, needs more than {season}")
    change = np.abs(history[season:] - history[:-season])
    change = change[~np.isnan(change)]
    return float((change**power).mean()) if change.size else float("nan")


def mase(actual: Floats, forecast: Floats, history: Floats, *, season: int) -> float:
    """Mean absolute scaled error; below 1.0 beats the in-sample seasonal naive forecast.

    Args:
        actual: Observed values, shape ``(h,)``, in the unit of the series.
        forecast: Predicted values, same shape, unit and time stamps.
        history: What the model was fitted on, shape ``(n,)`` with ``n > season``.
        season: Periods per cycle; 24 for hourly data with a daily cycle, 1 for none.

    Returns:
        A number without unit, ``>= 0``; ``inf`` if ``history`` repeats its cycle exactly.

    Raises:
        ValueError: If the shapes differ or ``history`` is no longer than one cycle.

    Source:
        Hyndman & Koehler (2006), doi:10.1016/j.ijforecast.2006.03.001; seasonal scaling.
    """
    _same_shape(actual, forecast)
    scale = naive_scale(history, season=season)
    error = float(np.abs(actual - forecast).mean())
    return error / scale if scale > 0 else float("inf")


def rmsse(actual: Floats, forecast: Floats, history: Floats, *, season: int) -> float:
    """Root mean squared scaled error; like `mase`, but large errors weigh more.

    Source:
        Makridakis, Spiliotis, Assimakopoulos (2022), "M5 accuracy competition",
        doi:10.1016/j.ijforecast.2021.11.013; there with ``season=1``.
    """
    _same_shape(actual, forecast)
    scale = naive_scale(history, season=season, power=2)
    error = float(((actual - forecast) ** 2).mean())
    return float(np.sqrt(error / scale)) if scale > 0 else float("inf")


def smape(actual: Floats, forecast: Floats) -> float:
    """Symmetric mean absolute percentage error, in percent, 0 to 200; 0/0 counts as 0.

    Source:
        Makridakis & Hibon (2000), doi:10.1016/S0169-2070(00)00057-1, as in M3 and M4.
    """
    _same_shape(actual, forecast)
    size = np.abs(actual) + np.abs(forecast)
    share = np.divide(2 * np.abs(actual - forecast), size, out=np.zeros_like(size), where=size > 0)
    return float(100 * share.mean())


def pinball(actual: Floats, quantiles: Floats, levels: Floats) -> Floats:
    """Twice the pinball loss, averaged over the levels; a fine grid of levels makes it the CRPS.

    Args:
        actual: Any shape.
        quantiles: The shape of ``actual`` and one axis more, as long as ``levels``.
        levels: Between 0 and 1, shape ``(levels,)``.

    Returns:
        The shape of ``actual``, in the unit of the series; with the median alone it is the
        absolute error.

    Source:
        Gneiting & Raftery (2007), doi:10.1198/016214506000001437, sections 4.2 and 6.1.
    """
    error = actual[..., None] - quantiles
    # max(level * e, (level - 1) * e), in place: this runs over millions of numbers.
    loss = error * levels
    np.subtract(loss, error, out=error)
    np.maximum(loss, error, out=loss)
    return np.asarray(2 * loss.mean(axis=-1))


def interval_score(actual: Floats, lower: Floats, upper: Floats, *, level: float) -> Floats:
    """Width of an interval, plus a fine for each value outside; divided by nothing.

    Args:
        actual: Any shape.
        lower: Lower bounds, same shape.
        upper: Upper bounds, same shape.
        level: What the interval claims to hold, between 0 and 1 (0.95).

    Source:
        Gneiting & Raftery (2007), equation 43; scaled by the naive error it is M4's MSIS.
    """
    fine = 2 / (1 - level)
    below, above = np.maximum(lower - actual, 0), np.maximum(actual - upper, 0)
    return np.asarray(upper - lower + fine * (below + above))


def inside(actual: Floats, lower: Floats, upper: Floats) -> Bools:
    """Whether each value lies within its interval, ends included; the mean is the coverage."""
    return (actual >= lower) & (actual <= upper)


def brier(probability: Floats, happened: Bools) -> float:
    """Mean squared error of probabilities; 0 is perfect, always saying 50 % gives 0.25.

    Source:
        Brier (1950), doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2; the half for two classes.
    """
    return float(((probability - happened) ** 2).mean())


def skill(loss: float, reference: float) -> float:
    """The share of a reference's loss that a forecast saves, higher is better; below 0: worse."""
    return 1 - loss / reference if reference > 0 else float("nan")


def scales(values: Floats, periods: Ints, season: int) -> tuple[Floats, Floats]:
    """`naive_scale` of many series at once, absolute and squared; NaN where there is no pair.

    Args:
        values: Shape ``(series, periods)``; NaN where nothing was observed.
        periods: Period numbers, ascending, with holes, shape ``(periods,)``.
        season: Periods per cycle.
    """
    if periods.size == 0:
        return np.full(len(values), np.nan), np.full(len(values), np.nan)
    before = np.minimum(np.searchsorted(periods, periods - season), periods.size - 1)
    there = periods[before] == periods - season
    change = np.abs(values[:, there] - values[:, before[there]])
    known = ~np.isnan(change)
    change = np.where(known, change, 0.0)
    count = np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    return change.sum(axis=1) / count, (change**2).sum(axis=1) / count
