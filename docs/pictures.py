# ruff: noqa: INP001  a script, not a package
"""docs/pictures.py: make the pictures of the docs from a running app.

    fetchcast demo --port 8028            # in another terminal
    .venv/bin/python docs/pictures.py     # [--site http://127.0.0.1:8028]

Needs Chromium. The pictures show what the demo shows on the day they are made.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

IMAGES = Path(__file__).parent / "images"
PICTURES = (
    ("answer", "/", 1280, 960, "light"),
    ("answer-phone-dark", "/", 390, 844, "dark"),
    ("forecast", "/forecast/arrival_delay/27%20TPE", 1180, 760, "light"),
    ("answer-tablet", "/", 768, 1024, "light"),
    ("run", "/runs/{newest}", 1180, 900, "dark"),
)
"""File, address, width, height, colours."""


def main() -> None:
    """Write every picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--site", default="http://127.0.0.1:8028", help="the demo's app")
    site = parser.parse_args().site
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        newest = browser.new_page().request.get(f"{site}/api/v1/runs").json()[0]["id"]
        for name, address, width, height, scheme in PICTURES:
            place = address.format(newest=newest)
            _shoot(browser, site + place, IMAGES / f"{name}.png", (width, height), scheme)
        browser.close()


def _shoot(browser: Browser, url: str, file: Path, size: tuple[int, int], scheme: str) -> None:
    width, height = size
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page.goto(url, wait_until="load")
    if page.locator("#chart").count():
        page.wait_for_selector("#chart[data-drawn] canvas")
        page.wait_for_timeout(200)  # The overview comes a frame after the chart.
    page.screenshot(path=file)
    page.close()


if __name__ == "__main__":
    main()
