"""The index knows of every key what was said last, in whatever portions it was told."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fetchcast.landing import index as module
from fetchcast.landing.index import KeyIndex, as_blob, digests, from_blob, rows
from fetchcast.records import request_key

# Few keys, so that they come again; some share their first 64 bits, some are no hex digits.
KEYS = [request_key("GET", str(n)) for n in range(40)]
KEYS += [f"{KEYS[0][:16]}{n:016x}" for n in range(5)] + ["short", "", "Ä" * 32, "zz" * 16]


@st.composite
def portions(draw: st.DrawFn) -> list[list[str]]:
    some = st.lists(st.sampled_from(KEYS), unique=True, min_size=1, max_size=30)
    return draw(st.lists(some, max_size=20))


@pytest.mark.parametrize("on_disk", [False, True])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=portions(), asked=st.lists(st.sampled_from(KEYS), min_size=1, unique=True))
def test_the_index_is_a_dictionary(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_disk: bool,  # noqa: FBT001
    told: list[list[str]],
    asked: list[str],
) -> None:
    """Looking up keys finds what a plain dictionary would."""
    monkeypatch.setattr(module, "FILED_KEYS", 4)
    index, model = KeyIndex(tmp_path if on_disk else None), dict[str, int]()
    seq = 0
    for keys in told:
        seqs = list(range(seq + 1, seq + len(keys) + 1))
        seq += len(keys)
        index.put(digests(keys), rows(seqs, seqs, [1] * len(keys), [0] * len(keys)))
        model.update(zip(keys, seqs, strict=True))

    there, known = index.look(digests(asked))

    found = {
        key: int(row["seq"]) for key, here, row in zip(asked, there, known, strict=True) if here
    }
    assert found == {key: model[key] for key in asked if key in model}
    assert len(index) == len(model)
    counted = np.concatenate([part["seq"] for part in index.all_rows()] or [[]])
    assert sorted(counted.tolist()) == sorted(model.values())
    assert not list(tmp_path.iterdir()), "a file has a name"


def test_without_room_on_the_disk_memory_will_do(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "FILED_KEYS", 4)
    index = KeyIndex(tmp_path / "nowhere")
    numbers = list(range(100))
    keys = digests([request_key("GET", str(n)) for n in numbers])
    index.put(keys, rows(numbers, numbers, numbers, [0] * 100))
    assert index.look(keys)[0].all()


@given(keys=st.lists(st.sampled_from(KEYS), unique=True, min_size=1))
def test_a_segments_keys_come_back(keys: list[str]) -> None:
    """What a segment stores is what is read from it."""
    seqs = list(range(7, 7 + len(keys)))
    read_keys, read_rows = from_blob(
        as_blob(digests(keys), rows(seqs, seqs, seqs, [2] * len(keys)))
    )
    assert np.array_equal(read_keys, digests(keys))
    assert read_rows["seq"].tolist() == seqs
    assert set(read_rows["fate"].tolist()) == {2}


def test_many_keys_stay_in_few_levels() -> None:
    """A look-up goes through a handful of arrays, also after thousands of portions."""
    index = KeyIndex()
    for start in range(0, 60_000, 50):
        keys = [request_key("GET", str(n)) for n in range(start, start + 50)]
        numbers = list(range(start, start + 50))
        index.put(digests(keys), rows(numbers, numbers, [0] * 50, [0] * 50))

    assert len(index) == 60_000 < module.LEVEL_KEYS
    assert len(index._levels) <= 8
    wanted = [request_key("GET", str(n)) for n in range(59_000, 61_000)]
    assert index.look(digests(wanted))[0].sum() == 1000
