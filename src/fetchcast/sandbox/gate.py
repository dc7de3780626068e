"""Who is let in: the rate, the number at one time, and the calls that are made to fail. Pure."""

from __future__ import annotations

from collections import Counter, deque
from enum import StrEnum
from random import Random

from fetchcast.sandbox.options import SandboxOptions

_MOST_FAILURES_IN_A_ROW = 2


class Gate:
    """The limits of one API."""

    def __init__(self, options: SandboxOptions, *, concurrency: int | None) -> None:
        self._limit = None if options.rate is None else options.rate_limit
        self._window_s = options.rate_window_s
        self._concurrency = concurrency
        self._let_in: deque[float] = deque()
        self.inside = 0
        self.peak = 0

    def enter(self, now: float) -> str | None:
        """Let a call in at ``now`` (seconds): None, or the reason why not, in the API's words.

        Who is let in must `leave`. Who is refused does not count against the rate.
        """
        if self._concurrency is not None and self.inside >= self._concurrency:
            return f"Too many requests at one time. The limit is {self._concurrency}."
        if self._limit is not None:
            while self._let_in and self._let_in[0] <= now - self._window_s:
                self._let_in.popleft()
            if len(self._let_in) >= self._limit:
                return f"Request rate is limited to {self._limit} requests in a {self._window}."
            self._let_in.append(now)
        self.inside += 1
        self.peak = max(self.peak, self.inside)
        return None

    def leave(self) -> None:
        """A call that was let in has its answer."""
        self.inside -= 1

    @property
    def _window(self) -> str:
        whole_minutes, rest = divmod(self._window_s, 60)
        if whole_minutes and not rest:
            return f"{whole_minutes:.0f} minute window"
        return f"{self._window_s:g} second window"


class Fault(StrEnum):
    """How a call is made to fail."""

    ERROR = "500"
    BUSY = "503"
    RESET = "reset"


class Faults:
    """Decides which calls fail, by seed, path and attempt, whatever the order of the calls."""

    def __init__(self, *, share: float, seed: int) -> None:
        self._share, self._seed = share, seed
        self._attempts: Counter[str] = Counter()
        self._in_a_row: Counter[str] = Counter()

    def draw(self, target: str) -> Fault | None:
        """How the next attempt at ``target`` fails, or None if it does not."""
        if not self._share:
            return None
        self._attempts[target] += 1
        chance = Random(f"{self._seed}/{target}/{self._attempts[target]}")
        enough = self._share < 1 and self._in_a_row[target] >= _MOST_FAILURES_IN_A_ROW
        if enough or chance.random() >= self._share:
            del self._in_a_row[target]
            return None
        self._in_a_row[target] += 1
        return chance.choice(list(Fault))
