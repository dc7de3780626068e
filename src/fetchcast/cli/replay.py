"""``fetchcast replay``."""

from __future__ import annotations

from pathlib import Path

import click

from fetchcast.cli.options import destination, pipeline_file, progress
from fetchcast.cli.output import Style


@click.command()
@pipeline_file
@destination
@progress
def replay(file: Path, destination: str | None, progress: Style) -> int:
    """Shape and load again from the answers that have landed; make no call.

    For a changed column, a new table, or another destination.
    """
    from fetchcast.cli.running import run_and_report
    from fetchcast.config import read_pipeline
    from fetchcast.pipeline import RunOptions

    pipeline = read_pipeline(file, destination=destination)
    return run_and_report(pipeline, RunOptions(ask=False), style=progress, wait=False)
