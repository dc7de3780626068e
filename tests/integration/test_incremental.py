"""Later runs ask only for what is missing, has grown old, or may still have changed."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from fetchcast import arun
from fetchcast.config import Pipeline, pipeline_from
from fetchcast.errors import ConfigError
from fetchcast.pipeline import RunOptions
from fetchcast.records import Fate
from fetchcast.testing import Api, Asked, FakeClock, Reply, json_reply, running_api

NOON = 1_795_003_200.0  # 2026-11-18 12:00 UTC
DAY_S = 86_400.0


def pipeline(folder: Path, api: Api, **resource: Any) -> Pipeline:
    raw = {
        "name": "days",
        "api": {"base_url": api.url},
        "resource": {
            "days": {
                "path": "{date}",
                "params": {"date": {"from": "2026-11-14", "to": "2026-11-17"}},
                **resource,
            }
        },
        "table": {"rows": {"from": "days", "rows": "[*]", "carry": {"day": "param:date"}}},
    }
    return pipeline_from(raw, folder=folder)


def answers() -> dict[str, list[Reply]]:
    """Each day says another number each time it is asked; one has no row at first."""
    found = {
        f"/2026-11-{day}": [json_reply([{"n": 100 * day + asked}]) for asked in range(9)]
        for day in range(14, 18)
    }
    found["/2026-11-17"][0] = json_reply([])
    return found


def newest(folder: Path) -> dict[str, int]:
    with duckdb.connect(str(folder / "days.duckdb"), read_only=True) as connection:
        found = connection.execute("select day::varchar, n from rows").fetchall()
    assert len(found) == len(dict(found)), "no day is there twice"
    return dict(found)


async def test_a_day_is_asked_again_until_it_has_settled(tmp_path: Path) -> None:
    """Of four days, two may still change; a week later they are asked once more, and then never."""
    clock = FakeClock(now=NOON)
    async with running_api(answers()) as api:
        made = pipeline(tmp_path, api, settles="2 days")
        await arun(made, clock=clock)
        assert newest(tmp_path) == {"2026-11-14": 1400, "2026-11-15": 1500, "2026-11-16": 1600}

        clock.advance(60.0)
        report = await arun(made, clock=clock)
        assert Counter(api.hits) == {
            "/2026-11-14": 1,
            "/2026-11-15": 1,
            "/2026-11-16": 2,
            "/2026-11-17": 2,
        }
        assert report.resources["days"].already == 2
        assert newest(tmp_path)["2026-11-16"] == 1601
        assert newest(tmp_path)["2026-11-17"] == 1701

        clock.advance(7 * DAY_S)
        await arun(made, clock=clock)
        await arun(made, clock=clock)
        assert Counter(api.hits)["/2026-11-16"] == 3
        assert Counter(api.hits)["/2026-11-14"] == 1
        assert newest(tmp_path)["2026-11-17"] == 1702


async def test_answers_that_have_grown_old_are_asked_for_again(tmp_path: Path) -> None:
    clock = FakeClock(now=NOON)
    async with running_api(answers()) as api:
        made = pipeline(tmp_path, api, refresh="1 day")
        await arun(made, clock=clock)
        clock.advance(DAY_S / 2)
        await arun(made, clock=clock)
        assert len(api.hits) == 4
        clock.advance(DAY_S)
        await arun(made, clock=clock)
        assert len(api.hits) == 8
        assert newest(tmp_path)["2026-11-14"] == 1401


async def test_a_refresh_that_fails_leaves_the_rows_there_were(tmp_path: Path) -> None:
    replies = answers()
    replies["/2026-11-14"][1:] = [Reply(404)] * 8
    clock = FakeClock(now=NOON)
    async with running_api(replies) as api:
        made = pipeline(tmp_path, api, refresh="1 day")
        await arun(made, clock=clock)
        clock.advance(2 * DAY_S)
        report = await arun(made, clock=clock)
    assert report.end == 3
    assert newest(tmp_path)["2026-11-14"] == 1400
    assert newest(tmp_path)["2026-11-15"] == 1501


async def test_another_address_is_refused_before_anything_is_mixed(tmp_path: Path) -> None:
    async with running_api(answers()) as one, running_api(answers()) as other:
        await arun(pipeline(tmp_path, one), clock=FakeClock(now=NOON))
        with pytest.raises(ConfigError, match="the rows of both"):
            await arun(pipeline(tmp_path, other), clock=FakeClock(now=NOON))
        assert other.hits == []


async def test_a_column_that_is_no_longer_wanted_does_not_stay_behind(tmp_path: Path) -> None:
    """A changed shape makes the table anew from what has landed, without a call."""
    clock = FakeClock(now=NOON)
    async with running_api(answers()) as api:
        made = pipeline(tmp_path, api)
        await arun(made, clock=clock)
        table = {"rows": {"from": "days", "rows": "[*]", "columns": {"number": "n"}}}
        raw = {"name": "days", "api": {"base_url": api.url}, "table": table}
        resource = {
            "path": "{date}",
            "params": {"date": {"from": "2026-11-14", "to": "2026-11-17"}},
        }
        again = pipeline_from({**raw, "resource": {"days": resource}}, folder=tmp_path)
        await arun(again, clock=clock)
        assert len(api.hits) == 4
    with duckdb.connect(str(tmp_path / "days.duckdb"), read_only=True) as connection:
        names = [row[0] for row in connection.execute("describe rows").fetchall()]
        numbers = connection.execute("select number from rows order by 1").fetchall()
    assert "n" not in names
    assert numbers == [(1400,), (1500,), (1600,)]


class Changing:
    """A page with a version; "not modified" to those who have it."""

    def __init__(self, header: str, ask: str) -> None:
        self.header, self.ask, self.version = header, ask, "one"
        self.said: list[int] = []

    def __call__(self, asked: Asked) -> Reply:
        same = asked.headers.get(self.ask) == self.version
        self.said.append(304 if same else 200)
        rows = [{"n": len(self.version)}, {"n": len(self.said)}]
        headers = {"Content-Type": "application/json", self.header: self.version}
        return Reply(304, headers) if same else Reply(200, headers, msgspec.json.encode(rows))


def numbers(folder: Path) -> list[int]:
    with duckdb.connect(str(folder / "days.duckdb"), read_only=True) as connection:
        return [n for (n,) in connection.execute("select n from rows order by _row").fetchall()]


@pytest.mark.parametrize(
    ("header", "ask"), [("ETag", "if-none-match"), ("Last-Modified", "if-modified-since")]
)
async def test_what_has_not_changed_is_confirmed_and_not_sent_again(
    tmp_path: Path, header: str, ask: str
) -> None:
    """A 304 makes the kept answer young again: no failure, no new row, no load."""
    clock = FakeClock(now=NOON)
    page = Changing(header, ask)
    async with running_api({"*": page}) as api:
        made = pipeline(tmp_path, api, refresh="1 day", params={"date": ["2026-11-14"]})
        await arun(made, clock=clock)
        clock.advance(2 * DAY_S)
        report = await arun(made, clock=clock)
        assert page.said == [200, 304]
        assert report.end == 0
        assert report.resources["days"].fates == {Fate.LANDED: 1}
        assert not report.receipts, "nothing new, nothing loaded"
        assert numbers(tmp_path) == [3, 1]

        clock.advance(DAY_S / 2)
        await arun(made, clock=clock)
        assert page.said == [200, 304], "what was confirmed half a day ago is young"

        page.version = "three"
        clock.advance(DAY_S)
        await arun(made, clock=clock)
        assert page.said == [200, 304, 200]
        assert numbers(tmp_path) == [5, 3]

        await arun(made, clock=clock, options=RunOptions(again=True))
        assert page.said == [200, 304, 200, 200], "a full refresh wants it whole"


async def test_a_304_that_nobody_asked_for_is_a_failure(tmp_path: Path) -> None:
    async with running_api({"*": Reply(304)}) as api:
        made = pipeline(tmp_path, api, params={"date": ["2026-11-14"]})
        report = await arun(made, clock=FakeClock(now=NOON))
    assert report.resources["days"].fates == {Fate.FAILED: 1}


@pytest.mark.parametrize("wrong", [{"refresh": "sometimes"}, {"settles": "soon"}])
async def test_a_span_that_is_none_is_refused(tmp_path: Path, wrong: dict[str, str]) -> None:
    async with running_api({}) as api:
        with pytest.raises(ConfigError, match="a span like"):
            pipeline(tmp_path, api, **wrong)


async def test_two_resources_may_ask_the_same_address(tmp_path: Path) -> None:
    """Each has its own table; neither takes the other's answer for its own."""
    resource = {"path": "2026-11-14"}
    async with running_api(answers()) as api:
        raw = {
            "name": "twice",
            "api": {"base_url": api.url},
            "resource": {"one": resource, "two": resource},
            "table": {
                "first": {"from": "one", "rows": "[*]"},
                "second": {"from": "two", "rows": "[*]"},
            },
        }
        report = await arun(pipeline_from(raw, folder=tmp_path), clock=FakeClock(now=NOON))
    assert [one.fates.total() for one in report.resources.values()] == [1, 1]
    with duckdb.connect(str(tmp_path / "twice.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from first").fetchone() == (1,)
        assert connection.execute("select count(*) from second").fetchone() == (1,)


async def test_calls_that_never_work_do_not_hold_up_the_others(tmp_path: Path) -> None:
    """Thirty broken ids in the middle of a plan are no outage: the others go on beside them."""

    def says(asked: Asked) -> Reply:
        number = int(asked.path.rsplit("/", 1)[1])
        return Reply(500) if 40 <= number < 70 else json_reply([{"n": number}])

    raw = {
        "name": "days",
        "retry": {"attempts": 3, "base_s": 0.1, "max_s": 0.2},
        "resource": {"days": {"path": "x/{n}", "params": {"n": {"from": 1, "to": 200}}}},
        "table": {"rows": {"from": "days", "rows": "[*]"}},
    }
    async with running_api({"*": says}) as api:
        raw["api"] = {"base_url": api.url}
        made = pipeline_from(raw, folder=tmp_path)
        report = await asyncio.wait_for(arun(made), 60)
        assert report.count(Fate.LANDED) == 170
        assert report.count(Fate.FAILED) == 30
        assert report.extract_s < 45
        again = await asyncio.wait_for(arun(made), 60)
        assert again.count(Fate.FAILED) == 30
        assert len(api.hits) == 170 + 2 * 3 * 30
