"""The pages in a real Chromium: widths, light and dark, keyboard, without JavaScript."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import pytest
from browsing import WIDTHS, settled

pytestmark = pytest.mark.browser
PAGES = {
    "question": "/",
    "amount": "/question/amount",
    "forecast": "/forecast/arrival_delay/27%20TPE?bt=1",
    "hostile": "/forecast/arrival_delay/%3Cscript%3Ealert(1)%3C/script%3E",
    "series": "/forecast",
    "runs": "/runs",
    "failed": "/runs/failed",
    "data": "/data",
    "table": "/data/observation",
    "sql": "/sql?q=select+*+from+leaderboard",
    "api": "/api",
    "problem": "/question/tampre",
    "nothing": "/nowhere",
    "nothing found": "/forecast?find=zzz",
    "refused query": "/sql?q=selct",
}

REACHABLE = """[...document.querySelectorAll(
    'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]')]
    .filter((each) => each.checkVisibility() && !each.disabled && !each.closest('dialog'))"""
OUTLINED = (
    "() => { const here = document.activeElement; const style = getComputedStyle(here); return ["
    + REACHABLE
    + ".indexOf(here), style.outlineStyle !== 'none' && style.outlineWidth !== '0px']; }"
)


@pytest.fixture
def look(chromium, site):
    """Open an address; the test fails on any script error, policy report or foreign request."""
    faults: list[str] = []
    contexts = []

    def open_page(path, *, javascript=True):
        context = chromium.new_context(
            viewport={"width": 1280, "height": 820},
            color_scheme="light",
            java_script_enabled=javascript,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"error {error}"))
        page.on(
            "console",
            lambda message: (
                faults.append(f"{message.type} {message.text}")
                if message.type in {"error", "warning"}
                and not re.search("status of (404|422)", message.text)
                else None
            ),
        )
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((site, "data:", "about:"))
                else faults.append(f"foreign {request.url}")
            ),
        )
        page.goto(site + path, wait_until="load")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults, faults


@pytest.mark.parametrize("name", PAGES)
def test_each_page_fits_and_can_be_read_by_everyone(look, readable_by_everyone, name):
    """At every width, in light and dark: nothing sticks out, axe-core finds nothing."""
    readable_by_everyone(look(PAGES[name]))


@pytest.mark.parametrize("name", PAGES)
def test_each_page_is_used_with_the_keyboard_alone(look, name):
    """Tab reaches everything that can be used, in order, and shows where it is."""
    page = look(PAGES[name])
    count = page.evaluate(f"{REACHABLE}.length")
    seen = []
    for _ in range(count + 3):
        page.keyboard.press("Tab")
        place, outlined = page.evaluate(OUTLINED)
        if place < 0:
            break
        assert outlined, page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        seen.append(place)
    assert seen == list(range(count))


@pytest.mark.parametrize("name", PAGES)
def test_each_page_is_there_without_javascript(look, name):
    """What it says, its tables and its links; every link leads somewhere."""
    page = look(PAGES[name], javascript=False)
    assert page.locator("h1").count() == 1
    assert len(page.locator("main").inner_text()) > 40
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 820})
        assert page.locator("nav a").first.is_visible()
    for place in {link.get_attribute("href") for link in page.locator("main a").all()}:
        status = page.request.get(urljoin(page.url, place)).status
        assert status == 200, place


def test_a_control_changes_the_answer_and_the_address(look):
    """The underlined words are the controls; a later deadline is likelier to be met."""
    page = look("/")
    before = int(page.locator(".big").inner_text().strip("<>%\n "))
    page.locator("select[name=deadline]").select_option("16:15")
    page.wait_for_url(re.compile(r"deadline=16%3A15"))
    settled(page, "document.querySelector('select[name=deadline]').value", "16:15")
    after = int(page.locator(".big").inner_text().strip("<>%\n "))
    assert after > before
    assert f"{after}" in page.title()
    page.go_back()
    settled(page, "document.querySelector('select[name=deadline]').value", "16:00")
    assert int(page.locator(".big").inner_text().strip("<>%\n ")) == before


def test_the_station_can_be_chosen(look):
    """Where the series has several: the address says so, and the train stays."""
    page = look("/")
    page.locator("select[name=place]").select_option(label="Oulu")
    page.wait_for_url(re.compile(r"place=OL"))
    settled(page, "document.querySelector('[name=unique_id]').value", "27 OL")
    assert "Will train 27 be in Oulu by" in page.title()
    assert "last 60 days in Oulu" in page.locator("main").inner_text()
    page.locator("select[name=deadline]").select_option("18:45")
    page.wait_for_url(re.compile(r"deadline=18%3A45"))
    settled(page, "document.querySelector('select[name=place]').value", "OL")
    assert page.evaluate("document.querySelector('[name=unique_id]').value") == "27 OL"
    page.locator("select[name=place]").select_option(label="Tampere")
    page.wait_for_url(re.compile(r"place=TPE"))
    settled(page, "document.querySelector('select[name=unique_id]').value", "27 TPE")


def test_an_answer_that_does_not_come_is_said(chromium, world, running):
    """The app is gone: the old answer must not be taken for the new one."""
    with running(world) as site:
        page = chromium.new_page()
        page.goto(site)
    page.locator("select[name=deadline]").select_option("16:15")
    page.wait_for_selector("#no-answer[role=alert]")
    page.close()


def test_a_deadline_can_be_asked_in_minutes(look):
    """An address with a threshold: the headline says it, and the words stay controls."""
    page = look("/question/tampere?threshold=5")
    said = page.locator("h1").inner_text().replace("\u00a0", " ")
    assert "min after the timetable" in said
    assert "by ?" not in said
    assert page.locator("input[name=threshold]").input_value() == "5"
    page.locator("input[name=threshold]").fill("500")
    page.locator("input[name=threshold]").press("Enter")
    page.wait_for_url(re.compile(r"threshold=500"))
    settled(
        page, "document.querySelector('.big').innerText.trim().startsWith('>99')", expected=True
    )


def test_the_answer_needs_no_javascript(look):
    """Controls, answer, picture and links are there; the button asks."""
    page = look("/", javascript=False)
    page.locator("select[name=unique_id]").select_option("165 TPE")
    page.locator("form.ask button").click()
    page.wait_for_url(re.compile(r"unique_id=165"))
    assert page.locator("svg.plot.wide circle.dot").count() == 20
    assert "train 165" in page.locator("tr.here[aria-current]").inner_text()
    page.goto(page.url.split("/question")[0] + "/forecast/arrival_delay/27%20TPE")
    assert page.locator("table").nth(1).locator("tbody tr").count() == 28


def test_the_dots_can_be_counted(look):
    """Twenty dots, filled before the line and hollow after it, as the words say."""
    page = look("/")
    dots = page.evaluate(
        """() => [...document.querySelectorAll('svg.plot.wide circle.dot')].map(
            (dot) => [Number(dot.getAttribute('cx')), !dot.classList.contains('late')])"""
    )
    line = float(page.locator("svg.plot.wide line.deadline").get_attribute("x1"))
    assert len(dots) == 20
    assert all((x < line) is in_time for x, in_time in dots)
    said = page.locator(".key").inner_text()
    assert f"in time ({sum(in_time for _, in_time in dots)})" in said


def test_the_question_is_asked_with_the_keyboard_alone(look):
    page = look("/")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "deadline":
            break
    page.keyboard.press("ArrowDown")
    page.wait_for_url(re.compile(r"deadline=16%3A01"))
    settled(page, "document.activeElement.name ?? ''", "deadline")


def test_the_chart_is_drawn_and_moved_by_keys(look):
    page = look("/forecast/arrival_delay/27%20TPE")
    page.wait_for_selector("#chart[data-drawn] canvas")
    page.keyboard.press("+")
    settled(page, "new URL(location.href).searchParams.has('from')", expected=True)
    first = page.evaluate("new URL(location.href).searchParams.get('from')")
    page.keyboard.press("ArrowLeft")
    settled(page, f"new URL(location.href).searchParams.get('from') < {first!r}", expected=True)
    page.keyboard.press("b")
    assert page.locator("#backtests").get_attribute("aria-pressed") == "true"
    assert "bt=1" in page.url
    page.locator("[data-range='1y']").click()
    assert page.locator("[data-range='1y']").get_attribute("aria-pressed") == "true"
    page.reload()
    page.wait_for_selector("#chart[data-drawn] canvas")
    assert page.locator("[data-range='1y']").get_attribute("aria-pressed") == "true"
    page.keyboard.press("?")
    assert page.locator("dialog#keys").is_visible()


def test_there_is_a_gap_between_the_last_observation_and_the_first_step(look):
    """No line may join what was observed with what is expected."""
    page = look("/forecast/arrival_delay/27%20TPE")
    columns = page.evaluate("JSON.parse(document.getElementById('columns').textContent)")
    both = [(y, q) for y, q in zip(columns["y"], columns["q50"], strict=True) if None not in (y, q)]
    assert both == []
    assert (
        max(t for t, y in zip(columns["t"], columns["y"], strict=True) if y is not None)
        < (columns["begin"])
    )


def test_an_old_forecast_is_laid_over_what_came(look):
    """One cutoff alone, chosen from those of the backtest, kept in the address."""
    page = look("/forecast/arrival_delay/27%20TPE")
    chosen = page.locator("select[name=as_of] option").nth(3).get_attribute("value")
    page.locator("select[name=as_of]").select_option(chosen)
    page.wait_for_url(re.compile(f"as_of={chosen}"))
    page.wait_for_selector("#chart[data-drawn] canvas")
    columns = page.evaluate("JSON.parse(document.getElementById('columns').textContent)")
    assert len(columns["cutoffs"]) == 1
    after = [t for t, b in zip(columns["t"], columns["b50"], strict=True) if b is not None]
    assert 0 < len(after) <= 28
    assert min(after) > columns["cutoffs"][0]
    assert page.locator("#backtests").get_attribute("aria-pressed") == "true"


def test_the_pointer_reads_out_every_interval(look):
    page = look("/forecast/arrival_delay/27%20TPE?r=1m")
    page.wait_for_selector("#chart[data-drawn] canvas")
    box = page.locator("#chart").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.85, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + box["width"] * 0.86, box["y"] + box["height"] / 2)
    said = page.locator("#read-out").inner_text()
    assert re.search(r"\d+ Mar 2026 · median .* min · 50 %: .* · 80 %: .* · 95 %: ", said), said


def test_the_switch_turns_dark_and_stays(look):
    page = look("/")
    page.locator("button.theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 24)"
    page.goto(page.url)
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_the_switch_needs_no_javascript(look):
    page = look("/forecast", javascript=False)
    page.locator("button.theme").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_a_series_is_found_by_name(look):
    page = look("/forecast")
    page.keyboard.press("/")
    page.keyboard.type("165")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("find=165"))
    assert page.locator("tbody tr").count() == 1
