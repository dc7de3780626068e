"""What is noted in the landing about a run: that it goes, how far it is, how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fetchcast.errors import FetchcastError
from fetchcast.events import (
    Paced,
    RunEnd,
    Stage,
)
from fetchcast.landing.runs import RunInfo
from fetchcast.landing.writer import Writer
from fetchcast.pipeline.flow import Flow

_PULSE_S = 0.5


@asynccontextmanager
async def told(writer: Writer, flow: Flow, planned: int) -> AsyncIterator[None]:
    """Note in the landing that a run goes, how far it is, and how it ended."""
    report, clock = flow.report, flow.clock
    writer.begin_run(
        RunInfo(
            id=report.run_id,
            pipeline=report.pipeline,
            file_digest=flow.pipeline.digest,
            started_at=clock.now(),
            planned=planned,
        )
    )
    pulse = asyncio.ensure_future(_pulse(writer, flow, planned))
    try:
        yield
    except BaseException as error:
        report.end = _end_of(error)
        raise
    finally:
        pulse.cancel()
        writer.end_run(report.end, flow.counts())


async def _pulse(writer: Writer, flow: Flow, planned: int) -> None:
    """Say twice a second how far the run is, and which limit is felt if that has changed."""
    felt = ""
    while True:
        await asyncio.sleep(_PULSE_S)
        if flow.counters.stage is Stage.EXTRACT and (now := flow.limit()) != felt:
            felt = now
            flow.events(Paced(at=flow.clock.now(), text=felt))
        writer.heartbeat(flow.counts(), flow.counters.planned or planned)


def _end_of(error: BaseException) -> RunEnd:
    if isinstance(error, FetchcastError):
        return RunEnd(error.exit_status)
    interrupted = isinstance(error, KeyboardInterrupt | asyncio.CancelledError)
    return RunEnd.INTERRUPTED if interrupted else RunEnd.BUG
