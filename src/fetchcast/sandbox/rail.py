"""The rail traffic API (rata.digitraffic.fi), as far as trains of one number and day go."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import msgspec

from fetchcast.clock import Clock
from fetchcast.sandbox import recordings
from fetchcast.sandbox.resample import HELSINKI, as_of, made_day
from fetchcast.sandbox.served import Body, Call, Origin, Served, error_json, text, zipped

PREFIX = "/api/v1"
RECORDED_TRAIN = 27
EARLIER_TRAIN = 25
"""Runs one hour before the recorded one on the same line, and was never recorded."""

_HOURS_EARLIER = {RECORDED_TRAIN: 0, EARLIER_TRAIN: 1}
_YEAR = (date(2021, 3, 23), date(2022, 3, 23))
_DAYS_BACK = 400
_DAYS_AHEAD = 30
_TRAIN_PARAMETERS = frozenset({"version", "include_deleted", "includeDeleted"})
_HEADERS = {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*"}
_TRAIN_HEADERS = {**_HEADERS, "Cache-Control": "max-age=10, public"}
_DAY_HEADERS = {**_HEADERS, "Cache-Control": "max-age=3600, public"}
_METADATA_HEADERS = {**_HEADERS, "Cache-Control": "max-age=600, public"}
_LARGEST_NUMBER = 2**63 - 1

_TRAIN = re.compile(rf"{PREFIX}/trains/([^/]+)/([^/]+)")
_DAY = re.compile(rf"{PREFIX}/trains/([^/]+)")
_DUMP_NAME = "digitraffic-rata-trains-{}-01.zip"
_DUMP = re.compile(rf"{PREFIX}/trains/dumps/{_DUMP_NAME.format('([0-9]{4}-[0-9]{2})')}")
_DUMP_LIST = f"{PREFIX}/trains/dumps/list.html"


class _Wrong(Exception):
    """The call is answered with 400; args: code, message."""


class Rail:
    """Answers calls; keeps what it made, so that a day is made once."""

    def __init__(self, *, seed: int, clock: Clock) -> None:
        self._seed, self._clock = seed, clock
        self._made: dict[tuple[date, int], tuple[Body, int]] = {}

    @staticmethod
    def route(path: str) -> str:
        """A name for the kind of call that ``path`` is."""
        if _DUMP.fullmatch(path):
            return "rail dump"
        if _TRAIN.fullmatch(path) and path != _DUMP_LIST:
            return "rail train"
        if _DAY.fullmatch(path):
            return "rail day"
        return "rail stations" if path == f"{PREFIX}/metadata/stations" else "rail other"

    def answer(self, call: Call) -> Served:
        """What the API says to ``call``."""
        if call.method not in {"GET", "HEAD"}:
            return _error(call, 405, "METHOD_NOT_ALLOWED", f"Method {call.method} is not allowed")
        if not call.accepts_gzip:
            words = "Use of gzip compression is required with Accept-Encoding: gzip header."
            return text(406, words)
        if not _takes_json(call.accept):
            return _error(call, 500, "INTERNAL_ERROR", "HttpMediaTypeNotAcceptableException")
        try:
            return self._found(call)
        except _Wrong as wrong:
            return _error(call, 400, *wrong.args)

    @staticmethod
    def refused(limit_text: str) -> Served:
        """What the edge says to a call too many: plain text, and not when to come back."""
        return text(429, limit_text)

    def _found(self, call: Call) -> Served:
        if match := _DUMP.fullmatch(call.path):
            return self._dump(call, match[1])
        if call.path == _DUMP_LIST:
            return self._dump_list()
        if match := _TRAIN.fullmatch(call.path):
            return self._train(call, *match.groups())
        if match := _DAY.fullmatch(call.path):
            return self._day(call, match[1])
        if call.path == f"{PREFIX}/metadata/stations":
            _check_parameters(call, frozenset())
            return _stations().served(call, _METADATA_HEADERS)
        return _error(call, 404, "RESOURCE_NOT_FOUND", "Resource not found")

    def _train(self, call: Call, day_text: str, number_text: str) -> Served:
        _check_parameters(call, _TRAIN_PARAMETERS)
        day = self._today() if day_text == "latest" else _day(day_text)
        number = _whole(number_text)
        known = _whole(call.query.get("version", "-1"))
        body, version = self._body(day, number)
        if 0 <= version <= known:  # The caller has this version already.
            body = _EMPTY[body.origin]
        return body.served(call, _TRAIN_HEADERS)

    def _day(self, call: Call, day_text: str) -> Served:
        _check_parameters(call, _TRAIN_PARAMETERS)
        plain, rows = self._whole_day(_day(day_text))
        # Train 25 is never a recording, so no whole day is.
        return Body.of(plain, Origin.RESAMPLED, rows=rows).served(call, _DAY_HEADERS)

    def _whole_day(self, day: date) -> tuple[bytes, int]:
        """All trains of a day as one array, and their rows."""
        trains = [self._body(day, number)[0] for number in _HOURS_EARLIER]
        plain = b",".join(inner for body in trains if (inner := body.plain[1:-1]))
        return b"[%b]" % plain, sum(body.rows for body in trains)

    def _dump(self, call: Call, month: str) -> Served:
        """A month as an archive: a file a day, each with all trains of that day."""
        if month not in self._dumped_months():
            return _error(call, 404, "RESOURCE_NOT_FOUND", "Resource not found")
        days = [(day, *self._whole_day(day)) for day in _days_of(month)]
        rows = sum(rows for _, _, rows in days)
        return zipped(((f"{day}_trains.json", plain) for day, plain, _ in days), rows=rows)

    def _dump_list(self) -> Served:
        names = [_DUMP_NAME.format(month) for month in self._dumped_months()]
        page = "\n".join(f'<a href="{name}">{name}</a><br>' for name in names)
        headers = {"Content-Type": "text/html"}
        return text(200, f"<html><body>\n{page}\n</body></html>\n", headers)

    def _dumped_months(self) -> list[str]:
        """The months of which every day is over and known; made on the 5th of the next one."""
        known = sorted(recordings.train_days())
        last = self._today() - timedelta(5)
        starts = [date.fromisoformat(known[0]), _YEAR[0], last - timedelta(_DAYS_BACK)]
        months = {_month(start + timedelta(n)) for start in starts for n in range(_DAYS_BACK)}
        return sorted(
            month
            for month in months
            if month < _month(last) and all(self._in_span(day) for day in _days_of(month))
        )

    def _body(self, day: date, number: int) -> tuple[Body, int]:
        """The answer about one train and its version; -1 if there is no train."""
        made = self._made.get((day, number))
        if made is None:
            made = _body(self._look_up(day, number), number, self._origin(day, number))
            # What is still going to happen is made anew each time; nothing costs nothing to make.
            if made[0].rows and day < self._today():
                self._made[day, number] = made
        return made

    def _look_up(self, day: date, number: int) -> Mapping[str, Any] | None:
        recorded = recordings.train_days()
        if number == RECORDED_TRAIN and day.isoformat() in recorded:
            return recorded[day.isoformat()]
        if number not in _HOURS_EARLIER or not self._in_span(day):
            return None
        earlier_h = _HOURS_EARLIER[number]
        train = made_day(recorded, day, number=number, earlier_h=earlier_h, seed=self._seed)
        return train if train is None or day < self._today() else as_of(train, self._now())

    def _origin(self, day: date, number: int) -> Origin:
        if number == RECORDED_TRAIN and day.isoformat() in recordings.train_days():
            return Origin.RECORDED
        made = number in _HOURS_EARLIER and self._in_span(day)
        return Origin.RESAMPLED if made else Origin.COMPOSED

    def _in_span(self, day: date) -> bool:
        """Whether trains are made for ``day``."""
        if _YEAR[0] <= day <= _YEAR[1] or day.isoformat() in recordings.train_days():
            return True
        return timedelta(-_DAYS_BACK) <= day - self._today() <= timedelta(_DAYS_AHEAD)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)

    def _today(self) -> date:
        return self._now().astimezone(HELSINKI).date()


def _body(train: Mapping[str, Any] | None, number: int, origin: Origin) -> tuple[Body, int]:
    if train is None:
        return _EMPTY[origin], -1
    rows = len(train["timeTableRows"])
    plain = msgspec.json.encode([train])
    return Body.of(plain, origin, rows=rows, train=number), train["version"]


_EMPTY = {origin: Body.of(b"[]", origin) for origin in Origin}


@cache
def _stations() -> Body:
    return Body.of(recordings.stations(), Origin.RECORDED)


def _month(day: date) -> str:
    return day.isoformat()[:7]


def _days_of(month: str) -> list[date]:
    first = date.fromisoformat(f"{month}-01")
    return [day for n in range(31) if (day := first + timedelta(n)).month == first.month]


def _takes_json(accept: str) -> bool:
    kinds = {kind.partition(";")[0].strip() for kind in accept.split(",")}
    return not accept or not kinds.isdisjoint({"*/*", "application/*", "application/json"})


def _check_parameters(call: Call, known: frozenset[str]) -> None:
    for name in call.query:
        if name not in known:
            url = call.base_url + call.path
            raise _Wrong("UNKNOWN_PARAMETER", f"Unknown parameter: {name}, Url: {url}")


def _day(value: str) -> date:
    try:
        # `fromisoformat` alone would take 20200101 too.
        return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise _wrong_type("LocalDate", value) from None


def _whole(value: str) -> int:
    if re.fullmatch(r"-?[0-9]{1,19}", value) and abs(int(value)) <= _LARGEST_NUMBER:
        return int(value)
    raise _wrong_type("Long", value)


def _wrong_type(target: str, value: str) -> _Wrong:
    words = f"Invalid format for parameter. Target type: {target}, parameter: {value}"
    return _Wrong("PARAMETER_WRONG_TYPE", words)


def _error(call: Call, status: int, code: str, message: str) -> Served:
    query = {"queryString": call.query_string} if call.query_string else {}
    return error_json(call, status, {**query, "code": code, "errorMessage": message})
