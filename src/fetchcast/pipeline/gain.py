"""What workers bring to a run, as far as that is known before it."""

from __future__ import annotations

from typing import Final

import msgspec

from fetchcast.config import Pipeline
from fetchcast.errors import LandingError
from fetchcast.extract.pace import Learnt
from fetchcast.landing.reader import open_reader
from fetchcast.pipeline.pacing import scopes

_ONE_PROCESS: Final = 1000.0
"""Calls a second that one process serves for days, with room for its landing and its loads."""


def gain(pipeline: Pipeline) -> str:
    """Whether the workers of the file's executor gain anything, in words; empty if it has none."""
    run = pipeline.executor.run
    if pipeline.executor.is_local:
        return ""
    known = _known(pipeline)
    if known is None:
        return (
            f"{run}: how fast this API lets itself be asked is not known yet; below "
            f"{_ONE_PROCESS:,.0f} calls a second one process serves it, and workers gain nothing"
        )
    rate, how = known
    if rate < _ONE_PROCESS:
        return (
            f"{run}: workers gain nothing in asking: {rate:,.0f} calls a second ({how}) are "
            "served by one process; they would in shaping large bodies or fitting many series"
        )
    processes = -(-rate // _ONE_PROCESS)
    return f"{run}: {rate:,.0f} calls a second ({how}) keep about {processes:.0f} workers busy"


def _known(pipeline: Pipeline) -> tuple[float, str] | None:
    """Calls a second, and where that is known from."""
    learnt, cap = _remembered(pipeline), pipeline.limits.max_rate
    found = [] if cap is None else [(cap, "your own cap")]
    if learnt is not None and learnt.rate is not None:
        found.append((learnt.rate, "found by an earlier run"))
    elif learnt is not None and learnt.level is not None and learnt.latency_s:
        found.append((learnt.level / learnt.latency_s, f"{learnt.level} at once, found before"))
    return min(found, default=None)


def _remembered(pipeline: Pipeline) -> Learnt | None:
    try:
        with open_reader(pipeline.landing_folder) as reader:
            memory = reader.recall(scopes(pipeline)[0])
    except LandingError:
        return None
    return None if memory is None else msgspec.convert(memory.value, Learnt)
