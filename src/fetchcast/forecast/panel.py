"""Rows become panels: many series of one frequency side by side, with what is wrong said in words.

A panel has one row per series and one column per period that *any* of its series speaks about.
A hole of years costs nothing, since nobody speaks about it.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fetchcast.errors import SeriesError
from fetchcast.forecast.options import SeriesOptions
from fetchcast.forecast.periods import (
    HORIZON,
    NOUN,
    SEASON,
    Bools,
    Floats,
    Frequency,
    Grid,
    Ints,
    frequencies,
    grid_of,
    wall,
)
from fetchcast.forecast.resting import SUNDAY, resting_days

_PANEL_SERIES = 1024
_LEAST = 4
_MIXED = 5
_LARGEST = 1e100
"""Squares of larger numbers, and their sums, are no numbers any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Series of one frequency, aligned in time."""

    grid: Grid
    season: int
    time_zone: str
    ids: list[str]
    periods: Ints
    """Period numbers, ascending, shape ``(periods,)``; holes are left out."""
    values: Floats
    """Shape ``(series, periods)``; NaN where nothing was observed."""
    spoken: Bools
    """Same shape: True where the series has data: a value, or a gap that means something."""
    scored: Bools
    """Same shape: True where a backtest may judge by the value."""
    scheduled: Ints | None
    """Same shape: the moment that ``y = 0`` stands for, microseconds UTC; -1 where unknown."""
    resting: Ints
    """Days that are like Sundays, ascending; empty if nobody asked."""
    known: Floats | None = None
    """Columns that are known ahead, shape ``(series, periods, columns)``; NaN where unknown."""

    def known_of(self, targets: Ints) -> Floats | None:
        """`known` of some periods, shape ``(series, steps, columns)`` as ``targets`` has."""
        if self.known is None:
            return None
        at = np.minimum(np.searchsorted(self.periods, targets), self.periods.size - 1)
        there = self.periods[at] == targets
        rows = np.arange(len(self.known))[:, None]
        return np.where(there[..., None], self.known[rows, at], np.nan)

    @property
    def resting_known(self) -> bool:
        """Whether public holidays have a place in the cycle."""
        return _has_sundays(self.grid, self.season)

    @property
    def last(self) -> Ints:
        """The period number of each series' last observation."""
        seen = ~np.isnan(self.values)
        width = self.periods.size
        newest: Ints = self.periods[width - 1 - np.argmax(seen[:, ::-1], axis=1)]
        return newest

    def positions(self, numbers: Ints) -> Ints:
        """The place of each period in its cycle; a public holiday is a Sunday."""
        places = self.grid.positions(numbers, self.season, self.time_zone)
        if self.resting.size == 0:
            return places
        return np.where(np.isin(numbers, self.resting), SUNDAY, places)


@dataclass(slots=True)
class Columns:
    """The observations of all series, sorted by series and time, no duplicates."""

    ids: list[str]
    starts: Ints
    stamps: Ints
    """Microseconds as the wall clock shows for days and longer, UTC for hours."""
    y: Floats
    scored: Bools
    scheduled: Ints | None
    known: Floats | None
    """Shape ``(rows, columns)``."""
    zoned: bool
    notes: list[str]
    ends: Ints = field(init=False)
    """Where each series ends."""

    def __post_init__(self) -> None:
        self.ends = np.append(self.starts[1:], self.stamps.size).astype(np.int64)


def panels(name: str, rows: pa.Table, options: SeriesOptions) -> tuple[list[Panel], list[str]]:
    """Lay the series of ``rows`` side by side.

    Returns:
        The panels, and a sentence for each series that is left out or was changed.

    Raises:
        SeriesError: If there are no rows, or a column is missing or of no usable type.
    """
    columns = read(name, rows, options)
    if columns.stamps.size == 0:
        raise SeriesError(name, "; ".join(["no usable rows", *columns.notes]))
    grids = _grids(columns, options)
    jobs = [
        (grid, *_span(columns, which, grid), which)
        for which, grid in enumerate(grids)
        if grid is not None and _usable(columns, which)
    ]
    jobs.sort()
    built: list[Panel] = []
    for grid, same in groupby(jobs, key=lambda job: job[0]):
        parts = _parts([(last, first, which) for _, last, first, which in same])
        built += [_panel(columns, grid, part, options) for part in parts]
    return built, columns.notes


def _span(columns: Columns, which: int, grid: Grid) -> tuple[int, int]:
    edges = np.array([columns.starts[which], columns.ends[which] - 1])
    first, last = grid.numbers(columns.stamps[edges])
    return int(last), int(first)


def _parts(jobs: list[tuple[int, int, int]]) -> list[list[int]]:
    """Cut series, sorted by their end, into panels of neighbours."""
    parts: list[list[int]] = []
    anchor = 0
    for last, _first, which in jobs:
        if not parts or len(parts[-1]) >= _PANEL_SERIES or last - anchor > 7:  # noqa: PLR2004
            parts.append([])
            anchor = last
        parts[-1].append(which)
    return parts


def _usable(columns: Columns, which: int) -> bool:
    part = slice(columns.starts[which], columns.ends[which])
    count = int(np.count_nonzero(~np.isnan(columns.y[part])))
    if count >= _LEAST:
        return True
    columns.notes.append(
        f"{columns.ids[which]}: {count} observations are too few to forecast from; "
        f"at least {_LEAST} are needed"
    )
    return False


def _grids(columns: Columns, options: SeriesOptions) -> list[Grid | None]:
    given = options.given_frequency
    if given is not None:
        pieces = zip(columns.starts, columns.ends, strict=True)
        return [grid_of(given, columns.stamps[start:end]) for start, end in pieces]
    grids = frequencies(columns.stamps, columns.starts)
    for which, grid in enumerate(grids):
        problem = _irregular(columns, which, grid)
        if problem:
            grids[which] = None
            columns.notes.append(f"{columns.ids[which]}: {problem}")
    return grids


def _irregular(columns: Columns, which: int, grid: Grid | None) -> str | None:
    if grid is None:
        return (
            "its time stamps are neither whole hours nor at most one a day; "
            "bring them to one frequency in the SQL (date_trunc)"
        )
    if grid.frequency not in (Frequency.HOURLY, Frequency.DAILY):
        return None
    start, end = int(columns.starts[which]), int(columns.ends[which])
    steps = np.diff(grid.numbers(columns.stamps[start:end]))
    if steps.size < 4 * _MIXED - 1:
        return None
    # Medians: one hole of years moves a mean, and is no other rhythm.
    parts = np.array_split(steps, 4 if steps.size >= 8 * _MIXED else 2)
    rhythms = [float(np.median(part)) for part in parts]
    fastest, slowest = min(rhythms), max(rhythms)
    if slowest < _MIXED * fastest:
        return None
    before, after = sorted((fastest, slowest), key=rhythms.index)
    noun = NOUN[grid.frequency]
    return (
        f"mixed frequency: one observation {_every(before, noun)} at first, "
        f"{_every(after, noun)} later; bring them to one frequency in the SQL"
    )


def _every(count: float, noun: str) -> str:
    return f"every {noun}" if count == 1 else f"every {count:g} {noun}s"


def _panel(columns: Columns, grid: Grid, part: list[int], options: SeriesOptions) -> Panel:
    numbers = [grid.numbers(columns.stamps[columns.starts[w] : columns.ends[w]]) for w in part]
    numbers = [_told(columns, which, found) for which, found in zip(part, numbers, strict=True)]
    spoken = [_filled(found, options.gap_limit) for found in numbers]
    periods = np.unique(np.concatenate(spoken))
    shape = (len(part), periods.size)
    values, told = np.full(shape, np.nan), np.zeros(shape, np.bool_)
    scored = np.zeros(shape, np.bool_)
    scheduled = None if columns.scheduled is None else np.full(shape, -1, np.int64)
    known = None
    if columns.known is not None:
        known = np.full((*shape, columns.known.shape[1]), np.nan)
    for row, which in enumerate(part):
        source = slice(columns.starts[which], columns.ends[which])
        at = np.searchsorted(periods, numbers[row])
        values[row, at] = columns.y[source]
        scored[row, at] = columns.scored[source]
        told[row, np.searchsorted(periods, spoken[row])] = True
        if scheduled is not None and columns.scheduled is not None:
            scheduled[row, at] = columns.scheduled[source]
        if known is not None and columns.known is not None:
            known[row, at] = columns.known[source]
            # What follows the last value is the future, not a time in which nothing happened.
            told[row] &= periods <= numbers[row][~np.isnan(columns.y[source])][-1]
    season = options.season or SEASON[grid.frequency]
    if options.gaps == "unknown":
        told &= ~np.isnan(values)
    return Panel(
        grid=grid,
        season=season,
        time_zone=options.time_zone,
        ids=[columns.ids[which] for which in part],
        periods=periods,
        values=values,
        spoken=told,
        scored=scored & ~np.isnan(values),
        scheduled=scheduled,
        resting=_resting(grid, season, periods, options),
        known=known,
    )


def _has_sundays(grid: Grid, season: int) -> bool:
    return grid.frequency is Frequency.DAILY and season == SEASON[Frequency.DAILY]


def _resting(grid: Grid, season: int, periods: Ints, options: SeriesOptions) -> Ints:
    if options.country is None or not _has_sundays(grid, season):
        return np.empty(0, np.int64)
    ahead = options.horizon or HORIZON[Frequency.DAILY]
    return resting_days(options.country, int(periods[0]), int(periods[-1]) + ahead)


def _told(columns: Columns, which: int, numbers: Ints) -> Ints:
    """Say so if several time stamps fall into one period; the last of them stays."""
    doubles = int(np.count_nonzero(np.diff(numbers) == 0))
    if doubles:
        columns.notes.append(
            f"{columns.ids[which]}: {doubles} periods have more than one observation; "
            "the last of each is used"
        )
    return numbers


def _filled(numbers: Ints, limit: int) -> Ints:
    """``numbers`` with every gap closed that is not longer than ``limit``."""
    steps = np.diff(numbers)
    gaps = np.flatnonzero((steps > 1) & (steps <= limit + 1))
    if gaps.size == 0:
        return numbers
    inner = [np.arange(numbers[gap] + 1, numbers[gap + 1]) for gap in gaps]
    return np.sort(np.concatenate([numbers, *inner]))


def read(name: str, rows: pa.Table, options: SeriesOptions) -> Columns:
    """Check and sort the rows; what cannot be used is left out and said.

    Raises:
        SeriesError: If a column is missing or of no usable type.
    """
    missing = {"ds", "y"} - set(rows.column_names)
    if missing:
        have = ", ".join(rows.column_names) or "none"
        raise SeriesError(name, f"the SQL yields no column {min(missing)!r} (it has: {have})")
    notes: list[str] = []
    ids, codes = _ids(name, rows)
    stamps, zoned, bad_stamp = _stamps(name, rows, options)
    y, bad_y = _numbers(name, rows)
    scored = _flags(name, rows)
    scheduled = _instants(name, rows, options)
    known = _ahead(name, rows, options)
    usable = ~bad_stamp & ~bad_y
    for text, bad in (("no usable time stamp in ds", bad_stamp), ("no usable number in y", bad_y)):
        counts = np.bincount(codes[bad], minlength=len(ids))
        notes.extend(
            f"{ids[code]}: {counts[code]} rows have {text}; they are left out"
            for code in np.flatnonzero(counts)
        )
    order = np.flatnonzero(usable)
    codes, stamps = codes[order], stamps[order]
    if np.any((np.diff(codes) < 0) | ((np.diff(codes) == 0) & (np.diff(stamps) <= 0))):
        again = np.lexsort((stamps, codes))
        order, codes, stamps = order[again], codes[again], stamps[again]
    double = np.append((np.diff(codes) == 0) & (np.diff(stamps) == 0), [False] * bool(codes.size))
    double = double.astype(np.bool_)
    counts = np.bincount(codes[double], minlength=len(ids))
    notes.extend(
        f"{ids[code]}: {counts[code]} rows repeat a time stamp; the last of each is used"
        for code in np.flatnonzero(counts)
    )
    order, codes, stamps = order[~double], codes[~double], stamps[~double]
    present, starts = np.unique(codes, return_index=True)
    return Columns(
        ids=[ids[code] for code in present],
        starts=starts.astype(np.int64),
        stamps=stamps,
        y=y[order],
        scored=scored[order],
        scheduled=None if scheduled is None else scheduled[order],
        known=None if known is None else known[order],
        zoned=zoned,
        notes=notes,
    )


def _ids(name: str, rows: pa.Table) -> tuple[list[str], Ints]:
    if "unique_id" not in rows.column_names:
        return [name], np.zeros(rows.num_rows, np.int64)
    text = rows["unique_id"].cast(pa.string()).combine_chunks()
    coded = pc.fill_null(text, "").dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    if len(coded) == 0:
        return [], np.zeros(0, np.int64)
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)


def _stamps(name: str, rows: pa.Table, options: SeriesOptions) -> tuple[Ints, bool, Bools]:
    """``ds`` in microseconds, whether it had a time zone, and which rows have none."""
    column = rows["ds"]
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _parsed(name, column, "ds")
    zoned = pa.types.is_timestamp(column.type) and column.type.tz is not None
    if not (pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)):
        raise SeriesError(name, f"ds is of type {column.type}; a date or a timestamp is needed")
    bad = np.asarray(column.is_null().to_numpy(zero_copy_only=False), np.bool_)
    micros = column.cast(pa.timestamp("us", column.type.tz if zoned else None), safe=False)
    stamps = pc.fill_null(micros.cast(pa.int64()), 0).to_numpy().astype(np.int64)
    return (_local(stamps, options) if zoned else stamps), zoned, bad


def _local(stamps: Ints, options: SeriesOptions) -> Ints:
    """Days begin at midnight on the wall; hours stay instants, or the clock's change folds two."""
    shown = wall(stamps, options.time_zone) if stamps.size else stamps
    given = options.given_frequency
    if given is Frequency.HOURLY:
        return stamps
    if given is None and np.unique(shown % 86_400_000_000).size > 2:  # noqa: PLR2004
        return stamps
    return shown


def _parsed(name: str, column: pa.ChunkedArray, which: str) -> pa.ChunkedArray:
    try:
        return column.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        try:
            return column.cast(pa.timestamp("us", "UTC"))
        except pa.ArrowInvalid as problem:
            wrong = next((text for text in column.to_pylist() if not _is_moment(text)), "")
            text = f"{which} holds text that is no date: {wrong!r}; 2026-11-25 would be one"
            raise SeriesError(name, text) from problem


def _is_moment(text: str | None) -> bool:
    try:
        return text is None or bool(dt.datetime.fromisoformat(text))
    except ValueError:
        return False


def _numbers(name: str, rows: pa.Table) -> tuple[Floats, Bools]:
    """``y`` as floats (NaN: not observed), and which rows are unusable (text, infinite)."""
    column = rows["y"]
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _from_text(column)
    try:
        numbers = pc.fill_null(column.cast(pa.float64(), safe=False), np.nan)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as problem:
        raise SeriesError(name, f"y is of type {column.type}; numbers are needed") from problem
    y = np.array(numbers.to_numpy(), np.float64)
    return y, np.abs(y) > _LARGEST


def _ahead(name: str, rows: pa.Table, options: SeriesOptions) -> Floats | None:
    """The columns that are known ahead, shape ``(rows, columns)``."""
    if not options.known:
        return None
    if missing := [each for each in options.known if each not in rows.column_names]:
        have = ", ".join(rows.column_names)
        raise SeriesError(name, f"the SQL yields no column {missing[0]!r} of `known` (has: {have})")
    found = []
    for each in options.known:
        try:
            numbers = rows[each].cast(pa.float64(), safe=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as problem:
            kind = rows[each].type
            text = f"{each}, known ahead, is of type {kind}; numbers are needed"
            raise SeriesError(name, text) from problem
        found.append(pc.fill_null(numbers, np.nan).to_numpy())
    values = np.column_stack(found).astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _from_text(column: pa.ChunkedArray) -> tuple[Floats, Bools]:
    y = np.full(len(column), np.nan)
    bad = np.zeros(len(column), np.bool_)
    for row, text in enumerate(column.to_pylist()):
        try:
            y[row] = float(text) if text not in (None, "") else np.nan
        except ValueError:
            bad[row] = True
    return y, bad | (np.abs(y) > _LARGEST)


def _flags(name: str, rows: pa.Table) -> Bools:
    if "scored" not in rows.column_names:
        return np.ones(rows.num_rows, np.bool_)
    try:
        flags = pc.fill_null(rows["scored"].cast(pa.bool_()), fill_value=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as problem:
        kind = rows["scored"].type
        raise SeriesError(name, f"scored is of type {kind}; true or false is needed") from problem
    return np.array(flags.to_numpy(zero_copy_only=False), np.bool_)


def _instants(name: str, rows: pa.Table, options: SeriesOptions) -> Ints | None:
    if "scheduled" not in rows.column_names or pa.types.is_null(rows["scheduled"].type):
        return None
    column = rows["scheduled"]
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _parsed(name, column, "scheduled")
    if not pa.types.is_timestamp(column.type):
        raise SeriesError(name, f"scheduled is of type {column.type}; a timestamp is needed")
    if column.type.tz is None:
        column = pc.assume_timezone(
            column.cast(pa.timestamp("us"), safe=False),
            options.time_zone,
            ambiguous="earliest",
            nonexistent="earliest",
        )
    micros = column.cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64())
    return np.asarray(pc.fill_null(micros, -1).to_numpy(), np.int64)
