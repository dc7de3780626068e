"""Whether a route has limits of its own: from what is refused, and from what headers say.

A limit that all routes share refuses them alike. If all refusals of a time hit one route, while
others that left in the same time were accepted, that is chance with a probability that shrinks
with every refusal; small enough, and the route is taken apart from the others.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from fetchcast.extract.pace.headers import Budget

_CHANCE: Final = 1e-5
_TOLD: Final = 2

Signature = frozenset[tuple[str, int | None]]


class Apart:
    """Counts, route by route, and says which one is to be taken apart."""

    def __init__(self) -> None:
        self._left: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._between: set[str] = set()
        self._counted = 0
        self._serial = 0
        self._told: dict[str, tuple[Signature, int]] = {}

    def sent(self, route: str) -> int:
        """A call left; returns its number."""
        self._serial += 1
        self._left[route] += 1
        return self._serial

    def accepted(self, route: str, number: int) -> None:
        """Call ``number`` was let in."""
        if number > self._counted:
            self._between.add(route)

    def refused(self, route: str, number: int) -> bool:
        """Call ``number`` was refused; whether ``route`` has a limit of its own.

        Of calls that left together the limit takes the first, whatever their routes, and a refused
        call is asked again before others. So only a call is evidence that left after the last
        refusal was heard of, and after which a call of another route was accepted.
        """
        if number <= self._counted or not self._between - {route}:
            return False
        self._counted = self._serial
        self._between.clear()
        if any(count for other, count in self._refused.items() if other != route):
            self._begin()  # It hits others as well.
        self._refused[route] += 1
        return self.share(route) ** self._refused[route] < _CHANCE

    def share(self, route: str) -> float:
        """Which part of the calls were of ``route``, in the time that is counted."""
        every = sum(self._left.values())
        return self._left[route] / every if every else 1.0

    def differs(self, route: str, budgets: tuple[Budget, ...]) -> bool:
        """Whether an answer's headers name another allowance than those of the other routes."""
        if not budgets:
            return False
        signature = frozenset((budget.name, budget.limit) for budget in budgets)
        before, times = self._told.get(route, (signature, 0))
        self._told[route] = signature, times + 1 if signature == before else 1
        others = [one for other, (one, _) in self._told.items() if other != route]
        return bool(others) and signature not in others

    def is_told(self, route: str) -> bool:
        """Whether more than one answer said so: a single one may come from a cache."""
        return self._told[route][1] >= _TOLD

    def forget(self, route: str) -> None:
        """It is apart now."""
        self._told.pop(route, None)
        self._begin()

    def _begin(self) -> None:
        self._left.clear()
        self._refused.clear()
        self._between.clear()
