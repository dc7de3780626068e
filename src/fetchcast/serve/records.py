"""The shapes of the API's answers, and how OpenAPI describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from starlette.responses import Response

from fetchcast.serve import reading

PLURAL = {
    "forecast": "steps",
    "backtest": "steps",
    "history": "points",
    "leaderboard": "models",
    "totals": "totals",
}
"""Under which name a part of a series holds its rows."""


class QuestionLine(msgspec.Struct, frozen=True, kw_only=True):
    """One question of the pipeline."""

    name: str
    text: str
    series: str
    unique_id: str
    href: str


class SeriesLine(msgspec.Struct, frozen=True, kw_only=True):
    """One series: what it is, how much of it there is, how well it can be forecast."""

    series: str
    unique_id: str
    unit: str | None
    frequency: str
    time_zone: str
    observations: int
    scored: int
    missing: int
    first_ds: datetime | None
    last_ds: datetime | None
    note: str | None
    skill: float | None
    coverage_80: float | None
    surprise: float | None


class SeriesPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list of series."""

    total: int
    next: str | None
    series: list[SeriesLine]


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    ds: datetime
    step: int
    model: str
    mean: float | None
    q025: float
    q05: float
    q10: float
    q25: float
    q50: float
    q75: float
    q90: float
    q95: float
    q975: float
    cutoff: datetime
    scheduled: datetime | None


class ForecastStep(_Said, frozen=True, kw_only=True):
    """What is expected of one period."""

    p_running: float | None


class BacktestStep(_Said, frozen=True, kw_only=True):
    """What would have been said about one period, and what came."""

    y: float | None


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What was observed in one period; `y` is null if it did not happen."""

    ds: datetime
    y: float | None
    scheduled: datetime | None
    scored: bool


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """A series and what is expected of it."""

    series: SeriesLine
    steps: list[ForecastStep]


class Backtest(msgspec.Struct, frozen=True, kw_only=True):
    """A series and what would have been said about its past."""

    series: SeriesLine
    steps: list[BacktestStep]


class Observations(msgspec.Struct, frozen=True, kw_only=True):
    """A series and what was observed of it."""

    series: SeriesLine
    points: list[Observation]


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """All periods ahead taken together, from sample paths that keep how they hang together."""

    how: str
    """`sum`, `mean` or `max`."""
    steps: int
    mean: float
    q025: float
    q05: float
    q10: float
    q25: float
    q50: float
    q75: float
    q90: float
    q95: float
    q975: float


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """A series and the sum, mean and maximum of all its periods ahead."""

    series: SeriesLine
    totals: list[Total]


class Leaderboard(msgspec.Struct, frozen=True, kw_only=True):
    """A series and its models, the best first; columns as in the table `leaderboard`."""

    series: SeriesLine
    models: list[dict[str, str | int | float | bool | None]]


class ProblemAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, by RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    nearest: list[str] = []
    """Names that were probably meant."""


class _Undescribed(Response):
    """Keeps FastAPI from adding a media type of its own to what `described` says."""

    media_type = None


class StageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One stage of a run; `seconds` is null if it did not begin."""

    stage: str
    seconds: float | None
    going: bool


class PaceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that was felt during a run, from when on and for how long."""

    after_s: float
    lasted_s: float
    limit: str


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a run's log; `at` in seconds since 1970, UTC."""

    seq: int
    at: float
    kind: str
    text: str


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A run; all times in seconds since 1970, UTC."""

    id: str
    pipeline: str
    state: str
    started_at: float
    heartbeat_at: float
    ended_at: float | None
    exit_status: int | None
    planned: int
    done: int
    seconds: float
    per_second: float
    counts: dict[str, int]
    rows: dict[str, int]
    body_bytes: int
    pace: str
    stages: list[StageRecord]
    paces: list[PaceRecord]
    log: list[LogLine]


class FailedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A call that failed in the end, with the beginning of its last answer."""

    key: str
    url: str
    status: int | None
    attempts: int
    reason: str
    head: str


class ColumnRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a table."""

    name: str
    type: str


class TableRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A table of the destination."""

    name: str
    rows: int
    columns: list[ColumnRecord]


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of a table or of a query; `cut` says that there are more."""

    columns: list[str]
    rows: list[dict[str, Any]]
    cut: bool


_SHAPES: dict[str, Any] = {}


def described(kind: Any) -> dict[str, Any]:
    """What a route says of its answer in OpenAPI."""
    (schema,), parts = msgspec.json.schema_components(
        [kind], ref_template="#/components/schemas/{name}"
    )
    for name, part in parts.items():
        # Two shapes of one name would describe each other's answers.
        assert _SHAPES.setdefault(name, part) == part, name
    content = {"application/json": {"schema": schema}}
    return {
        "responses": {200: {"description": "Found.", "content": content}},
        "response_class": _Undescribed,
    }


def described_csv() -> dict[str, Any]:
    """The same for CSV."""
    content = {"text/csv": {"schema": {"type": "string"}}}
    return {
        "responses": {200: {"description": "Found.", "content": content}},
        "response_class": _Undescribed,
    }


def described_file() -> dict[str, Any]:
    """The same for a Parquet file."""
    content = {"application/vnd.apache.parquet": {"schema": {"type": "string"}}}
    return {
        "responses": {200: {"description": "Found.", "content": content}},
        "response_class": _Undescribed,
    }


def shapes() -> dict[str, Any]:
    """The components that `described` routes speak of."""
    described(ProblemAnswer)
    return dict(_SHAPES)


def series_line(line: reading.SeriesLine) -> SeriesLine:
    """A line of the list, as the API writes it."""
    return msgspec.convert(line, SeriesLine, from_attributes=True)
