"""What the API says of itself: OpenAPI 3.1, and a page that shows it without any script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import RedirectResponse, Response

from fetchcast.serve import records
from fetchcast.serve.reading import Reading
from fetchcast.serve.rendering import render
from fetchcast.serve.twins import json_answer

_ENDINGS = (".csv", ".parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One address of the API."""

    path: str
    tag: str
    summary: str
    parameters: list[Mapping[str, Any]]
    formats: list[str]
    """The endings under which the same comes in another format; "" for JSON."""


def install(app: FastAPI, reading: Reading) -> None:
    """Add ``/api``, ``/docs`` and ``/api/v1``, and complete what FastAPI knows of the answers."""
    generated = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generated()
            shapes = document.setdefault("components", {}).setdefault("schemas", {})
            shapes.update(records.shapes())
            # FastAPI's own shape of an error; ours are problem+json.
            for name in ("HTTPValidationError", "ValidationError"):
                shapes.pop(name, None)
        assert app.openapi_schema is not None
        return app.openapi_schema

    # The way FastAPI documents.
    app.openapi = complete  # type: ignore[method-assign]

    @app.get("/api", include_in_schema=False)
    def reference(request: Request) -> Response:
        operations = list(_operations(complete()))
        return render(request, reading, "api.html", operations=operations)

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return RedirectResponse("/api", 307)

    @app.get("/api/v1", tags=["api"], **records.described(dict[str, str]))
    def index(request: Request) -> Response:
        """Where to begin."""
        names = ("questions", "series", "runs", "tables")
        links = {name: f"/api/v1/{name}" for name in names}
        return json_answer(request, {**links, "openapi": "/api/v1/openapi.json"})


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    paths = document["paths"]
    for path, methods in paths.items():
        if path.endswith(_ENDINGS):
            continue
        operation = methods["get"]
        yield Operation(
            path=path,
            tag=(operation.get("tags") or ["api"])[0],
            summary=operation.get("description") or operation.get("summary", ""),
            parameters=operation.get("parameters", []),
            formats=[ending for ending in _ENDINGS if path + ending in paths],
        )
