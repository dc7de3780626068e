"""Everything the controller remembers between two events."""

from __future__ import annotations

from math import inf
from typing import Final

from fetchcast.extract.pace.bucket import Bucket
from fetchcast.extract.pace.budget import Allowance
from fetchcast.extract.pace.caps import Caps
from fetchcast.extract.pace.door import Door
from fetchcast.extract.pace.learnt import Learnt
from fetchcast.extract.pace.level import Level
from fetchcast.extract.pace.options import PaceOptions
from fetchcast.extract.pace.ramp import Ramp, remembered_ramp
from fetchcast.extract.pace.rate import Rate
from fetchcast.extract.pace.trial import Trial
from fetchcast.extract.pace.window import FIRST, Window
from fetchcast.extract.pace.yields import Yield

OPEN: Final = 0
"""Calls leave as the bounds allow."""
DRAIN: Final = 1
"""Refused for the first time: wait until fewer are in flight."""
VERIFY: Final = 2
"""Send in growing lots: is it concurrency?"""
CLOSED: Final = 3
"""Nothing passes; one call at a time asks."""
BURST: Final = 4
"""Open again after a long time; careful where it shut last."""
RAMP: Final = 5
"""The first moments of a run that remembers how many at once are let in."""


class Group:
    """Calls that left at one moment, with no event between them."""

    __slots__ = ("asked", "before", "close", "latest", "refused", "sent", "sent_at", "serial")

    def __init__(self, before: int, sent_at: float, serial: int) -> None:
        self.before, self.sent_at, self.serial = before, sent_at, serial
        self.sent = self.refused = 0
        self.latest = serial
        self.asked = self.close = False

    @property
    def is_alone(self) -> bool:
        """Whether nothing else was in flight: no limit on calls at once refuses that."""
        return self.before + self.sent - self.refused <= 0

    @property
    def level(self) -> int:
        """At most so many calls fit at once, if one of this group did not."""
        return max(1, self.before + self.sent - self.refused)


class State:
    """The parts of the controller and what is known of the calls in flight.

    `Reactions` changes it when something was refused, `Pace` is what the engine talks to.
    """

    __slots__ = (
        "_accepted",
        "_accepted_at",
        "_allowances",
        "_began_at",
        "_bucket",
        "_burst",
        "_cap_before",
        "_caps",
        "_denied_row",
        "_door",
        "_doubted",
        "_failed_row",
        "_failing",
        "_felt",
        "_flying",
        "_found",
        "_group",
        "_hold",
        "_in_flight",
        "_is_known",
        "_last_sent_at",
        "_level",
        "_looked",
        "_lot",
        "_lot_at",
        "_lot_left",
        "_max",
        "_offset",
        "_phase",
        "_plain",
        "_ramp",
        "_ramp_serial",
        "_rate",
        "_reacted",
        "_refused_total",
        "_room",
        "_row",
        "_serial",
        "_short_row",
        "_silent",
        "_steady",
        "_stopped",
        "_sure",
        "_test_at",
        "_told_window",
        "_told_windows",
        "_trial",
        "_trip",
        "_trip_mean",
        "_trip_worst",
        "_verified",
        "_verify_cap",
        "_verify_tries",
        "_window",
        "_window_told",
        "_yield",
    )

    def __init__(  # noqa: PLR0915  one statement for each thing that is remembered
        self,
        options: PaceOptions,
        *,
        memory: Learnt | None = None,
        max_connections: int = 256,
        wall: float | None = None,
    ) -> None:
        self._caps = Caps(options, memory, wall)
        self._max = min(max_connections, options.max_concurrency or max_connections)
        self._window, self._level, self._rate, self._door = (
            Window(),
            Level(),
            Rate(),
            Door(),
        )
        self._allowances: dict[str, Allowance] = {}
        self._phase, self._hold = OPEN, -inf
        self._in_flight = 0
        self._serial = 0
        self._reacted = 0
        self._group: Group | None = None
        self._flying: dict[int, tuple[Group, float, int]] = {}
        """Call in flight -> its group, when it was sent, and as which."""
        self._trip = inf
        self._trip_mean = self._trip_worst = 0.0
        self._silent: tuple[int, Door, Rate, Window] | None = None
        """The call whose silence was taken for consent, and what was known before that."""
        self._row = 0
        self._failed_row = 0
        self._failing: dict[int, None] = {}
        self._is_known = memory is not None
        self._accepted = 0
        self._accepted_at: float | None = None
        self._began_at: float | None = None
        self._refused_total = 0
        self._offset: float | None = None
        self._lot, self._lot_left, self._lot_at = 0, 0, 0.0
        self._test_at: float | None = None
        self._trial: Trial | None = None
        self._cap_before: int | None = None
        self._doubted: int | None = None
        self._short_row = self._denied_row = 0
        self._bucket = Bucket()
        self._yield = Yield()
        self._burst = 0.0
        """Calls that a bucket had saved when an earlier run began."""
        self._window_told = False
        self._told_window: tuple[int, float] | None = None
        """Calls and seconds of a window that only Retry-After told."""
        self._told_windows = 0
        self._stopped: str | None = None
        self._looked = (0.0, 0, 0)
        self._found = (0.0, 0)
        """When the present limit was found, and how many calls had been accepted then."""
        self._last_sent_at = -inf
        self._verify_cap = self._verify_tries = self._verified = 0
        self._ramp: Ramp | None = None
        self._ramp_serial = 0
        """The last call of a ramp that was refused."""
        self._sure = 0
        """Calls accepted by the run that is remembered, after it had found what is remembered."""
        self._felt = self._feels()
        self._settle()
        self._recall(memory, wall)

    def _recall(self, memory: Learnt | None, wall: float | None) -> None:
        if memory is None:
            return
        if wall is not None:
            memory = memory.aged(wall)
        self._sure = memory.sure
        # The fastest refusal of an earlier run: they come back somewhat later as a rule.
        self._trip_mean = 1.2 * (memory.round_trip_s or 0.0)
        if memory.level is not None:
            self._window.limit = max(min(FIRST, memory.level), memory.level / 2)
            self._window.careful_from = memory.level
            # Nothing above it leaves but as a question.
            self._level.remember(memory.level)
        if memory.window_calls is not None and memory.window_s is not None:
            # One call goes ahead where the window should end: that it has grown is found at once.
            self._phase = BURST
            self._door.remember(memory)
            if memory.level is None and memory.rate is not None:
                self._rate.begin(memory.rate, 0.0, climbing=False)
        elif memory.level is None and memory.rate is not None:
            self._burst = memory.burst or 0.0
            self._rate.remember(memory.rate, self._burst, memory.wait_s)
        self._felt = self._feels()
        self._ramp = remembered_ramp(memory, self._max)
        if self._ramp is not None and self._phase == OPEN and self._rate.limit is None:
            self._phase = RAMP
            self._window.limit = float(self._ramp.last)
            self._window.size = max(
                self._window.size, self._ramp.last
            )  # The first are the fastest.
            if memory.pressed and memory.level is None:
                self._window.slow, self._window.base = False, memory.latency_s
        self._settle()

    def _note_found(self, now: float) -> None:
        """Remember since when the present kind of limit is felt, for the explanation."""
        felt = self._feels()
        if felt != self._felt:
            self._felt, self._found = felt, (now, self._accepted)

    def _feels(self) -> tuple[bool, ...]:
        """Which kinds of limits are felt."""
        return (
            self._level.confirmed,
            self._rate.limit is not None,
            self._door.calls is not None,
            bool(self._allowances),
        )

    def _settle(self) -> None:
        """Work out anew what `next` may answer without thinking."""
        phase, level = self._phase, self._level
        room = self._max
        if phase in (OPEN, BURST):
            room = min(room, int(self._window.limit))
            if level.cap is not None:
                room = min(room, level.cap + level.asked)
        self._room = max(1, room) if phase != CLOSED else self._max
        self._plain = (
            phase == OPEN
            and self._began_at is not None
            and self._rate.limit is None
            and self._door.calls is None
            and not self._allowances
            and not level.asked
            and not self._caps.any
            and self._hold == -inf
            and self._stopped is None
        )
        self._steady = self._plain and not self._window.slow
