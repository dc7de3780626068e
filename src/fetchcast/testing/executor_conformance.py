"""What every executor has to do, as tests of real work.

Subclass, and name the executor:

    class TestMine(ExecutorConformance):
        def open(self) -> AbstractAsyncContextManager[Executor]:
            return open_mine()

The methods are coroutines; pytest runs them with pytest-asyncio in auto mode.
"""

# ruff: noqa: PLR2004  numbers are the expectations

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from fetchcast.errors import ConfigError
from fetchcast.executors.contract import Executor, Line


def squared(number: int) -> int:
    """Work of a moment."""
    time.sleep(0.01)
    return number * number


def refusing(number: int) -> int:
    """Work that cannot be done."""
    raise ConfigError("number", number, "another one")


def noted(task: tuple[str, int]) -> int:
    """Work that leaves a trace in a folder, so that it can be counted."""
    folder, number = task
    time.sleep(0.2)
    name = f"{number}-{os.getpid()}-{time.monotonic_ns()}"
    (Path(folder) / name).write_text("", encoding="utf-8")
    return number


def asking(task: tuple[Line, int]) -> tuple[str, bytes]:
    """Work that asks the desk from wherever it is done."""
    line, number = task

    async def ask() -> bytes:
        return await line.ask(str(number).encode())

    return line.worker, asyncio.run(ask())


@dataclass
class CountingDesk:
    """Answers with how many messages there were, and remembers who is gone."""

    messages: list[bytes] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def answer(self, message: bytes, now: float, wall: float) -> bytes:
        """The message and its number."""
        assert now >= 0
        assert wall > 1_000_000_000
        self.messages.append(message)
        return message + b":" + str(len(self.messages)).encode()

    def report(self, now: float, wall: float) -> bytes:
        """How many messages there were."""
        del now, wall
        return str(len(self.messages)).encode()

    def lost(self, worker: str, now: float) -> None:
        """``worker`` is gone."""
        del now
        self.gone.append(worker)


class ExecutorConformance:
    """The contract of `fetchcast.executors.contract.Executor`."""

    def open(self) -> AbstractAsyncContextManager[Executor]:
        """An executor that is ready to work."""
        raise NotImplementedError

    async def test_every_task_has_its_result_once(self) -> None:
        """Whatever the order in which they come."""
        async with self.open() as executor:
            tasks = ((f"square-{n}", n) for n in range(40))
            found = [pair async for pair in executor.results(squared, tasks)]
        assert sorted(found) == sorted((f"square-{n}", n * n) for n in range(40))

    async def test_no_task_is_no_result(self) -> None:
        """An empty plan ends at once."""
        async with self.open() as executor:
            assert [one async for one in executor.results(squared, [])] == []

    async def test_tasks_are_drawn_when_there_is_room(self) -> None:
        """A plan of millions is never held."""
        drawn = []

        def tasks() -> Iterator[tuple[str, int]]:
            for n in range(200):
                drawn.append(n)
                yield f"drawn-{n}", n

        async with self.open() as executor:
            most = 3 * executor.slots
            seen = 0
            async for _ in executor.results(squared, tasks()):
                seen += 1
                assert len(drawn) - seen <= most
        assert seen == 200

    async def test_the_first_error_is_raised_as_it_was(self) -> None:
        """With its type and its arguments, also from another process."""
        async with self.open() as executor:
            seen: ConfigError | None = None
            try:
                await anext(executor.results(refusing, [("refusing-1", 1)]))
            except ConfigError as error:
                seen = error
        assert seen is not None
        assert seen.args == ("number", 1, "another one")

    async def test_work_of_this_process_is_done_here(self) -> None:
        """`run` is for what cannot be sent away."""
        async with self.open() as executor:
            assert await executor.run(os.getpid) == os.getpid()
            assert executor.slots >= 1
            assert executor.name

    async def test_every_worker_can_be_made_ready(self) -> None:
        """Once each, by a name of its own."""
        async with self.open() as executor:
            found = await executor.everywhere(os.getpid)
        assert found
        assert len(found) <= executor.slots
        assert len(set(found.values())) == len(found)

    async def test_the_desk_answers_work_wherever_it_is(self) -> None:
        """One desk, all messages; and it says how things stand."""
        desk = CountingDesk()
        async with self.open() as executor, executor.desk("counting", desk) as opened:
            tasks = [(f"asking-{n}", (opened.line, n)) for n in range(10)]
            found = [one async for _, one in executor.results(asking, tasks)]
            assert await opened.report() == b"10"
        numbers = sorted(int(answer.partition(b":")[2]) for _, answer in found)
        assert numbers == list(range(1, 11))
        assert all(worker for worker, _ in found)

    async def test_two_desks_are_two(self) -> None:
        """What one of them hears is nothing to the other."""
        async with (
            self.open() as executor,
            executor.desk("one", CountingDesk()) as one,
            executor.desk("two", CountingDesk()) as two,
        ):
            tasks = [(f"to-one-{n}", (one.line, n)) for n in range(3)]
            assert len([found async for found in executor.results(asking, tasks)]) == 3
            assert await one.report() == b"3"
            assert await two.report() == b"0"

    async def test_a_closed_iterator_leaves_the_executor_usable(self) -> None:
        """Who stops in the middle drops the rest."""
        async with self.open() as executor:
            results = executor.results(squared, ((f"dropped-{n}", n) for n in range(100)))
            async for _ in results:
                break
            await results.aclose()
            again = [one async for one in executor.results(squared, [("again-3", 3)])]
        assert again == [("again-3", 9)]
