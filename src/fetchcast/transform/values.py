"""Turns lists of decoded values into Arrow arrays, exactly, or says which ones do not fit."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from fetchcast.transform.picks import Declared
from fetchcast.transform.reading import Odd, count_elements, count_leaves
from fetchcast.transform.schema import (
    ARROW_TYPES,
    FIRST_DAY,
    FIRST_TIME_US,
    HOLDS,
    INTEGERS,
    LAST_DAY,
    LAST_TIME_US,
    STRINGS,
    TIMESTAMP,
    Kind,
    scalar_kind,
    text_kind,
)

_INTEGER = re.compile(r"[+-]?\d{1,19}")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_INT64 = 1 << 63
_EXACT = 1 << 53

# The kinds that one step of Arrow turns into a column of this type.
_NATURAL = {
    "bool": Kind.BOOL,
    "int64": INTEGERS,
    "float64": INTEGERS | Kind.FLOAT,
    "text": STRINGS,
    "date": STRINGS,
    "timestamptz": STRINGS,
}


class Misfits(Exception):
    """Some values do not fit the column; args: their positions in the list."""


def to_array(values: Sequence[Any], kind: str, kinds: int, declared: Declared) -> pa.Array:
    """``values`` (None for nothing) as one array; raises `Misfits` if one of them cannot be.

    Nothing is rounded, cut or guessed: an integer that a double cannot hold does not fit a
    column of doubles.
    """
    natural = not kinds & ~(_NATURAL[kind] | Kind.NULL | Kind.OBJECT | Kind.ARRAY)
    if natural and not declared.missing:
        try:
            return _at_once(values, kind)
        except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
            pass  # One of them does not fit; look at each.
    elif kind == "text" and not declared.missing:
        return pa.array([render(value) for value in values], pa.string())
    return _one_by_one(values, kind, declared)


def _at_once(values: Sequence[Any], kind: str) -> pa.Array:
    if kind not in {"date", "timestamptz"}:
        return pa.array(values, ARROW_TYPES[kind])
    made = pa.array(values, pa.string()).cast(ARROW_TYPES[kind])
    low, high = pc.min_max(made).values()
    first, last = _RANGE[kind]
    if low.is_valid and not (first <= low.value and high.value <= last):
        raise pa.ArrowInvalid("outside the years 1 to 9999")
    return made


_RANGE = {"date": (FIRST_DAY, LAST_DAY), "timestamptz": (FIRST_TIME_US, LAST_TIME_US)}


def _one_by_one(values: Sequence[Any], kind: str, declared: Declared) -> pa.Array:
    converted = [_checked(value, kind, declared) for value in values]
    misfits = [place for place, value in enumerate(converted) if isinstance(value, Odd)]
    if misfits:
        raise Misfits(misfits)
    return pa.array(converted, ARROW_TYPES[kind])


def _checked(value: Any, kind: str, declared: Declared) -> Any:
    # Only a declared type reads numbers out of texts and times without a zone.
    if declared.type is None and scalar_kind(value) & ~(HOLDS[kind] | Kind.NULL):
        return Odd("", f"not {_SAID[kind]}")
    return convert(value, kind, declared)


def render(value: Any) -> str | None:
    """A scalar as the text that a text column holds: ``true``, ``7``, ``1.5``."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def convert(value: Any, kind: str, declared: Declared) -> Any:
    """``value`` as Python has it in a column of type ``kind``; `Odd` with the reason if not."""
    if value is None or isinstance(value, Odd):
        return value
    if isinstance(value, str) and value in declared.missing:
        return None
    made = _CONVERT[kind](value, declared)
    return Odd(json.dumps(value), f"not {_SAID[kind]}") if made is None else made


def _int64(value: Any, _: Declared) -> int | None:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -_INT64 <= value < _INT64 else None


def _float64(value: Any, _: Declared) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value) else None
        return value if value is not None and abs(value) != float("inf") else None
    if isinstance(value, int):
        return float(value) if -_EXACT <= value <= _EXACT else None
    return value if isinstance(value, float) else None


def _bool(value: Any, _: Declared) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def _text(value: Any, _: Declared) -> str | None:
    return render(value)


def _date(value: Any, _: Declared) -> Any:
    if isinstance(value, str) and text_kind(value) == Kind.DATE:
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).date()
    return None


def _time(value: Any, declared: Declared) -> Any:
    if not isinstance(value, str):
        return None
    if text_kind(value) == Kind.TIME:
        return pa.scalar(value).cast(TIMESTAMP).as_py()
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is not None:
        return None
    zone = ZoneInfo(declared.zone) if declared.zone else UTC
    return moment.replace(tzinfo=zone).astimezone(UTC)


_CONVERT = {
    "int64": _int64,
    "float64": _float64,
    "bool": _bool,
    "text": _text,
    "date": _date,
    "timestamptz": _time,
}
_SAID = {
    "int64": "an integer of 64 bits",
    "float64": "a number that a double holds exactly",
    "bool": "true or false",
    "text": "a text",
    "date": "a date such as 2020-01-31",
    "timestamptz": "a time such as 2020-01-31T12:00:00Z",
}


def to_json_array(raws: Sequence[Any]) -> pa.Array:
    """Raw JSON texts as a text column; ``null`` becomes NULL, broken UTF-8 does not fit."""
    texts = [None if raw is None else bytes(raw) for raw in raws]
    try:
        return pa.array([None if text == b"null" else text for text in texts], pa.binary()).cast(
            pa.string()
        )
    except pa.ArrowInvalid:
        raise Misfits([place for place, text in enumerate(texts) if not _is_utf8(text)]) from None


def _is_utf8(text: bytes | None) -> bool:
    try:
        (text or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def count_raw(raw: Any, *, alone: bool = False) -> tuple[int, int]:
    """Values in a raw JSON text: all, and those of them that are not the value of a key.

    Raises:
        RecursionError: If it is nested too deeply to be read.
    """
    if raw is None:
        return 0, 0
    text = bytes(raw)
    if text[:1] not in {b"{", b"["}:
        there = 0 if text == b"null" else 1
        return there, there if alone else 0
    value = _PAIRS.decode(text.decode(errors="replace"))
    return count_leaves(value), count_elements(value)


class _Pairs(dict[str, Any]):
    """All values of an object, those with equal keys too."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__((str(place), value) for place, (_, value) in enumerate(pairs))


_PAIRS = json.JSONDecoder(object_pairs_hook=_Pairs)
