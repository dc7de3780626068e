"""How fast to ask: finds an API's limits by itself and keeps to them. Pure: no clock, no socket."""

from fetchcast.extract.pace.controller import Pace
from fetchcast.extract.pace.explanation import Explanation, Kind, Sureness
from fetchcast.extract.pace.lanes import Lanes
from fetchcast.extract.pace.learnt import Learnt
from fetchcast.extract.pace.options import PaceOptions, Quota
from fetchcast.extract.pace.routes import Routes

__all__ = [
    "Explanation",
    "Kind",
    "Lanes",
    "Learnt",
    "Pace",
    "PaceOptions",
    "Quota",
    "Routes",
    "Sureness",
]
