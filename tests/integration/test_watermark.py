"""APIs with "since": each run asks from the greatest value that has landed."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import duckdb
import pytest

from fetchcast import arun
from fetchcast.config import Pipeline, pipeline_from
from fetchcast.errors import ConfigError
from fetchcast.pipeline import RunOptions
from fetchcast.pipeline.ask import plans
from fetchcast.testing import Api, Asked, FakeClock, Reply, json_reply, running_api

NOON = 1_795_003_200.0
SINCE = {"since": "[*].at", "start": "2026-01-01T00:00:00Z"}
FIRST, SECOND = "2026-02-01T10:00:00Z", "2026-02-02T10:00:00Z"


def pipeline(folder: Path, api: Api, *, table: dict[str, Any] | None = None, **since: Any):
    raw = {
        "name": "events",
        "api": {"base_url": api.url},
        "retry": {"attempts": 1},
        "resource": {
            "events": {
                "path": "{station}",
                "params": {"since": {**SINCE, **since}, "station": ["HKI", "TPE"]},
                "query": {"updated_after": "{since}"},
            }
        },
        "table": {"events": {"from": "events", "rows": "[*]", "key": ["id"], **(table or {})}},
    }
    return pipeline_from(raw, folder=folder)


def event(number: int, at: str, text: str = "new") -> dict[str, Any]:
    return {"id": number, "at": at, "text": text}


def asked(api: Api, *, after: int = 0) -> list[tuple[str, str]]:
    """Station and moment of the calls but the first few."""
    found = [urlsplit(hit) for hit in api.hits[after:]]
    return sorted((url.path[1:], parse_qs(url.query)["updated_after"][0]) for url in found)


def rows(folder: Path) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / "events.duckdb"), read_only=True) as connection:
        return connection.execute("SELECT id, text FROM events ORDER BY id").fetchall()


def server(events: dict[str, list[dict[str, Any]]], broken: set[str]) -> Any:
    """Tells what is not older than ``updated_after``, by moments as texts."""

    def answer(call: Asked) -> Reply:
        url = urlsplit(call.target)
        station, since = url.path[1:], parse_qs(url.query)["updated_after"][0]
        if station in broken:
            return Reply(404 if station == "gone" else 400)
        return json_reply([one for one in events[station] if one["at"] >= since])

    return answer


async def test_each_combination_goes_on_from_its_own_mark(tmp_path: Path) -> None:
    events = {"HKI": [event(1, FIRST)], "TPE": [event(2, SECOND)]}
    clock = FakeClock(now=NOON)
    async with running_api({"*": server(events, set())}) as api:
        made = pipeline(tmp_path, api)
        await arun(made, clock=clock)
        assert asked(api) == [("HKI", SINCE["start"]), ("TPE", SINCE["start"])]
        events["HKI"] += [event(1, SECOND, "changed"), event(3, SECOND)]
        for _ in range(2):  # Nothing new in the second: it is asked all the same.
            clock.advance(3600.0)
            await arun(made, clock=clock)
        later = asked(api, after=2)
        assert later == [("HKI", FIRST), ("HKI", SECOND), ("TPE", SECOND), ("TPE", SECOND)]
    assert rows(tmp_path) == [(1, "changed"), (2, "new"), (3, "new")]


async def test_a_call_that_fails_does_not_move_its_mark(tmp_path: Path) -> None:
    """The other station's moves."""
    events, broken = {"HKI": [event(1, FIRST)], "TPE": [event(2, FIRST)]}, {"TPE"}
    clock = FakeClock(now=NOON)
    async with running_api({"*": server(events, broken)}) as api:
        made = pipeline(tmp_path, api)
        report = await arun(made, clock=clock)
        assert report.end == 3
        broken.clear()
        clock.advance(3600.0)
        await arun(made, clock=clock)
        assert asked(api, after=2) == [("HKI", FIRST), ("TPE", SINCE["start"])]
    assert [number for number, _ in rows(tmp_path)] == [1, 2]


async def test_a_run_that_is_cut_off_moves_nothing(tmp_path: Path) -> None:
    """By a cap of one's own, and where only a part was asked."""
    events = {"HKI": [event(1, FIRST)], "TPE": [event(2, FIRST)]}
    clock = FakeClock(now=NOON)
    async with running_api({"*": server(events, set())}) as api:
        made = pipeline(tmp_path, api)
        (plan,) = plans(made, now=NOON)
        key = next(row.request.key for row in plan.rows() if row.request)
        await arun(made, clock=clock, options=RunOptions(only=key))
        clock.advance(3600.0)
        await arun(made, clock=clock)
        assert asked(api, after=1) == [("HKI", SINCE["start"]), ("TPE", SINCE["start"])]
        clock.advance(3600.0)
        await arun(made, clock=clock, options=RunOptions(again=True))
        assert asked(api, after=3) == [("HKI", SINCE["start"]), ("TPE", SINCE["start"])]
        clock.advance(3600.0)
        await arun(made, clock=clock)
        assert asked(api, after=5) == [("HKI", FIRST), ("TPE", FIRST)]


async def test_an_overlap_is_asked_for_again(tmp_path: Path) -> None:
    events = {"HKI": [event(1, FIRST)], "TPE": []}
    clock = FakeClock(now=NOON)
    async with running_api({"*": server(events, set())}) as api:
        made = pipeline(tmp_path, api, overlap="10 minutes")
        for _ in range(2):
            await arun(made, clock=clock)
            clock.advance(3600.0)
        assert asked(api, after=2)[0] == ("HKI", "2026-02-01T09:50:00Z")


async def test_all_that_landed_can_be_loaded_at_once_with_the_last_row_of_each_key(
    tmp_path: Path,
) -> None:
    events = {"HKI": [event(1, FIRST)], "TPE": []}
    clock = FakeClock(now=NOON)
    async with running_api({"*": server(events, set())}) as api:
        made = pipeline(tmp_path, api)
        await arun(made, clock=clock)
        events["HKI"] = [event(1, SECOND, "changed")]
        clock.advance(3600.0)
        await arun(made, clock=clock)
    for old in (tmp_path / "events.duckdb", *(tmp_path / "events.duckdb.d").iterdir()):
        old.unlink()
    await arun(made, clock=clock, options=RunOptions(ask=False))
    assert rows(tmp_path) == [(1, "changed")]


async def test_what_looks_like_a_mistake_is_told(tmp_path: Path) -> None:
    clock = FakeClock(now=NOON)
    async with running_api({"*": server({"HKI": [event(1, FIRST)], "TPE": []}, set())}) as api:
        made = pipeline(tmp_path, api, since="[*].changed", table={"key": None})
        report = await arun(made, clock=clock)
    assert any("no answer has a value at since = '[*].changed'" in one for one in report.notes)
    assert any("give it a `key`" in one for one in report.notes)


@pytest.mark.parametrize(
    ("since", "said"),
    [
        ({"overlap": 5}, "overlap"),
        ({"overlap": "soon"}, "overlap"),
        ({"start": 7, "overlap": "1 day"}, "overlap"),
        ({"since": "[*"}, "cannot read"),
        ({"from": "2026-01-01"}, "from"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    tmp_path: Path, since: dict[str, Any], said: str
) -> None:
    async with running_api({}) as api:
        made: Pipeline = pipeline(tmp_path, api, **since)
        with pytest.raises(Exception, match=said):
            plans(made, now=NOON)


async def test_a_table_with_a_row_for_each_call_is_refused(tmp_path: Path) -> None:
    async with running_api({}) as api:
        made = pipeline(tmp_path, api, table={"every_call": True, "key": None})
        with pytest.raises(ConfigError, match="are others in each run"):
            plans(made, now=NOON)
