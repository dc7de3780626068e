"""Laws of shaping that hold for any documents whatever."""

import json
import random
import re
from collections import Counter
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchcast.records import Fate, Landed
from fetchcast.transform import Shaped, Shaper, TableOptions

KEYS = st.sampled_from(["id", "name", "stop", "owner", "list"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
    | st.sampled_from(["2020-01-31", "2020-01-31T10:00:00Z", '":', '"a":1', "\\", '\\":'])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
BODIES = st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=3)
OPTIONS = st.sampled_from(
    [
        TableOptions(source="t", rows="[*]"),
        TableOptions(source="t", rows="[*]", nested="json"),
        TableOptions(source="t", rows=""),
        TableOptions(source="t", rows="[*].list[*]", carry={"top": "^.id"}),
        TableOptions(source="t", rows="[*]", columns={"first": "list[0]", "n": "stop.name"}),
        TableOptions(source="t", rows="[*]", columns={"a": "list[0][1]", "b": "owner"}),
        TableOptions(source="t", rows="[*].list[*]", carry={"o": "^.owner", "n": "^.stop.id"}),
        TableOptions(source="t", rows="[*]", types={"id": "int64", "name": "timestamptz"}),
        TableOptions(source="t"),
        TableOptions(source="t", rows="[*]", contract="discard_value"),
        TableOptions(source="t", rows="[*]", contract="discard_row"),
    ]
)


few = settings(max_examples=30, deadline=None)  # Each compiles its types: some 20 ms an example.


def landed(documents: list[Any]) -> list[Landed]:
    bodies = [json.dumps(document, ensure_ascii=False).encode() for document in documents]
    return [answer(place, body) for place, body in enumerate(bodies)]


def answer(place: int, body: bytes) -> Landed:
    return Landed(
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


def leaves(value: Any) -> list[Any]:
    """All values of a document, the plain way."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [] if value is None else [value]


def cells(shaped: Shaped) -> list[Any]:
    """All values in all tables but our own columns."""
    found = []
    for batch in shaped.batches[:-1]:
        for name, column in zip(batch.rows.schema.names, batch.rows.columns, strict=True):
            if not name.startswith("_"):
                found += [cell for cell in column.to_pylist() if cell is not None]
    return found


def tables(shaped: Shaped) -> dict[str, pa.Table]:
    return {batch.target.table: batch.rows for batch in shaped.batches}


@few
@given(documents=st.lists(BODIES, max_size=5), options=OPTIONS)
def test_the_books_balance(documents: list[Any], options: TableOptions) -> None:
    """Values in = values in columns + in rejects + dropped by a rule, counted independently."""
    # The first answer has what the row paths say: one that leads nowhere is an error.
    books = Shaper("t", options).shape(landed([[{"list": []}], *documents])).accounting

    assert books.leaves_in == len(leaves(documents))
    assert books.leaves_in == books.in_columns + books.in_rejects + books.dropped_by_rule


@few
@given(documents=st.lists(BODIES, max_size=5))
def test_every_value_is_in_a_column(documents: list[Any]) -> None:
    """Where nothing is chosen and everything may widen, each value is found again, as it was."""
    shaped = Shaper("t", TableOptions(source="t", rows="[*]")).shape(landed(documents))

    assert shaped.rejected == 0
    assert Counter(map(canonical, cells(shaped))) == Counter(map(canonical, leaves(documents)))


def canonical(value: Any) -> str:
    """One text for a value, whether it became a text, a date or a number on its way."""
    if isinstance(value, float) and value == 0:
        return "0"
    text = json.dumps(value) if isinstance(value, (bool, int, float)) else str(value)
    text = {"2020-01-31T10:00:00Z": "2020-01-31 10:00:00+00:00", "-0.0": "0"}.get(text, text)
    return text.removesuffix(".0")


@few
@given(documents=st.lists(BODIES, min_size=2, max_size=6), seed=st.integers(0, 1000))
def test_the_order_of_answers_does_not_matter(documents: list[Any], seed: int) -> None:
    """Any order and any chunks lead to the same tables, columns and types."""
    options = TableOptions(source="t", rows="[*]")
    answers = landed(documents)
    shuffled = random.Random(seed).sample(answers, len(answers))
    one, other = Shaper("t", options), Shaper("t", options)

    one.shape(answers)
    for single in shuffled:
        other.shape([single])

    assert plain(other.schema()) == plain(one.schema())


def plain(schema: dict[str, dict[str, str]]) -> list[str]:
    """The schema without the endings that names get when two paths would share one."""
    columns = [f"{t}.{c}.{kind}" for t, names in schema.items() for c, kind in names.items()]
    return sorted(re.sub("_[0-9a-f]{8}", "", text) for text in [*schema, *columns])


@few
@given(documents=st.lists(BODIES, max_size=5), options=OPTIONS)
def test_twice_is_the_same_as_once(documents: list[Any], options: TableOptions) -> None:
    """The same answers give the same rows again, also to the heir of the memory."""
    documents = [[{"list": []}], *documents]
    shaper = Shaper("t", options)
    shaper.shape(landed(documents))
    again = tables(shaper.shape(landed(documents)))
    heir = Shaper("t", options, memory=shaper.memory())

    assert tables(shaper.shape(landed(documents))) == again
    assert tables(heir.shape(landed(documents))) == again


@few
@given(documents=st.lists(BODIES, min_size=1, max_size=4), cut=st.data())
def test_a_body_cut_anywhere_harms_no_other(documents: list[Any], cut: st.DataObject) -> None:
    """A truncated answer becomes one reject; the rows of the others are what they were."""
    options = TableOptions(source="t", rows="[*]")
    whole = landed(documents)
    text = json.dumps([{"id": 1, "name": "Käpylä"}], ensure_ascii=False).encode()
    broken = answer(len(whole), text[: cut.draw(st.integers(0, len(text) - 1))])

    alone = Shaper("t", options).shape(whole)
    shaped = Shaper("t", options).shape([*whole, broken])

    assert tables(shaped)["t"] == tables(alone)["t"]
    assert tables(shaped)["_rejects"]["request_key"].to_pylist() == [broken.key]
