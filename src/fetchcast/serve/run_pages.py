"""The pages about runs, the stream behind them, and the buttons that start and stop one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from fetchcast.errors import LandingError
from fetchcast.landing.runs import Run
from fetchcast.serve import live, marks, runs
from fetchcast.serve.reading import NotThere, Reading
from fetchcast.serve.rendering import fill, render

_SHOWN = 100


def router(reading: Reading, starter: live.Starter) -> APIRouter:
    """All pages about runs."""
    pages = APIRouter(include_in_schema=False)
    _lists(pages, reading, starter)
    _one(pages, reading, starter)
    _buttons(pages, starter)
    return pages


def _lists(pages: APIRouter, reading: Reading, starter: live.Starter) -> None:
    habits = reading.source.habits

    def values() -> dict[str, Any]:
        views, kept = runs.every(reading)
        return {
            "views": views[:_SHOWN],
            "older": max(0, len(views) - _SHOWN),
            "kept": kept,
            "can_start": starter.possible,
            "can_stop": starter.going is not None,
            "going": starter.going is not None or any(view.going for view in views),
            "mishap": starter.mishap,
            "command": f"fetchcast run {reading.source.file}",
            "began": lambda view: habits.moment(began(view.run)),
        }

    @pages.get("/runs")
    def every(request: Request) -> Response:
        return render(request, reading, "runs.html", **values())

    @pages.get("/runs/live")
    def follow_all(request: Request) -> Response:
        # A run may begin in a terminal at any time: this stream has no end.
        return _streamed(request, lambda: (fill("runs_panel.html", **values()), True))

    @pages.get("/runs/failed")
    def failed(request: Request) -> Response:
        return render(
            request,
            reading,
            "failed.html",
            calls=runs.failed(reading),
            can_start=starter.possible and starter.going is None,
        )


def _streamed(request: Request, panel: Callable[[], tuple[str, bool]]) -> Response:
    return StreamingResponse(
        live.stream(panel, request.headers.get("last-event-id")),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


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
            speed=marks.speed(view.speed, view.felt),
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
            speed = marks.speed(view.speed, view.felt)
            return fill("run_panel.html", view=view, speed=speed), view.going

        return _streamed(request, panel)


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
