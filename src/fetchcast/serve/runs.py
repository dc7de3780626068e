"""What the landing tells about runs: how far, how fast, what failed. Also of another process's run.

Everything here is read anew from the journal each time it is asked for, so that closing a page,
or the app, loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import msgspec

from fetchcast.errors import LandingError
from fetchcast.extract.addresses import redacted
from fetchcast.landing.reader import Reader, open_reader
from fetchcast.landing.runs import Logged, Refusal, Run
from fetchcast.landing.schema import JOURNAL
from fetchcast.records import Fate
from fetchcast.serve.reading import NotThere, Reading, nearest

STAGES = ("extract", "load", "forecast")
_SILENT_S = 15.0
_LOG_PAGE = 1000
_LOG_SHOWN = 200
_FAILED_SHOWN = 100
_FELT_SHOWN = 30
_REFUSED_SHOWN = 20
_HEAD_BYTES = 400
_MOST_BINS = 60
_BINS_S = (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)
_FINISHED = {
    "complete": "every call is accounted for",
    "incomplete": "some calls failed",
    "stopped": "stopped by a quota or a cap",
    "interrupted": "stopped by hand",
    "killed": "killed; run again to go on",
    "storage": "the landing or the destination could not be used",
    "wrong_input": "the pipeline file or an input cannot be used",
    "bug": "stopped by a fault in fetchcast",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What the last run found out about an API's limit."""

    host: str
    figure: str
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStage:
    """One stage of a run and its place in time; shares of the run's whole duration."""

    name: str
    seconds: float | None
    """None if it did not begin."""
    begin: float
    share: float
    going: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Felt:
    """A limit that was felt from some moment on."""

    after_s: float
    """Since the run's beginning."""
    lasted_s: float
    share: float
    """Of the whole time that calls were made in."""
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """How many answers landed in one part of a run's time."""

    after_s: float
    """Since the run's beginning."""
    lasts_s: float
    answers: int

    @property
    def per_second(self) -> float:
        """How fast that was."""
        return self.answers / self.lasts_s


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedCall:
    """A call that the API refused then; it was asked again."""

    after_s: float
    status: int | None
    url: str
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run as its page shows it."""

    run: Run
    state: str
    words: str
    going: bool
    done: int
    planned: int | None
    """None while nobody can know: pages and children of calls were not planned."""
    seconds: float
    per_second: float
    left_s: float | None
    figures: Sequence[tuple[str, int]]
    pace: str
    rows: Mapping[str, int]
    body_bytes: int
    stages: Sequence[RunStage]
    felt: Sequence[Felt]
    """The limits in the order in which they were felt."""
    speed: Sequence[Span]
    refused: Sequence[RefusedCall]
    """Examples, the newest first."""
    log: Sequence[Logged]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedCall:
    """A call that failed in the end."""

    key: str
    url: str
    status: int | None
    attempts: int
    reason: str
    head: str
    """The beginning of its last answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The landing in figures."""

    counts: Mapping[str, int]
    size_bytes: int
    resources: Mapping[str, Mapping[str, int]]
    """The same counts by resource."""


@contextmanager
def reader(reading: Reading) -> Iterator[Reader]:
    """The landing, for one look; raises `LandingError` if there is none."""
    if reading.source.landing is None:
        problem = "this app was started without a landing"
        raise LandingError("landing", problem, "start it with `fetchcast serve`")
    with open_reader(reading.source.landing) as opened:
        yield opened


def limits(reading: Reading) -> list[Limit]:
    """What the newest run says of the API's limit; empty if there is nothing to say."""
    try:
        with reader(reading) as landing:
            told = next((run.counts.get("pace") for run in landing.runs()), None)
    except LandingError:
        return []
    if not told:
        return []
    figure, _, how = str(told).partition(" (")
    host = urlsplit(reading.source.api).hostname or "The API"
    return [Limit(host=host, figure=figure, how=how.replace(")", ""))]


def every(reading: Reading) -> tuple[list[RunView], Kept]:
    """All runs, the newest first, and what has landed; nothing before the first run."""
    folder = reading.source.landing
    if folder is None or not (folder / JOURNAL).exists():
        return [], Kept(counts={}, size_bytes=0, resources={})
    with reader(reading) as landing:
        kept = Kept(
            counts=_named(landing.counts()),
            size_bytes=landing.size_bytes,
            resources={name: _named(found) for name, found in landing.resources().items()},
        )
        return [_view(run, (), (), reading) for run in landing.runs()], kept


def _named(counts: Mapping[Fate, int]) -> dict[str, int]:
    return {str(fate): count for fate, count in counts.items()}


def going(reading: Reading) -> Run | None:
    """The run that goes at this moment, whoever started it."""
    views, _ = every(reading)
    return next((view.run for view in views if view.going), None)


def one(reading: Reading, run_id: str) -> RunView:
    """One run with its log; raises `NotThere` with the nearest ids."""
    folder = reading.source.landing
    if folder is None or not (folder / JOURNAL).exists():
        raise NotThere("run", run_id, [])
    with reader(reading) as landing:
        found = landing.runs()
        run = next((run for run in found if run.id == run_id), None)
        if run is None:
            raise NotThere("run", run_id, nearest(run_id, [run.id for run in found]))
        until = run.ended_at or reading.clock.now()
        landed = landing.landed_between(run.started_at, until)
        return _view(run, list(_log(landing, run_id)), landed, reading)


def failed(reading: Reading) -> list[FailedCall]:
    """The calls that have no answer, at most a hundred; none before the first run."""
    folder = reading.source.landing
    if folder is None or not (folder / JOURNAL).exists():
        return []
    with reader(reading) as landing:
        return [
            FailedCall(
                key=call.key,
                url=redacted(call.url),
                status=call.status,
                attempts=call.attempts,
                reason=call.reason or "",
                head=call.body[:_HEAD_BYTES].decode("utf-8", "replace"),
            )
            for call in islice(landing.failed(), _FAILED_SHOWN)
        ]


def _log(landing: Reader, run_id: str) -> Iterator[Logged]:
    after = 0
    while lines := landing.events(after, _LOG_PAGE):
        yield from (line for line in lines if line.run == run_id)
        after = lines[-1].seq


def _view(
    run: Run, log: Sequence[Logged], landed: Sequence[tuple[float, int]], reading: Reading
) -> RunView:
    counts, now = run.counts, reading.clock.now()
    silent = run.ended_at is None and now - run.heartbeat_at > _SILENT_S
    alive = run.ended_at is None and not silent
    end = run.ended_at or (now if alive else run.heartbeat_at)
    seconds = max(0.0, end - run.started_at)
    done = sum(int(counts.get(fate, 0)) for fate in Fate) + int(counts.get("passed") or 0)
    # Pages and children are calls that no plan knew: more may come than were counted.
    planned = run.planned if run.planned is not None and done <= run.planned else None
    asked = sum(int(counts.get(fate, 0)) for fate in (Fate.LANDED, Fate.EMPTY, Fate.FAILED))
    stages = _stages(run, log, end, going=alive)
    extracting = next((stage.seconds for stage in stages if stage.name == "extract"), None)
    per_second = asked / (extracting or seconds) if asked and (extracting or seconds) else 0.0
    left = (planned - done) / per_second if alive and per_second and planned is not None else None
    state = "silent" if silent else run.state
    return RunView(
        run=run,
        state=state,
        words=_words(state, run, now),
        going=alive,
        done=done,
        planned=planned,
        seconds=seconds,
        per_second=per_second,
        left_s=left,
        figures=[
            (name, int(counts.get(name, 0)))
            for name in ("landed", "empty", "failed", "skipped", "refused", "retried")
        ],
        pace=str(counts.get("pace") or ""),
        rows=counts.get("rows") or {},
        body_bytes=int(counts.get("body_bytes", 0)),
        stages=stages,
        felt=_felt(run, log, end),
        speed=_speed(landed, run.started_at),
        refused=[_refused(line, run) for line in log if line.kind == "refused"][
            : -_REFUSED_SHOWN - 1 : -1
        ],
        log=[line for line in log if line.kind not in {"pace", "refused"}][-_LOG_SHOWN:],
    )


def _words(state: str, run: Run, now: float) -> str:
    if state == "silent":
        quiet = int(now - run.heartbeat_at)
        return f"nothing heard of it for {quiet} s; it was probably killed"
    if state == "running":
        return f"in process {run.pid} on {run.host}"
    return _FINISHED.get(state, state)


def _stages(run: Run, log: Sequence[Logged], end: float, *, going: bool) -> list[RunStage]:
    """Where each stage lies between the run's beginning and its end."""
    begun: dict[str, float] = {}
    over: dict[str, float] = {}
    for line in log:
        name = line.text.partition(" ")[0]
        if line.kind == "stage_started":
            begun.setdefault(name, line.at)
        elif line.kind == "stage_ended":
            over[name] = line.at
    first = min([run.started_at, *begun.values()])
    whole = max(end - first, 1e-6)
    stages = []
    for name in [*(name for name in begun if name not in STAGES), *STAGES]:
        start = begun.get(name)
        stop = over.get(name, end)
        stages.append(
            RunStage(
                name=name,
                seconds=None if start is None else max(0.0, stop - start),
                begin=0.0 if start is None else (start - first) / whole,
                share=0.0 if start is None else max(0.0, stop - start) / whole,
                going=going and start is not None and name not in over,
            )
        )
    return stages


def _felt(run: Run, log: Sequence[Logged], end: float) -> list[Felt]:
    """Which limit was felt when, until the next one or the end of the calls."""
    lines = [line for line in log if line.kind == "pace"]
    over = next(
        (line.at for line in log if line.kind == "stage_ended" and line.text == "extract"), end
    )
    ends = [*(line.at for line in lines[1:]), over]
    whole = max(over - lines[0].at, 1e-6) if lines else 1.0
    return [
        Felt(
            after_s=max(0.0, line.at - run.started_at),
            lasted_s=max(0.0, until - line.at),
            share=min(1.0, max(0.0, until - line.at) / whole),
            what=line.text,
        )
        for line, until in zip(lines, ends, strict=False)
    ][-_FELT_SHOWN:]


def _speed(landed: Sequence[tuple[float, int]], begun: float) -> list[Span]:
    """How many answers came when, in at most `_MOST_BINS` equal parts."""
    if not landed:
        return []
    first, last = landed[0][0], landed[-1][0]
    width = next((w for w in _BINS_S if (last - first) / w < _MOST_BINS), _BINS_S[-1])
    bins = [0] * (int((last - first) / width) + 1)
    for at, answers in landed:
        bins[int((at - first) / width)] += answers
    # A batch is dated by its end, so the first answers were under way a little before it.
    start = max(0.0, first - begun - width / 2)
    return [
        Span(after_s=start + place * width, lasts_s=width, answers=answers)
        for place, answers in enumerate(bins)
    ]


def _refused(line: Logged, run: Run) -> RefusedCall:
    told = msgspec.json.decode(line.text, type=Refusal)
    return RefusedCall(
        after_s=max(0.0, line.at - run.started_at),
        status=told.status,
        url=redacted(told.url),
        head=told.head,
    )


def as_record(view: RunView) -> dict[str, Any]:
    """A run as the API writes it."""
    run = view.run
    return {
        "id": run.id,
        "pipeline": run.pipeline,
        "state": view.state,
        "started_at": run.started_at,
        "heartbeat_at": run.heartbeat_at,
        "ended_at": run.ended_at,
        "exit_status": None if run.end is None else int(run.end),
        "planned": view.planned,
        "done": view.done,
        "seconds": round(view.seconds, 3),
        "per_second": round(view.per_second, 3),
        "counts": dict(view.figures),
        "rows": dict(view.rows),
        "body_bytes": view.body_bytes,
        "pace": view.pace,
        "stages": [
            {"stage": stage.name, "seconds": stage.seconds, "going": stage.going}
            for stage in view.stages
        ],
        "paces": [
            {
                "after_s": round(felt.after_s, 3),
                "lasted_s": round(felt.lasted_s, 3),
                "limit": felt.what,
            }
            for felt in view.felt
        ],
        "speed": [
            {
                "after_s": round(span.after_s, 3),
                "lasts_s": span.lasts_s,
                "answers": span.answers,
            }
            for span in view.speed
        ],
        "refused": [
            {
                "after_s": round(call.after_s, 3),
                "status": call.status,
                "url": call.url,
                "head": call.head,
            }
            for call in view.refused
        ],
        "log": [
            {"seq": line.seq, "at": line.at, "kind": line.kind, "text": line.text}
            for line in view.log
        ],
    }
