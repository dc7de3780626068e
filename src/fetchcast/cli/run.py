"""``fetchcast run``."""

from __future__ import annotations

from pathlib import Path

import click

from fetchcast.cli.options import again, base_url, destination, pipeline_file, progress
from fetchcast.cli.output import Style


@click.command()
@pipeline_file
@base_url
@destination
@progress
@click.option("--only", metavar="KEY", help="Ask for this call alone (a key from `plan`).")
@click.option("--full-refresh", is_flag=True, help="Ask again also for what has landed.")
@click.option("--no-forecast", is_flag=True, help="End after the load.")
@again
def run(
    file: Path,
    base_url: str | None,
    destination: str | None,
    progress: Style,
    only: str | None,
    *,
    full_refresh: bool,
    no_forecast: bool,
    wait: bool,
) -> int:
    """Ask every call of FILE that has not landed, keep the answers, load them, forecast.

    Run it again at any time: what has landed is not asked again. Data go to the
    destination; progress goes to stderr, the closing table to stdout.

    \b
    Exit status: 0 every call is accounted for; 2 FILE is wrong; 3 calls failed or
    input rows were rejected; 4 a cap of yours was reached; 5 landing or destination
    not usable; 130 Ctrl-C.
    """
    from fetchcast.cli.running import run_and_report
    from fetchcast.config import read_pipeline
    from fetchcast.pipeline import RunOptions

    pipeline = read_pipeline(file, base_url=base_url, destination=destination)
    options = RunOptions(only=only, again=full_refresh, forecast=not no_forecast)
    return run_and_report(pipeline, options, style=progress, wait=wait)
