"""The pipeline that a command was given: a file, or an address with its parameters."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from fetchcast.cli.options import write_new
from fetchcast.config import Pipeline, read_pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What stands on the command line."""

    file: Path | str
    base_url: str | None = None
    destination: str | None = None
    executor: str | None = None
    params: tuple[str, ...] = ()
    rows: str | None = None
    headers: tuple[str, ...] = ()
    save: Path | None = None
    runs: bool = False
    """Whether calls will be made, and it is worth a word what they are kept as."""

    def read(self) -> Pipeline:
        """The pipeline; with an address, what is made of it is said on stderr.

        Raises:
            FetchcastError: If it cannot be read.
            UsageError: If options do not go together.
        """
        if isinstance(self.file, Path):
            for name in ("params", "rows", "headers", "save"):
                if getattr(self, name):
                    option = "header" if name == "headers" else name
                    raise click.UsageError(f"--{option} goes with a URL; {self.file} is a file")
            return read_pipeline(
                self.file,
                base_url=self.base_url,
                destination=self.destination,
                executor=self.executor,
            )
        return self._of_address(self.file)

    def _of_address(self, url: str) -> Pipeline:
        from fetchcast.pipeline.addressed import as_file, describe, described

        if self.executor:
            raise click.UsageError("--executor goes with a file: a cluster is for many calls")
        if self.base_url:
            raise click.UsageError("--base-url goes with a file; a URL says it already")
        folder = Path.cwd()
        if self.save and self.save.resolve().parent != folder.resolve():
            raise click.UsageError("--save writes into this folder: the paths in it begin here")
        document = describe(
            url,
            self.params,
            folder=folder,
            destination=self.destination,
            rows=self.rows,
            headers=self.headers,
        )
        pipeline = described(document, folder)
        if not self.runs:
            return pipeline
        (table,) = pipeline.table
        into = ", ".join(pipeline.destinations)
        click.echo(f"table {table} of {into}, answers in .fetchcast/{pipeline.name}", err=True)
        if self.save:
            write_new(self.save, as_file(document), force=False)
            click.echo(f"wrote {self.save}; from now on: fetchcast run {self.save}", err=True)
        else:
            command = shlex.join(["fetchcast", *sys.argv[1:]])
            click.echo(f"to keep this as a file: {command} --save pipeline.toml", err=True)
        return pipeline
