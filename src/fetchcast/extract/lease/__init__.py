"""One pace for many workers: held by a coordinator, leased in slices, never guessed.

`Coordinator` decides (pure), `Lessee` is the `fetchcast.extract.engine.Limiter` of an engine that
lives on what it was lent (pure), `leasing` is the little that is not: it carries the messages.
"""

from fetchcast.extract.lease.coordinator import Coordinator, Keys, Tally
from fetchcast.extract.lease.leasing import Line, leasing
from fetchcast.extract.lease.lessee import Lessee
from fetchcast.extract.lease.messages import Ask, Ended, Lease, Verdict
from fetchcast.extract.lease.shared_lanes import SharedLanes
from fetchcast.extract.lease.shared_pace import SharedPace

__all__ = [
    "Ask",
    "Coordinator",
    "Ended",
    "Keys",
    "Lease",
    "Lessee",
    "Line",
    "SharedLanes",
    "SharedPace",
    "Tally",
    "Verdict",
    "leasing",
]
