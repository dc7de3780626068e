"""Every executor keeps the same contract."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from fetchcast.errors import ConfigError, ExecutorError
from fetchcast.executors import Executor, ExecutorOptions, open_executor
from fetchcast.testing.cluster import RunningCluster, running_cluster
from fetchcast.testing.executor_conformance import (
    CountingDesk,
    ExecutorConformance,
    noted,
    squared,
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RunningCluster]:
    with running_cluster(2) as running:
        yield running


def traces(folder: Path) -> int:
    return len(list(folder.iterdir()))


class TestLocal(ExecutorConformance):
    def open(self) -> AbstractAsyncContextManager[Executor]:
        return open_executor(ExecutorOptions(), Path())


class TestCluster(ExecutorConformance):
    @pytest.fixture(autouse=True)
    def on(self, cluster: RunningCluster) -> None:
        self.options = ExecutorOptions(run=cluster.address)

    def open(self) -> AbstractAsyncContextManager[Executor]:
        return open_executor(self.options, Path())

    async def test_a_task_that_is_at_work_is_joined(self, tmp_path: Path) -> None:
        """Two who send the same work at the same time have it done once."""

        async def work() -> list[int]:
            async with self.open() as executor:
                tasks = [(f"noted-{tmp_path}-{n}", (str(tmp_path), n)) for n in range(4)]
                return sorted([number async for _, number in executor.results(noted, tasks)])

        assert await asyncio.gather(work(), work()) == [[0, 1, 2, 3]] * 2
        assert traces(tmp_path) == 4


async def test_processes_of_this_machine_do_the_work() -> None:
    async with open_executor(ExecutorOptions(run="local:2"), Path()) as executor:
        tasks = [(f"own-{n}", n) for n in range(8)]
        found = [result async for _, result in executor.results(squared, tasks)]
    assert sorted(found) == [n * n for n in range(8)]


async def test_work_of_a_killed_worker_is_done_elsewhere(tmp_path: Path) -> None:
    desk = CountingDesk()
    with running_cluster(2, threads=1) as cluster:
        options = ExecutorOptions(run=cluster.address)
        async with open_executor(options, Path()) as executor, executor.desk("d", desk):
            tasks = [(f"killed-{n}", (str(tmp_path), n)) for n in range(12)]
            found = []
            async for _, number in executor.results(noted, tasks):
                found.append(number)
                if len(found) == 3:
                    cluster.kill_worker(0)
    assert sorted(found) == list(range(12))


async def test_a_scheduler_that_dies_is_an_error_that_says_so(tmp_path: Path) -> None:
    with running_cluster(1) as cluster:
        options = ExecutorOptions(run=cluster.address)
        async with open_executor(options, Path()) as executor:
            tasks = [(f"orphaned-{n}", (str(tmp_path), n)) for n in range(50)]
            results = executor.results(noted, tasks)
            await anext(results)
            cluster.kill_scheduler()
            begun = time.monotonic()
            with pytest.raises(ExecutorError, match=r"scheduler went away.*\n.*run again"):
                _ = [one async for one in results]
            assert time.monotonic() - begun < 30


async def test_a_cluster_that_is_not_there_is_named() -> None:
    with pytest.raises(ExecutorError, match=r"dask://127.0.0.1:9: nobody answers.*\nhint: start"):
        async with open_executor(ExecutorOptions(run="dask://127.0.0.1:9"), Path()):
            pass


async def test_another_machine_without_tls_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"executor.tls.*without TLS.*\nhint: .*cluster-ssh"):
        async with open_executor(ExecutorOptions(run="dask://10.1.2.3:8786"), Path()):
            pass


@pytest.mark.parametrize(
    "run", ["local:0", "dask://host", "dask://:1", "ray://x:1", "dask://a b:1"]
)
def test_what_is_no_executor_is_refused(run: str) -> None:
    with pytest.raises(ValueError, match="expected local, local:N or dask://HOST:PORT"):
        ExecutorOptions(run=run)


async def test_other_versions_on_a_worker_are_told_apart(tmp_path: Path) -> None:
    """A worker that says it has another fetchcast: its own metadata come first on its path."""
    told = tmp_path / "fetchcast-0.0.1.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: fetchcast\nVersion: 0.0.1\n")
    with running_cluster(0) as cluster:
        path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        cluster.add_worker({"PYTHONPATH": path})
        with pytest.raises(ExecutorError, match=r"has fetchcast 0.0.1, this machine has.*\nhint"):
            async with open_executor(ExecutorOptions(run=cluster.address), Path()):
                pass
