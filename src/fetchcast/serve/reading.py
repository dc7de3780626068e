"""What the pages and the API are made of: typed records out of the destination's tables.

One place knows the tables of a forecast (`observation`, `forecast`, `backtest`, `leaderboard`,
`series`); pages and API are two ways to write down the same records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import groupby
from typing import Any, Literal
from zoneinfo import ZoneInfo

from fetchcast.clock import Clock
from fetchcast.errors import DestinationError, FetchcastError
from fetchcast.forecast import outlook
from fetchcast.serve.queries import Store, quoted, rows
from fetchcast.serve.records import SeriesLine
from fetchcast.serve.source import Source

ALL = "ALL"
COMBINED = "combined"
_SPARK = 40
MOST_POINTS = 6000
"""Observations in a chart; it is some 1,200 pixels wide."""
HOWS: tuple[Literal["sum"], Literal["mean"], Literal["max"]] = ("sum", "mean", "max")
ORDERS = {"name": "", "skill": "skill desc nulls last, ", "surprise": "surprise desc nulls last, "}
"""How a list of series may be sorted; the name decides between equals."""
_QUANTILES = "q025, q05, q10, q25, q50, q75, q90, q95, q975"


class NotThere(LookupError):
    """Something that was asked for by name does not exist; args: kind, name, nearest names."""

    @property
    def nearest(self) -> Sequence[str]:
        """Names that were probably meant."""
        found: Sequence[str] = self.args[2]
        return found


class BadAddress(FetchcastError):
    """A parameter in the address cannot be read; args: name, value, what was expected."""

    exit_status = 2

    def __str__(self) -> str:
        name, value, expected = self.args
        return f"{name} = {value!r} in the address: expected {expected}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One observation."""

    ds: datetime
    y: float | None
    scheduled: datetime | None
    scored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one model says about one period, and in a backtest what came."""

    ds: datetime
    step: int
    model: str
    mean: float | None
    q: Mapping[str, float]
    """The nine quantiles by name, ``q025`` to ``q975``."""
    cutoff: datetime
    scheduled: datetime | None
    y: float | None = None
    p_running: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesView:
    """One series with everything that is known about it."""

    line: SeriesLine
    model: str
    models: Sequence[str]
    history: Sequence[Point]
    fan: Sequence[Step]
    backtest: Sequence[Step]
    leaderboard: Sequence[Mapping[str, Any]]

    @property
    def zone(self) -> ZoneInfo:
        """The zone of this series' time stamps: days and longer are dated at midnight UTC."""
        return ZoneInfo(self.line.time_zone if self.line.frequency == "hourly" else "UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page of the series that were looked for."""

    total: int
    """Of all pages."""
    lines: Sequence[SeriesLine]


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads the destination for whoever writes it down."""

    source: Source
    store: Store
    clock: Clock

    def now(self) -> datetime:
        """The present, UTC."""
        return datetime.fromtimestamp(self.clock.now(), UTC)

    def lines(self) -> list[SeriesLine]:
        """Every series, by name. Empty if nothing was forecast yet."""
        return self.store.derived("lines", lambda: self._lines("select * from series"))

    def found(self, *, find: str, sort: str, limit: int, offset: int) -> Found:
        """The series whose names hold all words of ``find``: how many, and one page of them.

        The database finds, sorts and counts: of ten thousand series only a page is read.

        Args:
            find: Words, whatever their case.
            sort: One of `ORDERS`.
            limit: How many on the page.
            offset: How many before it.
        """
        key = ("found", find, sort, limit, offset)
        return self.store.derived(key, lambda: self._found(find, sort, limit, offset))

    def _found(self, find: str, sort: str, limit: int, offset: int) -> Found:
        name = "lower(series || '/' || unique_id)"
        words = [f"position({quoted(word)} in {name}) > 0" for word in find.lower().split()]
        where = f" where {' and '.join(words)}" if words else ""
        (count,) = rows(self.store.table(f"select count(*) as n from series{where}"))
        chosen, part = f"select * from series{where}", f" limit {int(limit)} offset {int(offset)}"
        order = f" order by {ORDERS[sort]}{self._by_name()}"
        if ORDERS[sort]:
            lines = self._lines(chosen, order + part)
        else:
            # What the order does not need is looked up for the page alone.
            lines = self._lines(chosen + order + part, order)
        return Found(total=count["n"], lines=lines)

    def _by_name(self) -> str:
        # By characters, as DuckDB does, whatever the language of the server is.
        like = ' collate "C"' if self.store.kind == "postgresql" else ""
        return f"series{like}, unique_id{like}"

    def _lines(self, chosen: str, tail: str = "") -> list[SeriesLine]:
        """The series that the query ``chosen`` gives, with how well each is forecast."""
        found = rows(
            self.store.table(
                f"with chosen as ({chosen}) select * from (select "
                "s.series, s.unique_id, s.unit, s.frequency, s.time_zone, s.observations, "
                "s.scored, s.missing, s.first_ds, s.last_ds, s.note, "
                "b.skill_climatology as skill, b.coverage_80, p.surprise from chosen s "
                "left join leaderboard b on b.series = s.series and b.unique_id = s.unique_id "
                f"and b.model = {quoted(COMBINED)} "
                "left join (select distinct on (series, unique_id) series, unique_id, "
                "abs(y - q50) / nullif((q90 - q10) / 2, 0) as surprise from backtest "
                f"where model = {quoted(COMBINED)} and y is not null and (series, unique_id) in "
                "(select series, unique_id from chosen) "
                "order by series, unique_id, ds desc, step) p "
                "on p.series = s.series and p.unique_id = s.unique_id) lines"
                f"{tail or ' order by ' + self._by_name()}"
            )
        )
        return [SeriesLine(**row) for row in found]

    def sparks(self, wanted: Sequence[SeriesLine]) -> dict[tuple[str, str], list[float]]:
        """The last observations of each of ``wanted``."""
        if not wanted:
            return {}
        names = ", ".join(f"({quoted(line.series)}, {quoted(line.unique_id)})" for line in wanted)
        found = rows(
            self.store.table(
                "select series, unique_id, y from (select series, unique_id, ds, y, row_number() "
                "over (partition by series, unique_id order by ds desc) as place from observation "
                f"where y is not null and (series, unique_id) in ({names})) o "
                f"where place <= {_SPARK} order by series, unique_id, ds"
            )
        )
        grouped = groupby(found, key=lambda row: (row["series"], row["unique_id"]))
        return {key: [row["y"] for row in group] for key, group in grouped}

    def line(self, series: str, unique_id: str) -> SeriesLine:
        """One series; raises `NotThere` with the nearest names."""
        who = f"series = {quoted(series)} and unique_id = {quoted(unique_id)}"
        for line in self._lines(f"select * from series where {who}"):
            return line
        lines = self.lines()
        names = [f"{line.series}/{line.unique_id}" for line in lines]
        raise NotThere("series", f"{series}/{unique_id}", nearest(f"{series}/{unique_id}", names))

    def view(self, series: str, unique_id: str, *, model: str | None = None) -> SeriesView:
        """One series with its forecast by ``model`` (the combined one if not given).

        A history of more than `MOST_POINTS` comes thinned: the smallest and the largest value of
        each stretch, which looks the same at the width of a screen.
        """
        key = ("view", series, unique_id, model)
        return self.store.derived(key, lambda: self._view(series, unique_id, model))

    def _view(self, series: str, unique_id: str, model: str | None) -> SeriesView:
        line = self.line(series, unique_id)
        who = f"series = {quoted(series)} and unique_id = {quoted(unique_id)}"
        models = self._models(who)
        chosen = model or (COMBINED if COMBINED in models or not models else models[0])
        if models and chosen not in models:
            raise NotThere("model", chosen, nearest(chosen, models))
        return SeriesView(
            line=line,
            model=chosen,
            models=models,
            history=self._history(who, thin=line.observations > MOST_POINTS),
            fan=self._steps("forecast", "p_running", who, chosen),
            backtest=self._steps("backtest", "y", who, chosen),
            leaderboard=self._leaderboard(who),
        )

    def totals(self, series: str, unique_id: str) -> list[dict[str, Any]]:
        """Sum, mean and maximum over all periods ahead; empty if nothing is forecast.

        From sample paths of the combined model: the others have none.
        """
        self.line(series, unique_id)
        key = ("totals", series, unique_id)
        return self.store.derived(key, lambda: self._totals(series, unique_id))

    def _totals(self, series: str, unique_id: str) -> list[dict[str, Any]]:
        who = f"series = {quoted(series)} and unique_id = {quoted(unique_id)}"
        only = f"where {who} and model = {quoted(COMBINED)}"
        found = {
            "forecast": self.store.table(f"select * from forecast {only} and q50 is not null"),
            "backtest": self.store.table(f"select * from backtest {only} and q50 is not null"),
        }
        if found["forecast"].num_rows == 0:
            return []
        return [
            {"how": how, "steps": said.steps, "mean": said.mean}
            | {name: getattr(said, name) for name in _QUANTILES.split(", ")}
            for how in HOWS
            for said in [outlook(found, series, unique_id, how=how)]
        ]

    def _models(self, who: str) -> list[str]:
        found = self.store.table(f"select distinct model from forecast where {who} order by model")
        names: list[str] = found.column("model").to_pylist()
        return sorted(names, key=lambda name: (name != COMBINED, name))

    def history(self, series: str, unique_id: str) -> list[Point]:
        """Every observation of a series."""
        self.line(series, unique_id)
        who = f"series = {quoted(series)} and unique_id = {quoted(unique_id)}"
        return self._history(who, thin=False)

    def _history(self, who: str, *, thin: bool) -> list[Point]:
        sql = f"select ds, y, scheduled, scored from observation where {who} order by ds"
        if thin:
            sql = (
                "select ds, y, scheduled, scored from (select *, "
                "row_number() over (partition by part order by y) as low, "
                "row_number() over (partition by part order by y desc) as high "
                f"from (select *, ntile({MOST_POINTS // 2}) over (order by ds) as part "
                f"from observation where {who} and y is not null) numbered) ends "
                "where low = 1 or high = 1 order by ds"
            )
        return [Point(**row) for row in rows(self.store.table(sql))]

    def _steps(self, table: str, extra: str, who: str, model: str) -> list[Step]:
        sql = (
            f"select ds, step, model, mean, {_QUANTILES}, cutoff, scheduled, {extra} from {table} "
            f"where {who} and model = {quoted(model)} and q50 is not null order by cutoff, ds"
        )
        names = _QUANTILES.split(", ")
        return [
            Step(q={name: row.pop(name) for name in names}, **row)
            for row in rows(self.store.table(sql))
        ]

    def _leaderboard(self, who: str) -> list[dict[str, Any]]:
        sql = f"select * from leaderboard where {who} order by rank, model"
        return rows(self.store.table(sql))


def nearest(name: str, known: Sequence[str]) -> list[str]:
    """Up to three of ``known`` that look like ``name``; else the first ones there are."""
    folded = {text.lower(): text for text in known}
    close = get_close_matches(name.lower(), folded, n=3, cutoff=0.4)
    return [folded[text] for text in close] or list(known[:3])


def missing_table(problem: DestinationError) -> bool:
    """Whether a query failed since nothing was forecast yet, not since something is broken."""
    words = str(problem).lower()
    return "does not exist" in words or "no database yet" in words
