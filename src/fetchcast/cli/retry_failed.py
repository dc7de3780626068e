"""``fetchcast retry-failed``."""

from __future__ import annotations

from pathlib import Path

import click

from fetchcast.cli.options import base_url, pipeline_file, progress
from fetchcast.cli.output import Style


@click.command("retry-failed")
@pipeline_file
@base_url
@progress
def retry_failed(file: Path, base_url: str | None, progress: Style) -> int:
    """Ask again for just the calls of FILE that failed in earlier runs."""
    from fetchcast.cli.running import run_and_report
    from fetchcast.config import read_pipeline
    from fetchcast.pipeline import RunOptions

    pipeline = read_pipeline(file, base_url=base_url)
    return run_and_report(pipeline, RunOptions(failed_only=True), style=progress, wait=False)
