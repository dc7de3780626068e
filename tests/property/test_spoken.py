"""What a load has spoken for: "not there" is certain."""

from hypothesis import given
from hypothesis import strategies as st

from fetchcast.load.spoken import Spoken


@given(batches=st.lists(st.lists(st.text(max_size=3), max_size=6), max_size=12))
def test_a_key_is_met_exactly_if_an_earlier_batch_had_it(batches: list[list[str]]) -> None:
    """In whatever order and sizes the batches come (equal hashes of such texts are not found)."""
    spoken, seen = Spoken(), set[str]()
    for batch in batches:
        assert spoken.meets(batch) is bool(seen & set(batch))
        seen |= set(batch)
