"""Two resources of one API with different limits: each goes at its own."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from fetchcast import arun
from fetchcast.config import Pipeline, pipeline_from, read_pipeline
from fetchcast.errors import ConfigError
from fetchcast.pipeline import RunOptions, RunReport
from fetchcast.testing.limits import instant, running_limits
from fetchcast.testing.simulation.gates import FixedWindow
from fetchcast.testing.simulation.world import Server


def _pipeline(folder: Path, url: str, **search: Any) -> Pipeline:
    return pipeline_from(
        {
            "name": "hub",
            "api": {"base_url": url},
            "resource": {
                "search": {
                    "path": "search/{n}",
                    "params": {"n": list(range(45))},
                    "answer": {"format": "json"},
                    **search,
                },
                "items": {"path": "items/{n}", "params": {"n": list(range(400))}},
            },
        },
        folder=folder,
    )


def _told(calls: int, period_s: float) -> Server:
    gate = FixedWindow(calls, period_s, wall0=time.time(), hints="x-delta")
    return Server(network=instant(0.01), gates=[gate])


async def _ask(pipeline: Pipeline, **options: Any) -> RunReport:
    return await arun(pipeline, options=RunOptions(**options))


async def test_a_search_with_30_a_second_does_not_slow_down_the_rest(
    tmp_path: Path,
) -> None:
    """Its headers name another allowance; in the next run both are asked side by side."""
    async with running_limits(
        _told(5000, 3600.0), refusal_status=429, routes={"/search": _told(30, 1.0)}
    ) as api:
        first = await _ask(_pipeline(tmp_path, api.url))
        second = await _ask(_pipeline(tmp_path, api.url), again=True)

    for report in (first, second):
        assert report.pace.startswith("items: 5,000 per 1 h; all else: 30 per 1 s")
        assert sum(report.resources["items"].fates.values()) == 400
        assert report.extract_s < 4
    assert api.books.refused <= 2


async def test_limits_of_a_resource_are_kept_and_are_for_one_pace_alone(tmp_path: Path) -> None:
    """A cap of your own for one of them; refused where the pace is shared by processes."""
    async with running_limits(_told(5000, 3600.0)) as api:
        slow = _pipeline(tmp_path, api.url, limits={"max_rate": 40.0})
        begun = time.monotonic()
        report = await _ask(slow)

    assert time.monotonic() - begun >= 44 / 40
    assert "search: your own cap of 40 a second" in report.pace

    (tmp_path / "shared.toml").write_text(
        """
        name = "hub"
        [api]
        base_url = "http://127.0.0.1:9"
        auth = { type = "api_key", name = "X-Key", key = ["${K1}", "${K2}"] }
        [resource.a]
        path = "a"
        limits = { max_rate = 2.0 }
        """
    )
    keys = {"K1": "canary-1-canary", "K2": "canary-2-canary"}
    shared = read_pipeline(tmp_path / "shared.toml", environment=keys)
    with pytest.raises(ConfigError, match=r"resource.a.limits"):
        await _ask(shared)
