"""What is dropped, erased and sealed, and what stays."""

import random
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fetchcast.clock import SystemClock
from fetchcast.errors import LandingDamaged, LandingError
from fetchcast.events import Events
from fetchcast.landing.options import LandingOptions
from fetchcast.landing.reader import open_reader
from fetchcast.landing.retention import purge
from fetchcast.landing.sealing import FOLDER, seal, seal_landing
from fetchcast.landing.writer import open_writer
from fetchcast.records import Answer, Fate, Landed, Outcome, Request, request_key

NOW = SystemClock().now()
DAY = 86_400.0


def key(name: object) -> str:
    return request_key("GET", f"https://api.example/{name}")


def outcome(
    name: object, *, age_days: float = 0.0, fate: Fate = Fate.LANDED, resource: str = "names"
) -> Outcome:
    url = f"https://api.example/{name}"
    request = Request(key=key(name), resource=resource, url=url, params={"id": f"id-{name}"})
    body = f"the body of {name}".encode() + random.Random(str(name)).randbytes(200)
    answer = Answer(status=200, headers={"etag": f"{name}"}, body=body, url=url, elapsed_s=0.0)
    return Outcome(
        request=request,
        fate=fate,
        answer=answer,
        attempts=1,
        reason=None,
        finished_at=NOW - age_days * DAY,
    )


async def land(directory: Path, *batches: Iterable[Outcome], keep: str = "raw") -> int:
    """Each batch in a segment of its own; then what ``keep`` asks for, as after a whole load."""
    async with open_writer(
        directory, clock=SystemClock(), events=Events(), options=LandingOptions(keep=keep)
    ) as writer:
        for batch in batches:
            for one in batch:
                await writer.put(one)
            await writer.flush()
        return await writer.retain(loaded_seq=10**9)


async def seal_all(directory: Path) -> list[Path]:
    async with open_writer(directory, clock=SystemClock(), events=Events()) as writer:
        return await writer.errand(lambda journal: seal(journal, journal.last_seq))


def answers(directory: Path) -> list[Landed]:
    with open_reader(directory) as reader:
        return list(reader.answers())


def names(directory: Path) -> list[str]:
    return [answer.url.rsplit("/", 1)[1] for answer in answers(directory)]


def on_disk(directory: Path, *traces: bytes) -> bool:
    """Whether one of ``traces`` is in any file, or in any frame that a file holds."""
    whole = b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
    return any(trace in whole for trace in traces)


async def test_keep_raw_keeps_everything(tmp_path: Path) -> None:
    """Years later every body can be shaped again."""
    assert await land(tmp_path, [outcome(n, age_days=3000) for n in range(9)]) == 0
    assert len(answers(tmp_path)) == 9


async def test_keep_none_drops_bodies_and_asks_nobody_again(tmp_path: Path) -> None:
    """After the load bodies are gone, room is given back, and the calls still count as landed."""
    batch = [outcome(n, age_days=1) for n in range(100)]
    assert await land(tmp_path, batch, keep="none") == 1

    with open_reader(tmp_path) as reader:
        assert list(reader.answers()) == []
        assert reader.bodies_dropped() == 100
        assert reader.counts()[Fate.LANDED] == 100
        assert reader.fates([key(5)]) == {key(5): Fate.LANDED}
        assert reader.validators([key(5)]) == {key(5): {"if-none-match": "5"}}


async def test_what_is_not_loaded_is_never_dropped(tmp_path: Path) -> None:
    """A load that failed may be repeated, whatever ``keep`` says."""
    options = LandingOptions(keep="none")
    async with open_writer(
        tmp_path, clock=SystemClock(), events=Events(), options=options
    ) as writer:
        await writer.put(outcome("loaded", age_days=1))
        await writer.flush()
        await writer.put(outcome("not loaded", age_days=1))
        await writer.flush()
        assert await writer.retain(loaded_seq=1) == 1
    assert names(tmp_path) == ["not loaded"]


async def test_keep_ninety_days_drops_older_batches(tmp_path: Path) -> None:
    """A batch goes when its newest answer is too old, sealed or not."""
    old = [outcome(n, age_days=100) for n in range(5)]
    await land(tmp_path, old)
    await seal_all(tmp_path)
    mixed = [outcome("a", age_days=100), outcome("b", age_days=1)]
    assert await land(tmp_path, [outcome("c", age_days=91)], mixed, keep="90 days") == 2

    assert names(tmp_path) == ["a", "b"]
    assert list((tmp_path / FOLDER).iterdir()) == []


@pytest.mark.parametrize("sealed", [False, True])
async def test_an_erased_answer_leaves_no_trace(tmp_path: Path, *, sealed: bool) -> None:
    """Every version goes, with parameters and headers; the rest stays; a run asks again."""
    await land(tmp_path, [outcome("anna"), outcome("bert")], [outcome("anna"), outcome("carl")])
    if sealed:
        await seal_all(tmp_path)
    assert on_disk(tmp_path, bytes.fromhex(key("anna")))

    assert purge(tmp_path, keys=[key("anna")]) == 2

    assert names(tmp_path) == ["bert", "carl"]
    assert not on_disk(tmp_path, bytes.fromhex(key("anna")), b"anna")
    with open_reader(tmp_path) as reader:
        assert reader.fates([key("anna"), key("bert")]) == {key("bert"): Fate.LANDED}
        assert reader.counts()[Fate.LANDED] == 2
        assert reader.last_seq == 4
    await land(tmp_path, [outcome("anna")])
    assert [answer.seq for answer in answers(tmp_path)] == [2, 4, 5]


async def test_erasing_by_age_and_resource(tmp_path: Path) -> None:
    """Conditions narrow each other; nothing given erases all; seqs never come again."""
    await land(
        tmp_path,
        [outcome("a", age_days=10), outcome("b", age_days=1)],
        [outcome("c", age_days=10, resource="others")],
    )
    assert purge(tmp_path, before=NOW - 5 * DAY, resource="names") == 1
    assert names(tmp_path) == ["b", "c"]
    assert purge(tmp_path, keys=[key("b")], before=NOW - 5 * DAY) == 0
    assert purge(tmp_path) == 2
    await land(tmp_path, [outcome("d")])
    assert [(answer.seq, answer.key) for answer in answers(tmp_path)] == [(4, key("d"))]


async def test_a_reader_that_is_open_notices_an_erasure(tmp_path: Path) -> None:
    """No look-up finds what was erased a moment ago."""
    await land(tmp_path, [outcome("a"), outcome("b")])
    with open_reader(tmp_path) as reader:
        assert len(reader.fates([key("a"), key("b")])) == 2
        purge(tmp_path, keys=[key("a")])
        assert reader.fates([key("a"), key("b")]) == {key("b"): Fate.LANDED}
        assert [answer.key for answer in reader.by_keys([key("a"), key("b")])] == [key("b")]


async def test_sealing_changes_nothing_for_readers(tmp_path: Path) -> None:
    """The same answers, from Parquet; the journal gets smaller; newer answers go on top."""
    batches = [[outcome((n, m)) for m in range(300)] for n in range(3)]
    batches.append([outcome("failed", fate=Fate.FAILED), outcome((0, 0))])
    await land(tmp_path, *batches)
    before, size = answers(tmp_path), (tmp_path / "landing.sqlite").stat().st_size

    (made,) = await seal_all(tmp_path)

    assert answers(tmp_path) == before
    assert (tmp_path / "landing.sqlite").stat().st_size < 0.6 * size
    assert await seal_all(tmp_path) == []
    await land(tmp_path, [outcome((0, 1)), outcome("new")])
    assert len(answers(tmp_path)) == len(before) + 1
    (second,) = await seal_all(tmp_path)
    assert second != made
    assert len(answers(tmp_path)) == len(before) + 1
    with open_reader(tmp_path) as reader:
        (failed,) = reader.failed()
        assert failed.body.startswith(b"the body of failed")


async def test_sealing_by_age_stops_at_the_first_young_batch(tmp_path: Path) -> None:
    """Younger answers stay in the journal; a second sealing takes what has grown old since."""
    await land(tmp_path, [outcome("a", age_days=9)], [outcome("b", age_days=2)], [outcome("c")])

    assert len(seal_landing(tmp_path, before=NOW - 5 * DAY)) == 1
    assert seal_landing(tmp_path, before=NOW - 5 * DAY) == []
    assert len(seal_landing(tmp_path)) == 1
    assert [pq.read_metadata(path).num_rows for path in sorted((tmp_path / FOLDER).iterdir())] == [
        1,
        2,
    ]
    assert names(tmp_path) == ["a", "b", "c"]


async def test_a_sealed_file_is_readable_by_any_tool(tmp_path: Path) -> None:
    """One row per answer with everything that is known of it, in plain types."""
    await land(tmp_path, [outcome("a"), outcome("b")])
    (path,) = await seal_all(tmp_path)

    first, _ = pq.read_table(path).to_pylist()
    assert (first["seq"], first["key"], first["fate"]) == (1, key("a"), "landed")
    assert first["params"] == '{"id":"id-a"}'
    assert first["body"].startswith(b"the body of a")
    assert abs(first["finished_at"].timestamp() - NOW) < 1e-5


async def test_a_sealed_file_that_is_gone_or_damaged_is_named(tmp_path: Path) -> None:
    """The error says which file; the keys are still known, so no call is made again."""
    await land(tmp_path, [outcome("a")])
    (path,) = await seal_all(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LandingDamaged, match=path.name):
        answers(tmp_path)
    path.unlink()
    with pytest.raises(LandingError, match="move the file back"):
        answers(tmp_path)
    with open_reader(tmp_path) as reader:
        assert reader.fates([key("a")]) == {key("a"): Fate.LANDED}
    path.write_bytes(whole)
    assert names(tmp_path) == ["a"]


async def test_files_that_a_kill_left_are_removed(tmp_path: Path) -> None:
    """A sealed file that the journal does not know must not keep what was erased."""
    await land(tmp_path, [outcome("a")])
    left = tmp_path / FOLDER / "answers-000000000001-000000000001.draft"
    left.parent.mkdir()
    left.write_bytes(b"half")
    await seal_all(tmp_path)
    assert [path.suffix for path in left.parent.iterdir()] == [".parquet"]
    assert names(tmp_path) == ["a"]
