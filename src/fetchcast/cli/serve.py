"""``fetchcast serve``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fetchcast.cli.options import base_url, destination, pipeline_file

if TYPE_CHECKING:
    from fetchcast.config import Pipeline


@click.command()
@pipeline_file
@base_url
@destination
@click.option("--host", default="127.0.0.1", show_default=True, help="Another one needs a token.")
@click.option("--port", default=8028, show_default=True, help="0 takes a free one.")
@click.option(
    "--token", envvar="FETCHCAST_TOKEN", help="What visitors must know. [FETCHCAST_TOKEN]"
)
@click.option(
    "--behind-proxy",
    "proxies",
    multiple=True,
    metavar="NETWORK",
    help="Answer a proxy at this address or network alone; it asks people who they are.",
)
def serve(
    file: Path,
    base_url: str | None,
    destination: str | None,
    host: str,
    port: int,
    *,
    token: str | None,
    proxies: Sequence[str],
) -> int:
    """Open the app on the answers of FILE; Ctrl-C stops it.

    It reads the destination and the landing, and writes to neither: a run may go on
    meanwhile.
    """
    from fetchcast.config import read_pipeline

    pipeline = read_pipeline(file, base_url=base_url, destination=destination)
    given = {"--base-url": base_url, "--to": destination}
    arguments = [word for name, value in given.items() if value for word in (name, value)]
    return serve_pipeline(
        pipeline, file, host, port, token=token, proxies=proxies, run_arguments=arguments
    )


def serve_pipeline(
    pipeline: Pipeline,
    file: Path,
    host: str,
    port: int,
    *,
    token: str | None = None,
    proxies: Sequence[str] = (),
    run_arguments: Sequence[str] = (),
) -> int:
    """Serve ``pipeline`` until Ctrl-C, and say where; runs started there get ``run_arguments``."""
    from fetchcast.serve.app import create_app
    from fetchcast.serve.app import serve as serve_app
    from fetchcast.serve.source import Source

    source = Source(
        name=pipeline.name,
        destination=pipeline.destinations[0],
        folder=pipeline.folder,
        questions=pipeline.question,
        series=pipeline.series,
        landing=pipeline.landing_folder,
        file=str(file),
        api=pipeline.api.base_url,
        run_arguments=tuple(run_arguments),
        options=pipeline.app,
    )

    def ready(url: str) -> None:
        click.echo(f"open {url}  (Ctrl-C stops)")

    with suppress(KeyboardInterrupt):  # Ctrl-C is how it is meant to end.
        serve_app(
            create_app(source, token=token, proxies=proxies), host=host, port=port, on_ready=ready
        )
    return 0
