"""Rows as a user gets them, from the recorded answers of two real APIs."""

import json
from datetime import UTC, date, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from fetchcast.errors import ConfigError, ShapeError
from fetchcast.records import Disposition, Fate, Landed, Planned, Request, request_key
from fetchcast.sandbox.recordings import prh_v1_hit, prh_v1_miss, prh_v3_companies, train_days
from fetchcast.transform import ColumnOptions, Shaped, Shaper, TableOptions

STOPS = TableOptions(
    source="trains",
    rows="[*].timeTableRows[*]",
    carry={"departure_date": "^.departureDate", "train_number": "^.trainNumber"},
)


def landed(body: Any, place: int = 0, **changed: Any) -> Landed:
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    about: dict[str, Any] = {
        "seq": place,
        "key": f"key{place}",
        "resource": "t",
        "url": f"https://api.example/{place}",
        "params": {"date": "2020-01-31", "train": 27},
        "fate": Fate.LANDED,
        "status": 200,
        "headers": {"fetchcast-origin": "sandbox"},
        "body": raw,
        "attempts": 1,
        "reason": None,
        "finished_at": 1.6e9,
    }
    return Landed(**about | changed)


def tables(shaped: Shaped) -> dict[str, pa.Table]:
    shaped.accounting.check()
    return {batch.target.table: batch.rows for batch in shaped.batches}


def shape(options: TableOptions, *bodies: Any) -> dict[str, pa.Table]:
    answers = [landed(body, place) for place, body in enumerate(bodies)]
    return tables(Shaper("t", options).shape(answers))


def rows(options: TableOptions, *bodies: Any) -> list[dict[str, Any]]:
    ours = {"_request_key", "_row"}
    found = shape(options, *bodies)["t"].to_pylist()
    return [{name: cell for name, cell in row.items() if name not in ours} for row in found]


def simply(**options: Any) -> TableOptions:
    return TableOptions(source="t", **options)


def test_a_year_of_stops_has_one_typed_row_per_stop() -> None:
    """60 recorded days: 202 stops a day, each with its date, ids as text and times in UTC."""
    answers = [landed([day], place) for place, day in enumerate(train_days().values())]
    made = tables(Shaper("stops", STOPS).shape(answers))

    stops = made["stops"]
    assert stops.num_rows == 60 * 202
    first = stops.slice(0, 1).to_pylist()[0]
    assert first["departure_date"] == date(2020, 1, 1)
    assert first["train_number"] == 27
    assert first["station_short_code"] == "HKI"
    assert first["scheduled_time"] == datetime(2020, 1, 1, 12, 24, tzinfo=UTC)
    assert first["difference_in_minutes"] == 1
    assert first["train_ready_source"] == "KUPLA"
    assert stops["_row"].to_pylist() == list(range(202)) * 60
    assert made["_rejects"].num_rows == 0


def test_every_recorded_value_is_where_it_belongs() -> None:
    """Each field of each recorded stop, compared one by one with the table."""
    day = next(iter(train_days().values()))
    made = shape(simply(rows="[*].timeTableRows[*]"), [day])

    for stop, row in zip(day["timeTableRows"], made["t"].to_pylist(), strict=True):
        assert row["station_uic_code"] == stop["stationUICCode"]
        assert row["commercial_stop"] == stop.get("commercialStop")
        assert row["commercial_track"] == stop.get("commercialTrack")
        assert row["difference_in_minutes"] == stop.get("differenceInMinutes")
        actual = stop.get("actualTime")
        assert row["actual_time"] == (datetime.fromisoformat(actual) if actual else None)


def test_arrays_become_tables_that_join_to_their_row() -> None:
    """A cause knows its call, its stop and its place among the causes of that stop."""
    days = list(train_days().values())
    made = shape(simply(rows="[*].timeTableRows[*]"), *[[day] for day in days])

    expected = [
        (f"key{place}", row, index, cause["categoryCode"])
        for place, day in enumerate(days)
        for row, stop in enumerate(day["timeTableRows"])
        for index, cause in enumerate(stop["causes"])
    ]
    causes = made["t_causes"].to_pylist()
    names = ("_request_key", "_row", "_index", "category_code")
    assert [tuple(cause[name] for name in names) for cause in causes] == expected


def test_without_settings_rows_are_found() -> None:
    """An array's elements, an object's only array of objects, else the object itself."""
    assert rows(simply(), [{"a": 1}, {"a": 2}]) == [{"a": 1}, {"a": 2}]
    assert rows(simply(), {"total": 2, "results": [{"a": 1}]}) == [{"a": 1}]
    assert rows(simply(), {"a": 1, "b": [1, 2]}) == [{"a": 1}]
    assert len(rows(simply(), prh_v1_hit())) == 1


def test_a_miss_gives_no_row_and_a_hit_one() -> None:
    made = shape(simply(rows="results[*]"), prh_v1_miss(), prh_v1_hit())

    assert made["t"]["_request_key"].to_pylist() == ["key1"]
    assert made["t"]["business_id"].to_pylist() == ["2331972-7"]


def test_ids_keep_their_leading_zeros() -> None:
    [row] = rows(simply(), [{"id": "007", "postCode": "02150"}])

    assert row == {"id": "007", "post_code": "02150"}


def test_chosen_columns_are_found_renamed_and_typed() -> None:
    """Only what was chosen, in the order of the file; the rest is dropped by rule and counted."""
    company = prh_v3_companies()[-1]
    options = simply(
        rows="companies[*]",
        columns={
            "name": "names[0].name",
            "business_id": "businessId.value",
            "changed": ColumnOptions(
                path="lastModified", type="timestamptz", zone="Europe/Helsinki"
            ),
            "status": ColumnOptions(path="status", type="int"),
        },
    )
    shaped = Shaper("t", options).shape([landed({"totalResults": 1, "companies": [company]})])

    made = tables(shaped)
    assert made["t"].schema.names[2:] == ["name", "business_id", "changed", "status"]
    assert made["t"].to_pylist()[0] | {"_row": 0} == {
        "_request_key": "key0",
        "_row": 0,
        "name": "Accountor Group Oy",
        "business_id": "0250345-3",
        "changed": datetime(2024, 11, 15, 12, 2, 8, tzinfo=UTC),
        "status": 2,
    }
    assert set(made) == {"t", "_rejects"}
    assert shaped.accounting.in_columns == 4
    assert shaped.accounting.dropped_by_rule > 60


def test_a_chosen_array_or_object_comes_whole() -> None:
    options = simply(columns={"tag": "tags", "who": "owner"})
    made = shape(options, [{"id": 1, "tags": ["a", "b"], "owner": {"name": "x", "age": 3}}])

    assert made["t"].select(["who_name", "who_age"]).to_pylist() == [
        {"who_name": "x", "who_age": 3}
    ]
    assert made["t_tag"]["value"].to_pylist() == ["a", "b"]


def test_arrays_as_json() -> None:
    """The text of the answer as it came, not read and written again."""
    [row] = rows(simply(nested="json"), [{"id": 1, "tags": ["ä", {"b": [1]}], "none": []}])

    assert row == {"id": 1, "tags": '["ä",{"b": [1]}]', "none": "[]"}


def test_values_from_beside_the_body() -> None:
    options = simply(
        rows="[*]",
        carry={
            "day": "param:date",
            "train": "param:train",
            "origin": "header:Fetchcast-Origin",
            "address": "url",
            "seen": "landed_at",
        },
    )
    [row] = rows(options, [{"a": 1}])

    assert row == {
        "day": date(2020, 1, 31),
        "train": 27,
        "origin": "sandbox",
        "address": "https://api.example/0",
        "seen": datetime.fromtimestamp(1.6e9, UTC),
        "a": 1,
    }


def test_carried_from_two_levels_and_from_the_top() -> None:
    body = {
        "country": "FI",
        "area": {"id": 3},
        "trains": [{"n": 1, "stops": [{"s": "HKI"}, {"s": "TPE"}]}],
    }
    options = simply(
        rows="trains[*].stops[*]", carry={"n": "^.n", "up": "^^.country", "area": "$.area.id"}
    )

    assert rows(options, body) == [
        {"n": 1, "up": "FI", "area": 3, "s": "HKI"},
        {"n": 1, "up": "FI", "area": 3, "s": "TPE"},
    ]


def test_declared_types_and_texts_that_mean_nothing() -> None:
    """FRED writes "." for no value: declared as missing it is NULL, and counted as dropped."""
    options = simply(
        columns={"value": ColumnOptions(path="value", type="float", missing=(".",)), "day": "date"}
    )
    shaped = Shaper("t", options).shape(
        [landed([{"date": "2020-01-01", "value": "1.5"}, {"date": "2020-02-01", "value": "."}])]
    )

    assert tables(shaped)["t"]["value"].to_pylist() == [1.5, None]
    assert shaped.accounting.dropped_by_rule == 1
    assert shaped.rejected == 0


def test_a_declared_column_is_there_before_its_first_value() -> None:
    """So that SQL over a first, short load finds it."""
    options = simply(types={"live_estimate_time": "timestamptz"})

    assert rows(options, [{"n": 1}]) == [{"n": 1, "live_estimate_time": None}]
    assert "live_estimate_time" in shape(options)["t"].schema.names


def test_a_parameter_that_is_null_at_first() -> None:
    answers = [landed([{"n": 1}] * 1000, place, params={"x": None}) for place in range(150)]
    answers.append(landed([{"n": 1}], 1000, params={"x": 5}))
    made = tables(Shaper("t", simply(carry={"x": "param:x"})).shape(answers))

    assert made["t"]["x"].to_pylist()[-1] == 5


def test_what_does_not_fit_a_declared_type_is_rejected_with_its_place() -> None:
    shaped = Shaper("t", simply(types={"n": "int64"})).shape([landed([{"n": 1}, {"n": "7b"}])])

    made = tables(shaped)
    assert made["t"]["n"].to_pylist() == [1, None]
    [reject] = made["_rejects"].to_pylist()
    assert reject["request_key"] == "key0"
    assert reject["table_name"] == "t"
    assert (reject["row"], reject["path"], reject["value_head"]) == (1, "$[1].n", "7b")


def test_a_column_that_widens_late_is_wide_everywhere_in_the_chunk() -> None:
    """Also the answers that were shaped before: a time keeps the text that it had."""
    many = [[{"at": "2020-01-31T10:00:00Z"}] for _ in range(2500)]
    column = shape(simply(), *many, [{"at": "soon"}])["t"]["at"]

    assert set(column.to_pylist()) == {"2020-01-31T10:00:00Z", "soon"}


def test_of_two_answers_to_one_call_the_later_counts() -> None:
    old = landed([{"n": 1}], seq=1, key="same")
    new = landed([{"n": 2}], seq=2, key="same")
    empty = landed(b"", seq=3, key="gone", fate=Fate.EMPTY)
    failed = landed(b"busy", seq=4, key="failed", fate=Fate.FAILED)

    shaped = Shaper("t", simply()).shape([old, new, empty, failed])

    assert tables(shaped)["t"]["n"].to_pylist() == [2]
    assert [list(batch.keys) for batch in shaped.batches[:1]] == [["same", "gone"]]


def test_a_call_that_is_empty_now_clears_its_child_rows_too() -> None:
    """Every table that is known speaks for the call, also where it has no rows any more."""
    options = simply(rows="[*]")
    first = Shaper("t", options)
    first.shape([landed([{"id": 1, "tags": ["a"]}])])
    later = Shaper("t", options, memory=first.memory())

    shaped = later.shape([landed(b"[]", fate=Fate.EMPTY)])

    assert {batch.target.table: list(batch.keys) for batch in shaped.batches[:2]} == {
        "t": ["key0"],
        "t_tags": ["key0"],
    }
    assert [batch.rows.num_rows for batch in shaped.batches] == [0, 0, 0]


def test_how_tables_are_written() -> None:
    body = [{"id": 1, "tags": ["a"]}]
    shaped = Shaper("t", simply(key=["id"])).shape([landed(body)])
    main, child, rejects = (batch.target for batch in shaped.batches)

    assert (main.disposition, main.key, main.whole_keys) == (Disposition.MERGE, ("id",), False)
    assert (child.table, child.key, child.whole_keys) == ("t_tags", ("_request_key",), True)
    assert rejects.table == "_rejects"


def test_two_tables_of_one_answer_keep_their_own_rejects() -> None:
    """Both speak for the same call, so the key of a reject names the table too."""
    bad = landed(b"[{")
    one = Shaper("one", simply()).shape([bad]).batches[-1]
    other = Shaper("other", simply()).shape([bad]).batches[-1]

    assert not set(one.keys) & set(other.keys)
    assert one.rows["_request_key"].to_pylist() == list(one.keys)


def test_when_no_answer_can_be_read_nothing_is_settled() -> None:
    shaper = Shaper("t", simply())
    first = shaper.shape([landed(b"<html>")])
    then = shaper.shape([landed([{"n": 1}])])

    assert tables(first)["_rejects"]["reason"].to_pylist() == ["HTML or XML instead of JSON"]
    assert tables(then)["t"]["n"].to_pylist() == [1]


def test_the_digest_follows_the_options() -> None:
    assert Shaper("t", simply()).digest == Shaper("t", simply()).digest
    assert Shaper("t", simply()).digest != Shaper("t", simply(rows="[*]")).digest


def test_a_row_path_that_leads_nowhere_says_what_is_there() -> None:
    """Instead of a load of no rows; an envelope without anything that could hold rows is fine."""
    with pytest.raises(ShapeError, match=r"'result' at \$; there are: total, results"):
        shape(simply(rows="result[*]"), {"total": 1, "results": [{"a": 1}]})
    assert rows(simply(rows="results[*]"), {"total": 0}) == []


def test_columns_without_any_value_are_told() -> None:
    shaper = Shaper("t", simply(columns={"name": "nmae", "id": "id"}, carry={"day": "param:date"}))
    shaper.shape([landed([{"id": 1, "name": "a"}])])

    assert shaper.unseen() == ["name"]


def planned(position: int, number: str, url: str | None, reason: str | None = None) -> Planned:
    request = None
    if url is not None:
        request = Request(key=request_key("GET", url), resource="companies", url=url)
    return Planned(
        position=position,
        resource="companies",
        params={"number": position, "business_id": number},
        request=request,
        reason=reason,
    )


def test_every_call_gives_a_row_for_every_row_of_the_input() -> None:
    """The input's order and columns, the answer's values, and how each call ended."""
    rows_of_plan = [
        planned(0, "2331972-7", "https://a/2331972-7"),
        planned(1, "nonsense", None, "not a business id"),
        planned(2, "2501710-8", "https://a/2501710-8"),
        planned(3, "2331972-7", "https://a/2331972-7"),
        planned(4, "0000001-9", "https://a/0000001-9"),
    ]
    hit = landed(prh_v1_hit(), key=request_key("GET", "https://a/2331972-7"))
    miss = landed(
        prh_v1_miss(), key=request_key("GET", "https://a/2501710-8"), fate=Fate.EMPTY, status=404
    )
    failed = landed(
        b"busy", key=request_key("GET", "https://a/0000001-9"), fate=Fate.FAILED, reason="HTTP 503"
    )
    options = TableOptions(
        source="companies",
        rows="results[*]",
        columns={"name": "name", "form": "companyForm"},
        every_call=True,
    )
    answers = [hit, None, miss, hit, failed]

    shaped = Shaper("results", options).shape_plan(list(zip(rows_of_plan, answers, strict=True)))

    results = tables(shaped)["results"]
    names = ["number", "business_id", "name", "form", "_fate", "_reason"]
    assert results.schema.names[:6] == names
    assert [tuple(row[name] for name in names) for row in results.to_pylist()] == [
        (0, "2331972-7", "Verso Food Oy", "OY", "landed", None),
        (1, "nonsense", None, None, "skipped", "not a business id"),
        (2, "2501710-8", None, None, "empty", None),
        (3, "2331972-7", "Verso Food Oy", "OY", "landed", None),
        (4, "0000001-9", None, None, "failed", "HTTP 503"),
    ]
    assert shaped.batches[0].target.disposition is Disposition.REPLACE


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rows": "results[*"}, "cannot read"),
        ({"carry": {"x": "departureDate"}}, "the object around the row"),
        ({"columns": {"x": "names[*].name"}}, "one value"),
        ({"columns": {"_x": "name"}}, "does not start with _"),
        ({"columns": {"x": "a", "X": "b"}}, "another name"),
        ({"key": ["id"], "write": "append"}, "merge"),
        ({"columns": {"x": "a"}, "types": {"y": "int"}}, "one of x"),
        ({"rows": "[*]", "carry": {"x": "^.a"}}, "at most 0"),
        ({"columns": {"x": "a", "y": "a.b"}}, "nothing else takes"),
    ],
)
def test_a_mistake_in_the_options_is_told_at_once(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Shaper("t", simply(**wrong))


def test_options_are_read_from_a_file() -> None:
    """``from`` in TOML, columns as text or as a table."""
    options = msgspec.convert(
        {"from": "trains", "columns": {"a": "x", "b": {"path": "y", "type": "int"}}}, TableOptions
    )

    assert options.sources == ["trains"]
    assert options.columns == {"a": "x", "b": ColumnOptions(path="y", type="int")}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("2020-01-31T10:00:00Z", "timestamptz"),
        ("2020-01-31T10:00:00.000Z", "timestamptz"),
        ("2020-01-31T10:00:00.123456Z", "timestamptz"),
        ("2020-01-31 10:00:00Z", "timestamptz"),
        ("2020-01-31T10:00Z", "timestamptz"),
        ("2020-01-31T12:00:00+02:00", "timestamptz"),
        ("2020-01-31T12:00:00+0200", "timestamptz"),
        ("2020-01-31T12:00:00+02", "timestamptz"),
        ("2020-01-31", "date"),
        ("0001-01-01", "date"),
        ("9999-12-31T23:59:59.999999Z", "timestamptz"),
        # No zone: nobody knows when that was. Nanoseconds: no destination keeps them.
        ("2020-01-31T10:00:00", "text"),
        ("2024-11-15 14:02:08", "text"),
        ("2020-01-31T10:00:00.1234567Z", "text"),
        ("2020-02-30", "text"),
        ("2020-01-31T24:00:00Z", "text"),
        ("2016-12-31T23:59:60Z", "text"),
        ("0000-01-01", "text"),
        ("0001-01-01T00:00:00+01:00", "text"),
        ("9999-12-31T23:59:59-01:00", "text"),
        ("20200131", "text"),
        ("2020-1-31", "text"),
        ("2020-W05-5", "text"),
        ("31.1.2020", "text"),
        ("1580464800", "text"),
        ("Fri, 31 Jan 2020 10:00:00 GMT", "text"),
        (" 2020-01-31", "text"),
        ("2020-01-31\n", "text"),
    ],
)
def test_dates_and_times_in_the_dialects_of_apis(text: str, kind: str) -> None:
    """Learnt from the first answer or met later in a column of times: the same decision."""
    shaper = Shaper("t", simply())
    shaper.shape([landed([{"at": text}])])
    later = Shaper("t", simply())
    first = "2019-12-31" if kind == "date" else "2019-12-31T10:00:00Z"
    later.shape([landed([{"at": first}])])
    later.shape([landed([{"at": text}])])

    assert shaper.schema()["t"]["at"] == kind
    assert later.schema()["t"]["at"] == kind


@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        ("int", "7", 7),
        ("int", 7.0, 7),
        ("int", "007", 7),
        ("int", True, None),
        ("int", "7.5", None),
        ("int", 2**63, None),
        ("float", "1e3", 1000.0),
        ("float", 7, 7.0),
        ("float", 2**53 + 1, None),
        ("float", "nan", None),
        ("bool", "True", True),
        ("bool", 1, None),
        ("text", 7, "7"),
        ("text", True, "true"),
        ("date", "2020-01-31", date(2020, 1, 31)),
        ("date", "2020-01-31T10:00:00Z", None),
        ("timestamptz", "2020-01-31T10:00:00", datetime(2020, 1, 31, 10, tzinfo=UTC)),
        ("timestamptz", 1580464800, None),
        ("json", {"a": [1]}, '{"a": [1]}'),
    ],
)
def test_what_a_declared_type_takes(kind: Any, value: Any, cell: Any) -> None:
    """A cell, or a line in the rejects; never another value than the one that came."""
    options = simply(rows="[*]", columns={"x": ColumnOptions(path="x", type=kind)})
    made = shape(options, [{"x": value}])

    assert made["t"]["x"].to_pylist() == [cell]
    assert made["_rejects"].num_rows == (cell is None)
