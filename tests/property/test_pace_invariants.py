"""Whatever a server does and in whatever order: the controller keeps its own rules."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fetchcast.extract.pace import Pace, PaceOptions, Quota

_HEADERS = st.sampled_from(
    [
        {},
        {},
        {"retry-after": "2"},
        {"retry-after": "0.5"},
        {"retry-after": "nonsense"},
        {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "3", "x-ratelimit-reset": "5"},
        {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "4"},
        {"ratelimit-policy": '"a";q=3;qu=concurrent-requests'},
    ]
)


class PaceMachine(RuleBasedStateMachine):
    """Sends whenever it may, and answers as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.cap, self.quota = 7, 60
        self.pace = Pace(
            PaceOptions(max_concurrency=self.cap, quota=Quota(requests=self.quota, per="hour")),
            wall=1_700_000_000.0,
        )
        self.now = 100.0
        self.flying: list[int] = []
        self.sent = 0
        self.hold_until = 0.0

    def _wall(self) -> float:
        return 1_700_000_000.0 + self.now

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.02, 0.1, 1.0, 7.0, 40.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(most=st.integers(1, 12))
    def send(self, most: int) -> None:
        for _ in range(most):
            at = self.pace.next(self.now)
            if at is None or at > self.now:
                return
            assert self.now >= self.hold_until, "a call left before its hold was over"
            call = next(c for c in range(100) if c not in self.flying)
            self.pace.sent(call, self.now)
            self.flying.append(call)
            self.sent += 1

    @precondition(lambda self: self.flying)
    @rule(pick=st.integers(0, 99), headers=_HEADERS)
    def accept(self, pick: int, headers: dict[str, str]) -> None:
        call = self.flying.pop(pick % len(self.flying))
        self.pace.accepted(call, self.now, headers, self._wall())

    @precondition(lambda self: self.flying)
    @rule(pick=st.integers(0, 99), headers=_HEADERS)
    def refuse(self, pick: int, headers: dict[str, str]) -> None:
        call = self.flying.pop(pick % len(self.flying))
        self.pace.refused(call, self.now, status=429, headers=headers, wall=self._wall())
        wait = {"2": 2.0, "0.5": 0.5}.get(headers.get("retry-after", ""), 0.0)
        self.hold_until = max(self.hold_until, self.now + wait)

    @precondition(lambda self: self.flying)
    @rule(pick=st.integers(0, 99), how=st.sampled_from(["failed", "cancelled", "denied"]))
    def end_otherwise(self, pick: int, how: str) -> None:
        call = self.flying.pop(pick % len(self.flying))
        if how == "denied":
            self.pace.denied(call, self.now, status=403)
        else:
            getattr(self.pace, how)(call, self.now)

    @precondition(lambda self: self.flying)
    @rule()
    def nothing_ends_twice(self) -> None:
        call = self.flying.pop()
        self.pace.cancelled(call, self.now)
        with pytest.raises(ValueError, match="not in flight"):
            self.pace.accepted(call, self.now, {}, self._wall())

    @invariant()
    def never_above_the_cap(self) -> None:
        assert len(self.flying) <= self.cap
        assert self.sent <= self.quota

    @invariant()
    def it_can_always_explain_itself(self) -> None:
        explanation = self.pace.explanation(self.now)
        assert explanation.text
        assert explanation.used is None or 0 <= explanation.used <= 1
        assert self.pace.learnt(self._wall()).quota_used == self.sent

    @invariant()
    def it_never_waits_for_nothing(self) -> None:
        """With no call in flight it names a time, or says why it stopped."""
        if not self.flying and self.pace.next(self.now) is None:
            assert self.pace.stopped()


PaceMachine.TestCase.settings = settings(
    max_examples=50, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestPaceMachine = PaceMachine.TestCase


class ShutMachine(RuleBasedStateMachine):
    """A server that refuses everything: after the first reactions only single calls may ask."""

    def __init__(self) -> None:
        super().__init__()
        self.pace = Pace(PaceOptions())
        self.now = 0.0
        self.flying: list[int] = []
        self._refuse_until_shut()

    def _refuse_until_shut(self) -> None:
        for _ in range(200):
            at = self.pace.next(self.now)
            if at is not None and at <= self.now:
                call = next(c for c in range(100) if c not in self.flying)
                self.pace.sent(call, self.now)
                self.flying.append(call)
            elif self.flying:
                self._refuse(self.flying[0])
            elif at is not None:
                self.now = at
            if self.pace.explanation(self.now).kind == "closed" and not self.flying:
                return
        raise AssertionError("it never noticed that everything was refused")

    def _refuse(self, call: int) -> None:
        self.now += 0.004
        self.flying.remove(call)
        self.pace.refused(call, self.now, status=503, headers={}, wall=self.now)

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.3, 2.0, 20.0]))
    def time_passes_in_which_refusals_come_back(self, seconds: float) -> None:
        for call in list(self.flying):
            self._refuse(call)
        self.now += seconds

    @rule()
    def ask(self) -> None:
        at = self.pace.next(self.now)
        if at is not None and at <= self.now:
            self.pace.sent(0, self.now)
            self.flying.append(0)

    @invariant()
    def one_probe_at_most(self) -> None:
        assert len(self.flying) <= 1
        if self.flying:
            at = self.pace.next(self.now)
            assert at is None or at > self.now


ShutMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
TestShutMachine = ShutMachine.TestCase
