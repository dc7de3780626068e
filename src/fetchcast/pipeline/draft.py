"""A first pipeline file: from one example address that is asked, or from a document."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import msgspec

from fetchcast.errors import CallError, FileUnreadable, Unexpected
from fetchcast.extract.rules import head
from fetchcast.extract.transport import TransportOptions, fetch, open_transport
from fetchcast.plan.adopt import Adopted
from fetchcast.plan.adopt.curl import adopt_call
from fetchcast.plan.adopt.document import read_document
from fetchcast.plan.adopt.openapi import adopt_openapi
from fetchcast.plan.adopt.paging import Taken, guess_paginator, paging_names
from fetchcast.plan.adopt.secrets import is_secret
from fetchcast.plan.adopt.shape import Rows, Shape, find_key, find_moments, find_rows, shape_of
from fetchcast.plan.pagination import Page, PaginatorOptions, detect
from fetchcast.records import Answer, Request, request_key
from fetchcast.transform.names import snake_case

_ERROR = 400
_SHOWN = 300
_TELLING = re.compile(r"link|retry-after|ratelimit.*|x-rate-?limit-.*|x-total.*|etag|cache-control")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A pipeline file, and what was found on the way."""

    text: str
    said: list[str]


async def draft(url: str, headers: Sequence[str] = ()) -> Draft:
    """Ask ``url`` once and propose a pipeline file of at most 25 lines.

    Args:
        url: An example address, with whatever it needs.
        headers: Sent with the call, each ``Name: value``. A secret among them, or in ``url``, is
            ``${NAME}`` in the file.

    Raises:
        ConfigError: If ``url`` is not an address.
        CallError: If there is no answer, or none that is JSON.
    """
    adopted = adopt_call(url, headers)
    async with open_transport(TransportOptions()) as transport:
        sent = {
            name.strip(): value.strip() for name, _, value in (h.partition(":") for h in headers)
        }
        request = Request(key=request_key("GET", url), resource="draft", url=url)
        try:
            answer = await fetch(transport, request, sent)
        except CallError as error:
            raise type(error)(_covered(url), *error.args[1:]) from None
    body = _decoded(url, answer)
    found = _Found(url, shape_of(body), answer, adopted)
    return Draft(text=found.adopted().text, said=[*_call(url, answer), *found.said()])


def _decoded(url: str, answer: Answer) -> Any:
    shown = _covered(url)
    if answer.status >= _ERROR:
        raise Unexpected(shown, f"HTTP {answer.status}: {head(answer.body)}; nothing was written")
    try:
        return msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = f"the answer is not JSON: {head(answer.body)}; nothing was written"
        raise Unexpected(shown, text) from None


def _covered(url: str) -> str:
    """``url`` without the secrets in it, for the terminal."""
    parts = urlsplit(url)
    query = "&".join(
        f"{key}={'***' if is_secret(key) and value else value}"
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
    )
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=query))


def _call(url: str, answer: Answer) -> list[str]:
    """The call as it was made, and what its answer says about itself."""
    kind = answer.headers.get("content-type", "no content type")
    lines = [
        f"GET {_covered(url)}",
        f"HTTP {answer.status}, {kind}, {len(answer.body):,} bytes in {answer.elapsed_s:.2f} s",
    ]
    told = {name: text for name, text in answer.headers.items() if _TELLING.fullmatch(name)}
    return lines + [f"  {name}: {text[:_SHOWN]}" for name, text in sorted(told.items())]


class _Found:
    """What the answer to the example call shows."""

    def __init__(self, url: str, shape: Shape, answer: Answer, adopted: Adopted) -> None:
        self._adopted, self._shape = adopted, shape
        (self._name,) = adopted.document["resource"]
        self._resource: dict[str, Any] = dict(adopted.document["resource"][self._name])
        self._rows = find_rows(shape)
        self._row = self._rows.row if self._rows else shape
        self._key = find_key(self._row) if self._rows else None
        self._types = {snake_case(k): kind for k, kind in find_moments(self._row).items()}
        pages = self._pages(url, answer, self._rows.count) if self._rows else None
        self._paginator: dict[str, Any] | None
        self._paginator, self._why = pages or (None, "")

    def _pages(self, url: str, answer: Answer, count: int) -> tuple[dict[str, Any], str] | None:
        """How the list goes on, and what shows it: as ``auto`` sees it, else by the parameters."""
        request = Request(key="", resource=self._name, url=url)
        status, headers, body = answer.status, answer.headers, answer.body
        found = detect(Page(request, status=status, headers=headers, body=body, rows=count))
        if found is not None:
            return _said_in_file(found.options), found.why
        query: Mapping[str, str] = self._resource.get("query", {})
        taken = [
            Taken(name=name, default=int(text) if text.isdecimal() else None)
            for name, text in query.items()
        ]
        guessed = guess_paginator(taken, self._shape)
        return (guessed, "its address has such parameters") if guessed else None

    def adopted(self) -> Adopted:
        """The file, with rows, key, types and pages in it."""
        resource, table = self._resource, {**self._adopted.document["table"][self._name]}
        for name in paging_names(self._paginator):
            resource["query"] = {k: v for k, v in resource.get("query", {}).items() if k != name}
        if not resource.get("query"):
            resource.pop("query", None)
        if self._paginator:
            resource["paginator"] = self._paginator
        if self._rows and self._rows.path:
            table["rows"] = self._rows.path
        if "carry" in table:
            table["carry"] = self._carried(table["carry"])
        comments = dict(self._adopted.comments)
        if self._key:
            self._name_rows(table, comments)
        if self._types:
            table["types"] = self._types
        document = {**self._adopted.document, "resource": {self._name: resource}}
        document["table"] = {self._name: table}
        return replace(self._adopted, document=document, comments=comments)

    def _name_rows(self, table: dict[str, Any], comments: dict[tuple[str, ...], str]) -> None:
        """Propose the key: at once for a single call, in a comment where rows may come twice.

        A list that grows while its pages are asked moves rows from one page to the next.
        """
        key = snake_case(self._key or "")
        if self._paginator or table.get("carry"):
            said = f'key = ["{key}"] holds the table to one row for each {key}'
            comments["table", self._name, "from"] = said
        else:
            table["key"] = [key]

    def _carried(self, carry: Mapping[str, str]) -> dict[str, str]:
        """Parameters under names that no field of a row has."""
        taken = {snake_case(name) for name in self._row.fields}
        return {(f"asked_{k}" if k in taken else k): source for k, source in carry.items()}

    def said(self) -> list[str]:
        """What is proposed, and why."""
        lines = [f"rows: {self._rows_said(self._rows)}"]
        if self._key:
            lines.append(f"key: {self._key} has another value in every row")
        for name, kind in find_moments(self._row).items():
            lines.append(f"type: {name} is a {kind}")
        if self._paginator:
            shown = ", ".join(f"{k} = {v}" for k, v in self._paginator.items() if k != "type")
            lines.append(f"pages: {self._paginator['type']} ({shown or 'as it is'}): {self._why}")
        values = self._resource.get("params", {})
        lines += [f"parameter: {name} = {value}" for name, value in values.items()]
        lines += [hint(name) for name in self._adopted.secrets]
        return lines

    def _rows_said(self, rows: Rows | None) -> str:
        if rows is None:
            return "the answer itself is one row"
        return f"{rows.path or '[*]'}, of {len(rows.row.fields)} fields"


def _said_in_file(options: PaginatorOptions) -> dict[str, Any]:
    """``options`` as they are written: without what goes without saying, but for the parameter."""
    usual = {field.name: field.default for field in msgspec.structs.fields(options)}
    said: dict[str, Any] = msgspec.to_builtins(options)
    if said.get("first", 0) > 1:
        del said["first"]  # The example was a page in the middle.
    return {k: v for k, v in said.items() if k in {"type", "param"} or v != usual.get(k)}


def hint(secret: str) -> str:
    """What to do about a variable that a file needs."""
    return f"secret: write {secret}=... into a file .env beside the pipeline file"


async def draft_openapi(source: str, only: Sequence[str] = ()) -> Adopted:
    """The pipeline file for the OpenAPI document at ``source``, a path or an address.

    Raises:
        FileUnreadable: If it cannot be read, or nothing in it can be asked.
    """
    text = await _read(source)
    where = _covered(source) if _is_url(source) else source
    document = read_document(text, where)
    return adopt_openapi(document, where=where, only=only, column=snake_case)


def _is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


async def _read(source: str) -> bytes:
    if not _is_url(source):
        return read_bytes(source)
    async with open_transport(TransportOptions()) as transport:
        request = Request(key=request_key("GET", source), resource="draft", url=source)
        try:
            answer = await fetch(transport, request)
        except CallError as error:
            raise FileUnreadable(_covered(source), str(error.args[1])) from None
    if answer.status >= _ERROR:
        raise FileUnreadable(_covered(source), f"HTTP {answer.status}: {head(answer.body)}")
    return answer.body


def read_bytes(path: str) -> bytes:
    """What is in the file at ``path``.

    Raises:
        FileUnreadable: If it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise FileUnreadable(path, "there is no such file") from None
    except OSError as error:
        raise FileUnreadable(path, f"cannot be read: {error.strerror}") from None
