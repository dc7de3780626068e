"""Questions: "will train 27 be in Tampere by 16:00 next Wednesday?", answered with the evidence."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fetchcast.errors import ConfigError, QuestionError
from fetchcast.forecast.answers import (
    Answered,
    Choice,
    History,
    Interval,
    Moment,
    Reliability,
    chance,
    distribution,
    distributions,
    enough,
    newest_run,
    reliability,
    used,
)
from fetchcast.forecast.combine import COMBINED
from fetchcast.forecast.dates import clock_of, day_of
from fetchcast.forecast.options import checked_zone

_MOMENT = pa.timestamp("us", "UTC")
_DOTS = (np.arange(20) + 0.5) / 20
_LEVELS = (0.5, 0.8, 0.95)
_SURE = 0.05
_SELDOM_NOT, _RATHER, _HARDLY = 0.95, 0.5, 0.1
"""How likely it must be that it happens at all: for silence about it, to speak of it second, and
below which it is said that it hardly does."""

_PARTS = re.compile(r"\{\w*\}")

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
    """What people call a ``unique_id``, or with ``parts`` one of its parts."""
    place: str = ""
    """What people call the place; with ``parts`` the ``labels`` say it."""
    parts: str = ""
    """How a ``unique_id`` is made of what is asked about and a place: "{label} {place}" for
    "27 TPE". The app then lets both be chosen among all that the series has."""

    def __post_init__(self) -> None:
        if (self.deadline is None) == (self.threshold is None):
            raise ConfigError("deadline", self.deadline, "either a deadline or a threshold")
        if self.deadline is not None:
            clock_of("deadline", self.deadline)
        day_of(self.date, dt.date(2026, 1, 1))
        checked_zone("time_zone", self.time_zone)
        if not 0 <= self.walk_min <= 24 * 60:
            raise ConfigError("walk_min", self.walk_min, "minutes, 0 to 1440")
        if self.parts and sorted(_PARTS.findall(self.parts)) != ["{label}", "{place}"]:
            raise ConfigError("parts", self.parts, "{label} and {place}, each once")
        if self.parts and self.split(self.unique_id) is None:
            raise ConfigError("unique_id", self.unique_id, f"something of the form {self.parts!r}")

    @property
    def zone(self) -> ZoneInfo:
        """``time_zone`` as Python knows it."""
        return ZoneInfo(self.time_zone)

    def label(self, unique_id: str) -> str:
        """What people call ``unique_id``; with ``parts`` without its place."""
        pair = self.split(unique_id)
        name = unique_id if pair is None else pair[0]
        return self.labels.get(unique_id, self.labels.get(name, name))

    def place_of(self, unique_id: str) -> str:
        """What people call the place of ``unique_id``; without ``parts`` there is but one."""
        pair = self.split(unique_id)
        return self.place if pair is None else self.labels.get(pair[1], pair[1])

    def split(self, unique_id: str) -> tuple[str, str] | None:
        """What is asked about, and where; None if ``parts`` does not describe ``unique_id``."""
        pattern = re.escape(self.parts)
        for name in ("label", "place"):
            pattern = pattern.replace(re.escape(f"{{{name}}}"), f"(?P<{name}>.+)")
        found = re.fullmatch(pattern, unique_id) if self.parts else None
        return None if found is None else (found["label"], found["place"])

    def join(self, label: str, place: str) -> str:
        """The ``unique_id`` that `split` takes apart."""
        return self.parts.replace("{label}", label).replace("{place}", place)


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
        checked = self._checked(choice)
        history = self._history(options.unique_id)
        sufficient, why = enough(history, checked)
        words = next(text for least, text in _WORDS if choice.probability >= least)
        return Answered(
            headline=self._headline(choice),
            date=self.day,
            deadline=options.deadline,
            walk_min=options.walk_min,
            latest=self._latest(choice, row),
            choice=choice,
            words=words,
            sentence=_sentence(words, choice),
            detail=_detail(choice, self._unit()),
            alternatives=self._alternatives(),
            reliability=checked,
            history=history,
            enough_history=sufficient,
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
                f"there is no forecast of {unique_id!r}; "
                f"there are: {', '.join(known[:10]) or 'none'}",
            )
        midnight = dt.datetime.combine(self.day, dt.datetime.min.time(), dt.UTC)
        rows = rows.sort_by([("cutoff", "ascending")])
        there = rows.filter(pc.equal(rows["ds"], pa.scalar(midnight, _MOMENT)))
        if there.num_rows == 0:
            span = pc.min_max(rows["ds"]).as_py()
            raise QuestionError(
                self.options.series,
                f"{self.day} is not forecast for {unique_id!r}; the forecast reaches from "
                f"{span['min'].date()} to {span['max'].date()} (a longer `horizon` goes further)",
            )
        return dict(there.slice(there.num_rows - 1).to_pylist()[0])

    def _choice(self, unique_id: str, row: Mapping[str, Any]) -> Choice:
        levels, quantiles = distribution(row)
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
            probability=float(chance(quantiles[None], levels, np.array([threshold]))[0]),
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
        values: dict[str, str | None] = {
            "unique_id": choice.unique_id,
            "label": choice.label,
            "deadline": self.options.deadline or self._amount(choice),
            "threshold": self._amount(choice) if threshold is not None else self.options.deadline,
            "date": f"{self.day:%a} {self.day.day} {self.day:%b}",
            "walk_min": f"{self.options.walk_min:g}",
            "place": self.options.place_of(choice.unique_id),
        }
        text = self.options.text
        for name, value in values.items():
            text = text.replace("{" + name + "}", value or "")
        return text

    def _amount(self, choice: Choice) -> str:
        """The threshold in words that can stand where the question has its own or a deadline."""
        threshold = self.options.threshold
        if threshold is None:
            return ""
        if choice.scheduled is None or "{threshold}" in self.options.text:
            return f"{threshold:g}"
        return f"{threshold:g} {self._unit()} after the timetable".replace("  ", " ")

    def _unit(self) -> str:
        if "series" in self.found:
            rows = _of(self.found["series"], self.options.unique_id)
            if rows.num_rows:
                return str(rows["unit"][rows.num_rows - 1].as_py() or "")
        return "min" if self.options.deadline else ""

    def _checked(self, choice: Choice) -> Reliability:
        rows = newest_run(_of(self.found["backtest"], choice.unique_id, COMBINED))
        y = rows["y"].to_numpy()
        if self.options.deadline is None:
            limits = np.full(rows.num_rows, choice.threshold)
        else:
            limits = np.array([self._threshold(at) for at in rows["scheduled"].to_pylist()])
        said = np.full(rows.num_rows, np.nan)
        for levels, which, quantiles in distributions(rows):
            said[which] = chance(quantiles, levels, limits[which])
        known = ~np.isnan(limits) & ~np.isnan(said)
        days = pc.count_distinct(rows["ds"].filter(pa.array(known))).as_py() if rows.num_rows else 0
        return reliability(said[known], y[known] <= limits[known], days, choice.probability)

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
            sentence=used(
                judged.num_rows,
                rows.num_rows,
                span,
                on_time,
                clock=self.options.deadline is not None,
            ),
        )


def _only(table: pa.Table, series: str) -> pa.Table:
    """The rows of one series, with moments in UTC whatever the database hands back."""
    table = table.filter(pc.equal(table["series"], series))
    for name in ("ds", "cutoff", "scheduled"):
        if name in table.column_names:
            place = table.column_names.index(name)
            table = table.set_column(place, name, table[name].cast(_MOMENT))
    return table


def _of(table: pa.Table, unique_id: str, model: str | None = None) -> pa.Table:
    table = table.filter(pc.equal(table["unique_id"], unique_id))
    return table if model is None else table.filter(pc.equal(table["model"], model))


def _of_ten(probability: float) -> str:
    if _SURE <= probability <= 1 - _SURE:
        return f"{min(9, max(1, round(10 * probability)))} of 10"
    return f"{min(99, max(1, round(100 * probability)))} of 100"


def _sentence(words: str, choice: Choice) -> str:
    """The answer in words; whether it happens at all comes first where that is in doubt."""
    often = f"{_of_ten(choice.probability)} such days"
    if choice.p_running >= _SELDOM_NOT:
        return f"{words} {often}."
    runs = "runs" if choice.scheduled is not None else "happens"
    on = _of_ten(choice.p_running)
    if choice.p_running >= _RATHER:
        return f"{words} {often} on which it {runs}; it does on {on}."
    first = f"It may well be that it does not: it {runs} on {on} such days."
    if choice.p_running < _HARDLY:
        first = f"It hardly ever {runs} on such a day: on {on}."
    return f"{first} If it does: {words[:1].lower()}{words[1:-1]}, {often}."


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
