"""PostgreSQL 14 to 18: the same loads in each server that this machine has.

``tests/peers/install`` brings all five. Debian's packages are found where they install; others by
FETCHCAST_TEST_POSTGRES, folders with ``postgres`` and ``initdb``, separated as in PATH. The one of
the test dependency is tried by all other tests.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from fetchcast.load.destinations import open_destination
from fetchcast.records import Batch, Destination, Disposition, LoadNote, Target
from fetchcast.testing.postgres import running_postgres

VERSIONS = ("14", "15", "16", "17", "18")
ENDS = ("14", "18")
"""Tried by every run of the tests; the others, but for the test dependency's own, by the proofs."""
EACH = [
    pytest.param(version, marks=() if version in ENDS else pytest.mark.slow) for version in VERSIONS
]
PEERS = Path(__file__).parents[1] / "peers"


def installed() -> dict[str, Path]:
    """Major version -> the folder of its programs."""
    named = os.environ.get("FETCHCAST_TEST_POSTGRES", "").split(os.pathsep)
    folders = [
        *(PEERS / "node_modules").glob("postgres-*/native/bin"),
        *Path("/usr/lib/postgresql").glob("*/bin"),
        *map(Path, filter(None, named)),
    ]
    found = {}
    for folder in folders:
        if (folder / "postgres").exists():
            said = subprocess.run(
                [folder / "postgres", "--version"], capture_output=True, text=True, check=True
            ).stdout
            version = re.search(r"(\d+)", said)
            assert version is not None
            found[version[1]] = folder
    return found


INSTALLED = installed()


@pytest.fixture(scope="module", params=EACH)
def server(request) -> Iterator[str]:
    folder = INSTALLED.get(request.param)
    if folder is None:
        pytest.skip(f"no PostgreSQL {request.param} here: tests/peers/install brings one")
    try:
        server = running_postgres(folder)
        url = server.__enter__()
    except PermissionError:
        pytest.skip(f"{folder} cannot be read by the user that the server would run as")
    try:
        yield url
    finally:
        server.__exit__(None, None, None)


@pytest.fixture(params=["pgpq", "adbc"])
def destination(request, server, tmp_path, monkeypatch) -> Destination:
    monkeypatch.setenv("FETCHCAST_POSTGRES_COPY", request.param)
    schema = f"{request.param}_{tmp_path.name}"[-60:]
    return open_destination(f"{server}&schema={schema}", tmp_path)


def load(destination: Destination, load_id: str, *batches: Batch) -> bool:
    with destination.load() as loading:
        note = LoadNote(
            load_id=load_id, run_id="r", table="t", landing="l", from_seq=0, upto_seq=1,
            shape="s", rows=0, loaded_at=1_700_000_000.0,
        )  # fmt: skip
        if loading.note(note):
            for batch in batches:
                loading.write(batch)
            return True
    return False


def rows(destination: Destination) -> list[tuple[object, ...]]:
    found = destination.query("SELECT k, v FROM t ORDER BY k, v")
    return [tuple(row.values()) for row in found.to_pylist()]


def batch(keys: list[str], values: list[object], **target: object) -> Batch:
    made = Target(table="t", key=("k",), **target)  # type: ignore[arg-type]
    return Batch(target=made, rows=pa.table({"k": keys, "v": values}))


def test_append_and_replace(destination: Destination) -> None:
    added = batch(["a", "b"], [1, 2], disposition=Disposition.APPEND)
    assert load(destination, "1", added)
    assert not load(destination, "1", added), "it was loaded before"
    assert load(destination, "2", added)
    assert rows(destination) == [("a", 1), ("a", 1), ("b", 2), ("b", 2)]
    load(destination, "3", batch(["c"], [3], disposition=Disposition.REPLACE))
    assert rows(destination) == [("c", 3)]


def test_rows_are_merged_one_by_one(destination: Destination) -> None:
    """By MERGE, and by two statements in 14."""
    load(destination, "1", batch(["a", "b", "c"], [1, 2, None], whole_keys=False))
    load(destination, "2", batch(["b", "c", "d"], [20, 3, 4], whole_keys=False))
    assert rows(destination) == [("a", 1), ("b", 20), ("c", 3), ("d", 4)]


def test_rows_are_merged_by_whole_keys_and_columns_widen(destination: Destination) -> None:
    load(destination, "1", batch(["a", "a", "b"], [1, 2, 3]))
    load(destination, "2", batch(["a"], ["7b"]))
    assert rows(destination) == [("a", "7b"), ("b", "3")]
    assert destination.last_note("t") is not None


def test_a_load_that_fails_changes_nothing(destination: Destination) -> None:
    load(destination, "1", batch(["a"], [1], whole_keys=False))
    with pytest.raises(Exception, match="more than one row"):
        load(destination, "2", batch(["b", "b"], [1, 2], whole_keys=False))
    assert rows(destination) == [("a", 1)]
