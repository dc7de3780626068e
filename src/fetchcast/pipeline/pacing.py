"""The pace of a run: one for the API, or one for each of several keys; and what it remembers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec

from fetchcast.config import Pipeline
from fetchcast.extract.auth.opening import lane_ids
from fetchcast.extract.lease import Keys
from fetchcast.extract.pace import Lanes, Learnt, Pace, Routes
from fetchcast.landing.writer import Writer

AnyPace: TypeAlias = Pace | Lanes | Routes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """A pace, and under which names the landing keeps what it learns."""

    pace: AnyPace
    scopes: tuple[str, ...]
    """One for each key."""
    total: str
    """That of your own quota, where there are several keys."""
    memory: Learnt | None = None
    """What earlier runs learnt, where there is one key."""
    keys: Keys | None = None
    """What they learnt of each, where there are several or they have a quota."""

    def remember(self, writer: Writer, wall: float) -> None:
        """Leave what was learnt to the next run."""
        if isinstance(self.pace, Routes):
            for route, learnt in self.pace.learnt_apart(wall).items():
                writer.remember(_route(self.scopes[0], route), msgspec.to_builtins(learnt))
        if isinstance(self.pace, Pace | Routes):
            writer.remember(self.scopes[0], msgspec.to_builtins(self.pace.learnt(wall)))
            return
        self.remember_told(writer, self.pace.learnt(wall), self.pace.counted(wall))

    def remember_told(
        self, writer: Writer, learnt: Sequence[Learnt], counted: Learnt | None
    ) -> None:
        """The same, where it was learnt elsewhere: of each key, and of all together."""
        for scope, one in zip(self.scopes, learnt, strict=True):
            writer.remember(scope, msgspec.to_builtins(one))
        if counted is not None:
            writer.remember(self.total, msgspec.to_builtins(counted))


def open_pacing(pipeline: Pipeline, writer: Writer, *, wall: float) -> Pacing:
    """The pace of ``pipeline``, with what earlier runs learnt."""
    auth = pipeline.api.auth
    place = _place(pipeline.api.base_url)
    names = scopes(pipeline)
    total = f"pace {place} all keys"
    quota = None if auth is None else auth.quota
    most = pipeline.http.max_connections
    memory, keys = _recalled(writer, names[0]), None
    own = {name: one.limits for name, one in pipeline.resource.items() if one.limits is not None}
    if quota is None and len(names) == 1 and len(pipeline.resource) == 1 and not own:
        pace: AnyPace = Pace(pipeline.limits, memory=memory, max_connections=most, wall=wall)
    elif quota is None and len(names) == 1:
        apart = {name: _recalled(writer, _route(names[0], name)) for name in pipeline.resource}
        pace = Routes(
            pipeline.limits,
            own=own,
            memory=memory,
            memories={name: learnt for name, learnt in apart.items() if learnt is not None},
            max_connections=most,
            wall=wall,
        )
    else:
        keys = Keys(
            quota=quota,
            memories=[_recalled(writer, scope) for scope in names],
            total=_recalled(writer, total),
        )
        pace = Lanes(
            pipeline.limits,
            quota=quota,
            memories=keys.memories,
            total=keys.total,
            max_connections=most,
            wall=wall,
        )
    return Pacing(pace=pace, scopes=names, total=total, memory=memory, keys=keys)


def scopes(pipeline: Pipeline) -> tuple[str, ...]:
    """What each pace belongs to: scheme, host, port, and the credential."""
    place = _place(pipeline.api.base_url)
    # A key is remembered by a digest: what an API allows, it allows to whom it knows.
    return tuple(f"pace {place} {name}".rstrip() for name in lane_ids(pipeline.api.auth))


def _route(scope: str, route: str) -> str:
    return f"{scope} route {route}"


def _recalled(writer: Writer, scope: str) -> Learnt | None:
    memory = writer.recall(scope)
    return msgspec.convert(memory.value, Learnt) if memory else None


def _place(base_url: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
