"""What was reported as landed survives `kill -9` at any moment."""

import random
import runpy
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fetchcast.landing.reader import open_reader
from fetchcast.landing.schema import JOURNAL

CHILD = Path(__file__).with_name("landing_child.py")
_made = runpy.run_path(str(CHILD))
body, key = _made["body"], _made["key"]


def start(directory: Path, calls: int, seed: int, mode: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(CHILD), str(directory), str(calls), str(seed), mode]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_somewhere(directory: Path, calls: int, chance: random.Random, mode: str) -> list[str]:
    """Start a writer, kill it at a random moment of its work, return what it had promised."""
    child = start(directory, calls, chance.randrange(10**6), mode)
    with child:
        assert child.stdout is not None
        first = child.stdout.readline()
        assert first.startswith("missing"), "the writer does not start"
        time.sleep(chance.uniform(0.0, 0.15))
        child.kill()
        return [first, *child.stdout.read().splitlines()]


def survivors(directory: Path, calls: int) -> set[int]:
    """The numbers of the calls that are there; every one of them is whole."""
    numbers = {key(number): number for number in range(calls)}
    with open_reader(directory) as reader:
        read = [answer for answer in reader.answers() if answer.key in numbers]
        for answer in read:
            assert answer.body == body(numbers[answer.key])
        found = {numbers[answer.key] for answer in read}
        assert len(found) == len(read), "an answer is there twice"
        assert {numbers[one] for one in reader.fates(list(numbers))} == found
    return found


def prove(directory: Path, kills: int, mode: str, seed: int, calls: int) -> None:
    """Kill ``kills`` writers, with ``calls`` more to land whenever nearly all have."""
    chance, more, there = random.Random(seed), calls, set[int]()
    for _ in range(kills):
        missing = [number for number in range(calls) if number not in there]
        said = kill_somewhere(directory, calls, chance, mode)
        if not (directory / JOURNAL).exists():
            continue
        kept = max((int(line.split()[1]) for line in said if line.startswith("kept")), default=0)
        before, there = there, survivors(directory, calls)
        assert before | set(missing[:kept]) <= there, "a promised answer is gone"
        if said[-1] == "end" or len(there) > calls * 0.9:
            calls += more
    with start(directory, calls, seed, mode) as last:
        assert last.wait() == 0, "the rerun does not complete"
    assert survivors(directory, calls) == set(range(calls))


@pytest.mark.parametrize("mode", ["plain", "tidy"])
def test_nothing_that_was_promised_is_lost(tmp_path: Path, mode: str) -> None:
    """After each of a few kills: all promised answers are there, whole and once."""
    prove(tmp_path, kills=3, mode=mode, seed=27, calls=600)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", ["plain", "tidy"])
def test_a_hundred_kills_lose_nothing(tmp_path: Path, mode: str) -> None:
    """The long form: a hundred kills in one landing, with and without sealing and erasing."""
    prove(tmp_path, kills=100, mode=mode, seed=2022, calls=2000)
