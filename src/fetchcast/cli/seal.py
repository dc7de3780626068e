"""``fetchcast seal``."""

from __future__ import annotations

from pathlib import Path

import click

from fetchcast.cli.options import pipeline_file


@click.command()
@pipeline_file
@click.option("--older-than", metavar="SPAN", help="Only answers older than this: '90 days'.")
def seal(file: Path, older_than: str | None) -> None:
    """Move the landed bodies of FILE into Parquet files, which any tool can read.

    They stay as good as before, as long as the files are where they are. Prints the files that were
    made. Not while a run of FILE goes.
    """
    import time

    from fetchcast.config import read_pipeline
    from fetchcast.landing.options import kept_seconds
    from fetchcast.landing.sealing import seal_landing

    pipeline = read_pipeline(file)
    if older_than in {"raw", "none"}:
        raise click.UsageError(f"--older-than {older_than}: expected a time such as '90 days'")
    age_s = kept_seconds(older_than) if older_than else None
    folder = pipeline.landing_folder
    made = []
    if folder.exists():
        made = seal_landing(folder, before=None if age_s is None else time.time() - age_s)
    for path in made:
        click.echo(path)
    size = sum(path.stat().st_size for path in made)
    what = f"{len(made)} files with {size / 1e6:,.1f} MB made" if made else "nothing to seal"
    click.echo(f"{pipeline.name}: {what}", err=True)
