"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

pipeline_file = click.argument(
    "file", type=click.Path(dir_okay=False, path_type=Path), default=Path("pipeline.toml")
)
base_url = click.option("--base-url", metavar="URL", help="Use this instead of the file's.")
destination = click.option(
    "--to", "destination", metavar="URL", help="Use this destination instead of the file's."
)
progress = click.option(
    "--progress",
    type=click.Choice(["auto", "line", "log", "json", "none"]),
    default="auto",
    help="How progress is shown on stderr; auto is a line on a terminal, log lines elsewhere.",
)
again = click.option(
    "--wait", is_flag=True, help="If another run of this pipeline is going, wait for its end."
)
out = click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("pipeline.toml"),
    show_default=True,
    help="Where to write the file.",
)
force = click.option("--force", is_flag=True, help="Overwrite it.")


def write_new(path: Path, text: str | None, *, force: bool) -> None:
    """Write ``text`` to ``path``, which must not exist without ``force``; None only checks."""
    if path.exists() and not force:
        raise click.UsageError(f"{path} exists; --force overwrites it, --out writes elsewhere")
    if text is not None:
        path.write_text(text, encoding="utf-8")
