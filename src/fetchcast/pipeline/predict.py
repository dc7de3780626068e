"""Forecast: series out of the destination, forecasts and their evidence back into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import pyarrow as pa

from fetchcast.config import Pipeline
from fetchcast.errors import FetchcastError, SeriesError
from fetchcast.forecast import Answered, QuestionOptions, SeriesForecast, answer, forecast_series
from fetchcast.load.destinations import open_destination
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


@dataclass(slots=True, kw_only=True)
class Predicted:
    """The forecasts of a run, the answers to its questions, and what could not be done."""

    receipts: list[Receipt] = field(default_factory=list)
    answers: list[Answered] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: bool = False
    """Whether a series or a question had to be left out; the notes say which and why."""

    def leave_out(self, what: str, error: FetchcastError) -> None:
        """Go on without ``what``."""
        self.failed = True
        text = str(error)
        self.notes.append(text if text.startswith(what) else f"{what}: {text}")


def predict(pipeline: Pipeline, *, run_id: str, now: float) -> Predicted:
    """Forecast every series of ``pipeline`` and answer its questions.

    Series and forecasts live in the first destination of the pipeline.
    """
    predicted = Predicted()
    if not pipeline.series:
        return predicted
    destination = open_destination(pipeline.destinations[0], pipeline.folder)
    made: dict[str, SeriesForecast] = {}
    for name, options in pipeline.series.items():
        try:
            rows = destination.query(options.sql)
            if not rows.num_rows:
                raise SeriesError(name, "its query gives no rows; there is nothing to forecast")
            day = datetime.fromtimestamp(now, UTC).astimezone(options.zone).date()
            made[name] = forecast_series(name, rows, options, run=run_id, today=day)
        except FetchcastError as error:
            predicted.leave_out(f"series {name}", error)
            continue
        predicted.notes += made[name].notes
    predicted.receipts += _write(destination, made)
    for name, question in pipeline.question.items():
        if question.series in made:
            _answer(predicted, name, question, made[question.series].tables, now)
    return predicted


def _write(destination: Destination, made: Mapping[str, SeriesForecast]) -> list[Receipt]:
    rows: dict[str, int] = {}
    with destination.load() as loading:
        for forecast in made.values():
            for table, data in forecast.tables.items():
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


def _answer(
    predicted: Predicted,
    name: str,
    question: QuestionOptions,
    tables: Mapping[str, pa.Table],
    now: float,
) -> None:
    try:
        predicted.answers.append(answer(question, tables, today=today(question, now)))
    except FetchcastError as error:
        predicted.leave_out(f"question {name}", error)


def today(question: QuestionOptions, now: float) -> date:
    """The day it is where the question is asked."""
    return datetime.fromtimestamp(now, UTC).astimezone(question.zone).date()
