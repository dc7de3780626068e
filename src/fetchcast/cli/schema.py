"""``fetchcast schema``."""

from __future__ import annotations

import json

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of a pipeline file; editors check and complete with it."""
    from fetchcast.config import schema as pipeline_schema

    click.echo(json.dumps(pipeline_schema(), indent=2))
