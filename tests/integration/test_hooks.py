"""Functions of the user's own: given to a run, or named in the file."""

import hashlib
import hmac
from pathlib import Path
from typing import Any

import duckdb
import pytest

import fetchcast
from fetchcast import Hooks, Pipeline
from fetchcast.errors import ConfigError, WrongTable
from fetchcast.testing import Asked, Reply, json_reply, running_api

KEY = b"a key that nobody sees"

MODULE = """
def row(row):
    return {**row, "doubled": 2 * row["n"]} if row["n"] else None

class Sign:
    def __init__(self):
        self.calls = 0
    def __call__(self, request):
        self.calls += 1
        return {"X-Call": str(self.calls)}
"""


def pipeline(url: str, folder: Path, **more: Any) -> Pipeline:
    return Pipeline.from_dict(
        {
            "name": "hooked",
            "api": {"base_url": url},
            "resource": {"items": {"path": "items"}},
            "table": {"items": {"from": "items", "rows": "items[*]"}},
            **more,
        },
        folder=folder,
    )


def found(folder: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(folder / "hooked.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


async def test_a_function_signs_every_call(tmp_path: Path) -> None:
    def sign(request: fetchcast.Request) -> dict[str, str]:
        proof = hmac.new(KEY, request.url.encode(), hashlib.sha256).hexdigest()
        return {"Authorization": f"HMAC {proof}"}

    def guarded(asked: Asked) -> Reply:
        url = f"http://{asked.headers['host']}{asked.target}"
        proof = hmac.new(KEY, url.encode(), hashlib.sha256).hexdigest()
        if asked.headers.get("authorization") != f"HMAC {proof}":
            return json_reply({"error": "who are you?"}, 401)
        return json_reply({"items": [{"n": 1, "echo": proof}]})

    async with running_api({"/items": guarded}) as api:
        report = await fetchcast.arun(pipeline(api.url, tmp_path), hooks=Hooks(auth=sign))
    assert report.end == 0, report.failures
    assert found(tmp_path, "select n, echo from items") == [(1, "***")], "an echo is not kept"


async def test_a_function_sees_rows_before_they_are_shaped(tmp_path: Path) -> None:
    def row(row: dict[str, Any]) -> dict[str, Any] | None:
        return {**row, "tripled": 3 * row["n"]} if row["n"] else None

    async with running_api({"/items": json_reply({"items": [{"n": n} for n in range(3)]})}) as api:
        report = await fetchcast.arun(pipeline(api.url, tmp_path), hooks=Hooks(row={"items": row}))
    assert report.end == 0
    assert found(tmp_path, "select n, tripled from items order by n") == [(1, 3), (2, 6)]


def by_generation(asked: Asked) -> Reply:
    """Ten items in pages of three; the header says which are next, in a way of its own."""
    start = int(asked.query.get("from", "0"))
    items = [{"n": n} for n in range(start, min(start + 3, 10))]
    more = {"X-Generation": f"gen/{start + 3}"} if start + 3 < 10 else {}
    return json_reply({"items": items}, headers=more)


def next_page(page: fetchcast.Page) -> str | None:
    generation = page.headers.get("x-generation")
    return None if generation is None else f"?from={generation.removeprefix('gen/')}"


async def test_a_function_says_where_the_next_page_is(tmp_path: Path) -> None:
    async with running_api({"/items": by_generation}) as api:
        made = pipeline(api.url, tmp_path)
        report = await fetchcast.arun(made, hooks=Hooks(paginator={"items": next_page}))
        asked = [*api.hits]
        again = await fetchcast.arun(made, hooks=Hooks(paginator={"items": next_page}))
    assert (report.end, again.end) == (0, 0), report.failures
    assert found(tmp_path, "select count(*), sum(n) from items") == [(10, 45)]
    assert asked == ["/items", "/items?from=3", "/items?from=6", "/items?from=9"]
    assert api.hits == asked, "all pages have landed: nothing is asked again"


async def test_a_function_that_fails_leaves_the_run_incomplete(tmp_path: Path) -> None:
    def fails(page: fetchcast.Page) -> str:
        return str(page.document["gone"])

    async with running_api({"/items": by_generation}) as api:
        hooks = Hooks(paginator={"items": fails})
        report = await fetchcast.arun(pipeline(api.url, tmp_path), hooks=hooks)
    assert report.end == 3
    assert "fails failed with KeyError: 'gone'" in report.failures[0].reason


async def test_the_file_names_functions_that_lie_beside_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    hooks = {"row": {"items": "mine:row"}, "auth": "mine:Sign"}
    async with running_api({"/items": json_reply({"items": [{"n": 0}, {"n": 4}]})}) as api:
        report = await fetchcast.arun(pipeline(api.url, tmp_path, hooks=hooks))
    assert report.end == 0
    assert found(tmp_path, "select n, doubled from items") == [(4, 8)]
    assert api.asked[0].headers["x-call"] == "1"


@pytest.mark.parametrize(
    ("hooks", "says"),
    [
        ({"row": {"items": "nowhere:row"}}, "expected a module in"),
        ({"row": {"items": "mine:gone"}}, "expected a name that is in the module mine"),
        ({"row": {"other": "mine:row"}}, "hooks.row = 'other': expected one of: items"),
        ({"paginator": {"other": "mine:row"}}, "hooks.paginator = 'other'"),
        ({"auth": "../mine:row"}, "expected a module and a name in it"),
        ({"sign": "mine:row"}, "unknown key hooks.sign"),
    ],
)
async def test_a_hook_that_is_not_there_is_told_before_any_call(
    hooks: dict[str, Any], says: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    async with running_api({"*": json_reply([])}) as api:
        with pytest.raises(ConfigError) as caught:
            await fetchcast.arun(pipeline(api.url, tmp_path, hooks=hooks))
    assert says in str(caught.value)
    assert api.hits == []


async def test_reading_a_file_runs_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('it was run')")
    assert pipeline("http://127.0.0.1:9", tmp_path, hooks={"auth": "mine:x"}).hooks.auth == "mine:x"


async def test_a_signer_that_fails_ends_the_run_with_its_name(tmp_path: Path) -> None:
    def sign(request: fetchcast.Request) -> dict[str, str]:
        raise KeyError(request.resource)

    async with running_api({"*": json_reply([])}) as api:
        with pytest.raises(WrongTable, match=r"hooks\.auth: .*sign failed with KeyError: 'items'"):
            await fetchcast.arun(pipeline(api.url, tmp_path), hooks=Hooks(auth=sign))


async def test_options_make_a_pipeline_as_a_file_does(tmp_path: Path) -> None:
    async with running_api({"/items/7": json_reply({"items": [{"n": 1}]})}) as api:
        made = Pipeline(
            name="hooked",
            api=fetchcast.ApiOptions(base_url=api.url),
            resource={"items": fetchcast.ResourceOptions(path="items/{id}", params={"id": [7]})},
            table={"items": fetchcast.TableOptions(source="items", rows="items[*]")},
            folder=tmp_path,
        )
        report = await fetchcast.arun(made)
    assert report.end == 0
    assert found(tmp_path, "select n from items") == [(1,)]


def test_options_are_checked_as_those_of_a_file_are(tmp_path: Path) -> None:
    api = fetchcast.ApiOptions(base_url="https://x.org")
    resource = {"items": fetchcast.ResourceOptions(path="items")}
    with pytest.raises(ConfigError, match=r"table\.t\.from = 'item': .* did you mean 'items'"):
        Pipeline(
            name="x", api=api, resource=resource, table={"t": fetchcast.TableOptions(source="item")}
        )
    with pytest.raises(ConfigError, match=r"unknown key resource\.items\.pth"):
        pipeline("https://x.org", tmp_path, resource={"items": {"pth": "x"}})


def test_a_dict_may_name_variables_and_defaults(tmp_path: Path) -> None:
    raw = {"api": {"base_url": "${URL}"}, "resource": {"a": {"path": "${PATH_:-b}"}}}
    made = Pipeline.from_dict(raw, folder=tmp_path, environment={"URL": "https://x.org"})
    assert (made.name, made.api.base_url, made.resource["a"].path) == (
        "pipeline",
        "https://x.org",
        "b",
    )
    assert made.folder == tmp_path
