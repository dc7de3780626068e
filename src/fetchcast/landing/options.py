"""What the landing keeps, how long, and how much room it may take."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from fetchcast.errors import ConfigError

_UNIT_S: Final = {"hour": 3600.0, "day": 86_400.0, "week": 604_800.0}
_UNIT_BYTES: Final = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_DURATION: Final = re.compile(r"(\d+) (hour|day|week)s?")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?(B|KB|MB|GB|TB)")

KEPT_HEADERS: Final = ("content-type", "date", "etag", "last-modified", "link")
"""Enough to read a body again, to ask "changed since?", and to follow its pages."""


def kept_seconds(keep: str) -> float | None:
    """Seconds for which bodies are kept: None for ever, 0.0 until they are loaded.

    Raises:
        ConfigError: If ``keep`` is neither ``raw``, ``none`` nor a time such as ``90 days``.
    """
    if keep in {"raw", "none"}:
        return None if keep == "raw" else 0.0
    found = _DURATION.fullmatch(keep)
    if found is None or int(found[1]) == 0:
        raise ConfigError("landing.keep", keep, "'raw', 'none' or a time such as '90 days'")
    return int(found[1]) * _UNIT_S[found[2]]


def size_in_bytes(size: str) -> int:
    """Bytes of a size such as ``20 GB`` (1 GB is 10^9 bytes).

    Raises:
        ConfigError: If ``size`` is not a number above zero and a unit from B to TB.
    """
    found = _SIZE.fullmatch(size)
    if found is None or float(found[1]) <= 0:
        raise ConfigError("landing.max_disk", size, "a size such as '500 MB' or '20 GB'")
    return int(float(found[1]) * _UNIT_BYTES[found[2]])


class LandingOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The section ``[landing]`` of a pipeline file."""

    keep: str = "raw"
    """How long bodies stay: ``raw`` for ever, ``none`` until loaded, or a time: ``90 days``."""
    max_disk: str | None = None
    """The run stops, with nothing lost, before the journal is larger than this: ``20 GB``."""
    headers: tuple[str, ...] = KEPT_HEADERS
    """Names of the answer's headers that are kept with its body."""

    def __post_init__(self) -> None:
        kept_seconds(self.keep)
        if self.max_disk is not None:
            size_in_bytes(self.max_disk)
        for name in self.headers:
            if name.lower() in {"set-cookie", "authorization", "proxy-authorization"}:
                raise ConfigError("landing.headers", name, "a header that carries no secret")

    @property
    def kept_s(self) -> float | None:
        """Seconds for which bodies are kept: None for ever, 0.0 until they are loaded."""
        return kept_seconds(self.keep)

    @property
    def max_disk_bytes(self) -> int | None:
        """The most bytes that the journal may take; None for no limit."""
        return None if self.max_disk is None else size_in_bytes(self.max_disk)
