"""``fetchcast run``."""

from __future__ import annotations

from pathlib import Path

import click

from fetchcast.cli.options import (
    again,
    base_url,
    destination,
    executor,
    file_or_url,
    header,
    params,
    progress,
    rows,
    save,
)
from fetchcast.cli.output import Style


@click.command()
@file_or_url
@base_url
@destination
@params
@rows
@header
@save
@executor
@progress
@click.option("--only", metavar="KEY", help="Ask for this call alone (a key from `plan`).")
@click.option("--full-refresh", is_flag=True, help="Ask again also for what has landed.")
@click.option("--no-forecast", is_flag=True, help="End after the load.")
@again
def run(
    file: Path | str,
    base_url: str | None,
    destination: str | None,
    params: tuple[str, ...],
    rows: str | None,
    headers: tuple[str, ...],
    save: Path | None,
    executor: str | None,
    progress: Style,
    only: str | None,
    *,
    full_refresh: bool,
    no_forecast: bool,
    wait: bool,
) -> int:
    """Ask every call of FILE that has not landed, keep the answers, load them, forecast.

    Instead of a FILE, an address with its parameters says what to ask; table, answers and
    database then get names from it, in this folder:

    \b
      fetchcast run 'https://host/x/{id}' --params ids.csv --to duckdb:///x.duckdb

    Run it again at any time: what has landed is not asked again. Data go to the
    destination; progress goes to stderr, the closing table to stdout.

    \b
    Exit status: 0 every call is accounted for; 2 FILE is wrong; 3 calls failed or
    input rows were rejected; 4 a cap of yours was reached; 5 landing or destination
    not usable; 130 Ctrl-C.
    """
    import os

    from fetchcast.cli.given import Given
    from fetchcast.cli.running import run_and_report
    from fetchcast.pipeline import RunOptions

    pipeline = Given(
        file=file,
        base_url=base_url,
        destination=destination,
        executor=executor,
        params=params,
        rows=rows,
        headers=headers,
        save=save,
        runs=True,
    ).read()
    options = RunOptions(
        only=only,
        again=full_refresh,
        forecast=not no_forecast,
        processes=os.cpu_count() or 1,
    )
    return run_and_report(pipeline, options, style=progress, wait=wait)
