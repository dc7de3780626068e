"""The app over HTTP: what each address answers, and what it refuses."""

from __future__ import annotations

import csv
import hashlib
import http.client
import io
import json
from importlib.resources import files
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import pytest

PAGES = (
    "/",
    "/question/tampere",
    "/question/amount",
    "/forecast",
    "/forecast/arrival_delay",
    "/forecast/arrival_delay/27%20TPE",
    "/forecast/arrival_delay/27%20TPE?model=climatology",
    "/runs",
    "/data",
    "/data/forecast?sort=-step&filter=model:eq:combined",
    "/sql?q=select+1+as+one",
    "/api",
)


def ask(site: str, path: str, *, method: str = "GET", headers=None, body: bytes | None = None):
    """Status, headers in lower case, body; nothing is followed."""
    place = urlsplit(site)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, named, answer.read()
    finally:
        connection.close()


def get_json(site: str, path: str):
    with urlopen(Request(site + path)) as answer:
        return json.load(answer)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_answers_with_a_strict_policy(site, path):
    """No answer may load or run what does not come from here."""
    status, headers, body = ask(site, path)
    assert status == 200
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert b"fetch<b>cast</b>" in body
    assert b"CC BY 4.0" in body
    assert b" style=" not in body
    assert b"<script>alert" not in body


def test_the_answer_is_the_same_on_the_page_in_json_and_in_csv(site):
    """One number, three ways to read it."""
    query = "?unique_id=165+TPE&deadline=15:30&date=2026-03-10&walk_min=4"
    answer = get_json(site, "/api/v1/questions/tampere" + query)
    probability = answer["choice"]["probability"]
    with urlopen(f"{site}/api/v1/questions/tampere.csv{query}") as reply:
        lines = list(csv.DictReader(io.TextIOWrapper(reply)))
    chosen = next(line for line in lines if line["chosen"] == "true")
    _, _, page = ask(site, "/question/tampere" + query)

    assert answer["date"] == "2026-03-10"
    assert answer["latest"]["clock"] == "15:26"
    assert float(chosen["probability"]) == pytest.approx(probability, abs=1e-6)
    assert f'<p class="big">{round(100 * probability)}<span>' in page.decode()
    assert sum(answer["choice"]["on_time"]) == pytest.approx(20 * probability, abs=1.01)


def test_the_question_with_its_own_words_is_about_next_wednesday(site):
    """The world's today is Monday, 2 March 2026."""
    answer = get_json(site, "/api/v1/questions/tampere")
    assert answer["date"] == "2026-03-04"
    assert answer["deadline"] == "16:00"
    assert [each["unique_id"] for each in answer["alternatives"]] == ["165 TPE"]
    assert answer["history"]["scored_only"] is True


def test_twins_of_a_page_lead_to_the_api(site):
    status, headers, _ = ask(site, "/question/tampere.json?deadline=16:10")
    assert (status, headers["location"]) == (307, "/api/v1/questions/tampere?deadline=16:10")
    status, headers, _ = ask(site, "/forecast/arrival_delay/27%20TPE.csv")
    assert (status, headers["location"]) == (
        307,
        "/api/v1/series/arrival_delay/27%20TPE/forecast.csv",
    )


@pytest.mark.parametrize("part", ["forecast", "history", "backtest", "leaderboard", "totals"])
def test_each_part_of_a_series_is_json_and_csv(site, part):
    place = f"/api/v1/series/arrival_delay/27%20TPE/{part}"
    found = get_json(site, place)
    rows = next(value for name, value in found.items() if name != "series")
    with urlopen(f"{site}{place}.csv") as reply:
        lines = list(csv.DictReader(io.TextIOWrapper(reply)))
    assert found["series"]["unique_id"] == "27 TPE"
    assert len(rows) == len(lines) > 0
    assert set(lines[0]) <= set(rows[0])


def test_an_unchanged_answer_costs_nothing_the_second_time(site):
    place = "/api/v1/series/arrival_delay/27%20TPE/forecast"
    _, headers, body = ask(site, place)
    status, _, again = ask(site, place, headers={"If-None-Match": headers["etag"]})
    assert (status, again) == (304, b"")
    assert len(body) > 1000


def test_a_forecast_page_weighs_less_than_100_kb(site):
    """Everything a first visit loads, as it travels."""
    import re

    total = 0
    _, headers, body = ask(
        site, "/forecast/arrival_delay/27%20TPE", headers={"Accept-Encoding": "gzip"}
    )
    assert headers["content-encoding"] == "gzip"
    total += len(body)
    _, _, plain = ask(site, "/forecast/arrival_delay/27%20TPE")
    for place in set(re.findall(r'(?:src|href)="(/static/[^"]+)"', plain.decode())):
        status, headers, body = ask(site, place, headers={"Accept-Encoding": "gzip"})
        assert status == 200
        assert "immutable" in headers["cache-control"]
        total += len(body)
    assert total <= 100_000


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/question/tampre", 404, "tampere"),
        ("/question/tampere?date=2030-01-01", 404, "2026-03-29"),
        ("/question/tampere?date=someday", 422, "next wednesday"),
        ("/question/tampere?deadline=25:99", 422, "16:00"),
        ("/question/tampere?walk_min=-3", 422, "walk_min"),
        ("/question/tampere?walk_min=nan", 422, "walk_min"),
        ("/question/tampere?unique_id=nobody", 422, "27 TPE"),
        ("/question/tampere?unique_id=999+TPE", 422, "165 TPE"),
        ("/question/tampere?place=XXX", 422, "one of TPE, OL"),
        ("/question/tampere?unique_id=165+TPE&place=OL", 422, "one of TPE"),
        ("/question/amount?place=TPE", 422, "parts"),
        ("/forecast/arrival_delay/27%20TP", 404, "27 TPE"),
        ("/forecast/arrival_delay/27%20TPE?model=climate", 404, "climatology"),
        ("/forecast/arrival_delay/27%20TPE?as_of=2020-01-01", 422, "2026-"),
        ("/forecast?sort=luck", 422, "surprise"),
        ("/forecast?page=99", 422, "1 to 1"),
        ("/data/forcast", 404, "forecast"),
        ("/data/forecast?filter=x", 422, "column:operator:value"),
        ("/data/forecast?filter=step:lt:many", 422, "many"),
        ("/data/forecast?sort=stepp", 422, "step"),
        ("/runs/none", 404, "no run at all yet"),
        ("/nowhere", 404, "no such page"),
        ("/static/../app.py", 404, "no such page"),
        ("/static/..%2f..%2fapp.py", 404, "no such page"),
    ],
)
def test_a_wrong_address_says_what_to_do(site, path, status, said):
    """As a page, and under /api/v1 as problem+json."""
    got, headers, body = ask(site, path)
    assert (got, headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert said in body.decode()


def test_problems_of_the_api_are_problem_json(site):
    status, headers, body = ask(site, "/api/v1/series/arrival_delay/27%20TP/forecast")
    problem = json.loads(body)
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert problem["nearest"][0] == "arrival_delay/27 TPE"
    assert problem["status"] == 404


@pytest.mark.parametrize(
    "sql",
    [
        "select * from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "copy forecast to '/tmp/stolen.csv'",
        "attach '/tmp/other.duckdb'",
        "drop table forecast",
        "delete from forecast",
        "set memory_limit = '100GB'",
        "install httpfs",
        "select 1; select 2",
        "pragma database_list",
        "select * from _SETTINGS",
        "select * from glob('/etc/*')",
        "select * from read_text('/etc/passwd')",
        "select * from read_csv('http://127.0.0.1:9/x.csv')",
        "select * from 'https://example.org/x.parquet'",
        "select getenv('FETCHCAST_TOKEN')",
        "load httpfs",
        "call pragma_database_size()",
        "export database '/tmp/stolen'",
        "create table stolen as select 1",
        "set enable_external_access = true",
        "select repeat('x', 2000000000)",
        "select repeat('x', 1000000) from range(1000)",
        "select list(range) from range(1000000000)",
        "with x as (select 1) insert into series select * from x",
        "select sum(a.range + b.range) from range(1000000) a, range(10000000) b",
        "nonsense",
    ],
)
def test_sql_cannot_leave_the_database(site, sql, monkeypatch):
    """Reads, one statement, in time; all else is refused with a reason."""
    from fetchcast.serve import tables

    monkeypatch.setattr(tables, "MOST_SECONDS", 0.5)
    status, headers, body = ask(site, "/api/v1/sql?q=" + quote(sql))
    assert (status, headers["content-type"]) == (422, "application/problem+json"), body


def test_a_query_that_is_too_long_is_refused(site):
    """So is a body that nothing here wants, also one that does not say its length."""
    assert ask(site, "/api/v1/sql?q=" + "x" * 30_000)[0] == 414
    assert ask(site, "/api/v1/series/" + "x" * 30_000 + "/y/forecast")[0] == 414
    origin = {"Origin": site}
    assert ask(site, "/theme", method="POST", headers=origin, body=b"x" * 30_000)[0] == 413
    pieces = iter([b"to=dark&", *[b"x" * 10_000] * 20])
    assert ask(site, "/theme", method="POST", headers=origin, body=pieces)[0] in {303, 400}
    for length in ("-1", "many"):
        headers = {**origin, "Content-Length": length}
        assert ask(site, "/theme", method="POST", headers=headers)[0] in {400, 413}
    assert ask(site, "/api/v1/questions")[0] == 200


def test_sql_answers_a_select_up_to_its_limit(site):
    found = get_json(site, "/api/v1/sql?q=" + quote("select range as n from range(5000)"))
    assert (len(found["rows"]), found["cut"]) == (1000, True)


def test_a_csv_cell_is_never_a_formula(site):
    sql = "select '=cmd()' as a, '+1' as b, -1 as c, '@x' as d"
    _, _, body = ask(site, "/api/v1/sql.csv?q=" + quote(sql))
    assert body.decode().splitlines()[1] == "'=cmd(),'+1,-1,'@x"


def test_another_host_name_is_not_answered(site):
    """A page elsewhere cannot reach this server through a name it made up."""
    status, _, body = ask(site, "/", headers={"Host": "evil.example"})
    assert status == 421
    assert b"hosts" in body


def test_another_site_cannot_change_anything(site):
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        status, _, _ = ask(site, "/runs/start", method="POST", headers=headers)
        assert status == 403
    status, _, _ = ask(site, "/theme", method="POST", headers={"Origin": site}, body=b"to=dark")
    assert status == 303


def test_a_run_is_not_started_where_there_is_no_file_to_run(site):
    status, _, body = ask(site, "/runs/start", method="POST", headers={"Origin": site})
    assert status == 409
    assert b"in a terminal" in body


def test_the_openapi_document_knows_every_route(site):
    document = get_json(site, "/api/v1/openapi.json")
    assert document["openapi"].startswith("3.1")
    names = set(document["components"]["schemas"])
    text = json.dumps(document)
    for name in set(__import__("re").findall(r"#/components/schemas/(\w+)", text)):
        assert name in names
    for path, methods in document["paths"].items():
        assert path.startswith("/api/v1"), path
        assert methods["get"]["responses"]["200"]["content"]


def test_vendored_files_are_what_their_authors_published():
    folder = files("fetchcast.serve") / "static" / "vendor"
    manifest = json.loads((folder / "manifest.json").read_text())
    found = {entry["file"] for entry in manifest} | {"manifest.json"}
    assert found == {path.name for path in folder.iterdir()}
    for entry in manifest:
        digest = hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()
        assert digest == entry["sha256"], entry["file"]


def test_rows_of_a_table_come_as_parquet(site):
    import pyarrow.parquet as pq

    _, _, body = ask(site, "/api/v1/tables/forecast/rows.parquet?filter=model:eq:combined")
    assert pq.read_table(io.BytesIO(body)).num_rows == 4 * 28
