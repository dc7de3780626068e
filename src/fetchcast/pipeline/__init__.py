"""The flow: plan, extract, landing, transform, load, forecast. `run` is a pipeline's one verb."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import msgspec

from fetchcast.clock import Clock, SystemClock
from fetchcast.config import Pipeline, read_pipeline
from fetchcast.events import Events, Subscriber
from fetchcast.landing.options import LandingOptions
from fetchcast.landing.writer import open_writer
from fetchcast.pipeline.flow import Flow
from fetchcast.pipeline.follow import kept_headers
from fetchcast.pipeline.hooks import Hooks, hooks_of
from fetchcast.pipeline.options import RunOptions
from fetchcast.pipeline.pulse import told
from fetchcast.pipeline.report import Failure, ResourceReport, RunReport
from fetchcast.pipeline.store import check_destinations
from fetchcast.plan.planner import Plan

__all__ = ["Failure", "Hooks", "ResourceReport", "RunOptions", "RunReport", "arun", "run"]


def run(
    pipeline: Pipeline | str | Path,
    *,
    options: RunOptions | None = None,
    hooks: Hooks | None = None,
    subscribers: Sequence[Subscriber] = (),
    clock: Clock | None = None,
) -> RunReport:
    """Run ``pipeline`` to its end; where an event loop is running, await `arun` instead.

    Args:
        pipeline: A pipeline, or the path of its file.
        options: What to do beside the usual.
        hooks: What to do in a way of your own; beside them, those that the file names.
        subscribers: Told of every event, in the thread it happens in.
        clock: Time and chance; the machine's own if not given.

    Returns:
        What was done, and how complete it is: ``report.end``.

    Raises:
        FetchcastError: If the file, the landing or a destination cannot be used.
    """
    if _loop_is_running():
        raise RuntimeError("an event loop is running here: use `await fetchcast.arun(...)`")
    return asyncio.run(
        arun(pipeline, options=options, hooks=hooks, subscribers=subscribers, clock=clock)
    )


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def arun(
    pipeline: Pipeline | str | Path,
    *,
    options: RunOptions | None = None,
    hooks: Hooks | None = None,
    subscribers: Sequence[Subscriber] = (),
    clock: Clock | None = None,
) -> RunReport:
    """`run`, for a running event loop (notebooks, services)."""
    if not isinstance(pipeline, Pipeline):
        pipeline = read_pipeline(pipeline)
    clock = clock or SystemClock()
    report = RunReport(run_id=uuid4().hex[:12], pipeline=pipeline.name)
    events = Events([*subscribers, report.watch])
    flow = Flow(
        pipeline, options or RunOptions(), report, events, clock, hooks=hooks_of(pipeline, hooks)
    )
    events.subscribers.append(flow.counters.update)
    begun = clock.monotonic()
    await flow.executor.run(check_destinations, pipeline)
    planned = flow.count_plans()  # Before the landing is touched: a wrong file leaves no trace.
    flow.check_executor()
    async with (
        flow.executing(),
        open_writer(
            pipeline.landing_folder, clock=clock, events=events, options=kept(pipeline, flow.plans)
        ) as writer,
        told(writer, flow, planned),
    ):
        flow.tell_changes(writer)
        try:
            await flow.run(writer)
        finally:
            report.sent, report.refused = flow.counters.sent, flow.counters.refused
    report.total_s = clock.monotonic() - begun
    return report


def kept(pipeline: Pipeline, plans: Sequence[Plan]) -> LandingOptions:
    """The landing's options, with the headers that tables carry and that pages are found by."""
    carried = {
        source.removeprefix("header:").lower()
        for table in pipeline.table.values()
        for source in table.carry.values()
        if source.startswith("header:")
    }
    read = sorted(carried | kept_headers(plans))
    headers = dict.fromkeys((*pipeline.landing.headers, *read))
    return msgspec.structs.replace(pipeline.landing, headers=(*headers,))
