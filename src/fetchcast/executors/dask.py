"""Work on a Dask cluster: one that is there, or processes of this machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar
from uuid import uuid4

import dask
from distributed import Client, KilledWorker, LocalCluster
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError
from distributed.security import Security

from fetchcast.errors import ExecutorError
from fetchcast.executors.contract import Desk
from fetchcast.executors.dask_desk import DaskLine, DeskPlugin, ask_scheduler
from fetchcast.executors.options import ClusterTls, ExecutorOptions
from fetchcast.executors.windows import in_windows

_P = ParamSpec("_P")
_R = TypeVar("_R")
_T = TypeVar("_T")

_THREADS: Final = 2  # While one shard waits for its last answers, the next one asks.
_CONNECT_S: Final = 10.0
_WORKERS_S: Final = 30.0
_SKEW_S: Final = 30.0
_LOOK_S: Final = 1.0
_SETTINGS: Final = {
    # A worker that is loaded answers late; it is not dead for that.
    "distributed.worker.memory.terminate": False,
    "distributed.scheduler.allowed-failures": 10,
    "distributed.scheduler.worker-saturation": 1.0,
    # It looks at every thread a hundred times a second, for a dashboard that is not there.
    "distributed.worker.profile.enabled": False,
}


@asynccontextmanager
async def open_dask(options: ExecutorOptions, folder: Path) -> AsyncIterator[DaskExecutor]:
    """Reach the cluster that ``options`` names, or start one here, and see that it can work.

    Args:
        options: The ``[executor]`` table.
        folder: What relative file names are relative to.

    Raises:
        ExecutorError: If nobody answers, there is no worker, or versions differ.
    """
    # A cluster that ends says so at length; what matters of it is raised.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    async with AsyncExitStack() as stack:
        with dask.config.set(_SETTINGS):
            if options.address is None:
                cluster = await stack.enter_async_context(_local_cluster(options.processes or 1))
                address, security = cluster.scheduler_address, None
            else:
                security = _security(options.tls, folder)
                host, port = options.address
                host = f"[{host}]" if ":" in host else host
                address = f"{'tls' if security else 'tcp'}://{host}:{port}"
            client = await stack.enter_async_context(_client(options.run, address, security))
            executor = DaskExecutor(options.run, client)
            await executor.check()
            watching = asyncio.ensure_future(executor.watch())
            stack.callback(watching.cancel)
            yield executor


@asynccontextmanager
async def _local_cluster(processes: int) -> AsyncIterator[Any]:
    async with LocalCluster(
        n_workers=processes,
        threads_per_worker=_THREADS,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address=None,
        memory_limit=0,
        asynchronous=True,
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster


@asynccontextmanager
async def _client(name: str, address: str, security: Security | None) -> AsyncIterator[Client]:
    try:
        client = await Client(address, security=security, asynchronous=True, timeout=_CONNECT_S)
    except (OSError, TimeoutError) as error:
        raise ExecutorError(
            name,
            f"nobody answers ({_first_line(error)}); nothing was asked",
            "start it with `dask scheduler`, or see whether a firewall, or TLS on one side only, "
            "is between",
        ) from error
    try:
        yield client
    finally:
        with suppress(Exception):  # The scheduler may be gone; the client must not hang on it.
            await asyncio.wait_for(client.close(), _CONNECT_S)


def _security(tls: ClusterTls | None, folder: Path) -> Security | None:
    if tls is None:
        return None
    cert, key = str(folder / tls.cert_file), str(folder / tls.key_file)
    return Security(
        tls_ca_file=str(folder / tls.ca_file),
        tls_client_cert=cert,
        tls_client_key=key,
        require_encryption=True,
    )


class DaskExecutor:
    """Does work on the workers of a cluster; from `open_dask`."""

    def __init__(self, name: str, client: Client) -> None:
        self.name, self.client = name, client
        self.notes: list[str] = []
        """What a person should know about the cluster."""
        self._threads: dict[str, int] = {}

    @property
    def slots(self) -> int:
        """Threads of all workers that were there a moment ago."""
        return sum(self._threads.values())

    @property
    def workers(self) -> list[str]:
        """The addresses of the workers that were there a moment ago."""
        return sorted(self._threads)

    async def watch(self) -> None:
        """See which workers come and go; ends when cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            with suppress(OSError, TimeoutError):
                await self.look()

    async def look(self) -> None:
        """Count the workers that are there now."""
        self._threads = dict(await self.client.nthreads())

    async def check(self) -> None:
        """See that there are workers, and that they run what this process runs."""
        try:
            await self.client.wait_for_workers(1, timeout=_WORKERS_S)
        except TimeoutError as error:
            raise ExecutorError(
                self.name,
                f"the cluster has had no worker for {_WORKERS_S:.0f} s; nothing was asked",
                "start one with `dask worker`, on a machine that can reach the scheduler",
            ) from error
        await self.look()
        probe = _prober()
        there = await self.everywhere(probe)
        with suppress(OSError):
            there["the scheduler"] = await self.client.run_on_scheduler(probe)
        self._compare(there)

    def _compare(self, there: Mapping[str, Mapping[str, Any]]) -> None:
        here = _prober()()
        for where, found in there.items():
            for what in ("fetchcast", "python", "distributed"):
                if _differ(what, here[what], found[what]):
                    raise ExecutorError(
                        self.name,
                        f"{where} has {what} {found[what] or '(none)'}, this machine has "
                        f"{here[what]}; nothing was asked",
                        "install the same versions everywhere: on workers and on the scheduler",
                    )
            skew_s = found["wall"] - here["wall"]
            if abs(skew_s) > _SKEW_S:
                self.notes.append(
                    f"the clock of {where} is {abs(skew_s):,.0f} s "
                    f"{'ahead of' if skew_s > 0 else 'behind'} this one; its answers are dated by "
                    "the coordinator's"
                )

    async def everywhere(self, work: Callable[[], _R]) -> dict[str, _R]:
        """What ``work`` returns on each worker that is there now; its errors are raised here."""
        try:
            found: dict[str, _R] = await self.client.run(work)
        except (OSError, FutureCancelledError) as error:
            raise self._gone(error) from error
        return found

    async def run(self, work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """The result of ``work``, done in a thread of this process."""
        return await asyncio.to_thread(work, *args, **kwargs)

    def results(
        self, work: Callable[[_T], _R], tasks: Iterable[tuple[str, _T]]
    ) -> AsyncGenerator[tuple[str, _R], None]:
        """The results as they come; a key that is at work on the cluster already is joined."""

        def begin(key: str, task: _T) -> Any:
            return self._one(work, key, task)

        return in_windows(begin, tasks, lambda: self.slots)

    async def _one(self, work: Callable[[_T], _R], key: str, task: _T) -> _R:
        future = self.client.submit(work, task, key=key, pure=False)
        try:
            result: _R = await future
        except (FutureCancelledError, CommClosedError) as error:
            raise self._gone(error) from error
        except KilledWorker as error:
            raise ExecutorError(
                self.name,
                f"{key} ended its worker again and again: {_first_line(error)}",
                "see the worker's own log; often it is killed for want of memory",
            ) from error
        finally:
            future.release()
        return result

    def _gone(self, error: BaseException) -> ExecutorError:
        return ExecutorError(
            self.name,
            f"the scheduler went away in the middle ({type(error).__name__})",
            "what was committed is safe: start it again and run again to go on",
        )

    @asynccontextmanager
    async def desk(self, name: str, desk: Desk) -> AsyncIterator[DaskDesk]:
        """Hold ``desk`` on the scheduler until the block ends."""
        key = f"{name}-{uuid4().hex[:8]}"
        plugin = DeskPlugin(key, desk, self.client.id)
        try:
            await self.client.register_plugin(plugin, name=plugin.name)
        except OSError as error:
            raise self._gone(error) from error
        try:
            yield DaskDesk(self.client, key)
        finally:
            with suppress(Exception):  # With the scheduler, its desks are gone.
                await ask_scheduler(self.client.scheduler, key, end=True)
                await self.client.unregister_scheduler_plugin(plugin.name)


@dataclass(slots=True)
class DaskDesk:
    """A desk on the scheduler, seen from the one who opened it."""

    client: Client
    key: str

    @property
    def line(self) -> DaskLine:
        """The way to it from a worker."""
        return DaskLine(self.key)

    async def report(self) -> bytes:
        """How things stand."""
        return await ask_scheduler(self.client.scheduler, self.key)


def _prober() -> Callable[[], dict[str, Any]]:
    """Says what is installed; not of this module, so that it runs where this package is not."""

    def probe() -> dict[str, Any]:
        import platform  # noqa: PLC0415
        import time  # noqa: PLC0415
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

        found: dict[str, Any] = {"python": platform.python_version(), "wall": time.time()}
        for name in ("fetchcast", "distributed", "pyarrow"):
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = None
        return found

    return probe


def _differ(what: str, here: str, there: str | None) -> bool:
    if there is None:
        return True
    if what == "python":  # Patches of one minor version read each other's pickles.
        return here.rpartition(".")[0] != there.rpartition(".")[0]
    return here != there


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
