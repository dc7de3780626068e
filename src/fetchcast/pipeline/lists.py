"""Lists that are asked again: what was a page of one and is none now has no rows any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from fetchcast.clock import Clock
from fetchcast.pipeline.follow import Follower
from fetchcast.plan.pagination import Chain
from fetchcast.records import Fate, Landed, Outcome, Request

Stored: TypeAlias = Callable[[Sequence[str]], Iterable[Landed]]
"""The newest answers to these keys, of those that are kept."""


class Keeping(Protocol):
    """What a `fetchcast.landing.writer.Writer` is needed for here."""

    def fates(self, keys: Sequence[str], since: float | None = None) -> Mapping[str, Fate]:
        """How these calls ended."""

    def by_keys(self, keys: Sequence[str]) -> Iterable[Landed]:
        """Their newest answers."""

    def take(self, outcome: Outcome) -> bool:
        """Keep the end of a call."""

    def remember(self, scope: str, value: Any) -> None:
        """Keep a value for later runs; None forgets it."""

    def recall(self, scope: str) -> Any:
        """What was kept, with a ``value``; None if nothing was."""


@dataclass(slots=True)
class Lists:
    """Knows which pages the lists had that are asked again.

    The first page of a list takes the place of the old one, and cursors on it name other pages:
    what the list was is read before. It is noted in the landing until the new list has come, for
    a run may be killed between the two. Where bodies are dropped, it stays noted: it cannot be
    read any more.
    """

    follower: Follower
    landing: Keeping
    clock: Clock
    drops: bool = False
    """Whether the landing drops bodies."""
    _before: dict[str, dict[str, Request]] = field(default_factory=dict)

    def begins(self, first: Request) -> None:
        """The list that begins with ``first`` is about to be asked again."""
        before = self._noted(first) | self.follower.listed(first, self.landing.by_keys)
        if len(before) > 1:
            self._before[first.key] = before
            self._note(first, before)

    def over(self, chain: Chain) -> list[str]:
        """All of a list has come; returns the keys of the calls that ended by that."""
        before = self._before.pop(chain.first.key, None) or self._noted(chain.first)
        if self.drops and len(now := chain.keys()) > 1:
            if before.keys() != set(now):
                self._note(chain.first, {key: _request(key, chain.first) for key in now})
        elif before:
            self.landing.remember(_scope(chain.first.key), None)
        if not before:
            return []
        gone = sorted(before.keys() - set(chain.keys()))
        fates = self.landing.fates(gone)
        withdrawn = [key for key in gone if fates.get(key) is Fate.LANDED]
        for key in withdrawn:
            self.landing.take(self._withdrawn(before[key]))
        return withdrawn

    def _note(self, first: Request, pages: Mapping[str, Request]) -> None:
        told = [[one.key, one.url, dict(one.params)] for one in pages.values()]
        self.landing.remember(_scope(first.key), told)

    def _noted(self, first: Request) -> dict[str, Request]:
        """What an earlier run has noted."""
        memory = self.landing.recall(_scope(first.key))
        return {
            key: Request(key=key, resource=first.resource, url=url, params=params)
            for key, url, params in (memory.value if memory else ())
        }

    def _withdrawn(self, request: Request) -> Outcome:
        return Outcome(
            request=request,
            fate=Fate.EMPTY,
            answer=None,
            attempts=0,
            reason="no page of its list any more",
            finished_at=self.clock.now(),
        )


def _request(key: str, first: Request) -> Request:
    """Of a page of which no more needs to be known than that it is one of the list."""
    return Request(key=key, resource=first.resource, url=first.url, params=first.params)


def _scope(key: str) -> str:
    return f"list {key}"
