"""A run with a changed pipeline file says what the change means."""

from pathlib import Path
from typing import Any

from fetchcast import arun
from fetchcast.config import Pipeline, pipeline_from
from fetchcast.events import Event, Notice
from fetchcast.pipeline import RunOptions
from fetchcast.testing import Api, json_reply, running_api


def pipeline(folder: Path, api: Api, *, days: list[int], **table: Any) -> Pipeline:
    raw = {
        "name": "days",
        "destination": "duckdb:///days.duckdb",
        "api": {"base_url": api.url},
        "resource": {
            "days": {
                "path": "{day}",
                "params": {"day": days},
                "headers": {"X-Colour": table.pop("colour", "secret-red")},
            }
        },
        "table": {"hours": {"from": "days", "rows": "[*]", **table}},
    }
    return pipeline_from(raw, folder=folder)


async def said(made: Pipeline, **options: Any) -> str:
    found: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, Notice):
            found.append(event.text)

    await arun(made, options=RunOptions(**options), subscribers=[hear])
    return "\n".join(found)


async def test_a_changed_file_says_what_it_changes(tmp_path: Path) -> None:
    """What is asked, what is made anew, what stays; once, and without a secret."""
    replies = {f"/{day}": [json_reply([{"h": day}])] for day in (1, 2)}
    async with running_api(replies) as api:
        assert "changed" not in await said(pipeline(tmp_path, api, days=[1]))
        assert "changed" not in await said(pipeline(tmp_path, api, days=[1]))

        more = pipeline(tmp_path, api, days=[1, 2], colour="secret-blue", columns={"h": "h"})
        text = await said(more)
        assert 'resource.days.params: {"day": [1]} -> {"day": [1, 2]}; calls that have not' in text
        assert "resource.days.headers has changed; what has landed stays" in text
        assert "table.hours: columns changed; it is made anew from what has landed" in text
        assert "secret" not in text
        assert "changed" not in await said(more)

        added = pipeline(tmp_path, api, days=[1, 2], columns={"h": "h"}, write="append")
        text = await said(added, ask=False)
        assert "table.hours: write changed; what was appended stays" in text
    landing = b"".join(path.read_bytes() for path in more.landing_folder.iterdir())
    assert b"secret-" not in landing
