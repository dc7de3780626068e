"""Templates into pages. Everything is escaped; a template gets values, never markup."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from fetchcast.serve import assets, runs, wording
from fetchcast.serve.reading import Reading

_NAVIGATION = (
    ("/question", "Question"),
    ("/forecast", "Forecasts"),
    ("/runs", "Runs"),
    ("/data", "Data"),
    ("/api", "API"),
)


def coded(text: str) -> Markup:
    """Text with what stands between backticks set as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part
        for place, part in enumerate(parts)
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(static=assets.address, version=assets.version())
    for words in (
        wording.percent,
        wording.measured_percent,
        wording.in_ten,
        wording.verdict,
        coded,
        wording.tidy,
        wording.number,
        wording.signed,
        wording.late,
        wording.ago,
        wording.size,
        wording.duration,
    ):
        environment.filters[words.__name__] = words
    return environment


def prepare() -> None:
    """Compile all templates now instead of each at its first use."""
    environment = _environment()
    for name in environment.list_templates():
        environment.get_template(name)


def render(
    request: Request, reading: Reading, template: str, *, status: int = 200, **values: Any
) -> HTMLResponse:
    """Fill ``template``; every page gets the frame's own values besides ``values``."""
    options = reading.source.options
    theme = request.cookies.get("theme")
    frame = {
        "site": options.title or reading.source.name,
        "attribution": options.attribution,
        "zone_name": reading.source.zone_name,
        "habits": reading.source.habits,
        "navigation": _NAVIGATION,
        "here": _here(request.url.path),
        "theme": theme if theme in {"light", "dark"} else None,
        "limits": runs.limits(reading),
    }
    text = _environment().get_template(template).render({**frame, **values})
    return HTMLResponse(text, status, headers={"cache-control": "no-cache", "vary": "cookie"})


def fill(template: str, **values: Any) -> str:
    """Fill a template that is a part of a page."""
    return _environment().get_template(template).render(values)


def _here(path: str) -> str:
    """Which entry of the navigation a page belongs to."""
    if path == "/":
        return "/question"
    return "/" + path.split("/")[1]
