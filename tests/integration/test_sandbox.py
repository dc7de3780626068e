"""The sandbox behaves as the two real APIs do, seen by an independent client."""

import asyncio
import contextlib
import csv
import gzip
import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import click.testing
import pytest

from fetchcast.cli.sandbox import sandbox as sandbox_command
from fetchcast.errors import ConfigError
from fetchcast.plan.business_id import normalise
from fetchcast.sandbox import SandboxOptions, running_sandbox, serve_sandbox
from fetchcast.testing import FakeClock

DATA = Path(__file__).parent.parent / "data"
AT_ONCE = SandboxOptions(latency_ms=0)
NOON_2026_11_21 = 1795262400.0  # 12:00 UTC, 14:00 at Helsinki, a Saturday.


async def ask(url: str, **options):
    """Status, headers and decoded body."""
    async with aiohttp.ClientSession() as session, session.get(url, **options) as answer:
        return answer.status, answer.headers, await answer.read()


async def test_the_recorded_days_give_the_recorded_delays() -> None:
    """60 days at three stations, as served: scheduled and actual time and minutes, no exception."""
    expected = sorted(
        tuple(row.values())
        for row in csv.DictReader(
            (DATA / "train27_daily_delay_2020-01_02.csv").read_text().splitlines()
        )
    )
    seen = []
    async with serve_sandbox(AT_ONCE) as sandbox, aiohttp.ClientSession() as session:
        for offset in range(60):
            day = date(2020, 1, 1) + timedelta(offset)
            async with session.get(f"{sandbox.rail_url}/trains/{day}/27") as answer:
                assert answer.headers["Fetchcast-Origin"] == "recorded"
                (train,) = await answer.json()
            assert len(train["timeTableRows"]) == 202
            seen += [
                (
                    train["departureDate"],
                    str(train["trainNumber"]),
                    row["stationShortCode"],
                    row["scheduledTime"],
                    row["actualTime"],
                    str(row["differenceInMinutes"]),
                )
                for row in train["timeTableRows"]
                if row["type"] == "ARRIVAL" and row["stationShortCode"] in {"TPE", "SK", "OL"}
            ]
    assert len(expected) == 180
    assert sorted(seen) == expected


async def test_stats_tell_exactly_what_was_received() -> None:
    async with serve_sandbox(AT_ONCE) as sandbox:
        rows = 0
        for day in ("2020-01-01", "2021-06-05", "2020-01-01"):
            rows += len(
                json.loads((await ask(f"{sandbox.rail_url}/trains/{day}/27"))[2])[0][
                    "timeTableRows"
                ]
            )
        await ask(f"{sandbox.rail_url}/trains/2020-01-01/27?cache=no")
        await ask(f"{sandbox.prh_v1_url}/2501710-8")
        _, _, body = await ask(sandbox.url + "/stats")
        stats = json.loads(body)

    assert stats == sandbox.stats()
    assert stats["received"] == 5
    assert stats["answered"] == {"200": 3, "400": 1, "404": 1}
    assert stats["rows_served"] == stats["rows_served_by_train"]["27"] == rows
    assert stats["rows_distinct"] == rows - 202
    assert stats["routes"]["rail train"]["received"] == 4
    assert stats["paths"]["/api/v1/trains/2020-01-01/27"] == {
        "received": 2,
        "answered": {"200": 2},
        "rows": 202,
    }
    assert stats["paths"]["/api/v1/trains/2020-01-01/27?cache=no"]["answered"] == {"400": 1}


async def test_the_rail_api_wants_gzip_and_says_so_in_plain_text() -> None:
    async with serve_sandbox(AT_ONCE) as sandbox:
        url = f"{sandbox.rail_url}/trains/2020-01-01/27"
        status, headers, body = await ask(url, headers={"Accept-Encoding": "identity"})
        assert (status, headers["Content-Type"]) == (406, "text/plain")
        assert body == b"Use of gzip compression is required with Accept-Encoding: gzip header."
        assert (await ask(url, headers={"Accept-Encoding": "gzip;q=0, br"}))[0] == 406

        status, headers, body = await ask(url, headers={"Accept-Encoding": "br, gzip;q=0.5"})
        assert (status, headers["Content-Encoding"]) == (200, "gzip")
        assert headers["Cache-Control"] == "max-age=10, public"

        async with aiohttp.ClientSession(auto_decompress=False) as session:
            packed = await (await session.get(url)).read()
        assert gzip.decompress(packed) == body


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/trains/2020-13-01/27", 400, "PARAMETER_WRONG_TYPE"),
        ("/trains/20200101/27", 400, "PARAMETER_WRONG_TYPE"),
        ("/trains/2020-01-01/IC27", 400, "PARAMETER_WRONG_TYPE"),
        ("/trains/2020-01-01/27?version=new", 400, "PARAMETER_WRONG_TYPE"),
        ("/trains/2020-01-01/27?_=1", 400, "UNKNOWN_PARAMETER"),
        ("/metadata/stations?_=1", 400, "UNKNOWN_PARAMETER"),
        ("/metadata/operators", 404, "RESOURCE_NOT_FOUND"),
    ],
)
async def test_rail_errors_have_the_documented_bodies(path: str, status: int, code: str) -> None:
    async with serve_sandbox(AT_ONCE) as sandbox:
        seen, headers, body = await ask(sandbox.rail_url + path)
    error = json.loads(body)
    assert (seen, error["code"], headers["Content-Type"]) == (status, code, "application/json")
    assert ("queryString" in error) == ("?" in path)


async def test_an_accept_header_without_json_is_an_internal_error() -> None:
    async with serve_sandbox(AT_ONCE) as sandbox:
        url = f"{sandbox.rail_url}/trains/2020-01-01/27"
        status, _, body = await ask(url, headers={"Accept": "text/csv"})
    assert status == 500
    assert json.loads(body)["errorMessage"] == "HttpMediaTypeNotAcceptableException"


@pytest.mark.parametrize(
    "path",
    [
        "/trains/2019-12-31/27",  # Before anything was recorded or made.
        "/trains/2020-01-01/28",  # A train that nobody knows.
        "/trains/2020-01-01/27?version=300000000000",  # The caller has this one already.
    ],
)
async def test_what_there_is_not_is_an_empty_list(path: str) -> None:
    async with serve_sandbox(AT_ONCE) as sandbox:
        status, _, body = await ask(sandbox.rail_url + path)
    assert (status, body) == (200, b"[]")


async def test_today_is_on_its_way_and_tomorrow_has_only_a_timetable() -> None:
    """At 16:30 of Helsinki train 27 has left Tampere and not reached Seinäjoki."""
    clock = FakeClock(now=NOON_2026_11_21 + 2.5 * 3600)
    async with serve_sandbox(AT_ONCE, clock=clock) as sandbox:
        trains = {}
        for day in ("2026-11-20", "2026-11-23", "2026-12-30", "2025-10-01"):
            trains[day] = json.loads((await ask(f"{sandbox.rail_url}/trains/{day}/27"))[2])
        days = [
            json.loads((await ask(f"{sandbox.rail_url}/trains/{day}/25"))[2])
            for day in ("2026-11-21", "latest")
        ]
        latest = json.loads((await ask(f"{sandbox.rail_url}/trains/latest/27"))[2])

    assert trains["2026-12-30"] == trains["2025-10-01"] == []  # Too far ahead, too far back.
    (yesterday,), (soon,) = trains["2026-11-20"], trains["2026-11-23"]
    assert any("actualTime" in row for row in yesterday["timeTableRows"])
    assert not any("actualTime" in row for row in soon["timeTableRows"])
    assert not any("differenceInMinutes" in row for row in soon["timeTableRows"])
    assert days[0] == days[1]
    for train in (*latest, *days[0]):
        times = [row["actualTime"] for row in train["timeTableRows"] if "actualTime" in row]
        assert max(times, default="") < "2026-11-21T14:30:00.000Z"
    assert latest or days[0], "both trains of this day are among the 2 % that did not run"


async def test_stations_and_a_whole_day() -> None:
    async with serve_sandbox(AT_ONCE) as sandbox:
        stations = json.loads((await ask(sandbox.rail_url + "/metadata/stations"))[2])
        day = json.loads((await ask(sandbox.rail_url + "/trains/2020-01-02"))[2])
    assert len(stations) == 550
    assert "TPE" in {station["stationShortCode"] for station in stations}
    assert [train["trainNumber"] for train in day] == [27, 25]


async def test_whole_months_come_as_archives() -> None:
    """Each file of the archive is the answer about that day; the list names what there is."""
    async with serve_sandbox(AT_ONCE, clock=FakeClock(now=NOON_2026_11_21)) as sandbox:
        dumps = f"{sandbox.rail_url}/trains/dumps"
        _, _, page = await ask(f"{dumps}/list.html")
        months = re.findall(r'href="digitraffic-rata-trains-(\d{4}-\d\d)-01\.zip"', page.decode())
        status, headers, body = await ask(f"{dumps}/digitraffic-rata-trains-2020-02-01.zip")
        archive = zipfile.ZipFile(io.BytesIO(body))
        _, _, day = await ask(f"{sandbox.rail_url}/trains/2020-02-29")
        running, _, _ = await ask(f"{dumps}/digitraffic-rata-trains-2026-11-01.zip")

    assert months[:3] == ["2020-01", "2020-02", "2021-04"]
    assert months[-1] == "2026-10"
    assert len(months) == 2 + 11 + 12
    assert (status, headers["Content-Type"]) == (200, "application/zip")
    assert archive.namelist() == [f"2020-02-{n:02}_trains.json" for n in range(1, 30)]
    assert archive.read("2020-02-29_trains.json") == day
    assert running == 404


async def test_prh_version_3_gives_its_register_as_an_archive() -> None:
    async with serve_sandbox(AT_ONCE) as sandbox:
        _, _, body = await ask(f"{sandbox.prh_v3_url}/all_companies")
    archive = zipfile.ZipFile(io.BytesIO(body))
    (name,) = archive.namelist()
    companies = json.loads(archive.read(name))
    assert len({company["businessId"]["value"] for company in companies}) == 2102


async def test_prh_version_1_finds_misses_and_lists() -> None:
    async with serve_sandbox(AT_ONCE) as sandbox:
        status, headers, body = await ask(f"{sandbox.prh_v1_url}/2331972-7")
        hit = json.loads(body)
        assert (status, headers["Fetchcast-Origin"], len(body)) == (200, "recorded", 7737)
        assert hit["results"][0]["name"] == "Verso Food Oy"

        status, headers, body = await ask(f"{sandbox.prh_v1_url}/2501710-8")
        assert (status, headers["Http.status"]) == (404, "200")
        assert json.loads(body) == {**hit, "results": []}

        status, headers, body = await ask(f"{sandbox.prh_v1_url}/2800966-4")
        assert (status, headers["Fetchcast-Origin"]) == (200, "composed")
        assert json.loads(body)["results"][0].keys() == hit["results"][0].keys()

        url, names = f"{sandbox.prh_v1_url}?maxResults=1000&totalResults=true", []
        while url:
            page = json.loads((await ask(url))[2])
            names += [company["businessId"] for company in page["results"]]
            url = page["nextResultsUri"]
        assert len(names) == len(set(names)) == page["totalResults"] > 2000


async def test_prh_version_3_has_its_page_trap() -> None:
    async with serve_sandbox(AT_ONCE) as sandbox:
        companies = f"{sandbox.prh_v3_url}/companies"
        one = json.loads((await ask(companies + "?businessId=0250345-3"))[2])
        none = json.loads((await ask(companies + "?businessId=2501710-8"))[2])
        first = json.loads((await ask(companies))[2])
        last = json.loads((await ask(companies + "?page=22"))[2])
        beyond = json.loads((await ask(companies + "?page=23"))[2])
        status, _, body = await ask(companies + "?page=two")

    assert one["totalResults"] == 1
    assert one["companies"][0]["names"][0]["name"] == "Accountor Group Oy"
    assert none == {"totalResults": 0, "companies": []}
    assert (first["totalResults"], len(first["companies"]), len(last["companies"])) == (
        2102,
        100,
        2,
    )
    assert beyond == first
    assert (status, json.loads(body).keys()) == (400, {"timestamp", "message", "errorcode"})


async def test_the_example_list_holds_what_it_is_there_for() -> None:
    """400 rows: found, found after a repair, unknown on purpose, wrong on purpose."""
    path = Path(__file__).parents[2] / "examples" / "companies" / "companies.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    fates = Counter()
    async with serve_sandbox(AT_ONCE) as sandbox, aiohttp.ClientSession() as session:
        for row in rows:
            try:
                business_id = normalise(row["business_id"])
            except ValueError:
                fates["wrong"] += 1
                continue
            repaired = "repaired " if business_id != row["business_id"] else ""
            async with session.get(f"{sandbox.prh_v1_url}/{business_id}") as answer:
                one = (await answer.json())["results"]
            url = f"{sandbox.prh_v3_url}/companies?businessId={business_id}"
            async with session.get(url) as answer:
                three = (await answer.json())["companies"]
            assert len(one) == len(three)
            assert [company["businessId"] for company in one] == [business_id] * len(one)
            fates[repaired + ("found" if one else "unknown")] += 1
    assert [row["number"] for row in rows] == [str(number) for number in range(1, 401)]
    assert fates == {"found": 364, "repaired found": 24, "unknown": 8, "wrong": 4}


async def test_version_1_is_pressed_at_eleven_calls() -> None:
    async with serve_sandbox(SandboxOptions(latency_ms=300)) as sandbox:
        url = f"{sandbox.prh_v1_url}/2331972-7"
        answers = await asyncio.gather(*[ask(url) for _ in range(15)])
        rail = f"{sandbox.rail_url}/trains/2020-01-01/27"
        unhindered = await asyncio.gather(*[ask(rail) for _ in range(40)])
        ten_more = await asyncio.gather(*[ask(url) for _ in range(10)])
    assert Counter(status for status, _, _ in answers) == {200: 10, 503: 5}
    assert {headers["Content-Type"] for status, headers, _ in answers if status == 503} == {
        "text/html"
    }
    assert {status for status, _, _ in unhindered + ten_more} == {200}
    assert sandbox.stats()["peak_concurrency"] >= 40


async def test_a_rate_is_refused_in_the_words_of_the_real_one() -> None:
    """Five calls in five minutes; the laws of the window itself are property tests."""
    options = SandboxOptions(latency_ms=0, rate=5 / 300, rate_window_s=300)
    async with serve_sandbox(options) as sandbox:
        url = f"{sandbox.rail_url}/trains/2020-01-01/27"
        answers = [await ask(url) for _ in range(8)]
        company, _, _ = await ask(f"{sandbox.prh_v1_url}/2331972-7")
    assert [status for status, _, _ in answers] == [200] * 5 + [429] * 3
    _, headers, body = answers[-1]
    assert headers["Content-Type"] == "text/plain"
    assert "Retry-After" not in headers
    assert body == b"Request rate is limited to 5 requests in a 5 minute window."
    assert company == 200, "each API has a limit of its own"


def fate(url: str) -> str:
    """The status of one call, or that it was reset; aiohttp would repeat a reset call by itself."""
    place = urlsplit(url)
    with contextlib.closing(http.client.HTTPConnection(place.netloc)) as connection:
        connection.request("GET", place.path, headers={"Accept-Encoding": "gzip"})
        try:
            return str(connection.getresponse().status)
        except ConnectionResetError:
            return "reset"


async def test_calls_fail_by_seed_and_never_three_times_in_a_row() -> None:
    async def run(seed: int) -> tuple[list[str], Counter]:
        options = SandboxOptions(latency_ms=0, fail_share=0.4, seed=seed)
        paths = [f"/trains/2021-05-{day:02}/27" for day in range(1, 29)]
        async with serve_sandbox(options) as sandbox:
            seen = await asyncio.to_thread(
                lambda: [fate(sandbox.rail_url + path) for path in paths * 6]
            )
        return seen, Counter(sandbox.stats()["answered"])

    seen, counted = await run(1)
    assert counted == Counter(seen)
    assert set(seen) == {"200", "500", "503", "reset"}
    assert 0.25 < 1 - counted["200"] / len(seen) < 0.5
    for place in range(28):
        attempts = "".join("." if status == "200" else "x" for status in seen[place::28])
        assert "xxx" not in attempts
    assert (await run(1))[0] == seen
    assert (await run(2))[0] != seen


async def test_latency_is_kept() -> None:
    async with serve_sandbox(SandboxOptions(latency_ms=80)) as sandbox:
        began = time.monotonic()
        await ask(sandbox.rail_url + "/trains/2020-01-01/27")
    assert 0.08 <= time.monotonic() - began < 5


async def test_a_client_that_leaves_is_counted_as_gone() -> None:
    async with serve_sandbox(SandboxOptions(latency_ms=600)) as sandbox:
        with pytest.raises(TimeoutError):
            await ask(
                sandbox.rail_url + "/trains/2020-01-01/27",
                timeout=aiohttp.ClientTimeout(total=0.2),
            )
        await asyncio.sleep(0.6)
        stats = sandbox.stats()
    assert (stats["answered"], stats["rows_served"]) == ({"gone": 1}, 0)


async def test_a_sandbox_in_its_own_process() -> None:
    async with running_sandbox(SandboxOptions(latency_ms=1)) as sandbox:
        assert (await ask(sandbox.rail_url + "/trains/2020-01-01/27"))[0] == 200
        stats = await asyncio.to_thread(sandbox.stats)
        assert stats["answered"] == {"200": 1}
        with (
            pytest.raises(ConfigError, match="sandbox = "),
            running_sandbox(SandboxOptions(port=int(sandbox.url.rpartition(":")[2]))),
        ):
            pass
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(sandbox.rail_url)


def test_a_taken_port_is_a_clear_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = click.testing.CliRunner().invoke(sandbox_command, ["--port", str(port)])
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == (
        f"sandbox.port = {port}: expected a free port of 127.0.0.1; "
        "another program listens there (0 finds one)"
    )


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
def test_an_address_of_somebody_else_is_a_clear_message(host: str) -> None:
    result = click.testing.CliRunner().invoke(sandbox_command, ["--host", host])
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith(
        f"sandbox.host = '{host}': expected an address of this machine to listen on ("
    )


def test_values_without_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"fail_share = 1\.5: expected a share from 0 to 1"):
        SandboxOptions(fail_share=1.5)
    with pytest.raises(ConfigError, match="concurrency = 0: expected 1 or more"):
        SandboxOptions(concurrency=0)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
async def test_the_command_prints_its_addresses_and_ends_quietly(end: signal.Signals) -> None:
    program = "from fetchcast.cli.sandbox import sandbox; sandbox()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, "--port", "0", "--concurrency", "5", "--rate", "20"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        lines = [(await process.stdout.readline()).decode().rstrip() for _ in range(5)]
        rail = lines[0].split()[1]
        assert (await ask(rail + "/trains/2020-01-01/27"))[0] == 200
    finally:
        process.send_signal(end)
        rest, errors = await asyncio.wait_for(process.communicate(), 30)
    assert [line.split()[0] for line in lines] == ["rail", "PRH", "PRH", "stats", "Answers"]
    assert lines[4] == (
        "Answers after 100 ms; at most 20 calls a second; at most 5 calls at one time on each API; "
        "no call fails; seed 27. Ctrl-C stops it."
    )
    assert (rest, errors, process.returncode) == (b"", b"", 0)
