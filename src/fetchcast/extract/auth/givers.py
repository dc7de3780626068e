"""Who gives tokens, and how each is asked: an OAuth 2 endpoint, or a log-in. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote_plus, urlencode

import msgspec

from fetchcast.extract.auth.options import ClientCredentials, Login, packed
from fetchcast.extract.auth.tokens import Token
from fetchcast.json_path import parse_path, value_at
from fetchcast.records import Answer, Request

_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
_MOMENT = 1e9
"""A larger number of seconds is a moment since 1970, not a length of time."""
_SECRET_WORDS = ("pass", "pwd", "secret", "token", "key", "pin")


class OAuth:
    """Asks an OAuth 2 endpoint, with id and secret of a client (RFC 6749, section 4.4)."""

    def __init__(self, options: ClientCredentials) -> None:
        self._options = options
        self._packed = packed(quote_plus(options.client_id), quote_plus(options.client_secret))
        self.secrets = (options.client_secret, self._packed)

    def question(self) -> tuple[Request, Mapping[str, str]]:
        """See `fetchcast.extract.auth.tokens.Giver`."""
        options = self._options
        form = {"grant_type": "client_credentials"}
        form |= {} if options.scope is None else {"scope": options.scope}
        form |= {} if options.audience is None else {"audience": options.audience}
        headers = dict(_FORM)
        if options.send == "header":
            headers["Authorization"] = f"Basic {self._packed}"
        else:
            form |= {"client_id": options.client_id, "client_secret": options.client_secret}
        return _call("POST", options.token_url, urlencode(form).encode()), headers

    def token(self, answer: Answer, now: float) -> Token:
        """See `fetchcast.extract.auth.tokens.Giver`."""
        del now
        document = _document(answer)
        token = document.get("access_token") if isinstance(document, dict) else None
        if not isinstance(token, str) or not token:
            raise ValueError("the answer has no access_token")
        return Token(value=_one_line(token), life_s=_seconds(document.get("expires_in")))

    def added(self, token: str) -> Mapping[str, str]:
        """See `fetchcast.extract.auth.tokens.Giver`."""
        return {"Authorization": f"Bearer {token}"}


class LogIn:
    """Asks with whatever the API wants for a log-in."""

    def __init__(self, options: Login, base_url: str) -> None:
        self._options = options
        whole = "://" in options.path
        self._url = options.path if whole else f"{base_url.rstrip('/')}/{options.path.lstrip('/')}"
        self.secrets = tuple(_secrets(options.json or options.form or {}))

    def question(self) -> tuple[Request, Mapping[str, str]]:
        """See `fetchcast.extract.auth.tokens.Giver`."""
        options = self._options
        if options.form is not None:
            return _call(options.method, self._url, urlencode(options.form).encode()), _FORM
        if options.json is not None:
            return _call(options.method, self._url, msgspec.json.encode(options.json)), _JSON
        body = None if options.method == "GET" else b""
        return _call(options.method, self._url, body), {"Accept": "application/json"}

    def token(self, answer: Answer, now: float) -> Token:
        """See `fetchcast.extract.auth.tokens.Giver`."""
        token = _found(answer, self._options.token)
        if not isinstance(token, str | int) or isinstance(token, bool) or token == "":
            raise ValueError(f"the answer has nothing at token = {self._options.token!r}")
        expires = self._options.expires
        said = None if expires is None else _found(answer, expires)
        return Token(value=_one_line(str(token)), life_s=_life(said, now))

    def added(self, token: str) -> Mapping[str, str]:
        """See `fetchcast.extract.auth.tokens.Giver`."""
        return {self._options.name: f"{self._options.prefix}{token}"}


def _call(method: str, url: str, body: bytes | None) -> Request:
    # It is never planned and never lands, so that it needs no key and may hold a secret.
    return Request(key="", resource="", url=url, method=method, body=body)


def _document(answer: Answer) -> Any:
    try:
        return msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("the answer is not JSON") from None


def _found(answer: Answer, place: str) -> Any:
    kind, colon, name = place.partition(":")
    if colon and kind == "header":
        return answer.headers.get(name.lower())
    if colon and kind == "cookie":
        return _cookie(answer.headers.get("set-cookie", ""), name)
    return value_at(_document(answer), parse_path(place))


def _cookie(header: str, name: str) -> str | None:
    for start in header.split(", "):  # Several are joined; a comma in a date begins no name=value.
        try:
            found = SimpleCookie(start).get(name)
        except CookieError:
            continue
        if found is not None:
            return found.value
    return None


def _one_line(token: str) -> str:
    if not token.isprintable():
        raise ValueError("the token has a line break or another control character in it")
    return token


def _seconds(said: Any) -> float | None:
    """A length of time; texts are numbers in many APIs. None: not said."""
    try:
        seconds = float(said)
    except (TypeError, ValueError):
        return None
    return seconds if 0 < seconds < float("inf") else None


def _life(said: Any, now: float) -> float | None:
    seconds = _seconds(said)
    if seconds is None:
        if not isinstance(said, str):
            return None
        try:
            moment = datetime.fromisoformat(said)
        except ValueError:
            return None
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, zoned.timestamp() - now) or None
    if seconds < _MOMENT:
        return seconds
    seconds = seconds / 1000 if seconds > 1000 * _MOMENT else seconds
    return max(0.0, seconds - now) or None


def _secrets(sent: Any, name: str = "") -> Iterator[str]:
    """The values in a log-in that prove something, by the words they stand under."""
    if isinstance(sent, Mapping):
        for key, value in sent.items():
            yield from _secrets(value, key)
    elif isinstance(sent, list):
        for value in sent:
            yield from _secrets(value, name)
    elif isinstance(sent, str) and any(word in name.lower() for word in _SECRET_WORDS):
        yield sent
