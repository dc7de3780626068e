"""``fetchcast plan``."""

from __future__ import annotations

import json
import time
from itertools import islice
from pathlib import Path

import click

from fetchcast.cli.options import base_url, pipeline_file


@click.command()
@pipeline_file
@base_url
@click.option("--json", "as_json", is_flag=True, help="One JSON object a call, all of them.")
@click.option("--first", default=3, show_default=True, help="How many calls to show.")
def plan(file: Path, base_url: str | None, *, as_json: bool, first: int) -> None:
    """Show how many calls a run of FILE would make, the first ones, and what has landed.

    Nothing is sent.
    """
    from fetchcast.cli.output import table
    from fetchcast.config import read_pipeline
    from fetchcast.pipeline.ask import plans

    pipeline = read_pipeline(file, base_url=base_url)
    made = plans(pipeline, now=time.time())
    if as_json:
        for one in made:
            for row in one.rows():
                call = row.request
                click.echo(
                    json.dumps(
                        {
                            "resource": one.name,
                            "key": call.key if call else None,
                            "url": call.url if call else None,
                            "skipped": row.reason,
                            "params": dict(row.params),
                        }
                    )
                )
        return
    landed = _landed(pipeline.landing_folder, list(pipeline.resource))
    rows = [(one.name, count := one.count(), min(count, landed.get(one.name, 0))) for one in made]
    click.echo(f"{pipeline.name}: {sum(row[1] for row in rows):,} calls planned")
    click.echo(table(["calls", "planned", "landed before"], rows))
    for one in made:
        click.echo(f"\nfirst of {one.name}:")
        for row in islice(one.rows(), first):
            where = row.request.url if row.request else f"skipped: {row.reason}"
            click.echo(f"  {row.request.key[:12] if row.request else '-' * 12}  {where}")
    click.echo(f"\ninto {', '.join(pipeline.destinations)}; nothing was sent")


def _landed(folder: Path, resources: list[str]) -> dict[str, int]:
    from fetchcast.landing.reader import open_reader
    from fetchcast.records import Fate

    if not folder.exists():
        return {}
    with open_reader(folder) as reader:
        counts = {name: reader.counts(name) for name in resources}
        return {name: fates[Fate.LANDED] + fates[Fate.EMPTY] for name, fates in counts.items()}
