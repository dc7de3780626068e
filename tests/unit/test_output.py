"""What the terminal shows while a run goes and when it has ended."""

import io
import json

from fetchcast.cli.output import Progress, closing, table
from fetchcast.events import (
    Ended,
    Notice,
    Paced,
    Passed,
    Refused,
    RunEnd,
    Sent,
    Stage,
    StageEnded,
    StageStarted,
)
from fetchcast.pipeline import ResourceReport, RunReport
from fetchcast.records import Fate, Outcome, Receipt, Request


def ended(fate: Fate) -> Ended:
    request = Request(key="k" * 32, resource="trains", url="https://a.test/x")
    outcome = Outcome(
        request=request, fate=fate, answer=None, attempts=1, reason="why", finished_at=0.0
    )
    return Ended(outcome=outcome)


EVENTS = [
    StageStarted(stage=Stage.EXTRACT, at=0.0, total=1200),
    Sent(at=0.0),
    Sent(at=0.0),
    Sent(at=0.0),
    Refused(at=0.0, status=503),
    ended(Fate.LANDED),
    Passed(at=0.0, count=400),
    Paced(at=0.0, text="10 at once"),
]


def test_the_line_says_everything_that_matters() -> None:
    progress = Progress("line", io.StringIO())
    for event in EVENTS:
        progress.update(event)
    line = progress.line()
    assert line.startswith("401/1,200 calls · ")
    for part in ("1 in flight", "1 refused", "0 failed", " left", "10 at once"):
        assert part in line


def test_a_terminal_gets_one_line_that_is_wiped_and_a_log_gets_lines() -> None:
    line, log = io.StringIO(), io.StringIO()
    for stream, style in ((line, "line"), (log, "log")):
        progress = Progress(style, stream)  # type: ignore[arg-type]
        for event in [*EVENTS, Notice(at=0.0, text="found: 10 at once")]:
            progress.update(event)
        progress.update(StageEnded(stage=Stage.EXTRACT, at=1.0))
    assert "\r" in line.getvalue()
    assert "\r" not in log.getvalue()
    assert "extract begins: 1,200 calls" in log.getvalue()
    for stream in (line, log):
        assert "found: 10 at once\n" in stream.getvalue()
        assert "401/1,200 calls" in stream.getvalue()


def test_json_lines_can_be_read_one_by_one() -> None:
    stream = io.StringIO()
    progress = Progress("json", stream)
    for event in EVENTS:
        progress.update(event)
    progress.update(StageEnded(stage=Stage.EXTRACT, at=1.0))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines[0]["event"] == "StageStarted"
    assert lines[-1]["done"] == 401
    assert lines[-1]["refused"] == 1


def test_nothing_is_nothing() -> None:
    stream = io.StringIO()
    progress = Progress("none", stream)
    for event in [*EVENTS, Notice(at=0.0, text="found")]:
        progress.update(event)
    assert stream.getvalue() == ""


def test_the_closing_table_accounts_for_every_call() -> None:
    trains = ResourceReport(planned=10, already=3, repeated=1)
    trains.fates.update({Fate.LANDED: 4, Fate.FAILED: 1})
    report = RunReport(run_id="r", pipeline="trains", end=RunEnd.INCOMPLETE, total_s=2.0)
    report.resources["trains"] = trains
    report.receipts.append(Receipt(destination="duckdb:///x.duckdb", table="stops", rows=1234))
    report.fail("f" * 32, "https://a.test/x", "HTTP 500: 'oops'")
    text = closing(report)
    assert trains.unasked == 1
    assert "INCOMPLETE in 2.0 s" in text
    assert "stops  1,234  duckdb:///x.duckdb" in text
    assert "https://a.test/x: HTTP 500: 'oops'  [ffffffffffff]" in text
    (line,) = [line for line in text.splitlines() if line.startswith("trains  ")]
    assert [int(n) for n in line.split()[1:]] == [10, 4, 0, 1, 0, 3, 1, 1]


def test_columns_line_up() -> None:
    text = table(["name", "rows", "where"], [("a", 1234, "x"), ("longer", 5, "y")])
    assert text.splitlines() == [
        "name     rows  where",
        "a       1,234  x",
        "longer      5  y",
    ]
