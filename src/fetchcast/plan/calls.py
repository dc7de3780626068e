"""What the calls of a resource look like, and making one from the values of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from fetchcast.plan.pagination import SINGLE_PAGE, read_paginator
from fetchcast.plan.params import is_dates, parent_of, seconds_in
from fetchcast.plan.templates import Pairs, Template, Tree, Values, quoted, text_of
from fetchcast.records import Request, Scalar, request_key

_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_BODIES = ("json", "form", "body", "graphql")

Text: TypeAlias = str | int | float | bool


class GraphQL(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A GraphQL operation, sent as JSON."""

    query: str
    """The operation, sent as it stands: values go into ``variables``."""
    variables: dict[str, Any] = {}
    """``{name}`` is replaced here, as in ``json``."""
    operation: str | None = None
    """Which operation of the query, where it has several."""


class CallOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the calls of a resource look like: a ``[resource.NAME]`` of the pipeline file."""

    path: str
    """Below the API's ``base_url``; ``{name}`` is replaced by the parameter of that name."""
    params: dict[str, Any] = {}
    """Name -> value, list, or one of the tables below; several make the cross product."""
    query: dict[str, Text | list[Text]] = {}
    """Query parameters; ``{name}`` is replaced here too, and a list is the name several times."""
    headers: dict[str, str] = {}
    """Sent with the calls of this resource only; ``{name}`` is replaced here too."""
    method: str | None = None
    """The HTTP method; GET, or POST for calls with a body, if not given."""
    json: dict[str, Any] | list[Any] | None = None
    """A JSON body. ``{name}`` is replaced in its texts; a text that is ``"{name}"`` and nothing
    else becomes the value itself, a number as a number and a group as a list."""
    form: dict[str, Text | list[Text]] | None = None
    """A form as body, like ``query``."""
    body: str | None = None
    """Any other body, in UTF-8; ``{name}`` is replaced, and ``{{name}}`` stands for ``{name}``."""
    graphql: GraphQL | None = None
    """A GraphQL operation as body."""
    combine: Literal["product", "zip"] = "product"
    """Every value with every other one, or the first with the first, the second with the second."""
    filter: str | None = None
    """Only rows of the plan for which this SQL condition over the parameters and the columns of
    their sources is true: ``country = 'FI' and id > 100``. In DuckDB's SQL."""
    limit: int | None = None
    """The first so many rows of the plan."""
    paginator: str | dict[str, Any] = SINGLE_PAGE
    """How its lists go on: ``single_page``, ``auto``, ``link_header``, or a table with ``type`` and
    what that kind needs."""
    refresh: str | None = None
    """Answers older than this ("1 day", "6 hours") are asked for again; never if not given."""
    settles: str | None = None
    """How long after its day an answer may still change ("2 days"): until one was given later than
    that, the day is asked for again. For resources with days as a parameter."""

    def __post_init__(self) -> None:
        if self.method is not None and self.method not in _METHODS:
            expected = ", ".join(_METHODS)
            raise ValueError(f"method = {self.method!r}: expected one of {expected}")
        self._check_body()
        read_paginator("paginator", self.paginator)
        for key in ("refresh", "settles"):
            text = getattr(self, key)
            if text is not None:
                seconds_in(key, text)
        if self.settles is not None and not any(map(is_dates, self.params.values())):
            raise ValueError(f"settles = {self.settles!r}: expected a parameter with days")
        if self.limit is not None and (self.limit < 1 or self.parent):
            expected = "1 or more, for a resource without a parent"
            raise ValueError(f"limit = {self.limit}: expected {expected}")

    def _check_body(self) -> None:
        bodies = [name for name in _BODIES if getattr(self, name) is not None]
        if len(bodies) > 1:
            raise ValueError(
                f"{bodies[1]} = '...': expected one body, there is {bodies[0]} already"
            )
        if bodies and self.method in {"GET", "HEAD"}:
            raise ValueError(f"method = {self.method!r}: expected POST or another, with a body")

    @property
    def verb(self) -> str:
        """The HTTP method of the calls."""
        has_body = any(getattr(self, name) is not None for name in _BODIES)
        return self.method or ("POST" if has_body else "GET")

    @property
    def refresh_s(self) -> float | None:
        """``refresh`` in seconds."""
        return None if self.refresh is None else seconds_in("refresh", self.refresh)

    @property
    def parent(self) -> str | None:
        """The resource whose rows give this one its parameters."""
        return next(filter(None, map(parent_of, self.params.values())), None)


class Unsendable(ValueError):
    """These values make no call; the text says why."""


class Calls:
    """Makes the calls of one resource.

    Args:
        resource: Its name.
        options: What they look like.
        base_url: What ``path`` is put behind.
    """

    def __init__(self, resource: str, options: CallOptions, *, base_url: str) -> None:
        self._resource, self._method = resource, options.verb
        path = Template(options.path.lstrip("/"))
        self._base, self._path = base_url.rstrip("/") + "/", path
        self._query = Pairs(options.query)
        self._has_query = bool(options.query)
        self._body, type_, in_body = _body(options)
        told = {name.lower() for name in options.headers}
        own = {"Content-Type": type_} if type_ and "content-type" not in told else {}
        self._headers = own | options.headers
        filled = {name: Template(text) for name, text in options.headers.items()}
        self._filled = {name: text for name, text in filled.items() if text.names}
        self.varying = frozenset(self._filled)
        """The headers in which calls differ."""
        in_headers = {name for text in self._filled.values() for name in text.names}
        self.names = path.names | self._query.names | in_body | in_headers
        """The placeholders to be filled."""

    def request(self, sent: Values, columns: Mapping[str, Scalar]) -> Request:
        """The call for these values; raises `Unsendable` if there is none."""
        self._check_path(sent)
        try:
            url = self._base + self._path.fill(sent, quoted)
            if self._has_query:
                url += ("&" if "?" in url else "?") + self._query.fill(sent)
            body = self._body(sent) if self._body else None
        except UnicodeEncodeError:
            raise Unsendable("a value holds half a character, which cannot be sent") from None
        varying = dict(self._own_headers(sent)) if self._filled else {}
        return Request(
            key=request_key(self._method, url, body, resource=self._resource, headers=varying),
            resource=self._resource,
            url=url,
            method=self._method,
            headers=self._headers | varying if varying else self._headers,
            body=body,
            params=columns,
        )

    def example(self) -> str:
        """The address with its placeholders still in it."""
        return f"{self._method} {self._base}{self._path.fill(_Shown())}"

    def _check_path(self, sent: Values) -> None:
        for name in self._path.names:
            if (value := sent[name]) in {".", ".."}:
                raise Unsendable(f"{name} is {value!r}, which would ask another address")

    def _own_headers(self, sent: Values) -> Iterator[tuple[str, str]]:
        for name, text in self._filled.items():
            value = text.fill(sent)
            if not value.isascii() or not value.isprintable():
                raise Unsendable(f"the header {name} cannot be {value!r}: printable ASCII only")
            yield name, value


class _Shown(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"


_Body: TypeAlias = tuple[Callable[[Values], bytes] | None, str, frozenset[str]]
"""How the body is made, what type it has, and its placeholders."""


def _body(options: CallOptions) -> _Body:
    if options.json is not None:
        tree = Tree(options.json)
        return (lambda sent: msgspec.json.encode(tree.fill(sent))), "application/json", tree.names
    if options.graphql is not None:
        return _graphql(options.graphql)
    if options.form is not None:
        pairs, type_ = Pairs(options.form), "application/x-www-form-urlencoded"
        return (lambda sent: pairs.fill(sent).encode()), type_, pairs.names
    if options.body is not None:
        text, type_ = Template(options.body), "text/plain; charset=utf-8"
        return (lambda sent: text.fill(sent, text_of).encode()), type_, text.names
    return None, "", frozenset()


def _graphql(options: GraphQL) -> _Body:
    """The query is left alone: its braces are its own."""
    variables = Tree(options.variables)
    fixed = {"query": options.query}
    if options.operation is not None:
        fixed["operationName"] = options.operation

    def made(sent: Values) -> bytes:
        filled = {"variables": variables.fill(sent)} if options.variables else {}
        return msgspec.json.encode(fixed | filled)

    return made, "application/json", variables.names
