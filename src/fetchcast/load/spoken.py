"""Which request keys a load has spoken for so far, in 8 bytes a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]


class Spoken:
    """A set of texts that only grows and may take two for one: "not there" is certain."""

    def __init__(self) -> None:
        self._runs: list[Ints] = []
        """Sorted, each longer than the next: a million keys are some twenty of them."""

    def meets(self, keys: Sequence[str]) -> bool:
        """Whether one of ``keys`` may have been there already; adds them."""
        new = np.unique(np.fromiter(map(hash, keys), np.int64, len(keys)))
        met = any(_have_common(run, new) for run in self._runs)
        self._runs.append(new)
        while len(self._runs) > 1 and len(self._runs[-1]) >= len(self._runs[-2]):
            last = self._runs.pop()
            self._runs[-1] = np.union1d(self._runs[-1], last)
        return met


def _have_common(run: Ints, new: Ints) -> bool:
    if not len(run):
        return False
    places = np.searchsorted(run, new)
    places[places == len(run)] = 0
    return bool(np.any(run[places] == new))
