"""Lists that come in pages: which page follows from which answer. Pure.

`read_paginator` reads what the pipeline file says, `Paginator` begins a list and gives it a
`Chain`, which is told of every page that came and says which calls follow.
"""

from fetchcast.plan.pagination.chains import Chain, Page, Step
from fetchcast.plan.pagination.detect import SIGNS, Detected, detect
from fetchcast.plan.pagination.options import (
    AUTO,
    SINGLE_PAGE,
    PaginatorOptions,
    read_paginator,
)
from fetchcast.plan.pagination.paginator import Paginator, paginator_of

__all__ = [
    "AUTO",
    "SIGNS",
    "SINGLE_PAGE",
    "Chain",
    "Detected",
    "Page",
    "Paginator",
    "PaginatorOptions",
    "Step",
    "detect",
    "paginator_of",
    "read_paginator",
]
