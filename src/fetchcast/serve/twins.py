"""JSON and CSV of what a page shows, with what lets a client ask again cheaply.

Both carry an entity tag over their bytes, so that an unchanged answer costs a client nothing. A
text cell that a spreadsheet would run as a formula gets an apostrophe before it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from hashlib import blake2b
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def json_answer(request: Request, value: Any) -> Response:
    """``value`` as JSON."""
    return tagged(request, msgspec.json.encode(value), "application/json")


def csv_answer(
    request: Request, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
) -> Response:
    """``rows`` as a file ``name.csv`` with a header line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([cell(column) for column in columns])
    writer.writerows([cell(value) for value in row] for row in rows)
    answer = tagged(request, text.getvalue().encode(), "text/csv; charset=utf-8")
    plain = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name)
    if plain.isascii():
        answer.headers["content-disposition"] = f'attachment; filename="{plain}.csv"'
    return answer


def tagged(request: Request, body: bytes, media_type: str) -> Response:
    """``body`` with its entity tag, or 304 if the client has it."""
    tag = f'W/"{blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)


def cell(value: Any) -> str:
    """One value as a CSV cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (list, tuple, Mapping)):
        return msgspec.json.encode(value).decode()
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
