"""Names that every destination takes, and values counted from bytes alone."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchcast.json_path import parse_path, show_path
from fetchcast.transform.census import count_members
from fetchcast.transform.names import MAX_BYTES, Names, snake_case

TEXTS = st.text(max_size=6) | st.text(st.sampled_from('":\\ {}[],n'), max_size=8)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=15,
)
SPACES = st.text(st.sampled_from(" \t\n\r"), max_size=3)


def members(value: Any) -> int:
    """Keys with a value, the plain way."""
    if isinstance(value, list):
        return sum(map(members, value))
    if not isinstance(value, dict):
        return 0
    own = sum(item is not None and not isinstance(item, (dict, list)) for item in value.values())
    return own + sum(map(members, value.values()))


@settings(deadline=None)
@given(
    documents=st.lists(DOCUMENTS, max_size=4),
    before=SPACES,
    after=SPACES,
    ascii_only=st.booleans(),
)
def test_values_are_counted_from_bytes(
    documents: list[Any], before: str, after: str, *, ascii_only: bool
) -> None:
    """However the text is written, and whatever looks like a key inside of a text."""
    separators = (f"{before},{after}", f"{before}:{after}")
    bodies = [
        json.dumps(document, ensure_ascii=ascii_only, separators=separators).encode(
            "utf-8", "replace"
        )
        for document in documents
    ]

    assert count_members(bodies) == sum(map(members, documents))


def test_a_key_that_comes_twice_is_counted_twice() -> None:
    assert count_members([b'{"a": 1, "a": 2, "b": {"a": "x", "a" : true}}']) == 4


@given(keys=st.lists(st.text(max_size=90), max_size=20, unique=True))
def test_names_are_safe_short_and_never_shared(keys: list[str]) -> None:
    """Whatever the keys of an API are; and asking again gives the same."""
    names = Names(reserved=("_row",))
    given_names = [names.name(key, snake_case(key)) for key in keys]

    assert len({name.lower() for name in given_names}) == len(keys)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*|_[0-9a-f]{8}", name) for name in given_names)
    assert all(len(name.encode()) <= MAX_BYTES for name in given_names)
    assert [names.name(key, snake_case(key)) for key in keys] == given_names


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("stationShortCode", "station_short_code"),
        ("stationUICCode", "station_uic_code"),
        ("operatorUICCode", "operator_uic_code"),
        ("commuterLineID", "commuter_line_id"),
        ("Määrä (€)", "maara"),
        ("Ääkköset", "aakkoset"),
        ("pH-arvo 2", "p_h_arvo_2"),
        ("2020", "c2020"),
        ("_id", "id"),
        ("$ref", "ref"),
        ("straße", "strasse"),
        ("ÅLAND", "aland"),
        ("日本", ""),
    ],
)
def test_snake_case(key: str, name: str) -> None:
    assert snake_case(key) == name


@pytest.mark.parametrize(
    "path", ["$", "$[*].timeTableRows[*]", "$.names[0].name", '$["a.b"].c', '$[*]["x y[0]"][3]']
)
def test_paths_are_shown_as_they_are_read(path: str) -> None:
    assert show_path(parse_path(path)) == path


@pytest.mark.parametrize("path", ["a..b", "a.", "[", "a[x]", "a[-1]", "a b]", '["a', "a[]"])
def test_paths_that_cannot_be_read(path: str) -> None:
    with pytest.raises(ValueError, match="cannot read"):
        parse_path(path)
