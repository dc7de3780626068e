"""The plan: every call, in order, before anything is sent."""

from pathlib import Path

import pytest

from fetchcast.errors import ConfigError, InputError
from fetchcast.plan.planner import CallOptions, Plan
from fetchcast.records import request_key

NOW = 1_795_000_000.0  # 2026-11-18 11:06:40 UTC, a Wednesday


def plan(folder: Path = Path(), **options: object) -> Plan:
    call = CallOptions(**options)  # type: ignore[arg-type]
    return Plan("items", call, base_url="https://api.test/v1/", folder=folder, now=NOW)


def urls(made: Plan) -> list[str]:
    return [row.request.url for row in made.rows() if row.request]


def test_the_last_days_end_yesterday() -> None:
    made = plan(path="trains/{date}/27", params={"date": {"last": "3 days"}})
    assert made.count() == 3
    assert urls(made) == [
        "https://api.test/v1/trains/2026-11-15/27",
        "https://api.test/v1/trains/2026-11-16/27",
        "https://api.test/v1/trains/2026-11-17/27",
    ]


def test_yesterday_is_where_the_time_zone_says() -> None:
    """At 22:30 UTC it is tomorrow in Helsinki already, so yesterday is a day later there."""
    late = 1_795_041_000.0
    option = CallOptions(
        path="{date}", params={"date": {"last": "1 day", "time_zone": "Europe/Helsinki"}}
    )
    made = Plan("x", option, base_url="https://a.test", folder=Path(), now=late)
    assert urls(made) == ["https://a.test/2026-11-18"]


def test_a_span_includes_both_ends_and_keeps_its_step() -> None:
    dates = {"from": "2026-01-01", "to": "2026-01-29", "step": "2 weeks", "format": "%d.%m.%Y"}
    assert urls(plan(path="{date}", params={"date": dates})) == [
        "https://api.test/v1/01.01.2026",
        "https://api.test/v1/15.01.2026",
        "https://api.test/v1/29.01.2026",
    ]


def test_a_year_of_days_is_366_in_the_reference_year() -> None:
    dates = {"from": "2021-03-23", "to": "2022-03-23"}
    assert plan(path="{date}", params={"date": dates}).count() == 366


def test_parameters_are_crossed_the_last_one_fastest() -> None:
    made = plan(path="{a}/{b}", params={"a": ["x", "y"], "b": [1, 2]})
    assert [url.removeprefix("https://api.test/v1/") for url in urls(made)] == [
        "x/1",
        "x/2",
        "y/1",
        "y/2",
    ]
    assert [row.position for row in made.rows()] == [0, 1, 2, 3]


def test_values_are_escaped_in_path_and_query() -> None:
    made = plan(path="s/{q}", query={"name": "{q}", "flag": True}, params={"q": ["Ä/b c&d"]})
    assert urls(made) == [
        "https://api.test/v1/s/%C3%84%2Fb%20c%26d?name=%C3%84%2Fb+c%26d&flag=true"
    ]


def test_equal_calls_have_equal_keys_and_others_do_not() -> None:
    rows = list(plan(path="{a}", params={"a": [1, 2, 1]}).rows())
    keys = [row.request.key for row in rows if row.request]
    assert keys[0] == keys[2] != keys[1]
    again = [row.request.key for row in plan(path="{a}", params={"a": [1]}).rows() if row.request]
    assert again == keys[:1]


def test_columns_of_one_file_stay_together_and_bad_rows_keep_their_place(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text(
        "number,business_id,year\n1,02503453,2020\n2,0250345-4,2021\n\n3,,2022\n4,0100002-9,2023\n",
        encoding="utf-8",
    )
    company = {"csv": "ids.csv", "column": "business_id", "rule": "finnish_business_id"}
    made = plan(
        tmp_path,
        path="{id}/{year}",
        params={"id": company, "year": {"csv": "ids.csv", "column": "year"}},
    )
    rows = list(made.rows())
    assert made.count() == len(rows) == 4
    assert urls(made) == [
        "https://api.test/v1/0250345-3/2020",
        "https://api.test/v1/0100002-9/2023",
    ]
    assert [row.params["number"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[1].request is None
    assert rows[1].rejected
    assert "check digit 4" in str(rows[1].reason)
    assert rows[2].reason == "business_id is empty"


@pytest.mark.parametrize(
    ("text", "message"), [('id,n\n1,"a\n2,b\n', "CSV"), ("id,id\n1,2\n", "two columns called 'id'")]
)
def test_a_file_that_would_lose_rows_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "ids.csv").write_text(text)
    made = plan(tmp_path, path="{id}", params={"id": {"csv": "ids.csv", "column": "id"}})
    with pytest.raises(InputError, match=message):
        list(made.rows())


def test_a_value_that_would_climb_out_of_the_path_is_rejected() -> None:
    rows = list(plan(path="x/{id}", params={"id": ["..", "a/../b"]}).rows())
    assert rows[0].request is None
    assert rows[0].rejected
    assert rows[1].request is not None
    assert rows[1].request.url.endswith("/x/a%2F..%2Fb")


def test_bad_rows_that_may_be_skipped_are_not_rejected(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("id\n1234567-8\n")
    option = {"csv": "ids.csv", "column": "id", "rule": "finnish_business_id", "on_bad": "skip"}
    (row,) = plan(tmp_path, path="{id}", params={"id": option}).rows()
    assert (row.request, row.rejected) == (None, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no such file"),
        ("", "is empty"),
        ("id\n", "has a header and no rows"),
        ("name,age\nx,1\n", "has no column 'id'; it has: name, age"),
        (b"id\n\xff\xfe\n", "cannot be read as CSV in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, text: str | bytes | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "ids.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    made = plan(tmp_path, path="{id}", params={"id": {"csv": "ids.csv", "column": "id"}})
    with pytest.raises(InputError, match=message) as caught:
        made.count()
    assert "ids.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "{a}"}, r"a parameter for \{a\}"),
        ({"path": "x", "params": {"b": [1]}}, r"nothing uses this parameter"),
        ({"path": "{a}", "params": {"a": []}}, "at least one value"),
        ({"path": "{a}", "params": {"a": {"last": "soon"}}}, "a span like"),
        ({"path": "{a}", "params": {"a": {"from": "2026-13-01"}}}, "a day like"),
        (
            {"path": "{a}", "params": {"a": {"from": "2026-02-01", "to": "2026-01-01"}}},
            "not before",
        ),
        ({"path": "{a}", "params": {"a": {"last": "1 day", "time_zone": "Mars"}}}, "a name like"),
        ({"path": "{a}", "params": {"a": {"csv": "x", "column": "y", "rule": "z"}}}, "rule = 'z'"),
        ({"path": "{a}", "params": {"a": {"lats": "1 day"}}}, "did you mean 'last'"),
        ({"path": "{a}", "params": {"a": [[1]]}}, "a list of texts, numbers"),
        ({"path": "{a}", "params": {"a": {"last": "9999999 days"}}}, r"a\.last = .*at most"),
        ({"path": "{a}", "params": {"a": {"last": "1 day", "step": "0 days"}}}, r"a\.step = "),
    ],
)
def test_a_wrong_parameter_is_one_clear_message(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(**options).count()  # type: ignore[arg-type]


def station(**more: object) -> dict[str, object]:
    return {"from": "stations", "field": "code", **more}


def test_children_follow_from_the_rows_of_the_parent() -> None:
    """Parameters of its own make several calls of each row; other columns are carried."""
    made = plan(
        path="s/{station}/{day}",
        params={"station": station(rows="data[*]"), "day": ["mon", "tue"]},
    )
    assert (made.parent, made.parent_fields, made.rows_path) == (
        "stations",
        {"station": "code"},
        "data[*]",
    )
    assert (list(made.rows()), made.count()) == ([], 0)
    assert not made.estimate().exact

    rows = list(made.children([{"code": "A", "line": 1}, {"code": None}, {"code": "B"}]))
    assert [row.request.url[-7:] if row.request else row.reason for row in rows] == [
        "s/A/mon",
        "s/A/tue",
        "code is empty",
        "code is empty",
        "s/B/mon",
        "s/B/tue",
    ]
    assert rows[0].params == {"line": 1, "station": "A", "day": "mon"}
    assert rows[2].rejected


def test_several_fields_of_one_parent_go_together() -> None:
    made = plan(
        path="{a}/{b}",
        params={"a": {"from": "p", "field": "x"}, "b": {"from": "p", "field": "y"}},
    )
    calls = [row.request.url for row in made.children([{"x": 1, "y": 2}]) if row.request]
    assert calls == ["https://api.test/v1/1/2"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"from": "q", "field": "y"}, "one parent only: 'p'"),
        ({"from": "p", "field": "y", "rows": "b"}, "as before: 'a'"),
        ({"from": "p", "fild": "y", "rows": "b"}, "did you mean 'field'"),
    ],
)
def test_a_resource_has_one_parent(other: dict[str, object], message: str) -> None:
    params = {"a": {"from": "p", "field": "x", "rows": "a"}, "b": other}
    with pytest.raises(ConfigError, match=message):
        plan(path="{a}/{b}", params=params)


def test_headers_that_tell_calls_apart_are_part_of_the_key() -> None:
    plain = request_key("GET", "https://a.test/")
    assert plain == request_key("GET", "https://a.test/", headers={})
    keys = {plain, *(request_key("GET", "https://a.test/", headers={"X": v}) for v in "ab")}
    assert len(keys) == 3


def test_rows_of_a_parent_go_into_groups() -> None:
    made = plan(path="x", query={"ids": "{id}"}, params={"id": station(group=2)})
    rows = list(made.children([{"code": 1}, {"code": None}, {"code": 2}, {"code": 1}, {"code": 3}]))
    assert [row.params["id"] for row in rows] == [None, "1,2", "3"]
    assert [row.request is None for row in rows] == [True, False, False]


def test_a_step_in_months_follows_the_calendar() -> None:
    dates = {"from": "2026-01-01", "to": "2026-04-30", "step": "1 month"}
    assert [url[-10:] for url in urls(plan(path="{date}", params={"date": dates}))] == [
        "2026-01-01",
        "2026-02-01",
        "2026-03-01",
        "2026-04-01",
    ]


def test_many_rows_are_crossed_without_being_held(tmp_path: Path) -> None:
    """The inner source has more rows than are held; it is read again for each outer value."""
    (tmp_path / "n.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(10_050)))
    params = {"a": ["x", "y"], "n": {"csv": "n.csv", "column": "n"}, "b": [1, 2]}
    made = plan(tmp_path, path="{a}/{n}/{b}", params=params)
    assert made.estimate().count == 2 * 10_050 * 2
    found = urls(made)
    assert len(found) == len(set(found)) == 2 * 10_050 * 2
    assert [url.removeprefix("https://api.test/v1/") for url in found[:3]] == [
        "x/0/1",
        "x/0/2",
        "x/1/1",
    ]
