"""A full disk, a read-only one, a damaged file: clear errors, and nothing landed is lost."""

import shutil
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetchcast.clock import SystemClock
from fetchcast.errors import LandingDamaged, LandingError, LandingFull
from fetchcast.events import Events
from fetchcast.landing.options import LandingOptions
from fetchcast.landing.reader import open_reader
from fetchcast.landing.retention import purge_damaged
from fetchcast.landing.schema import JOURNAL, STEPS, migrate
from fetchcast.landing.writer import open_writer
from fetchcast.records import Answer, Fate, Outcome, Request, request_key


def outcome(number: int, body: bytes) -> Outcome:
    url = f"https://api.example/{number}"
    request = Request(key=request_key("GET", url), resource="numbers", url=url)
    answer = Answer(status=200, headers={}, body=body, url=url, elapsed_s=0.0)
    return Outcome(
        request=request, fate=Fate.LANDED, answer=answer, attempts=1, reason=None, finished_at=1e9
    )


def noise(number: int, size: int = 2000) -> bytes:
    """A body that does not compress."""
    import random

    return random.Random(number).randbytes(size)


async def land(directory: Path, numbers: range, options: LandingOptions | None = None) -> None:
    async with open_writer(
        directory, clock=SystemClock(), events=Events(), options=options
    ) as writer:
        for number in numbers:
            await writer.put(outcome(number, noise(number)))
            if number % 100 == 99:
                await writer.flush()


def landed(directory: Path) -> list[int]:
    with open_reader(directory) as reader:
        found = [int(answer.url.rsplit("/", 1)[1]) for answer in reader.answers()]
        assert all(
            answer.body == noise(number)
            for number, answer in zip(found, reader.answers(), strict=True)
        )
    return found


async def test_max_disk_stops_before_it_is_passed(tmp_path: Path) -> None:
    """The error names the limit; what landed before is there, and with more room it goes on."""
    small = LandingOptions(max_disk="500 KB")
    with pytest.raises(LandingFull, match="max_disk = 500 KB"):
        await land(tmp_path, range(1000), small)

    there = landed(tmp_path)
    assert there == list(range(len(there)))
    assert 100 <= len(there) < 250
    assert (tmp_path / JOURNAL).stat().st_size <= 600_000
    await land(tmp_path, range(len(there), 300))
    assert landed(tmp_path) == list(range(300))


FULL_DISK = """
    import asyncio, sys
    from pathlib import Path
    from fetchcast.clock import SystemClock
    from fetchcast.errors import FetchcastError
    from fetchcast.events import Committed, Events
    from fetchcast.landing.reader import open_reader
    from fetchcast.landing.writer import open_writer
    from fetchcast.records import *
    import random

    promised = 0
    def hear(event):
        global promised
        if isinstance(event, Committed):
            promised += event.count

    async def land(directory):
        async with open_writer(directory, clock=SystemClock(), events=Events([hear])) as writer:
            for number in range(int(sys.argv[2])):
                url = f"https://api.example/{number}"
                body = random.Random(number).randbytes(2000)
                await writer.put(Outcome(
                    request=Request(key=request_key("GET", url), resource="r", url=url),
                    fate=Fate.LANDED, attempts=1, reason=None, finished_at=1e9,
                    answer=Answer(status=200, headers={}, body=body, url=url, elapsed_s=0.0)))
                if number % 50 == 0:
                    await writer.flush()

    def count(directory):
        with open_reader(directory) as reader:
            return sum(1 for _ in reader.answers())

    directory = Path(sys.argv[1])
    try:
        asyncio.run(land(directory))
    except FetchcastError as error:
        print(type(error).__name__, "|", str(error).splitlines()[0], "|", promised, end=" ")
        print(count(directory))
"""


def in_a_small_mount(directory: Path, commands: str) -> str:
    """Run shell ``commands`` where ``directory`` is a file system of 2 MB of its own."""
    script = f"mount -t tmpfs -o size=2m tmpfs {directory} && {commands}"
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("no `unshare` here: a full disk cannot be made")
    probe = [unshare, "-rm", "mount", "-t", "tmpfs", "tmpfs", str(directory)]
    if subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("this system lets no test mount a file system of its own")
    done = subprocess.run(
        [unshare, "-rm", "sh", "-c", script], check=False, capture_output=True, text=True
    )
    return done.stdout + done.stderr


@pytest.fixture
def script(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "land.py"
    path.write_text(textwrap.dedent(FULL_DISK))
    (tmp_path / "disk").mkdir()
    return f"{sys.executable} {path} {tmp_path / 'disk'}"


def test_a_full_disk_loses_nothing_that_was_promised(tmp_path: Path, script: str) -> None:
    """The run ends with the reason; every answer that was announced can be read afterwards."""
    said = in_a_small_mount(tmp_path / "disk", f"{script} 5000")

    name, problem, counts = said.strip().splitlines()[-1].split(" | ")
    promised, found = map(int, counts.split())
    assert name == "LandingFull", said
    assert "disk is full" in problem
    assert 100 < promised <= found < 1000


def test_a_read_only_disk_is_a_clear_error(tmp_path: Path, script: str) -> None:
    """Before the first call: the directory cannot be written."""
    disk = tmp_path / "disk"
    said = in_a_small_mount(disk, f"mount -o remount,ro {disk} && {script} 1 2>&1")

    assert "LandingError" in said
    assert "Read-only file system" in said


def test_a_landing_on_a_read_only_disk_can_be_read(tmp_path: Path, script: str) -> None:
    """An archive on a disc, or a folder that belongs to somebody else."""
    disk = tmp_path / "disk"
    read = (
        "import sys; from pathlib import Path; from fetchcast.landing.reader import open_reader\n"
        "with open_reader(Path(sys.argv[1])) as reader: print('read', reader.last_seq)"
    )
    (tmp_path / "read.py").write_text(read)
    then = f"mount -o remount,ro {disk} && {sys.executable} {tmp_path / 'read.py'} {disk}"
    said = in_a_small_mount(disk, f"{script} 100 && {then}")
    assert "read 100" in said, said


async def test_a_flipped_byte_is_found_and_the_rest_can_be_saved(tmp_path: Path) -> None:
    """A damaged batch is never read as something else; without it, all others are there."""
    await land(tmp_path, range(300))
    with sqlite3.connect(tmp_path / JOURNAL) as connection:
        where = "WHERE first_seq = 101"
        (bodies,) = connection.execute(f"SELECT bodies FROM segment {where}").fetchone()
        flipped = bodies[:5000] + bytes([bodies[5000] ^ 1]) + bodies[5001:]
        connection.execute(f"UPDATE segment SET bodies = ? {where}", (flipped,))
    connection.close()

    with pytest.raises(LandingDamaged, match="purge --damaged"):
        landed(tmp_path)
    assert purge_damaged(tmp_path) == 1

    assert landed(tmp_path) == [*range(100), *range(200, 300)]
    with open_reader(tmp_path) as reader:
        assert reader.counts()[Fate.LANDED] == 200
        assert request_key("GET", "https://api.example/150") not in reader.fates(
            [request_key("GET", f"https://api.example/{n}") for n in range(300)]
        )
    await land(tmp_path, range(100, 200))
    assert sorted(landed(tmp_path)) == list(range(300))


async def test_damaged_keys_stop_a_run_before_it_asks_again(tmp_path: Path) -> None:
    """A run that cannot know what has landed does not start; the repair lets it."""
    await land(tmp_path, range(200))
    with sqlite3.connect(tmp_path / JOURNAL) as connection:
        connection.execute("UPDATE segment SET keys = zeroblob(length(keys)) WHERE first_seq = 1")
    connection.close()

    with pytest.raises(LandingDamaged, match="purge --damaged"):
        await land(tmp_path, range(1))
    assert purge_damaged(tmp_path) == 1
    await land(tmp_path, range(100))
    assert sorted(landed(tmp_path)) == list(range(200))


@pytest.mark.parametrize("content", [b"PK\x03\x04 not a database, but long enough" * 50, b"short"])
async def test_another_file_of_that_name_is_left_alone(tmp_path: Path, content: bytes) -> None:
    """Neither a reader nor a run touches what is no journal."""
    (tmp_path / JOURNAL).write_bytes(content)
    with pytest.raises(LandingDamaged):
        await land(tmp_path, range(1))
    with pytest.raises(LandingDamaged), open_reader(tmp_path):
        pass
    assert (tmp_path / JOURNAL).read_bytes() == content


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    """A real SQLite file, but not ours."""
    connection = sqlite3.connect(tmp_path / JOURNAL)
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    with pytest.raises(LandingDamaged, match="is no landing journal"):
        await land(tmp_path, range(1))


async def test_a_newer_format_is_not_guessed_at(tmp_path: Path) -> None:
    """An older fetchcast says that it is older, and changes nothing."""
    await land(tmp_path, range(3))
    connection = sqlite3.connect(tmp_path / JOURNAL)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LandingError, match="update fetchcast"):
        await land(tmp_path, range(3, 6))
    with pytest.raises(LandingError, match="update fetchcast"), open_reader(tmp_path):
        pass


async def test_a_step_to_the_next_format_keeps_everything(tmp_path: Path) -> None:
    """A migration runs once, as a whole; one that fails leaves the old format usable."""
    await land(tmp_path, range(3))
    path = tmp_path / JOURNAL
    connection = sqlite3.connect(path, isolation_level=None)
    step = "ALTER TABLE run ADD COLUMN note TEXT;\nCREATE TABLE more (x);\n"
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, path, (*STEPS, f"{step}CREATE TABLE segment (x);\n"))
    assert landed(tmp_path) == [0, 1, 2]

    for _ in range(2):
        migrate(connection, path, (*STEPS, step))
    assert connection.execute("SELECT count(note) FROM run").fetchone() == (0,)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(STEPS) + 1,)
    assert connection.execute("SELECT last_seq FROM landing").fetchone() == (3,)
    connection.close()
