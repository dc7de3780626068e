"""A write that is cut at any byte reopens to a state that was once committed."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fetchcast.errors import LandingError
from fetchcast.landing.journal import open_journal
from fetchcast.landing.options import LandingOptions
from fetchcast.landing.reader import open_reader
from fetchcast.landing.schema import JOURNAL
from fetchcast.records import Answer, Fate, Outcome, Request, request_key

WAL = f"{JOURNAL}-wal"
END = 10**7
PLACES = st.integers(0, END)
"""Where to cut: in parts of ten million, which is every byte of these files."""


def outcome(name: str, body: bytes) -> Outcome:
    url = f"https://api.example/{name}"
    request = Request(key=request_key("GET", url), resource="names", url=url)
    answer = Answer(status=200, headers={}, body=body, url=url, elapsed_s=0.0)
    return Outcome(
        request=request, fate=Fate.LANDED, answer=answer, attempts=1, reason=None, finished_at=1e9
    )


def state(directory: Path) -> dict[str, bytes]:
    """What a reader finds: keys and bodies; every key that it knows has its body."""
    with open_reader(directory) as reader:
        found = {answer.key: answer.body for answer in reader.answers()}
        assert set(reader.fates([*found, request_key("GET", "never asked")])) == set(found)
        assert sum(reader.counts().values()) == len(found)
    return found


class Copies:
    """A journal with commits in its write-ahead log, and every state that it went through."""

    def __init__(self, before: bytes, after: bytes, log: bytes, states: list[dict[str, bytes]]):
        self.before, self.after = before, after  # The file without the log, and with it.
        self.log, self.states = log, states


def put_back(directory: Path, file: bytes, log: bytes) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    (directory / JOURNAL).write_bytes(file)
    (directory / WAL).write_bytes(log)


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Copies:
    directory = tmp_path_factory.mktemp("journal")
    states: list[dict[str, bytes]] = []
    with open_journal(directory, LandingOptions()):
        pass  # Its tables are in the file, and the log is empty.
    with open_journal(directory, LandingOptions()) as journal:
        journal.connection.execute("PRAGMA wal_autocheckpoint = 0")
        states.append({})
        for step in range(12):
            names = [f"{step}-{n}" for n in range(step)] + ["again"]
            ends = [outcome(name, name.encode() * 50 * step + bytes([step])) for name in names]
            journal.commit(ends, [lambda open_one: open_one.log("step", "", 1.0)])
            states.append(state(directory))
        before, log = (directory / JOURNAL).read_bytes(), (directory / WAL).read_bytes()
        journal.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        after = (directory / JOURNAL).read_bytes()
    assert len(states[-1]) == 67, "the states are not what the tests believe"
    return Copies(before=before, after=after, log=log, states=states)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=PLACES)
def test_a_cut_log_reopens_to_a_state_that_was_committed(
    copies: Copies, tmp_path: Path, place: int
) -> None:
    """However many bytes of the log reached the disk, whole commits are there, in their order."""
    cut = place * len(copies.log) // END
    put_back(tmp_path / "cut", copies.before, copies.log[:cut])

    found = state(tmp_path / "cut")

    assert found in copies.states
    # More of the log never means less of the answers: about as much as was written is there.
    assert copies.states.index(found) >= cut * 12 // len(copies.log) - 9


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=PLACES)
def test_folding_the_log_in_may_be_cut_anywhere(copies: Copies, tmp_path: Path, place: int) -> None:
    """Killed while the log is folded into the file, nothing at all is lost, and a run goes on."""
    cut = place * len(copies.after) // END
    mixed = copies.after[:cut] + copies.before[cut:]
    put_back(tmp_path / "cut", mixed, copies.log)

    assert state(tmp_path / "cut") == copies.states[-1]
    with open_journal(tmp_path / "cut", LandingOptions()) as journal:
        journal.commit([outcome("next", b"one")], [])
    assert len(state(tmp_path / "cut")) == len(copies.states[-1]) + 1


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=PLACES)
def test_a_file_that_was_cut_is_an_error_that_says_so(
    copies: Copies, tmp_path: Path, place: int
) -> None:
    """Half a copy of a journal is never taken for a whole one."""
    cut = place * len(copies.after) // END
    put_back(tmp_path / "cut", copies.after[:cut], b"")
    (tmp_path / "cut" / WAL).unlink()

    with suppress(LandingError):
        found = state(tmp_path / "cut")
        assert found == copies.states[-1], "less was read than had landed, and nobody said so"
