"""What becomes of tables when `keep` in ``[landing]`` has dropped the bodies of answers."""

from pathlib import Path
from typing import Any

import pytest

from fetchcast import arun
from fetchcast.config import Pipeline, pipeline_from
from fetchcast.errors import ConfigError
from fetchcast.load.destinations import open_destination
from fetchcast.pipeline import RunOptions
from fetchcast.testing import Api, json_reply, running_api

REPLIES = {f"/{day}": [json_reply([{"h": day}])] * 4 for day in (1, 2, 3)}


def pipeline(
    folder: Path, api: Api, days: list[int], *, keep: str = "none", **table: Any
) -> Pipeline:
    raw = {
        "name": "days",
        "destination": "duckdb:///days.duckdb",
        "api": {"base_url": api.url},
        "resource": {"days": {"path": "{day}", "params": {"day": days}}},
        "table": {"hours": {"from": "days", "rows": "[*]", **table}},
        "landing": {"keep": keep},
    }
    return pipeline_from(raw, folder=folder)


def rows(folder: Path) -> list[dict[str, Any]]:
    query = "SELECT * EXCLUDE (_request_key, _row) FROM hours ORDER BY ALL"
    return open_destination("duckdb:///days.duckdb", folder).query(query).to_pylist()


@pytest.mark.parametrize("table", [{"write": "replace"}, {"every_call": True}])
@pytest.mark.parametrize("keep", ["none", "90 days"])
async def test_a_table_made_of_all_answers_needs_their_bodies(
    tmp_path: Path, table: dict[str, Any], keep: str
) -> None:
    """Else the second load would leave only the rows that are new."""
    async with running_api(REPLIES) as api:
        with pytest.raises(ConfigError, match=f'(?s)table.hours.*keep = "raw".*{keep}'):
            pipeline(tmp_path, api, [1], keep=keep, **table)
        # Nor does it lose rows to a `keep` that is no longer in the file.
        await arun(pipeline(tmp_path, api, [1]))
        replaced = pipeline(tmp_path, api, [1, 2], keep="raw", **table)
        with pytest.raises(ConfigError, match=r"(?s)1 answers have no body.*--full-refresh"):
            await arun(replaced)
        assert [row["h"] for row in rows(tmp_path)] == [1]

        await arun(replaced, options=RunOptions(again=True))
        assert [row["h"] for row in rows(tmp_path)] == [1, 2]


async def test_another_shape_says_which_rows_keep_the_old_one(tmp_path: Path) -> None:
    async with running_api(REPLIES) as api:
        await arun(pipeline(tmp_path, api, [1, 2]))
        changed = pipeline(tmp_path, api, [1, 2, 3], columns={"hour": "h"})
        report = await arun(changed)
        assert rows(tmp_path) == [
            {"h": 1, "hour": None},
            {"h": 2, "hour": None},
            {"h": None, "hour": 3},
        ]
        (note,) = (note for note in report.notes if "no body" in note)
        assert "table hours: 2 answers have no body any more" in note

        report = await arun(changed, options=RunOptions(again=True))
        assert [row["hour"] for row in rows(tmp_path)] == [1, 2, 3]
        assert not any("no body" in note for note in report.notes)
