"""One ``[series.NAME]``: from its rows to the tables of observations, forecasts and evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from fetchcast.errors import ConfigError, SeriesError
from fetchcast.forecast import scores, statistical, tables
from fetchcast.forecast.backtest import Rehearsal, Trial, origins, past_of, warmups
from fetchcast.forecast.combine import COMBINED, STATISTICAL, looks, model_weights, restlessness
from fetchcast.forecast.empirical import HALF_LIFE_DAYS, running
from fetchcast.forecast.members import Members, members
from fetchcast.forecast.metrics import pinball
from fetchcast.forecast.models import GRID, NINE, Forecaster, Past, Prediction, half_life
from fetchcast.forecast.options import SeriesOptions
from fetchcast.forecast.own import checked
from fetchcast.forecast.panel import Panel, panels
from fetchcast.forecast.periods import HORIZON, MICROS_A_DAY, NOUN, Floats, Frequency, Ints
from fetchcast.forecast.statistical import Spread
from fetchcast.records import Destination

Progress = Callable[[int, int], None]
"""Told how many series are done, and of how many."""

_FINE_ROWS = 20_000
_FEW_SERIES = 200
_SAMPLE = 40
_SHORT = 200
_FITTED_ORIGINS = 5
_WARMUPS = 2
_A_MONTH_OF_HOURS = 28 * 24
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesForecast:
    """What `forecast_series` found."""

    tables: dict[str, pa.Table]
    """``observation``, ``forecast``, ``backtest``, ``leaderboard`` and ``series`` (one row per
    series: what it is, how much of it there is, what is wrong with it); columns in
    `fetchcast.forecast.tables`."""
    notes: list[str]
    """What is wrong with which series, a sentence each; the others were forecast all the same."""


@dataclass(slots=True)
class _Job:
    """What is the same for all panels of one call."""

    name: str
    run: str
    options: SeriesOptions
    few: bool
    today: date | None
    notes: list[str]
    own: Sequence[Forecaster]
    spread: Spread
    digest: str = ""
    progress: Progress | None = None
    newest: int = 0
    """The last observation of all series, microseconds since 1970."""
    done: int = 0
    total: int = 0
    parts: dict[str, list[pa.Table]] = field(
        default_factory=lambda: {name: [] for name in tables.SCHEMAS}
    )
    tallies: list[dict[str, scores.Tally]] = field(default_factory=list)
    weights: list[dict[str, Floats]] = field(default_factory=list)


def forecast_series(
    name: str,
    rows: pa.Table,
    options: SeriesOptions,
    *,
    run: str,
    progress: Progress | None = None,
    today: date | None = None,
    own: Sequence[Forecaster] = (),
    spread: Spread = map,
    digest: str = "",
) -> SeriesForecast:
    """Forecast every series in ``rows``, and show by a backtest how far to trust it.

    Args:
        name: The series' name in the pipeline file; first column of every table.
        rows: Columns ``unique_id`` (may be missing: one series), ``ds``, ``y``, and optionally
            ``scheduled`` and ``scored``; see `SeriesOptions`.
        options: How to forecast.
        run: Goes into the column ``run`` of every table.
        progress: Told how far it is, after each cutoff of each panel of series.
        today: A series that ended long before is said to have stopped; if not given, one that
            ended long before the newest.
        own: Models of your own; they join the average as a family beside the two.
        spread: Walks over series whose models must be fitted: the built-in ``map``, or one that
            does the same in other processes.
        digest: Goes into the table `series`, for `fetchcast.forecast.digest` to compare.

    Returns:
        Five tables, and notes on single series; one bad series never stops the others.

    Raises:
        SeriesError: If there is nothing to forecast from: no rows, a column missing or of no
            usable type.
    """
    found, notes = panels(name, rows, options)
    total = sum(len(panel.ids) for panel in found)
    watched = checked(name, own)
    job = _Job(
        name, run, options, total <= _FEW_SERIES, today, notes, watched, spread, digest, progress
    )
    job.total = total
    if not found:
        raise SeriesError(name, "; ".join(["no series can be forecast", *notes]))
    job.newest = max(int(panel.grid.stamps(panel.last).max()) for panel in found)
    for panel in found:
        _forecast_panel(job, panel)
        job.done += len(panel.ids)
        _tell(job)
    job.parts["leaderboard"].insert(
        0, scores.as_table(name, run, scores.overall(job.tallies, job.weights))
    )
    return SeriesForecast(
        tables={
            table: tables.stacked(schema, job.parts[table])
            for table, schema in tables.SCHEMAS.items()
        },
        notes=job.notes,
    )


def _tell(job: _Job, more: int = 0) -> None:
    if job.progress:
        job.progress(job.done + more, job.total)


def forecast(
    frame_or_sql: Any,
    *,
    source: Destination | None = None,
    name: str = "series",
    own: Sequence[Forecaster] = (),
    **options: Any,
) -> SeriesForecast:
    """`forecast_series` for notebooks: ``fetchcast.forecast(df, horizon=28, unit="min")``.

    Args:
        frame_or_sql: An Arrow table, or anything that hands itself on as Arrow (pandas, polars,
            DuckDB); or SQL, with ``source``. Columns ``ds`` and ``y``, and ``unique_id`` if there
            are several series.
        source: Where the SQL is asked: ``fetchcast.open_destination("duckdb:///trains.duckdb")``.
        name: Goes into the column ``series``.
        own: Models of your own; see `Forecaster`.
        options: Those of `SeriesOptions`.

    Raises:
        ConfigError: If an option cannot be used.
        SeriesError: If there is nothing to forecast from.
        QueryError: If the SQL cannot be answered.
    """
    rows = _rows_of(frame_or_sql, name, source)
    unknown = options.keys() - set(SeriesOptions.__struct_fields__)
    if unknown:
        known = ", ".join(each for each in SeriesOptions.__struct_fields__ if each != "sql")
        raise ConfigError(min(unknown), options[min(unknown)], f"one of the options {known}")
    return forecast_series(name, rows, SeriesOptions(**options), run="", own=own)


def _rows_of(frame_or_sql: Any, name: str, source: Destination | None) -> pa.Table:
    if isinstance(frame_or_sql, str):
        if source is None:
            wanted = "a destination to ask the SQL, such as fetchcast.open_destination(url)"
            raise ConfigError("source", source, wanted)
        return source.query(frame_or_sql)
    if isinstance(frame_or_sql, pa.Table):
        return frame_or_sql
    try:
        return pa.table(frame_or_sql)
    except (TypeError, ValueError, AttributeError) as problem:
        kind = type(frame_or_sql).__name__
        text = f"a {kind} is no table; Arrow, pandas, polars or a dict of columns is needed"
        raise SeriesError(name, text) from problem


def _forecast_panel(job: _Job, panel: Panel) -> None:
    horizon = job.options.horizon or HORIZON[panel.grid.frequency]
    levels = GRID if len(panel.ids) * horizon <= _FINE_ROWS else NINE
    if job.options.country is not None and not panel.resting_known:
        job.notes.append(
            f"{_some(panel.ids)}: public holidays (`country`) are known to series of days with a "
            "cycle of seven only; here they count as any other day"
        )
    rehearsal = _rehearsed(job, panel, horizon, levels)
    job.parts["observation"].append(_observations(job, panel))
    job.parts["forecast"].extend(_forecasts(job, rehearsal, horizon))
    _judge(job, rehearsal)
    job.parts["series"].append(_described(job, panel))


def _rehearsed(job: _Job, panel: Panel, horizon: int, levels: Floats) -> Rehearsal:
    """The backtest of one panel, with every family that is worth its time."""
    least = job.options.min_history or min(56, max(8, 3 * panel.season))
    cuts, reach = origins(panel, horizon, job.options.origins or (12 if job.few else 5), least)
    if not cuts:
        job.notes.append(
            f"{_some(panel.ids)}: too short for a backtest (it wants {least} observations before "
            "the first cutoff and scored ones after it); how good the forecast is, nobody knows"
        )
    rehearsal = Rehearsal(
        panel=panel,
        members=_members(job, panel, cuts, reach),
        levels=levels,
        half_life=half_life(panel.grid.frequency, HALF_LIFE_DAYS),
        least=least,
    )
    if rehearsal.members.statistical and not job.options.origins:
        cuts = _fewer(cuts, int(np.median(np.count_nonzero(panel.spoken, axis=1))))
    if cuts:
        _warm_up(rehearsal, cuts[0], reach)
    for rank, cut in enumerate(cuts, 1):
        rehearsal.run(cut, reach)
        _tell(job, len(panel.ids) * rank // (len(cuts) + 1))
    return rehearsal


def _warm_up(rehearsal: Rehearsal, first: int, reach: int) -> None:
    """Learn weights and widths before the first judged cutoff, from some of many series."""
    panel, least = rehearsal.panel, min(rehearsal.least, max(8, 2 * rehearsal.panel.season))
    count = len(panel.ids)
    sample = np.unique(np.linspace(0, count - 1, min(count, _SAMPLE)).round().astype(np.int64))
    cuts = warmups(panel, first, reach, _WARMUPS, least)
    rehearsal.warm_up(cuts if count <= _FEW_SERIES else cuts[-1:], reach, sample, least)
    everyone = rehearsal.members
    if not everyone.statistical or count <= _FEW_SERIES or not rehearsal.warmups:
        return
    # Fitting thousands costs; if not even the sample gains by it, nobody is fitted.
    past = past_of(panel, np.full((count, 1), first + 1), rehearsal.half_life, until=first)
    families = list(rehearsal.warmups[0].family_loss)
    if float(rehearsal.weights(past, families, first)[STATISTICAL].mean()) <= 0:
        rehearsal.members = replace(everyone, statistical=())


def _fewer(cuts: list[int], length: int) -> list[int]:
    """Fitting costs: long histories get half as many cutoffs, spread as before."""
    wanted = len(cuts) if length <= _SHORT else _FITTED_ORIGINS
    at = np.unique(np.linspace(0, len(cuts) - 1, min(wanted, len(cuts))).round().astype(int))
    return [cuts[k] for k in at]


def _members(job: _Job, panel: Panel, cuts: Sequence[int], reach: int) -> Members:
    """Whom to ask; the statistical family only where there is, or ever was, a level to find."""
    everyone = members(job.options, panel.season, statistics=True, own=job.own, spread=job.spread)
    if job.options.models != "auto" or not everyone.statistical:
        return everyone
    days = half_life(panel.grid.frequency, HALF_LIFE_DAYS)
    ahead = max(reach, 1)
    whole = past_of(panel, panel.last[:, None] + np.arange(1, ahead + 1), days)
    restless = [float(np.median(restlessness(whole, ahead)))]
    for cut in cuts:
        targets = np.broadcast_to(np.arange(cut + 1, cut + ahead + 1), (len(panel.ids), ahead))
        then = past_of(panel, targets, days, until=cut)
        restless.append(float(np.median(restlessness(then, ahead))))
    if min(restless) > looks(whole).no_level:
        return replace(everyone, statistical=())
    if not statistical.available():
        job.notes.append(
            f"{_some(panel.ids)}: seems to have a level, a trend or a season; models for that are "
            "not installed (pip install 'fetchcast[statistical]')"
        )
        return replace(everyone, statistical=())
    return everyone


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")  # noqa: PLR2004


def _judge(job: _Job, rehearsal: Rehearsal) -> None:
    panel = rehearsal.panel
    at = np.searchsorted(rehearsal.levels, NINE - 1e-9).tolist()
    tallies: dict[str, scores.Tally] = {}
    for seen in rehearsal.trials:
        for model, said in seen.said.items():
            tally = tallies.setdefault(model, scores.Tally.empty(len(panel.ids)))
            tally.add(seen, said, at)
            if job.few or model == COMBINED:
                job.parts["backtest"].append(_tried(job, rehearsal, seen, model))
    if tallies:
        columns = scores.leaderboard(panel.ids, tallies, job.weights[-1])
        job.parts["leaderboard"].append(scores.as_table(job.name, job.run, columns))
        job.tallies.append(tallies)


def _tried(job: _Job, rehearsal: Rehearsal, seen: Trial, model: str) -> pa.Table:
    panel, levels, said = rehearsal.panel, rehearsal.levels, seen.said[model]
    row, step = np.nonzero(seen.judged & ~np.isnan(said.mean))
    y, quantiles, mean = seen.actual[row, step], said.quantiles[row, step], said.mean[row, step]
    targets = seen.targets[step]
    columns = _who(job, panel, row)
    columns |= tables.nine(quantiles, levels)
    nine = quantiles[:, np.searchsorted(levels, NINE - 1e-9)]
    columns |= {
        "cutoff": tables.moments(panel.grid.stamps(np.full(row.size, seen.cutoff))),
        "ds": tables.moments(panel.grid.stamps(targets)),
        "step": pa.array(step + 1),
        "model": tables.repeated(model, row.size),
        "y": tables.numbers(y),
        "mean": tables.numbers(mean),
        "pinball": tables.numbers(pinball(y, nine, NINE)),
        "absolute_error": tables.numbers(np.abs(y - nine[:, 4])),
    }
    if levels is GRID and model == COMBINED:
        columns["quantiles"] = tables.lists(quantiles)
    if panel.scheduled is not None:
        columns["scheduled"] = tables.moments(
            panel.scheduled[row, np.searchsorted(panel.periods, targets)]
        )
    return tables.table(tables.BACKTEST, columns)


def _who(job: _Job, panel: Panel, row: Ints) -> dict[str, pa.Array]:
    coded = pa.DictionaryArray.from_arrays(pa.array(row), pa.array(panel.ids, pa.string()))
    return {
        "series": tables.repeated(job.name, row.size),
        "unique_id": coded.cast(pa.string()),
        "run": tables.repeated(job.run, row.size),
    }


def _observations(job: _Job, panel: Panel) -> pa.Table:
    row, column = np.nonzero(panel.spoken | ~np.isnan(panel.values))
    columns = _who(job, panel, row)
    del columns["run"]
    columns |= {
        "ds": tables.moments(panel.grid.stamps(panel.periods[column])),
        "y": tables.numbers(panel.values[row, column]),
        "scored": pa.array(panel.scored[row, column]),
    }
    if panel.scheduled is not None:
        columns["scheduled"] = tables.moments(panel.scheduled[row, column])
    return tables.table(tables.OBSERVATION, columns)


def _forecasts(job: _Job, rehearsal: Rehearsal, horizon: int) -> list[pa.Table]:
    panel, levels = rehearsal.panel, rehearsal.levels
    alive = _alive(job, panel)
    targets = panel.last[:, None] + np.arange(1, horizon + 1)
    past = past_of(panel, targets, rehearsal.half_life)
    _unplanned(job, panel, past, alive)
    families = rehearsal.members.said(past, levels)
    _, final = rehearsal.conclude(past, families, None)
    weights = rehearsal.weights(past, list(families), None)
    job.weights.append(model_weights(families, weights, rehearsal.shares(None)))
    said = {COMBINED: final}
    if job.few:
        said |= {name: each for models in families.values() for name, each in models.items()}
        said |= rehearsal.members.beside(past, levels)
    happened = np.where(panel.spoken, (~np.isnan(panel.values)).astype(np.float64), np.nan)
    chance = running(happened, past.positions, past.ahead)
    row, step = np.nonzero(np.broadcast_to(alive[:, None], targets.shape))
    shared = _who(job, panel, row) | {
        "ds": tables.moments(panel.grid.stamps(targets[row, step])),
        "step": pa.array(step + 1),
        "p_running": tables.numbers(chance[row, step]),
        "cutoff": tables.moments(panel.grid.stamps(panel.last[row])),
        "scheduled": tables.moments(_timetable(panel, targets, past.ahead)[row, step]),
    }
    return [
        _forecast(shared, model, each, (row, step))
        for model, each in said.items()
        if not np.isnan(each.mean).all()
    ]


def _forecast(
    shared: Mapping[str, pa.Array], model: str, said: Prediction, at: tuple[Ints, Ints]
) -> pa.Table:
    row, step = at
    levels = GRID if said.quantiles.shape[-1] == GRID.size else NINE
    quantiles = said.quantiles[row, step]
    columns = dict(shared) | tables.nine(quantiles, levels)
    columns |= {
        "model": tables.repeated(model, row.size),
        "mean": tables.numbers(said.mean[row, step]),
    }
    if levels is GRID and model == COMBINED:
        columns["quantiles"] = tables.lists(quantiles)
    return tables.table(tables.FORECAST, columns)


def _alive(job: _Job, panel: Panel) -> np.ndarray:
    """Which series still go on; of the others it is said that they stopped."""
    frequency = panel.grid.frequency
    stamp, since = job.newest, " before the newest series"
    if job.today is not None:
        stamp, since = (job.today - date(1970, 1, 1)).days * MICROS_A_DAY, " ago"
    now = int(panel.grid.numbers(np.array([stamp]))[0])
    horizon = job.options.horizon or HORIZON[frequency]
    late = now - panel.last
    # What is loaded once a week is not what has stopped.
    patience = _A_MONTH_OF_HOURS if frequency is Frequency.HOURLY else 2 * panel.season
    alive = late <= max(horizon, patience)
    for row in np.flatnonzero(~alive):
        when = _day(panel, int(panel.last[row]))
        job.notes.append(
            f"{panel.ids[row]}: stopped on {when}, {late[row]} {NOUN[frequency]}s{since}; no "
            "forecast is made"
        )
    return alive


def _unplanned(job: _Job, panel: Panel, past: Past, alive: np.ndarray) -> None:
    """Say so if columns that should be known ahead are not."""
    if past.known_ahead is None:
        return
    open_ends = (~np.isfinite(past.known_ahead)).any(axis=2).sum(axis=1) * alive
    if not open_ends.any():
        return
    steps, noun = past.targets.shape[1], NOUN[panel.grid.frequency]
    whose = _some([panel.ids[row] for row in np.flatnonzero(open_ends)])
    verb = "is" if len(job.options.known) == 1 else "are"
    job.notes.append(
        f"{whose}: {' and '.join(job.options.known)} {verb} not known for {open_ends.max()} of the "
        f"{steps} coming {noun}s; those are forecast without (the SQL yields coming periods in "
        "rows whose y is null)"
    )


def _timetable(panel: Panel, targets: Ints, ahead: Ints) -> Ints:
    """The moment each coming value counts from: the clock time of the last such weekday."""
    planned = np.full(targets.shape, -1, np.int64)
    if panel.scheduled is None or panel.grid.frequency is Frequency.HOURLY:
        return planned
    zone = ZoneInfo(panel.time_zone)
    positions = panel.positions(panel.periods)
    for row in range(len(panel.ids)):
        known = np.flatnonzero(panel.scheduled[row] != -1)
        if known.size == 0:
            continue
        newest: dict[int, int] = {int(positions[column]): int(column) for column in known}
        clocks: dict[int, tuple[int, time]] = {}
        for step, place in enumerate(ahead[row].tolist()):
            if place not in clocks:
                column = newest.get(place, int(known[-1]))
                clocks[place] = _clock(panel, row, column, zone)
            days, clock = clocks[place]
            day = _day(panel, int(targets[row, step])) + timedelta(days=days)
            moment = datetime.combine(day, clock, zone).astimezone(UTC)
            planned[row, step] = (moment - _EPOCH) // timedelta(microseconds=1)
    return planned


def _clock(panel: Panel, row: int, column: int, zone: ZoneInfo) -> tuple[int, time]:
    """How many days after its period a value was scheduled, and at which time on the wall."""
    assert panel.scheduled is not None
    moment = _EPOCH + timedelta(microseconds=int(panel.scheduled[row, column]))
    local = moment.astimezone(zone)
    return (local.date() - _day(panel, int(panel.periods[column]))).days, local.time()


def _day(panel: Panel, number: int) -> date:
    stamp = int(panel.grid.stamps(np.array([number], np.int64))[0])
    return date(1970, 1, 1) + timedelta(days=stamp // MICROS_A_DAY)


def _described(job: _Job, panel: Panel) -> pa.Table:
    seen = ~np.isnan(panel.values)
    count = len(panel.ids)
    row = np.arange(count)
    first = panel.periods[np.argmax(seen, axis=1)]
    said = dict.fromkeys(panel.ids, "")
    for note in job.notes:
        unique_id, _, text = note.partition(": ")
        if unique_id in said:
            said[unique_id] = f"{said[unique_id]}; {text}" if said[unique_id] else text
    columns = _who(job, panel, row) | {
        "unit": tables.repeated(job.options.unit, count),
        "frequency": tables.repeated(str(panel.grid.frequency), count),
        "season": pa.array(np.full(count, panel.season)),
        "time_zone": tables.repeated(panel.time_zone, count),
        "observations": pa.array(seen.sum(axis=1)),
        "scored": pa.array(panel.scored.sum(axis=1)),
        "missing": pa.array((panel.spoken & ~seen).sum(axis=1)),
        "first_ds": tables.moments(panel.grid.stamps(first)),
        "last_ds": tables.moments(panel.grid.stamps(panel.last)),
        "digest": tables.repeated(job.digest, count),
        "note": pa.array([said[unique_id] or None for unique_id in panel.ids], pa.string()),
    }
    return tables.table(tables.SERIES, columns)
