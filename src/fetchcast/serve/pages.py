"""The pages: an address in, a page out. What is on them comes from `asked` and `explorer`."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import RedirectResponse, Response

from fetchcast.serve import explorer, listing
from fetchcast.serve.addresses import Asking
from fetchcast.serve.asked import Controls, page_values, question
from fetchcast.serve.reading import Reading, SeriesView
from fetchcast.serve.rendering import render

_YEAR_S = 365 * 86400


def router(reading: Reading) -> APIRouter:
    """All pages."""
    pages = APIRouter(include_in_schema=False)
    _question_pages(pages, reading)
    _forecast_pages(pages, reading)
    _theme(pages)
    return pages


def _question_pages(pages: APIRouter, reading: Reading) -> None:
    def show(request: Request, name: str, asked: Controls) -> Response:
        return render(
            request,
            reading,
            "question.html",
            **page_values(question(reading, name, asked), reading),
        )

    @pages.get("/")
    @pages.get("/question")
    def front(request: Request, asked: Asking) -> Response:
        names = list(reading.source.questions)
        return show(request, names[0], asked) if names else RedirectResponse("/forecast", 303)

    @pages.get("/question/{name}")
    def one(request: Request, name: str, asked: Asking) -> Response:
        for suffix in (".json", ".csv"):
            if name.endswith(suffix) and name not in reading.source.questions:
                stem = quote(name.removesuffix(suffix))
                return _twin(request, f"/api/v1/questions/{stem}", suffix)
        return show(request, name, asked)


def _forecast_pages(pages: APIRouter, reading: Reading) -> None:
    @pages.get("/forecast")
    def every(request: Request, find: str = "", sort: str = "name", page: int = 1) -> Response:
        shown = listing.listing(reading, find=find, sort=sort, page=page)
        return render(request, reading, "series.html", listing=shown, sorts=_sorts())

    @pages.get("/forecast/{series}")
    def all_of(request: Request, series: str) -> Response:
        ids = [line.unique_id for line in reading.lines() if line.series == series]
        if len(ids) == 1:
            return RedirectResponse(f"/forecast/{quote(series)}/{quote(ids[0])}", 303)
        shown = listing.listing(reading, find=series, sort="name", page=1)
        return render(request, reading, "series.html", listing=shown, sorts=_sorts())

    @pages.get("/forecast/{series}/{unique_id:path}")
    def one(
        request: Request,
        series: str,
        unique_id: str,
        model: str | None = None,
        as_of: str | None = None,
    ) -> Response:
        for suffix in (".json", ".csv"):
            if unique_id.endswith(suffix):
                stem = unique_id.removesuffix(suffix)
                place = f"/api/v1/series/{quote(series, safe='')}/{quote(stem)}/forecast"
                return _twin(request, place, suffix)
        view = reading.view(series, unique_id, model=model)
        return render(request, reading, "forecast.html", **_explored(request, reading, view, as_of))


def _sorts() -> list[tuple[str, str]]:
    return list(listing.SORTS.items())


def _twin(request: Request, place: str, suffix: str) -> Response:
    """The same as JSON or CSV lives under ``/api/v1``."""
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(place + (".csv" if suffix == ".csv" else "") + query, 307)


def _explored(
    request: Request, reading: Reading, view: SeriesView, as_of: str | None
) -> dict[str, Any]:
    habits = reading.source.habits
    line = view.line
    as_of_day = explorer.as_of_day(view, as_of)
    chart = explorer.columns(view, habits, as_of_day)
    place = f"{quote(line.series, safe='')}/{quote(line.unique_id)}"
    model_query = f"?model={quote(view.model)}"
    unscored = any(not point.scored for point in view.history)
    return {
        "view": view,
        "line": line,
        "address": f"/forecast/{place}",
        "api": f"/api/v1/series/{place}",
        "model_query": model_query,
        "upto": explorer.when(view, view.fan[0].cutoff, habits) if view.fan else "nothing",
        "banners": explorer.banners(view, reading.now()),
        "figures": explorer.figures(view, habits, reading.totals(line.series, line.unique_id)),
        "ranges": explorer.RANGES,
        "cutoffs": [(day.isoformat(), habits.full_day(day)) for day in explorer.cutoffs(view)],
        "as_of": as_of_day.isoformat() if as_of_day else "",
        "rest": explorer.resting(view, habits),
        "summary": explorer.summary(view, habits),
        "chart": chart,
        "chart_json": _embedded(chart),
        "noun": explorer.NOUNS.get(line.frequency, "period"),
        "recorded": " (recorded ones only)" if unscored else "",
        "outside": explorer.outliers(view)[::-1],
        "tried": len({step.ds for step in view.backtest}),
        "digits": explorer.digits(view),
        "when": lambda moment: explorer.when(view, moment, habits),
        "recipes": explorer.recipes(
            view, f"{urlsplit(str(request.base_url)).scheme}://{request.url.netloc}", place
        ),
    }


def _embedded(value: object) -> Markup:
    """JSON inside a script element: no ``<`` in it, so that nothing in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))  # noqa: S704


def _theme(pages: APIRouter) -> None:
    @pages.post("/theme")
    async def theme(request: Request) -> Response:
        said = await anext(aiter(request.stream()), b"")
        to = dict(parse_qsl(said[:100].decode("latin-1"))).get("to", "light")
        back = urlsplit(request.headers.get("referer", ""))
        place = back.path if back.netloc == request.url.netloc else "/"
        answer = RedirectResponse("/" + place.lstrip("/"), 303)
        if to in {"light", "dark"}:
            answer.set_cookie("theme", to, max_age=_YEAR_S, samesite="strict", httponly=False)
        return answer
