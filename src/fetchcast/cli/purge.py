"""``fetchcast purge``."""

from __future__ import annotations

from pathlib import Path

import click

from fetchcast.cli.options import pipeline_file


@click.command()
@pipeline_file
@click.option("--key", "keys", multiple=True, metavar="KEY", help="This call; may be repeated.")
@click.option("--resource", help="Only calls of this resource.")
@click.option("--older-than", metavar="SPAN", help="Only answers older than this: '90 days'.")
@click.option("--all", "everything", is_flag=True, help="Every answer.")
@click.option("--damaged", is_flag=True, help="Batches that cannot be read any more.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge(
    file: Path,
    keys: tuple[str, ...],
    resource: str | None,
    older_than: str | None,
    *,
    everything: bool,
    damaged: bool,
    yes: bool,
) -> None:
    """Erase landed answers of FILE for good; a run asks for these calls again.

    Tables that were loaded from them stay as they are. Where several conditions are
    given, an answer must meet all of them.
    """
    import time

    from fetchcast.config import read_pipeline
    from fetchcast.landing.options import kept_seconds
    from fetchcast.landing.retention import purge as erase
    from fetchcast.landing.retention import purge_damaged

    if not (keys or resource or older_than or everything or damaged):
        raise click.UsageError("say what to erase: --key, --resource, --older-than or --all")
    pipeline = read_pipeline(file)
    folder = pipeline.landing_folder
    if not folder.exists():
        click.echo(f"{pipeline.name}: nothing has landed, so there is nothing to erase")
        return
    if damaged:
        click.echo(f"{purge_damaged(folder):,} damaged batches removed")
        return
    if not yes:
        click.confirm(f"erase answers from {folder} for good?", abort=True)
    age_s = kept_seconds(older_than) if older_than else None
    erased = erase(
        folder,
        keys=_whole(folder, keys) or None,
        resource=resource,
        before=None if age_s is None else time.time() - age_s,
    )
    click.echo(f"{erased:,} answers erased")


def _whole(folder: Path, keys: tuple[str, ...]) -> list[str]:
    """Keys may be given as their first digits, as `status` and `plan` show them."""
    from fetchcast.landing.reader import open_reader
    from fetchcast.records import Fate

    wanted = [key for key in keys if len(key) == 32]  # noqa: PLR2004  a whole key
    heads = tuple(key for key in keys if len(key) != 32)  # noqa: PLR2004
    if heads:
        with open_reader(folder) as reader:
            answers = reader.answers(fates=list(Fate))
            wanted += [one.key for one in answers if one.key.startswith(heads)]
        if not wanted:
            raise click.UsageError(f"no answer has a key that begins with {', '.join(heads)}")
    return wanted
