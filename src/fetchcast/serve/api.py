"""The REST API under ``/api/v1``: everything that a page shows, as JSON and as CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, TypeAlias
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from fetchcast.forecast import Answered
from fetchcast.serve import explorer, listing, problems, records
from fetchcast.serve.addresses import Asking
from fetchcast.serve.api_data import add_runs, add_tables
from fetchcast.serve.asked import plain_text, question
from fetchcast.serve.reading import Reading, Step
from fetchcast.serve.twins import csv_answer, json_answer, tagged

_QUANTILES = ("q025", "q05", "q10", "q25", "q50", "q75", "q90", "q95", "q975")
_STEP_COLUMNS = ("ds", "step", "model", "mean", *_QUANTILES, "cutoff", "scheduled")

Rows: TypeAlias = Sequence[Mapping[str, Any]]
Fetch: TypeAlias = Callable[[str, str, str | None], Rows]
Series = Annotated[str, Path(description="The series' name in the pipeline file.")]
UniqueId = Annotated[str, Path(description="Which of its series, as `unique_id` in the tables.")]
Sort = Annotated[
    str, Query(description="By what.", json_schema_extra={"enum": list(listing.SORTS)})
]
Model = Annotated[str | None, Query(description="`combined` if not given.")]


def router(reading: Reading) -> APIRouter:
    """All of the API."""
    api = APIRouter(prefix="/api/v1", responses=problems.documented())
    _questions(api, reading)
    _lists(api, reading)
    _series(api, reading)
    add_runs(api, reading)
    add_tables(api, reading)
    return api


def _questions(api: APIRouter, reading: Reading) -> None:
    @api.get("/questions", tags=["questions"], **records.described(list[records.QuestionLine]))
    def questions(request: Request) -> Response:
        """Every question of the pipeline."""
        lines = [
            records.QuestionLine(
                name=name,
                text=plain_text(options),
                series=options.series,
                unique_id=options.unique_id,
                href=f"/api/v1/questions/{quote(name)}",
            )
            for name, options in reading.source.questions.items()
        ]
        return json_answer(request, lines)

    @api.get("/questions/{name}.csv", tags=["questions"], **records.described_csv())
    def question_csv(request: Request, name: str, asked: Asking) -> Response:
        """The answer and its alternatives, one line each."""
        return csv_answer(request, name, *_answer_rows(question(reading, name, asked).answered))

    @api.get("/questions/{name}", tags=["questions"], **records.described(Answered))
    def question_json(request: Request, name: str, asked: Asking) -> Response:
        """The answer to a question: probability, times, alternatives, and how often it held."""
        return json_answer(request, question(reading, name, asked).answered)


def _answer_rows(answered: Answered) -> tuple[list[str], list[list[Any]]]:
    columns = ["unique_id", "label", "date", "deadline", "walk_min", "probability", "p_running"]
    columns += ["scheduled", "expected", "lower_80", "upper_80", "lower_95", "upper_95", "chosen"]
    rows = []
    for choice in [answered.choice, *answered.alternatives]:
        bounds = {each.level: each for each in choice.intervals}
        moments = [choice.scheduled, choice.expected]
        moments += [bounds[0.8].lower, bounds[0.8].upper, bounds[0.95].lower, bounds[0.95].upper]
        rows.append(
            [
                choice.unique_id,
                choice.label,
                answered.date,
                answered.deadline,
                answered.walk_min,
                round(choice.probability, 6),
                round(choice.p_running, 6),
                *(None if each is None else each.at or each.value for each in moments),
                choice is answered.choice,
            ]
        )
    return columns, rows


def _lists(api: APIRouter, reading: Reading) -> None:
    @api.get("/series", tags=["series"], **records.described(records.SeriesPage))
    def series_list(
        request: Request,
        find: str = "",
        sort: Sort = "name",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0, le=10_000_000_000)] = 0,
    ) -> Response:
        """The series, a page at a time; `next` is the address of the following page."""
        there = listing.found(reading, find=find, sort=sort, limit=limit, offset=offset)
        more = offset + limit < there.total
        query = f"find={quote(find)}&sort={quote(sort)}&limit={limit}&offset={offset + limit}"
        page = records.SeriesPage(
            total=there.total,
            next=f"/api/v1/series?{query}" if more else None,
            series=there.lines,
        )
        return json_answer(request, page)

    @api.get("/series.csv", tags=["series"], **records.described_csv())
    def series_csv(request: Request, find: str = "", sort: Sort = "name") -> Response:
        """All series, one line each."""
        lines = listing.found(reading, find=find, sort=sort).lines
        columns = [each.name for each in msgspec.structs.fields(records.SeriesLine)]
        return csv_answer(request, "series", columns, [_values(line, columns) for line in lines])


def _values(record: Any, columns: Sequence[str]) -> list[Any]:
    return [getattr(record, column) for column in columns]


def _series(api: APIRouter, reading: Reading) -> None:
    place = "/series/{series}/{unique_id:path}"

    def both(
        what: str, kind: type, fetch: Fetch, columns: Sequence[str] | None, summary: str
    ) -> None:
        """Register the JSON and the CSV of one part of a series."""

        def as_csv(
            request: Request, series: Series, unique_id: UniqueId, model: Model = None
        ) -> Response:
            rows = fetch(series, unique_id, model)
            names = columns or (list(rows[0]) if rows else [])
            table = [[row.get(name) for name in names] for row in rows]
            return csv_answer(request, f"{what}-{series}-{unique_id}", names, table)

        def as_json(
            request: Request, series: Series, unique_id: UniqueId, model: Model = None
        ) -> Response:
            def encoded() -> bytes:
                line = reading.line(series, unique_id)
                rows = fetch(series, unique_id, model)
                return msgspec.json.encode({"series": line, records.PLURAL[what]: rows})

            body = reading.store.derived(("json", what, series, unique_id, model), encoded)
            return tagged(request, body, "application/json")

        as_csv.__name__, as_json.__name__ = f"{what}_csv", f"{what}_json"
        as_csv.__doc__ = as_json.__doc__ = summary
        api.get(f"{place}/{what}.csv", tags=["series"], **records.described_csv())(as_csv)
        api.get(f"{place}/{what}", tags=["series"], **records.described(kind))(as_json)

    for part in _parts(reading):
        both(*part)


def _parts(reading: Reading) -> Iterator[tuple[str, type, Fetch, Sequence[str] | None, str]]:
    """Name, shape, rows, columns and summary of each part of a series."""
    yield (
        "forecast",
        records.Forecast,
        partial(_forecast, reading),
        [*_STEP_COLUMNS, "p_running"],
        "What is expected of each period ahead: mean and quantiles.",
    )
    yield (
        "backtest",
        records.Backtest,
        partial(_backtest, reading),
        [*_STEP_COLUMNS, "y"],
        "What would have been said at each cutoff, beside what came.",
    )
    yield (
        "history",
        records.Observations,
        partial(_history, reading),
        ["ds", "y", "scheduled", "scored"],
        "What was observed.",
    )
    yield (
        "anomalies",
        records.Anomalies,
        partial(_anomalies, reading),
        ["ds", "y", "q025", "q975", "cutoff"],
        "Observations outside the 95 % band that the backtest drew.",
    )
    yield (
        "totals",
        records.Totals,
        lambda series, unique_id, _: reading.totals(series, unique_id),
        ["how", "steps", "mean", *_QUANTILES],
        "Sum, mean and maximum of all periods ahead; their intervals are not sums of intervals.",
    )
    yield (
        "leaderboard",
        records.Leaderboard,
        lambda series, unique_id, model: reading.view(series, unique_id, model=model).leaderboard,
        None,
        "Each model's backtest in figures.",
    )


def _forecast(reading: Reading, series: str, unique_id: str, model: str | None) -> Rows:
    view = reading.view(series, unique_id, model=model)
    return [{**_step(step), "p_running": step.p_running} for step in view.fan]


def _backtest(reading: Reading, series: str, unique_id: str, model: str | None) -> Rows:
    view = reading.view(series, unique_id, model=model)
    return [{**_step(step), "y": step.y} for step in view.backtest]


def _anomalies(reading: Reading, series: str, unique_id: str, model: str | None) -> Rows:
    view = reading.view(series, unique_id, model=model)
    return [
        {
            "ds": step.ds,
            "y": step.y,
            "q025": step.q["q025"],
            "q975": step.q["q975"],
            "cutoff": step.cutoff,
        }
        for step in explorer.outliers(view)
    ]


def _history(reading: Reading, series: str, unique_id: str, model: str | None) -> Rows:
    del model  # What was observed is the same for all.
    names = ("ds", "y", "scheduled", "scored")
    points = reading.history(series, unique_id)
    return [{name: getattr(point, name) for name in names} for point in points]


def _step(step: Step) -> dict[str, Any]:
    return {
        "ds": step.ds,
        "step": step.step,
        "model": step.model,
        "mean": step.mean,
        **step.q,
        "cutoff": step.cutoff,
        "scheduled": step.scheduled,
    }
