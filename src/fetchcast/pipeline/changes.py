"""What a changed pipeline file changes: said at the beginning of the next run, and by `plan`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from fetchcast.config import Pipeline

SCOPE = "meaning of the file"
"""Under which name the landing keeps what the file said."""
_OPEN = frozenset(
    {"path", "params", "paginator", "refresh", "settles", "limit", "filter", "method"}
)
"""Keys of a resource that are shown as they are; others may hold secrets and are digests here."""
_RERUN = frozenset({"refresh", "settles"})
_CHOICE = frozenset({"params", "limit", "filter"})
_SHOWN = 100


def meaning(pipeline: Pipeline) -> dict[str, Any]:
    """What of ``pipeline`` decides which calls there are and what their rows look like."""
    resources = {
        name: {key: _without_secrets(key, value) for key, value in said.items()}
        for name, options in pipeline.resource.items()
        for said in [msgspec.to_builtins(options)]
    }
    tables = {
        name: {
            key: _digest(value) if key == "destination" else value for key, value in said.items()
        }
        for name, options in pipeline.table.items()
        for said in [msgspec.to_builtins(options)]
    }
    destinations = [_digest(url) for url in pipeline.destinations]
    return {"resource": resources, "table": tables, "destination": destinations}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line for each thing that ``now`` says otherwise, with what follows from it."""
    lines = [*_resources(before["resource"], now["resource"])]
    lines += _tables(before["table"], now["table"])
    if before["destination"] != now["destination"]:
        lines.append("destination: all that has landed is loaded into a new one; old ones stay")
    return lines


def _resources(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in before.keys() - now.keys():
        yield f"resource.{name} is gone: nothing is asked; what landed stays in the landing"
    for name, said in now.items():
        if name not in before:
            yield f"resource.{name} is new: all of its calls are asked"
            continue
        for key in _differing(before[name], said):
            was, is_ = before[name].get(key), said.get(key)
            shown = f": {_shown(was)} -> {_shown(is_)}" if key in _OPEN else " has changed"
            yield f"resource.{name}.{key}{shown}; {_follows(key)}"


def _follows(key: str) -> str:
    if key in _CHOICE:
        return "calls that have not landed are asked, the rows of others stay"
    if key in _RERUN:
        return "from now on answers are asked for again by this rule"
    if key in {"headers", "answer"}:
        return "what has landed stays; `fetchcast run --full-refresh` asks for it again"
    return "its calls are others now and are all asked; the rows of the old ones stay"


def _tables(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name in before.keys() - now.keys():
        yield f"table.{name} is gone: it stays in the destination as it is"
    for name, said in now.items():
        if name not in before:
            yield f"table.{name} is new: it is made from what has landed, without a call"
        elif keys := [*_differing(before[name], said)]:
            appended = said.get("write") == "append"
            follows = (
                "what was appended stays, new rows have the new shape"
                if appended
                else "it is made anew from what has landed, without a call"
            )
            yield f"table.{name}: {', '.join(keys)} changed; {follows}"


def _differing(was: Mapping[str, Any], is_: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*was, *is_]):
        if was.get(key) != is_.get(key):
            yield key


def _without_secrets(key: str, value: Any) -> Any:
    if key == "params":  # The address of a database has its password in it.
        return {
            name: {k: _digest(v) if k == "on" else v for k, v in one.items()}
            if isinstance(one, dict)
            else one
            for name, one in value.items()
        }
    return value if key in _OPEN else _digest(value)


def _digest(value: Any) -> str:
    text = msgspec.json.encode(value, order="deterministic")
    return blake2b(text, digest_size=8).hexdigest()


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
