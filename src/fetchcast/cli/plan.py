"""``fetchcast plan``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fetchcast.cli.options import base_url, executor, file_or_url, header, params

if TYPE_CHECKING:
    from fetchcast.plan.planner import Plan


@click.command()
@file_or_url
@base_url
@executor
@params
@header
@click.option("--json", "as_json", is_flag=True, help="One JSON object a call, all of them.")
@click.option("--first", default=3, show_default=True, help="How many calls to show.")
@click.option("--exact", is_flag=True, help="Read all of the parameters, however many there are.")
def plan(
    file: Path | str,
    base_url: str | None,
    executor: str | None,
    params: tuple[str, ...],
    headers: tuple[str, ...],
    *,
    as_json: bool,
    first: int,
    exact: bool,
) -> None:
    """Show how many calls a run of FILE would make, the first ones, and what has landed.

    Nothing is sent. Large files of parameters are not read: their size and their first
    rows say how many calls there will be. With --exact every row is looked at. Instead
    of a FILE, an address with its parameters will do, as for run.
    """
    from fetchcast.cli.given import Given
    from fetchcast.pipeline.ask import plans
    from fetchcast.pipeline.follow import pages_in_words

    pipeline = Given(
        file=file, base_url=base_url, executor=executor, params=params, headers=headers
    ).read()
    made = plans(pipeline, now=time.time())
    if as_json:
        for line in _as_json(made):
            click.echo(line)
        return
    from fetchcast.cli.output import table
    from fetchcast.pipeline.gain import gain
    from fetchcast.pipeline.outlook import outlook

    seen = [outlook(one, pipeline.landing_folder, exact=exact) for one in made]
    about = "" if all(one.exact for one in seen) else "about "
    click.echo(f"{pipeline.name}: {about}{sum(one.rows for one in seen):,} calls planned")
    rows = [(one.resource, one.rows, one.landed) for one in seen]
    click.echo(table(["calls", "planned", "landed before"], rows))
    for one, told in zip(made, seen, strict=True):
        click.echo(f"\n{told.text}" if told.text else "")
        for line in _first(one, first):
            click.echo(line)
        if pages := pages_in_words(one, pipeline.landing_folder):
            click.echo(f"  {' ' * 12}  {pages}")
    if told_of := gain(pipeline):
        click.echo(f"\n{told_of}")
    click.echo(f"\ninto {', '.join(pipeline.destinations)}; nothing was sent")


def _as_json(made: list[Plan]) -> Iterator[str]:
    for one in made:
        for row in one.rows():
            call = row.request
            told = {
                "resource": one.name,
                "key": call.key if call else None,
                "url": call.url if call else None,
                "skipped": row.reason,
                "params": dict(row.params),
            }
            if call and call.method != "GET":
                told["method"] = call.method
            if call and call.body is not None:
                told["body"] = call.body.decode("utf-8", "replace")
            yield json.dumps(told)


def _first(one: Plan, most: int) -> Iterator[str]:
    if one.parent is not None:
        yield f"{one.name}, for each row of {one.parent}:"
        yield f"  {'-' * 12}  {one.example}"
        return
    yield f"first of {one.name}:"
    for row in islice(one.rows(), most):
        call = row.request
        if call is None:
            yield f"  {'-' * 12}  skipped: {row.reason}"
            continue
        method = "" if call.method == "GET" else f"{call.method} "
        yield f"  {call.key[:12]}  {method}{call.url}"
        if call.body is not None:
            yield f"  {' ' * 12}  {_short(call.body)}"


def _short(body: bytes, most: int = 200) -> str:
    text = body[: most + 1].decode("utf-8", "replace").replace("\n", " ")
    return text if len(text) <= most else f"{text[:most]}..."
