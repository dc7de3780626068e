"""The schemes that the controller is compared with, each at the best settings found.

They are written to the same seam as `fetchcast.extract.pace.Pace`, so that simulated and real
servers see them in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping


class Fixed:
    """So many calls at once, each refused one after a pause that doubles."""

    def __init__(self, size: int = 10, pause_s: float = 0.5) -> None:
        self.size, self.pause_s = size, pause_s
        self.in_flight = 0
        self.row = 0
        self.hold = 0.0

    def next(self, now: float) -> float | None:
        if self.in_flight >= self.size:
            return None
        return max(now, self.hold)

    def sent(self, call: int, now: float) -> None:
        self.in_flight += 1

    def accepted(self, call: int, now: float, headers: Mapping[str, str], wall: float) -> None:
        self.in_flight -= 1
        self.row = 0

    def refused(self, call: int, now: float, *, status, headers, wall) -> None:
        self.in_flight -= 1
        if now >= self.hold:
            self.hold = now + self.pause_s * 2 ** min(self.row, 6)
            self.row += 1

    def failed(self, call: int, now: float) -> None:
        self.in_flight -= 1


class Aimd:
    """Additive increase, multiplicative decrease of the window; a short pause after a refusal."""

    def __init__(self, cut: float = 0.5, first: float = 6.0, hold_s: float = 0.1) -> None:
        self.cut, self.hold_s = cut, hold_s
        self.window = first
        self.slow = True
        self.in_flight = 0
        self.hold = 0.0
        self.reacted = 0
        self.serial = 0
        self.serials: dict[int, int] = {}
        self.row = 0

    def next(self, now: float) -> float | None:
        if self.in_flight >= int(self.window):
            return None
        return max(now, self.hold)

    def sent(self, call: int, now: float) -> None:
        self.in_flight += 1
        self.serial += 1
        self.serials[call] = self.serial

    def accepted(self, call: int, now: float, headers: Mapping[str, str], wall: float) -> None:
        self.in_flight -= 1
        if self.serials[call] > self.reacted:
            self.row = 0
        self.window = min(256.0, self.window + (1.0 if self.slow else 1.0 / self.window))

    def refused(self, call: int, now: float, *, status, headers, wall) -> None:
        self.in_flight -= 1
        if self.serials[call] <= self.reacted:
            return
        self.reacted = self.serial
        self.slow = False
        self.window = max(1.0, self.window * self.cut)
        wait = self.hold_s * 2 ** min(self.row, 8)
        self.row += 1
        if "retry-after" in headers:
            wait = max(wait, float(headers["retry-after"]))
        self.hold = now + wait

    def failed(self, call: int, now: float) -> None:
        self.in_flight -= 1


class Aws:
    """The adaptive mode of the AWS SDKs (botocore), plus the Retry-After that it lacks.

    A cubic of the measured rate; nothing is held back before the first refusal.
    """

    def __init__(self, beta: float = 0.85, scale: float = 2.0, sockets: int = 256) -> None:
        self.beta, self.scale, self.sockets = beta, scale, sockets
        self.in_flight = 0
        self.hold = 0.0
        self.enabled = False
        self.rate = 0.5
        self.tokens = 0.0
        self.capacity = 1.0
        self.at = 0.0
        self.max_window = 0.0
        self.time_window = 0.0
        self.last_throttle = 0.0
        self.measured = 0.0
        self.bucket_at = 0.0
        self.bucket_count = 0

    def next(self, now: float) -> float | None:
        if self.in_flight >= self.sockets:
            return None
        if now < self.hold:
            return self.hold
        if not self.enabled:
            return now
        self._refill(now)
        if self.tokens >= 1 - 1e-9:
            return now
        return now + max(1e-6, (1 - self.tokens) / self.rate)

    def _refill(self, now: float) -> None:
        self.tokens = min(self.capacity, self.tokens + (now - self.at) * self.rate)
        self.at = now

    def sent(self, call: int, now: float) -> None:
        self.in_flight += 1
        if self.enabled:
            self.tokens -= 1

    def _measure(self, now: float) -> None:
        self.bucket_count += 1
        bucket = int(now * 2) / 2
        if bucket > self.bucket_at:
            current = self.bucket_count / (bucket - self.bucket_at)
            self.measured = 0.8 * current + 0.2 * self.measured
            self.bucket_count, self.bucket_at = 0, bucket

    def _set(self, rate: float, now: float) -> None:
        self._refill(now)
        self.rate = max(0.5, rate)
        self.capacity = max(1.0, self.rate)
        self.tokens = min(self.tokens, self.capacity)

    def accepted(self, call: int, now: float, headers: Mapping[str, str], wall: float) -> None:
        self.in_flight -= 1
        self._measure(now)
        if not self.enabled:
            return
        self.time_window = (self.max_window * (1 - self.beta) / self.scale) ** (1 / 3)
        grown = self.scale * (now - self.last_throttle - self.time_window) ** 3 + self.max_window
        self._set(min(grown, 2 * self.measured), now)

    def refused(self, call: int, now: float, *, status, headers, wall) -> None:
        self.in_flight -= 1
        self._measure(now)
        used = min(self.measured, self.rate) if self.enabled else self.measured
        self.max_window = used
        self.time_window = (self.max_window * (1 - self.beta) / self.scale) ** (1 / 3)
        self.last_throttle = now
        self.enabled = True
        self._set(used * self.beta, now)
        if "retry-after" in headers:
            self.hold = max(self.hold, now + float(headers["retry-after"]))

    def failed(self, call: int, now: float) -> None:
        self.in_flight -= 1
