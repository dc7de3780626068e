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


made = fetchcast.Pipeline(
    name="trains",
    api=fetchcast.ApiOptions(base_url="https://rata.digitraffic.fi/api/v1"),
    resource={"trains": fetchcast.ResourceOptions(path="trains/{date}")},
    table={"trains": fetchcast.TableOptions(source="trains", rows="[*]")},
)
assert_type(made, fetchcast.Pipeline)
assert_type(made.resource["trains"], fetchcast.ResourceOptions)
assert_type(fetchcast.Pipeline.from_dict({"api": {}}, folder="."), fetchcast.Pipeline)


def sign(request: fetchcast.Request) -> dict[str, str]:
    """Proves who asks."""
    return {"X-Signed": request.url}


def next_page(page: fetchcast.Page) -> str | None:
    """The address of the page behind ``page``."""
    assert_type(page.headers.get("x-next"), str | None)
    return page.headers.get("x-next")


def row(row: dict[str, object]) -> dict[str, object] | None:
    """The row to keep."""
    return row if row.get("kept") else None


hooks = fetchcast.Hooks(auth=sign, paginator={"trains": next_page}, row={"trains": row})
assert_type(fetchcast.run(made, hooks=hooks), fetchcast.RunReport)


async def notebook() -> fetchcast.RunReport:
    """In a running loop."""
    return await fetchcast.arun("pipeline.toml", subscribers=[subscriber])
