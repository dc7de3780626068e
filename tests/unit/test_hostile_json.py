"""Several hundred JSON texts that nobody should send: no crash, no hang, each accounted for."""

import json
from itertools import chain
from typing import Any

import pytest

from fetchcast.records import Fate, Landed
from fetchcast.transform import Shaped, Shaper, TableOptions

GOOD = (
    b'{"items": [{"id": 1, "name": "K\xc3\xa4pyl\xc3\xa4", "at": "2020-01-31T10:00:00Z", '
    b'"tags": ["a"], "o": {"p": 1.5}}], "total": 1}'
)
NUMBERS = [
    "0",
    "-0",
    "1e0",
    "1E+2",
    "-1.5",
    "0.1",
    "1e308",
    "1e309",
    "-1e999",
    "1e-999",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "1e22",
    "0.30000000000000004",
    "123456789012345678901234567890.5",
    "NaN",
    "Infinity",
    "-Infinity",
    "nan",
    "01",
    "1.",
    ".5",
    "+1",
    "0x10",
    "1_000",
    "--1",
    "1e",
    "1e+",
    "1.e5",
    "-",
]
TEXTS = [
    r'"\ud800"',
    r'"\udc00\ud800"',
    r'"\ud83d\ude00"',
    r'"\u0000"',
    r'"a\u0000b"',
    r'"\x41"',
    r'"\u12"',
    r'"\""',
    r'"\\"',
    r'"\\\""',
    '":"',
    r'"\":1"',
    '" : "',
    '"a\nb"',
    '"a\tb"',
    '"\x7f"',
    '"\u2028"',
    '"\ufeff"',
    '"\uffff"',
    '"\U0010ffff"',
    "'a'",
    '"unclosed',
    '"2020-02-30"',
    '"0000-01-01"',
    '"2020-01-31T10:00:00Z"',
    '"9999-12-31T23:59:59-14:00"',
    '"0001-01-01T00:00:00+14:00"',
    '"2020-01-31"',
    '"+2020-01-31"',
    '"2020-01-31T24:00:00Z"',
    '"2016-12-31T23:59:60Z"',
    '"2020-01-31T10:00:00.123456789Z"',
    '"' + "x" * 100_000 + '"',
]
THINGS = [
    "null",
    "true",
    "false",
    "True",
    "None",
    "undefined",
    "{}",
    "[]",
    "[[]]",
    "[{}]",
    "{",
    "}",
    "[",
    "]",
    "[1,]",
    "[,1]",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    "{a:1}",
    "{'a':1}",
    '{"a":1 "b":2}',
    "/*c*/ 1",
    "1 // c",
    '{"a":1,"a":2}',
    '{"a":{"b":1},"a":{"b":2}}',
    '{"a":1,"\\u0061":2}',
    '{"a" : 1, "a" :2}',
    '{"":1}',
    '{" ":1,"  ":2}',
    '{"\\ud800":1}',
    '{"\\u0000":1}',
    '{"a\\"b":1}',
    '{"a\\\\":1}',
    '{"\\n":1}',
    '{"A":1,"a":2,"\u00c4":3}',
    '{"_row":1,"_request_key":2}',
    '{"constructor":1,"__class__":2}',
    '{"select":1,"from":2,"order":3}',
    '{"' + "k" * 5000 + '":1}',
    "[null,null]",
    '[1,"a",{"b":[2]},[3]]',
    "{" + ",".join(f'"k{place}":{place}' for place in range(1500)) + "}",
    "[" + ",".join(["0"] * 10_000) + "]",
]
NESTED = [
    opening * depth + inside + closing * depth
    for opening, closing in (("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"))
    for inside in ("1", "", "null")
    for depth in (1, 5, 11, 12, 13, 60, 200, 400, 800, 5000)
]
WHOLE = [
    b"",
    b" ",
    b"\n",
    b"null",
    b"1",
    b'"text"',
    b"[]",
    b"[1,2]",
    b"[[]]",
    b"{}",
    b"<html></html>",
    b"<?xml version='1.0'?>",
    b"Service Unavailable",
    b"\xef\xbb\xbf" + GOOD,
    b"\xff\xfe" + GOOD,
    GOOD.decode().encode("utf-16"),
    GOOD.decode().encode("utf-32"),
    GOOD.decode().encode("latin-1"),
    GOOD + GOOD,
    GOOD + b"\n" + GOOD,
    GOOD + b"x",
    GOOD + b" \n\t ",
    b"\0" + GOOD,
    GOOD + b"\0",
    b"\x1f\x8b\x08",
    b'{"items": null}',
    b'{"items": {}}',
    b'{"items": 1}',
    b'{"items": [null]}',
    b'{"items": [[]]}',
    b'{"items": [1, "a", true]}',
    b'{"ITEMS": []}',
    b'{"items": [], "items": [{"id": 2}]}',
    b'{"error": "limit reached"}',
    b"data: {}",
    b")]}',\n" + GOOD,
    b'callback({"items": []})',
]


def hostile() -> list[bytes]:
    values = chain(NUMBERS, TEXTS, THINGS, NESTED)
    inside = [b'{"items": [{"id": %s}]}' % value.encode() for value in values]
    cut = [GOOD[:end] for end in range(len(GOOD))]
    spoilt = [GOOD[:at] + b"\xff" + GOOD[at + 1 :] for at in range(0, len(GOOD), 3)]
    quoted = [GOOD[:at] + b'"' + GOOD[at + 1 :] for at in range(0, len(GOOD), 2)]
    return [*inside, *WHOLE, *cut, *spoilt, *quoted]


def landed(bodies: list[bytes]) -> list[Landed]:
    return [
        Landed(
            seq=place,
            key=f"key{place}",
            resource="t",
            url="https://api.example/t",
            params={},
            fate=Fate.LANDED,
            status=200,
            headers={},
            body=body,
            attempts=1,
            reason=None,
            finished_at=1.6e9,
        )
        for place, body in enumerate(bodies)
    ]


def rejected(shaped: Shaped) -> set[str]:
    return set(shaped.batches[-1].rows["request_key"].to_pylist())


def plain_leaves(body: bytes) -> int | None:
    """How many values a strict reader finds; None if it is not JSON or cannot be kept whole."""
    odd: list[str] = []
    try:
        value = json.loads(body.decode(), parse_constant=odd.append, object_pairs_hook=_pairs)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError, UnicodeError):
        return None
    text = repr(value)
    if odd or "inf" in text or "\\x00" in text or "twice" in text:
        return None
    return _count(value)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # An empty value that comes again loses nothing: such a text is fine.
    lost = sum(_count(value) for _, value in pairs) - _count(dict(pairs))
    return dict(pairs) | ({"twice": 1} if lost else {})


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_count, value.values()))
    if isinstance(value, list):
        return sum(map(_count, value))
    return value is not None


HOSTILE = hostile()


def test_there_are_several_hundred() -> None:
    assert len(set(HOSTILE)) > 400


@pytest.mark.parametrize("part", range(8))
def test_alone_between_good_answers(part: int) -> None:
    """The neighbours are shaped as if it were not there; what is not JSON has a reject."""
    for body in HOSTILE[part::8]:
        shaped = Shaper("t", TableOptions(source="t", rows="items[*]")).shape(
            landed([GOOD, body, GOOD])
        )

        shaped.accounting.check()
        keys = shaped.batches[0].rows["_request_key"].to_pylist()
        assert (keys[0], keys[-1]) == ("key0", "key2"), body[:80]
        assert rejected(shaped) <= {"key1"}, body[:80]
        found = plain_leaves(body)
        if found is None:
            assert rejected(shaped) == {"key1"} or body.startswith(b"\xef\xbb\xbf"), body[:80]
        else:
            good = _count(json.loads(GOOD))
            books = shaped.accounting
            assert books.leaves_in == found + 2 * good or rejected(shaped), body[:80]


@pytest.mark.parametrize(
    "options",
    [
        TableOptions(source="t"),
        TableOptions(source="t", rows="items[*]", nested="json"),
        TableOptions(source="t", rows="items[*]", contract="discard_row"),
        TableOptions(source="t", rows="items[*]", contract="discard_value"),
        TableOptions(source="t", rows="items[*]", columns={"a": "id", "b": "tags[0]", "c": "o.p"}),
        TableOptions(source="t", rows="items[*].tags[*]", carry={"all": "$.total", "id": "^.id"}),
        TableOptions(source="t", rows="items[*]", types={"id": "int64", "name": "timestamptz"}),
    ],
)
def test_all_together(options: TableOptions) -> None:
    """Whatever was learnt from the hostile ones, the books balance and good answers stay."""
    shaper = Shaper("t", options)
    shaper.shape(landed([GOOD] * 600))  # Contracts other than evolve take these as the law.
    shaped = shaper.shape(landed([GOOD, *HOSTILE, GOOD]))

    shaped.accounting.check()
    assert shaped.accounting.bodies == len(HOSTILE) + 2
    assert not rejected(shaped) & {f"key{len(HOSTILE) + 1}"} or "name" in options.types


@pytest.mark.slow
def test_a_text_of_100_mb() -> None:
    body = b'{"items": [{"id": "' + b"x" * 100_000_000 + b'"}]}'
    shaped = Shaper("t", TableOptions(source="t", rows="items[*]")).shape(landed([GOOD, body]))

    shaped.accounting.check()
    assert shaped.batches[0].rows["id"].to_pylist()[1] == "x" * 100_000_000
