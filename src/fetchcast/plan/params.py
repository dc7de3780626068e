"""Parameters as the file says them: what fills a resource's placeholders, and from where."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

import msgspec

from fetchcast.errors import ConfigError, UnknownKey, WrongTable
from fetchcast.json_path import parse_path
from fetchcast.plan.business_id import normalise
from fetchcast.records import Scalar

RULES: Mapping[str, Callable[[str], str]] = {"finnish_business_id": normalise}
"""What a value may be put through; each raises ValueError, with the reason, for a bad one."""


class Dates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Days, or windows of time: the ``last`` so many whole ones, or ``from`` .. ``to``.

    ``{date}`` is where a window begins, ``{date.end}`` where it ends; carried into rows they are
    ``param:date`` and ``param:date_end``.
    """

    last: str | None = None
    """So many, ending yesterday: "365 days", "8 weeks", "12 months", "1 year"; "48 hours" end with
    the last whole hour."""
    from_: str | None = msgspec.field(default=None, name="from")
    """The first day, like 2026-11-25, or the first moment, like 2026-11-25T06:00."""
    to: str | None = None
    """The last day, inclusive, or the moment at which all ends; yesterday if not given."""
    step: str = "1 day"
    """From one to the next: "1 day", "2 weeks", "1 month", "6 hours". Days, weeks, months and years
    follow the calendar of ``time_zone``; hours, minutes and seconds are as long as the clock says,
    also when it is put forward or back."""
    ends: Literal["inclusive", "exclusive"] = "inclusive"
    """Whether ``{date.end}`` is the last second (day) in the window, or the first after it."""
    format: str | None = None
    """How the API wants them written, in strftime's letters, or ``unix`` (seconds since 1970) or
    ``unix_ms``; 2026-11-25 for days, 2026-11-25T06:00:00+02:00 for shorter steps if not given."""
    time_zone: str = "UTC"
    """Whose yesterday, and where a day begins."""
    written_in: str | None = None
    """The zone in which they are written, where that is another one."""

    def __post_init__(self) -> None:
        if (self.last is None) == (self.from_ is None):
            raise ValueError("dates need either `last` or `from` (and `to`)")


class Several(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values of which a call may take several."""

    group: int | None = None
    """So many values go into one call, equal ones once."""
    separator: str = ","
    """Between them, in a path, a query, a header or a text; JSON gets a list."""

    def __post_init__(self) -> None:
        if self.group is not None and self.group < 1:
            raise ValueError(f"group = {self.group}: expected 1 or more")


class Values(Several, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Given values; ``["a", "b"]`` says the same where ``group`` is not needed."""

    values: list[str | int | float | bool]
    """One after the other."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.values:
            raise ValueError("values = []: expected at least one value")


class Numbers(Several, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers ``from`` .. ``to``, inclusive."""

    from_: int | float = msgspec.field(name="from")
    """The first."""
    to: int | float
    """The last, if the steps meet it."""
    step: int | float = 1
    """From one to the next; below 0 to count down."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.step:
            raise ValueError("step = 0: expected another number")
        if (self.to - self.from_) * self.step < 0:
            raise ValueError(f"to = {self.to}: expected a number the steps lead to")


class _Checked(Several, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values that come from elsewhere, and may be bad."""

    rule: str | None = None
    """What each value is put through, for instance ``finnish_business_id``."""
    on_bad: Literal["reject", "skip"] = "reject"
    """A row whose value is missing or breaks the rule is a ``reject`` (the exit status says so) or
    a ``skip``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rule is not None and self.rule not in RULES:
            raise ValueError(f"rule = {self.rule!r}: expected one of {', '.join(RULES)}")


class _Column(_Checked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column of rows."""

    column: str
    """Its name; parameters of the same source are read row by row, together."""
    carry: list[str] | None = None
    """Which other columns go into the rows as parameters; all if not given."""


class Csv(_Column, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column of a CSV file with a header line."""

    csv: str
    """Path, relative to the pipeline file."""
    delimiter: str = ","
    """Between cells; ``"\\t"`` for tabs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.delimiter) != 1:
            raise ValueError(f"delimiter = {self.delimiter!r}: expected one character")


class Parquet(_Column, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column of a Parquet file, read a piece at a time."""

    parquet: str
    """Path, relative to the pipeline file."""


class Ndjson(_Column, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key of the objects in a file with one JSON object a line."""

    ndjson: str
    """Path, relative to the pipeline file."""


class Sql(_Column, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A column of a query's result, as it is when the run begins."""

    sql: str
    """The query; it only reads."""
    on: str | None = None
    """The address of the database; the pipeline's first destination if not given."""


class Parent(_Checked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A field of the rows of another resource, the parent: one call for each of its rows."""

    from_: str = msgspec.field(name="from")
    """The parent's name; parameters of the same parent are read row by row, together."""
    field: str
    """Where the value is in a row: ``code``, ``station.code``."""
    rows: str | None = None
    """Where the parent's rows are in its answers; as in its first table if not given."""


Column: TypeAlias = Csv | Parquet | Ndjson | Sql


class Since(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far earlier runs have come, for APIs that tell what is new since then.

    Each run asks from the greatest value that has landed so far, for each combination of the other
    parameters. It moves when a run has got every answer of that combination.
    """

    since: str
    """Where the value is in the answers: ``[*].updatedAt``."""
    start: str | int | float
    """Sent as long as nothing has landed; also says whether values are times, numbers or texts."""
    overlap: str | int | float | None = None
    """Asked for again each time: ``"10 minutes"`` of times, or a number of numbers."""

    def __post_init__(self) -> None:
        parse_path(self.since)
        if self.overlap is None:
            return
        if isinstance(self.overlap, str):
            seconds_in("overlap", self.overlap)
        if isinstance(self.start, str) is not isinstance(self.overlap, str):
            raise ValueError(f"overlap = {self.overlap!r}: expected a span of time if start is one")


ParamOptions: TypeAlias = Since | Dates | Numbers | Values | Column | Parent | list[Scalar] | Scalar

_KINDS: Mapping[type[msgspec.Struct], str] = {
    Csv: "a CSV column",
    Parquet: "a Parquet column",
    Ndjson: "a key of NDJSON objects",
    Sql: "a column of a query",
    Values: "values",
    Numbers: "numbers",
    Parent: "a field of a parent",
    Since: "a watermark",
    Dates: "days",
}
_BY_KEY: Mapping[str, type[msgspec.Struct]] = {
    "csv": Csv,
    "parquet": Parquet,
    "ndjson": Ndjson,
    "sql": Sql,
    "values": Values,
    "field": Parent,
    "rows": Parent,
    "since": Since,
}


def _kind_of(raw: Mapping[str, Any]) -> type[msgspec.Struct]:
    """Which kind of parameter a table is, by the key that only this kind has."""
    for key, kind in _BY_KEY.items():
        if key in raw:
            return kind
    begins = raw.get("from")
    if isinstance(begins, str) and not re.match(r"\s*\d", begins):
        return Parent
    return Numbers if isinstance(begins, int | float) else Dates


def read_param(key: str, raw: Any) -> ParamOptions:
    """``raw`` from the file as the kind of parameter it is; raises `ConfigError`."""
    if isinstance(raw, dict):
        return _read_table(key, raw)
    if isinstance(raw, list):
        if not raw:
            raise ConfigError(key, raw, "at least one value")
        if not all(isinstance(value, str | int | float | bool) for value in raw):
            raise ConfigError(key, raw, "a list of texts, numbers or true and false")
        return raw
    if isinstance(raw, str | int | float | bool):
        return raw
    kinds = ", ".join(_KINDS.values())
    raise ConfigError(key, raw, f"a value, a list of values, or one of: {kinds}")


def _read_table(key: str, raw: dict[str, Any]) -> ParamOptions:
    kind = _kind_of(raw)
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for name in raw:
        if name not in known:
            nearest = get_close_matches(name, [*known, *_BY_KEY], n=1)
            raise UnknownKey(f"{key}.{name}", nearest[0] if nearest else None, known)
    try:
        read: ParamOptions = msgspec.convert(raw, kind)  # type: ignore[assignment]
    except msgspec.ValidationError as error:
        # The table is not shown: the address of a database has its password.
        problem = str(error).partition(" - at `$")
        where = problem[2].rstrip("`")
        expected = f"expected {_KINDS[kind]}: {problem[0]}"
        raise WrongTable(f"{key}{where}", expected) from None
    return read


def is_dates(raw: Any) -> bool:
    """Whether ``raw``, a parameter as it stands in the file, is days."""
    return isinstance(raw, dict) and _kind_of(raw) is Dates


def parent_of(raw: Any) -> str | None:
    """The resource from whose rows ``raw``, a parameter as it stands in the file, comes."""
    if not isinstance(raw, dict) or _kind_of(raw) is not Parent:
        return None
    name = raw.get("from")
    return name if isinstance(name, str) else None


_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "week": 604800.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(second|minute|hour|day|week)s?")


def seconds_in(key: str, text: str) -> float:
    """The seconds in a span such as "6 hours" or "2 days"; raises `ConfigError` about ``key``."""
    found = _SPAN.fullmatch(text.strip())
    if not found:
        raise ConfigError(key, text, "a span like '30 minutes', '6 hours', '2 days', '1 week'")
    return float(found[1]) * _SECONDS[found[2]]
