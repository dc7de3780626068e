"""What is written as TOML is read back as the same, whatever it is."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from fetchcast.plan.adopt.toml import write_toml

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    TEXTS
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.dates()
    | st.datetimes()
    | st.times()
)
NAMES = TEXTS | st.sampled_from(["api", "auth", "resource", "table", "params", "answer", "json"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4)
)


@given(document=st.dictionaries(NAMES, VALUES, max_size=6), comment=TEXTS)
def test_toml_reads_back_as_it_was(document: dict[str, object], comment: str) -> None:
    paths = [(name,) for name in document]
    assert tomllib.loads(write_toml(document)) == document
    said = dict.fromkeys(paths, "".join(c for c in comment if c.isprintable()))
    assert tomllib.loads(write_toml(document, said)) == document
