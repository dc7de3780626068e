"""A pipeline file from a curl command, as browsers and documentation give it."""

from __future__ import annotations

import base64
import binascii
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlsplit, urlunsplit

from fetchcast.errors import ConfigError
from fetchcast.plan.adopt import Adopted
from fetchcast.plan.adopt.address import Address, param_values, take_apart
from fetchcast.plan.adopt.secrets import is_secret, placeholder, variable

_WITH_VALUE = {
    "X": "request", "H": "header", "d": "data", "u": "user", "b": "cookie", "A": "user-agent",
    "e": "referer", "F": "form", "o": "output", "m": "max-time", "x": "proxy", "c": "cookie-jar",
    "T": "upload-file", "w": "write-out", "E": "cert", "r": "range", "U": "proxy-user",
    "D": "dump-header", "K": "config", "y": "speed-time", "Y": "speed-limit", "z": "time-cond",
}  # fmt: skip
_LONG_WITH_VALUE = frozenset(_WITH_VALUE.values()) | {
    "data-raw", "data-binary", "data-ascii", "data-urlencode", "json", "url", "oauth2-bearer",
    "connect-timeout", "retry", "retry-delay", "retry-max-time", "max-redirs", "cacert", "key",
    "resolve", "interface", "form-string", "url-query", "limit-rate", "ciphers", "proto",
}  # fmt: skip
_REFUSED = {
    "form": "a multipart form",
    "form-string": "a multipart form",
    "upload-file": "an upload",
    "config": "options in another file",
}
_BROWSERS = re.compile(
    r"sec-.*|accept-encoding|accept-language|connection|host|content-length|origin|referer|dnt|"
    r"priority|te|upgrade-insecure-requests|cache-control|pragma|if-none-match|"
    r"if-modified-since|user-agent|x-requested-with|purpose"
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "0": "\0"}
_GRAPHQL = re.compile(r"\s*(query|mutation|subscription|fragment|\{)")


@dataclass(slots=True)
class _Command:
    """The options of the command that matter."""

    url: str = ""
    method: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    is_json: bool = False
    get: bool = False
    user: str | None = None
    bearer: str | None = None
    cookie: str | None = None
    notes: list[str] = field(default_factory=list)


def adopt_curl(command: str) -> Adopted:
    """The pipeline file for the call that ``command`` makes.

    Raises:
        ConfigError: If it is no curl command, or sends what a pipeline cannot send.
    """
    read = _read(command)
    if read.get and read.data:
        _data_to_query(read)
    address = take_apart(read.url)
    return _Adoption(read, address).adopt()


def adopt_call(url: str, headers: Sequence[str] = ()) -> Adopted:
    """The pipeline file for a GET of ``url`` with ``headers``, each ``Name: value``.

    Raises:
        ConfigError: If ``url`` is not an address.
    """
    read = _Command(url=url, headers=[_header(text) for text in headers])
    return _Adoption(read, take_apart(url)).adopt()


# Reading the command line.


def _read(command: str) -> _Command:
    words = _split(command)
    if not words or words[0].rpartition("/")[2] not in {"curl", "curl.exe"}:
        raise ConfigError("curl", _first(command), "a command that begins with `curl`")
    read = _Command()
    for name, value in _options(words[1:]):
        _take(read, name, value)
    if not read.url:
        raise ConfigError("curl", _first(command), "an address in the command")
    if "://" not in read.url:
        read.url = f"https://{read.url}"
    return read


def _first(command: str) -> str:
    """What of ``command`` may be shown: a secret may be anywhere behind it."""
    return next(iter(command.split()), "")[:30]


def _split(command: str) -> list[str]:
    """The words of ``command`` as a shell sees them, with bash's ``$'...'`` in it."""
    text = re.sub(r"(?:\\|\^)\r?\n", " ", command.strip())  # Windows continues a line with ^.
    text = re.sub(r"\$'((?:[^'\\]|\\.)*)'", lambda found: shlex.quote(_unescaped(found[1])), text)
    try:
        return shlex.split(text.removeprefix("$ "))
    except ValueError as error:
        raise ConfigError("curl", _first(command), f"a whole command ({error})") from None


def _unescaped(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        if found[1][0] in "ux":
            return chr(int(found[1][1:], 16))
        return _ESCAPES.get(found[1], found[0])

    return re.sub(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", one, text)


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Long name -> value, whatever way the option was written; ``url`` for what is no option."""
    waiting = iter(words)
    for word in waiting:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if name in _LONG_WITH_VALUE and not equals:
                value = next(waiting, "")
            yield name, value
        elif word.startswith("-") and len(word) > 1:
            yield from _short(word[1:], waiting)
        else:
            yield "url", word


def _short(letters: str, waiting: Iterator[str]) -> Iterator[tuple[str, str]]:
    for place, letter in enumerate(letters):
        if letter in _WITH_VALUE:
            yield _WITH_VALUE[letter], letters[place + 1 :] or next(waiting, "")
            return
        names = {"G": "get", "I": "head", "k": "insecure"}
        yield names.get(letter, ""), ""


def _take(read: _Command, name: str, value: str) -> None:
    if name in _REFUSED:
        raise ConfigError("curl", f"--{name}", f"no {_REFUSED[name]}: it cannot be sent")
    takers: Mapping[str, Callable[[], object]] = {
        "url": lambda: setattr(read, "url", read.url or value),
        "request": lambda: setattr(read, "method", value.upper()),
        "head": lambda: setattr(read, "method", "HEAD"),
        "get": lambda: setattr(read, "get", True),
        "header": lambda: read.headers.append(_header(value)),
        "user": lambda: setattr(read, "user", value),
        "oauth2-bearer": lambda: setattr(read, "bearer", value),
        "cookie": lambda: setattr(read, "cookie", value),
        "insecure": lambda: read.notes.append("-k is left out: [http] verify = false, if you must"),
        "proxy": lambda: read.notes.append("-x is left out: see [http] proxy"),
    }
    if name in takers:
        takers[name]()
    elif name.startswith("data") or name == "json":
        _take_data(read, name, value)


def _take_data(read: _Command, name: str, value: str) -> None:
    if name == "data-urlencode":
        key, equals, text = value.partition("=")
        value = f"{key}={quote_plus(text)}" if equals and key else quote_plus(text or key)
    elif value.startswith("@") and name != "data-raw":
        raise ConfigError(f"curl --{name}", value, "the text itself: files are not read")
    read.is_json |= name == "json"
    read.data.append(value)


def _header(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name.strip(), value.strip()


def _data_to_query(read: _Command) -> None:
    if read.is_json:
        raise ConfigError("curl", "-G", "no JSON beside it: -G puts the data into the address")
    parts = urlsplit(read.url)
    query = "&".join([*([parts.query] if parts.query else []), *read.data])
    read.url, read.data = urlunsplit(parts._replace(query=query)), []


# Making the file.


class _Adoption:
    """One command on its way into a file."""

    def __init__(self, read: _Command, address: Address) -> None:
        self._read, self._address = read, address
        self._headers: dict[str, str] = {}
        read.notes += [f"{name} is left out: a second key" for name in address.left_out]
        self._secrets = list(address.secrets)
        self._auth: dict[str, Any] = dict(address.auth)

    def adopt(self) -> Adopted:
        self._credentials()
        for name, value in self._read.headers:
            self._header(name, value)
        if self._read.cookie is not None:
            self._headers["Cookie"] = self._secret("cookie")
        api: dict[str, Any] = {"base_url": self._address.base_url}
        resource = self._resource()
        if self._headers:
            api["headers"] = self._headers
        if self._auth:
            api["auth"] = self._auth
        name = self._address.resource
        values, said = param_values(self._address)
        table: dict[str, Any] = {"from": name}
        if values:
            resource["params"] = values
            table["carry"] = {one: f"param:{one}" for one in values}
        return Adopted(
            document={"api": api, "resource": {name: resource}, "table": {name: table}},
            comments={("resource", name, "params", one): text for one, text in said.items()},
            notes=tuple(self._read.notes),
            secrets=self._needed(api, resource),
        )

    def _needed(self, *parts: object) -> tuple[str, ...]:
        """The variables that the file still names."""
        text = str(parts)
        return tuple(one for one in dict.fromkeys(self._secrets) if placeholder(one) in text)

    def _secret(self, *words: str) -> str:
        name = variable(self._address.host, *words)
        self._secrets.append(name)
        return placeholder(name)

    def _credentials(self) -> None:
        if self._read.bearer is not None:
            self._take_auth(self._bearer())
        elif self._read.user is not None:
            self._take_auth(self._basic())

    def _take_auth(self, auth: dict[str, Any]) -> None:
        """The way in; another that was found before it is named, because a file has one."""
        if self._auth:
            shown = self._auth.get("name", self._auth["type"])
            self._read.notes.append(f"{shown} is left out: {auth['type']} is the way in")
        self._auth = auth

    def _bearer(self) -> dict[str, Any]:
        return {"type": "bearer", "token": self._secret("token")}

    def _basic(self) -> dict[str, Any]:
        user, password = self._secret("user"), self._secret("password")
        return {"type": "basic", "user": user, "password": password}

    def _header(self, name: str, value: str) -> None:
        plain = name.lower()
        if plain == "authorization":
            self._authorization(value)
        elif plain == "cookie":
            self._headers["Cookie"] = self._secret("cookie")
        elif is_secret(name) and value:
            self._key(name)
        elif plain == "content-type":
            self._read.is_json |= "json" in value.lower()
            if not self._read.is_json and "x-www-form-urlencoded" not in value.lower():
                self._headers[name] = value
        elif not _BROWSERS.fullmatch(plain) and not (plain == "accept" and value == "*/*"):
            self._headers[name] = value

    def _authorization(self, value: str) -> None:
        scheme, _, given = value.partition(" ")
        if scheme.lower() == "bearer" and given:
            self._take_auth(self._bearer())
        elif scheme.lower() == "basic" and _is_basic(given):
            self._take_auth(self._basic())
        else:
            before = f"{scheme} " if given else ""
            self._headers["Authorization"] = before + self._secret("authorization")

    def _key(self, name: str) -> None:
        if self._auth:
            self._headers[name] = self._secret(name)
        else:
            key = self._secret("api", "key")
            self._auth = {"type": "api_key", "key": key, "name": name, "in": "header"}

    def _resource(self) -> dict[str, Any]:
        resource: dict[str, Any] = {"path": self._address.path}
        body = self._body()
        method = self._read.method or ("POST" if body else "GET")
        if method != ("POST" if body else "GET"):
            resource["method"] = method
        if self._address.query:
            resource["query"] = self._address.query
        return resource | body

    def _body(self) -> dict[str, Any]:
        if not self._read.data:
            return {}
        text = "&".join(self._read.data)
        value = _json(text) if self._read.is_json or text.lstrip()[:1] in {"{", "["} else None
        if self._read.is_json and value is None:
            raise ConfigError("curl", "the data", "JSON, as the command says")
        if isinstance(value, dict) and _GRAPHQL.match(str(value.get("query", ""))):
            return {"graphql": self._graphql(value)}
        if isinstance(value, dict) and not _has_null(value):
            return {"json": self._covered(value)}
        if value is not None:
            # TOML has no null, and a table is no list: the text goes as it is.
            self._headers.setdefault("Content-Type", "application/json")
            return {"body": json.dumps(self._covered(value), ensure_ascii=False)}
        pairs = parse_qsl(text, keep_blank_values=True)
        if pairs and len(dict(pairs)) == len(pairs) and "=" in text:
            return {"form": self._covered(dict(pairs))}
        return {"body": text}

    def _graphql(self, value: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {"query": value["query"]}
        variables = value.get("variables")
        if isinstance(variables, dict) and variables and not _has_null(variables):
            made["variables"] = self._covered(variables)
        return made

    def _covered(self, value: Any) -> Any:
        """``value`` without what a key says is a secret: the body of a call is kept with it."""
        if isinstance(value, list):
            return [self._covered(one) for one in value]
        if not isinstance(value, dict):
            return value
        for key, one in value.items():
            if isinstance(one, str) and one and is_secret(key):
                self._read.notes.append(
                    f"{key} is left out of the body, which is kept with the call: see "
                    '[api.auth], type = "login"'
                )
        return {
            key: self._covered(one)
            for key, one in value.items()
            if not (isinstance(one, str) and one and is_secret(key))
        }


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_null, value.values()))
    if isinstance(value, list):
        return any(map(_has_null, value))
    return value is None


def _is_basic(text: str) -> bool:
    try:
        return b":" in base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
