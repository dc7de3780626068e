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

from fetchcast.errors import DestinationError, FetchcastError, LandingError, QueryError
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
        return _written(request, reading, describe(problem, reading))

    for kind in (NotThere, FetchcastError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, answer)


def describe(problem: Exception, reading: Reading) -> Problem:
    """What to say about ``problem``."""
    match problem:
        case NotThere():
            return _not_there(problem)
        case BadAddress():
            return Problem(
                status=422,
                title="This address cannot be read",
                detail=str(problem),
                hint="Correct that part of the address, or leave it out.",
            )
        case DestinationError():
            return _destination(problem, reading)
        case LandingError():
            return Problem(status=503, title="The runs cannot be read", detail=str(problem))
        case FetchcastError():
            return Problem(status=404, title="No answer to that", detail=str(problem))
        case RequestValidationError():
            return Problem(
                status=422, title="This address cannot be read", detail=_validation(problem)
            )
        case HTTPException(status_code=404):
            return Problem(
                status=404, title="There is no such page", detail="Nothing lives at this address."
            )
        case HTTPException(status_code=status, detail=detail):
            return Problem(status=status, title=http.HTTPStatus(status).phrase, detail=detail)
    raise problem


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
    if missing_table(problem):
        return Problem(
            status=503,
            title="Nothing to show yet",
            detail=f"The pipeline {reading.source.name} has not put a forecast here so far.",
            hint="Run it, then load this page again:",
            command=f"fetchcast run {reading.source.file}",
        )
    title = "That query cannot be answered" if isinstance(problem, QueryError) else "No database"
    return Problem(status=503, title=title, detail=str(problem))


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
        status: {"description": text, "content": {PROBLEM_TYPE: {"schema": schema}}}
        for status, text in words.items()
    }
