"""`fetchcast import dlt`: a rest_api dict, read and never run."""

import copy
import json
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchcast import Pipeline
from fetchcast.cli.main import cli
from fetchcast.errors import FileUnreadable
from fetchcast.plan.adopt.dlt import adopt_dlt, read_dlt

PROGRAM = """
import os
import dlt
from dlt.sources.rest_api import RESTAPIConfig, rest_api_resources

os.remove(__file__)  # Nobody runs this.

@dlt.source
def github(token=dlt.secrets.value):
    config: RESTAPIConfig = {
        "client": {
            "base_url": "https://api.github.com/repos/dlt-hub/dlt/",
            "auth": {"type": "bearer", "token": dlt.secrets["github_token"]},
            "headers": {"X-Api-Key": os.environ["OTHER_KEY"], "Accept": "application/json"},
        },
        "resource_defaults": {
            "primary_key": "id",
            "write_disposition": "merge",
            "endpoint": {"params": {"per_page": 100}},
        },
        "resources": [
            {
                "name": "issues",
                "endpoint": {
                    "path": "issues",
                    "params": {
                        "sort": "updated",
                        "since": {
                            "type": "incremental",
                            "cursor_path": "updated_at",
                            "initial_value": "2024-01-25T11:21:28Z",
                        },
                    },
                    "paginator": {"type": "header_link"},
                },
            },
            {
                "name": "comments",
                "endpoint": {
                    "path": "issues/{issue_number}/comments",
                    "params": {
                        "issue_number": {
                            "type": "resolve", "resource": "issues", "field": "number",
                        }
                    },
                    "data_selector": "$.data.items",
                    "response_actions": [{"status_code": 404, "action": "ignore"}],
                },
                "include_from_parent": ["number"],
            },
            "contributors",
        ],
    }
    yield from rest_api_resources(config)
"""


def config(*resources: Any, **client: Any) -> dict[str, Any]:
    return {"client": {"base_url": "https://x.org/", **client}, "resources": list(resources)}


def adopt(read: dict[str, Any]) -> dict[str, Any]:
    made = adopt_dlt(read, where="config.json")
    document = tomllib.loads(made.text)
    assert document == made.document
    Pipeline.from_dict(document, environment=dict.fromkeys(made.secrets, "0123456789"))
    return document


def test_dlts_own_example_becomes_a_pipeline_file(tmp_path: Path) -> None:
    source, out = tmp_path / "github.py", tmp_path / "p.toml"
    source.write_text(PROGRAM)
    ran = CliRunner().invoke(cli, ["import", "dlt", str(source), "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert source.exists(), "the program was read, not run"
    assert "secret: write GITHUB_TOKEN=..." in ran.output
    assert "secret: write OTHER_KEY=..." in ran.output
    made = tomllib.loads(out.read_text())
    assert made["api"] == {
        "base_url": "https://api.github.com/repos/dlt-hub/dlt/",
        "headers": {"X-Api-Key": "${OTHER_KEY}", "Accept": "application/json"},
        "auth": {"type": "bearer", "token": "${GITHUB_TOKEN}"},
    }
    assert made["resource"] == {
        "issues": {
            "path": "issues",
            "query": {"per_page": 100, "sort": "updated", "since": "2024-01-25T11:21:28Z"},
            "paginator": {"type": "link_header"},
        },
        "comments": {
            "path": "issues/{issue_number}/comments",
            "query": {"per_page": 100},
            "params": {"issue_number": {"from": "issues", "field": "number"}},
            "paginator": "auto",
            "answer": {"empty": [404]},
        },
        "contributors": {"path": "contributors", "query": {"per_page": 100}, "paginator": "auto"},
    }
    assert made["table"]["comments"] == {
        "from": "comments",
        "rows": "data.items[*]",
        "carry": {"issue_number": "param:issue_number"},
        "key": ["id"],
    }


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("single_page", "single_page"),
        ("auto", "auto"),
        ({"type": "json_link", "next_url_path": "p.n"}, {"type": "next_url", "path": "p.n"}),
        ({"type": "json_link"}, {"type": "next_url", "path": "next"}),
        (
            {"type": "cursor", "cursor_path": "meta.next", "cursor_param": "c"},
            {"type": "cursor", "param": "c", "path": "meta.next"},
        ),
        (
            {"type": "offset", "limit": 50, "offset_param": "skip", "total_path": "n"},
            {"type": "offset", "limit": 50, "param": "skip", "total": "n"},
        ),
        (
            {"type": "page_number", "base_page": 1, "page_param": "p", "total_path": "pages"},
            {"type": "page_number", "first": 1, "param": "p", "total_pages": "pages"},
        ),
    ],
)  # fmt: skip
def test_paginators_have_counterparts(theirs: Any, ours: Any) -> None:
    made = adopt(config({"name": "a", "endpoint": {"path": "a", "paginator": theirs}}))
    assert made["resource"]["a"]["paginator"] == ours


def test_the_newer_way_of_naming_a_parent() -> None:
    made = adopt(config("posts", {"name": "c", "endpoint": "posts/{resources.posts.id}/c"}))
    assert made["resource"]["c"] == {
        "path": "posts/{posts_id}/c",
        "params": {"posts_id": {"from": "posts", "field": "id"}},
        "paginator": "auto",
    }


def test_a_secret_that_stands_in_the_dict_does_not_come_out() -> None:
    auth = {"type": "oauth2_client_credentials", "access_token_url": "https://x.org/t",
            "client_id": "me", "client_secret": "s3cr3t-Value"}  # fmt: skip
    read = config({"name": "a", "endpoint": {"params": {"api_key": "s3cr3t-Value"}}}, auth=auth)
    made = adopt_dlt(read, where="c.json")
    assert "s3cr3t-Value" not in made.text
    assert made.document["api"]["auth"]["token_url"] == "https://x.org/t"
    assert made.notes == ("left out a.params.api_key: a second key beside client.auth",)


def test_a_key_among_the_parameters_becomes_auth() -> None:
    made = adopt(config({"name": "a", "endpoint": {"params": {"api_key": "s3cr3t-Value"}}}))
    key = {"type": "api_key", "key": "${X_API_KEY}", "name": "api_key", "in": "query"}
    assert made["api"]["auth"] == key
    assert made["resource"]["a"] == {"path": "a", "paginator": "auto"}


SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8)
JUNK = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=5), SCALARS)
WHOLE = read_dlt(PROGRAM, "github.py")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else ()
    pairs = enumerate(value) if isinstance(value, list) else pairs
    below = [place for key, one in pairs for place in places(one, (*path, key))]
    return [*([path] if path else []), *below]


@settings(max_examples=100, deadline=None)
@given(path=st.sampled_from(places(WHOLE)), junk=JUNK)
def test_damage_is_told_or_survived(path: tuple[Any, ...], junk: Any) -> None:
    made = copy.deepcopy(WHOLE)
    place = made
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = junk
    with suppress(FileUnreadable):
        text = adopt_dlt(made, where="c.json").text
        tomllib.loads(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("config = {", "neither JSON nor Python"),
        ("x = 1", "holds no rest_api configuration"),
        ("[]", "holds no rest_api configuration"),
        (
            'c = {"client": {"base_url": url()}, "resources": []}',
            "line 1: url() is code, which is not run; write its value",
        ),
    ],
)
def test_what_is_no_configuration_is_told(text: str, says: str) -> None:
    with pytest.raises(FileUnreadable) as caught:
        read_dlt(text, "c.py")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("read", "says"),
    [
        ({"client": {}, "resources": ["a"]}, "client.base_url is not given"),
        (config(), "has no resources"),
        (config("a", auth={"type": "magic"}), "'magic' has no counterpart"),
        (config({"name": "a", "endpoint": {"paginator": {"type": "x"}}}), "paginator 'x' has no"),
    ],
)
def test_what_has_no_counterpart_is_told(read: dict[str, Any], says: str) -> None:
    with pytest.raises(FileUnreadable) as caught:
        adopt_dlt(read_dlt(json.dumps(read), "c.json"), where="c.json")
    assert says in str(caught.value)
