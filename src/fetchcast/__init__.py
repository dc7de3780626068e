"""Turns an API's calls into a table, a forecast, and a page that answers a question.

    import fetchcast

    report = fetchcast.run("pipeline.toml")
    ahead = fetchcast.forecast(frame, horizon=28)

In a notebook, where an event loop is running: ``report = await fetchcast.arun("pipeline.toml")``.
Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fetchcast.config import ApiOptions, HookOptions, Pipeline, ResourceOptions, read_pipeline
    from fetchcast.errors import FetchcastError
    from fetchcast.forecast import forecast
    from fetchcast.load.destinations import open_destination
    from fetchcast.pipeline import RunOptions, RunReport, arun, run
    from fetchcast.pipeline.hooks import Hooks
    from fetchcast.plan.pagination import Page
    from fetchcast.records import Request
    from fetchcast.transform.options import ColumnOptions, TableOptions

_HOMES = {
    "ApiOptions": "fetchcast.config",
    "ColumnOptions": "fetchcast.transform.options",
    "FetchcastError": "fetchcast.errors",
    "HookOptions": "fetchcast.config",
    "Hooks": "fetchcast.pipeline.hooks",
    "Page": "fetchcast.plan.pagination",
    "Pipeline": "fetchcast.config",
    "Request": "fetchcast.records",
    "ResourceOptions": "fetchcast.config",
    "RunOptions": "fetchcast.pipeline",
    "RunReport": "fetchcast.pipeline",
    "TableOptions": "fetchcast.transform.options",
    "arun": "fetchcast.pipeline",
    "open_destination": "fetchcast.load.destinations",
    "read_pipeline": "fetchcast.config",
    "run": "fetchcast.pipeline",
}

__all__ = [
    "ApiOptions",
    "ColumnOptions",
    "FetchcastError",
    "HookOptions",
    "Hooks",
    "Page",
    "Pipeline",
    "Request",
    "ResourceOptions",
    "RunOptions",
    "RunReport",
    "TableOptions",
    "arun",
    "forecast",
    "open_destination",
    "read_pipeline",
    "run",
]


def __getattr__(name: str) -> Any:
    if name == "forecast":
        # A package that can be called like the function: either import is the same thing.
        return import_module("fetchcast.forecast")
    if name not in _HOMES:
        raise AttributeError(f"module 'fetchcast' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
