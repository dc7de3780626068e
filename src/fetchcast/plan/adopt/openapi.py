"""A pipeline file from an OpenAPI document: 3.0, 3.1, or Swagger 2."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

from fetchcast.errors import FileUnreadable
from fetchcast.plan.adopt import Adopted
from fetchcast.plan.adopt.address import is_address
from fetchcast.plan.adopt.document import References, as_dict, as_list, without_nulls
from fetchcast.plan.adopt.paging import Taken, guess_paginator, paging_names
from fetchcast.plan.adopt.schemas import Schemas, example_in, kind_of
from fetchcast.plan.adopt.security import Guard, guard_of
from fetchcast.plan.adopt.shape import Rows, Shape, find_moments, find_rows, words

_METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
_MOST = 20
"""More resources than this are not written unasked: a run would ask them all."""
_FORMATS = {
    "application/x-ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/xml": "xml",
    "text/xml": "xml",
}
_SHOWN = 6
_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_OWN_HEADERS = frozenset({"accept", "content-type", "authorization"})
_STARTS = ("start", "from", "since", "begin", "after", "min")
_ENDS = ("end", "to", "until", "before", "max")
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(slots=True)
class _Operation:
    """One method of one path."""

    method: str
    path: str
    at: str
    said: Mapping[str, Any]
    params: list[dict[str, Any]]
    name: str = ""
    shape: Shape = field(default_factory=Shape)
    format: str | None = None
    headers: tuple[str, ...] = ()
    rows: Rows | None = None

    def matches(self, wanted: str) -> bool:
        """Whether a word of ``--only`` means this operation."""
        called = (self.path, f"{self.method.upper()} {self.path}", self.said.get("operationId"))
        return wanted in called or wanted in self.tags or wanted == self.name

    @property
    def tags(self) -> list[str]:
        """The groups that the document puts it in."""
        return [tag for tag in as_list(self.said.get("tags")) if isinstance(tag, str)]


def adopt_openapi(
    document: Mapping[str, Any],
    *,
    where: str,
    only: Sequence[str] = (),
    column: Callable[[str], str] = words,
) -> Adopted:
    """The pipeline file for the API that ``document`` describes.

    Args:
        document: The decoded file.
        where: Its path or address, for messages; relative servers are relative to it.
        only: Operations to take: operationId, path, ``POST /path``, tag or resource name. All GETs
            with readable answers if empty.
        column: How a field of an answer is called in a table.

    Raises:
        FileUnreadable: If it is no OpenAPI document, a reference that is needed leads nowhere,
            nothing in it can be asked, or more than can be meant.
    """
    return _Adoption(document, where, column).adopt(only)


class _Adoption:
    """One document on its way into a file."""

    def __init__(
        self, document: Mapping[str, Any], where: str, column: Callable[[str], str]
    ) -> None:
        version = document.get("openapi", document.get("swagger"))
        if not str(version).startswith(("2", "3")) or not isinstance(document.get("paths"), dict):
            problem = "is not an OpenAPI document: it needs `openapi` (or `swagger`) and `paths`"
            raise FileUnreadable(where, problem)
        self._document, self._where, self._column = document, where, column
        self._references = References(document, where)
        self._schemas = Schemas(self._references)
        self._is_two = "swagger" in document
        self._notes: list[str] = []
        self._comments: dict[tuple[str, ...], str] = {}
        self._secrets: list[str] = []

    def adopt(self, only: Sequence[str]) -> Adopted:
        operations = self._chosen(only)
        for operation in operations:
            self._read_answer(operation)
        operations = self._readable(operations, only)
        lists = {one.path.rstrip("/"): one for one in operations if one.rows is not None}
        api, guards = self._api(operations)
        file: dict[str, Any] = {"api": api, "resource": {}, "table": {}}
        for operation in operations:
            self._resource(operation, lists, guards, file)
        self._say_broken()
        secrets = tuple(dict.fromkeys(self._secrets))
        return Adopted(
            document=file, comments=self._comments, notes=tuple(self._notes), secrets=secrets
        )

    # Which operations.

    def _operations(self) -> Iterator[_Operation]:
        for path, item in self._document["paths"].items():
            shared = self._references.follow(item, f"paths.{path}")
            for method in _METHODS:
                said = shared.get(method)
                if isinstance(said, dict) and not str(path).startswith("x-"):
                    at = f"paths.{path}.{method}"
                    params = self._params(shared, said, at)
                    yield _Operation(method, str(path), at, said, params)

    def _params(
        self, shared: Mapping[str, Any], said: Mapping[str, Any], at: str
    ) -> list[dict[str, Any]]:
        """The parameters of the path and of the operation, which wins."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for one in [*as_list(shared.get("parameters")), *as_list(said.get("parameters"))]:
            param = self._references.follow(one, f"{at}.parameters")
            if isinstance(param.get("name"), str) and isinstance(param.get("in"), str):
                found[param["name"], param["in"]] = param
        return [*found.values()]

    def _chosen(self, only: Sequence[str]) -> list[_Operation]:
        every = list(self._operations())
        _name(every)
        for wanted in only:
            if not any(one.matches(wanted) for one in every):
                known = ", ".join(one.name for one in every[:30])
                raise FileUnreadable(self._where, f"has no operation {wanted!r}; it has: {known}")
        if only:
            return [one for one in every if any(map(one.matches, only))]
        return [one for one in every if one.method == "get"]

    def _readable(self, operations: list[_Operation], only: Sequence[str]) -> list[_Operation]:
        """Those whose answers can become rows; the others are named."""
        fit = [one for one in operations if one.format is not None]
        for one in operations:
            if one.format is None:
                kinds = ", ".join(self._media(one)) or "nothing"
                self._notes.append(f"left out {one.method.upper()} {one.path}: answers {kinds}")
        if not fit:
            problem = "describes no call whose answer is JSON, NDJSON, CSV or XML"
            raise FileUnreadable(self._where, problem)
        if len(fit) > _MOST and not only:
            tags = sorted({tag for one in fit for tag in one.tags})
            shown = f"tags: {', '.join(tags[:20])}" if tags else f"paths like {fit[0].path}"
            problem = f"describes {len(fit)} calls; say which with --only, once or more ({shown})"
            raise FileUnreadable(self._where, problem)
        return fit

    # What an answer looks like.

    def _answer(self, operation: _Operation) -> dict[str, Any]:
        """The description of the answer when all is well."""
        said = as_dict(operation.said.get("responses"))
        answers = {str(key): one for key, one in said.items()}
        fine = sorted(key for key in answers if re.fullmatch("2[0-9X]{2}", key.upper()))
        key = next(iter([*fine, *(["default"] if "default" in answers else [])]), None)
        if key is None:
            return {}
        return self._references.follow(answers[key], f"{operation.at}.responses.{key}")

    def _media(self, operation: _Operation) -> dict[str, Any]:
        """Content type -> schema, as 2.0 and 3.x each write it."""
        answer = self._answer(operation)
        if self._is_two:
            said = operation.said.get("produces") or self._document.get("produces")
            kinds = [str(kind) for kind in as_list(said)] or ["application/json"]
            schema = answer.get("schema")
            return dict.fromkeys(kinds, schema) if schema else {}
        media = as_dict(answer.get("content"))
        return {str(kind): as_dict(one).get("schema") for kind, one in media.items()}

    def _read_answer(self, operation: _Operation) -> None:
        media = self._media(operation)
        for kind, schema in media.items():
            found = _format(kind)
            if found is None or (operation.format is not None and found != "json"):
                continue
            at = f"{operation.at}.responses"
            operation.format, operation.shape = found, self._schemas.shape(schema, at)
            if found == "json":
                break
        operation.headers = tuple(map(str, as_dict(self._answer(operation).get("headers"))))
        operation.rows = find_rows(operation.shape) if operation.format == "json" else None

    # The [api] table.

    def _api(self, operations: list[_Operation]) -> tuple[dict[str, Any], list[Guard]]:
        base_url = self._base_url()
        host = urlsplit(base_url).hostname or "api"
        if "${" in base_url:
            host = str(as_dict(self._document.get("info")).get("title", "api")) + ".org"
        api: dict[str, Any] = {"base_url": base_url}
        guards = [self._guard(one, host) for one in operations]
        guard = next((one for one in guards if one.auth or one.headers), Guard())
        if guard.headers:
            api["headers"] = guard.headers
        if guard.auth:
            api["auth"] = guard.auth
        self._secrets += guard.secrets
        self._notes += guard.notes
        return api, guards

    def _guard(self, operation: _Operation, host: str) -> Guard:
        wanted = operation.said.get("security", self._document.get("security"))
        if self._is_two:
            schemes = as_dict(self._document.get("securityDefinitions"))
        else:
            schemes = as_dict(as_dict(self._document.get("components")).get("securitySchemes"))
        known = {
            str(name): self._references.follow(one, f"securitySchemes.{name}")
            for name, one in schemes.items()
        }
        return guard_of(as_list(wanted), known, host)

    def _base_url(self) -> str:
        if self._is_two:
            return self._base_url_two()
        server = as_dict(next(iter(as_list(self._document.get("servers"))), None))
        url = str(server.get("url", "/"))
        for name, variable in as_dict(server.get("variables")).items():
            url = url.replace("{" + str(name) + "}", str(as_dict(variable).get("default", "")))
        return self._absolute(url)

    def _base_url_two(self) -> str:
        schemes = as_list(self._document.get("schemes")) or ["https"]
        scheme = "https" if "https" in schemes else str(schemes[0])
        host, path = self._document.get("host"), str(self._document.get("basePath", ""))
        return self._absolute(f"{scheme}://{host}{path}" if host else path or "/")

    def _absolute(self, url: str) -> str:
        if self._where.startswith(("http://", "https://")):
            url = urljoin(self._where, url)
        if is_address(url):
            return url.rstrip("/")
        self._notes.append("the document does not say where the API is: set API_URL")
        path = url if url.startswith("/") and not re.search(r"[\s{}]", url) else ""
        return "${API_URL}" + path.rstrip("/")

    # One resource and its table.

    def _resource(
        self,
        operation: _Operation,
        lists: Mapping[str, _Operation],
        guards: Sequence[Guard],
        file: dict[str, Any],
    ) -> None:
        resource: dict[str, Any] = {"path": _braced(operation.path).lstrip("/")}
        query = [one for one in operation.params if one.get("in") == "query"]
        taken = [self._taken(one) for one in query]
        paginator = guess_paginator(taken, operation.shape, operation.headers)
        if operation.rows is None:
            paginator = None  # One thing has no pages.
        own = {name for guard in guards for name in guard.params} | paging_names(paginator)
        params = self._parameters(operation, own, lists)
        if operation.method != "get":
            resource["method"] = operation.method.upper()
        resource |= params.placed
        self._body(operation, resource)
        if params.values:
            resource["params"] = params.values
        if paginator:
            resource["paginator"] = paginator
        if operation.format not in {"json", None}:
            resource["answer"] = {"format": operation.format}
        at = ("resource", operation.name)
        self._comments |= {(*at, "params", name): said for name, said in params.comments.items()}
        if params.optional:
            more = len(params.optional) - _SHOWN
            names = [*params.optional[:_SHOWN], *([f"{more} more"] if more > 0 else [])]
            self._comments[(*at, "path")] = f"query can also have {', '.join(names)}"
        file["resource"][operation.name] = resource
        file["table"][operation.name] = self._table(operation, params.values)

    def _taken(self, param: Mapping[str, Any]) -> Taken:
        schema = self._param_schema(param)
        least, most = schema.get("minimum"), schema.get("maximum")
        return Taken(
            name=param["name"],
            kind=kind_of(schema),
            default=schema.get("default"),
            least=least if isinstance(least, int) else None,
            most=most if isinstance(most, int) else None,
        )

    def _param_schema(self, param: Mapping[str, Any]) -> dict[str, Any]:
        if self._is_two:
            return dict(param)
        schema = param.get("schema")
        for media in as_dict(param.get("content")).values():
            schema = schema or as_dict(media).get("schema")
        return self._schemas.merged(schema, f"parameter {param['name']}")

    def _parameters(
        self, operation: _Operation, own: set[str], lists: Mapping[str, _Operation]
    ) -> _Params:
        """What the call must be told, and where each value may come from."""
        made = _Params()
        for param in operation.params:
            name, place = param["name"], param.get("in")
            schema = self._param_schema(param)
            if name in own or (place == "header" and name.lower() in _OWN_HEADERS):
                continue
            if place not in {"path", "query", "header"}:
                continue
            if place != "path" and not param.get("required"):
                if place == "query":
                    made.optional.append(name)
                continue
            word = _word(name)
            made.place(place, name, word, schema)
            if word in made.values or _is_end(name, schema, made.values):
                continue
            parent = self._parent(operation, name, lists) if place == "path" else None
            made.values[word], made.comments[word] = parent or self._value(param, schema)
        for name in _PLACEHOLDER.findall(operation.path):
            word = _word(name)  # Some documents forget to describe what the path has.
            if word not in made.values:
                given = self._parent(operation, name, lists) or self._value({"name": name}, {})
                made.values[word], made.comments[word] = given
        return made

    def _value(self, param: Mapping[str, Any], schema: Mapping[str, Any]) -> tuple[Any, str]:
        """Values for a required parameter, and what to say about them."""
        example = example_in(param)
        example = example if example is not None else example_in(schema)
        if schema.get("format") == "date":
            return {"last": "30 days"}, "the days you want"
        if schema.get("format") == "date-time":
            return {"last": "30 days", "format": _MOMENT}, "the days you want"
        choices = schema.get("enum")
        if isinstance(choices, list) and example is None:
            plain = [one for one in choices if isinstance(one, str | int | float)]
            if plain:
                return plain, "all that the API knows"
        if isinstance(example, str | int | float | bool):
            return [example], "the document's example"
        word = _word(str(param["name"]))
        source = {"csv": f"{word}.csv", "column": word}
        return source, 'a file of your values, or a list: ["...", "..."]'

    def _parent(
        self, operation: _Operation, name: str, lists: Mapping[str, _Operation]
    ) -> tuple[Any, str] | None:
        """The list whose rows have this parameter: ``/users`` for ``/users/{id}/posts``."""
        before = operation.path.partition("{" + name + "}")[0].rstrip("/")
        parent = lists.get(before)
        if parent is None or parent.rows is None or parent is operation or "{" in before:
            return None
        scalars = {
            words(key): key
            for key, below in parent.rows.row.fields.items()
            if below.kind in {"string", "integer"}
        }
        last = words(name).split("_")[-1]
        for wanted in (words(name), last, "id", "key", "code", "slug", "name"):
            if wanted in scalars:
                said = {"from": parent.name, "field": scalars[wanted]}
                return said, f"each row of {parent.name}; or a list of your own"
        return None

    def _body(self, operation: _Operation, resource: dict[str, Any]) -> None:
        """What a POST is sent, as far as the document gives an example of it."""
        if operation.method == "get":
            return
        body = self._references.follow(operation.said.get("requestBody"), operation.at)
        media = as_dict(as_dict(body.get("content")).get("application/json"))
        example = example_in(media)
        if example is None:
            example = self._schemas.example(media.get("schema"), operation.at)
        if self._is_two:
            in_body = next((one for one in operation.params if one.get("in") == "body"), {})
            example = self._schemas.example(in_body.get("schema"), operation.at)
        if isinstance(example, dict):
            resource["json"] = without_nulls(example)

    def _table(self, operation: _Operation, values: Mapping[str, Any]) -> dict[str, Any]:
        table: dict[str, Any] = {"from": operation.name}
        row = operation.rows.row if operation.rows else operation.shape
        if operation.rows and operation.rows.path:
            table["rows"] = operation.rows.path
        taken = {self._column(name) for name in row.fields}
        carry = {
            (name if name not in taken else f"asked_{name}"): f"param:{name}" for name in values
        }
        if carry:
            table["carry"] = carry
        # Not the times: what documents call date-time often has no zone.
        types = {
            self._column(name): kind for name, kind in find_moments(row).items() if kind == "date"
        }
        if types and operation.format == "json":
            table["types"] = types
        return table

    def _say_broken(self) -> None:
        broken = self._references.broken()
        if broken:
            text, at = broken[0]
            more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
            self._notes.append(f"not needed here, but broken: $ref {text!r} at {at}{more}")


@dataclass(slots=True)
class _Params:
    """The parameters of one resource on their way into its table."""

    values: dict[str, Any] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    placed: dict[str, dict[str, str]] = field(default_factory=dict)
    optional: list[str] = field(default_factory=list)

    def place(self, place: str, name: str, word: str, schema: Mapping[str, Any]) -> None:
        """Say where in the call the value of ``word`` goes; in the path it stands already."""
        if place == "path":
            return
        start = _start_of(name, schema, self.values)
        key = "query" if place == "query" else "headers"
        self.placed.setdefault(key, {})[name] = f"{{{start}.end}}" if start else f"{{{word}}}"


def _is_day(schema: Mapping[str, Any]) -> bool:
    return schema.get("format") in ("date", "date-time")


def _start_of(name: str, schema: Mapping[str, Any], values: Mapping[str, Any]) -> str | None:
    """The parameter that ``name`` is the end of: the two of them are one span of days."""
    parts = words(name).split("_")
    if not _is_day(schema) or not any(part in _ENDS for part in parts):
        return None
    for known, value in values.items():
        if isinstance(value, dict) and "last" in value:
            others = words(known).split("_")
            if any(part in _STARTS for part in others):
                return known
    return None


def _is_end(name: str, schema: Mapping[str, Any], values: dict[str, Any]) -> bool:
    start = _start_of(name, schema, values)
    if start is not None:
        values[start] = {**values[start], "step": "1 week"}
    return start is not None


def _format(kind: str) -> str | None:
    plain = kind.partition(";")[0].strip().lower()
    if plain in _FORMATS:
        return _FORMATS[plain]
    return "json" if plain.endswith(("/json", "+json")) or plain == "*/*" else None


def _word(name: str) -> str:
    """``name`` as a placeholder: letters, digits and _."""
    word = re.sub(r"\W+", "_", name).strip("_") or "value"
    return f"p_{word}" if word[0].isdigit() else word


def _braced(path: str) -> str:
    return _PLACEHOLDER.sub(lambda found: "{" + _word(found[1]) + "}", path)


def _name(operations: list[_Operation]) -> None:
    """Give each operation a name of its own: its operationId without the verb, or its path."""
    seen: set[str] = set()
    for one in operations:
        wished = words(str(one.said.get("operationId") or ""))
        verb, _, rest = wished.partition("_")
        if verb in {"get", "list", "find", "fetch", "search", "read", "query"} and rest:
            wished = rest
        steps = [step for step in one.path.split("/") if step and "{" not in step]
        wished = wished or words(steps[-1] if steps else "") or "items"
        if wished in seen:
            ends = [words(name) for name in _PLACEHOLDER.findall(one.path)]
            wished = "_by_".join([wished, *ends[-1:]]) if ends else f"{one.method}_{wished}"
        free = wished
        count = 2
        while free in seen:
            free, count = f"{wished}_{count}", count + 1
        seen.add(free)
        one.name = free
