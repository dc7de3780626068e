"""The forecast page in figures: the chart's columns, the four numbers above it, its banners.

Nothing here reads or writes: a `SeriesView` goes in, what the template and the chart's script
need comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fetchcast.serve.reading import COMBINED, MOST_POINTS, BadAddress, SeriesView, Step
from fetchcast.serve.wording import Habits, measured_percent, number, signed

RANGES = (("1m", "1M"), ("3m", "3M"), ("6m", "6M"), ("1y", "1Y"), ("all", "All"))
_FAN = ("q025", "q10", "q25", "q50", "q75", "q90", "q975")
_BACK = (("b10", "q10"), ("b50", "q50"), ("b90", "q90"))
_STALE_STEPS = 3
_SPARSE = 60
_LARGE = 100
_STEP = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(days=7),
    "monthly": timedelta(days=30),
    "quarterly": timedelta(days=91),
    "yearly": timedelta(days=365),
}
NOUNS = {
    "hourly": "hour",
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
    "yearly": "year",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One of the numbers above the chart."""

    label: str
    value: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Banner:
    """Something that a reader must know before trusting the page."""

    head: str
    text: str


def columns(view: SeriesView, habits: Habits, as_of: date | None = None) -> dict[str, Any]:
    """The chart's columns: one time axis for history, backtest and fan, None where there is none.

    ``as_of`` lays the forecast that was made on that day over what came, instead of the shortest
    forecast for each period. ``thinned`` says that the history is the smallest and the largest
    value of each stretch.
    """
    step = _STEP.get(view.line.frequency, timedelta(days=1))
    history = [(point.ds, point.y) for point in view.history]
    thinned = view.line.observations > MOST_POINTS
    kept = history if thinned else _gapped(history, step)
    observed = dict(kept)
    said = {step.ds: step for step in view.fan}
    tried = _nearest_tries(
        [step for step in view.backtest if as_of is None or _cutoff_day(step) == as_of]
    )
    moments = sorted({*observed, *said, *tried})
    column: dict[str, list[int] | list[float | None]] = {
        "t": [int(moment.timestamp()) for moment in moments]
    }
    column["y"] = [_rounded(observed.get(moment)) for moment in moments]
    for name in _FAN:
        column[name] = [_quantile(said.get(moment), name) for moment in moments]
    for name, quantile in _BACK:
        column[name] = [_quantile(tried.get(moment), quantile) for moment in moments]
    place = {moment: index for index, moment in enumerate(moments)}
    outside = [place[step.ds] for step in _outside(tried) if observed.get(step.ds) is not None]
    return {
        **column,
        "begin": _begin(view, step),
        "cutoffs": sorted({int(each.cutoff.timestamp()) for each in tried.values()}),
        "outside": outside,
        "step": int(step.total_seconds()),
        "hourly": view.line.frequency == "hourly",
        "sparse": len(history) <= _SPARSE,
        "thinned": thinned,
        "asOf": as_of is not None,
        "tried": [_seconds(min(tried)), _seconds(max(tried))] if tried else None,
        "unit": view.line.unit,
        "zone": view.zone.key,
        "dates": habits.date_format,
        "range": _first_range(view, step),
    }


def _cutoff_day(step: Step) -> date:
    return step.cutoff.astimezone(UTC).date()


def cutoffs(view: SeriesView) -> list[date]:
    """The days on which the backtest made a forecast, the newest first."""
    return sorted({_cutoff_day(step) for step in view.backtest}, reverse=True)


def as_of_day(view: SeriesView, text: str | None) -> date | None:
    """The cutoff that an address asks for; raises `BadAddress` if none was made on that day."""
    if not text:
        return None
    known = cutoffs(view)
    for day in known:
        if day.isoformat() == text:
            return day
    said = ", ".join(day.isoformat() for day in known[:12]) or "nothing, as there is no backtest"
    raise BadAddress("as_of", text, f"a day on which a forecast was made: {said}")


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _gapped(
    points: Sequence[tuple[datetime, float | None]], step: timedelta
) -> list[tuple[datetime, float | None]]:
    """The points, with nothing put where periods are missing: a line must not cross a gap."""
    found: list[tuple[datetime, float | None]] = []
    for point in points:
        if found and point[0] - found[-1][0] > 1.5 * step:
            found.append((found[-1][0] + step, None))
        found.append(point)
    return found


def _begin(view: SeriesView, step: timedelta) -> int:
    """Half a period before the first step: where the forecast's part of the chart starts."""
    if view.fan:
        return int((view.fan[0].ds - step / 2).timestamp())
    return int((view.history[-1].ds + step / 2).timestamp()) if view.history else 0


def _first_range(view: SeriesView, step: timedelta) -> str:
    """The narrowest range that shows some hundred periods of history."""
    wanted = step * 92
    for name, days in (("1m", 31), ("3m", 92), ("6m", 183), ("1y", 366)):
        if wanted <= timedelta(days=days) and len(view.history) > days:
            return name
    return "all"


def _nearest_tries(backtest: Sequence[Step]) -> dict[datetime, Step]:
    """For each period the try made shortest before it: later cutoffs replace earlier ones."""
    return {step.ds: step for step in sorted(backtest, key=lambda step: step.cutoff)}


def outliers(view: SeriesView) -> list[Step]:
    """Periods whose value lay outside the 95 % band that was drawn shortest before them."""
    return _outside(_nearest_tries(view.backtest))


def _outside(tried: Mapping[datetime, Step]) -> list[Step]:
    return [
        step
        for _, step in sorted(tried.items())
        if step.y is not None and not step.q["q025"] <= step.y <= step.q["q975"]
    ]


def digits(view: SeriesView) -> int:
    """Decimals that suit all figures of a table."""
    size = max((abs(value) for step in view.fan for value in step.q.values()), default=0.0)
    whole = all(point.y is None or point.y == round(point.y) for point in view.history)
    if size >= 1000:  # noqa: PLR2004
        return 0
    return 1 if size >= 10 or whole else 2  # noqa: PLR2004


def _quantile(step: Step | None, name: str) -> float | None:
    return None if step is None else _rounded(step.q[name])


def _rounded(value: float | None) -> float | None:
    """Six significant digits: more than a screen shows, less than half the bytes."""
    return None if value is None else float(f"{value:.6g}")


def figures(view: SeriesView, habits: Habits, totals: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """The numbers above the chart."""
    board = board_row(view, view.model)
    together = _together(view, totals) if view.model == COMBINED else []
    rest = [_accuracy(board), _held(board), _data(view, habits)]
    return [_next(view, habits), *together, *rest]


def board_row(view: SeriesView, model: str) -> Mapping[str, Any] | None:
    """The leaderboard's row of a model."""
    return next((row for row in view.leaderboard if row["model"] == model), None)


def when(view: SeriesView, moment: datetime, habits: Habits) -> str:
    """A period's name: its day, with the time of day for hourly data."""
    local = moment.astimezone(view.zone)
    day = habits.full_day(local.date())
    if view.line.frequency != "hourly":
        return day
    return f"{day} {Habits(zone=view.zone, date_format=habits.date_format).clock(moment)}"


def _next(view: SeriesView, habits: Habits) -> Figure:
    if not view.fan:
        return Figure(label="Forecast", value="none", note="no model could say anything")
    step = view.fan[0]
    unit = f" {view.line.unit}" if view.line.unit else ""
    return Figure(
        label=f"Next, {when(view, step.ds, habits)}",
        value=f"{number(step.q['q50'], digits=digits(view))}{unit}",
        note=f"80 %: {number(step.q['q10'], digits=digits(view))} to "
        f"{number(step.q['q90'], digits=digits(view))}",
    )


def _together(view: SeriesView, totals: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """The whole horizon in one figure: its sum, and the mean of a day beside it."""
    if len(view.fan) < 2 or not totals:  # noqa: PLR2004  one period is its own total
        return []
    by = {row["how"]: row for row in totals}
    whole, mean = by["sum"], by["mean"]
    unit = f" {view.line.unit}" if view.line.unit else ""
    noun = NOUNS.get(view.line.frequency, "period")
    return [
        Figure(
            label=f"Total of the next {len(view.fan)} {noun}s",
            value=f"{number(whole['q50'], digits=0 if abs(whole['q50']) >= _LARGE else 1)}{unit}",
            note=f"80 %: {number(whole['q10'], digits=0)} to {number(whole['q90'], digits=0)}; "
            f"mean {number(mean['mean'], digits=digits(view))} a {noun}",
        )
    ]


def _accuracy(board: Mapping[str, Any] | None) -> Figure:
    if board is None or board["pinball"] is None:
        return Figure(label="Accuracy", value="not known", note="too short for a backtest")
    skill = board["skill_climatology"]
    against = "" if skill is None else f"{signed(100 * skill, digits=1)} % against the average"
    return Figure(
        label=f"Mean error, {board['n']} backtested",
        value=number(board["mae"]),
        note=against or "no average to compare with",
    )


def _held(board: Mapping[str, Any] | None) -> Figure:
    if board is None or board["coverage_80"] is None:
        return Figure(
            label="80 % interval held", value="not known", note="too short for a backtest"
        )
    return Figure(
        label="80 % interval held",
        value=measured_percent(board["coverage_80"]),
        note=f"aim 80 %; the 95 % one held {measured_percent(board['coverage_95'])}",
    )


def _data(view: SeriesView, habits: Habits) -> Figure:
    line = view.line
    missing = f"{number(line.missing)} missing" if line.missing else "none missing"
    last = f"last {when(view, line.last_ds, habits)}" if line.last_ds else "nothing observed"
    noun = NOUNS.get(line.frequency, "period")
    return Figure(
        label="Observations",
        value=f"{number(line.observations)} {noun}{'' if line.observations == 1 else 's'}",
        note=f"{missing}, {last}",
    )


def banners(view: SeriesView, now: datetime) -> list[Banner]:
    """What a reader must know before trusting the page."""
    found = []
    if view.line.note:
        found.append(Banner(head="Note.", text=view.line.note))
    board = board_row(view, view.model)
    if board is not None and (board["skill_climatology"] or 0) <= 0 and view.model == COMBINED:
        found.append(
            Banner(
                head="No better than the historical average.",
                text="In the backtest, saying the same for every day did as well. The intervals "
                "are honest; the day in question hardly matters.",
            )
        )
    step = _STEP.get(view.line.frequency, timedelta(days=1))
    if view.line.last_ds and now - view.line.last_ds > _STALE_STEPS * step + timedelta(days=1):
        days = (now - view.line.last_ds).days
        found.append(
            Banner(head="Not up to date.", text=f"The last observation is {days} days old.")
        )
    if board is None:
        found.append(
            Banner(
                head="Short history.",
                text="It is too short to test the forecast on, so nobody knows how good it is.",
            )
        )
    return found


def resting(view: SeriesView, habits: Habits) -> str:
    """What stands above the chart while nothing is pointed at."""
    if not view.fan:
        return "No forecast."
    first, last = view.fan[0], view.fan[-1]
    noun = NOUNS.get(view.line.frequency, "period")
    return (
        f"{len(view.fan)} {noun}s ahead, {when(view, first.ds, habits)} to "
        f"{when(view, last.ds, habits)}. 8 of 10 should fall into the 80 % band."
    )


def summary(view: SeriesView, habits: Habits) -> str:
    """The chart in a sentence, for those who do not see it."""
    line = view.line
    unit = f" {line.unit}" if line.unit else ""
    text = f"Chart of {line.series} {line.unique_id}: {line.observations} observations"
    if line.first_ds and line.last_ds:
        text += f" from {when(view, line.first_ds, habits)} to {when(view, line.last_ds, habits)}"
    if view.fan:
        step = view.fan[0]
        text += (
            f". Next, {when(view, step.ds, habits)}: median {number(step.q['q50'])}{unit}, 80 % "
            f"between {number(step.q['q10'])} and {number(step.q['q90'])}"
        )
    return text + ". The table below has every figure."


def recipes(view: SeriesView, origin: str, place: str) -> list[tuple[str, str]]:
    """The same forecast from elsewhere: a command, a query, a script."""
    address = f"{origin}/api/v1/series/{place}/forecast"
    series, unique_id = (
        text.replace("'", "''") for text in (view.line.series, view.line.unique_id)
    )
    return [
        ("curl", f"curl -s '{address}.csv?model={view.model}'"),
        (
            "SQL",
            (
                "select ds, q10, q50, q90\nfrom forecast\n"
                f"where series = '{series}' and unique_id = '{unique_id}' "
                f"and model = '{view.model}'\norder by ds"
            ),
        ),
        (
            "Python",
            (
                "import json, urllib.request\n\n"
                f'with urllib.request.urlopen("{address}?model={view.model}") as answer:\n'
                '    for step in json.load(answer)["steps"]:\n'
                '        print(step["ds"], step["q10"], step["q50"], step["q90"])'
            ),
        ),
    ]
