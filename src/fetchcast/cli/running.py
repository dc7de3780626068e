"""Running a pipeline from a command: progress, closing table, exit status."""

from __future__ import annotations

import time

import click

from fetchcast.cli.output import Progress, Style, answer_text, closing
from fetchcast.config import Pipeline
from fetchcast.errors import LandingInUse
from fetchcast.pipeline import RunOptions, RunReport, run

_POLL_S = 2.0


def run_and_report(pipeline: Pipeline, options: RunOptions, *, style: Style, wait: bool) -> int:
    """Run ``pipeline``, print how it ended, and return the exit status."""
    report = run_with_progress(pipeline, options, style=style, wait=wait)
    click.echo(closing(report))
    for said in report.evidence:
        click.echo(f"\n{said}")
    for answered in report.answers:
        click.echo("\n" + answer_text(answered))
    return report.end


def run_with_progress(
    pipeline: Pipeline, options: RunOptions, *, style: Style, wait: bool
) -> RunReport:
    """Run ``pipeline`` with progress on stderr; with ``wait``, after another run has ended."""
    said = False
    while True:
        progress = Progress(style)
        try:
            return run(pipeline, options=options, subscribers=[progress.update])
        except LandingInUse as error:
            if not wait:
                raise
            if not said:
                click.echo(f"waiting: {error.args[1]}", err=True)
                said = True
            time.sleep(_POLL_S)
            continue
