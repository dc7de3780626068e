"""The recorded answers that the package carries; see ``data/ATTRIBUTION.md`` for their sources."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

Json = dict[str, Any]


def _unpacked(name: str) -> bytes:
    return gzip.decompress((files("fetchcast.sandbox") / "data" / name).read_bytes())


def _lines(name: str) -> list[Any]:
    return [msgspec.json.decode(line) for line in _unpacked(name).splitlines()]


@cache
def train_days() -> dict[str, Json]:
    """The recorded days of train 27: departure date (ISO) to the train of that day."""
    return {day["departure_date"]: day["body"][0] for day in _lines("train27.ndjson.gz")}


@cache
def stations() -> bytes:
    """All stations, as ``metadata/stations`` gives them: a JSON array."""
    return _unpacked("stations.json.gz")


@cache
def prh_v1_list() -> list[Json]:
    """2,000 companies, five fields each, as version 1 listed them."""
    return _lines("prh_v1_list.ndjson.gz")


@cache
def prh_v1_hit() -> Json:
    """A whole answer of version 1 for one company."""
    return _body("prh_v1_hit.json.gz")


@cache
def prh_v1_miss() -> Json:
    """The answer of version 1 for a company that is not there (its status was 404)."""
    return _body("prh_v1_miss.json.gz")


@cache
def prh_v3_companies() -> list[Json]:
    """101 whole companies of version 3."""
    lookup: Json = msgspec.json.decode(_unpacked("prh_v3_lookup.json.gz"))
    return [*_lines("prh_v3_companies.ndjson.gz"), *lookup["companies"]]


def _body(name: str) -> Json:
    recorded: Json = msgspec.json.decode(_unpacked(name))
    body: Json = recorded["body"]
    return body
