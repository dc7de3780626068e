"""The plan of a resource: every call, in order, before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice, product
from math import prod
from pathlib import Path

import msgspec

from fetchcast.errors import ConfigError, InputError, WrongTable
from fetchcast.plan.axes import (
    Axis,
    Counted,
    Days,
    Grouping,
    Listed,
    ParentRows,
    Rows,
    Value,
    merged,
)
from fetchcast.plan.calls import CallOptions, Calls, GraphQL, Unsendable
from fetchcast.plan.estimates import Estimate, Sample, survey
from fetchcast.plan.filtering import Filter
from fetchcast.plan.pagination import Paginator, paginator_of, read_paginator
from fetchcast.plan.params import (
    Csv,
    Dates,
    Ndjson,
    Numbers,
    ParamOptions,
    Parent,
    Parquet,
    Several,
    Since,
    Sql,
    Values,
    read_param,
    seconds_in,
)
from fetchcast.plan.sources import open_source
from fetchcast.plan.watermark import asked_from, combination
from fetchcast.records import Databases, Planned, Request, Scalar, request_key

__all__ = ["CallOptions", "GraphQL", "Plan", "skip_key"]

_FEW = 10_000
"""Plans that seem to have no more rows are counted row by row."""
_SAMPLE = 1_000


class Plan:
    """The calls of one resource, known before anything is sent.

    Args:
        name: The resource's name in the pipeline file.
        options: Its table there.
        base_url: The API's address; ``path`` is put behind it.
        folder: What relative file names are relative to.
        now: Seconds since 1970; "the last 365 days" are counted from here.
        databases: What answers queries and filters; a plan without these needs none.
        marks: How far earlier runs have come, see `fetchcast.plan.watermark`.

    Raises:
        ConfigError: If a placeholder has no parameter or a parameter no placeholder.
        InputError: If a source of parameters cannot be used (when it is read, or estimated).
    """

    def __init__(
        self,
        name: str,
        options: CallOptions,
        *,
        base_url: str,
        folder: Path,
        now: float,
        databases: Databases | None = None,
        marks: Mapping[str, Scalar] | None = None,
    ) -> None:
        self.name, self._options, self._folder, self._now = name, options, folder, now
        self._databases, self._marks = databases, marks or {}
        self._estimated: Estimate | None = None
        self._read: int | None = None
        self.refresh_s = options.refresh_s
        self.url = base_url.rstrip("/") + "/" + options.path.lstrip("/")
        self._calls = Calls(name, options, base_url=base_url)
        self._params = {
            key: read_param(f"resource.{name}.params.{key}", raw)
            for key, raw in options.params.items()
        }
        self.paging = read_paginator(f"resource.{name}.paginator", options.paginator)
        self.paginator = self._build_paginator()
        self._check_placeholders()
        self._parent = self._build_parent()
        self.since = self._build_since()
        self._grouping = self._build_grouping()
        self._axes = self._build_axes()
        self._filter = (
            Filter(f"resource.{name}.filter", options.filter, databases) if options.filter else None
        )

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

    @property
    def example(self) -> str:
        """Method and address of a call, with its placeholders."""
        return self._calls.example()

    def count(self) -> int:
        """How many rows the plan has, for which it is read; 0 if they follow from a parent."""
        if self._parent:
            return 0
        for axis in self._axes:
            axis.estimate()  # Refuses an empty file, which has no calls to make.
        return sum(1 for _ in self._values())

    def estimate(self) -> Estimate:
        """How many rows the plan has, without reading large sources.

        Raises:
            ConfigError: If the filter is no SQL, or axes to be zipped differ in length.
            InputError: If a source is not there, empty, or lacks a column.
        """
        self._estimated = found = self._estimate()
        return found

    @property
    def misjudged(self) -> int:
        """How many rows more there are than was estimated; 0 until all of them were read."""
        if self._estimated is None or self._read is None:
            return 0
        return self._read - self._estimated.count

    def _estimate(self) -> Estimate:
        if self._parent:
            for axis in self._axes:
                axis.estimate()  # Its own files are looked at before its parent is asked.
            if self._filter:
                self._filter.check([*self._params])
            why = f"as many as the rows of {self.parent} make, known when they are there"
            return Estimate(0, exact=False, why=why)
        found = [axis.estimate() for axis in self._axes]
        combined = self._combined(found)
        if not (self._filter or self._grouping or self._options.limit):
            return combined
        if combined.exact and combined.count > _FEW and not (self._filter or self._grouping):
            return self._limited(combined)
        if combined.count <= _FEW:
            return Estimate(self.count(), exact=True, why="counted")
        return self._limited(self._thinned(combined))

    def sample(self, most: int = _SAMPLE) -> Sample:
        """What the first rows are; reads no more than these."""
        return survey(islice(self.rows(), most))

    def rows(self) -> Iterator[Planned]:
        """Every row, in the order of the parameters; what is read from files is not held.

        None for a resource with a parent: see `children`.
        """
        if self._parent is not None:
            return
        position = -1
        for position, value in enumerate(self._values()):
            yield self._row(position, value)
        self._read = position + 1

    def children(self, parent_rows: Iterable[Mapping[str, Scalar]]) -> Iterator[Planned]:
        """The rows that follow from rows of the parent, one after the other.

        Args:
            parent_rows: Field -> value, the fields being those of `parent_fields`; whatever else
                there is becomes a column of the planned row, to be carried.
        """
        assert self._parent is not None, f"{self.name} has no parent"
        rows: Iterator[Value] = map(self._parent.value, parent_rows)
        if self._axes:
            own = [*map(merged, self._combinations())]
            rows = (merged((value, one)) for value in rows for one in own)
        for position, value in enumerate(self._chosen(rows)):
            yield self._row(position, value)

    def _values(self) -> Iterator[Value]:
        """What each row of the plan puts into its call."""
        chosen = self._chosen(map(merged, self._combinations()))
        return islice(chosen, self._options.limit) if self._options.limit else chosen

    def _chosen(self, values: Iterator[Value]) -> Iterator[Value]:
        if self._filter:
            values = self._filter(values)
        return self._grouping()(values) if self._grouping else values

    def _combinations(self) -> Iterator[Sequence[Value]]:
        if len(self._axes) == 1:
            return ((value,) for value in self._axes[0])  # Streams a source of any length.
        constant = [next(iter(axis)) for axis in self._axes if axis.constant]
        varying = [axis for axis in self._axes if not axis.constant]
        if self._options.combine == "zip" and varying:
            return ((*values, *constant) for values in self._side_by_side(varying))
        return _crossed(self._axes)

    def _side_by_side(self, axes: Sequence[Axis]) -> Iterator[tuple[Value, ...]]:
        try:
            yield from zip(*axes, strict=True)
        except ValueError as error:
            if "zip()" not in str(error):
                raise
            problem = f"its parameters differ in length: {error.args[0].partition(' ')[2]}"
            where = f"resource.{self.name}.params"
            raise InputError(where, f"{problem}; the calls before the end were made") from None

    def _combined(self, found: Sequence[Estimate]) -> Estimate:
        if self._options.combine == "zip":
            # Whether they are of one length must be known before the first call is made.
            found = [_counted(*pair) for pair in zip(self._axes, found, strict=True)]
        exact = all(one.exact for one in found)
        if self._options.combine == "zip":
            pairs = zip(self._axes, found, strict=True)
            lengths = [(one.count, one.why) for axis, one in pairs if not axis.constant]
            if len({count for count, _ in lengths}) > 1:
                said = ", ".join(f"{why}: {count:,}" for count, why in lengths)
                key = f"resource.{self.name}.combine"
                raise ConfigError(key, "zip", f"as many of each ({said})")
            count = min((count for count, _ in lengths), default=1)
        else:
            count = prod(one.count for one in found)
        why = " and ".join(one.why for one in found if not exact or one.count > 1)
        return Estimate(count, exact=exact, why=why or "one call")

    def _thinned(self, whole: Estimate) -> Estimate:
        """Less what the filter leaves out, as far as the first rows tell, and grouped."""
        count, why = whole.count, whole.why
        if self._filter:
            first = list(islice(map(merged, self._combinations()), _SAMPLE))
            kept = sum(1 for _ in self._filter(iter(first)))
            count = round(count * kept / len(first))
            why += f"; the filter keeps {kept:,} of the first {len(first):,}"
        if self._grouping:
            size = self._grouping().size
            count = -(-count // size)
            why += f"; {size} to a call"
        return Estimate(count, exact=False, why=why)

    def _limited(self, whole: Estimate) -> Estimate:
        limit = self._options.limit
        if limit is None or whole.count <= limit:
            return whole
        return Estimate(limit, exact=whole.exact, why=f"limit; {whole.why}")

    def _row(self, position: int, value: Value) -> Planned:
        if self.since is not None:
            value = self._from_mark(value, *self.since)
        problem, rejected = value.problem, value.rejected
        if problem is None:
            try:
                return Planned(
                    position=position,
                    resource=self.name,
                    params=value.columns,
                    request=self._request(value),
                    final_at=self._final_at(value),
                )
            except Unsendable as error:
                problem, rejected = str(error), True
        return Planned(
            position=position,
            resource=self.name,
            params=value.columns,
            request=None,
            reason=problem,
            rejected=rejected,
        )

    def _from_mark(self, value: Value, name: str, option: Since) -> Value:
        mark = self._marks.get(combination(value.columns, name))
        asked = option.start if mark is None else asked_from(mark, option)
        return msgspec.structs.replace(
            value, columns={**value.columns, name: asked}, sent={**value.sent, name: asked}
        )

    def _request(self, value: Value) -> Request:
        request = self._calls.request(value.sent, value.columns)
        return request if self.paginator is None else self.paginator.first(request)

    def _final_at(self, value: Value) -> float | None:
        if self._options.settles is None or value.over_at is None:
            return None
        return value.over_at + seconds_in("settles", self._options.settles)

    def _check_placeholders(self) -> None:
        dated = {name for name, option in self._params.items() if isinstance(option, Dates)}
        known = {*self._params, *(f"{name}.end" for name in dated)}
        where = f"resource.{self.name}.params"
        if missing := sorted(self._calls.names - known):
            raise ConfigError(where, sorted(self._params), f"a parameter for {{{missing[0]}}}")
        used = {name.removesuffix(".end") for name in self._calls.names}
        if idle := [name for name in self._params if name not in used]:
            expected = f"{{{idle[0]}}} in the path, the query, a header or the body"
            raise WrongTable(
                f"{where}.{idle[0]}", f"expected {expected}; nothing uses this parameter"
            )

    def page_by(self, paginator: Paginator) -> None:
        """Have its lists go on as ``paginator`` says, whatever the file does."""
        self.paging, self.paginator = "hook", paginator

    @property
    def named_by(self) -> frozenset[str]:
        """The headers by which a call of the resource differs from its siblings."""
        return self._calls.varying

    def _build_paginator(self) -> Paginator | None:
        """None where an answer must show it first, or there is one page only."""
        if isinstance(self.paging, str):
            return None
        return paginator_of(self.paging, self._calls.varying)

    def _build_since(self) -> tuple[str, Since] | None:
        """The parameter that says from where on, and what it is."""
        found = [(name, o) for name, o in self._params.items() if isinstance(o, Since)]
        if len(found) > 1:
            key = f"resource.{self.name}.params.{found[1][0]}"
            raise ConfigError(key, found[1][1].since, f"one watermark only: {found[0][0]!r}")
        return found[0] if found else None

    def _build_parent(self) -> ParentRows | None:
        found = {n: o for n, o in self._params.items() if isinstance(o, Parent)}
        first = next(iter(found.values()), None)
        for name, option in found.items():
            assert first is not None
            key = f"resource.{self.name}.params.{name}"
            if option.from_ != first.from_:
                raise ConfigError(f"{key}.from", option.from_, f"one parent only: {first.from_!r}")
            if option.rows not in {None, self.rows_path}:
                raise ConfigError(f"{key}.rows", option.rows, f"as before: {self.rows_path!r}")
        return ParentRows(found) if found else None

    def _build_grouping(self) -> Callable[[], Grouping] | None:
        found = [
            (name, option)
            for name, option in self._params.items()
            if isinstance(option, Several) and option.group is not None
        ]
        if not found:
            return None
        (first, option), *others = found
        for name, other in others:
            # Of one source, row by row, so that the values of a call belong together.
            key = f"resource.{self.name}.params.{name}"
            if _place(name, other) != _place(first, option):
                raise ConfigError(f"{key}.group", other.group, f"one source, that of {first!r}")
            if other.group != option.group:
                raise ConfigError(f"{key}.group", other.group, f"{option.group} as in {first!r}")
        assert option.group is not None
        separators = {name: other.separator for name, other in found}
        return partial(Grouping, separators, size=option.group)

    def _build_axes(self) -> list[Axis]:
        axes: dict[object, Axis] = {}
        last: object = None
        for name, option in self._params.items():
            if isinstance(option, Parent):
                continue
            place = _place(name, option)
            if place not in axes:
                axes[place] = self._axis(name, option, place)
            if isinstance(option, Several) and option.group is not None:
                last = place
        if last is not None:  # What is grouped changes fastest.
            axes[last] = axes.pop(last)
        return list(axes.values())

    def _axis(self, name: str, option: ParamOptions, place: object) -> Axis:
        key = f"resource.{self.name}.params.{name}"
        match option:
            case Dates():
                return self._days(key, name, option)
            case Numbers():
                return Counted(name, option)
            case Values() | list():
                return Listed(name, option if isinstance(option, list) else option.values)
            case Csv() | Parquet() | Ndjson() | Sql():
                together = {
                    other: found
                    for other, found in self._params.items()
                    if isinstance(found, Csv | Parquet | Ndjson | Sql)
                    and _place(other, found) == place
                }
                wanted = [*together.values()]
                return Rows(open_source(key, wanted, self._folder, self._databases), together)
            case _:
                assert not isinstance(option, Parent)
                value = option.start if isinstance(option, Since) else option
                return Listed(name, [value], constant=True)

    def _days(self, key: str, name: str, option: Dates) -> Days:
        try:
            return Days(name, option, now=self._now, whole=f"{name}.end" in self._calls.names)
        except ConfigError as error:
            inner, *rest = error.args
            raise type(error)(f"{key}.{inner}", *rest) from None


def _counted(axis: Axis, found: Estimate) -> Estimate:
    if found.exact:
        return found
    return Estimate(sum(1 for _ in axis), exact=True, why=found.why)


def _place(name: str, option: ParamOptions) -> object:
    """What parameters of the same source have in common."""
    match option:
        case Csv():
            return ("csv", option.csv)
        case Parquet():
            return ("parquet", option.parquet)
        case Ndjson():
            return ("ndjson", option.ndjson)
        case Sql():
            return ("sql", option.sql, option.on)
        case _:
            return name


def _crossed(axes: Sequence[Axis]) -> Iterator[tuple[Value, ...]]:
    """Every value of each axis with every one of the others, the last one fastest."""
    if not axes:
        yield ()
        return
    first, *rest = axes
    held = [_held(axis) for axis in rest]
    for value in first:
        for more in product(*held) if all(isinstance(h, list) for h in held) else _nested(held):
            yield (value, *more)


def _held(axis: Axis) -> Iterable[Value]:
    """The values of ``axis`` if they are few; itself, to be read each time, if they are many."""
    values = list(islice(axis, _FEW + 1))
    return values if len(values) <= _FEW else axis


def _nested(axes: Sequence[Iterable[Value]]) -> Iterator[tuple[Value, ...]]:
    if not axes:
        yield ()
        return
    for value in axes[0]:
        for more in _nested(axes[1:]):
            yield (value, *more)


def skip_key(row: Planned) -> str:
    """The stable name of a row that makes no call."""
    columns = json.dumps(dict(row.params), sort_keys=True, default=str)
    return request_key("SKIP", row.resource, columns.encode())
