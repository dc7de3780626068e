"""``fetchcast import``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fetchcast.cli.options import force, out, write_new

if TYPE_CHECKING:
    from fetchcast.plan.adopt import Adopted


@click.group("import")
def import_() -> None:
    """Write a pipeline file from what you have: OpenAPI, a curl command, a dlt dict.

    Nothing is asked of the API. Secrets become ${NAME}, never text in the file.
    """


@import_.command()
@click.argument("source", metavar="FILE|URL")
@click.option(
    "--only",
    multiple=True,
    metavar="CALL",
    help="Take this call: operationId, path, 'POST /path', or all of a tag. Repeatable.",
)
@out
@force
def openapi(source: str, only: tuple[str, ...], out: Path, *, force: bool) -> int:
    """Write a pipeline file from an OpenAPI document (2.0, 3.0, 3.1; JSON or YAML).

    Takes every GET whose answer can become rows: its required parameters, its pages, its
    key or token, the dates. Parameters without an example get a CSV file to fill. Of an
    API with more than 20 such calls, say which with --only.
    """
    import asyncio

    from fetchcast.pipeline.draft import draft_openapi

    return _write(asyncio.run(draft_openapi(source, only)), out, force=force)


@import_.command()
@click.argument("command", metavar="'curl ...'")
@out
@force
def curl(command: str, out: Path, *, force: bool) -> int:
    """Write a pipeline file from a curl command; '-' reads it from standard input.

    A browser's developer tools give one for every call: "Copy as cURL".
    """
    from fetchcast.plan.adopt.curl import adopt_curl

    return _write(adopt_curl(sys.stdin.read() if command == "-" else command), out, force=force)


@import_.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@out
@force
def dlt(file: Path, out: Path, *, force: bool) -> int:
    """Write a pipeline file from a dlt rest_api configuration: JSON, or Python.

    Python is read, not run: the dict with `client` and `resources` is looked for in its text.
    """
    from fetchcast.errors import FileUnreadable
    from fetchcast.pipeline.draft import read_bytes
    from fetchcast.plan.adopt.dlt import adopt_dlt, read_dlt

    try:
        text = read_bytes(str(file)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileUnreadable(str(file), f"is not text in UTF-8: {error}") from None
    return _write(adopt_dlt(read_dlt(text, str(file)), where=str(file)), out, force=force)


def _write(adopted: Adopted, out: Path, *, force: bool) -> int:
    from fetchcast.pipeline.draft import hint

    write_new(out, adopted.text, force=force)
    for line in (*adopted.notes, *map(hint, adopted.secrets)):
        click.echo(line)
    count = len(adopted.document["resource"])
    click.echo(f"wrote {out} with {count} resource{'s' * (count != 1)}; next: fetchcast plan {out}")
    return 0
