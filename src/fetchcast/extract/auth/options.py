"""What ``[api.auth]`` may say: one struct for each type. Their texts may be secret: none is shown.

A secret comes from the environment or ``.env`` as ``${NAME}``, or from a file of its own as
``{ file = "token.txt" }``; `fetchcast.config` puts it in before these are made.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from fetchcast.errors import ConfigError, WrongTable
from fetchcast.extract.pace.options import Quota
from fetchcast.json_path import EVERY, parse_path


class _Kind(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"
):
    """What all types have in common: nobody sees what is in them."""

    SECRET: ClassVar[tuple[str, ...]] = ()
    """The keys that must not be written into the file itself."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"


class Bearer(_Kind, frozen=True, kw_only=True, tag="bearer"):
    """``Authorization: Bearer TOKEN``; a list of tokens is used in turn."""

    SECRET: ClassVar[tuple[str, ...]] = ("token",)
    token: str | list[str]
    """The token, or several."""
    quota: Quota | None = None
    """Calls that each token may make in a period."""

    def __post_init__(self) -> None:
        """Refuse what is no token."""
        _check_each("token", self.token)


class ApiKey(_Kind, frozen=True, kw_only=True, tag="api_key", rename={"place": "in"}):
    """A key in a header, in the address, or in a cookie; a list of keys is used in turn."""

    SECRET: ClassVar[tuple[str, ...]] = ("key",)
    key: str | list[str]
    """The key, or several."""
    name: str = "X-Api-Key"
    """What the header, the parameter of the address, or the cookie is called."""
    place: Literal["header", "query", "cookie"] = "header"
    """Where the key is put."""
    quota: Quota | None = None
    """Calls that each key may make in a period."""

    def __post_init__(self) -> None:
        """Refuse what is no key."""
        _check_each("key", self.key)
        if not self.name or not self.name.isprintable() or set(self.name) & set(" :;,&=?#"):
            raise ConfigError("name", self.name, "the name of a header, parameter or cookie")


class Basic(_Kind, frozen=True, kw_only=True, tag="basic"):
    """User and password, as HTTP has them since its beginnings."""

    SECRET: ClassVar[tuple[str, ...]] = ("password",)
    user: str
    """The user; some APIs want a key here, and an empty password."""
    password: str = ""
    """The password."""
    quota: Quota | None = None
    """Calls that the user may make in a period."""

    def __post_init__(self) -> None:
        """Refuse a user that cannot be told from the password."""
        _check_one_line("user", self.user)
        if ":" in self.user:
            raise WrongTable("user", "it has a colon in it, which ends the user's name")
        if self.password:
            _check_one_line("password", self.password)

    @property
    def packed(self) -> str:
        """Both as they go over the wire."""
        return packed(self.user, self.password)


class ClientCredentials(_Kind, frozen=True, kw_only=True, tag="oauth2_client_credentials"):
    """OAuth 2, for programs: a token for an id and a secret, renewed before it runs out."""

    SECRET: ClassVar[tuple[str, ...]] = ("client_secret",)
    token_url: str
    """Where tokens are given."""
    client_id: str
    """Who asks."""
    client_secret: str
    """What proves it."""
    scope: str | None = None
    """What the token is to be good for; several words with blanks between them."""
    audience: str | None = None
    """Which API the token is for, where the giver wants to know."""
    send: Literal["header", "body"] = "header"
    """How id and secret are sent: as basic authentication, or in the form."""
    quota: Quota | None = None
    """Calls that the client may make in a period."""

    def __post_init__(self) -> None:
        """Refuse what is no address and no client."""
        _check_address("token_url", self.token_url)
        _check_one_line("client_id", self.client_id)
        _check_one_line("client_secret", self.client_secret)


class Login(_Kind, frozen=True, kw_only=True, tag="login"):
    """A token from a call of its own: the log-in."""

    SECRET: ClassVar[tuple[str, ...]] = ()
    path: str
    """Where to log in: a path behind ``base_url``, or a whole address."""
    method: Literal["POST", "GET", "PUT"] = "POST"
    """How."""
    json: dict[str, Any] | None = None
    """What is sent, as JSON."""
    form: dict[str, str] | None = None
    """What is sent, as a form."""
    token: str
    """Where the token is in the answer: a path such as ``data.token``, ``header:NAME`` or
    ``cookie:NAME``."""
    expires: str | None = None
    """Where the answer says how long the token is good: seconds, a moment in seconds since 1970,
    or a date and time. None: until the API says 401."""
    name: str = "Authorization"
    """The header that the token is sent in."""
    prefix: str = "Bearer "
    """What stands before it there."""
    quota: Quota | None = None
    """Calls that one log-in may make in a period."""

    def __post_init__(self) -> None:
        """Refuse paths that cannot be read."""
        if self.json is not None and self.form is not None:
            raise WrongTable("form", "there is json already; a call has one body")
        if "://" in self.path:
            _check_address("path", self.path)
        _check_place("token", self.token)
        if self.expires is not None:
            _check_place("expires", self.expires)
        _check_one_line("name", self.name)


AuthOptions: TypeAlias = Bearer | ApiKey | Basic | ClientCredentials | Login


def packed(user: str, password: str) -> str:
    """``user:password`` in base64."""
    return b64encode(f"{user}:{password}".encode()).decode("ascii")


def as_list(secret: str | list[str]) -> list[str]:
    """One or several, as several."""
    return [secret] if isinstance(secret, str) else secret


def literal_secret(kind: str, raw: Mapping[str, Any]) -> str | None:
    """The first key of ``raw``, an ``[api.auth]`` as it is in the file, with a secret in clear."""
    found = _BY_TAG.get(kind)
    names = () if found is None else found.SECRET
    if found is Basic and not raw.get("password"):
        names = ("user",)
    for name in names:
        if any(isinstance(one, str) and "${" not in one for one in _listed(raw.get(name))):
            return name
    return None


def add_secret_files(definitions: dict[str, Any]) -> None:
    """Let ``{ file = "NAME" }`` stand for a secret in ``definitions``, those of a JSON Schema.

    These structs are made when the file was read already, and know nothing of it.
    """
    file = {
        "type": "object",
        "properties": {"file": {"type": "string"}},
        "required": ["file"],
        "additionalProperties": False,
    }
    for kind in _BY_TAG.values():
        known = definitions[kind.__name__]["properties"]
        for name in (*kind.SECRET, *(["user"] if kind is Basic else [])):
            known[name] = {"anyOf": [_or_in_files(known[name], file), file]}


_BY_TAG: dict[str, type[_Kind]] = {
    "bearer": Bearer,
    "api_key": ApiKey,
    "basic": Basic,
    "oauth2_client_credentials": ClientCredentials,
    "login": Login,
}


def _or_in_files(said: dict[str, Any], file: dict[str, Any]) -> dict[str, Any]:
    """``said`` with ``file`` allowed in its lists too."""
    if "anyOf" in said:
        return {**said, "anyOf": [_or_in_files(one, file) for one in said["anyOf"]]}
    if said.get("type") == "array":
        return {**said, "items": {"anyOf": [said["items"], file]}}
    return said


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _check_each(key: str, secret: str | list[str]) -> None:
    secrets = as_list(secret)
    if not secrets:
        raise WrongTable(key, "an empty list; one is needed at least")
    for one in secrets:
        _check_one_line(key, one)
    if len(set(secrets)) < len(secrets):
        raise WrongTable(key, "the same one comes twice in the list")


def _check_one_line(key: str, text: str) -> None:
    if not text.strip():
        raise WrongTable(key, "it is empty; is the variable or the file that it comes from?")
    if not text.isprintable():
        raise WrongTable(key, "it has a line break or another control character in it")


def _check_address(key: str, text: str) -> None:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise WrongTable(key, "expected http:// or https:// and a host, without user and password")


def _check_place(key: str, text: str) -> None:
    kind, colon, name = text.partition(":")
    if colon and kind in {"header", "cookie"} and name:
        return
    try:
        steps = parse_path(text)
    except ValueError as error:
        raise ConfigError(key, text, str(error)) from None
    if not steps or EVERY in steps:
        raise ConfigError(key, text, "a path to one value: data.token, header:NAME or cookie:NAME")
