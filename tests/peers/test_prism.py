"""Prism answers what an OpenAPI document promises, and refuses what it does not allow."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fetchcast import Pipeline, arun
from fetchcast.pipeline.draft import draft_openapi

PRH = Path(__file__).parents[1] / "data" / "prh-ytj-v3.openapi.yaml"


def fetchcast(*arguments: object, folder: Path, **environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "fetchcast", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_prh_imported_runs_as_it_was_written(prism: Callable[[Path], str], tmp_path: Path) -> None:
    said = fetchcast("import", "openapi", PRH, folder=tmp_path)
    assert "wrote pipeline.toml with 2 resources" in said
    url = prism(PRH)
    fetchcast("run", "--base-url", url, "--progress", "none", folder=tmp_path)
    database = tmp_path / f"{tmp_path.name}.duckdb"
    assert rows(database, "select count(*) from companies")[0][0] >= 1
    found = rows(database, "select distinct lang from post_codes order by lang")
    assert found == [("en",), ("fi",), ("sv",)]
    names = [row[0] for row in rows(database, "describe companies")]
    assert {"business_id_value", "registration_date", "last_modified"} <= set(names)


def answered(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    media = {"schema": schema, "example": example}
    unknown = {"description": "who are you?", "content": {"application/json": {}}}
    content = {"description": "fine", "content": {"application/json": media}}
    return {"200": content, "401": unknown, "422": unknown}


SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic"},
    "header": {"type": "apiKey", "in": "header", "name": "X-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "key"},
}


def document() -> dict[str, Any]:
    """For each scheme a list, the children of its rows, and a search that wants a body."""
    pets = {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}}}}
    day = {"name": "day", "in": "query", "required": True,
           "schema": {"type": "string", "format": "date"}}  # fmt: skip
    pet = {"name": "petId", "in": "path", "required": True, "schema": {"type": "integer"}}
    wanted = {
        "type": "object",
        "required": ["species"],
        "properties": {"species": {"type": "string", "example": "cat"}},
    }
    body = {"required": True, "content": {"application/json": {"schema": wanted}}}
    paths = {}
    for name in SCHEMES:
        both = {
            "tags": [name],
            "security": [{name: []}],
            "responses": answered(pets, [{"id": 1}, {"id": 2}]),
        }
        listed = {"operationId": f"pets_{name}", "parameters": [day], **both}
        below = {"operationId": f"visits_{name}", "parameters": [pet], **both}
        search = {"operationId": f"found_{name}", "requestBody": body, **both}
        paths[f"/{name}/pets"] = {"get": listed}
        paths[f"/{name}/pets/{{petId}}/visits"] = {"get": below}
        paths[f"/{name}/search"] = {"post": search}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pets", "version": "1"},
        "servers": [{"url": "https://pets.example.org"}],
        "components": {"securitySchemes": SCHEMES},
        "paths": paths,
    }


@pytest.fixture(scope="module")
def pets(
    prism: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The document, and where Prism serves it."""
    source = tmp_path_factory.mktemp("pets") / "pets.json"
    source.write_text(json.dumps(document()))
    return source, prism(source)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_parents_dates_bodies_and_keys_are_as_the_document_wants_them(
    scheme: str, pets: tuple[Path, str], tmp_path: Path
) -> None:
    """Prism answers 401 without the key and 422 to a call that its document does not allow."""
    source, url = pets
    made = await draft_openapi(str(source), [scheme])
    raw = {**made.document, "name": "p", "api": {**made.document["api"], "base_url": url}}
    secrets = dict.fromkeys(made.secrets, "0123456789")
    report = await arun(Pipeline.from_dict(raw, folder=tmp_path, environment=secrets))
    assert report.end == 0, report.failures
    for table, count in (("pets", 60), ("visits", 4), ("found", 2)):
        found = rows(tmp_path / "p.duckdb", f"select count(*) from {table}_{scheme}")
        assert found == [(count,)]
