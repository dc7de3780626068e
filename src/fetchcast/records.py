"""The values that pass between stages.

A `Request` is asked for, an `Answer` comes back, an `Outcome` says how the call ended, `Landed`
is what the landing kept of it. A `Batch` is shaped rows on the way to a table and a `Receipt`
says what a destination did with it. Nothing here does anything: no clock, no socket, no disk.

What is made once a call is a `msgspec.Struct`, which costs a quarter of a frozen dataclass. They
hold no cycles, so that the collector need not look at them (``gc=False``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:
    import pyarrow as pa

Scalar: TypeAlias = str | int | float | bool | None
"""What a parameter may be."""


HIDDEN = "***"
"""What stands in an answer where it said a secret of ours back."""


class Fate(StrEnum):
    """How a planned call ended; there is no other way."""

    LANDED = "landed"
    """An answer with content is kept."""
    EMPTY = "empty"
    """A fine answer without rows: a day on which the train did not run, a company not found."""
    FAILED = "failed"
    """Every attempt failed; the last answer's head is kept."""
    SKIPPED = "skipped"
    """Never asked: by a rule, or because the input row is bad."""


_NO_HEADERS: Mapping[str, str] = {}


WITH_ANSWER: Final = frozenset({Fate.LANDED, Fate.EMPTY})
"""The fates of calls that got a fine answer: they are not asked again."""


def request_key(
    method: str,
    url: str,
    body: bytes | None = None,
    *,
    resource: str = "",
    headers: Mapping[str, str] = _NO_HEADERS,
) -> str:
    """The stable name of a call: 32 hex digits over what would be sent and what for.

    Equal calls of one resource have equal keys. Calls of two resources never do: each resource
    has its own rules for answers and its own tables. Secrets must not be in ``url``:
    authentication is added when the call is sent.

    Args:
        method: The HTTP method.
        url: The whole address.
        body: What is sent.
        resource: The name of the resource in the pipeline file.
        headers: Those that make this call another one than its siblings (a cursor, an id);
            headers that all calls of the resource have are no part of its name.
    """
    parts = [method.encode(), url.encode(), body or b"", resource.encode()]
    if headers:
        parts += [f"{name.lower()}: {value}".encode() for name, value in sorted(headers.items())]
    # One piece: a plan of a million calls makes a million keys.
    whole = b"".join([len(part).to_bytes(8, "big") + part for part in parts])
    return blake2b(whole, digest_size=16).hexdigest()


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One call: everything that is needed to send it, but for secrets."""

    key: str
    """From `request_key`."""
    resource: str
    """The name of the resource in the pipeline file."""
    url: str
    method: str = "GET"
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    params: Mapping[str, Scalar] = {}
    """The parameters that the call was built from, as they are carried into rows."""
    page: int = 0
    """Its place in a list that comes in pages, from 0. Not part of what is sent."""


class Planned(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One row of the plan: a call, or the reason why there is none.

    Several rows may share a request (equal calls are made once); ``position`` is the row's place
    in the plan, from 0, which is the order of the input.
    """

    position: int
    resource: str
    params: Mapping[str, Scalar]
    """The input row, as it was read, with whatever the rules of the plan added to it."""
    request: Request | None
    reason: str | None = None
    """Why there is no request; None if there is one."""
    rejected: bool = False
    """True if the row is bad and nobody asked to skip such rows: the run is not complete."""
    final_at: float | None = None
    """An answer from before this moment (seconds since 1970, UTC) may still change; None: never."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a server said, whole: status, headers (names in lower case), decoded body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    """Where the answer came from in the end, after redirects."""
    elapsed_s: float
    """From sending to the last byte."""
    http_version: str = "1.1"


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The end of one call, on its way to the landing."""

    request: Request
    fate: Fate
    answer: Answer | None
    """The last answer; None if there was never one (or the call was skipped)."""
    attempts: int
    reason: str | None
    """What went wrong, in words; None for landed calls."""
    finished_at: float
    """Seconds since 1970, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """What the landing kept of one call."""

    seq: int
    """Grows with every commit; a later answer to the same key has a larger one."""
    key: str
    resource: str
    url: str
    params: Mapping[str, Scalar]
    fate: Fate
    status: int | None
    headers: Mapping[str, str]
    """The chosen headers, names in lower case."""
    body: bytes
    """The answer as it came, decoded from its transfer encoding; the head only of a failed one."""
    attempts: int
    reason: str | None
    finished_at: float
    """Seconds since 1970, UTC."""


class Disposition(StrEnum):
    """What a load does with rows that are already there."""

    APPEND = "append"
    """Adds; the loads table makes sure that nothing is added twice."""
    REPLACE = "replace"
    """The table is what this load brings, nothing else."""
    MERGE = "merge"
    """Rows with the same key are replaced. See `Target.key` and `Target.whole_keys`."""


REQUEST_KEY = "_request_key"
"""The column in which every row of a fetched table says which call it came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where rows go: a table, and how it is written."""

    table: str
    disposition: Disposition = Disposition.MERGE
    key: tuple[str, ...] = (REQUEST_KEY,)
    """For ``merge``: the columns by which old rows are found."""
    whole_keys: bool = True
    """For ``merge``: True deletes all rows that share a key with the load, then inserts (one key
    may have many rows, as the rows of one call do); False updates or inserts row by row, where a
    key has at most one row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Shaped rows for one table.

    The schema may widen from one batch of a table to the next (new columns, int64 to double, any
    type to string), never narrow. ``keys`` are the request keys this batch speaks for, also
    those without rows now: a merge by whole keys deletes the old rows of all of them.
    """

    target: Target
    rows: pa.Table
    keys: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadNote:
    """One line of ``_fetchcast_loads``: what was loaded when, from which run and answers."""

    load_id: str
    """From content (landing, table, answers, shape): the same load has the same id."""
    run_id: str
    table: str
    landing: str
    """The landing's own identity (a UUID made with it)."""
    from_seq: int
    upto_seq: int
    """The answers with ``from_seq < seq <= upto_seq`` were loaded."""
    shape: str
    """Digest of the options that shaped the rows; another shape means: load all again."""
    rows: int
    loaded_at: float
    """Seconds since 1970, UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a destination did with one load of one table."""

    destination: str
    """Without secrets."""
    table: str
    rows: int
    """Rows handed over."""
    deleted: int = 0
    """Rows that were there before and went away, where the destination knows."""


class Loading(Protocol):
    """One transaction of a destination. Leaving it without an error commits and publishes."""

    def write(self, batch: Batch) -> None:
        """Add ``batch``; readers see nothing of it before the whole load is committed."""

    def note(self, note: LoadNote) -> bool:
        """Record the load in the same transaction; False if it was recorded before.

        To be asked before the first `write` of that table: on False the caller writes nothing.
        """


class Destination(Protocol):
    """A database or a folder of files. Each method opens and closes what it needs."""

    @property
    def url(self) -> str:
        """The address without secrets, for messages."""

    def load(self) -> AbstractContextManager[Loading]:
        """Begin one load: all or nothing, also when the process is killed."""

    def last_note(self, table: str) -> LoadNote | None:
        """The newest note about ``table``, or None if nothing was ever loaded."""

    def query(self, sql: str) -> pa.Table:
        """The rows of a read-only query; raises `QueryError` if it cannot be answered."""

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        """What `query` gives, a piece at a time where the database can; no piece has no rows."""


class Databases(Protocol):
    """What a plan asks of databases; a pipeline gives it."""

    def batches(self, sql: str, on: str | None) -> Iterator[pa.RecordBatch]:
        """The rows of a read-only query, the same ones each time; ``on`` is an address."""

    def count(self, sql: str, on: str | None) -> int:
        """How many rows these are."""

    def kept(self, condition: str, rows: pa.Table) -> Sequence[bool]:
        """For which of ``rows`` a SQL condition is true; raises `QueryError` if it is none."""


class Sink(Protocol):
    """Where the engine puts the end of each call."""

    def take(self, outcome: Outcome) -> bool:
        """Take ``outcome``; False if too much is not yet on the disk: await `room` then."""

    async def room(self) -> None:
        """Wait until enough of what was taken is on the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What follows from the end of a call."""

    outcome: Outcome
    """That end, which may turn out to mean something else: a page behind the last is empty."""
    pages: Iterator[Request] | None = None
    """More of the same list. Drawn one by one, when there is room to send."""
    children: Iterator[Request] | None = None
    """Calls whose parameters are in the answer."""


Follow: TypeAlias = Callable[[Outcome], Followed]
"""Asked at the end of each call, before it is kept: which calls follow from it."""

Ask: TypeAlias = Callable[[Sequence[str]], Mapping[str, Fate]]
"""Which of these keys are in the landing already, and how they ended."""

Plan: TypeAlias = Iterator[Planned]
