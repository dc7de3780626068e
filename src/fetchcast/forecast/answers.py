"""What an answer is made of: moments, choices, and how often such answers came true."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fetchcast.forecast.metrics import brier
from fetchcast.forecast.models import GRID, NINE
from fetchcast.forecast.periods import Bools, Floats
from fetchcast.forecast.tables import QUANTILES

_BINS = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
_ENOUGH_DAYS = 28
_ENOUGH_FORECASTS = 28


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


def newest_run(rows: pa.Table) -> pa.Table:
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


def distribution(row: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """The levels and quantiles of one row, the fine grid if it is there."""
    fine = row.get("quantiles")
    if fine is not None:
        return GRID, np.array(fine, np.float64)
    return NINE, np.array([row[name] for name in QUANTILES], np.float64)


def distributions(rows: pa.Table) -> list[tuple[Floats, Bools, Floats]]:
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


def chance(quantiles: Floats, levels: Floats, limits: Floats) -> Floats:
    """``P(y <= limit)`` by row; beyond the outer quantiles half of what is left there."""
    outer = levels[0] / 2
    return np.array(
        [
            np.interp(limit, row, levels, left=outer, right=1 - outer)
            for row, limit in zip(quantiles, limits, strict=True)
        ],
        np.float64,
    )


def reliability(said: Floats, came: Bools, days: int, now: float) -> Reliability:
    """How often past statements came true.

    Args:
        said: Their probabilities.
        came: Whether each came true.
        days: On how many different days.
        now: Today's probability, whose bin is wanted.
    """
    bins = []
    for lower, upper in pairwise(_BINS):
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


def used(
    judged: int,
    everything: int,
    span: Mapping[str, dt.datetime | None],
    on_time: int,
    *,
    clock: bool,
) -> str:
    """Which days the evidence rests on, in a sentence; of a deadline if ``clock``."""
    first, last = span["min"], span["max"]
    if first is None or last is None:
        return "No recorded days to judge by."
    which = "recorded days only" if everything > judged else "all days there are"
    yes = "In time" if clock else "Yes"
    return (
        f"{yes} on {on_time} of {judged} days, {first.day} {first:%b %Y} to "
        f"{last.day} {last:%b %Y} ({which})."
    )


def enough(history: History, checked: Reliability) -> tuple[bool, str]:
    """Whether there is history enough for the probability to mean much, and why."""
    if history.days < _ENOUGH_DAYS:
        return False, (
            f"only {history.days} days to learn from; {_ENOUGH_DAYS} are wanted before the "
            "probability means much"
        )
    if checked.n < _ENOUGH_FORECASTS:
        return False, (
            f"only {checked.n} past answers could be checked; {_ENOUGH_FORECASTS} are wanted"
        )
    return True, (
        f"{history.days} days to learn from; {checked.n} past answers about {checked.days} days "
        "checked"
    )
