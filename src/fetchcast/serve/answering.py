"""The program that answers one query and ends; see `fetchcast.serve.asking`, which starts it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa

from fetchcast.errors import DestinationError, QueryError
from fetchcast.load.destinations import open_destination
from fetchcast.load.postgres import PostgreSQL
from fetchcast.serve.asking import MEMORY_BYTES, Job
from fetchcast.serve.queries import one_select

_POWERS: Final = """
select current_setting('is_superuser') = 'on'
    or pg_has_role(current_user, 'pg_read_server_files', 'member')
    or pg_has_role(current_user, 'pg_write_server_files', 'member')
    or pg_has_role(current_user, 'pg_execute_server_program', 'member')
    or exists (select from pg_extension where extname = 'dblink') as reaches_further
"""


def main() -> None:
    """Answer the job on the standard input."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    _limit_memory()
    late = threading.Timer(job.seconds, _too_late, [job.seconds])
    late.daemon = True
    late.start()
    try:
        if job.file is not None:
            answer = one_select(Path(job.file), job.shown, job.sql, job.most_rows)
        else:
            answer = _other(job)
        if answer.nbytes > job.most_bytes:
            size = f"{job.most_bytes // 1_000_000} MB"
            _say(b"E", msgspec.json.encode([f"the answer is larger than {size}", "ask for less"]))
        _say(b"A", _stream(answer))
    except DestinationError as problem:
        _say(b"E", msgspec.json.encode([str(part) for part in problem.args[1:]]))


def _say(kind: bytes, rest: bytes) -> None:
    sys.stdout.buffer.write(kind + rest)
    sys.stdout.buffer.flush()
    # No waiting for threads of the database that are still at work.
    os._exit(0)


def _too_late(seconds: float) -> None:
    _say(b"E", msgspec.json.encode([f"not done after {seconds:g} s", "ask for less"]))


def _stream(answer: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, answer.schema) as writer:
        writer.write_table(answer)
    return bytes(sink.getvalue())


def _limit_memory() -> None:
    """Where the system can: Linux. Elsewhere the time limit alone holds."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415  not on Windows

        # Not the address space: a database reserves much more of that than it uses.
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _other(job: Job) -> pa.Table:
    if ";" in job.sql:
        problem = "only one query that reads is answered"
        raise QueryError(job.shown, problem, "write one SELECT without semicolons")
    destination = open_destination(job.url, Path(job.folder))
    whole = f"select * from ({job.sql}\n) as asked limit {int(job.most_rows)}"
    if not isinstance(destination, PostgreSQL):
        return destination.query(whole)
    if destination.query(_POWERS).column(0)[0].as_py():
        problem = (
            "the app's login may do more than read tables: it is a superuser or may reach the "
            "server's files or other servers, and so could a query"
        )
        raise QueryError(job.shown, problem, "give the app a login that may only SELECT")
    return destination.query(whole, seconds=job.seconds)


if __name__ == "__main__":
    main()
