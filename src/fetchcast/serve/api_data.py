"""The part of the REST API about runs, tables and queries."""

from __future__ import annotations

import io
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from fetchcast.serve import records, runs, tables
from fetchcast.serve.queries import rows
from fetchcast.serve.reading import Reading
from fetchcast.serve.twins import csv_answer, json_answer

Filters = Annotated[
    list[str],
    Query(description="`column:operator:value`; operators: " + ", ".join(tables.OPERATORS)),
]
Sort = Annotated[str, Query(description="A column; with a minus before it the largest first.")]
Limit = Annotated[int, Query(ge=1, le=10_000)]
Offset = Annotated[int, Query(ge=0, le=10_000_000_000)]
Name = Annotated[str, Path(description="The table's name.")]


def add_runs(api: APIRouter, reading: Reading) -> None:
    """``/runs``."""

    @api.get("/runs", tags=["runs"], **records.described(list[records.RunRecord]))
    def run_list(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        offset: Annotated[int, Query(ge=0, le=10_000_000_000)] = 0,
    ) -> Response:
        """The runs, the newest first, a page at a time; one alone has its log, too."""
        views, _ = runs.every(reading)
        return json_answer(
            request, [runs.as_record(view) for view in views[offset : offset + limit]]
        )

    @api.get("/landing", tags=["runs"], **records.described(records.LandingRecord))
    def landing(request: Request) -> Response:
        """What is kept of all runs: calls by resource and fate, and its size on the disk."""
        _, kept = runs.every(reading)
        return json_answer(
            request,
            {
                "counts": kept.counts,
                "resources": kept.resources,
                "size_bytes": kept.size_bytes,
                "limits": runs.limits(reading),
            },
        )

    @api.get("/runs/failed", tags=["runs"], **records.described(list[records.FailedRecord]))
    def failed_calls(request: Request) -> Response:
        """The calls that failed in the end, with the beginning of their last answers."""
        return json_answer(request, runs.failed(reading))

    @api.get("/runs/{run_id}", tags=["runs"], **records.described(records.RunRecord))
    def run_one(request: Request, run_id: str) -> Response:
        """One run, also while it goes: stages, counts, the limit it felt, its log."""
        return json_answer(request, runs.as_record(runs.one(reading, run_id)))


def add_tables(api: APIRouter, reading: Reading) -> None:
    """``/tables`` and ``/sql``."""
    _add_lists(api, reading)
    _add_rows(api, reading)
    _add_sql(api, reading)


def _add_lists(api: APIRouter, reading: Reading) -> None:

    @api.get("/tables", tags=["tables"], **records.described(list[records.TableRecord]))
    def table_list(request: Request) -> Response:
        """All tables of the destination with their columns."""
        found = tables.every(reading.store)
        counts = tables.counts(reading.store, found)
        return json_answer(
            request,
            [
                {"name": each.name, "rows": counts[each.name], "columns": list(each.columns)}
                for each in found
            ],
        )

    @api.get(
        "/tables/{name}/profile", tags=["tables"], **records.described(list[records.ProfileRecord])
    )
    def profile(request: Request, name: Name) -> Response:
        """Each column of a table in figures."""
        return json_answer(request, tables.profiles(reading.store, tables.one(reading.store, name)))


def _add_rows(api: APIRouter, reading: Reading) -> None:
    def chosen(name: str, asked: list[str], sort: str, limit: int, offset: int) -> pa.Table:
        table = tables.one(reading.store, name)
        view = tables.View(
            conditions=tables.conditions(table, asked), sort=sort, limit=limit, offset=offset
        )
        return tables.chosen(reading.store, table, view)

    @api.get("/tables/{name}/rows.parquet", tags=["tables"], **records.described_file())
    def rows_parquet(
        name: Name,
        *,
        filter: Filters = [],  # noqa: A002, B006  the address says so; FastAPI copies it
        sort: Sort = "",
        limit: Limit = 10_000,
        offset: Offset = 0,
    ) -> Response:
        """Rows of a table as a Parquet file."""
        file = io.BytesIO()
        pq.write_table(chosen(name, filter, sort, limit, offset), file)
        return Response(file.getvalue(), media_type="application/vnd.apache.parquet")

    @api.get("/tables/{name}/rows.csv", tags=["tables"], **records.described_csv())
    def rows_csv(
        request: Request,
        name: Name,
        *,
        filter: Filters = [],  # noqa: A002, B006
        sort: Sort = "",
        limit: Limit = 1000,
        offset: Offset = 0,
    ) -> Response:
        """Rows of a table as CSV."""
        answer = chosen(name, filter, sort, limit, offset)
        table = [list(row.values()) for row in rows(answer)]
        return csv_answer(request, name, answer.schema.names, table)

    @api.get("/tables/{name}/rows", tags=["tables"], **records.described(records.Rows))
    def rows_json(
        request: Request,
        name: Name,
        *,
        filter: Filters = [],  # noqa: A002, B006
        sort: Sort = "",
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Response:
        """Rows of a table, filtered and ordered."""
        answer = chosen(name, filter, sort, limit, offset)
        return json_answer(request, _rows(answer, cut=False))


def _add_sql(api: APIRouter, reading: Reading) -> None:
    @api.get("/sql.csv", tags=["tables"], **records.described_csv())
    def sql_csv(request: Request, q: str) -> Response:
        """The answer to one SELECT as CSV."""
        answer, _ = tables.asked(reading.store, q)
        table = [list(row.values()) for row in rows(answer)]
        return csv_answer(request, "answer", answer.schema.names, table)

    @api.get("/sql", tags=["tables"], **records.described(records.Rows))
    def sql_json(request: Request, q: str) -> Response:
        """The answer to one SELECT; read-only, limited in rows and time."""
        answer, cut = tables.asked(reading.store, q)
        return json_answer(request, _rows(answer, cut=cut))


def _rows(answer: Any, *, cut: bool) -> dict[str, Any]:
    return {"columns": answer.schema.names, "rows": rows(answer), "cut": cut}
