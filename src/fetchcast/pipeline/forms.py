"""How the answers of each resource are read and judged, from what the file says of both ends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from fetchcast.config import Pipeline, ResourceOptions
from fetchcast.extract.engine import Rules
from fetchcast.extract.rules import any_counter
from fetchcast.formats import Format, counter
from fetchcast.json_path import EVERY, parse_path

_TABULAR = frozenset({"ndjson", "csv", "tsv"})


def rules(pipeline: Pipeline) -> dict[str, Rules]:
    """How answers are judged; a table that reads a resource says where its rows must be."""
    paths = _row_paths(pipeline)
    return {name: _rules(options, paths[name]) for name, options in pipeline.resource.items()}


def forms(pipeline: Pipeline) -> dict[str, Format]:
    """How the answers are read, of those resources whose answers are no JSON."""
    paths = _row_paths(pipeline)
    found = {name: _form(one, paths[name]) for name, one in pipeline.resource.items()}
    return {name: form for name, form in found.items() if not form.is_json}


def _row_paths(pipeline: Pipeline) -> dict[str, set[str | None]]:
    """Resource -> the paths at which tables look for its rows."""
    paths: dict[str, set[str | None]] = defaultdict(set)
    for table in pipeline.table.values():
        for source in table.sources:
            paths[source].add(table.rows)
    return paths


def _rules(options: ResourceOptions, paths: set[str | None]) -> Rules:
    form = _form(options, paths)
    inner = form.inner if form.name == "gzip" else form.name
    if inner in _TABULAR:  # Lines and rows are counted, where nobody says what is a row.
        paths = {path or "[*]" for path in paths or {None}}
    return Rules(
        options=options.answer,
        count_rows=counter(form, any_counter(paths)),
        in_utf8=form.is_text,
    )


def _form(options: ResourceOptions, paths: set[str | None]) -> Format:
    return options.answer.form(tuple(sorted(set(_arrays(paths)))))


def _arrays(paths: set[str | None]) -> Iterator[str]:
    """The keys that rows are in: in XML they are arrays, even where there is one."""
    for path in paths:
        steps = parse_path(path or "")
        for before, step in pairwise(steps):
            if step is EVERY and isinstance(before, str):
                yield before
