"""What is told about a run: who, since when, how far, and how it ended."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fetchcast.events import RunEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """A run that begins."""

    id: str
    pipeline: str
    file_digest: str
    """Of the pipeline file, so that a later run can say what changed."""
    started_at: float
    """Seconds since 1970, UTC."""
    planned: int | None = None
    pid: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as the landing knows it."""

    id: str
    pipeline: str
    file_digest: str
    started_at: float
    heartbeat_at: float
    """When it last said that it lives; all times are seconds since 1970, UTC."""
    ended_at: float | None
    """None while it goes. For a killed run its last heartbeat, set by the next writer."""
    end: RunEnd | None
    """None while it goes, and for a run that was killed."""
    planned: int | None
    counts: Mapping[str, Any]
    """As they were handed to the last heartbeat, or to the end."""
    pid: int
    host: str

    @property
    def state(self) -> str:
        """``running``, ``killed``, or how it ended: ``complete``, ``incomplete``, ..."""
        if self.ended_at is None:
            return "running"
        return "killed" if self.end is None else self.end.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A line of the log that the landing keeps of its runs."""

    seq: int
    """Grows; ask for the lines after the last one that was seen."""
    run: str | None
    at: float
    kind: str
    """``stage_started``, ``stage_ended``, ``notice``, ``pace`` (a limit is felt), ``refused`` (a
    `Refusal` as JSON), or what the caller chose."""
    text: str


class Refusal(msgspec.Struct, frozen=True):
    """A call that the API did not want to answer then; it was asked again later."""

    status: int | None
    url: str
    """As it was sent; may hold a secret."""
    head: str
    """How the answer began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Something that was learnt in one run for the next ones."""

    value: Any
    """What JSON can carry."""
    at: float
    """When it was remembered, seconds since 1970, UTC."""
