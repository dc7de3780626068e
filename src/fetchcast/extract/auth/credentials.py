"""What the engine asks of credentials, and the simplest of them: headers that never change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol
from urllib.parse import urlsplit

from fetchcast.extract.addresses import origin
from fetchcast.extract.auth.secrets import Secrets
from fetchcast.records import Request

_HARMLESS = frozenset({"accept", "accept-language", "user-agent"})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Signed:
    """What is added to one call on the wire. One object serves all calls with the same key."""

    headers: Mapping[str, str]
    query: str = ""
    """``name=value``, encoded, added to the address; never part of `Request` or `Answer`."""
    lane: int = 0
    """Which of several keys it is."""
    secrets: Secrets | None = None
    """What the answer must not say back; None if there is nothing to hide."""


class Rejected(Enum):
    """What follows from an answer that says: I do not know you."""

    FINAL = auto()
    """It is as it is; the call failed."""
    RENEWED = auto()
    """The token in use is no good, a new one is on its way: again, at no cost."""
    STALE = auto()
    """The token had been given up since the call left: again, and it says nothing of the call."""
    OTHER_KEY = auto()
    """This key is no good; another one may be."""


class Credentials(Protocol):
    """Signs calls."""

    def sign(self, request: Request, lane: int) -> Signed | None:
        """What to add to ``request``; None: a token is on its way, ask again when told."""

    def rejected(self, signed: Signed, status: int, times: int) -> Rejected:
        """A call that left with ``signed`` was answered with 401, 402 or 403.

        Args:
            signed: What it left with.
            status: The answer's.
            times: How often the same call was the first to be answered so with a token.
        """

    def watch(self, changed: Callable[[str | None], None]) -> None:
        """Have ``changed`` called when `sign` may answer again: with None, or why it never will."""


class FixedHeaders:
    """Headers that are the same for every call of one API.

    Args:
        headers: What to add.
        base_url: Whose calls they are for; a call to another origin gets no more than the
            headers that say nothing about anybody. None: every call is for them.
        secrets: What in them is secret.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        *,
        base_url: str | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self._home = Home(base_url)
        self._signed = Signed(headers=headers, secrets=secrets or None)
        self._abroad = abroad(headers)

    def sign(self, request: Request, lane: int) -> Signed | None:
        """See `Credentials`."""
        del lane
        return self._signed if self._home.has(request.url) else self._abroad

    def rejected(self, signed: Signed, status: int, times: int) -> Rejected:
        """Nothing can be done about it."""
        del signed, status, times
        return Rejected.FINAL

    def watch(self, changed: Callable[[str | None], None]) -> None:
        """Nothing ever changes."""


def abroad(headers: Mapping[str, str]) -> Signed:
    """What of ``headers`` a call to another origin may take along."""
    return Signed(headers={k: v for k, v in headers.items() if k.lower() in _HARMLESS})


class Home:
    """The origin that credentials are for; a link in an answer may lead anywhere."""

    __slots__ = ("_origin", "_start")

    def __init__(self, base_url: str | None) -> None:
        # Nearly every URL begins as the base does, which is quick to see.
        self._start = ""
        self._origin = None if base_url is None else origin(base_url)
        if base_url is not None:
            parts = urlsplit(base_url)
            self._start = f"{parts.scheme}://{parts.netloc}/"

    def has(self, url: str) -> bool:
        """Whether ``url`` is of this origin."""
        if url.startswith(self._start):
            return True
        try:
            return origin(url) == self._origin
        except ValueError:
            return False
