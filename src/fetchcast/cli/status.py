"""``fetchcast status``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fetchcast.cli.options import pipeline_file

if TYPE_CHECKING:
    from fetchcast.landing.reader import Reader


@click.command()
@pipeline_file
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@click.option("--failed", "show", default=10, show_default=True, help="How many failures to list.")
def status(file: Path, *, as_json: bool, show: int) -> None:
    """Show what has landed for FILE, the last runs, and the calls that failed.

    Works at any time, also while a run is going.
    """
    from fetchcast.config import read_pipeline
    from fetchcast.landing.lock import is_held
    from fetchcast.landing.reader import open_reader

    pipeline = read_pipeline(file)
    folder = pipeline.landing_folder
    if not folder.exists():
        found: dict[str, Any] = {"pipeline": pipeline.name, "calls": {}, "runs": [], "failed": []}
    else:
        held = is_held(folder)
        with open_reader(folder) as reader:
            found = {"pipeline": pipeline.name, **_found(reader, list(pipeline.resource), show)}
        if not (held or is_held(folder)):
            # It could not say how it ended: killed, or the disk was full. The next run notes it.
            for run in found["runs"]:
                run["state"] = "killed" if run["state"] == "running" else run["state"]
    click.echo(json.dumps(found, indent=2) if as_json else _text(found, file))


def _found(reader: Reader, resources: list[str], show: int) -> dict[str, Any]:
    counts = {name: reader.counts(name) for name in resources}
    failed = [
        {"key": one.key, "url": one.url, "reason": one.reason, "attempts": one.attempts}
        for one, _ in zip(reader.failed(), range(show), strict=False)
    ]
    return {
        "calls": {
            name: {str(fate): count for fate, count in fates.items()}
            for name, fates in counts.items()
        },
        "size_bytes": reader.size_bytes,
        "runs": [_run(run) for run in reader.runs()[:5]],
        "failed": failed,
    }


def _run(run: Any) -> dict[str, Any]:
    return {
        "id": run.id,
        "state": run.state,
        "started": _time(run.started_at),
        "ended": _time(run.ended_at),
        "exit_status": None if run.end is None else int(run.end),
        "planned": run.planned,
        "counts": dict(run.counts),
    }


def _time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _text(found: dict[str, Any], file: Path) -> str:
    from fetchcast.cli.output import table

    if not found["calls"] and not found["runs"]:
        return f"{found['pipeline']}: nothing has landed yet; `fetchcast run {file}` begins"
    fates = ["landed", "empty", "failed", "skipped"]
    rows = [[name, *(one.get(f, 0) for f in fates)] for name, one in found["calls"].items()]
    lines = [
        f"{found['pipeline']}: {found['size_bytes'] / 1e6:.1f} MB kept",
        table(["calls", *fates], rows),
    ]
    if found["runs"]:
        runs = [[run["started"], run["state"], _pace(run)] for run in found["runs"]]
        lines += ["", table(["run", "state", "pace"], runs)]
    if found["failed"]:
        lines += ["", "failed (`fetchcast retry-failed` asks again):"]
        lines += [f"  {one['key'][:12]}  {one['url']}: {one['reason']}" for one in found["failed"]]
    return "\n".join(lines)


def _pace(run: dict[str, Any]) -> str:
    return str(run["counts"].get("pace", ""))
