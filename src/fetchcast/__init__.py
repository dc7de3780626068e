"""Turns an API's calls into a table, a forecast, and a page that answers a question.

    import fetchcast

    report = fetchcast.run("pipeline.toml")

In a notebook, where an event loop is running: ``report = await fetchcast.arun("pipeline.toml")``.
Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fetchcast.config import Pipeline, read_pipeline
    from fetchcast.errors import FetchcastError
    from fetchcast.pipeline import RunOptions, RunReport, arun, run

_HOMES = {
    "FetchcastError": "fetchcast.errors",
    "Pipeline": "fetchcast.config",
    "RunOptions": "fetchcast.pipeline",
    "RunReport": "fetchcast.pipeline",
    "arun": "fetchcast.pipeline",
    "read_pipeline": "fetchcast.config",
    "run": "fetchcast.pipeline",
}

__all__ = [
    "FetchcastError",
    "Pipeline",
    "RunOptions",
    "RunReport",
    "arun",
    "read_pipeline",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fetchcast' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
