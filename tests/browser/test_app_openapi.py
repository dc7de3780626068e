"""The API keeps to its own OpenAPI document, for good parameters and for bad ones."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import urlopen

import msgspec
import pytest

from fetchcast.serve import records

KNOWN = {
    "series": "arrival_delay",
    "unique_id": "27 TPE",
    "run_id": "none",
    "/questions": "tampere",
    "/tables": "forecast",
}
GOOD = {
    "date": ["2026-03-10", "tomorrow", ""],
    "deadline": ["16:05", "00:00", ""],
    "threshold": ["5", "-900"],
    "unique_id": ["165 TPE"],
    "place": ["OL", ""],
    "walk_min": ["0", "12.5"],
    "find": ["27", "\u00e4\0\u2028<script>", "'"],
    "sort": {"/series": ["name", "surprise"], "/tables": ["-step", "model", ""]},
    "limit": ["1", "100"],
    "offset": ["0", "10000000000"],
    "model": ["climatology", "combined"],
    "filter": ["model:eq:combined", "step:ge:3", "mean:null:", "series:has:'; drop"],
    "q": ["select 1 as one", "select * from series"],
}
BAD = [
    "nan",
    "-1",
    "x" * 5000,
    "\0",
    "'",
    '"',
    "%s",
    "\u2028",
    "../../etc/passwd",
    "1e999",
    "1e12",
    "[]",
]


def cases(document):
    """Every path with each value of each parameter, good ones and bad ones."""
    for path, methods in document["paths"].items():
        operation = methods["get"]
        filled = place(path)
        yield path, operation, filled + required(operation), True
        for parameter in operation.get("parameters", []):
            name = parameter["name"]
            if parameter["in"] == "path":
                for bad in [*BAD[2:], "a/b", ".", " "]:
                    yield path, operation, place(path, {name: bad}) + required(operation), False
                continue
            good = GOOD[name]
            if isinstance(good, dict):
                good = next(values for part, values in good.items() if part in path)
            for value in good:
                yield path, operation, filled + required(operation, {name: value}), True
            for value in BAD:
                yield path, operation, filled + required(operation, {name: value}), False


def place(path, changed=None):
    def word(found):
        name = found[1]
        if changed and name in changed:
            return quote(changed[name], safe="")
        known = KNOWN.get(name) or next(
            value for part, value in KNOWN.items() if part[0] == "/" and part in path
        )
        return quote(known)

    return re.sub(r"\{(\w+)(?::path)?\}", word, path)


def required(operation, changed=None):
    asked = {
        parameter["name"]: GOOD[parameter["name"]][0]
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "query" and parameter.get("required")
    } | (changed or {})
    return "?" + urlencode(asked) if asked else ""


@pytest.fixture
def connection(site):
    found = http.client.HTTPConnection(urlsplit(site).netloc, timeout=30)
    yield found
    found.close()


def ask(connection, path):
    connection.request("GET", path)
    answer = connection.getresponse()
    kind = (answer.getheader("content-type") or "").partition(";")[0]
    return answer.status, kind, answer.read()


def resolved(document, schema):
    """A schema with its reference followed."""
    name = schema.get("$ref", "").rpartition("/")[2]
    return document["components"]["schemas"][name] if name else schema


def check(document, schema, value, where):
    """That ``value`` has the keys and the types that ``schema`` tells."""
    schema = resolved(document, schema)
    if "anyOf" in schema:
        kinds = {resolved(document, each).get("type") for each in schema["anyOf"]}
        assert value is not None or "null" in kinds, where
        schemas = [
            each for each in schema["anyOf"] if resolved(document, each).get("type") != "null"
        ]
        if value is None or len(schemas) != 1:
            return
        schema = resolved(document, schemas[0])
    types = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
    }
    if schema.get("type") in types:
        assert isinstance(value, types[schema["type"]]), (where, value)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        assert set(schema.get("required", [])) <= set(value), where
        assert not known or set(value) <= set(known), where
        for name, part in known.items():
            if name in value:
                check(document, part, value[name], f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for each in value[:3]:
            check(document, schema["items"], each, f"{where}[]")


def test_each_example_of_the_document_has_the_shape_that_it_is_an_example_of():
    """Every key and type, as an answer would have to have them."""
    assert len(records.EXAMPLES) >= 8
    for kind, example in records.EXAMPLES.items():
        read = msgspec.convert(example, kind)
        assert set(msgspec.to_builtins(read)) == set(example), kind


def test_the_document_has_examples(connection):
    document = json.loads(ask(connection, "/api/v1/openapi.json")[2])
    answers = document["paths"]["/api/v1/series/{series}/{unique_id}/forecast"]["get"]["responses"]
    assert answers["200"]["content"]["application/json"]["example"]["steps"]
    assert answers["404"]["content"]["application/problem+json"]["example"]["nearest"]


def test_schemathesis_finds_no_fault(site, tmp_path):
    """No server error, no answer that the document does not tell; the same cases each time.

    Left out is the check that whatever fits the document is accepted: a day in words, a filter and
    SQL are free texts there, and what cannot be read of them is refused with 422.
    """
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        *("run", f"{site}/api/v1/openapi.json", "--no-color"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "8"),
        *("--generation-deterministic", "--seed", "27", "--workers", "2"),
        *("--exclude-checks", "positive_data_acceptance"),
    ]
    # It keeps notes of its own where it is started.
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-1000:]
    tested = int(re.search(r"Tested: (\d+)", done.stdout)[1])
    assert tested == len(json.loads(urlopen_text(site))["paths"])


def urlopen_text(site):
    with urlopen(f"{site}/api/v1/openapi.json") as answer:
        return answer.read()


def test_every_answer_is_one_that_the_document_tells(connection):
    """Status, media type, keys and types; no parameter leads to a server error."""
    document = json.loads(ask(connection, "/api/v1/openapi.json")[2])
    seen = set()
    for path, operation, address, good in cases(document):
        status, kind, body = ask(connection, address)
        told = operation["responses"].get(str(status))
        assert told is not None, (address[:200], status, body[:300])
        assert kind in told["content"], (address[:200], status, kind)
        if kind.endswith("json"):
            check(document, told["content"][kind]["schema"], json.loads(body), address[:200])
        there = path != "/api/v1/runs/{run_id}"
        assert status == 200 or not good or not there, (address, body[:300])
        assert status != 503, (address[:200], body[:300])
        seen.add((path, status))
    assert {path for path, _ in seen} == set(document["paths"])
    assert len({status for _, status in seen}) >= 3, "found, not found, refused"
