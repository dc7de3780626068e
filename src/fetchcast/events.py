"""What happens in a run, and its counters. Progress, logs and the app subscribe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TypeAlias

import msgspec

from fetchcast.records import Fate, Outcome


class Stage(StrEnum):
    """The stages of a run, in their order."""

    PLAN = "plan"
    EXTRACT = "extract"
    TRANSFORM = "transform"
    LOAD = "load"
    FORECAST = "forecast"


class RunEnd(IntEnum):
    """How a run ended; the value is the exit status."""

    COMPLETE = 0
    """Every call landed, was empty, or was skipped by a rule that was asked for."""
    BUG = 1
    """An error that is fetchcast's own; its traceback is shown."""
    WRONG_INPUT = 2
    """A wrong command, file or input; nothing was asked."""
    INCOMPLETE = 3
    """Done, but calls failed, input rows were rejected, or a series could not be forecast."""
    STOPPED = 4
    """A quota or a cap of your own was reached; run again to go on."""
    STORAGE = 5
    """The landing or the destination could not be used."""
    INTERRUPTED = 130
    """Ctrl-C; what had landed is safe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted:
    """A stage begins; ``total`` is the number of its units, where it is known."""

    stage: Stage
    at: float
    total: int | None = None
    what: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEnded:
    """A stage is over."""

    stage: Stage
    at: float
    done: int = 0
    what: str = ""


class Sent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """``count`` calls left, with no event between them."""

    at: float
    count: int = 1


REFUSED_HEAD_BYTES = 400
"""How much of a refusal's answer is told: enough to read its reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The API said "not now"; the call goes back to the queue and costs no attempt."""

    at: float
    status: int | None
    wait_s: float | None = None
    url: str = ""
    """What was asked for; may hold a secret."""
    head: bytes = b""
    """How its answer began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """An attempt failed for another reason and another one will be made."""

    at: float
    key: str
    attempt: int
    reason: str


class Ended(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A call ended; it is not on the disk yet."""

    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """``count`` ends of calls are on the disk, with ``size_bytes`` of bodies before compression."""

    at: float
    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """``count`` rows of the plan need no call: landed before, repeated, or not asked for."""

    at: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MorePlanned:
    """``count`` more calls became known: next pages, children of an answer."""

    at: float
    resource: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """Another limit is felt now; told when the words for it change, at most twice a second."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something a person should know: a limit that was found, a rule that was applied."""

    at: float
    text: str


Event: TypeAlias = (
    StageStarted
    | StageEnded
    | Sent
    | Refused
    | Retried
    | Ended
    | Committed
    | Passed
    | MorePlanned
    | Paced
    | Notice
)
Subscriber: TypeAlias = Callable[[Event], None]


@dataclass(slots=True)
class Events:
    """Hands each event to every subscriber, at once and in order.

    A subscriber is called in the thread in which the event happens, must not block and must not
    raise; one that raises is a bug and ends the run.
    """

    subscribers: list[Subscriber] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        """Tell everyone."""
        for subscriber in self.subscribers:
            subscriber(event)


@dataclass(slots=True)
class Counters:
    """The state of a run in numbers; subscribe `update`."""

    planned: int | None = None
    passed: int = 0
    """Rows of the plan that needed no call."""
    in_flight: int = 0
    sent: int = 0
    refused: int = 0
    retried: int = 0
    committed: int = 0
    body_bytes: int = 0
    ended: dict[Fate, int] = field(default_factory=lambda: dict.fromkeys(Fate, 0))
    stage: Stage | None = None

    def update(self, event: Event) -> None:
        """Count ``event``."""
        if isinstance(event, Ended):  # First: it is the one that happens once a call.
            outcome = event.outcome
            self.ended[outcome.fate] += 1
            self.in_flight -= outcome.attempts > 0  # Else it was never asked.
        else:
            self._update_rest(event)

    def _update_rest(self, event: Event) -> None:
        """What does not happen once a call."""
        match event:
            case Sent(count=count):
                self.sent += count
                self.in_flight += count
            case Refused():
                self.refused += 1
                self.in_flight -= 1
            case Retried():
                self.retried += 1
                self.in_flight -= 1
            case Committed(count=count, size_bytes=size):
                self.committed += count
                self.body_bytes += size
            case Passed(count=count):
                self.passed += count
            case MorePlanned(count=count):
                self.planned = (self.planned or 0) + count
            case StageStarted(stage=stage, total=total):
                self.stage = stage
                if stage is Stage.EXTRACT and total is not None:
                    self.planned = total
            case _:
                pass
