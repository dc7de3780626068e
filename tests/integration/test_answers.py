"""Answers that are no JSON, and answers that say one thing and mean another: whole runs."""

import gzip
import io
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest

import fetchcast
from fetchcast.config import read_pipeline
from fetchcast.errors import ConfigError
from fetchcast.events import Counters, RunEnd
from fetchcast.landing.reader import open_reader
from fetchcast.testing import Asked, Reply, json_reply, running_api


async def run(
    folder: Path,
    url: str,
    answer: str,
    *,
    table: str = "",
    ids: int = 1,
    more: str = "",
    counters: Counters | None = None,
) -> fetchcast.RunReport:
    (folder / "ids.csv").write_text("\n".join(["id", *(f"n{n}" for n in range(ids))]) + "\n")
    (folder / "p.toml").write_text(
        f"""
{more}
[api]
base_url = "{url}"
[resource.items]
path = "items/{{id}}"
params.id = {{ csv = "ids.csv", column = "id" }}
[resource.items.answer]
{answer}
[table.items]
from = "items"
{table}
"""
    )
    subscribers = [counters.update] if counters else []
    return await fetchcast.arun(read_pipeline(folder / "p.toml"), subscribers=subscribers)


def table(folder: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(folder / "p.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def landed(folder: Path) -> list[bytes]:
    with open_reader(folder / ".fetchcast" / "p") as reader:
        return [one.body for one in reader.answers()]


def zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


async def test_ndjson_lines_are_rows(tmp_path: Path) -> None:
    body = b'{"id":"a","moves":[1,2]}\n{"id":"b","moves":[]}\n'
    kind = {"Content-Type": "application/x-ndjson"}
    routes = {"/items/n0": Reply(200, kind, body), "/items/n1": Reply(200, kind, b"")}
    async with running_api(routes) as api:
        report = await run(tmp_path, api.url, 'format = "ndjson"', ids=2)
    assert report.end == RunEnd.COMPLETE
    assert dict(report.resources["items"].fates) == {"landed": 1, "empty": 1}
    assert table(tmp_path, 'select id, "_row" from items order by "_row"') == [("a", 0), ("b", 1)]
    assert table(tmp_path, "select value from items_moves order by _index") == [(1,), (2,)]
    assert landed(tmp_path)[0] == body, "kept as it came"


async def test_a_broken_line_is_rejected_alone_and_a_cut_one_is_asked_again(
    tmp_path: Path,
) -> None:
    whole = b'{"a":1}\n{"a":oops}\n{"a":2}\n'
    cut = Reply(200, body=b'{"a":1}\n{"a":')
    routes: dict[str, Any] = {"/items/n0": Reply(200, body=whole)}
    routes["/items/n1"] = [cut, Reply(200, body=b'{"a":1}\n{"a":7}')]
    async with running_api(routes) as api:
        report = await run(
            tmp_path, api.url, 'format = "ndjson"', ids=2, more="[retry]\nbase_s = 0.01"
        )
    assert report.end == RunEnd.COMPLETE
    assert report.rejects == 1
    assert sorted(table(tmp_path, "select a from items")) == [(1,), (1,), (2,), (7,)]


async def test_a_long_ndjson_answer_numbers_its_rows_through(tmp_path: Path) -> None:
    """Three documents of a megabyte; a late value widens a column that was shaped before."""
    lines = [b'{"n":%d,"text":"%s","xs":[1]}' % (n, b"x" * 80) for n in range(25_000)]
    lines[-1] = b'{"n":2.5,"text":"last","xs":[1],"new":true}'
    async with running_api({"*": Reply(200, body=b"\n".join(lines))}) as api:
        report = await run(tmp_path, api.url, 'format = "ndjson"')
    assert report.end == RunEnd.COMPLETE
    assert report.rejects == 0
    (found,) = table(
        tmp_path,
        "select count(*), count(distinct _row), min(_row), max(_row), sum(n), any_value(typeof(n))"
        " from items",
    )
    assert found == (25_000, 25_000, 0, 24_999, sum(range(24_999)) + 2.5, "DOUBLE")
    joined = "select count(*) from items join items_xs using (_request_key, _row)"
    assert table(tmp_path, joined) == [(25_000,)]


async def test_csv_with_the_dialect_it_has(tmp_path: Path) -> None:
    body = "päivä;arvo;koodi\n2024-01-01;1,5;007\n2024-01-02;2,25;012\n2024-01-03;;\n"
    reply = Reply(200, {"Content-Type": "text/csv; charset=iso-8859-1"}, body.encode("latin-1"))
    routes = {"/items/n0": reply, "/items/n1": Reply(200, body=b"p\xc3\xa4iv\xc3\xa4;arvo;koodi\n")}
    async with running_api(routes) as api:
        answer = 'format = "csv"\ncsv = { decimal = "," }'
        report = await run(tmp_path, api.url, answer, ids=2)
    assert report.end == RunEnd.COMPLETE
    assert dict(report.resources["items"].fates) == {"landed": 1, "empty": 1}
    got = table(tmp_path, "select paiva::varchar, arvo, koodi from items order by 1")
    assert got == [
        ("2024-01-01", 1.5, "007"),
        ("2024-01-02", 2.25, "012"),
        ("2024-01-03", None, None),
    ]


async def test_a_charset_that_nobody_says(tmp_path: Path) -> None:
    body = "nimi\nKäpylä\n".encode("windows-1252")
    async with running_api({"*": Reply(200, body=body)}) as api:
        silent = await run(tmp_path, api.url, 'format = "csv"')
        said = await run(tmp_path, api.url, 'format = "csv"\ncharset = "windows-1252"')
    assert silent.end == RunEnd.INCOMPLETE
    assert "not utf-8" in silent.failures[0].reason
    assert said.end == RunEnd.COMPLETE
    assert table(tmp_path, "select nimi from items") == [("Käpylä",)]
    assert landed(tmp_path)[-1] == body


async def test_xml_rows_are_arrays_even_where_there_is_one(tmp_path: Path) -> None:
    one = b'<?xml version="1.0"?><r xmlns="u"><item id="1"><v>2.5</v></item></r>'
    two = b'<r><item id="2"><v>3</v></item><item id="3"/><other>x</other></r>'
    none = b"<r/>"
    routes = {f"/items/n{n}": Reply(200, body=body) for n, body in enumerate((one, two, none))}
    async with running_api(routes) as api:
        report = await run(
            tmp_path,
            api.url,
            'format = "xml"\nmissing_rows = "empty"',
            ids=3,
            table='rows = "r.item[*]"\ncolumns = { id = { path = "@id", type = "int" }, v = "v" }\n'
            'types = { v = "float" }',
        )
    assert report.end == RunEnd.COMPLETE
    assert dict(report.resources["items"].fates) == {"landed": 2, "empty": 1}
    assert table(tmp_path, "select id, v from items order by id") == [
        (1, 2.5),
        (2, 3.0),
        (3, None),
    ]


async def test_an_entity_bomb_fails_its_call_alone(tmp_path: Path) -> None:
    bomb = (
        b'<!DOCTYPE l [<!ENTITY a "aaaaaaaaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><l><i>&b;</i></l>'
    )
    routes = {"/items/n0": Reply(200, body=bomb), "*": Reply(200, body=b"<l><i>1</i></l>")}
    async with running_api(routes) as api:
        report = await run(tmp_path, api.url, 'format = "xml"', ids=3, table='rows = "l.i[*]"')
        hits = Counter(api.hits)
    assert dict(report.resources["items"].fates) == {"landed": 2, "failed": 1}
    assert "declares entities" in report.failures[0].reason
    assert hits["/items/n0"] == 1, "a final answer is not asked again"


async def test_a_monthly_dump_is_one_json_file_a_day(tmp_path: Path) -> None:
    """Members are documents; their rows are numbered through, also those of child tables."""
    days = {
        f"2024/01/{day:02}.json": b"["
        + b",".join(
            b'{"train":%d,"day":%d,"stops":[{"s":"A"},{"s":"B"}]}' % (n, day) for n in range(50)
        )
        + b"]"
        for day in range(1, 32)
    }
    body = zipped(days | {"LICENCE.txt": b"CC BY 4.0"})
    kind = {"Content-Type": "application/zip; charset=iso-8859-1"}
    async with running_api({"*": Reply(200, kind, body)}) as api:
        answer = 'format = "zip"\nmembers = "*.json"'
        report = await run(tmp_path, api.url, answer, ids=2)
    assert report.end == RunEnd.COMPLETE
    assert report.rejects == 0
    count = "select count(*), count(distinct (_request_key, _row)), count(distinct day) from items"
    assert table(tmp_path, count) == [(3100, 3100, 31)]
    joined = "select count(*) from items join items_stops using (_request_key, _row)"
    assert table(tmp_path, joined) == [(6200,)]
    assert landed(tmp_path)[0] == body


async def test_a_damaged_member_is_told_and_the_others_are_rows(tmp_path: Path) -> None:
    body = bytearray(zipped({"a.json": b'[{"a":1}]', "b.json": b'[{"a":2}]' * 1 + b" " * 500}))
    body[body.rindex(b"b.json", 0, body.rindex(b"a.json")) + 8] ^= 0xFF
    async with running_api({"*": Reply(200, body=bytes(body))}) as api:
        report = await run(tmp_path, api.url, 'format = "zip"')
    assert report.rejects == 1
    assert table(tmp_path, "select a from items") == [(1,)]
    ((reason,),) = table(tmp_path, "select reason from _rejects")
    assert "'b.json' is damaged" in reason


async def test_a_gzip_file_is_no_content_encoding(tmp_path: Path) -> None:
    body = gzip.compress(b"a,b\n1,x\n2,y\n")
    async with running_api({"*": Reply(200, {"Content-Type": "application/gzip"}, body)}) as api:
        report = await run(tmp_path, api.url, 'format = "gzip"\ninner = "csv"')
    assert report.end == RunEnd.COMPLETE
    assert table(tmp_path, "select a, b from items order by a") == [(1, "x"), (2, "y")]


async def test_204_is_empty_in_every_format(tmp_path: Path) -> None:
    async with running_api({"*": Reply(204)}) as api:
        for name in ("json", "ndjson", "csv", "xml", "zip", "gzip"):
            folder = tmp_path / name
            folder.mkdir()
            report = await run(folder, api.url, f'format = "{name}"')
            assert dict(report.resources["items"].fates) == {"empty": 1}, name


async def test_another_format_shapes_what_had_landed_anew(tmp_path: Path) -> None:
    """The body is kept as it came: reading it in another way needs no call."""
    async with running_api({"*": Reply(200, body=b"a;b\n1;2\n")}) as api:
        await run(tmp_path, api.url, 'format = "csv"\ncsv = { separator = "," }')
        assert table(tmp_path, "select * exclude (_request_key, _row) from items") == [("1;2",)]
        await run(tmp_path, api.url, 'format = "csv"')
        hits = len(api.hits)
    assert table(tmp_path, "select a, b from items") == [(1, 2)]
    assert hits == 1


RULES = """
rules = [
  { status = 200, path = "error.code", equals = "QUOTA", then = "slow_down" },
  { path = "status", in = ["pending", "queued"], then = "retry" },
  { path = "error.code", matches = "^NOT_", then = "empty" },
  { path = "error", exists = true, then = "fail" },
  { status = [404, 410], then = "skip" },
  { status = "5xx", header = "X-Fine", equals = 1, then = "ok" },
  { status = 403, header = "X-RateLimit-Remaining", equals = "0", then = "slow_down" },
  { status = 400, matches = "over the limit", then = "slow_down" },
]
"""


async def test_rules_by_status_header_and_body(tmp_path: Path) -> None:
    fine = json_reply([{"a": 1}])
    routes: dict[str, Any] = {
        "/items/n0": [json_reply({"error": {"code": "QUOTA"}})] * 3 + [fine],
        "/items/n1": [json_reply({"status": "pending"}), fine],
        "/items/n2": json_reply({"error": {"code": "NOT_FOUND"}}),
        "/items/n3": json_reply({"error": {"code": "BAD", "text": "no such station"}}),
        "/items/n4": Reply(404, body=b"gone"),
        "/items/n5": Reply(500, {"X-Fine": "1"}, b'[{"a": 5}]'),
        "/items/n6": [Reply(403, {"X-RateLimit-Remaining": "0"}), fine],
        "/items/n7": [Reply(400, body=b"You are over the limit"), fine],
        "/items/n8": fine,
    }
    counters = Counters()
    async with running_api(routes) as api:
        report = await run(
            tmp_path,
            api.url,
            RULES,
            ids=9,
            more="[retry]\nattempts = 2\nbase_s = 0.01",
            counters=counters,
        )
        hits = Counter(api.hits)
    fates = dict(report.resources["items"].fates)
    assert fates == {"landed": 6, "empty": 1, "failed": 1, "skipped": 1}
    assert hits["/items/n0"] == 4, "two attempts are allowed; slowing down costs none"
    assert hits["/items/n3"] == hits["/items/n4"] == 1
    assert counters.refused == 5
    assert counters.in_flight == 0
    (failure,) = [one for one in report.failures if "BAD" in one.reason]
    assert "error is there (rule 4: fail)" in failure.reason
    assert "no such station" in failure.reason


async def test_a_call_that_a_rule_skips_is_no_failure(tmp_path: Path) -> None:
    answer = 'rules = [{ status = 404, then = "skip" }]'
    async with running_api({"/items/n0": json_reply([{"a": 1}])}) as api:
        report = await run(tmp_path, api.url, answer, ids=3)
    assert report.end == RunEnd.COMPLETE
    assert dict(report.resources["items"].fates) == {"landed": 1, "skipped": 2}


async def test_404_is_empty_when_said(tmp_path: Path) -> None:
    async with running_api({"/items/n0": json_reply([{"a": 1}])}) as api:
        report = await run(tmp_path, api.url, "empty = [404]", ids=3)
    assert report.end == RunEnd.COMPLETE
    assert dict(report.resources["items"].fates) == {"landed": 1, "empty": 2}


async def test_an_api_that_says_slow_down_with_200_is_obeyed(tmp_path: Path) -> None:
    """The pace learns from it as from a 429: a few refusals, nothing lost."""
    inside = 0

    async def answer(_: Asked) -> Reply:
        import asyncio

        nonlocal inside
        inside += 1
        try:
            if inside > 5:
                return json_reply({"ok": False, "reason": "too many at once"})
            await asyncio.sleep(0.02)
            return json_reply([{"a": 1}])
        finally:
            inside -= 1

    rules = 'rules = [{ path = "ok", equals = false, then = "slow_down" }]'
    counters = Counters()
    async with running_api({"*": answer}) as api:
        report = await run(tmp_path, api.url, rules, ids=200, counters=counters)
    assert report.end == RunEnd.COMPLETE
    assert report.resources["items"].fates["landed"] == 200
    assert 1 <= counters.refused <= 60


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('format = "jsonl"', "one of 'json', 'ndjson'"),
        ('format = "csv"\ncsv = { seperator = ";" }', "did you mean 'separator'"),
        ('format = "csv"\ncsv = { separator = ";;" }', "expected one character"),
        ('charset = "klingon"', "expected a charset"),
        ('rules = [{ status = 200, then = "slowdown" }]', "did you mean 'slow_down'"),
        ('rules = [{ status = 200, thn = "fail" }]', "did you mean 'then'"),
        ('rules = [{ path = "a", then = "fail" }]', "expected equals, in, exists or matches"),
        ('rules = [{ path = "a..b", equals = 1, then = "fail" }]', "expected a path"),
        ('rules = [{ path = "a", matches = "(", then = "fail" }]', "regular expression"),
        ('rules = [{ then = "fail" }]', "expected a status"),
        ('rules = [{ status = "6xx", then = "fail" }]', "a class such as '4xx'"),
        ('rules = [{ path = "a", header = "b", equals = 1, then = "ok" }]', "not both"),
    ],
)
async def test_what_is_wrong_is_said_before_any_call(
    tmp_path: Path, answer: str, said: str
) -> None:
    with pytest.raises(ConfigError) as wrong:
        await run(tmp_path, "http://127.0.0.1:1", answer)
    assert said in str(wrong.value)
    assert "resource.items.answer" in str(wrong.value)
