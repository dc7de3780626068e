"""What lessees and the coordinator say to each other. All times are relative: no clock is shared.

Messages are msgpack arrays; a field that a later version adds goes to the end and has a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

import msgspec


class Verdict(IntEnum):
    """What became of a permit."""

    ACCEPTED = 0
    REFUSED = 1
    FAILED = 2
    DENIED = 3
    DROPPED = 4
    """The call left and was given up."""
    UNUSED = 5
    """No call left: it came too late, or there was none to make."""


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """The end of one permit."""

    permit: int
    verdict: Verdict
    left_ago_s: float = 0.0
    """Seconds from the moment the call left to that at which the message was written."""
    ended_ago_s: float = 0.0
    status: int | None = None
    headers: Mapping[str, str] = {}
    """Those of the answer that speak of limits."""
    kept: bool = False
    """The lessee has kept the permit: another call has left with it, or is about to."""


class Ask(msgspec.Struct, frozen=True, array_like=True):
    """What a lessee wants, and what it saw since it asked last."""

    lessee: str
    """Unique; what is before the ``/`` names the worker that holds the lease."""
    wants: int
    """Calls it could start soon."""
    epoch: int = 0
    """Of the coordinator that its permits are from; 0 before the first lease."""
    ended: list[Ended] = []
    closing: bool = False
    """It asks for the last time."""


class Lease(msgspec.Struct, frozen=True, array_like=True):
    """Permits for one call each, and when it may leave."""

    epoch: int
    permits: list[int]
    delays_s: list[float]
    """Of each permit: seconds from the moment the lease arrives, 0 for at once."""
    valid_s: float
    """A permit not used so long after its moment is void: it is to be given back."""
    again_s: float
    """Ask again no sooner, unless there is something to tell."""
    wall: float
    """The coordinator's time of day, seconds since 1970: answers are dated by it."""
    stopped: str | None = None
    """Why nothing more is to be sent, in words."""
    own_cap: bool = False
    news: bool = False
    """Nothing but the end of a call brings the next permit: tell of it at once."""
    proven: bool = False
    """A call of somebody has been accepted."""
    lanes: list[int] = []
    """Which of several keys each permit is for; empty if there is one."""
    reuse: int = 0
    """While it has no more permits than that, the lessee may use one again whose call was
    accepted: all that is felt is your own cap on calls at once."""
    reuse_s: float = 0.0
    """Seconds from the arrival of the lease for which that holds."""


ENCODER: Final = msgspec.msgpack.Encoder()
ASKS: Final = msgspec.msgpack.Decoder(Ask)
LEASES: Final = msgspec.msgpack.Decoder(Lease)
