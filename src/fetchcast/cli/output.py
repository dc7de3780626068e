"""What the terminal shows: the progress line while a run goes, the table when it has ended."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Literal, TextIO, TypeAlias

import click

from fetchcast.events import (
    Counters,
    Event,
    Notice,
    Paced,
    RunEnd,
    Stage,
    StageEnded,
    StageStarted,
)
from fetchcast.records import Fate

if TYPE_CHECKING:
    from fetchcast.forecast import Answered
    from fetchcast.pipeline import RunReport

Style: TypeAlias = Literal["auto", "line", "log", "json", "none"]

_REDRAW_S = 0.1
_LOG_S = 10.0


@dataclass(slots=True)
class Progress:
    """Subscribe `update`: a live line on a terminal, log lines elsewhere, or JSON lines.

    Args:
        style: ``auto`` is a line on a terminal and log lines elsewhere.
        stream: Where it goes; never where the data go.
    """

    style: Style = "auto"
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    counters: Counters = field(default_factory=Counters)
    _begun: float = field(default_factory=time.monotonic)
    _shown: float = 0.0
    _drawn: bool = False
    _limit: str = ""

    def __post_init__(self) -> None:
        if self.style == "auto":
            self.style = "line" if self.stream.isatty() else "log"

    def update(self, event: Event) -> None:
        """Count ``event``, and show it if it is time."""
        self.counters.update(event)
        match event:
            case StageStarted(stage=stage):
                self._begun = time.monotonic()
                self._shown = 0.0 if self.style == "line" else self._begun
                if self.style == "log" and stage is not Stage.PLAN:
                    self._log(f"{stage} begins" + self._of_total(event))
            case StageEnded(stage=stage):
                self._end_stage(stage)
            case Paced(text=text):
                self._limit = text
            case Notice(text=text):
                self._clear()
                if self.style in {"line", "log"}:
                    click.echo(text, file=self.stream)
            case _:
                self._tick()
        if self.style == "json" and isinstance(event, StageStarted | StageEnded | Notice):
            self._json(event)

    def _of_total(self, event: StageStarted) -> str:
        return f": {event.total:,} calls" if event.total is not None else ""

    def _end_stage(self, stage: Stage) -> None:
        self._clear()
        if self.style in {"log", "line"} and stage is Stage.EXTRACT:
            self._log(self.line())
        elif self.style == "log" and stage is not Stage.PLAN:
            self._log(f"{stage} done in {time.monotonic() - self._begun:.1f} s")

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._shown < (_LOG_S if self.style == "log" else _REDRAW_S):
            return
        self._shown = now
        if self.style == "line":
            width = get_terminal_size().columns - 1
            self.stream.write("\r\x1b[2K" + self.line()[:width])
            self.stream.flush()
            self._drawn = True
        elif self.style == "log":
            self._log(self.line())
        elif self.style == "json":
            self._json(None)

    def _clear(self) -> None:
        if self._drawn:
            self.stream.write("\r\x1b[2K")
            self._drawn = False

    def _log(self, text: str) -> None:
        click.echo(f"{time.strftime('%H:%M:%S')}  {text}", file=self.stream)

    def _json(self, event: Event | None) -> None:
        counters = asdict(self.counters)
        counters["done"] = self.done
        if event is not None:
            counters = {"event": type(event).__name__, **asdict(event), **counters}
        click.echo(json.dumps(counters, default=str), file=self.stream)

    @property
    def done(self) -> int:
        """Rows of the plan that are accounted for."""
        return sum(self.counters.ended.values()) + self.counters.passed

    def line(self) -> str:
        """The state of the extraction, in one line."""
        counters, done = self.counters, self.done
        elapsed = max(1e-9, time.monotonic() - self._begun)
        rate = sum(counters.ended.values()) / elapsed
        parts = [
            f"{done:,}" if counters.planned is None else f"{done:,}/{counters.planned:,} calls"
        ]
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")  # noqa: PLR2004
        if counters.in_flight:
            parts.append(f"{counters.in_flight} in flight")
        parts.append(f"{counters.refused:,} refused")
        if counters.retried:
            parts.append(f"{counters.retried:,} retried")
        parts.append(f"{counters.ended[Fate.FAILED]:,} failed")
        if counters.planned and rate and done < counters.planned:
            parts.append(f"{_span((counters.planned - done) / rate)} left")
        if self._limit:
            parts.append(self._limit)
        return " · ".join(parts)


def _span(seconds: float) -> str:
    if seconds < 90:  # noqa: PLR2004  a minute and a half reads better in seconds
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"  # noqa: PLR2004


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows in columns: the first column and texts to the left, numbers to the right."""
    cells = [[_cell(value) for value in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    numeric = [False, *(all(_is_number(row[i]) for row in cells[1:]) for i in range(1, len(head)))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    )


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").replace("-", "").isdigit() or not text


_ENDS = {
    RunEnd.COMPLETE: "complete",
    RunEnd.INCOMPLETE: "INCOMPLETE",
    RunEnd.STOPPED: "stopped at a cap of yours",
}


def closing(report: RunReport) -> str:
    """The end of a run in a few lines: every call is in one of the columns."""
    calls = table(
        [
            "calls",
            "planned",
            "landed",
            "empty",
            "failed",
            "skipped",
            "before",
            "repeats",
            "unasked",
        ],
        (
            [
                name,
                one.planned,
                *(one.fates[fate] for fate in Fate),
                one.already,
                one.repeated,
                one.unselected + one.unasked,
            ]
            for name, one in report.resources.items()
        ),
    )
    lines = [
        f"{report.pipeline}: {_ENDS.get(report.end, report.end.name)} in {report.total_s:.1f} s"
    ]
    if report.stopped or any(one.accounted for one in report.resources.values()):
        lines.append(calls)
    if report.receipts:
        rows = ([one.table, one.rows, one.destination] for one in report.receipts)
        lines += ["", table(["rows", "new", "in"], rows)]
    if report.rejects:
        lines += ["", f"{report.rejects:,} values did not fit: see the table _rejects"]
    if report.sent:
        lines += ["", f"pace: {report.pace}"]
    lines += [f"note: {note}" for note in report.notes]
    return "\n".join([*lines, *_failures(report)])


def _failures(report: RunReport) -> list[str]:
    lines = [""] if report.failures or report.stopped else []
    if report.stopped:
        lines.append(f"stopped: {report.stopped}")
    lines += [f"  {one.what}: {one.reason}  [{one.key[:12]}]" for one in report.failures]
    total = report.count(Fate.FAILED) + report.count(Fate.SKIPPED)
    if total > len(report.failures) > 0:
        lines.append(f"  … and {total - len(report.failures):,} more; `fetchcast status` has them")
    return lines


_DOT, _RING = "●", "○"


def answer_text(answered: Answered) -> str:
    """The answer to a question, as a person reads it in a terminal."""
    choices = [answered.choice, *answered.alternatives]
    rows = [
        [
            choice.label,
            choice.scheduled.clock if choice.scheduled else "",
            choice.expected.clock or f"{choice.expected.value:.1f} {answered.unit}".strip(),
            _dots(choice.probability),
            _percent(choice.probability),
        ]
        for choice in sorted(choices, key=lambda choice: -choice.probability)
    ]
    lines = [
        f"{answered.headline}  {answered.date:%A %-d %B %Y}",
        "",
        f"  {_percent(answered.choice.probability)}  {answered.sentence}",
        f"  {answered.detail}",
    ]
    if answered.alternatives:
        head = ["choice", "timetable", "expected", "20 equally likely days", ""]
        lines += ["", *(f"  {line}" for line in table(head, rows).splitlines())]
    said = [answered.history.sentence, answered.reliability.sentence]
    lines += ["", *(f"  {text}" for text in (*said, answered.why) if text)]
    return "\n".join(lines)


def _percent(share: float) -> str:
    """Never "100 %" or "0 %" of something that is not certain."""
    if 0 < share < 1:
        share = min(0.99, max(0.01, share))
    return f"{100 * share:.0f} %"


def _dots(probability: float) -> str:
    sure = round(20 * probability)
    return _DOT * sure + _RING * (20 - sure)
