"""How a sandbox behaves: how slow, how strict, how faulty."""

from __future__ import annotations

import msgspec

from fetchcast.errors import ConfigError

PRH_V1_CONCURRENCY = 10
"""Version 1 of the company API answered 503 when pressed; users kept to ten calls at a time."""


class SandboxOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sandbox enforces; the same for both APIs unless it says otherwise."""

    latency_ms: float = 100.0
    """From the arrival of a call to its answer; a refusal comes at once."""
    rate: float | None = None
    """Calls a second that are let in, measured over ``rate_window_s``; None: any number."""
    rate_window_s: float = 1.0
    """The window that slides: at most ``rate * rate_window_s`` calls are let in within it."""
    concurrency: int | None = None
    """Calls answered at one time, for each API; None: any number, but ten on PRH version 1."""
    fail_share: float = 0.0
    """Which share of the calls that were let in is answered by 500, 503 or a reset connection.

    No call fails more than twice in a row, unless the share is 1.
    """
    seed: int = 27
    """Decides which days are resampled from which, and which calls fail."""
    etags: bool = False
    """Fine answers carry an ``ETag``; who has it already (``If-None-Match``) is told 304."""
    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free port."""

    def __post_init__(self) -> None:
        """Raise `ConfigError` for the first value that makes no sense."""
        for name, fine, expected in (
            ("latency_ms", self.latency_ms >= 0, "0 or more milliseconds"),
            ("rate", self.rate is None or self.rate > 0, "more than 0 calls a second"),
            ("rate_window_s", self.rate_window_s > 0, "more than 0 seconds"),
            ("concurrency", self.concurrency is None or self.concurrency >= 1, "1 or more"),
            ("fail_share", 0 <= self.fail_share <= 1, "a share from 0 to 1"),
            ("port", 0 <= self.port <= 65535, "a port from 0 (any free one) to 65535"),  # noqa: PLR2004
        ):
            if not fine:
                raise ConfigError(f"sandbox.{name}", getattr(self, name), expected)

    @property
    def prh_v1_concurrency(self) -> int:
        """Calls that PRH version 1 answers at one time."""
        return PRH_V1_CONCURRENCY if self.concurrency is None else self.concurrency

    @property
    def rate_limit(self) -> int:
        """Calls let in within one window; at least one."""
        return max(1, round((self.rate or 0) * self.rate_window_s))
