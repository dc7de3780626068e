"""Credentials that are known from the start: tokens, keys, user and password; one or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from urllib.parse import quote

from fetchcast.extract.auth.credentials import Home, Rejected, Signed, abroad
from fetchcast.extract.auth.options import ApiKey, Basic, Bearer, as_list
from fetchcast.extract.auth.secrets import Secrets
from fetchcast.records import Request

_COOKIE = "Cookie"


class Keys:
    """Signs with the key of the lane that the limiter chose.

    Args:
        signed: What each key adds, in the order of the lanes.
        base_url: Whose calls they are for.
        headers: Those of every call, for what goes elsewhere.
    """

    def __init__(self, signed: list[Signed], *, base_url: str, headers: Mapping[str, str]) -> None:
        self._signed, self._home, self._abroad = signed, Home(base_url), abroad(headers)

    def sign(self, request: Request, lane: int) -> Signed | None:
        """See `fetchcast.extract.auth.credentials.Credentials`."""
        return self._signed[lane] if self._home.has(request.url) else self._abroad

    def rejected(self, signed: Signed, status: int, times: int) -> Rejected:
        """Each key may be tried once."""
        del status, signed
        return Rejected.OTHER_KEY if times + 1 < len(self._signed) else Rejected.FINAL

    def watch(self, changed: Callable[[str | None], None]) -> None:
        """Nothing ever changes."""


def signatures(
    options: Bearer | ApiKey | Basic, headers: Mapping[str, str], secrets: tuple[str, ...]
) -> list[Signed]:
    """What each key of ``options`` adds to a call, ``headers`` of every call included.

    Args:
        options: The keys.
        headers: Those of every call.
        secrets: What is secret in ``headers``.
    """
    return [_signed(options, key, lane, headers, secrets) for lane, key in enumerate(keys(options))]


def keys(options: Bearer | ApiKey | Basic) -> list[str]:
    """The keys themselves, in the order of their lanes."""
    match options:
        case Bearer():
            return as_list(options.token)
        case ApiKey():
            return as_list(options.key)
        case Basic():
            return [options.packed]


def key_id(key: str) -> str:
    """A name for what is remembered about a key, from which the key cannot be read."""
    return blake2b(key.encode(), digest_size=8, person=b"fetchcast key").hexdigest()


def _signed(
    options: Bearer | ApiKey | Basic,
    key: str,
    lane: int,
    headers: Mapping[str, str],
    secrets: tuple[str, ...],
) -> Signed:
    added, query = _added(options, key, headers)
    hidden = [*secrets, key]
    if isinstance(options, Basic):
        hidden += [options.password, options.user] if not options.password else [options.password]
    merged = {n: v for n, v in headers.items() if n.lower() not in {a.lower() for a in added}}
    return Signed(headers=merged | added, query=query, lane=lane, secrets=Secrets(hidden) or None)


def _added(
    options: Bearer | ApiKey | Basic, key: str, headers: Mapping[str, str]
) -> tuple[dict[str, str], str]:
    """Headers and parameter that carry ``key``."""
    if isinstance(options, Bearer):
        return {"Authorization": f"Bearer {key}"}, ""
    if isinstance(options, Basic):
        return {"Authorization": f"Basic {key}"}, ""
    if options.place == "query":
        return {}, f"{quote(options.name, safe='')}={quote(key, safe='')}"
    if options.place == "cookie":
        others = [value for name, value in headers.items() if name.lower() == _COOKIE.lower()]
        return {_COOKIE: "; ".join([*others, f"{options.name}={key}"])}, ""
    return {options.name: key}, ""
