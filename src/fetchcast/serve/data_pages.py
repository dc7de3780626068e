"""The pages about tables: what there is, rows with filter and order, profiles, a query page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import pyarrow as pa
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from fetchcast.errors import QueryError
from fetchcast.serve import tables
from fetchcast.serve.queries import rows
from fetchcast.serve.reading import Reading
from fetchcast.serve.rendering import render
from fetchcast.serve.twins import cell
from fetchcast.serve.wording import number

Filters = Annotated[list[str], Query(description="`column:operator:value`, any number of them.")]
_LONGEST = 120
_FORECAST = frozenset({"observation", "forecast", "backtest", "leaderboard", "series"})


def router(reading: Reading) -> APIRouter:
    """All pages about tables."""
    pages = APIRouter(include_in_schema=False)
    _tables(pages, reading)
    _sql(pages, reading)
    return pages


def _tables(pages: APIRouter, reading: Reading) -> None:
    @pages.get("/data")
    def every(request: Request) -> Response:
        found = tables.every(reading.store)
        counts = tables.counts(reading.store, found)
        # Those of the file first, then the forecast's, what fetchcast keeps for itself at the end.
        found.sort(key=lambda table: (table.name.startswith("_"), table.name in _FORECAST))
        return render(request, reading, "data.html", tables=found, counts=counts)

    @pages.get("/data/{name}")
    def one(
        request: Request,
        name: str,
        *,
        filter: Filters = [],  # noqa: A002, B006  the address says so; FastAPI copies it
        sort: str = "",
        page: Annotated[int, Query(ge=1, le=100_000_000)] = 1,
        column: str = "",
        operator: str = "",
        value: str = "",
    ) -> Response:
        table = tables.one(reading.store, name)
        asked = [*filter, f"{column}:{operator}:{value}"] if column and operator else filter
        conditions = tables.conditions(table, asked)
        view = tables.View(
            conditions=conditions,
            sort=sort,
            offset=(page - 1) * tables.PER_PAGE,
            limit=tables.PER_PAGE + 1,
        )
        found = tables.page(reading.store, table, view)
        columns = sorted(table.columns, key=lambda column: column.name.startswith("_"))
        return render(
            request,
            reading,
            "table.html",
            table=table,
            columns=columns,
            rows=[[shown(row[each.name]) for each in columns] for row in found[: tables.PER_PAGE]],
            more=len(found) > tables.PER_PAGE,
            conditions=conditions,
            sort=sort,
            page=page,
            operators=tables.OPERATORS,
            sql=tables.select(table, view),
            address=_address(name, conditions, page),
            profiles=tables.profiles(reading.store, table),
        )


def _address(name: str, conditions: Sequence[tables.Condition], here: int) -> Any:
    """Addresses of the same table with another order, page, or without a filter."""

    def address(*, sort: str = "", page: int = 1, without: str = "", twin: str = "") -> str:
        kept = [("filter", each.text) for each in conditions if each.text != without]
        if sort:
            kept.append(("sort", sort))
        if twin:
            offset = (here - 1) * tables.PER_PAGE
            kept += [("limit", str(tables.PER_PAGE)), ("offset", str(offset))]
        if page > 1:
            kept.append(("page", str(page)))
        place = f"/api/v1/tables/{quote(name)}/{twin}" if twin else f"/data/{quote(name)}"
        return place + ("?" + urlencode(kept) if kept else "")

    return address


def is_number(kind: pa.DataType) -> bool:
    """Whether a column is set flush right."""
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def shown(value: Any) -> str:
    """A cell of a table on a page: short, with thin spaces in large numbers."""
    if isinstance(value, float):
        return number(value)
    text = cell(value).removeprefix("'") if isinstance(value, str) else cell(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _sql(pages: APIRouter, reading: Reading) -> None:
    @pages.get("/sql")
    def sql(request: Request, q: str = "") -> Response:
        values: dict[str, Any] = {"problem": "", "columns": [], "rows": [], "cut": False}
        values |= {"numeric": [], "most_bytes": tables.MOST_BYTES}
        values |= {"most_seconds": tables.MOST_SECONDS}
        if q.strip():
            try:
                answer, cut = tables.asked(reading.store, q)
                values["columns"] = answer.schema.names
                values["numeric"] = [is_number(kind) for kind in answer.schema.types]
                values["rows"] = [[shown(value) for value in row.values()] for row in rows(answer)]
                values["cut"] = cut
            except QueryError as problem:
                values["problem"] = str(problem)
        status = 422 if values["problem"] else 200
        return render(
            request, reading, "sql.html", status=status, q=q, most=tables.MOST_ROWS, **values
        )
