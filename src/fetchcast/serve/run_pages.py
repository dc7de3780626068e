"""The pages about runs, the stream behind them, and the buttons that start and stop one."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from fetchcast.errors import LandingError
from fetchcast.landing.runs import Run
from fetchcast.serve import live, runs
from fetchcast.serve.reading import NotThere, Reading
from fetchcast.serve.rendering import fill, render


def router(reading: Reading, starter: live.Starter) -> APIRouter:
    """All pages about runs."""
    pages = APIRouter(include_in_schema=False)
    _lists(pages, reading, starter)
    _one(pages, reading, starter)
    _buttons(pages, starter)
    return pages


def _lists(pages: APIRouter, reading: Reading, starter: live.Starter) -> None:
    habits = reading.source.habits

    @pages.get("/runs")
    def every(request: Request) -> Response:
        views, kept = runs.every(reading)
        return render(
            request,
            reading,
            "runs.html",
            views=views,
            kept=kept,
            can_start=starter.possible,
            going=starter.going,
            command=f"fetchcast run {reading.source.file}",
            began=lambda view: habits.moment(began(view.run)),
        )

    @pages.get("/runs/failed")
    def failed(request: Request) -> Response:
        return render(request, reading, "failed.html", calls=runs.failed(reading))


def began(run: Run) -> datetime:
    """When a run began, UTC."""
    return datetime.fromtimestamp(run.started_at, UTC)


def _one(pages: APIRouter, reading: Reading, starter: live.Starter) -> None:
    habits = reading.source.habits

    @pages.get("/runs/{run_id}")
    def one(request: Request, run_id: str) -> Response:
        view = runs.one(reading, run_id)
        return render(
            request,
            reading,
            "run.html",
            view=view,
            began=habits.moment(began(view.run)),
            can_stop=view.going and starter.going == view.run.pid,
        )

    @pages.get("/runs/{run_id}/live")
    def follow(request: Request, run_id: str) -> Response:
        runs.one(reading, run_id)  # 404 before the stream begins.

        def panel() -> tuple[str, bool]:
            try:
                view = runs.one(reading, run_id)
            except (LandingError, NotThere):
                return "", False
            return fill("run_panel.html", view=view), view.going

        return StreamingResponse(
            live.stream(panel, request.headers.get("last-event-id")),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )


def _buttons(pages: APIRouter, starter: live.Starter) -> None:
    @pages.post("/runs/start")
    def start() -> Response:
        starter.start("run")
        return RedirectResponse("/runs", 303)

    @pages.post("/runs/retry-failed")
    def retry() -> Response:
        starter.start("retry-failed")
        return RedirectResponse("/runs", 303)

    @pages.post("/runs/stop")
    def stop() -> Response:
        starter.stop()
        return RedirectResponse("/runs", 303)
