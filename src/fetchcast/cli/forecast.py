"""``fetchcast forecast``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from fetchcast.cli.options import destination, pipeline_file


@click.command()
@pipeline_file
@destination
@click.option("--again", is_flag=True, help="Forecast everything, new rows or not.")
def forecast(file: Path, destination: str | None, *, again: bool) -> int:
    """Forecast the series of FILE from the tables that are there, and answer its questions.

    No call is made and nothing is loaded but forecasts and their backtests. A series whose
    rows and options are what they were is not forecast again.
    """
    import os
    import time
    from uuid import uuid4

    from fetchcast.cli.output import answer_text, table
    from fetchcast.config import read_pipeline
    from fetchcast.events import RunEnd
    from fetchcast.pipeline.predict import Told, predict

    pipeline = read_pipeline(file, destination=destination)
    if not pipeline.series:
        click.echo(f"{pipeline.name} has no [series.NAME] to forecast")
        return RunEnd.WRONG_INPUT
    predicted = predict(
        pipeline,
        run_id=uuid4().hex[:12],
        now=time.time(),
        again=again,
        processes=os.cpu_count() or 1,
        progress=Told(partial(click.echo, err=True), time.monotonic),
    )
    rows = ([one.table, one.rows, one.destination] for one in predicted.receipts)
    if predicted.receipts:
        click.echo(table(["rows", "new", "in"], rows))
    for said in predicted.evidence:
        click.echo(f"\n{said}")
    for note in predicted.notes:
        click.echo(f"note: {note}")
    for answered in predicted.answers:
        click.echo("\n" + answer_text(answered))
    return RunEnd.INCOMPLETE if predicted.failed else RunEnd.COMPLETE
