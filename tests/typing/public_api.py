"""Checked by mypy, never run: what users of the package may rely on, as types."""

from collections import Counter
from typing import assert_type

import fetchcast
from fetchcast.events import Event, RunEnd
from fetchcast.records import Fate, Receipt

pipeline = fetchcast.read_pipeline("pipeline.toml", base_url="http://127.0.0.1:8027/api/v1")
assert_type(pipeline, fetchcast.Pipeline)
assert_type(pipeline.destinations, tuple[str, ...])

report = fetchcast.run(pipeline, options=fetchcast.RunOptions(only="key"))
assert_type(report, fetchcast.RunReport)
assert_type(report.end, RunEnd)
assert_type(report.receipts, list[Receipt])
assert_type(report.resources["trains"].fates, Counter[Fate])


def subscriber(event: Event) -> None:
    """Any callable that takes an event."""


async def notebook() -> fetchcast.RunReport:
    """In a running loop."""
    return await fetchcast.arun("pipeline.toml", subscribers=[subscriber])
