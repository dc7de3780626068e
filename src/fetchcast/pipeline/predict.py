"""Forecast: series out of the destination, forecasts and their evidence back into it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import pyarrow as pa

from fetchcast.config import Pipeline
from fetchcast.errors import FetchcastError, SeriesError
from fetchcast.executors.processes import Processes
from fetchcast.forecast import (
    Answered,
    QuestionOptions,
    SeriesOptions,
    answer,
    digest,
    evidence,
    forecast_series,
)
from fetchcast.forecast.tables import SCHEMAS
from fetchcast.load.destinations import open_destination
from fetchcast.pipeline.spread import Spread
from fetchcast.records import Batch, Destination, Disposition, Receipt, Target

_KEYS: Mapping[str, tuple[str, ...]] = {
    "observation": ("series",),
    "forecast": ("series", "unique_id", "cutoff"),
    "backtest": ("series",),
    "leaderboard": ("series",),
    "series": ("series",),
}
"""By which columns a new forecast finds what it replaces: older forecasts, of an earlier
cutoff, are kept, so that what was said can be laid over what came."""

Tables = Mapping[str, pa.Table]
Progress = Callable[[str, int, int], None]
"""Told which section is being forecast, how many of its series are done, and of how many."""


_EVERY_S = 5.0


@dataclass(slots=True)
class Told:
    """A `Progress` in words, seldom enough to be read; short work passes in silence."""

    tell: Callable[[str], None]
    monotonic: Callable[[], float]
    last: float | None = None

    def __call__(self, section: str, done: int, total: int) -> None:
        """Say it if five seconds have passed since it was last said, or since the first call."""
        now = self.monotonic()
        if self.last is None:
            self.last = now
        elif now - self.last >= _EVERY_S:
            self.last = now
            self.tell(f"forecast {section}: {done:,} of {total:,} series")


@dataclass(slots=True, kw_only=True)
class Predicted:
    """The forecasts of a run, the answers to its questions, and what could not be done."""

    receipts: list[Receipt] = field(default_factory=list)
    answers: list[Answered] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    """How far to trust each new forecast, a sentence for each section."""
    notes: list[str] = field(default_factory=list)
    failed: bool = False
    """Whether a series or a question had to be left out; the notes say which and why."""

    def leave_out(self, what: str, error: FetchcastError) -> None:
        """Go on without ``what``."""
        self.failed = True
        text = str(error)
        self.notes.append(text if text.startswith(what) else f"{what}: {text}")


@dataclass(slots=True, kw_only=True)
class _Work:
    """What is the same for all sections of one call."""

    destination: Destination
    run_id: str
    now: float
    again: bool
    processes: Processes | Spread
    progress: Progress | None
    predicted: Predicted
    made: dict[str, Tables] = field(default_factory=dict)
    """New forecasts by section."""
    standing: set[str] = field(default_factory=set)
    """Sections whose forecast in the destination is what would be made again."""


def predict(
    pipeline: Pipeline,
    *,
    run_id: str,
    now: float,
    again: bool = False,
    processes: int = 1,
    spread: Spread | None = None,
    progress: Progress | None = None,
) -> Predicted:
    """Forecast the series of ``pipeline`` that have new rows, and answer its questions.

    Series and forecasts live in the first destination of the pipeline.

    Args:
        pipeline: Whose series and questions.
        run_id: Goes into the column ``run``.
        now: Seconds since 1970.
        again: Forecast everything, new rows or not.
        processes: How many may fit models at once, where there are many to fit.
        spread: An executor on which they are fitted instead.
        progress: Told how far it is.
    """
    predicted = Predicted()
    if not pipeline.series:
        return predicted
    destination = open_destination(pipeline.destinations[0], pipeline.folder)
    with Processes(processes) as pool:
        work = _Work(
            destination=destination,
            run_id=run_id,
            now=now,
            again=again,
            processes=spread or pool,
            progress=progress,
            predicted=predicted,
        )
        for name, options in pipeline.series.items():
            try:
                _section(work, name, options)
            except FetchcastError as error:
                predicted.leave_out(f"series {name}", error)
    predicted.receipts += _write(destination, work.made)
    for name, question in pipeline.question.items():
        if question.series in work.made or question.series in work.standing:
            _answer(work, name, question)
    return predicted


def _section(work: _Work, name: str, options: SeriesOptions) -> None:
    """Forecast one section, unless what stands in the destination would come out again."""
    rows = work.destination.query(options.sql)
    if not rows.num_rows:
        raise SeriesError(name, "its query gives no rows; there is nothing to forecast")
    day = datetime.fromtimestamp(work.now, UTC).astimezone(options.zone).date()
    word = digest(rows, options)
    if not work.again and (run := _standing(work.destination, name, word, day)):
        work.standing.add(name)
        work.predicted.notes.append(f"series {name}: no new rows; the forecast of run {run} stands")
        return
    told = work.progress
    found = forecast_series(
        name,
        rows,
        options,
        run=work.run_id,
        today=day,
        spread=work.processes.map,
        digest=word,
        progress=None if told is None else lambda done, total: told(name, done, total),
    )
    work.made[name] = found.tables
    work.predicted.evidence.append(evidence(found.tables, name))
    work.predicted.notes += found.notes


def _standing(destination: Destination, name: str, word: str, today: date) -> str | None:
    """The run whose forecast still stands; None if it must be made (again).

    It stands while rows and options are the same and it reaches beyond today: whether a series
    has stopped is a matter of the date.
    """
    who = f"series = {_quoted(name)}"
    try:
        last = destination.query(f"select run, digest from series where {who} limit 1").to_pylist()
        if not last or last[0]["digest"] != word:
            return None
        run = str(last[0]["run"])
        reach = f"select max(ds) as ds from forecast where {who} and run = {_quoted(run)}"
        until = destination.query(reach).to_pylist()[0]["ds"]
    except FetchcastError:
        # No forecast was ever written here, or by a version that knew no digest.
        return None
    if isinstance(until, str):
        until = datetime.fromisoformat(until)
    return run if until is not None and until.date() >= today else None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _write(destination: Destination, made: Mapping[str, Tables]) -> list[Receipt]:
    if not made:
        return []
    rows: dict[str, int] = {}
    with destination.load() as loading:
        for tables in made.values():
            for table, data in tables.items():
                if data.num_rows:
                    loading.write(_batch(table, data))
                    rows[table] = rows.get(table, 0) + data.num_rows
    return [
        Receipt(destination=destination.url, table=table, rows=count)
        for table, count in rows.items()
    ]


def _batch(table: str, data: pa.Table) -> Batch:
    target = Target(table=table, disposition=Disposition.MERGE, key=_KEYS[table], whole_keys=True)
    return Batch(target=target, rows=data)


def _answer(work: _Work, name: str, question: QuestionOptions) -> None:
    try:
        tables = work.made.get(question.series) or _stored(work.destination, question.series)
        day = today(question, work.now)
        work.predicted.answers.append(answer(question, tables, today=day))
    except FetchcastError as error:
        work.predicted.leave_out(f"question {name}", error)


def _stored(destination: Destination, series: str) -> dict[str, pa.Table]:
    """What an answer is made of, as it stands in the destination."""
    found = {
        table: destination.query(f"select * from {table} where series = {_quoted(series)}")
        for table in ("forecast", "backtest", "observation", "series")
    }
    return {table: _as_written(rows, SCHEMAS[table]) for table, rows in found.items()}


def _as_written(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """``rows`` with the types they were written with: SQLite has no lists and no booleans."""
    for place, column in enumerate(schema):
        if column.name not in rows.column_names:
            continue
        values = rows[column.name]
        if pa.types.is_list(column.type) and pa.types.is_string(values.type):
            lists = [None if text is None else json.loads(text) for text in values.to_pylist()]
            values = pa.chunked_array([pa.array(lists, column.type)])
        at = rows.column_names.index(column.name)
        rows = rows.set_column(at, schema.field(place), values.cast(column.type))
    return rows


def today(question: QuestionOptions, now: float) -> date:
    """The day it is where the question is asked."""
    return datetime.fromtimestamp(now, UTC).astimezone(question.zone).date()
