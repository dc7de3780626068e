"""The security schemes of an OpenAPI document as ``[api.auth]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fetchcast.plan.adopt.address import is_address
from fetchcast.plan.adopt.document import as_dict
from fetchcast.plan.adopt.secrets import placeholder, variable


@dataclass(slots=True)
class Guard:
    """What a call must show, and the parameters that it shows it in."""

    auth: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)
    params: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def secret(self, host: str, *words: str) -> str:
        """``${NAME}`` of a new variable."""
        name = variable(host, *words)
        self.secrets.append(name)
        return placeholder(name)


def guard_of(wanted: list[Any], schemes: Mapping[str, Mapping[str, Any]], host: str) -> Guard:
    """The first of the ways that ``wanted`` offers which names a scheme; none if none is needed.

    Args:
        wanted: A ``security`` list: alternatives, each a dict of schemes that go together.
        schemes: The document's schemes by name.
        host: What the variables are called after.
    """
    guard = Guard()
    ways = [way for way in wanted if isinstance(way, dict)]
    if any(not way for way in ways):
        return guard  # It may be asked without.
    for name in next(iter(ways), {}):
        _add(guard, str(name), schemes.get(str(name), {}), host)
    return guard


def _add(guard: Guard, name: str, scheme: Mapping[str, Any], host: str) -> None:
    kind, how = str(scheme.get("type")), str(scheme.get("scheme", "")).lower()
    if kind == "apiKey":
        _add_key(guard, scheme, host)
    elif kind == "basic" or (kind == "http" and how == "basic"):
        user, password = guard.secret(host, "user"), guard.secret(host, "password")
        guard.auth = {"type": "basic", "user": user, "password": password}
    elif kind == "oauth2" and (flow := _client_flow(scheme)):
        guard.auth = _client_credentials(guard, flow, host)
    elif kind in {"oauth2", "openIdConnect"} or (kind == "http" and how in {"bearer", ""}):
        guard.auth = {"type": "bearer", "token": guard.secret(host, "token")}
    else:
        said = how or kind or "nothing that is known"
        guard.notes.append(f"security scheme {name!r} ({said}) is left out: see [api.auth]")


def _add_key(guard: Guard, scheme: Mapping[str, Any], host: str) -> None:
    name, place = str(scheme.get("name", "X-Api-Key")), str(scheme.get("in", "header"))
    guard.params.add(name)
    if guard.auth:  # A second key beside the first.
        if place == "header":
            guard.headers[name] = guard.secret(host, name)
        else:
            guard.notes.append(f"the second key {name!r} (in {place}) is left out")
        return
    key = guard.secret(host, "api", "key")
    guard.auth = {"type": "api_key", "key": key, "name": name, "in": place}


def _client_flow(scheme: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The client credentials flow of ``scheme``, as 2.0 or as 3.x writes it."""
    if scheme.get("flow") == "application":
        return scheme
    found = as_dict(scheme.get("flows")).get("clientCredentials")
    return found if isinstance(found, dict) else None


def _client_credentials(guard: Guard, flow: Mapping[str, Any], host: str) -> dict[str, Any]:
    url = str(flow.get("tokenUrl", ""))
    made: dict[str, Any] = {
        "type": "oauth2_client_credentials",
        "token_url": url if is_address(url) else guard.secret(host, "token", "url"),
        "client_id": guard.secret(host, "client", "id"),
        "client_secret": guard.secret(host, "client", "secret"),
    }
    if scopes := as_dict(flow.get("scopes")):
        made["scope"] = " ".join(map(str, scopes))
    return made
