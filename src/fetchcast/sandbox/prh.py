"""The company API of the Finnish Patent and Registration Office: version 1 (retired) and 3."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlencode

import msgspec

from fetchcast.clock import Clock
from fetchcast.sandbox import recordings
from fetchcast.sandbox.served import Body, Call, Origin, Served, error_json, text, zipped

V1_PREFIX = "/bis/v1"
V3_PREFIX = "/opendata-ytj-api/v3"

Json = dict[str, Any]

_V1_HEADERS = {
    "Content-Type": "application/json; charset=UTF-8",
    "Access-Control-Allow-Origin": "*",
}
_V3_HEADERS = {"Content-Type": "application/json"}
_V3_PAGE = 100
_V1_LARGEST_PAGE = 1000
_V1_PAGE = 10


class PrhV1:
    """Version 1: a company's page by its business id, and a list in pages."""

    @staticmethod
    def route(path: str) -> str:
        """A name for the kind of call that ``path`` is."""
        return "prh v1 list" if path.rstrip("/") == V1_PREFIX else "prh v1 company"

    def answer(self, call: Call) -> Served:
        """What the API says to ``call``; a company that is not there is a 404 with no results."""
        if call.path.rstrip("/") == V1_PREFIX:
            return _v1_list(call)
        found = _v1_body(call.path.removeprefix(V1_PREFIX + "/"))
        # The recorded answers had this header, with 200, also where the status was 404.
        headers = {**_V1_HEADERS, "Http.status": "200"}
        if found is None:
            return _v1_miss().served(call, headers, 404)
        return found.served(call, headers)

    @staticmethod
    def refused(limit_text: str) -> Served:
        """What is said to a call too many: 503, as HTML, and not when to come back."""
        page = f"<html><head><title>503</title></head><body>{limit_text}</body></html>"
        return text(503, page, {"Content-Type": "text/html"})


class PrhV3:
    """Version 3: companies by business id, by name, in pages of a hundred."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @staticmethod
    def route(path: str) -> str:
        """A name for the kind of call that ``path`` is."""
        known = path in {f"{V3_PREFIX}/companies", f"{V3_PREFIX}/all_companies"}
        return path.removeprefix(V3_PREFIX).replace("/", "prh v3 ") if known else "prh v3 other"

    def answer(self, call: Call) -> Served:
        """What the API says to ``call``; a company that is not there is a list of none."""
        if call.path == f"{V3_PREFIX}/all_companies":
            return _v3_all()
        if call.path != f"{V3_PREFIX}/companies":
            return self._error(call, 404, "Not found")
        page = call.query.get("page", "1")
        if not page.removeprefix("-").isdecimal():
            return self._error(call, 400, f"page: {page} is not a whole number")
        if "businessId" in call.query:
            return _v3_company(call.query["businessId"]).served(call, _V3_HEADERS)
        return _v3_page(call, int(page)).served(call, _V3_HEADERS)

    @staticmethod
    def refused(limit_text: str) -> Served:
        """What is said to a call too many: a line of plain text."""
        return text(429, limit_text)

    def _error(self, call: Call, status: int, message: str) -> Served:
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        stamp = now.strftime("%Y-%m-%d %H:%M:%S")
        value = {"timestamp": stamp, "message": message, "errorcode": status}
        return error_json(call, status, value)


@lru_cache(maxsize=8192)
def _v1_body(business_id: str) -> Body | None:
    """A company's page; whole where it was recorded, else what the list said."""
    whole = recordings.prh_v1_hit()
    if business_id == whole["results"][0]["businessId"]:
        return Body.of(msgspec.json.encode(whole), Origin.RECORDED)
    entry = _v1_entries().get(business_id)
    if entry is None:
        return None
    page = {**recordings.prh_v1_miss(), "results": [_v1_company(entry)]}
    return Body.of(msgspec.json.encode(page), Origin.COMPOSED)


@cache
def _v1_entries() -> dict[str, Json]:
    return {entry["businessId"]: entry for entry in _v1_listed()}


@cache
def _v1_miss() -> Body:
    return Body.of(msgspec.json.encode(recordings.prh_v1_miss()), Origin.RECORDED)


@cache
def _v1_listed() -> list[Json]:
    """The companies of both recordings, as version 1 lists them."""
    newer = [_v1_entry(company) for company in recordings.prh_v3_companies()]
    return [*recordings.prh_v1_list(), *newer]


def _v1_entry(company: Json) -> Json:
    """A company of version 3 in the five fields of a version 1 list."""
    forms = [form["type"] for form in company["companyForms"]]
    names = [name for name in company["names"] if name["type"] == "1"]
    current = [name for name in names if "endDate" not in name]
    return {
        "businessId": company["businessId"]["value"],
        "name": [*current, *names][0]["name"],
        "registrationDate": company.get("registrationDate"),
        "companyForm": next((_V1_FORMS[form] for form in forms if form in _V1_FORMS), None),
        "detailsUri": None,
    }


_V1_FORMS = {"2": "AOY", "5": "AY", "10": "KOY", "13": "KY", "15": "OP", "16": "OY"}
_V3_FORMS = {form: code for code, form in _V1_FORMS.items()}


def _v1_company(entry: Json) -> Json:
    """A list entry as a company's page: what the list does not say stays empty."""
    name = {
        "order": 0,
        "version": 1,
        "name": entry["name"],
        "registrationDate": entry["registrationDate"],
        "endDate": None,
        "source": 1,
    }
    empty = recordings.prh_v1_hit()["results"][0]
    page: Json = {field: [] if isinstance(value, list) else None for field, value in empty.items()}
    listed = {field: entry[field] for field in page if field in entry}
    return {**page, **listed, "names": [name]}


def _v1_list(call: Call) -> Served:
    size = min(_number(call.query.get("maxResults"), _V1_PAGE), _V1_LARGEST_PAGE)
    start = _number(call.query.get("resultsFrom"), 0)
    name = call.query.get("name", "").casefold()
    found = [entry for entry in _v1_listed() if name in entry["name"].casefold()]
    counted = call.query.get("totalResults") == "true"
    envelope = {
        **recordings.prh_v1_miss(),
        "totalResults": len(found) if counted else -1,
        "resultsFrom": start,
        "previousResultsUri": _v1_uri(call, max(0, start - size), size) if start else None,
        "nextResultsUri": _v1_uri(call, start + size, size) if start + size < len(found) else None,
        "results": found[start : start + size],
    }
    status = 200 if envelope["results"] else 404
    return Body.of(msgspec.json.encode(envelope), Origin.COMPOSED).served(call, _V1_HEADERS, status)


def _v1_uri(call: Call, start: int, size: int) -> str:
    query = {**call.query, "maxResults": size, "resultsFrom": start}
    return f"{call.base_url}{V1_PREFIX}?{urlencode(query)}"


def _number(value: str | None, default: int) -> int:
    return int(value) if value is not None and value.isdecimal() else default


@cache
def _v3_companies() -> dict[str, tuple[Json, Origin]]:
    """Business id to company; whole where it was recorded, else what version 1 listed."""
    listed = [*recordings.prh_v1_list(), recordings.prh_v1_hit()["results"][0]]
    composed = {entry["businessId"]: (_v3_composed(entry), Origin.COMPOSED) for entry in listed}
    whole = recordings.prh_v3_companies()
    recorded = {one["businessId"]["value"]: (one, Origin.RECORDED) for one in whole}
    return {**recorded, **composed, **recorded}  # The whole ones first, and not overwritten.


def _v3_composed(entry: Json) -> Json:
    """A company that version 1 listed, in the form of version 3; ``lastModified`` is not known."""
    dated = {"registrationDate": entry["registrationDate"], "version": 1, "source": "1"}
    form = _V3_FORMS.get(entry["companyForm"])
    return {
        "businessId": {
            "value": entry["businessId"],
            "registrationDate": entry["registrationDate"],
            "source": "3",
        },
        "names": [{"name": entry["name"], "type": "1", **dated}],
        "companyForms": [{"type": form, "descriptions": [], **dated}] if form else [],
        "companySituations": [],
        "registeredEntries": [],
        "addresses": [],
        "tradeRegisterStatus": "1",
        "status": "2",
        "registrationDate": entry["registrationDate"],
    }


@lru_cache(maxsize=8192)
def _v3_company(business_id: str) -> Body:
    found = _v3_companies().get(business_id)
    if found is None:
        return _v3_body(0, [], Origin.COMPOSED)
    company, origin = found
    return _v3_body(1, [company], origin)


@cache
def _v3_all() -> Served:
    """The whole register as an archive of one file: an array of companies."""
    companies = [company for company, _ in _v3_companies().values()]
    return zipped([("companies.json", msgspec.json.encode(companies))])


def _v3_body(total: int, companies: Sequence[Json], origin: Origin) -> Body:
    plain = msgspec.json.encode({"totalResults": total, "companies": companies})
    return Body.of(plain, origin)


def _v3_page(call: Call, page: int) -> Body:
    """One page of what was searched; as documented, a page that is not there is page 1."""
    found = [one for one, _ in _v3_companies().values() if _v3_fits(one, call)]
    start = (page - 1) * _V3_PAGE
    if not 0 <= start < len(found):
        start = 0
    return _v3_body(len(found), found[start : start + _V3_PAGE], Origin.COMPOSED)


def _v3_fits(company: Json, call: Call) -> bool:
    return all(fits(company, call.query[name]) for name, fits in _V3_SEARCH if name in call.query)


_V3_SEARCH: list[tuple[str, Callable[[Json, str], bool]]] = [
    ("name", lambda one, name: any(name.casefold() in n["name"].casefold() for n in one["names"])),
    ("registrationDateStart", lambda one, day: one.get("registrationDate", "") >= day),
    ("registrationDateEnd", lambda one, day: one.get("registrationDate", "9") <= day),
]
