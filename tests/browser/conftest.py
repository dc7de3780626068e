"""A small world to look at: two trains, half a year of days, a forecast, a running app."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import uvicorn
from browsing import WIDTHS, settled

from fetchcast.config import AppOptions
from fetchcast.forecast import QuestionOptions, SeriesOptions, forecast_series
from fetchcast.load.destinations import open_destination
from fetchcast.records import Batch, Disposition, Target
from fetchcast.serve.app import Source, create_app

TODAY = date(2026, 3, 2)
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DAYS = 200
STATION = "<script>alert(1)</script>"
"""A name as a hostile API might send it."""


class Noon:
    """A clock that stands still on the day the world was made for."""

    def now(self) -> float:
        return NOW.timestamp()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing in the app sleeps by this clock")

    def jitter(self) -> float:
        return 0.0


def observations() -> pa.Table:
    """Delays of two trains, one of them at two stations: mostly on time, a few storm days."""
    chance = np.random.default_rng(27)
    rows = []
    for train, hour, minute, shift in (
        ("27 TPE", 13, 58, 1.5),
        ("165 TPE", 13, 21, 0.5),
        ("27 OL", 16, 43, 2.5),
    ):
        for back in range(DAYS, 0, -1):
            day = TODAY - timedelta(days=back)
            y = round(float(chance.gamma(1.2, 3.0) - 2 + shift))
            if chance.random() < 0.03:
                y += int(chance.integers(20, 90))
            ran = chance.random() > 0.02
            rows.append(
                {
                    "unique_id": train,
                    "ds": datetime(day.year, day.month, day.day, tzinfo=UTC),
                    "y": float(y) if ran else None,
                    "scheduled": datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC),
                    "scored": back <= 120,
                }
            )
    for back in range(DAYS, 0, -1):
        day = TODAY - timedelta(days=back)
        rows.append(
            {
                "unique_id": STATION,
                "ds": datetime(day.year, day.month, day.day, tzinfo=UTC),
                "y": float(chance.normal(100, 10)),
                "scheduled": None,
                "scored": True,
            }
        )
    return pa.Table.from_pylist(
        rows,
        schema=pa.schema(
            [
                ("unique_id", pa.string()),
                ("ds", pa.timestamp("us", "UTC")),
                ("y", pa.float64()),
                ("scheduled", pa.timestamp("us", "UTC")),
                ("scored", pa.bool_()),
            ]
        ),
    )


SERIES = SeriesOptions(sql="select 1", unit="min", horizon=28, time_zone="Europe/Helsinki")
QUESTION = QuestionOptions(
    text="Will {label} be in {place} by {deadline} on {date}, with {walk_min} min to walk?",
    series="arrival_delay",
    unique_id="27 TPE",
    deadline="16:00",
    date="next wednesday",
    time_zone="Europe/Helsinki",
    walk_min=2,
    alternatives=["165 TPE"],
    parts="{label} {place}",
    labels={"27": "train 27", "165": "train 165", "TPE": "Tampere", "OL": "Oulu"},
)
AMOUNT = QuestionOptions(
    text="Will it be at most {threshold} on {date}?",
    series="arrival_delay",
    unique_id=STATION,
    threshold=105.0,
)
OPTIONS = AppOptions(
    title="Train 27",
    time_zone="Europe/Helsinki",
    attribution="Fintraffic / digitraffic.fi, CC BY 4.0",
)


def fill(folder: Path, url: str = "duckdb:///world.duckdb") -> str:
    """Forecast the world into the destination at ``url``; its address."""
    found = forecast_series("arrival_delay", observations(), SERIES, run="first", today=TODAY)
    with open_destination(url, folder).load() as loading:
        for name, rows in found.tables.items():
            target = Target(table=name, disposition=Disposition.REPLACE, key=())
            loading.write(Batch(target=target, rows=rows))
    return url


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Source:
    folder = tmp_path_factory.mktemp("world")
    return Source(
        name="train-27",
        destination=fill(folder),
        folder=folder,
        questions={"tampere": QUESTION, "amount": AMOUNT},
        series={"arrival_delay": SERIES},
        options=OPTIONS,
        file="train-27.toml",
    )


class Running(uvicorn.Server):
    """An app that listens on a free port in a thread of its own."""

    fill = staticmethod(fill)

    def __init__(self, source: Source, *, clock=None, **more) -> None:
        app = create_app(source, clock=clock or Noon(), **more)
        super().__init__(
            uvicorn.Config(
                app,
                port=0,
                log_level="error",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=1,
            )
        )
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self) -> str:
        self.thread.start()
        while not self.started:
            time.sleep(0.01)
        port = self.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        self.should_exit = True
        self.thread.join(20)


@pytest.fixture(scope="session")
def site(world) -> Iterator[str]:
    with Running(world) as url:
        yield url


@pytest.fixture(scope="session")
def running() -> type[Running]:
    """For tests that need an app of their own."""
    return Running


AXE = next((Path(__file__).parent / "vendor").glob("axe-core-*.min.js")).read_text()
"""axe-core as its authors published it; its licence lies beside it."""


@pytest.fixture(scope="session")
def faults_for_readers():
    """What axe-core finds on a page for people who read with ears, keys or weak eyes."""

    def audit(page, *rules: str) -> list[tuple[str, list[str]]]:
        if not page.evaluate("typeof window.axe === 'object'"):
            page.evaluate(AXE)  # By the debugger: the page's policy would refuse a script.
        options = {"resultTypes": ["violations"]}
        if rules:
            options["runOnly"] = {"type": "rule", "values": list(rules)}
        found = page.evaluate("(options) => axe.run(document, options)", options)
        return [
            (each["id"], [node["html"][:120] for node in each["nodes"]])
            for each in found["violations"]
        ]

    return audit


GROUND = {"light": "rgb(244, 246, 248)", "dark": "rgb(14, 19, 24)"}


@pytest.fixture(scope="session")
def readable_by_everyone(faults_for_readers):
    """At every width, in light and dark: nothing sticks out, no rule of axe-core is broken."""

    def look(page) -> None:
        for scheme, ground in GROUND.items():
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            settled(page, "getComputedStyle(document.body).backgroundColor", ground)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 820})
                settled(page, f"document.documentElement.scrollWidth <= {width}", expected=True)
                assert faults_for_readers(page) == [], (width, scheme)

    return look


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
    if path is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
