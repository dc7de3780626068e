"""Runs on the pages: another process's and our own, live, stopped, and after the app died."""

from __future__ import annotations

import json
import re
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest

from fetchcast.clock import SystemClock
from fetchcast.sandbox import SandboxOptions, running_sandbox
from fetchcast.serve.app import Source

PIPELINE = """
name = "slow"
[api]
base_url = "{url}"
[http]
max_connections = 2
[resource.trains]
path = "trains/{{date}}/{{train}}"
params = {{ date = {{ from = "2020-01-01", to = "2020-01-{days:02}" }}, train = [27] }}
[table.stops]
from = "trains"
rows = "[*].timeTableRows[*]"
"""


@pytest.fixture
def slow(tmp_path):
    """A pipeline whose 16 calls take some two seconds, and the app's view of it."""
    with running_sandbox(SandboxOptions(latency_ms=250)) as sandbox:
        file = tmp_path / "slow.toml"
        file.write_text(PIPELINE.format(url=sandbox.url + "/api/v1", days=16))
        yield Source(
            name="slow",
            destination="duckdb:///slow.duckdb",
            folder=tmp_path,
            landing=tmp_path / ".fetchcast" / "slow",
            file=str(file),
            api=sandbox.url,
        )


def get_json(url):
    with urlopen(url) as answer:
        return json.load(answer)


def until(condition, seconds=25.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    return condition()


@pytest.mark.browser
def test_a_run_started_on_the_page_is_followed_to_its_end(
    chromium, slow, running, readable_by_everyone
):
    """Empty at first; one button; progress without reloading; then the table is there."""
    with running(slow, clock=SystemClock()) as site:
        page = chromium.new_page()
        faults = []
        page.on("console", lambda message: faults.append(message.text))
        page.goto(site + "/runs")
        assert "fetchcast run" in page.locator("main").inner_text()
        page.get_by_role("button", name="Run now").click()
        page.wait_for_load_state()
        assert page.get_by_role("button", name="A run is going").is_disabled()
        (run,) = until(lambda: _runs(site))
        page.goto(f"{site}/runs/{run['id']}")
        seen = set()
        for _ in range(200):
            seen.add(page.locator("progress").get_attribute("value"))
            if page.locator("#panel").get_attribute("data-going") == "false":
                break
            page.wait_for_timeout(100)
        assert "complete" in page.locator(".state").inner_text()
        assert len(seen) >= 3, seen
        assert seen >= {"16"}
        found = get_json(f"{site}/api/v1/runs/{run['id']}")
        assert found["counts"]["landed"] == 16
        felt = [pace["limit"] for pace in found["paces"]]
        assert felt, "which limit was felt when is kept"
        assert felt[0] in page.locator("#panel").inner_text()
        page.goto(site + "/runs")
        readable_by_everyone(page)
        page.goto(site + "/data")
        assert "stops" in page.locator("table").inner_text()
        assert faults == []
        page.close()


def test_a_run_of_another_process_is_streamed_and_survives_the_app(slow, running):
    """The app dies and comes back while a terminal runs: nothing is lost, nothing is doubled."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fetchcast", "run", slow.file],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with running(slow, clock=SystemClock()) as site:
            (run,) = until(lambda: _runs(site))
            with urlopen(f"{site}/runs/{run['id']}/live") as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                first = _event(stream)
                assert first["event"] == "panel"
                assert 'data-going="true"' in first["data"]
        with running(slow, clock=SystemClock()) as site:
            with urlopen(f"{site}/runs/{run['id']}/live") as stream:
                events = list(iter(lambda: _event(stream), None))
            assert [event["event"] for event in events][-1] == "over"
            assert 'data-going="false"' in events[-2]["data"]
            assert len({event["id"] for event in events[:-1]}) == len(events) - 1
            assert get_json(f"{site}/api/v1/runs/{run['id']}")["state"] == "complete"
    finally:
        assert process.wait(30) == 0


@pytest.mark.browser
def test_the_page_says_when_the_app_dies_and_recovers(chromium, slow, readable_by_everyone):
    """A run of a terminal appears by itself; the app is killed and started again meanwhile."""
    port = free_port()
    app = serving(slow, port)
    page = chromium.new_page()
    run = None
    try:
        page.goto(f"http://127.0.0.1:{port}/runs")
        assert "No runs yet" in page.locator("main").inner_text()
        run = subprocess.Popen(
            [sys.executable, "-m", "fetchcast", "run", slow.file],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        page.wait_for_selector("#part-runs td:has-text('running')", timeout=30_000)
        assert page.get_by_role("button", name="A run is going").is_disabled()
        page.locator("#part-runs a").first.click()
        page.wait_for_selector("#panel[data-going=true]")
        app.kill()
        app.wait()
        page.wait_for_selector("#lost:not([hidden])", timeout=20_000)
        assert "tries again by itself" in page.locator("#lost").inner_text()
        app = serving(slow, port)
        page.wait_for_selector("#lost[hidden]", state="attached", timeout=40_000)
        page.wait_for_selector("#panel[data-going=false]", timeout=40_000)
        assert "complete" in page.locator(".state").inner_text()
        assert page.locator("#said").inner_text() == "complete: 16 of 16 calls"
        assert page.locator(".speed rect").count() >= 2
        readable_by_everyone(page)
    finally:
        page.close()
        app.terminate()
        app.wait(20)
        if run is not None:
            assert run.wait(30) == 0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serving(source, port):
    """`fetchcast serve` on ``port``, as a process that can be killed."""
    command = [sys.executable, "-m", "fetchcast", "serve", "--port", str(port), source.file]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    with process.stdout as said:
        assert "open http" in said.readline()
    return process


def test_a_run_of_a_terminal_is_not_joined_by_another(slow, running):
    """One at a time, whoever started it."""
    with (
        running(slow, clock=SystemClock()) as site,
        subprocess.Popen(
            [sys.executable, "-m", "fetchcast", "run", slow.file],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        until(lambda: _runs(site))
        assert _post(site, "/runs/start") == 409
        assert process.wait(30) == 0
    assert process.returncode == 0


def test_a_run_that_cannot_begin_says_why_on_the_page(slow, running):
    """What it told a terminal that nobody sees."""
    file = Path(slow.file)
    file.write_text(file.read_text() + "[resource.trains.answr]\n")
    with running(slow, clock=SystemClock()) as site:
        assert _post(site, "/runs/start") == 303
        found = until(
            lambda: re.search(r"ended with status 2.*?</section>", _page(site), re.DOTALL)
        )
        assert "did you mean" in found[0]
        assert "answr" in found[0]


def _page(site):
    with urlopen(site + "/runs") as answer:
        return answer.read().decode()


def test_more_calls_than_were_planned_are_no_mistake(slow, running):
    """Pages and children follow from answers: their number is not known from the start."""
    subprocess.run([sys.executable, "-m", "fetchcast", "run", slow.file], check=True)
    journal = slow.landing / "landing.sqlite"
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute("UPDATE run SET planned = 3")
    with running(slow, clock=SystemClock()) as site:
        (run,) = _runs(site)
        assert (run["planned"], run["done"]) == (None, 16)
        with urlopen(f"{site}/runs/{run['id']}") as answer:
            page = answer.read().decode()
        assert re.search(r"16 calls", page)
        assert "16 of 3" not in page


def test_refused_calls_are_shown_with_the_reason_that_the_api_gave(tmp_path, running):
    """An API that takes five calls at a time: status, address and answer of some it refused."""
    with running_sandbox(SandboxOptions(latency_ms=60, concurrency=3)) as sandbox:
        file = tmp_path / "slow.toml"
        text = PIPELINE.format(url=sandbox.url + "/api/v1", days=31)
        file.write_text(text.replace("max_connections = 2", "max_connections = 20"))
        subprocess.run([sys.executable, "-m", "fetchcast", "run", str(file)], check=True)
    source = Source(
        name="slow",
        destination="duckdb:///slow.duckdb",
        folder=tmp_path,
        landing=tmp_path / ".fetchcast" / "slow",
    )
    with running(source, clock=SystemClock()) as site:
        (run,) = _runs(site)
        found = get_json(f"{site}/api/v1/runs/{run['id']}")
        assert found["counts"]["refused"] > 0
        assert {call["status"] for call in found["refused"]} == {429}
        assert re.search(r"/trains/2020-01-\d\d/27", found["refused"][0]["url"])
        assert sum(span["answers"] for span in found["speed"]) == 31
        with urlopen(f"{site}/runs/{run['id']}") as answer:
            page = answer.read().decode()
        assert found["refused"][0]["url"] in page
        assert get_json(site + "/api/v1/landing")["resources"]["trains"]["landed"] == 31


def _runs(site):
    try:
        return get_json(site + "/api/v1/runs")
    except OSError:
        return None


def _event(stream):
    """The next event of a stream; None at its end."""
    found = {"data": ""}
    for line in stream:
        text = line.decode().rstrip("\n")
        if not text and "event" in found:
            return found
        name, _, value = text.partition(": ")
        if name == "data":
            found["data"] += value
        elif name in {"event", "id"}:
            found[name] = value
    return None


def test_a_run_can_be_stopped_and_goes_on_later(slow, running):
    """Stop is Ctrl-C: what has landed is kept."""
    with running(slow, clock=SystemClock()) as site:
        _post(site, "/runs/start")
        assert _post(site, "/runs/start") == 409
        until(lambda: sum(run["counts"]["landed"] for run in _runs(site) or []) > 2)
        _post(site, "/runs/stop")
        run = until(
            lambda: next((run for run in _runs(site) or [] if run["state"] == "interrupted"), None)
        )
        assert run["exit_status"] == 130
        assert 0 < run["counts"]["landed"] < 16


def _post(site, path):
    import http.client
    from urllib.parse import urlsplit

    place = urlsplit(site)
    connection = http.client.HTTPConnection(place.hostname, place.port)
    connection.request("POST", path, headers={"Origin": site})
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_failed_call_is_shown_with_its_answer(tmp_path, running):
    """The address, the status, how often it was tried, and how the answer began."""
    with running_sandbox(SandboxOptions(latency_ms=1)) as sandbox:
        file = tmp_path / "slow.toml"
        text = PIPELINE.format(url=sandbox.url + "/api/v1", days=2)
        file.write_text(text.replace("{date}/{train}", "{date}/{train}?unknown=1"))
        command = [sys.executable, "-m", "fetchcast", "run", str(file)]
        done = subprocess.run(command, capture_output=True, check=False)
        assert done.returncode == 3, done.stderr
    source = Source(
        name="slow",
        destination="duckdb:///slow.duckdb",
        folder=tmp_path,
        landing=tmp_path / ".fetchcast" / "slow",
    )
    with running(source, clock=SystemClock()) as site:
        calls = get_json(site + "/api/v1/runs/failed")
        assert {(call["status"], call["attempts"]) for call in calls} == {(400, 1)}
        assert re.search(r"trains/2020-01-0[12]/27", calls[0]["url"])
        assert calls[0]["head"], "how its last answer began"
        with urlopen(site + "/runs/failed") as answer:
            assert calls[0]["url"] in answer.read().decode()


@pytest.mark.browser
def test_failed_calls_are_asked_for_again_by_a_button(tmp_path, chromium, running):
    """Once the API is well again: the button of the page, and then nothing has failed."""
    file = tmp_path / "slow.toml"
    with running_sandbox(SandboxOptions(latency_ms=1)) as sandbox:
        text = PIPELINE.format(url=sandbox.url + "/api/v1", days=2)
        file.write_text(text.replace("{date}/{train}", "{date}/{train}?unknown=1"))
        command = [sys.executable, "-m", "fetchcast", "run", str(file)]
        assert subprocess.run(command, check=False).returncode == 3
        source = Source(
            name="slow",
            destination="duckdb:///slow.duckdb",
            folder=tmp_path,
            landing=tmp_path / ".fetchcast" / "slow",
            file=str(file),
        )
        with running(source, clock=SystemClock()) as site:
            page = chromium.new_page()
            page.goto(site + "/runs/failed")
            page.get_by_role("button", name="Retry them").focus()
            page.keyboard.press("Enter")
            page.wait_for_url(site + "/runs")
            until(lambda: len(_runs(site) or []) == 2)
            run = until(lambda: next((r for r in _runs(site) if r["state"] == "incomplete"), None))
            assert run["counts"]["failed"] == 2
            assert page.get_by_role("button", name="Retry 2 failed").count() == 1
            page.close()
