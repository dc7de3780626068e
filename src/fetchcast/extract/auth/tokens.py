"""Tokens that run out: asked for when one is needed, once for all calls that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from fetchcast.clock import Clock
from fetchcast.errors import CallError
from fetchcast.extract.auth.credentials import Home, Rejected, Signed, abroad
from fetchcast.extract.auth.secrets import Secrets
from fetchcast.extract.retry import RetryOptions, delay_s
from fetchcast.extract.rules import head
from fetchcast.extract.transport import fetch
from fetchcast.extract.transport_contract import Transport
from fetchcast.records import Answer, Request

_EARLY, _EARLIEST_S = 0.2, 30.0
"""A token is renewed when a fifth of its life is left, or thirty seconds of a long one."""
_UNKNOWN_LATE = 2
"""A call that so many good tokens did not help has no right to what it asks for."""
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_OK, _REDIRECT, _NOT_KNOWN = 200, 300, 401


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What was given."""

    value: str
    life_s: float | None
    """How long it is good from when it was asked for; None: until the API says otherwise."""

    def __repr__(self) -> str:
        return f"Token(life_s={self.life_s})"


class Giver(Protocol):
    """Where tokens come from."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What proves to the giver who we are."""

    def question(self) -> tuple[Request, Mapping[str, str]]:
        """The call that asks for one, and the headers to add to it."""

    def token(self, answer: Answer, now: float) -> Token:
        """The token in ``answer``; raises ValueError in words if there is none."""

    def added(self, token: str) -> Mapping[str, str]:
        """The headers that carry it."""


class Tokens:
    """Signs calls with the newest token, and sees to it that there is one.

    Args:
        giver: Whom to ask.
        transport: Over which; not that of the calls, which may be full.
        clock: Time and chance.
        retry: How stubborn to be.
        base_url: Whose calls the tokens are for.
        headers: Those of every call.
        secrets: What is secret in ``headers``.
    """

    def __init__(
        self,
        giver: Giver,
        *,
        transport: Transport,
        clock: Clock,
        retry: RetryOptions,
        base_url: str,
        headers: Mapping[str, str],
        secrets: tuple[str, ...],
    ) -> None:
        self._giver, self._transport, self._clock, self._retry = giver, transport, clock, retry
        self._headers, self._secrets = headers, (*secrets, *giver.secrets)
        self._home, self._abroad = Home(base_url), abroad(headers)
        self._hiding = Secrets(self._secrets)
        self._signed: Signed | None = None
        self._renew_at = self._good_until = float("-inf")
        self._renewal: asyncio.Task[None] | None = None
        self._broken = False
        self._changed: Callable[[str | None], None] = lambda _: None
        self.renewals = 0
        """Tokens that were given, the first included."""

    def sign(self, request: Request, lane: int) -> Signed | None:
        """See `fetchcast.extract.auth.credentials.Credentials`."""
        del lane
        if not self._home.has(request.url):
            return self._abroad
        now = self._clock.monotonic()
        if now >= self._renew_at:
            self._renew()
        return self._signed if now < self._good_until else None

    def rejected(self, signed: Signed, status: int, times: int) -> Rejected:
        """Renew what the API does not know any more."""
        if signed is self._abroad:
            return Rejected.FINAL
        current = signed is self._signed and self._clock.monotonic() < self._good_until
        if not current:
            return Rejected.STALE  # It ran out on the way; the next one is there or on its way.
        if status != _NOT_KNOWN or times >= _UNKNOWN_LATE:
            return Rejected.FINAL
        self._good_until = float("-inf")
        self._renew()
        return Rejected.RENEWED

    def watch(self, changed: Callable[[str | None], None]) -> None:
        """See `fetchcast.extract.auth.credentials.Credentials`."""
        self._changed = changed

    async def close(self) -> None:
        """Ask for no more."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal])

    def _renew(self) -> None:
        """Begin to ask for a token, unless that is under way."""
        if self._broken or (self._renewal is not None and not self._renewal.done()):
            return
        self._renewal = asyncio.ensure_future(self._ask())
        self._renewal.add_done_callback(self._ended)

    def _ended(self, renewal: asyncio.Task[None]) -> None:
        """Nobody awaits a renewal: what went wrong in it is told here."""
        if not renewal.cancelled() and (error := renewal.exception()) is not None:
            self._broken = True
            self._changed(f"asking for a token ended with {error!r}; this is a bug")

    async def _ask(self) -> None:
        """Ask until there is a token or no hope."""
        attempt = 0
        while True:
            asked_at = self._clock.monotonic()
            token, why, asked_s = await self._asked()
            if token is not None:
                self._take(token, asked_at)
                self._changed(None)
                return
            attempt += 1
            wait_s = delay_s(
                self._retry, attempt=attempt, jitter=self._clock.jitter(), asked_s=asked_s
            )
            if asked_s is None or wait_s is None:
                self._broken = True
                self._changed(self._hiding.hide(why))
                return
            await self._clock.sleep(wait_s)

    async def _asked(self) -> tuple[Token | None, str, float | None]:
        """A token; or why there is none, and after how long to ask again (None: never)."""
        request, headers = self._giver.question()
        where = f"no token from {request.url}"
        try:
            answer = await fetch(self._transport, request, headers)
        except CallError as error:
            return None, f"{where}: {error.args[-1]}", 0.0 if error.retryable else None
        if not _OK <= answer.status < _REDIRECT:
            said = f": {head(answer.body)}" if answer.body else ""
            again = _asked_s(answer) if answer.status in _AGAIN else None
            return None, f"{where}: HTTP {answer.status}{said}", again
        try:
            return self._giver.token(answer, self._clock.now()), "", None
        except ValueError as error:
            return None, f"{where}: {error}", None

    def _take(self, token: Token, asked_at: float) -> None:
        secrets = Secrets((*self._secrets, token.value))
        added = self._giver.added(token.value)
        mine = {name.lower() for name in added}
        headers = {n: v for n, v in self._headers.items() if n.lower() not in mine}
        self._signed = Signed(headers={**headers, **added}, secrets=secrets or None)
        life_s = float("inf") if token.life_s is None else token.life_s
        self._good_until = asked_at + life_s
        self._renew_at = self._good_until
        if token.life_s is not None:
            self._renew_at -= min(_EARLY * token.life_s, _EARLIEST_S)
        self.renewals += 1


def _asked_s(answer: Answer) -> float:
    text = answer.headers.get("retry-after", "").strip()
    return float(text) if text.isdecimal() else 0.0
