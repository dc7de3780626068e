"""The window: how many calls may be in flight, judged by latency alone.

It grows fast from a small start until answers get slower than they were and no more of them
arrive for it, or until another bound is found; from then on it follows the latency, round by
round, where a round is about one window of answers.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import Final

FIRST: Final = 8.0  # k = 1 costs 7 refusals, and 366 calls need 4 round trips.
GROWTH: Final = 2.0  # Calls added per answer: the window triples in a round trip.
_CAREFULLY: Final = 0.25

_SLOWER: Final = 1.6  # Latency may not double.
_MUCH_SLOWER: Final = 2.5
_AIM: Final = 1.25
_HARMLESS_S: Final = 0.005  # Waiting for less than this is the price of nothing.
_GAIN: Final = 1.25  # In the slow start, a slower round must bring a quarter more answers a second.
_LEAP: Final = 0.5
_STEP: Final = 0.1
_UNPRESSED: Final = 1.12
_MISSED: Final = 0.85
_FADES: Final = 0.98
_TOO_FEW: Final = 4.0
_CREEP: Final = 1.002  # The base forgets a lucky round.
_CAUSE: Final = 0.85  # A cut that does not make answers faster than this was not the cause.
_SHORTEST_ROUND: Final = 12


class Window:
    """Calls in flight that the latency allows; `end_round` is asked once per ``size`` answers."""

    __slots__ = (
        "_before_cut",
        "_best",
        "_cut_from",
        "_goodput",
        "_growth",
        "_overshot",
        "_since",
        "_suspected",
        "after",
        "base",
        "careful_from",
        "carried",
        "count",
        "full",
        "grown",
        "limit",
        "size",
        "slow",
        "squares",
        "total",
    )

    def __init__(self, first: float = FIRST) -> None:
        self.limit = first
        self.slow = True
        """Growing with every answer: nothing has spoken against it yet."""
        self.full = False
        """Whether the window was what held calls back since the last round."""
        self.grown = False
        self.careful_from = inf
        """What an earlier run found: from there on the window grows slowly."""
        self.carried = 0
        """The most calls in flight that went well."""
        self.after = 0
        """Only calls sent after this one are counted: those before it met a longer line."""
        self.count = 0
        self.total = 0.0
        self.squares = 0.0
        self.size = 8
        self.base: float | None = None
        """Mean latency of a round when the API was not pressed, seconds."""
        self._since: float | None = None
        self._goodput = 0.0
        self._growth = _STEP
        self._best = 0.0  # The most answers a second of the last rounds.
        self._suspected = False
        self._cut_from: float | None = None
        self._overshot = True  # The first cut after a slow start is for having gone too far.
        self._before_cut = 0.0

    def restart(self, first: float) -> None:
        """Start slowly again, from ``first`` calls at once; the base latency stays."""
        self.limit, self.slow, self._overshot = first, True, True
        self._since, self._goodput = None, 0.0
        self.count, self.total, self.squares = 0, 0.0, 0.0

    def grow(self, most: int) -> None:
        """One more answer in the slow start."""
        if self.careful_from == inf:
            self.limit += GROWTH if self.limit >= 2 * FIRST else GROWTH / 2
        else:
            self.limit += GROWTH / 4 if self.limit < self.careful_from else _CAREFULLY
        if self.limit >= most:
            self.limit, self.slow = float(most), False

    def end_round(self, now: float, *, bound: bool) -> bool:
        """Judge the answers since the last round; returns whether the window was made smaller."""
        before = self.limit
        mean = self.total / self.count
        goodput = self.count / max(now - self._since, 1e-6) if self._since is not None else 0.0
        variance = max(0.0, self.squares / self.count - mean * mean)
        noise = sqrt(variance / self.count)
        least = mean + noise
        base = self.base = least if self.base is None else min(least, self.base * _CREEP)
        # Slower answers to calls that something else held back are none of the window's doing.
        if (
            bound
            and mean - 2 * noise > max(_SLOWER * base, base + _HARMLESS_S)
            and not (self.slow and goodput > _GAIN * self._goodput)
        ):
            # One slow round may be new connections, or another program on this machine.
            if self.slow or self._suspected or mean > _MUCH_SLOWER * base:
                self._cut(mean, base, goodput)
            self._suspected = not self._suspected
        else:
            self._cut_from, self._suspected = None, False
            if self.full and not self.slow:
                # With less coming back than did before, and quickly: the cut was a mistake.
                if goodput < _MISSED * self._best and mean < _AIM * base:
                    self._growth = _LEAP
                elif mean < _UNPRESSED * base:
                    self._growth = min(_LEAP, 2 * self._growth)
                else:
                    self._growth = _STEP
                self.limit += max(1.0, self._growth * self.limit)
            self._best = max(_FADES * self._best, goodput)
        self._goodput, self._since = goodput, now
        self.full = False
        self.count, self.total, self.squares = 0, 0.0, 0.0
        self.size = (
            max(8, int(self.limit / 4)) if self.slow else max(_SHORTEST_ROUND, int(self.limit))
        )
        return self.limit < before

    def _cut(self, mean: float, base: float, goodput: float) -> None:
        self._best, self._growth = max(goodput, _MISSED * self._best), _STEP / 2
        if self._cut_from is not None and mean > _CAUSE * self._before_cut:
            # Fewer calls at once did not make answers faster: the API itself became slower.
            self.limit, self.base, self._cut_from = self._cut_from, mean, None
            return
        if self.limit <= _TOO_FEW:
            # So few cannot wait for each other: the API, or this machine, became slower.
            self.base = mean
            return
        self._cut_from, self._before_cut = self.limit, mean
        aim = max(_AIM * base, base + _HARMLESS_S)
        if self._overshot and goodput > 0:
            # So many were inside when nothing waited (Little's law), however far it overshot. The
            # line was still growing, so its latency is no measure for what comes after.
            self._cut_from, self._overshot = None, False
            self.limit = max(1.0, min(self.limit, aim * goodput))
        else:
            self.limit = max(1.0, self.limit * max(0.5, aim / mean))
        self.slow = False
