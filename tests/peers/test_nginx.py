"""nginx serves files: every format, a list of what is there, and a limit that it keeps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fetchcast import Pipeline, arun


@pytest.mark.parametrize(
    ("path", "answer", "rows"),
    [
        ("items.json", {}, None),
        ("items.ndjson", {"format": "ndjson"}, None),
        ("items.csv", {"format": "csv"}, None),
        ("items.tsv", {"format": "tsv"}, None),
        ("items.xml", {"format": "xml"}, "items.item[*]"),
        ("items.json.gz", {"format": "gzip"}, "[*]"),
        ("items.zip", {"format": "zip", "members": "*.json"}, "[*]"),
    ],
)
async def test_every_format_has_the_same_rows(
    path: str, answer: dict[str, Any], rows: str | None, nginx: str, run: Callable[..., Any]
) -> None:
    ran = await run(nginx, {"path": path, "answer": answer}, rows=rows)
    assert ran.report.end == 0, ran.report.failures
    counted = "select count(*), count(distinct id), max(id::int), max(name) from items"
    assert ran.rows(counted) == [(95, 95, 95, "item 95")]


async def test_the_files_of_a_listing_within_its_limit(nginx: str, tmp_path: Path) -> None:
    """40 calls a second are allowed, five at once; nobody has told so."""
    raw = {
        "name": "peer",
        "api": {"base_url": nginx},
        "resource": {
            "files": {"path": "listed/"},
            "parts": {
                "path": "few/{name}",
                "params": {"name": {"from": "files", "field": "name"}},
            },
        },
        "table": {
            "files": {"from": "files", "rows": "[*]"},
            "parts": {"from": "parts", "rows": "[*]"},
        },
    }
    # Files that are no JSON are in the list as well: a rule leaves them out.
    raw["resource"]["parts"]["answer"] = {
        "rules": [{"header": "content-type", "matches": "^(?!application/json)", "status": 200,
                   "then": "skip"}]
    }  # fmt: skip
    report = await arun(Pipeline.from_dict(raw, folder=tmp_path))
    assert report.end == 0, report.failures
    with duckdb.connect(str(tmp_path / "peer.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from files").fetchall() == [(47,)]
        found = connection.execute("select count(*), count(distinct id) from parts").fetchall()
    assert found == [(40 + 95, 95)], "every part, and the whole list once more"
