"""Limits as they are found in the wild, in virtual time: does this call pass, now?

A gate is asked in the order in which calls arrive. It keeps exact books of its own and knows
nothing of clients.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from heapq import heappop, heappush
from math import ceil, inf
from typing import Final, Protocol

NO_HEADERS: Final[Mapping[str, str]] = {}


class Gate(Protocol):
    """One limit of a server."""

    def admits(self, now: float) -> bool:
        """Whether a call that arrives ``now`` passes; counts it if it does."""

    def delay_s(self) -> float:
        """How long the call that was just admitted is held back before it is served."""

    def leaves(self, at: float) -> None:
        """The call that was just admitted will leave the server at ``at``."""

    def refusal(self, now: float) -> Mapping[str, str]:
        """Headers of the refusal that was just decided."""

    def answer(self, now: float) -> Mapping[str, str]:
        """Headers of an answer that is written ``now``."""


class _Silent:
    """A gate that says nothing and holds nothing back."""

    def delay_s(self) -> float:
        """No delay."""
        return 0.0

    def leaves(self, at: float) -> None:
        """Departures do not matter."""

    def refusal(self, now: float) -> Mapping[str, str]:
        """No headers."""
        del now
        return NO_HEADERS

    def answer(self, now: float) -> Mapping[str, str]:
        """No headers."""
        del now
        return NO_HEADERS


class Concurrency(_Silent):
    """At most ``most`` calls inside at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._inside: list[float] = []

    def admits(self, now: float) -> bool:
        """Room for one more."""
        while self._inside and self._inside[0] <= now:
            heappop(self._inside)
        return len(self._inside) < self.most

    def leaves(self, at: float) -> None:
        """One more inside until ``at``."""
        heappush(self._inside, at)


class TokenBucket(_Silent):
    """``rate`` tokens a second, at most ``burst`` saved; a refused call takes none."""

    def __init__(self, rate: float, burst: float, *, retry_after: bool = False) -> None:
        self.rate, self.burst = rate, burst
        self._tokens, self._at = burst, 0.0
        self._retry_after = retry_after

    def admits(self, now: float) -> bool:
        """A token is there; takes it."""
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens -= 1
        return True

    def refusal(self, now: float) -> Mapping[str, str]:
        """Whole seconds, rounded up, as servers do."""
        del now
        if not self._retry_after:
            return NO_HEADERS
        return {"retry-after": str(max(1, ceil((1 - self._tokens) / self.rate)))}


class LeakyBucket(_Silent):
    """nginx ``limit_req``: ``rate`` a second, ``burst`` more are delayed (or not), then 503.

    ``tick_s`` is how fine the server's clock is: nginx counts in milliseconds.
    """

    def __init__(self, rate: float, burst: int, *, nodelay: bool, tick_s: float = 0.0) -> None:
        self.rate, self.burst, self.nodelay, self.tick_s = rate, burst, nodelay, tick_s
        self._excess, self._at = 0.0, -inf

    def admits(self, now: float) -> bool:
        """The bucket does not run over; as in ``ngx_http_limit_req_lookup``."""
        if self.tick_s:
            now = now // self.tick_s * self.tick_s
        if self._at == -inf:
            self._at, self._excess = now, 0.0
            return True
        excess = max(0.0, self._excess - (now - self._at) * self.rate + 1)
        if excess > self.burst + 1e-9:
            return False
        self._excess, self._at = excess, now
        return True

    def delay_s(self) -> float:
        """The excess is served at the rate."""
        return 0.0 if self.nodelay else self._excess / self.rate


HINTS: Final = (
    "none",
    "retry-after",
    "ratelimit",
    "x-delta",
    "x-epoch",
    "x-epoch-ms",
    "structured",
)
"""How a fixed window tells about itself."""


class FixedWindow(_Silent):
    """``calls`` in every ``period_s``; windows begin on the clock, or with their first call."""

    def __init__(
        self,
        calls: int,
        period_s: float,
        *,
        wall0: float = 1.7e9,
        aligned: bool = False,
        hints: str = "none",
    ) -> None:
        self.calls, self.period_s, self.hints = calls, period_s, hints
        self._wall0, self._aligned = wall0, aligned
        self._begin = -inf
        self._used = 0

    def _turn(self, now: float) -> None:
        if now < self._begin + self.period_s:
            return
        if not self._aligned:
            self._begin = now
        else:
            clock = now + self._wall0
            self._begin = clock // self.period_s * self.period_s - self._wall0
        self._used = 0

    def admits(self, now: float) -> bool:
        """The window is not used up."""
        self._turn(now)
        if self._used >= self.calls:
            return False
        self._used += 1
        return True

    def _left_s(self, now: float) -> float:
        return max(0.0, self._begin + self.period_s - now)

    def refusal(self, now: float) -> Mapping[str, str]:
        """Retry-After and whatever answers carry."""
        if self.hints == "none":
            return NO_HEADERS
        wait = {"retry-after": str(max(1, ceil(self._left_s(now))))}
        return wait if self.hints == "retry-after" else {**self.answer(now), **wait}

    def answer(self, now: float) -> Mapping[str, str]:
        """What is left, in the dialect of this gate."""
        if self.hints in ("none", "retry-after"):
            return NO_HEADERS
        return told(
            self.hints,
            self.calls,
            self.calls - self._used,
            self._left_s(now),
            now + self._wall0,
            self.period_s,
        )


def told(  # noqa: PLR0917  each of them is a header's figure
    dialect: str, limit: int, left: int, reset_s: float, wall: float, period_s: float
) -> Mapping[str, str]:
    """Limit, remaining and reset in one of the dialects of `HINTS`."""
    whole = str(ceil(reset_s))
    match dialect:
        case "ratelimit":
            names, reset = "ratelimit-{}", whole
        case "x-delta":
            names, reset = "x-ratelimit-{}", whole
        case "x-epoch":
            names, reset = "x-ratelimit-{}", str(ceil(wall + reset_s))
        case "x-epoch-ms":
            names, reset = "x-ratelimit-{}", str(ceil((wall + reset_s) * 1000))
        case _:
            return {
                "ratelimit-policy": f'"default";q={limit};w={ceil(period_s)}',
                "ratelimit": f'"default";r={left};t={whole}',
            }
    return {
        names.format("limit"): str(limit),
        names.format("remaining"): str(left),
        names.format("reset"): reset,
    }


class SlidingLog(_Silent):
    """``calls`` in any ``period_s``; refused calls count too, the verdict is made every so often.

    As a web application firewall does it: counts arrive at a judge who looks at them every
    ``verdict_s`` seconds (0: at every call) and shuts the door until the next look.
    """

    def __init__(self, calls: int, period_s: float, *, verdict_s: float = 0.0) -> None:
        self.calls, self.period_s, self.verdict_s = calls, period_s, verdict_s
        self._log: deque[float] = deque()
        self._shut = False
        self._next_look = 0.0

    def admits(self, now: float) -> bool:
        """The last period saw fewer calls, or the judge has not looked yet."""
        log, horizon = self._log, now - self.period_s
        while log and log[0] <= horizon:
            log.popleft()
        if now >= self._next_look:
            self._shut = len(log) >= self.calls
            self._next_look = now + self.verdict_s
        log.append(now)
        if len(log) > 4 * self.calls + 1000:
            log.popleft()
        return not self._shut
