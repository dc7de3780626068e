"""Columns into rows, and a function for every row, before the shaping."""

from typing import Any

import msgspec
import pytest

from fetchcast.errors import ShapeError
from fetchcast.records import Fate, Landed
from fetchcast.transform import Shaper, TableOptions
from fetchcast.transform.reshape import RowFunction

WEATHER = {
    "latitude": 60.17,
    "hourly_units": {"t": "C"},
    "hourly": {"time": ["2026-01-01", "2026-01-02"], "t": [1.5, None], "source": "model"},
}


def answer(body: Any, key: str = "k") -> Landed:
    return Landed(
        seq=1,
        key=key,
        resource="r",
        url="https://x.org/r",
        params={},
        fate=Fate.LANDED,
        status=200,
        headers={},
        body=body if isinstance(body, bytes) else msgspec.json.encode(body),
        attempts=1,
        reason=None,
        finished_at=0.0,
    )


def rows(
    body: Any, options: dict[str, Any], function: RowFunction | None = None
) -> list[dict[str, Any]]:
    told = msgspec.convert({"from": "r", **options}, TableOptions)
    shaped = Shaper("t", told, function=function).shape([answer(body)])
    found = shaped.batches[0].rows.to_pylist()
    return [{k: v for k, v in row.items() if not k.startswith("_")} for row in found]


def rejects(body: Any, options: dict[str, Any]) -> int:
    told = msgspec.convert({"from": "r", **options}, TableOptions)
    return Shaper("t", told).shape([answer(body)]).rejected


def test_arrays_side_by_side_become_rows_with_what_stands_around() -> None:
    options = {"rows": "hourly", "columnar": True, "carry": {"latitude": "^.latitude"}}
    found = rows(WEATHER, options)
    assert [(row["latitude"], str(row["time"]), row["t"], row["source"]) for row in found] == [
        (60.17, "2026-01-01", 1.5, "model"),
        (60.17, "2026-01-02", None, "model"),
    ]


def test_several_places_in_one_answer_and_an_answer_that_is_columns_itself() -> None:
    several = [WEATHER, {**WEATHER, "latitude": 61.5}]
    options = {"rows": "[*].hourly", "columnar": True, "carry": {"latitude": "^.latitude"}}
    assert [row["latitude"] for row in rows(several, options)] == [60.17, 60.17, 61.5, 61.5]
    assert rows({"a": [1, 2], "b": ["x", "y"]}, {"columnar": True}) == [
        {"a": 1, "b": "x"},
        {"a": 2, "b": "y"},
    ]
    assert rows({"a": [], "b": []}, {"columnar": True}) == []


def test_columns_of_different_lengths_are_rejected_whole() -> None:
    assert rejects({"a": [1, 2], "b": [3]}, {"columnar": True}) > 0
    assert rejects(b"{broken", {"columnar": True}) > 0


def test_a_function_changes_drops_and_multiplies_rows() -> None:
    def row(row: dict[str, Any]) -> Any:
        if row["n"] == 0:
            return None
        return [{"n": row["n"], "copy": copy} for copy in range(row["n"])]

    body = {"items": [{"n": 0}, {"n": 2}]}
    assert rows(body, {"rows": "items[*]"}, row) == [{"n": 2, "copy": 0}, {"n": 2, "copy": 1}]
    assert rows(body, {}, row) == [{"n": 2, "copy": 0}, {"n": 2, "copy": 1}], "rows are found"


def test_a_function_for_an_answer_that_is_one_row() -> None:
    assert rows({"a": 1}, {}, lambda row: {"b": row["a"] + 1}) == [{"b": 2}]
    assert rows({"x": {"a": 1}}, {"rows": "x"}, lambda row: {**row, "c": 1}) == [{"a": 1, "c": 1}]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda row: row["gone"], "KeyError: 'gone'"),
        (lambda _: [1], "gave 1, which is no row"),
    ],
)
def test_a_function_that_fails_says_where(function: RowFunction, says: str) -> None:
    with pytest.raises(ShapeError, match=r"on https://x\.org/r: ") as caught:
        rows([{"a": 1}], {"rows": "[*]"}, function)
    assert says in str(caught.value)


def test_another_function_is_another_shape() -> None:
    options = msgspec.convert({"from": "r"}, TableOptions)
    one = Shaper("t", options, function=lambda row: row).digest
    two = Shaper("t", options, function=lambda row: {**row, "b": 2}).digest
    assert len({one, two, Shaper("t", options).digest}) == 3
