"""What a pipeline file may say about where its work is done."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

import msgspec

_LOCAL: Final = re.compile(r"local(?::([1-9]\d*))?")
_CLUSTER: Final = re.compile(r"dask://(\[[0-9a-fA-F:]+\]|[^\s:/@]+):(\d{1,5})")
_STORES: Final = ("file:///", "s3://")
_DAY_S: Final = 86400.0


class ClusterTls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The certificates by which the machines of a cluster know each other."""

    ca_file: str
    """PEM of the authority that signed all certificates of the cluster."""
    cert_file: str
    """PEM of this machine's certificate."""
    key_file: str
    """PEM of its key."""


class ExecutorOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where work is done: the ``[executor]`` table.

    An API-bound run gains nothing from workers: one process serves hundreds of calls a second.
    """

    run: str = "local"
    """``local`` (this process), ``local:4`` (four processes of this machine), or
    ``dask://HOST:PORT`` (the scheduler of a Dask cluster)."""
    store: str | None = None
    """Where workers put answers: ``file:///PATH`` that all machines share, or
    ``s3://BUCKET/PREFIX``. Needed for a cluster; ``local:N`` uses the landing's folder."""
    coordinator: str | None = None
    """``postgresql://...``: hold the pace there, in one row, for all runs that share the
    credential. Without it each run has a coordinator of its own."""
    tls: ClusterTls | None = None
    """Needed for a scheduler that is not on this machine."""
    shard_s: float = 10.0
    """How long a worker should be busy with one piece of work, seconds."""
    checkpoint_s: float = 2.0
    """A worker puts what it has into the store this often: no more is lost with it."""

    def __post_init__(self) -> None:
        if _LOCAL.fullmatch(self.run) is None and _CLUSTER.fullmatch(self.run) is None:
            raise ValueError(f"run = {self.run!r}: expected local, local:N or dask://HOST:PORT")
        if self.store is not None and not self.store.startswith(_STORES):
            raise ValueError(f"store = {self.store!r}: expected file:///PATH or s3://BUCKET/PREFIX")
        if self.coordinator is not None and not self.coordinator.startswith("postgres"):
            raise ValueError("coordinator: expected postgresql://...")
        for name in ("shard_s", "checkpoint_s"):
            value = getattr(self, name)
            if not 0 < value <= _DAY_S:
                raise ValueError(f"{name} = {value}: expected seconds, above 0")

    @property
    def processes(self) -> int | None:
        """How many processes ``local:N`` wants; None for anything else."""
        found = _LOCAL.fullmatch(self.run)
        return int(found[1]) if found and found[1] else None

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of the scheduler; None if there is none."""
        found = _CLUSTER.fullmatch(self.run)
        return (found[1].strip("[]"), int(found[2])) if found else None

    @property
    def is_local(self) -> bool:
        """Whether this process does the work itself."""
        return self.run == "local"

    @property
    def on_loopback(self) -> bool:
        """Whether no message leaves this machine."""
        return self.address is None or _is_loopback(self.address[0])


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
