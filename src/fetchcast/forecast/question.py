"""Questions: "will train 27 be in Tampere by 16:00 next Wednesday?", answered with the evidence."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fetchcast.errors import ConfigError, QuestionError
from fetchcast.forecast.combine import COMBINED
from fetchcast.forecast.dates import clock_of, day_of
from fetchcast.forecast.metrics import brier
from fetchcast.forecast.models import GRID, NINE
from fetchcast.forecast.options import checked_zone
from fetchcast.forecast.periods import Bools, Floats
from fetchcast.forecast.tables import QUANTILES

_BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
_DOTS = (np.arange(20) + 0.5) / 20
_LEVELS = (0.5, 0.8, 0.95)
_ENOUGH_DAYS = 28
_ENOUGH_FORECASTS = 28
_SURE = 0.05

_WORDS = (
    (0.95, "Almost certainly."),
    (0.8, "Very likely."),
    (0.55, "Probably."),
    (0.45, "As likely as not."),
    (0.2, "Rather not."),
    (0.05, "Hardly."),
    (0.0, "Almost certainly not."),
)


class QuestionOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A ``[question.NAME]`` section: what is asked of which series.

    Either ``deadline`` (a time on the wall; the series must have ``scheduled``, and ``y`` counts
    minutes from it) or ``threshold`` (a value of ``y``).
    """

    text: str
    """The question. Replaced in it: {unique_id} {label} {deadline} {threshold} {date} {walk_min}
    {place}."""
    series: str
    unique_id: str
    deadline: str | None = None
    """A time on the wall of ``time_zone``: "16:00"."""
    threshold: float | None = None
    """In the unit of the series; the answer is yes at or below it."""
    date: str = "tomorrow"
    """Which day: "tomorrow", "next wednesday", "today+3", "2026-11-25"."""
    time_zone: str = "UTC"
    walk_min: float = 0
    """Minutes that must be left between the arrival and the deadline."""
    alternatives: list[str] = []
    """Other series (their ``unique_id``) that answer the same need: earlier trains."""
    labels: dict[str, str] = {}
    """What people call a ``unique_id``."""
    place: str = ""

    def __post_init__(self) -> None:
        if (self.deadline is None) == (self.threshold is None):
            raise ConfigError("deadline", self.deadline, "either a deadline or a threshold")
        if self.deadline is not None:
            clock_of("deadline", self.deadline)
        day_of(self.date, dt.date(2026, 1, 1))
        checked_zone("time_zone", self.time_zone)
        if not 0 <= self.walk_min <= 24 * 60:
            raise ConfigError("walk_min", self.walk_min, "minutes, 0 to 1440")

    @property
    def zone(self) -> ZoneInfo:
        """``time_zone`` as Python knows it."""
        return ZoneInfo(self.time_zone)

    def label(self, unique_id: str) -> str:
        """What people call ``unique_id``."""
        return self.labels.get(unique_id, unique_id)


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A value, and the time on the wall that it means (None if the series has no timetable)."""

    value: float
    clock: str | None = None
    """"16:03"."""
    at: dt.datetime | None = None
    """The same, whole, with its offset from UTC."""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Between which values the outcome lies with probability ``level``."""

    level: float
    lower: Moment
    upper: Moment


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of one series on the day in question."""

    unique_id: str
    label: str
    probability: float
    """That the answer is yes, given that it happens at all."""
    p_running: float
    """That it happens at all."""
    threshold: float
    """The largest value with which the answer is yes."""
    expected: Moment
    """The median."""
    mean: float
    scheduled: Moment | None
    """The timetable (``value`` 0)."""
    intervals: list[Interval]
    """At 50, 80 and 95 %."""
    dots: list[Moment]
    """20 equally likely outcomes, ascending: their quantiles at 2.5, 7.5, ... 97.5 %."""
    on_time: list[bool]
    """For each of ``dots``, whether it means yes."""


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """How often statements of one kind came true."""

    lower: float
    upper: float
    """Statements with ``lower <= probability < upper`` (the last bin holds 1 too)."""
    n: int
    said: float | None
    """Their mean probability."""
    came_true: float | None
    """The share that came true."""


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """How often such answers were right in the backtest, on scored observations alone."""

    n: int
    days: int
    """On how many different days; several cutoffs speak about the same day."""
    bins: list[Bin]
    brier: float | None
    brier_base: float | None
    """The Brier score of always saying the share that came true; a good answer is below it."""
    this: Bin | None
    """The bin of this answer, if it has cases."""
    sentence: str


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Which observations the evidence rests on."""

    days: int
    """Scored observations: those a backtest may judge by."""
    first: dt.date | None
    last: dt.date | None
    on_time: int
    """With which the answer would have been yes."""
    all_days: int
    """All observations, those that are not scored too."""
    scored_only: bool
    """True if there are others that the evidence leaves out."""
    sentence: str


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a question, with the reasons for it."""

    headline: str
    date: dt.date
    deadline: str | None
    walk_min: float
    latest: Moment | None
    """When one must have arrived: the deadline less the walk."""
    choice: Choice
    words: str
    """"Rather not."."""
    sentence: str
    """"Rather not. 4 of 10 such days."."""
    detail: str
    """"Expected at 16:00; 8 of 10 days between 15:57 and 16:11. Timetable: 15:58."."""
    alternatives: list[Choice]
    """Likeliest first."""
    reliability: Reliability
    history: History
    enough_history: bool
    why: str
    """Why the history is enough, or what is missing."""
    unit: str
    cutoff: dt.date
    """The last day that the forecast has seen."""

    @property
    def probability(self) -> float:
        """That the answer is yes, given that it happens at all."""
        return self.choice.probability


def answer(
    options: QuestionOptions,
    found: Mapping[str, pa.Table],
    *,
    today: dt.date,
    date: str | None = None,
    deadline: str | None = None,
    threshold: float | None = None,
    unique_id: str | None = None,
    walk_min: float | None = None,
) -> Answered:
    """Answer a question from the tables of a forecast.

    Args:
        options: The question.
        found: ``forecast``, ``backtest`` and ``observation`` (and ``series``, for the unit), as
            `forecast_series` made them or as they came back from a database; other series and
            older runs in them do no harm.
        today: What "tomorrow" counts from.
        date: Asks about another day than the question's own, as do the next four.
        deadline: Another deadline.
        threshold: Another threshold.
        unique_id: Another series.
        walk_min: Another walk.

    Raises:
        QuestionError: If the tables do not hold what is asked; says what they hold.
        ConfigError: If a date or a time cannot be read.
    """
    given: dict[str, Any] = {
        "date": date,
        "unique_id": unique_id,
        "walk_min": walk_min,
    }
    if deadline is not None:
        given |= {"deadline": deadline, "threshold": None}
    elif threshold is not None:
        given |= {"deadline": None, "threshold": threshold}
    changes = {key: value for key, value in given.items() if value is not None}
    if "deadline" in changes or "threshold" in changes:
        changes = {"deadline": None, "threshold": None} | changes
    options = msgspec.structs.replace(options, **changes)
    return _Asked(options, found, day_of(options.date, today)).answered()


class _Asked:
    """One question about one day."""

    def __init__(
        self, options: QuestionOptions, found: Mapping[str, pa.Table], day: dt.date
    ) -> None:
        self.options = options
        self.day = day
        self.zone = options.zone
        self.found = {
            name: _only(table, options.series) for name, table in found.items() if table is not None
        }

    def answered(self) -> Answered:
        options = self.options
        row = self._row(options.unique_id)
        choice = self._choice(options.unique_id, row)
        reliability = self._reliability(choice)
        history = self._history(options.unique_id)
        enough, why = _enough(history, reliability, self.day)
        words = next(text for least, text in _WORDS if choice.probability >= least)
        return Answered(
            headline=self._headline(choice),
            date=self.day,
            deadline=options.deadline,
            walk_min=options.walk_min,
            latest=self._latest(choice, row),
            choice=choice,
            words=words,
            sentence=f"{words} {_of_ten(choice.probability)} such days.",
            detail=_detail(choice, self._unit()),
            alternatives=self._alternatives(),
            reliability=reliability,
            history=history,
            enough_history=enough,
            why=why,
            unit=self._unit(),
            cutoff=row["cutoff"].astimezone(dt.UTC).date(),
        )

    def _row(self, unique_id: str) -> dict[str, Any]:
        """The newest forecast of ``unique_id`` for the day."""
        rows = _of(self.found["forecast"], unique_id, COMBINED)
        if rows.num_rows == 0:
            known = sorted(set(self.found["forecast"]["unique_id"].to_pylist()))
            raise QuestionError(
                self.options.series,
                f"there is no forecast of {unique_id!r}; there are: {', '.join(known[:10]) or 'none'}",
            )
        midnight = dt.datetime.combine(self.day, dt.datetime.min.time(), dt.UTC)
        rows = rows.sort_by([("cutoff", "ascending")])
        there = rows.filter(
            pc.equal(
                rows["ds"].cast(pa.timestamp("us", "UTC")),
                pa.scalar(midnight, pa.timestamp("us", "UTC")),
            )
        )
        if there.num_rows == 0:
            span = pc.min_max(rows["ds"]).as_py()
            raise QuestionError(
                self.options.series,
                f"{self.day} is not forecast for {unique_id!r}; the forecast reaches from "
                f"{span['min'].date()} to {span['max'].date()} (a longer `horizon` reaches further)",
            )
        return dict(there.slice(there.num_rows - 1).to_pylist()[0])

    def _choice(self, unique_id: str, row: Mapping[str, Any]) -> Choice:
        levels, quantiles = _distribution(row)
        threshold = self._threshold(row.get("scheduled"))
        if np.isnan(threshold):
            raise QuestionError(
                self.options.series,
                f"{unique_id!r} has no timetable (column `scheduled`) for {self.day}, so a clock "
                "time says nothing; ask with `threshold` instead of `deadline`",
            )
        planned = row.get("scheduled")
        dots = np.interp(_DOTS, levels, quantiles)
        moments = [self._moment(float(value), planned) for value in dots]
        bounds = [
            (level, np.interp([0.5 - level / 2, 0.5 + level / 2], levels, quantiles))
            for level in _LEVELS
        ]
        return Choice(
            unique_id=unique_id,
            label=self.options.label(unique_id),
            probability=float(_chance(quantiles[None], levels, np.array([threshold]))[0]),
            p_running=float(row["p_running"]) if row.get("p_running") is not None else 1.0,
            threshold=threshold,
            expected=self._moment(float(np.interp(0.5, levels, quantiles)), planned),
            mean=float(row["mean"]),
            scheduled=None if planned is None else self._moment(0.0, planned),
            intervals=[
                Interval(
                    level=level,
                    lower=self._moment(float(pair[0]), planned),
                    upper=self._moment(float(pair[1]), planned),
                )
                for level, pair in bounds
            ],
            dots=moments,
            on_time=[bool(value <= threshold) for value in dots],
        )

    def _threshold(self, scheduled: object) -> float:
        """The largest value with which the answer is yes; NaN if there is no timetable."""
        if self.options.deadline is None:
            assert self.options.threshold is not None
            return self.options.threshold - self.options.walk_min
        if not isinstance(scheduled, dt.datetime):
            return float("nan")
        local = scheduled.astimezone(self.zone)
        clock = clock_of("deadline", self.options.deadline)
        # A train that is due at 23:50 may be asked about with the deadline 00:15.
        days = [local.date() + dt.timedelta(days=shift) for shift in (-1, 0, 1)]
        until = [dt.datetime.combine(day, clock, self.zone) - scheduled for day in days]
        nearest = min(until, key=abs)
        return nearest.total_seconds() / 60 - self.options.walk_min

    def _moment(self, value: float, scheduled: object) -> Moment:
        if not isinstance(scheduled, dt.datetime):
            return Moment(value=value)
        at = (scheduled + dt.timedelta(minutes=value)).astimezone(self.zone)
        shown = at + dt.timedelta(seconds=30)
        return Moment(value=value, clock=f"{shown:%H:%M}", at=at)

    def _latest(self, choice: Choice, row: Mapping[str, Any]) -> Moment | None:
        if self.options.deadline is None:
            return None
        return self._moment(choice.threshold, row.get("scheduled"))

    def _alternatives(self) -> list[Choice]:
        found = []
        for unique_id in self.options.alternatives:
            if unique_id == self.options.unique_id:
                continue
            try:
                found.append(self._choice(unique_id, self._row(unique_id)))
            except QuestionError:
                # An alternative that does not run that day is none.
                continue
        return sorted(found, key=lambda choice: -choice.probability * choice.p_running)

    def _headline(self, choice: Choice) -> str:
        threshold = self.options.threshold
        values = {
            "unique_id": choice.unique_id,
            "label": choice.label,
            "deadline": self.options.deadline or "",
            "threshold": "" if threshold is None else f"{threshold:g}",
            "date": f"{self.day:%a} {self.day.day} {self.day:%b}",
            "walk_min": f"{self.options.walk_min:g}",
            "place": self.options.place,
        }
        text = self.options.text
        for name, value in values.items():
            text = text.replace("{" + name + "}", value)
        return text

    def _unit(self) -> str:
        if "series" in self.found:
            rows = _of(self.found["series"], self.options.unique_id)
            if rows.num_rows:
                return str(rows["unit"][rows.num_rows - 1].as_py() or "")
        return "min" if self.options.deadline else ""

    def _reliability(self, choice: Choice) -> Reliability:
        rows = _newest(_of(self.found["backtest"], choice.unique_id, COMBINED))
        y = rows["y"].to_numpy()
        if self.options.deadline is None:
            limits = np.full(rows.num_rows, choice.threshold)
        else:
            limits = np.array([self._threshold(at) for at in rows["scheduled"].to_pylist()])
        said = np.full(rows.num_rows, np.nan)
        for levels, which, quantiles in _distributions(rows):
            said[which] = _chance(quantiles, levels, limits[which])
        known = ~np.isnan(limits) & ~np.isnan(said)
        days = pc.count_distinct(rows["ds"].filter(pa.array(known))).as_py() if rows.num_rows else 0
        return _reliable(said[known], y[known] <= limits[known], days, choice.probability)

    def _history(self, unique_id: str) -> History:
        rows = _of(self.found["observation"], unique_id)
        rows = rows.filter(pc.is_valid(rows["y"]))
        judged = rows.filter(pc.fill_null(rows["scored"], fill_value=False))
        y = judged["y"].to_numpy()
        if self.options.deadline is None:
            limits = np.full(y.size, self._threshold(None))
        else:
            limits = np.array([self._threshold(at) for at in judged["scheduled"].to_pylist()])
        span = pc.min_max(judged["ds"]).as_py()
        on_time = int(np.count_nonzero(y <= limits)) if y.size else 0
        return History(
            days=judged.num_rows,
            first=span["min"].date() if span["min"] else None,
            last=span["max"].date() if span["max"] else None,
            on_time=on_time,
            all_days=rows.num_rows,
            scored_only=rows.num_rows > judged.num_rows,
            sentence=_used(judged.num_rows, rows.num_rows, span, on_time),
        )


def _only(table: pa.Table, series: str) -> pa.Table:
    return table.filter(pc.equal(table["series"], series))


def _of(table: pa.Table, unique_id: str, model: str | None = None) -> pa.Table:
    table = table.filter(pc.equal(table["unique_id"], unique_id))
    return table if model is None else table.filter(pc.equal(table["model"], model))


def _newest(rows: pa.Table) -> pa.Table:
    """One run's backtest: of runs kept side by side the one that looked furthest ahead in time."""
    if rows.num_rows == 0:
        return rows
    runs = (
        rows.group_by("run")
        .aggregate([("ds", "max")])
        .sort_by([("ds_max", "ascending"), ("run", "ascending")])
    )
    newest = runs["run"][runs.num_rows - 1]
    if not newest.is_valid:
        return rows
    return rows.filter(pc.equal(rows["run"], newest))


def _distribution(row: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """The levels and quantiles of one row, the fine grid if it is there."""
    fine = row.get("quantiles")
    if fine is not None:
        return GRID, np.array(fine, np.float64)
    return NINE, np.array([row[name] for name in QUANTILES], np.float64)


def _distributions(rows: pa.Table) -> list[tuple[Floats, Bools, Floats]]:
    """The same for many rows: levels, which rows, their quantiles."""
    fine = np.array(rows["quantiles"].is_valid().to_numpy(zero_copy_only=False), np.bool_)
    found: list[tuple[Floats, Bools, Floats]] = []
    if fine.any():
        lists = rows["quantiles"].filter(pa.array(fine)).to_pylist()
        found.append((GRID, fine, np.array(lists, np.float64)))
    if not fine.all():
        nine = np.column_stack([rows[name].to_numpy() for name in QUANTILES])
        found.append((NINE, ~fine, nine[~fine]))
    return found


def _chance(quantiles: Floats, levels: Floats, limits: Floats) -> Floats:
    """``P(y <= limit)`` by row; beyond the outer quantiles half of what is left there."""
    outer = levels[0] / 2
    return np.array(
        [
            np.interp(limit, row, levels, left=outer, right=1 - outer)
            for row, limit in zip(quantiles, limits, strict=True)
        ],
        np.float64,
    )


def _reliable(said: Floats, came: Bools, days: int, now: float) -> Reliability:
    bins = []
    for lower, upper in zip(_BINS, _BINS[1:], strict=False):
        here = (said >= lower) & ((said < upper) | (upper == 1))
        n = int(here.sum())
        bins.append(
            Bin(
                lower=lower,
                upper=upper,
                n=n,
                said=float(said[here].mean()) if n else None,
                came_true=float(came[here].mean()) if n else None,
            )
        )
    this = next((each for each in bins if each.n and each.lower <= now <= each.upper), None)
    return Reliability(
        n=said.size,
        days=days,
        bins=bins,
        brier=brier(said, came) if said.size else None,
        brier_base=brier(np.full(said.size, came.mean()), came) if said.size else None,
        this=this,
        sentence=_how_often(this),
    )


def _how_often(this: Bin | None) -> str:
    if this is None or this.came_true is None:
        return "There is no past answer of this kind to judge by."
    return (
        f"When we said {this.lower:.0%} to {this.upper:.0%}, it came true "
        f"{this.came_true:.0%} of {this.n} times."
    ).replace("%", " %")


def _used(
    judged: int, everything: int, span: Mapping[str, dt.datetime | None], on_time: int
) -> str:
    first, last = span["min"], span["max"]
    if first is None or last is None:
        return "No recorded days to judge by."
    which = "recorded days only" if everything > judged else "all days there are"
    return (
        f"In time on {on_time} of {judged} days, {first.day} {first:%b %Y} to "
        f"{last.day} {last:%b %Y} ({which})."
    )


def _enough(history: History, reliability: Reliability, day: dt.date) -> tuple[bool, str]:
    del day
    if history.days < _ENOUGH_DAYS:
        return False, (
            f"only {history.days} days to learn from; {_ENOUGH_DAYS} are wanted before the "
            "probability means much"
        )
    if reliability.n < _ENOUGH_FORECASTS:
        return False, (
            f"only {reliability.n} past answers could be checked; {_ENOUGH_FORECASTS} are wanted"
        )
    return True, f"{history.days} days to learn from, {reliability.n} past answers checked"


def _of_ten(probability: float) -> str:
    if _SURE <= probability <= 1 - _SURE:
        return f"{min(9, max(1, round(10 * probability)))} of 10"
    return f"{min(99, max(1, round(100 * probability)))} of 100"


def _detail(choice: Choice, unit: str) -> str:
    eighty = next(each for each in choice.intervals if each.level == 0.8)  # noqa: PLR2004
    if choice.expected.clock is not None and choice.scheduled is not None:
        return (
            f"Expected at {choice.expected.clock}; 8 of 10 days between {eighty.lower.clock} and "
            f"{eighty.upper.clock}. Timetable: {choice.scheduled.clock}."
        )
    unit = f" {unit}" if unit else ""
    return (
        f"Expected {choice.expected.value:.3g}{unit}; 8 of 10 days between "
        f"{eighty.lower.value:.3g} and {eighty.upper.value:.3g}{unit}."
    )
