"""In every format each value is in a column or a reject, whatever the body is."""

import csv
import io
import json
from contextlib import suppress
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchcast.formats import BrokenFormat, CsvOptions, Format, documents
from fetchcast.records import Fate, Landed
from fetchcast.transform import Shaped, Shaper, TableOptions

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
CELL = st.one_of(TEXT, st.integers().map(str), st.floats(allow_nan=False).map(repr), st.just(""))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXT, below, max_size=3),
    max_leaves=8,
)


def shaped(body: bytes, form: Format, rows: str | None = None) -> Shaped:
    landed = Landed(
        seq=1,
        key="k",
        resource="r",
        url="http://h/",
        params={},
        fate=Fate.LANDED,
        status=200,
        headers={},
        body=body,
        attempts=1,
        reason=None,
        finished_at=0.0,
    )
    return Shaper("t", TableOptions(source="r", rows=rows), forms={"r": form}).shape([landed])


def books(found: Shaped) -> int:
    found.accounting.check()
    return found.accounting.leaves_in


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(CELL, min_size=1, max_size=5), max_size=6), st.sampled_from(",;\t|"))
def test_csv(rows: list[list[str]], separator: str) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writerow(["a", "b", "c"])
    writer.writerows(rows)
    form = Format(name="csv", csv=CsvOptions(separator=separator))
    found = shaped(text.getvalue().encode(), form)
    assert books(found) == sum(cell != "" for row in rows for cell in row)
    numbers = [json.loads(document) for document in documents(text.getvalue().encode(), form)]
    assert sum(map(len, numbers)) == len(rows)


@settings(deadline=None, max_examples=60)
@given(st.lists(JSON, max_size=6), st.lists(st.sampled_from([b"{", b"oops", b'{"a":NaN}'])))
def test_ndjson(values: list[object], broken: list[bytes]) -> None:
    lines = [json.dumps(value).encode() for value in values] + broken
    found = shaped(b"\n".join(lines), Format(name="ndjson"))
    plain = shaped(json.dumps(values).encode(), Format())
    assert books(found) == books(plain) + len(broken)
    assert found.rejected >= plain.accounting.rejects


@st.composite
def elements(draw: st.DrawFn, depth: int = 0) -> tuple[str, int]:
    """An element as text, and how many values are in it."""
    name = draw(st.sampled_from("abc"))
    attributes = draw(st.dictionaries(st.sampled_from(["x", "y"]), TEXT, max_size=2))
    below = draw(st.lists(elements(depth=depth + 1), max_size=3)) if depth < 3 else []
    text = draw(TEXT)
    inside = escape(text) + "".join(one for one, _ in below)
    marks = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    count = len(attributes) + bool(text.strip()) + sum(count for _, count in below)
    return f"<{name}{marks}>{inside}</{name}>", count


@settings(deadline=None, max_examples=80)
@given(elements())
def test_xml(element: tuple[str, int]) -> None:
    text, count = element
    assert books(shaped(text.encode(), Format(name="xml"))) == count


@settings(deadline=None, max_examples=150)
@given(
    st.binary(max_size=200),
    st.sampled_from(["ndjson", "csv", "tsv", "xml", "zip", "gzip"]),
)
def test_noise_is_told_or_read_and_never_crashes(body: bytes, name: str) -> None:
    """Whatever comes: the books balance, and reading raises nothing but `BrokenFormat`."""
    form = Format(name=name)  # type: ignore[arg-type]
    books(shaped(body, form))
    with suppress(BrokenFormat):
        for document in documents(body, form):
            assert isinstance(document, bytes)


@pytest.mark.parametrize("name", ["csv", "tsv"])
def test_a_nul_is_a_value_like_any_other(name: str) -> None:
    assert books(shaped(b"a\nx\0y\n", Format(name=name))) == 1  # type: ignore[arg-type]
