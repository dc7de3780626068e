"""Runs on the pages: another process's and our own, live, stopped, and after the app died."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
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
    chromium, slow, running, faults_for_readers
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
        assert faults_for_readers(page) == []
        page.goto(site + "/runs")
        assert faults_for_readers(page) == []
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
        with urlopen(site + "/runs/failed") as answer:
            assert calls[0]["url"] in answer.read().decode()
