"""``fetchcast demo``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fetchcast.sandbox import Sandbox

_MARK = ".made-by-fetchcast-demo"
_FILES = ("train-27/pipeline.toml", "companies/v1.toml", "companies/v3.toml")


@click.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("fetchcast-demo"),
    show_default=True,
    help="Where the examples and their results go; made anew each time.",
)
@click.option(
    "--latency", "latency_ms", default=100.0, show_default=True, help="Of the sandbox, ms."
)
@click.option("--concurrency", type=int, help="Calls that the sandbox answers at one time.")
@click.option(
    "--fail-share", default=0.0, show_default=True, help="Share of calls that fail there."
)
@click.option(
    "--serve/--no-serve",
    "serving",
    default=None,
    help="Open the app at the end, or end after the answer.  [default: open, unless CI is set]",
)
@click.option("--port", default=8028, show_default=True, help="Of the app; 0 takes a free one.")
def demo(
    folder: Path,
    latency_ms: float,
    concurrency: int | None,
    fail_share: float,
    *,
    serving: bool | None,
    port: int,
) -> int:
    """Run both examples against the sandbox, print the answer, and open the app on it.

    The sandbox answers on this machine with recorded data: no network is needed.
    """
    from fetchcast.cli.serve import serve_pipeline
    from fetchcast.config import read_pipeline
    from fetchcast.sandbox import SandboxOptions, running_sandbox

    if serving is None:
        serving = "CI" not in os.environ
    _lay_out(folder)
    options = SandboxOptions(latency_ms=latency_ms, concurrency=concurrency, fail_share=fail_share)
    with running_sandbox(options) as sandbox:
        click.echo(f"the sandbox answers at {sandbox.url} after {latency_ms:g} ms a call\n")
        status = max(_run(folder / file, sandbox) for file in reversed(_FILES))
        _check(folder, sandbox)
        if not serving:
            click.echo(f"\nthe results are in {folder}/")
            return status
        file = folder / _FILES[0]
        click.echo()
        address = sandbox.rail_url
        pipeline = read_pipeline(file, base_url=address)
        again = ("--base-url", address)  # "Run now" on the page asks the sandbox, too.
        return serve_pipeline(pipeline, file, "127.0.0.1", port, run_arguments=again) or status


def _lay_out(folder: Path) -> None:
    """Copy the examples; a folder that is not ours is left alone."""
    if folder.exists():
        if any(folder.iterdir()) and not (folder / _MARK).exists():
            raise click.UsageError(
                f"{folder} has files that are not a demo's; --folder names another"
            )
        shutil.rmtree(folder)
    for source in ("train-27", "companies"):
        shutil.copytree(examples() / source, folder / source, ignore=_results)
    (folder / _MARK).touch()


def _results(_: str, names: list[str]) -> set[str]:
    """What an earlier run left in the examples."""
    return {
        name
        for name in names
        if name.startswith((".", "results")) or ".duckdb" in name or name == "__pycache__"
    }


def examples() -> Path:
    """Where the examples are: in the package, or beside it in a checkout."""
    packaged = Path(__file__).parents[1] / "examples"
    return packaged if packaged.exists() else Path(__file__).parents[3] / "examples"


def _run(file: Path, sandbox: Sandbox) -> int:
    from fetchcast.cli.running import run_and_report
    from fetchcast.config import read_pipeline
    from fetchcast.pipeline import RunOptions

    addresses = {
        "train-27": sandbox.rail_url,
        "v1": sandbox.prh_v1_url,
        "v3": sandbox.prh_v3_url,
    }
    address = addresses.get(file.stem) or addresses[file.parent.name]
    click.echo(f"$ fetchcast run --base-url {address} {file}")
    status = run_and_report(
        read_pipeline(file, base_url=address), RunOptions(), style="auto", wait=False
    )
    click.echo()
    return status


def _check(folder: Path, sandbox: Sandbox) -> None:
    """Hold what is in the table against what the sandbox says it served."""
    from fetchcast.config import read_pipeline
    from fetchcast.load.destinations import open_destination

    pipeline = read_pipeline(folder / _FILES[0])
    destination = open_destination(pipeline.destinations[0], pipeline.folder)
    rows = destination.query("select count(*) as n from stops").column("n")[0].as_py()
    served = sandbox.stats()["rows_distinct"]
    verdict = "the same" if rows == served else "NOT THE SAME"
    click.echo(f"checked: the sandbox served {served:,} stops, the table has {rows:,}: {verdict}")
    if rows != served:
        raise click.ClickException("the table does not hold what was served; this is a bug")
