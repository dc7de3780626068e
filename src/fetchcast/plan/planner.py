"""The plan of a resource: every call, in order, before anything is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

import msgspec

from fetchcast.errors import ConfigError
from fetchcast.plan.estimates import Estimate
from fetchcast.plan.pagination import SINGLE_PAGE, Paginator, paginator_of, read_paginator
from fetchcast.plan.params import (
    RULES,
    Csv,
    Dates,
    Parent,
    days,
    end_of,
    is_dates,
    parent_of,
    read_param,
    seconds_in,
)
from fetchcast.plan.sources import csv_count, csv_rows
from fetchcast.records import Planned, Request, Scalar, request_key

_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class CallOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the calls of a resource look like: a ``[resource.NAME]`` of the pipeline file."""

    path: str
    """Below the API's ``base_url``; ``{name}`` is replaced by the parameter of that name."""
    params: dict[str, Any] = {}
    """Name -> value, list, dates or CSV column; several make the cross product."""
    query: dict[str, str | int | float | bool] = {}
    """Query parameters; ``{name}`` is replaced here too."""
    headers: dict[str, str] = {}
    """Sent with the calls of this resource only."""
    method: str = "GET"
    """The HTTP method."""
    paginator: str | dict[str, Any] = SINGLE_PAGE
    """How its lists go on: ``single_page``, ``auto``, ``link_header``, or a table with ``type`` and
    what that kind needs."""
    refresh: str | None = None
    """Answers older than this ("1 day", "6 hours") are asked for again; never if not given."""
    settles: str | None = None
    """How long after its day an answer may still change ("2 days"): until one was given later than
    that, the day is asked for again. For resources with days as a parameter."""

    def __post_init__(self) -> None:
        if self.method not in _METHODS:
            expected = ", ".join(_METHODS)
            raise ValueError(f"method = {self.method!r}: expected one of {expected}")
        read_paginator("paginator", self.paginator)
        for key in ("refresh", "settles"):
            text = getattr(self, key)
            if text is not None:
                seconds_in(key, text)
        if self.settles is not None and not any(map(is_dates, self.params.values())):
            raise ValueError(f"settles = {self.settles!r}: expected a parameter with days")

    @property
    def refresh_s(self) -> float | None:
        """``refresh`` in seconds."""
        return None if self.refresh is None else seconds_in("refresh", self.refresh)

    @property
    def parent(self) -> str | None:
        """The resource whose rows give this one its parameters."""
        return next(filter(None, map(parent_of, self.params.values())), None)


@dataclass(frozen=True, slots=True)
class _Value:
    """One value on its way into a call: as it was read, as it is sent, or why it cannot be."""

    columns: Mapping[str, Scalar]
    sent: Mapping[str, Scalar]
    problem: str | None = None
    rejected: bool = False
    over_at: float | None = None
    """When the day that it is will be over."""


class _Days:
    """An axis of days."""

    def __init__(self, name: str, options: Dates, now: float) -> None:
        self._name, self._options = name, options
        self._days = days(options, now=now)

    def count(self) -> int:
        return len(self._days)

    def __iter__(self) -> Iterator[_Value]:
        for day in self._days:
            named = {self._name: day.strftime(self._options.format)}
            yield _Value(named, named, over_at=end_of(day, self._options.time_zone))


class _Listed:
    """An axis of given values."""

    def __init__(self, name: str, values: Sequence[Scalar]) -> None:
        self._name, self._values = name, values

    def count(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[_Value]:
        for value in self._values:
            yield _Value({self._name: value}, {self._name: value})


class _File:
    """An axis of rows: all parameters that name the same CSV file."""

    def __init__(self, path: Path, params: Mapping[str, Csv]) -> None:
        self._path, self._params = path, params
        self._columns = frozenset(option.column for option in params.values())

    def count(self) -> int:
        return csv_count(self._path, self._columns)

    def __iter__(self) -> Iterator[_Value]:
        for row in csv_rows(self._path, self._columns):
            yield self._value(row)

    def _value(self, row: Mapping[str, str]) -> _Value:
        sent: dict[str, Scalar] = {}
        for name, option in self._params.items():
            text = row[option.column].strip()
            try:
                if not text:
                    raise ValueError(f"{option.column} is empty")  # noqa: TRY301  one handler
                sent[name] = RULES[option.rule](text) if option.rule else text
            except ValueError as error:
                return _Value(row, sent, str(error), option.on_bad == "reject")
        return _Value({**row, **sent}, sent)


class _Parent:
    """What the rows of the parent resource give: all parameters that name it."""

    def __init__(self, params: Mapping[str, Parent]) -> None:
        self.fields = {name: option.field for name, option in params.items()}
        self._params = params

    def value(self, row: Mapping[str, Scalar]) -> _Value:
        """One row of the parent; what it has beside the fields is carried as it is."""
        sent: dict[str, Scalar] = {}
        used = set(self.fields.values())
        columns = {name: value for name, value in row.items() if name not in used}
        for name, option in self._params.items():
            raw = row.get(option.field)
            try:
                sent[name] = _cleaned(option.field, raw, option.rule)
            except ValueError as error:
                return _Value({**columns, name: raw}, sent, str(error), option.on_bad == "reject")
        return _Value({**columns, **sent}, sent)


def _cleaned(name: str, raw: Scalar, rule: str | None) -> Scalar:
    """``raw`` as it is sent; raises ValueError, with the reason, if it cannot be."""
    if raw is None or raw == "":
        raise ValueError(f"{name} is empty")
    return RULES[rule](_text(raw)) if rule else raw


_Axis: TypeAlias = _Days | _Listed | _File


class Plan:
    """The calls of one resource, known before anything is sent.

    Args:
        name: The resource's name in the pipeline file.
        options: Its table there.
        base_url: The API's address; ``path`` is put behind it.
        folder: What relative file names are relative to.
        now: Seconds since 1970; "the last 365 days" are counted from here.

    Raises:
        ConfigError: If a placeholder has no parameter or a parameter no placeholder.
        InputError: If a parameter file cannot be used (when it is read).
    """

    def __init__(
        self, name: str, options: CallOptions, *, base_url: str, folder: Path, now: float
    ) -> None:
        self.name, self._options, self._folder, self._now = name, options, folder, now
        self.refresh_s = options.refresh_s
        self.url = self._url = base_url.rstrip("/") + "/" + options.path.lstrip("/")
        self._params = {
            key: read_param(f"resource.{name}.params.{key}", raw)
            for key, raw in options.params.items()
        }
        self._in_path = frozenset(_PLACEHOLDER.findall(options.path))
        self.paging = read_paginator(f"resource.{name}.paginator", options.paginator)
        self.paginator = self._build_paginator()
        self._check_placeholders()
        self._parent = self._build_parent()
        self._axes = self._build_axes()

    @property
    def parent(self) -> str | None:
        """The resource from whose rows the calls follow; None if they are known beforehand."""
        return self._options.parent

    @property
    def parent_fields(self) -> Mapping[str, str]:
        """Parameter -> the field of the parent's rows that it is."""
        return self._parent.fields if self._parent else {}

    @property
    def rows_path(self) -> str | None:
        """Where the parent's rows are in its answers; None: as in its first table."""
        found = (option.rows for option in self._params.values() if isinstance(option, Parent))
        return next(filter(None, found), None)

    def count(self) -> int:
        """How many rows the plan has, for which it is read; 0 if they follow from a parent."""
        return 0 if self._parent else prod(axis.count() for axis in self._axes)

    def estimate(self) -> Estimate:
        """How many rows the plan has, as far as is known without reading all of it."""
        if self._parent:
            why = f"as many as the rows of {self.parent} make, known when they are there"
            return Estimate(0, exact=False, why=why)
        return Estimate(self.count(), exact=True, why="counted")

    def rows(self) -> Iterator[Planned]:
        """Every row, in the order of the parameters; nothing is held but one axis at a time.

        None for a resource with a parent: see `children`.
        """
        if self._parent is None:
            for position, values in enumerate(self._combinations()):
                yield self._row(position, values)

    def children(self, parent_rows: Iterable[Mapping[str, Scalar]]) -> Iterator[Planned]:
        """The rows that follow from rows of the parent, one after the other.

        Args:
            parent_rows: Field -> value, the fields being those of `parent_fields`; whatever else
                there is becomes a column of the planned row, to be carried.
        """
        assert self._parent is not None, f"{self.name} has no parent"
        parent = self._parent
        combinations = (
            (value, *rest)
            for value in map(parent.value, parent_rows)
            for rest in product(*self._axes)
        )
        for position, values in enumerate(combinations):
            yield self._row(position, values)

    def _combinations(self) -> Iterator[tuple[_Value, ...]]:
        if len(self._axes) == 1:
            return ((value,) for value in self._axes[0])  # Streams a file of any length.
        return product(*self._axes)

    def _row(self, position: int, values: tuple[_Value, ...]) -> Planned:
        columns = {k: v for value in values for k, v in value.columns.items()}
        bad = next((value for value in values if value.problem), None)
        if bad:
            return Planned(
                position=position,
                resource=self.name,
                params=columns,
                request=None,
                reason=bad.problem,
                rejected=bad.rejected,
            )
        sent = {k: v for value in values for k, v in value.sent.items()}
        if dots := [name for name in self._in_path if sent[name] in {".", ".."}]:
            return Planned(
                position=position,
                resource=self.name,
                params=columns,
                request=None,
                reason=f"{dots[0]} is {sent[dots[0]]!r}, which would ask another address",
                rejected=True,
            )
        request = self._request(sent, columns)
        return Planned(
            position=position,
            resource=self.name,
            params=columns,
            request=request,
            final_at=self._final_at(values),
        )

    def _final_at(self, values: tuple[_Value, ...]) -> float | None:
        if self._options.settles is None:
            return None
        over = max(value.over_at for value in values if value.over_at is not None)
        return over + seconds_in("settles", self._options.settles)

    def _request(self, sent: Mapping[str, Scalar], columns: Mapping[str, Scalar]) -> Request:
        url = _fill(self._url, sent)
        if self._options.query:
            query = {
                k: _PLACEHOLDER.sub(lambda found: _text(sent[found[1]]), _text(v))
                for k, v in self._options.query.items()
            }
            url += ("&" if "?" in url else "?") + urlencode(query)
        request = Request(
            key=request_key(self._options.method, url, resource=self.name),
            resource=self.name,
            url=url,
            method=self._options.method,
            headers=self._options.headers,
            params=columns,
        )
        return request if self.paginator is None else self.paginator.first(request)

    def _check_placeholders(self) -> None:
        texts = [self._options.path, *(_text(v) for v in self._options.query.values())]
        wanted = {name for text in texts for name in _PLACEHOLDER.findall(text)}
        where = f"resource.{self.name}"
        if missing := sorted(wanted - set(self._params)):
            raise ConfigError(
                f"{where}.params", sorted(self._params), f"a parameter for {{{missing[0]}}}"
            )
        if idle := sorted(set(self._params) - wanted):
            raise ConfigError(
                f"{where}.params.{idle[0]}",
                self._options.params[idle[0]],
                f"{{{idle[0]}}} in the path or the query; nothing uses this parameter",
            )

    def _build_paginator(self) -> Paginator | None:
        """None where an answer must show it first, or there is one page only."""
        if isinstance(self.paging, str):
            return None
        headers = self._options.headers.items()
        return paginator_of(
            self.paging, frozenset(name for name, value in headers if _PLACEHOLDER.search(value))
        )

    def _build_parent(self) -> _Parent | None:
        found = {n: o for n, o in self._params.items() if isinstance(o, Parent)}
        first = next(iter(found.values()), None)
        for name, option in found.items():
            assert first is not None
            key = f"resource.{self.name}.params.{name}"
            if option.from_ != first.from_:
                raise ConfigError(f"{key}.from", option.from_, f"one parent only: {first.from_!r}")
            if option.rows not in {None, self.rows_path}:
                raise ConfigError(f"{key}.rows", option.rows, f"as before: {self.rows_path!r}")
        return _Parent(found) if found else None

    def _build_axes(self) -> list[_Axis]:
        axes: dict[str, _Axis] = {}
        for name, option in self._params.items():
            if isinstance(option, Parent):
                continue
            if isinstance(option, Csv):
                axes.setdefault(f"csv:{option.csv}", self._file(option.csv))
            elif isinstance(option, Dates):
                axes[f"param:{name}"] = self._days(name, option)
            else:
                axes[f"param:{name}"] = _Listed(
                    name, option if isinstance(option, list) else [option]
                )
        return list(axes.values())

    def _days(self, name: str, option: Dates) -> _Days:
        try:
            return _Days(name, option, self._now)
        except ConfigError as error:
            key, *rest = error.args
            raise type(error)(f"resource.{self.name}.params.{name}.{key}", *rest) from None

    def _file(self, path: str) -> _File:
        together = {
            name: option
            for name, option in self._params.items()
            if isinstance(option, Csv) and option.csv == path
        }
        return _File(self._folder / path, together)


def skip_key(row: Planned) -> str:
    """The stable name of a row that makes no call."""
    columns = json.dumps(dict(row.params), sort_keys=True, default=str)
    return request_key("SKIP", row.resource, columns.encode())


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _fill(text: str, values: Mapping[str, Scalar]) -> str:
    return _PLACEHOLDER.sub(lambda found: quote(_text(values[found[1]]), safe=""), text)
