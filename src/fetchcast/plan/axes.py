"""Axes: the values that one source gives, one after the other; a plan combines its axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Protocol

import msgspec

from fetchcast.plan.estimates import Estimate
from fetchcast.plan.params import RULES, Column, Csv, Dates, Numbers, Parent
from fetchcast.plan.seen import Seen
from fetchcast.plan.sources import Row, Source
from fetchcast.plan.templates import Many, Sent, text_of
from fetchcast.plan.windows import Windows
from fetchcast.records import Scalar

_MASK = (1 << 64) - 1


class Value(msgspec.Struct, frozen=True):
    """What one row of an axis, or one of all axes together, puts into a call."""

    columns: Mapping[str, Scalar]
    """As it was read, and as it is carried."""
    sent: Mapping[str, Sent]
    """Placeholder -> what goes there."""
    problem: str | None = None
    """Why it makes no call."""
    rejected: bool = False
    over_at: float | None = None
    """When the day that it is will be over."""


class Axis(Protocol):
    """Values, and how many."""

    @property
    def constant(self) -> bool:
        """Whether it is one value that goes with all others."""

    def estimate(self) -> Estimate:
        """How many there are."""

    def __iter__(self) -> Iterator[Value]: ...


class Days:
    """Days or windows of time.

    Args:
        name: Of the parameter.
        options: Which days.
        now: Seconds since 1970.
        whole: Whether the whole window is asked for, with ``{name.end}``.
    """

    constant = False

    def __init__(self, name: str, options: Dates, *, now: float, whole: bool) -> None:
        self._name, self._whole = name, whole
        self._windows = Windows(options, now=now)

    def estimate(self) -> Estimate:
        """How many windows."""
        return Estimate(self._windows.count, exact=True, why=f"the days of {self._name}")

    def __iter__(self) -> Iterator[Value]:
        name = self._name
        for window in self._windows:
            if self._whole:
                columns: dict[str, Scalar] = {name: window.start, f"{name}_end": window.end}
                sent = {name: window.start, f"{name}.end": window.end}
                yield Value(columns, sent, over_at=window.over_at)
            else:
                named = {name: window.start}
                yield Value(named, named, over_at=window.day_over_at)


class Listed:
    """Given values."""

    def __init__(self, name: str, values: Sequence[Scalar], *, constant: bool = False) -> None:
        self._name, self._values, self.constant = name, values, constant

    def estimate(self) -> Estimate:
        """How many values."""
        return Estimate(len(self._values), exact=True, why=f"the values of {self._name}")

    def __iter__(self) -> Iterator[Value]:
        for value in self._values:
            named = {self._name: value}
            yield Value(named, named)


class Counted:
    """Numbers at equal steps; 0.1, 0.2, 0.3 are these and not their neighbours."""

    constant = False

    def __init__(self, name: str, options: Numbers) -> None:
        self._name = name
        whole = all(isinstance(n, int) for n in (options.from_, options.to, options.step))
        self._type: type[int | float] = int if whole else float
        self._first, self._step = Decimal(str(options.from_)), Decimal(str(options.step))
        self._count = int((Decimal(str(options.to)) - self._first) / self._step) + 1

    def estimate(self) -> Estimate:
        """How many numbers."""
        return Estimate(self._count, exact=True, why=f"the numbers of {self._name}")

    def __iter__(self) -> Iterator[Value]:
        for place in range(self._count):
            named = {self._name: self._type(self._first + place * self._step)}
            yield Value(named, named)


class Rows:
    """The rows of a source: all parameters that are columns of it."""

    constant = False

    def __init__(self, source: Source, params: Mapping[str, Column]) -> None:
        self._source, self._params = source, [*params.items()]
        self._strips = any(isinstance(option, Csv) for option in params.values())

    def estimate(self) -> Estimate:
        """How many rows."""
        return self._source.estimate()

    def __iter__(self) -> Iterator[Value]:
        return map(self._value, self._source.rows())

    def _value(self, row: Row) -> Value:
        sent: dict[str, Scalar] = {}
        for name, option in self._params:
            raw = row.get(option.column)
            if self._strips and isinstance(raw, str):
                raw = raw.strip()
            try:
                sent[name] = cleaned(option.column, raw, option.rule)
            except ValueError as error:
                return Value(row, sent, str(error), option.on_bad == "reject")
        return Value({**row, **sent}, sent)


class ParentRows:
    """What the rows of the parent resource give: all parameters that name it."""

    def __init__(self, params: Mapping[str, Parent]) -> None:
        self.fields = {name: option.field for name, option in params.items()}
        self._params = params

    def value(self, row: Row) -> Value:
        """One row of the parent; what it has beside the fields is carried as it is."""
        sent: dict[str, Scalar] = {}
        used = set(self.fields.values())
        columns = {name: value for name, value in row.items() if name not in used}
        for name, option in self._params.items():
            raw = row.get(option.field)
            try:
                sent[name] = cleaned(option.field, raw, option.rule)
            except ValueError as error:
                return Value({**columns, name: raw}, sent, str(error), option.on_bad == "reject")
        return Value({**columns, **sent}, sent)


def cleaned(name: str, raw: Scalar, rule: str | None) -> Scalar:
    """``raw`` as it is sent; raises ValueError, with the reason, if it cannot be."""
    if raw is None or raw == "" or raw != raw:  # noqa: PLR0124  not a number
        raise ValueError(f"{name} is empty")
    return RULES[rule](text_of(raw)) if rule else raw


def merged(values: Sequence[Value]) -> Value:
    """One row of all axes together."""
    if len(values) == 1:
        return values[0]
    bad = next((value for value in values if value.problem), None)
    over = [value.over_at for value in values if value.over_at is not None]
    return Value(
        {name: one for value in values for name, one in value.columns.items()},
        {name: one for value in values for name, one in value.sent.items()},
        bad.problem if bad else None,
        bad.rejected if bad else False,
        max(over, default=None),
    )


class Grouping:
    """Several values of one parameter for each call, or of several that go together; equal once.

    Rows belong together that follow each other and differ in these parameters alone, as far as
    they are sent. A group is carried as one text; of the other columns, those that are sent.

    Args:
        separators: Parameter -> what stands between its values.
        size: So many rows go into one call.
    """

    def __init__(self, separators: Mapping[str, str], *, size: int) -> None:
        self._separators, self.size = separators, size
        self._waiting: list[tuple[Scalar, ...]] = []
        self._seen = Seen()
        self._others: Mapping[str, Sent] | None = None
        self._first: Value | None = None

    def __call__(self, values: Iterator[Value]) -> Iterator[Value]:
        """The groups of ``values``; bad values are given on as they are."""
        for value in values:
            if value.problem:
                yield value
                continue
            others = {k: one for k, one in value.sent.items() if k not in self._separators}
            if others != self._others:
                yield from self._rest()
                self._others, self._first, self._seen = others, value, Seen()
            row = tuple(map(self._one, (value.sent[name] for name in self._separators)))
            if self._seen.add(hash(tuple(map(text_of, row))) & _MASK):
                self._waiting.append(row)
                if len(self._waiting) == self.size:
                    yield from self._rest()
        yield from self._rest()

    def _one(self, sent: Sent) -> Scalar:
        assert not isinstance(sent, Many)
        return sent

    def _rest(self) -> Iterator[Value]:
        if not self._waiting:
            return
        assert self._others is not None
        assert self._first is not None
        columns = zip(self._separators.items(), zip(*self._waiting, strict=True), strict=True)
        several = {name: Many(values, separator) for (name, separator), values in columns}
        self._waiting.clear()
        carried = {name.replace(".", "_") for name in self._others}
        around = {n: v for n, v in self._first.columns.items() if n in carried}
        texts = {name: text_of(many) for name, many in several.items()}
        yield Value({**around, **texts}, {**self._others, **several}, over_at=self._first.over_at)
