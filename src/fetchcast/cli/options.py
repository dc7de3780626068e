"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

pipeline_file = click.argument(
    "file", type=click.Path(dir_okay=False, path_type=Path), default=Path("pipeline.toml")
)


def _file_or_url(context: click.Context, argument: click.Parameter, text: str) -> Path | str:
    """The path of a pipeline file, or an address, which is left as it is."""
    if text.startswith(("http://", "https://")):
        return text
    path: Path = click.Path(dir_okay=False, path_type=Path).convert(text, argument, context)
    return path


file_or_url = click.argument(
    "file", metavar="[FILE|URL]", default="pipeline.toml", callback=_file_or_url
)
params = click.option(
    "--params",
    multiple=True,
    metavar="VALUES",
    help="With a URL: what stands for its {name}. NAME=1,2,3, NAME=1..100, NAME=FIRST..LAST of "
    "days, NAME=FILE, or a CSV, Parquet or NDJSON file with such columns. Repeatable.",
)
rows = click.option("--rows", metavar="PATH", help="With a URL: where rows are in an answer.")
header = click.option(
    "--header",
    "-H",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    help="With a URL: sent with every call; secrets as ${NAME}.",
)
save = click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With a URL: write the pipeline file that says the same, and go on.",
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


executor = click.option(
    "--executor",
    metavar="WHERE",
    help="Where work is done, instead of what the file says: local, local:4 (processes of this "
    "machine), or dask://HOST:8786.",
)
