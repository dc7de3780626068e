"""What fills the placeholders of a call, and what the call is then."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fetchcast.errors import ConfigError
from fetchcast.plan.planner import CallOptions, Plan
from fetchcast.records import Planned, Request, request_key

NOW = 1_795_000_000.0


def rows(**options: Any) -> list[Planned]:
    call = msgspec.convert(options, CallOptions)
    made = Plan("x", call, base_url="https://a.test", folder=Path(), now=NOW)
    return list(made.rows())


def one(**options: Any) -> Request:
    (row,) = rows(**options)
    assert row.request is not None, row.reason
    return row.request


def test_a_json_text_that_is_a_placeholder_keeps_the_type() -> None:
    call = one(
        path="q",
        json={"id": "{id}", "text": "no {id}", "deep": [{"flag": "{yes}"}], "n": 1.5},
        params={"id": 7, "yes": True},
    )
    assert json.loads(call.body or b"") == {
        "id": 7,
        "text": "no 7",
        "deep": [{"flag": True}],
        "n": 1.5,
    }
    assert (call.method, call.headers) == ("POST", {"Content-Type": "application/json"})


def test_a_group_is_a_list_in_json_and_a_text_elsewhere() -> None:
    (two, rest) = rows(
        path="p/{id}",
        query={"id": "{id}", "each": ["{id}"]},
        json={"ids": "{id}"},
        params={"id": {"values": [1, 2, 1, 3], "group": 2, "separator": ";"}},
    )
    assert two.request is not None
    assert two.request.url == "https://a.test/p/1;2?id=1%3B2&each=1&each=2"
    assert json.loads(two.request.body or b"") == {"ids": [1, 2]}
    assert two.params == {"id": "1;2"}
    assert rest.params == {"id": "3"}, "equal ids are asked for once"


def test_forms_and_other_bodies() -> None:
    form = one(path="f", form={"a": "{x}", "b": [1, 2]}, params={"x": "ä &"})
    assert form.body == b"a=%C3%A4+%26&b=1&b=2"
    assert form.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    raw = one(
        path="r",
        body='<q id="{x}">{{x}}</q>',
        headers={"content-type": "application/xml"},
        method="PUT",
        params={"x": 1},
    )
    assert (raw.method, raw.body) == ("PUT", b'<q id="1">{x}</q>')
    assert raw.headers == {"content-type": "application/xml"}


def test_braces_of_graphql_are_its_own() -> None:
    query = "query($id: Int!) { user(id: $id) {id} }"
    call = one(
        path="graphql",
        graphql={"query": query, "variables": {"id": "{id}"}, "operation": "q"},
        params={"id": 3},
    )
    assert json.loads(call.body or b"") == {
        "query": query,
        "operationName": "q",
        "variables": {"id": 3},
    }


def test_calls_that_differ_in_body_or_header_have_different_keys() -> None:
    for where in (
        {"json": {"id": "{id}"}},
        {"form": {"id": "{id}"}},
        {"body": "{id}"},
        {"headers": {"X-Id": "{id}"}},
    ):
        keys = [r.request.key for r in rows(path="x", params={"id": [1, 2]}, **where) if r.request]
        assert len(set(keys)) == 2, where


def test_keys_of_plain_calls_are_what_they_were() -> None:
    """A landing of an earlier version knows its calls by these."""
    call = one(
        path="/trains/{date}/27",
        query={"q": "{date}", "flag": True, "n": 1.5},
        headers={"X-A": "b"},
        params={"date": "2026-01-01"},
    )
    url = "https://a.test/trains/2026-01-01/27?q=2026-01-01&flag=true&n=1.5"
    assert call.url == url
    assert call.key == request_key("GET", url, resource="x") == "4a97038466ac46af9a4bbe19863682d3"


def test_both_ends_of_a_window_are_filled_and_carried() -> None:
    (row,) = rows(
        path="x",
        query={"from": "{day}", "until": "{day.end}"},
        params={"day": {"from": "2026-01-01", "to": "2026-01-31", "step": "1 month"}},
    )
    assert row.request is not None
    assert row.request.url.endswith("?from=2026-01-01&until=2026-01-31")
    assert row.params == {"day": "2026-01-01", "day_end": "2026-01-31"}


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "naïve", "\x00"])
def test_what_cannot_be_a_header_is_a_rejected_row(value: str) -> None:
    (row,) = rows(path="x", headers={"X-A": "{v}"}, params={"v": [value]})
    assert row.rejected
    assert "the header X-A cannot be" in (row.reason or "")


def test_numbers_come_at_their_steps() -> None:
    tenths = [
        row.params["n"]
        for row in rows(path="{n}", params={"n": {"from": 0.1, "to": 0.5, "step": 0.1}})
    ]
    assert tenths == [0.1, 0.2, 0.3, 0.4, 0.5]
    down = [
        row.params["n"] for row in rows(path="{n}", params={"n": {"from": 9, "to": 2, "step": -3}})
    ]
    assert down == [9, 6, 3]


def test_zip_goes_side_by_side_and_a_single_value_with_all() -> None:
    made = rows(
        path="{a}/{b}/{c}", combine="zip", params={"a": [1, 2], "b": ["x", "y"], "c": "all"}
    )
    urls = [row.request.url for row in made if row.request]
    assert urls == ["https://a.test/1/x/all", "https://a.test/2/y/all"]


def test_unequal_lengths_are_named_before_any_call() -> None:
    options = CallOptions(path="{a}/{b}", combine="zip", params={"a": [1, 2], "b": [1]})
    made = Plan("x", options, base_url="https://a.test", folder=Path(), now=NOW)
    with pytest.raises(ConfigError, match=r"values of a: 2, the values of b: 1"):
        made.estimate()


def test_a_limit_takes_the_first_rows() -> None:
    made = rows(path="{n}", limit=3, params={"n": {"from": 1, "to": 10**12}})
    assert [row.params["n"] for row in made] == [1, 2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"json": {"a": "{b}"}}, r"a parameter for \{b\}"),
        ({"graphql": {"query": "q", "variables": {"a": "{b}"}}}, r"a parameter for \{b\}"),
        ({"headers": {"a": "{d.end}"}, "params": {"d": [1]}}, r"a parameter for \{d.end\}"),
        ({"params": {"a": {"sql": "s", "column": "c", "on": "x://u:hush@h"}}}, "nothing uses"),
        ({"json": {}, "body": "x"}, "one body, there is json already"),
        ({"method": "GET", "body": "x"}, "expected POST or another"),
        ({"method": "FETCH"}, "expected one of GET"),
        ({"limit": 0}, "expected 1 or more"),
        ({"limit": 1, "params": {"a": {"from": "p", "field": "f"}}}, "without a parent"),
        ({"path": "{a}", "params": {"a": {"values": [], "group": 2}}}, "at least one value"),
        ({"path": "{a}", "params": {"a": {"values": [1], "group": 0}}}, "1 or more"),
        ({"path": "{a}", "params": {"a": {"from": 1, "to": 3, "step": -1}}}, "the steps lead to"),
        ({"path": "{a}", "params": {"a": {"from": 1}}}, "required field `to`"),
        ({"path": "{a}", "params": {"a": {"parquett": "f", "column": "c"}}}, "mean 'parquet'"),
        (
            {
                "path": "{a}{b}",
                "params": {"a": {"values": [1], "group": 2}, "b": {"values": [1], "group": 2}},
            },
            "one source, that of 'a'",
        ),
    ],
)
def test_what_cannot_be_is_said_before_any_call(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=message) as caught:
        rows(**{"path": "x", **options})
    assert "hush" not in str(caught.value)
