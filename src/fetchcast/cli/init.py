"""``fetchcast init``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("url")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("pipeline.toml"),
    show_default=True,
    help="Where to write the file.",
)
@click.option("--force", is_flag=True, help="Overwrite it.")
def init(url: str, out: Path, *, force: bool) -> int:
    """Write a pipeline file from one example URL.

    Makes that one call, shows it, finds the rows in the answer, and proposes the
    parts of the address that look like parameters (dates, numbers, ids).
    """
    import asyncio

    from fetchcast.pipeline.draft import draft

    if out.exists() and not force:
        raise click.UsageError(f"{out} exists; --force overwrites it, --out writes elsewhere")
    made = asyncio.run(draft(url))
    out.write_text(made.text, encoding="utf-8")
    for line in made.said:
        click.echo(line)
    click.echo(f"wrote {out}; next: fetchcast plan {out}, then fetchcast run {out}")
    return 0
