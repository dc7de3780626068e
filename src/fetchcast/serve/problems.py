"""When something cannot be shown: a page for people, problem+json for programs, the right status.

Both say what was asked for, what that means, and what to try next. Texts of databases and APIs
are shown as text only; an address with a password never is.
"""

from __future__ import annotations

import http
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fetchcast.errors import DestinationError, FetchcastError, LandingError
from fetchcast.serve import records, tables
from fetchcast.serve.live import NothingToRun, RunGoing
from fetchcast.serve.reading import BadAddress, NotThere, Reading, missing_table
from fetchcast.serve.rendering import render

PROBLEM_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Somewhere to go from here."""

    href: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong, in the words of RFC 9457, and what to do about it."""

    status: int
    title: str
    detail: str
    hint: str = ""
    command: str = ""
    """What to type next, if that helps."""
    links: Sequence[Link] = ()


def install(app: FastAPI, reading: Reading) -> None:
    """Let every error of a request end as a page or as problem+json."""

    def answer(request: Request, problem: Exception) -> Response:
        written = _written(request, reading, describe(problem, reading))
        if isinstance(problem, HTTPException):
            written.headers.update(problem.headers or {})  # As ``Allow``, where one is due.
        return written

    for kind in (NotThere, FetchcastError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer)


def describe(problem: Exception, reading: Reading) -> Problem:
    """What to say about ``problem``."""
    match problem:
        case HTTPException() | RequestValidationError():
            return _http(problem)
        case NotThere():
            return _not_there(problem)
        case DestinationError() if not isinstance(problem, tables.BadQuery):
            return _destination(problem, reading)
        case FetchcastError():
            return _plain(problem)
    return Problem(
        status=500,
        title="A fault in fetchcast",
        detail="Something went wrong that should not; the terminal of the app has the details.",
    )


def _plain(problem: FetchcastError) -> Problem:
    """A problem that says itself what is wrong."""
    for kind, status, title in (
        (BadAddress, 422, "This address cannot be read"),
        (tables.BadQuery, 422, "That query cannot be answered"),
        (RunGoing, 409, "A run is going"),
        (NothingToRun, 409, "No run can be started here"),
        (LandingError, 503, "The runs cannot be read"),
    ):
        if isinstance(problem, kind):
            return Problem(status=status, title=title, detail=str(problem))
    return Problem(status=404, title="No answer to that", detail=str(problem))


def _http(problem: HTTPException | RequestValidationError) -> Problem:
    if isinstance(problem, RequestValidationError):
        return Problem(status=422, title="This address cannot be read", detail=_validation(problem))
    if problem.status_code == http.HTTPStatus.NOT_FOUND:
        return Problem(
            status=404, title="There is no such page", detail="Nothing lives at this address."
        )
    phrase = http.HTTPStatus(problem.status_code).phrase
    return Problem(status=problem.status_code, title=phrase, detail=problem.detail)


def _not_there(problem: NotThere) -> Problem:
    kind, name, near = problem.args
    base = {"series": "/forecast/", "question": "/question/", "table": "/data/", "run": "/runs/"}
    return Problem(
        status=404,
        title=f"There is no {kind} {name}",
        detail="Did you mean one of these?" if near else f"There is no {kind} at all yet.",
        links=[Link(href=base[kind] + other, text=other) for other in near if kind in base],
        hint="" if kind in base or not near else "Known: " + ", ".join(near),
    )


def _destination(problem: DestinationError, reading: Reading) -> Problem:
    if not reading.source.series and missing_table(problem):
        return Problem(
            status=404,
            title="Nothing is forecast here",
            detail=f"The pipeline {reading.source.name} has no [series.NAME]; its rows are there.",
            links=[Link(href="/data", text="Tables")],
        )
    if missing_table(problem):
        return Problem(
            status=503,
            title="Nothing to show yet",
            detail=f"The pipeline {reading.source.name} has not put a forecast here so far.",
            hint="Run it, then load this page again:",
            command=f"fetchcast run {reading.source.file}",
        )
    if reading.store.kind == "sqlite":
        return Problem(
            status=503,
            title="The pages do not read SQLite",
            detail="They need time stamps and more SQL than it has. Your rows are all there.",
            hint="Load what has landed into a DuckDB file as well, and open the app on that:",
            command=f"fetchcast replay --to duckdb:///app.duckdb {reading.source.file}",
        )
    return Problem(status=503, title="The database cannot be read", detail=str(problem))


def _validation(problem: RequestValidationError) -> str:
    said = [
        f"{'.'.join(str(part) for part in error['loc'][1:])}: {error['msg']}"
        for error in problem.errors()
    ]
    return "; ".join(said)


def _written(request: Request, reading: Reading, problem: Problem) -> Response:
    if request.url.path.startswith("/api/"):
        body = {
            "type": "about:blank",
            "title": problem.title,
            "status": problem.status,
            "detail": " ".join(filter(None, (problem.detail, problem.hint, problem.command))),
            "nearest": [link.text for link in problem.links],
        }
        return Response(msgspec.json.encode(body), problem.status, media_type=PROBLEM_TYPE)
    return render(request, reading, "problem.html", status=problem.status, problem=problem)


def documented() -> dict[int | str, dict[str, Any]]:
    """The problems that any route of the API may answer with, for OpenAPI."""
    schema = {"$ref": "#/components/schemas/ProblemAnswer"}
    words = {
        404: "There is nothing of that name; `nearest` has what was probably meant.",
        422: "A part of the address cannot be read.",
        503: "There is no forecast yet, or the database cannot be read.",
    }
    return {
        status: {
            "description": text,
            "content": {PROBLEM_TYPE: {"schema": schema, "example": _example(status)}},
        }
        for status, text in words.items()
    }


def _example(status: int) -> dict[str, Any]:
    titles = {422: "This address cannot be read", 503: "Nothing to show yet"}
    told: dict[str, Any] = records.EXAMPLES[records.ProblemAnswer]
    if status not in titles:
        return told
    return {**told, "title": titles[status], "status": status, "nearest": []}
