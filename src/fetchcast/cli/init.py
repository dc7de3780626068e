"""``fetchcast init``."""

from __future__ import annotations

from pathlib import Path

import click

from fetchcast.cli.options import force, out, write_new


@click.command()
@click.argument("url")
@click.option(
    "--header", "-H", "headers", multiple=True, metavar="'NAME: VALUE'", help="Sent with the call."
)
@out
@force
def init(url: str, headers: tuple[str, ...], out: Path, *, force: bool) -> int:
    """Write a pipeline file from one example URL.

    Makes that one call, shows it, and proposes from the answer: where the rows are, which
    field names a row, dates and times, pages; and from the address: parameters (dates,
    numbers, ids). A key or password in it becomes ${NAME}.
    """
    import asyncio

    from fetchcast.pipeline.draft import draft

    write_new(out, None, force=force)
    made = asyncio.run(draft(url, headers))
    write_new(out, made.text, force=force)
    for line in made.said:
        click.echo(line)
    click.echo(f"wrote {out}; next: fetchcast plan {out}, then fetchcast run {out}")
    return 0
