"""``fetchcast serve``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fetchcast.cli.options import destination, pipeline_file

if TYPE_CHECKING:
    from fetchcast.config import Pipeline


@click.command()
@pipeline_file
@destination
@click.option("--host", default="127.0.0.1", show_default=True, help="Another one needs a token.")
@click.option("--port", default=8028, show_default=True, help="0 takes a free one.")
@click.option(
    "--token", envvar="FETCHCAST_TOKEN", help="What visitors must know. [FETCHCAST_TOKEN]"
)
def serve(file: Path, destination: str | None, host: str, port: int, token: str | None) -> int:
    """Open the app on the answers of FILE; Ctrl-C stops it.

    It reads the destination and the landing, and writes to neither: a run may go on
    meanwhile.
    """
    from fetchcast.config import read_pipeline

    return serve_pipeline(read_pipeline(file, destination=destination), file, host, port, token)


def serve_pipeline(
    pipeline: Pipeline, file: Path, host: str, port: int, token: str | None = None
) -> int:
    """Serve ``pipeline`` until Ctrl-C, and say where."""
    import msgspec

    from fetchcast.serve.app import create_app
    from fetchcast.serve.app import serve as serve_app
    from fetchcast.serve.source import AppOptions, Source

    source = Source(
        name=pipeline.name,
        destination=pipeline.destinations[0],
        folder=pipeline.folder,
        questions=pipeline.question,
        series=pipeline.series,
        landing=pipeline.landing_folder,
        file=str(file),
        options=AppOptions(**msgspec.structs.asdict(pipeline.app)),
    )
    app = create_app(source, token=token)
    serve_app(
        app, host=host, port=port, on_ready=lambda url: click.echo(f"open {url}  (Ctrl-C stops)")
    )
    return 0
