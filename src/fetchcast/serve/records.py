"""The shapes of the API's answers, and how OpenAPI describes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from starlette.responses import Response

PLURAL = {
    "forecast": "steps",
    "backtest": "steps",
    "history": "points",
    "leaderboard": "models",
    "totals": "totals",
    "anomalies": "anomalies",
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
    """One series, as a list shows it: what it is, how much there is, how well it is forecast."""

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
    """The share of the historical average's loss that the forecast saves."""
    coverage_80: float | None
    surprise: float | None
    """How far the last observation lay from the middle of its backtest, in half widths of 80 %."""


class SeriesPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list of series."""

    total: int
    next: str | None
    series: Sequence[SeriesLine]


class _Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    q025: float
    q05: float
    q10: float
    q25: float
    q50: float
    q75: float
    q90: float
    q95: float
    q975: float


class _Said(_Quantiles, frozen=True, kw_only=True):
    ds: datetime
    step: int
    model: str
    mean: float | None
    cutoff: datetime
    scheduled: datetime | None


class ForecastStep(_Said, frozen=True, kw_only=True):
    """What is expected of one period."""

    p_running: float | None


class BacktestStep(_Said, frozen=True, kw_only=True):
    """What would have been said about one period, and what came."""

    y: float | None


class Anomaly(msgspec.Struct, frozen=True, kw_only=True):
    """A period whose value lay outside the 95 % band that was drawn shortest before it."""

    ds: datetime
    y: float
    q025: float
    q975: float
    cutoff: datetime


class Anomalies(msgspec.Struct, frozen=True, kw_only=True):
    """A series and the periods that surprised its forecast."""

    series: SeriesLine
    anomalies: list[Anomaly]


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


class Total(_Quantiles, frozen=True, kw_only=True):
    """All periods ahead taken together, from sample paths that keep how they hang together."""

    how: str
    """`sum`, `mean` or `max`."""
    steps: int
    mean: float


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


class SpeedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How many answers landed in a part of a run's time."""

    after_s: float
    lasts_s: float
    answers: int


class RefusedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An example of a call that the API refused then; it was asked again."""

    after_s: float
    status: int | None
    url: str
    head: str


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
    planned: int | None
    """Null where more calls followed from answers than were planned."""
    done: int
    seconds: float
    per_second: float
    counts: dict[str, int]
    rows: dict[str, int]
    body_bytes: int
    pace: str
    stages: list[StageRecord]
    paces: list[PaceRecord]
    speed: list[SpeedRecord]
    refused: list[RefusedRecord]
    log: list[LogLine]


class LimitRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the newest run says of an API's limit."""

    host: str
    figure: str
    how: str


class LandingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of all runs."""

    counts: dict[str, int]
    """Calls by their fate."""
    resources: dict[str, dict[str, int]]
    """The same by resource."""
    size_bytes: int
    limits: list[LimitRecord]


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


class ProfileRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a table in figures."""

    name: str
    type: str
    present: int
    missing: int
    distinct: int | None
    least: str | None
    most: str | None


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


_SERIES_EXAMPLE = {
    "series": "arrival_delay",
    "unique_id": "27 TPE",
    "unit": "min",
    "frequency": "daily",
    "time_zone": "Europe/Helsinki",
    "observations": 415,
    "scored": 60,
    "missing": 9,
    "first_ds": "2020-01-01T00:00:00Z",
    "last_ds": "2026-11-20T00:00:00Z",
    "note": None,
    "skill": 0.005,
    "coverage_80": 0.79,
    "surprise": 0.3,
}
_QUANTILES_EXAMPLE = {
    "q025": -3.2,
    "q05": -2.7,
    "q10": -1.8,
    "q25": -0.4,
    "q50": 2.0,
    "q75": 5.8,
    "q90": 13.4,
    "q95": 25.4,
    "q975": 31.3,
}
_STEP_EXAMPLE = {
    "ds": "2026-11-21T00:00:00Z",
    "step": 1,
    "model": "combined",
    "mean": 4.7,
    **_QUANTILES_EXAMPLE,
    "cutoff": "2026-11-20T00:00:00Z",
    "scheduled": "2026-11-21T13:58:00Z",
}
EXAMPLES: dict[Any, Any] = {
    Forecast: {"series": _SERIES_EXAMPLE, "steps": [{**_STEP_EXAMPLE, "p_running": 0.98}]},
    Backtest: {"series": _SERIES_EXAMPLE, "steps": [{**_STEP_EXAMPLE, "y": 3.5}]},
    Observations: {
        "series": _SERIES_EXAMPLE,
        "points": [
            {
                "ds": "2026-11-20T00:00:00Z",
                "y": 12.6,
                "scheduled": "2026-11-20T13:58:00Z",
                "scored": False,
            }
        ],
    },
    Anomalies: {
        "series": _SERIES_EXAMPLE,
        "anomalies": [
            {
                "ds": "2020-02-28T00:00:00Z",
                "y": 39.0,
                "q025": -3.2,
                "q975": 15.1,
                "cutoff": "2020-02-01T00:00:00Z",
            }
        ],
    },
    Totals: {
        "series": _SERIES_EXAMPLE,
        "totals": [{"how": "mean", "steps": 28, "mean": 4.6, **_QUANTILES_EXAMPLE}],
    },
    SeriesPage: {
        "total": 8,
        "next": "/api/v1/series?find=&sort=name&limit=1&offset=1",
        "series": [_SERIES_EXAMPLE],
    },
    Rows: {"columns": ["one"], "rows": [{"one": 1}], "cut": False},
    ProblemAnswer: {
        "type": "about:blank",
        "title": "There is no series arrival_delay/27 TP",
        "status": 404,
        "detail": "Did you mean one of these?",
        "nearest": ["arrival_delay/27 TPE"],
    },
}
"""An answer of each shape that its description does not make plain; a test reads each as that."""


def described(kind: Any) -> dict[str, Any]:
    """What a route says of its answer in OpenAPI."""
    (schema,), parts = msgspec.json.schema_components(
        [kind], ref_template="#/components/schemas/{name}"
    )
    for name, part in parts.items():
        # Two shapes of one name would describe each other's answers.
        assert _SHAPES.setdefault(name, part) == part, name
    told: dict[str, Any] = {"schema": schema}
    if kind in EXAMPLES:
        told["example"] = EXAMPLES[kind]
    content = {"application/json": told}
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
