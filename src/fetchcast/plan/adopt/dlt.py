"""A pipeline file from the configuration dict of dlt's ``rest_api`` source.

The dict is read, never executed: from JSON, from a Python literal, or out of a Python program,
whose text is parsed for it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fetchcast.errors import FileUnreadable
from fetchcast.plan.adopt import Adopted
from fetchcast.plan.adopt.document import as_dict, as_list, without_nulls
from fetchcast.plan.adopt.secrets import is_secret, placeholder, variable

_SECRET_CALL = re.compile(r"dlt\.(secrets|config)|os\.(environ|getenv)|getenv|environ")
_RESOLVED = re.compile(r"\{resources\.([A-Za-z0-9_]+)\.([^{}]+)\}")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")
_TYPES = {
    "bigint": "int64",
    "double": "float64",
    "decimal": "text",
    "text": "text",
    "bool": "bool",
    "timestamp": "timestamptz",
    "date": "date",
    "json": "json",
    "complex": "json",
}
_CONTRACTS = ("evolve", "freeze", "discard_row", "discard_value")
_IGNORED_KEYS = ("parallelized", "selected", "max_table_nesting", "table_format", "merge_key")


class _Code(ValueError):
    """Something that only running the program could tell; args: line, its text."""


def read_dlt(text: str, where: str) -> dict[str, Any]:
    """The configuration in ``text``: JSON, a Python dict, or a program with one in it.

    A secret that is looked up (``dlt.secrets[...]``, ``os.environ[...]``) becomes ``${NAME}``.

    Raises:
        FileUnreadable: If there is none, or a value in it is code.
    """
    try:
        read = json.loads(text)
    except ValueError:
        read = _read_python(text, where)
    if not isinstance(read, dict) or not {"client", "resources"} <= read.keys():
        problem = "holds no rest_api configuration: a dict with `client` and `resources`"
        raise FileUnreadable(where, problem)
    return read


def _read_python(text: str, where: str) -> Any:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise FileUnreadable(where, f"is neither JSON nor Python: {error}") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict) and {"client", "resources"} <= _keys(node):
            try:
                return _value(node)
            except _Code as code:
                line, shown = code.args
                problem = f"line {line}: {shown} is code, which is not run; write its value"
                raise FileUnreadable(where, problem) from None
    return None


def _keys(node: ast.Dict) -> set[object]:
    return {key.value for key in node.keys if isinstance(key, ast.Constant)}


def _value(node: ast.expr | None) -> Any:
    """What a literal is; looks nothing up and calls nothing."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            return {_value(key): _value(value) for key, value in pairs}
        case ast.List() | ast.Tuple() | ast.Set():
            return [_value(one) for one in node.elts]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case None:
            return None  # `**other` in a dict.
    return _looked_up(node)


def _looked_up(node: ast.expr) -> str:
    shown = ast.unparse(node)
    if not _SECRET_CALL.match(shown):
        raise _Code(node.lineno, shown[:60])
    names = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant)]
    text = next((name for name in names if isinstance(name, str)), "SECRET")
    return placeholder(re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_").upper() or "SECRET")


def adopt_dlt(config: Mapping[str, Any], *, where: str) -> Adopted:
    """The pipeline file for the configuration that `read_dlt` read.

    Raises:
        FileUnreadable: If a part of it has no counterpart and cannot be left out.
    """
    return _Adoption(config, where).adopt()


class _Adoption:
    """One configuration on its way into a file."""

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        self._config, self._where = config, where
        self._client = as_dict(config.get("client"))
        self._defaults = as_dict(config.get("resource_defaults"))
        self._host = urlsplit(str(self._client.get("base_url", ""))).hostname or "api"
        self._api: dict[str, Any] = {}
        self._notes: list[str] = []
        self._secrets: list[str] = []
        self._comments: dict[tuple[str, ...], str] = {}

    def adopt(self) -> Adopted:
        base_url = self._client.get("base_url")
        if not isinstance(base_url, str):
            raise FileUnreadable(self._where, "client.base_url is not given")
        self._api["base_url"] = base_url
        file: dict[str, Any] = {"api": self._api, "resource": {}, "table": {}}
        self._credentials(self._api)
        for raw in as_list(self._config.get("resources")):
            self._resource(raw if isinstance(raw, dict) else {"name": raw, "endpoint": raw}, file)
        if not file["resource"]:
            raise FileUnreadable(self._where, "has no resources that can be asked")
        file = without_nulls(file)
        found = re.findall(r"\$\{(\w+)\}", json.dumps(file, default=str))
        secrets = tuple(dict.fromkeys([*self._secrets, *found]))
        return Adopted(
            document=file, comments=self._comments, notes=tuple(self._notes), secrets=secrets
        )

    def _secret(self, value: Any, *words: str) -> str:
        """``value`` if it is a variable already, else a variable in its place."""
        if isinstance(value, str) and re.fullmatch(r"\$\{\w+\}", value):
            return value
        name = variable(self._host, *words)
        self._secrets.append(name)
        return placeholder(name)

    # The client.

    def _credentials(self, api: dict[str, Any]) -> None:
        if headers := as_dict(self._client.get("headers")):
            api["headers"] = {
                str(name): self._secret(value, str(name)) if is_secret(str(name)) else str(value)
                for name, value in headers.items()
            }
        auth = self._client.get("auth")
        if isinstance(auth, str):
            auth = {"type": auth}
        if isinstance(auth, dict):
            api["auth"] = self._auth(auth)

    def _auth(self, auth: Mapping[str, Any]) -> dict[str, Any]:
        kind = auth.get("type") or "bearer"
        if kind == "bearer":
            return {"type": "bearer", "token": self._secret(auth.get("token"), "token")}
        if kind == "api_key":
            place = str(auth.get("location") or "header")
            return {
                "type": "api_key",
                "key": self._secret(auth.get("api_key"), "api", "key"),
                "name": str(auth.get("name") or "Authorization"),
                "in": "query" if place == "param" else place,
            }
        if kind == "http_basic":
            user = self._secret(auth.get("username"), "user")
            password = self._secret(auth.get("password"), "password")
            return {"type": "basic", "user": user, "password": password}
        if kind == "oauth2_client_credentials":
            return self._oauth2(auth)
        raise FileUnreadable(self._where, f"client.auth.type = {kind!r} has no counterpart")

    def _oauth2(self, auth: Mapping[str, Any]) -> dict[str, Any]:
        made = {
            "type": "oauth2_client_credentials",
            "token_url": str(auth.get("access_token_url", "")),
            "client_id": self._secret(auth.get("client_id"), "client", "id"),
            "client_secret": self._secret(auth.get("client_secret"), "client", "secret"),
        }
        data = as_dict(auth.get("access_token_request_data"))
        return made | {key: str(data[key]) for key in ("scope", "audience") if key in data}

    # A resource and its table.

    def _resource(self, raw: Mapping[str, Any], file: dict[str, Any]) -> None:
        said = {**self._defaults, **raw}
        name = str(raw.get("name"))
        if not isinstance(raw.get("name"), str):
            self._notes.append("left out a resource without a name")
            return
        endpoint = self._endpoint(raw, name)
        params: dict[str, Any] = {}
        resource: dict[str, Any] = {"path": self._path(str(endpoint["path"]), params)}
        if (method := str(endpoint.get("method", "GET")).upper()) != "GET":
            resource["method"] = method
        query = self._query(name, endpoint, params, resource["path"])
        if query:
            resource["query"] = query
        for theirs, ours in (("json", "json"), ("data", "form"), ("headers", "headers")):
            if isinstance(endpoint.get(theirs), dict):
                resource[ours] = endpoint[theirs]
        if params:
            resource["params"] = params
        paginator = endpoint.get("paginator", self._client.get("paginator")) or "auto"
        if (made := self._paginator(name, paginator)) is not None:
            resource["paginator"] = made
        if answer := self._answer(name, as_list(endpoint.get("response_actions"))):
            resource["answer"] = answer
        file["resource"][name] = resource
        file["table"][name] = self._table(name, said, endpoint, params)

    def _endpoint(self, raw: Mapping[str, Any], name: str) -> dict[str, Any]:
        defaults, said = as_dict(self._defaults.get("endpoint")), raw.get("endpoint", name)
        own = {"path": said} if isinstance(said, str) else as_dict(said)
        merged = {**defaults, **own}
        merged["params"] = {**as_dict(defaults.get("params")), **as_dict(own.get("params"))}
        merged.setdefault("path", name)
        return merged

    def _path(self, path: str, params: dict[str, Any]) -> str:
        """``path`` with ours for ``{resources.posts.id}``, whose parents go into ``params``."""

        def parent(found: re.Match[str]) -> str:
            word = re.sub(r"\W+", "_", f"{found[1]}_{found[2]}")
            params[word] = {"from": found[1], "field": found[2]}
            return f"{{{word}}}"

        return _RESOLVED.sub(parent, path).lstrip("/")

    def _query(
        self, name: str, endpoint: Mapping[str, Any], params: dict[str, Any], path: str
    ) -> dict[str, Any]:
        """The query; parameters that the path has, or that come from a parent, become params."""
        query: dict[str, Any] = {}
        in_path = set(_PLACEHOLDER.findall(path))
        for key, value in endpoint["params"].items():
            if isinstance(value, dict) and value.get("type") == "resolve":
                params[key] = {"from": value.get("resource"), "field": value.get("field")}
            elif isinstance(value, dict) and value.get("type") == "incremental":
                self._incremental(name, key, value.get("initial_value"), query)
            elif isinstance(value, dict | list | tuple):
                self._notes.append(f"left out {name}.params.{key}: {type(value).__name__}")
            elif isinstance(value, str) and _RESOLVED.search(value):
                query[key] = self._path(value, params)
            elif key in in_path:
                params[key] = [value]
            elif value is not None:
                self._plain(name, key, value, query)
            if key in params and key not in in_path:
                query[key] = f"{{{key}}}"
        incremental = endpoint.get("incremental")
        if isinstance(incremental, dict) and "start_param" in incremental:
            start = str(incremental["start_param"])
            self._incremental(name, start, incremental.get("initial_value"), query)
        return query

    def _plain(self, name: str, key: str, value: Any, query: dict[str, Any]) -> None:
        """A value that is sent as it is, unless it is a key: the address of a call is kept."""
        if not is_secret(key):
            query[key] = value
        elif not self._client.get("auth"):
            key_ = {"type": "api_key", "api_key": value, "name": key, "location": "query"}
            self._api["auth"] = self._auth(key_)
        else:
            self._notes.append(f"left out {name}.params.{key}: a second key beside client.auth")

    def _incremental(self, name: str, key: str, start: Any, query: dict[str, Any]) -> None:
        """A cursor of dlt's: here a call is asked once, and again when it has grown old."""
        if start is not None:
            query[key] = start
        self._comments[("resource", name, "path")] = (
            f"dlt moved {key} on after each run; see `refresh`, or make {key} days"
        )
        self._notes.append(f"{name}: {key} stays at its first value: see the comment there")

    def _paginator(self, name: str, said: Any) -> Any:
        paginator = {"type": said} if isinstance(said, str) else said
        if not isinstance(paginator, dict):
            self._notes.append(f"left out the paginator of {name}: it is code")
            return "auto"
        kind = str(paginator.get("type"))
        if kind in {"auto", "single_page"}:
            return kind
        plans: dict[str, tuple[str, dict[str, str]]] = {
            "header_link": ("link_header", {}),
            "json_link": ("next_url", {"next_url_path": "path"}),
            "json_response": ("next_url", {"next_url_path": "path"}),
            "cursor": ("cursor", {"cursor_path": "path", "cursor_param": "param",
                                  "cursor_body_path": "into_body"}),
            "header_cursor": ("cursor", {"cursor_key": "header", "cursor_param": "param"}),
            "offset": ("offset", {"limit": "limit", "offset_param": "param", "limit_param":
                                  "limit_param", "total_path": "total",
                                  "maximum_offset": "maximum"}),
            "page_number": ("page_number", {"base_page": "first", "page_param": "param",
                                            "total_path": "total_pages", "has_more_path":
                                            "has_more", "maximum_page": "maximum"}),
        }  # fmt: skip
        if kind not in plans:
            raise FileUnreadable(self._where, f"{name}: paginator {kind!r} has no counterpart")
        ours, names = plans[kind]
        taken = {names[key]: _path_text(value) for key, value in paginator.items()
                 if key in names and value is not None}  # fmt: skip
        defaults = {"next_url": {"path": "next"}, "cursor": {"param": "cursor"}}.get(ours, {})
        return {"type": ours, **defaults, **taken}

    def _answer(self, name: str, actions: list[Any]) -> dict[str, Any]:
        empty: list[int] = []
        for one in actions:
            code = one.get("status_code") if isinstance(one, dict) else None
            plain = isinstance(one, dict) and one.get("action") == "ignore" and "content" not in one
            if plain and isinstance(code, int):
                empty.append(code)
            else:
                shown = (
                    {k: v for k, v in one.items() if k != "action"}
                    if isinstance(one, dict)
                    else "code"
                )
                self._notes.append(f"left out a response action of {name} ({shown}): see `rules`")
        return {"empty": empty} if empty else {}

    def _table(
        self,
        name: str,
        said: Mapping[str, Any],
        endpoint: Mapping[str, Any],
        params: Mapping[str, Any],
    ) -> dict[str, Any]:
        table: dict[str, Any] = {"from": name}
        if rows := _rows(endpoint.get("data_selector")):
            table["rows"] = rows
        carry = {word: f"param:{word}" for word, value in params.items() if isinstance(value, dict)}
        for field in as_list(said.get("include_from_parent")):
            if not any(isinstance(one, dict) and one.get("field") == field
                       for one in params.values()):  # fmt: skip
                self._notes.append(
                    f"{name}: {field} of the parent is carried only if a param is it"
                )
        if carry:
            table["carry"] = carry
        types = self._types(said.get("columns"))
        if types:
            table["types"] = types
        return table | self._writing(said)

    def _types(self, columns: Any) -> dict[str, str]:
        if not isinstance(columns, dict):
            return {}
        types = {
            name: _TYPES.get(str(as_dict(one).get("data_type"))) for name, one in columns.items()
        }
        return {name: kind for name, kind in types.items() if kind is not None}

    def _writing(self, said: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        write = said.get("write_disposition")
        write = str(write.get("disposition") if isinstance(write, dict) else write or "")
        key = said.get("primary_key")
        if key and write in {"", "merge"}:
            made["key"] = [key] if isinstance(key, str) else [str(one) for one in as_list(key)]
        elif write in {"append", "replace"}:
            made["write"] = write
        contract = said.get("schema_contract")
        if contract in _CONTRACTS:
            made["contract"] = contract
        for word in _IGNORED_KEYS:
            if word in said:
                self._notes.append(f"left out {word}: not needed here")
        return made


def _path_text(value: Any) -> Any:
    """A JSONPath of theirs as a path of ours."""
    return value.removeprefix("$").removeprefix(".") if isinstance(value, str) else value


def _rows(selector: Any) -> str | None:
    """``data.items`` -> ``data.items[*]``; None where rows are found without being told."""
    if not isinstance(selector, str) or selector.strip() in {"", "$"}:
        return None
    text = str(_path_text(selector.strip()))
    return text if text.endswith("[*]") else f"{text}[*]"
