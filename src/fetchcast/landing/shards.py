"""Answers on their way from workers to the journal, in a folder or bucket that all of them see.

    STORE/IDENTITY/token                      what tells a worker that it sees the same store
    STORE/IDENTITY/parts/SHARD/ATTEMPT-N.parquet   answers, whole or not there at all
    STORE/IDENTITY/commits/SHARD.json         which parts are the shard's; the first one counts
    STORE/IDENTITY/shaping/NAME               answers on their way to be shaped, and their rows

On a cluster a commit is what "landed" means: a worker says that a shard is done only when its
commit is there. One importer, the run that holds the landing, brings parts into the journal and
then takes them away. An attempt that is killed leaves parts, and the next one takes them over:
no more is asked twice than was not yet in a part.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from fetchcast.errors import ExecutorError
from fetchcast.landing.places import Place, open_place
from fetchcast.records import Answer, Fate, Outcome, Request

_COLUMNS: Final = pa.schema(
    [
        ("key", pa.string()),
        ("resource", pa.string()),
        ("fate", pa.string()),
        ("status", pa.int32()),
        ("attempts", pa.int32()),
        ("reason", pa.string()),
        ("finished_at", pa.float64()),
        ("url", pa.string()),
        ("method", pa.string()),
        ("params", pa.string()),
        ("headers", pa.string()),
        ("sent", pa.binary()),
        ("answer_url", pa.string()),
        ("elapsed_s", pa.float64()),
        ("http_version", pa.string()),
        ("body", pa.binary()),
        ("page", pa.int32()),
    ]
)
_MARK: Final = "token"
_SHAPING: Final = "shaping"


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """What a shard came to: which parts are its own."""

    shard: str
    attempt: str
    parts: list[str]
    """Names of the parts, in the order in which they count: of two answers to a key the first."""
    answers: int = 0
    worker: str = ""
    stopped: str | None = None
    """Why calls of the shard were left unasked, in words; it is not committed then."""
    own_cap: bool = False
    lost: bool = False
    """The coordinator went away from it: the shard is to be done again."""


class ShardStore:
    """The store of one landing; opened where it is used, on workers too.

    Args:
        url: ``file:///PATH`` or ``s3://BUCKET/PREFIX?endpoint_override=...``.
        identity: The landing's own name.

    Raises:
        ExecutorError: If the address is none, or its driver is missing here.
    """

    def __init__(self, url: str, identity: str) -> None:
        self.url, self.identity = url, identity
        self._open: Place | None = None
        _ = self._place  # Where the run is, what is wrong with it is said at once.

    @property
    def _place(self) -> Place:
        if self._open is None:
            self._open = self._opened()
        return self._open

    def _opened(self) -> Place:
        url = self.url
        try:
            return open_place(url)
        except (ValueError, ImportError) as error:
            raise ExecutorError(
                _without_secrets(url),
                f"cannot be opened here: {error}",
                "a folder is file:///PATH; s3://BUCKET/PREFIX needs the extra on every machine: "
                "pip install 'fetchcast[dask,s3]'",
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self.url, self.identity)

    # -- is it shared?

    def mark(self, token: str) -> None:
        """Leave ``token``, which every worker must find."""
        self._write(_MARK, token.encode())

    def check(self, token: str) -> None:
        """See that this machine sees the store that ``token`` was left in.

        Raises:
            ExecutorError: If it does not.
        """
        try:
            found = self._place.read(self._name(_MARK))
        except OSError:
            found = b""
        if found != token.encode():
            raise self._not_shared()

    def _not_shared(self) -> ExecutorError:
        return ExecutorError(
            _without_secrets(self.url),
            f"is not shared: {_here()} does not see what the run put there",
            "mount the same folder at the same path on every machine, or use s3://",
        )

    # -- parts

    def put(self, shard: str, name: str, outcomes: Sequence[Outcome]) -> None:
        """Keep ``outcomes`` as the part ``name``; it is whole, or it is not there.

        Raises:
            ExecutorError: If it cannot be written.
        """
        sink = pa.BufferOutputStream()
        pq.write_table(
            _as_table(outcomes), sink, compression="zstd", compression_level=1, use_dictionary=False
        )
        self._write(f"parts/{shard}/{name}", sink.getvalue().to_pybytes())

    def parts(self, shard: str) -> list[str]:
        """The names of all parts of ``shard``, whoever wrote them."""
        return sorted(name for name in self._names(f"parts/{shard}") if name.endswith(".parquet"))

    def keys(self, shard: str, name: str) -> list[str]:
        """The request keys of one part."""
        table = self._table(shard, name, ["key"])
        return [] if table is None else table.column("key").to_pylist()

    def outcomes(self, shard: str, names: Iterable[str]) -> Iterator[Outcome]:
        """The ends of calls in these parts, each key once; parts that are gone were imported."""
        seen: set[str] = set()
        for name in names:
            table = self._table(shard, name, None)
            for row in [] if table is None else table.to_pylist():
                if row["key"] not in seen:
                    seen.add(row["key"])
                    yield _as_outcome(row)

    def _table(self, shard: str, name: str, columns: list[str] | None) -> pa.Table | None:
        with self._told():
            try:
                content = self._place.read(self._name(f"parts/{shard}/{name}"))
            except FileNotFoundError:
                return None
        return pq.read_table(pa.BufferReader(content), columns=columns)

    # -- commits

    def commit(self, commit: Commit) -> Commit:
        """Say which parts are the shard's; returns the commit that counts: the first one."""
        with self._told():
            name = self._name(_commit(commit.shard))
            if self._place.create(name, msgspec.json.encode(commit)):
                return commit
        return self.committed(commit.shard) or commit

    def committed(self, shard: str) -> Commit | None:
        """The commit of ``shard``, if it has one."""
        with self._told():
            try:
                content = self._place.read(self._name(_commit(shard)))
            except FileNotFoundError:
                return None
        return msgspec.json.decode(content, type=Commit)

    def left(self) -> list[str]:
        """The shards of which something is in the store, committed or not."""
        commits = self._names("commits")
        names = {name.removesuffix(".json") for name in commits if name.endswith(".json")}
        return sorted(names | set(self._names("parts")))

    def forget(self, shard: str) -> None:
        """Take a shard away once it is in the journal. The commit goes last: it is the proof."""
        with self._told():
            self._place.delete_folder(self._name(f"parts/{shard}"))
            self._place.delete(self._name(_commit(shard)))

    # -- answers on their way to be shaped, and their rows on the way back

    def keep(self, name: str, content: bytes) -> None:
        """Keep ``content`` for a while; raises `ExecutorError` if it cannot be."""
        self._write(f"{_SHAPING}/{name}", content)

    def fetch(self, name: str) -> bytes:
        """What was kept.

        Raises:
            ExecutorError: If it is not there: this machine sees another store.
        """
        with self._told():
            try:
                return self._place.read(self._name(f"{_SHAPING}/{name}"))
            except FileNotFoundError:
                pass
        raise self._not_shared()

    def drop(self, name: str) -> None:
        """It is not needed any more."""
        with self._told():
            self._place.delete(self._name(f"{_SHAPING}/{name}"))

    def sweep(self) -> None:
        """Drop all that is kept, also what a run that was killed has left."""
        with self._told():
            self._place.delete_folder(self._name(_SHAPING))

    # -- bytes

    def _name(self, name: str) -> str:
        return f"{self.identity}/{name}"

    def _names(self, folder: str) -> list[str]:
        with self._told():
            return self._place.names(self._name(folder))

    def _write(self, name: str, content: bytes) -> None:
        with self._told():
            self._place.write(self._name(name), content)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the place says, as an error that says where and what it means."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise ExecutorError(
                _without_secrets(self.url),
                f"{_here()} cannot use it: {error}",
                "make room or give it access; what was committed is safe, run again to go on",
            ) from error


def _arrived(url: str, identity: str) -> ShardStore:
    """A store on the machine it was sent to, opened when used: an error has its place there."""
    store = ShardStore.__new__(ShardStore)
    store.url, store.identity, store._open = url, identity, None  # noqa: SLF001  of this module
    return store


def _commit(shard: str) -> str:
    return f"commits/{shard}.json"


def _here() -> str:
    from socket import gethostname  # noqa: PLC0415  only for a message

    return f"process {os.getpid()} on {gethostname()}"


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _as_table(outcomes: Sequence[Outcome]) -> pa.Table:
    encode = msgspec.json.encode
    rows = []
    for one in outcomes:
        request, answer = one.request, one.answer
        rows.append(
            {
                "key": request.key,
                "resource": request.resource,
                "fate": str(one.fate),
                "status": answer.status if answer else None,
                "attempts": one.attempts,
                "reason": one.reason,
                "finished_at": one.finished_at,
                "url": request.url,
                "method": request.method,
                "params": encode(request.params).decode(),
                "headers": encode(answer.headers).decode() if answer else None,
                "sent": request.body,
                "answer_url": answer.url if answer else None,
                "elapsed_s": answer.elapsed_s if answer else None,
                "http_version": answer.http_version if answer else None,
                "body": answer.body if answer else None,
                "page": request.page,
            }
        )
    return pa.Table.from_pylist(rows, schema=_COLUMNS)


def _as_outcome(row: dict[str, Any]) -> Outcome:
    decode = msgspec.json.decode
    answer = None
    if row["status"] is not None:
        answer = Answer(
            status=row["status"],
            headers=decode(row["headers"]),
            body=row["body"],
            url=row["answer_url"],
            elapsed_s=row["elapsed_s"],
            http_version=row["http_version"],
        )
    request = Request(
        key=row["key"],
        resource=row["resource"],
        url=row["url"],
        method=row["method"],
        body=row["sent"],
        params=decode(row["params"]),
        page=row["page"],
    )
    return Outcome(
        request=request,
        fate=Fate(row["fate"]),
        answer=answer,
        attempts=row["attempts"],
        reason=row["reason"],
        finished_at=row["finished_at"],
    )
