"""An OAuth2 token endpoint and the guard before what needs its tokens; for `running_api`.

tokens = TokenServer(client_id="me", client_secret="s3cret", expires_in_s=1.0)
routes = {"POST /token": tokens.grant, "/items": tokens.guarded(Reply(body=b"[]"))}
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from urllib.parse import parse_qsl, unquote_plus

from fetchcast.testing.api import Asked
from fetchcast.testing.reply import Reply, json_reply


class TokenServer:
    """Gives tokens for client credentials, in a form body or as basic authentication."""

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        expires_in_s: float = 3600.0,
        delay_s: float = 0.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know one client.

        Args:
            client_id: Whose secret is ``client_secret``.
            client_secret: What the client must show.
            expires_in_s: How long a token is good; the answer says so, in whole seconds.
            delay_s: How long a grant takes.
            now: The clock by which tokens expire, in seconds.
        """
        self._client = (client_id, client_secret)
        self._expires_in_s, self._delay_s, self._now = expires_in_s, delay_s, now
        self._good_until: dict[str, float] = {}
        self._granting = 0
        self.granted = 0
        """Tokens given out."""
        self.peak = 0
        """The most grants that were under way at one time; 1 if the client renews but once."""
        self.turned_away = 0
        """Guarded calls without a good token."""

    async def grant(self, asked: Asked) -> Reply:
        """Answer ``POST /token``: a new token, or why not."""
        self._granting += 1
        self.peak = max(self.peak, self._granting)
        try:
            await asyncio.sleep(self._delay_s)
            return self._granted(asked)
        finally:
            self._granting -= 1

    def guarded(
        self, says: Reply | Callable[[Asked], Reply | Awaitable[Reply]]
    ) -> Callable[[Asked], Awaitable[Reply]]:
        """What is said to callers with a good token; the others get 401."""

        async def guard(asked: Asked) -> Reply:
            kind, _, token = asked.headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or self._good_until.get(token, 0.0) <= self._now():
                self.turned_away += 1
                challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
                return json_reply({"error": "invalid_token"}, 401, challenge)
            said = says(asked) if callable(says) else says
            return await said if isawaitable(said) else said

        return guard

    def revoke(self) -> None:
        """Make every token that was given out so far worthless."""
        self._good_until.clear()

    def _granted(self, asked: Asked) -> Reply:
        form = dict(parse_qsl(asked.body.decode()))
        if form.get("grant_type") != "client_credentials":
            return json_reply({"error": "unsupported_grant_type"}, 400)
        if _credentials(asked, form) != self._client:
            return json_reply({"error": "invalid_client"}, 401, {"WWW-Authenticate": "Basic"})
        self.granted += 1
        token = f"token-{self.granted}"
        self._good_until[token] = self._now() + self._expires_in_s
        value = {"access_token": token, "token_type": "Bearer"}
        return json_reply({**value, "expires_in": int(self._expires_in_s)})


def _credentials(asked: Asked, form: dict[str, str]) -> tuple[str, str]:
    kind, _, packed = asked.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        name, _, secret = b64decode(packed).decode().partition(":")
    except (NotBase64, UnicodeDecodeError):
        return "", ""
    return unquote_plus(name), unquote_plus(secret)
