"""What a run and its watchers see of the landing."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fetchcast.clock import SystemClock
from fetchcast.errors import ConfigError, LandingError, LandingInUse
from fetchcast.events import Committed, Event, Events, Notice, Paced, RunEnd, Stage, StageStarted
from fetchcast.landing.options import LandingOptions
from fetchcast.landing.reader import open_reader
from fetchcast.landing.runs import RunInfo
from fetchcast.landing.writer import Writer, open_writer
from fetchcast.records import Answer, Fate, Outcome, Request, Scalar, request_key

AT = 1_700_000_000.25


def key(name: str) -> str:
    return request_key("GET", f"https://api.example/{name}")


def outcome(
    name: str,
    body: bytes | None = b"[1]",
    fate: Fate = Fate.LANDED,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, Scalar] | None = None,
    resource: str = "names",
    at: float = AT,
) -> Outcome:
    """The end of a call; ``body`` None: there was never an answer."""
    url = f"https://api.example/{name}"
    request = Request(key=key(name), resource=resource, url=url, params=params or {})
    answer = None
    if body is not None:
        sent = {"content-type": "application/json"} if headers is None else headers
        answer = Answer(status=status, headers=sent, body=body, url=url, elapsed_s=0.1)
    reason = None if fate in {Fate.LANDED, Fate.EMPTY} else "because"
    return Outcome(
        request=request, fate=fate, answer=answer, attempts=2, reason=reason, finished_at=at
    )


@asynccontextmanager
async def writer_of(
    directory: Path, events: Events | None = None, **options: object
) -> AsyncIterator[Writer]:
    async with open_writer(
        directory,
        clock=SystemClock(),
        events=events or Events(),
        options=LandingOptions(**options),
    ) as writer:
        yield writer


async def land(directory: Path, *outcomes: Outcome, **options: object) -> None:
    async with writer_of(directory, **options) as writer:
        for one in outcomes:
            await writer.put(one)


def bodies(directory: Path) -> dict[str, bytes]:
    with open_reader(directory) as reader:
        return {answer.url.rsplit("/", 1)[1]: answer.body for answer in reader.answers()}


async def test_everything_that_was_put_comes_back(tmp_path: Path) -> None:
    """Request, parameters, status, chosen headers, time, attempts and body of a call are kept."""
    params: dict[str, Scalar] = {"id": "0012", "big": 10**30, "none": None, "yes": True, "x": 0.5}
    headers = {"content-type": "text/plain", "etag": '"1"', "set-cookie": "secret"}
    await land(tmp_path, outcome("a", b"\x00\xff", headers=headers, params=params))

    with open_reader(tmp_path) as reader:
        (answer,) = reader.answers()
    assert (answer.seq, answer.key, answer.resource) == (1, key("a"), "names")
    assert answer.url == "https://api.example/a"
    assert answer.params == params
    assert (answer.fate, answer.status, answer.attempts) == (Fate.LANDED, 200, 2)
    assert answer.headers == {"content-type": "text/plain", "etag": '"1"'}
    assert (answer.body, answer.reason, answer.finished_at) == (b"\x00\xff", None, AT)


async def test_landed_is_said_only_when_another_process_could_read_it(tmp_path: Path) -> None:
    """At the moment of `Committed`, a reader finds as many answers as were announced."""
    announced, found = 0, []

    def hear(event: Event) -> None:
        nonlocal announced
        if isinstance(event, Committed):
            announced += event.count
            with open_reader(tmp_path) as reader:
                found.append((announced, sum(reader.counts().values())))

    async with writer_of(tmp_path, Events([hear])) as writer:
        for number in range(3000):
            await writer.put(outcome(str(number)))
        await writer.flush()
        assert announced == 3000
    assert found
    assert all(there >= said for said, there in found)


async def test_a_lone_answer_is_kept_without_being_asked_to(tmp_path: Path) -> None:
    """Nobody flushes: 0.2 s later it is on the disk all the same."""
    kept = asyncio.Event()

    def hear(event: Event) -> None:
        kept.set()

    async with writer_of(tmp_path, Events([hear])) as writer:
        await writer.put(outcome("a"))
        assert writer.fates([key("a")]) == {}
        await asyncio.wait_for(kept.wait(), 5)
        assert writer.fates([key("a"), key("b")]) == {key("a"): Fate.LANDED}


async def test_each_fate_is_counted_and_found(tmp_path: Path) -> None:
    """Counts and fates tell the four ends of a call apart; failed ones keep their answer's head."""
    await land(
        tmp_path,
        outcome("landed"),
        outcome("empty", b"[]", Fate.EMPTY),
        outcome("failed", b"x" * 9000, Fate.FAILED, status=500),
        outcome("unanswered", None, Fate.FAILED, resource="others"),
        outcome("skipped", None, Fate.SKIPPED),
    )

    with open_reader(tmp_path) as reader:
        assert list(reader.counts().values()) == [1, 1, 2, 1]
        assert reader.counts("others")[Fate.FAILED] == 1
        assert reader.fates([key("skipped"), key("empty"), key("nothing")]) == {
            key("skipped"): Fate.SKIPPED,
            key("empty"): Fate.EMPTY,
        }
        failed, unanswered = reader.failed()
        assert [answer.fate for answer in reader.answers()] == [Fate.LANDED, Fate.EMPTY]
    assert (failed.status, failed.body, failed.reason) == (500, b"x" * 4096, "because")
    assert (unanswered.status, unanswered.body) == (None, b"")


async def test_a_later_answer_replaces_the_earlier_one(tmp_path: Path) -> None:
    """Newest wins, once; who reads up to an older seq still gets what was current then."""
    await land(tmp_path, outcome("a", b"old"), outcome("b", b"b"))
    await land(tmp_path, outcome("a", b"new"), outcome("a", b"newest"))

    with open_reader(tmp_path) as reader:
        assert [(one.seq, one.body) for one in reader.answers()] == [(2, b"b"), (4, b"newest")]
        assert [one.body for one in reader.answers(upto_seq=2)] == [b"old", b"b"]
        assert [one.body for one in reader.answers(after_seq=1, upto_seq=3)] == [b"b", b"new"]
        assert [one.body for one in reader.answers(after_seq=2)] == [b"newest"]
        assert [one.body for one in reader.by_keys([key("a")])] == [b"newest"]
        assert reader.counts()[Fate.LANDED] == 2
        assert list(reader.answers(resources=["others"])) == []


async def test_a_failed_refresh_hides_no_answer(tmp_path: Path) -> None:
    """What once landed stays what can be read, and stays old enough to be asked for again."""
    await land(tmp_path, outcome("a", b"good"), outcome("b", b"x", Fate.FAILED))
    await land(tmp_path, outcome("a", b"x", Fate.FAILED, at=AT + 100), outcome("b", b"good"))

    assert bodies(tmp_path) == {"a": b"good", "b": b"good"}
    with open_reader(tmp_path) as reader:
        assert list(reader.failed()) == []
        assert list(reader.counts().values()) == [2, 0, 0, 0]
        assert reader.fates([key("a")], since=AT + 50) == {}


async def test_not_modified_makes_an_answer_young_again(tmp_path: Path) -> None:
    """A 304 counts as landed: nothing new is stored, and the answer is fresh from then on."""
    headers = {"etag": '"7"', "last-modified": "Sat, 21 Nov 2026 10:00:00 GMT"}
    await land(tmp_path, outcome("a", b"body", headers=headers), outcome("b"))
    async with writer_of(tmp_path) as writer:
        assert writer.validators([key("a"), key("b")]) == {
            key("a"): {"if-none-match": '"7"', "if-modified-since": headers["last-modified"]}
        }
        await writer.put(outcome("a", b"", status=304, at=AT + 100))
        await writer.flush()
        assert writer.fates([key("a"), key("b")], since=AT + 50) == {key("a"): Fate.LANDED}

    assert bodies(tmp_path)["a"] == b"body"
    with open_reader(tmp_path) as reader:
        assert reader.fates([key("a"), key("b")], since=AT + 50) == {key("a"): Fate.LANDED}
        assert reader.last_seq == 2


async def test_not_modified_without_an_answer_is_a_failure(tmp_path: Path) -> None:
    """A 304 that nothing was asked for brings no answer, so none is claimed."""
    await land(tmp_path, outcome("a", b"", status=304))
    with open_reader(tmp_path) as reader:
        (failed,) = reader.failed()
    assert failed.reason == "not modified (304), but no answer is kept that could be meant"


async def test_a_closed_writer_takes_nothing(tmp_path: Path) -> None:
    """What could not be kept is not accepted silently."""
    async with writer_of(tmp_path) as writer:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await writer.put(outcome("late"))


async def test_a_second_writer_is_told_who_has_it(tmp_path: Path) -> None:
    """In this process or another, the second one fails at once and says which process it is."""
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from fetchcast.clock import SystemClock; from fetchcast.events import Events\n"
        "from fetchcast.landing.writer import open_writer\n"
        "async def main():\n"
        "    async with open_writer(Path(sys.argv[1]), clock=SystemClock(), events=Events()): ...\n"
        "asyncio.run(main())"
    )
    async with writer_of(tmp_path):
        with pytest.raises(LandingInUse, match=r"another run writes here \(process \d+ on"):
            async with writer_of(tmp_path):
                pass
        other = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "LandingInUse" in other.stderr
    await land(tmp_path, outcome("a"))  # Free again.


async def test_readers_see_whole_batches_while_a_run_writes(tmp_path: Path) -> None:
    """Ever more answers, never a hole, and every key that is known has its body."""
    await land(tmp_path)
    stop, seen, wrong = threading.Event(), [0], list[str]()

    def watch() -> None:
        with open_reader(tmp_path) as reader:
            while not stop.is_set():
                upto = reader.last_seq
                seqs = [answer.seq for answer in reader.answers(upto_seq=upto)]
                if seqs != list(range(1, upto + 1)) or upto < seen[-1]:
                    wrong.append(f"{len(seqs)} answers up to {upto} after {seen[-1]}")
                if len(reader.fates([key(str(n)) for n in range(upto)])) != upto:
                    wrong.append(f"fates of {upto} keys are incomplete")
                seen.append(upto)

    watcher = threading.Thread(target=watch)
    async with writer_of(tmp_path) as writer:
        watcher.start()
        for number in range(20_000):
            await writer.put(outcome(str(number)))
        await writer.flush()
        stop.set()
        await asyncio.to_thread(watcher.join)
    assert wrong == []
    assert len(set(seen)) > 2, "nothing was seen while it was written"


async def test_a_run_can_be_watched_from_outside(tmp_path: Path) -> None:
    """Start, progress, stages and notices, end: all there for another process, in their order."""
    events = Events()
    info = RunInfo(id="r1", pipeline="train-27", file_digest="d", started_at=AT, planned=365)
    async with writer_of(tmp_path, events) as writer:
        writer.begin_run(info)
        events(StageStarted(stage=Stage.EXTRACT, at=AT, total=365, what="trains"))
        writer.heartbeat({"landed": 10, "rate": 3.5}, planned=366)
        await writer.flush()
        with open_reader(tmp_path) as reader:
            (run,) = reader.runs()
            assert (run.state, run.planned, run.counts["landed"]) == ("running", 366, 10)
            (line,) = reader.events()
            assert (line.run, line.kind, line.text) == ("r1", "stage_started", "extract trains")
        events(Notice(at=AT, text="10 calls at a time"))
        for seconds in (0.0, 0.5, 2.5):
            events(Paced(at=AT + seconds, text=f"felt after {seconds} s"))
        writer.end_run(RunEnd.INCOMPLETE, {"landed": 365})
    with open_reader(tmp_path) as reader:
        (run,) = reader.runs()
        assert (run.state, run.end, run.counts) == (
            "incomplete",
            RunEnd.INCOMPLETE,
            {"landed": 365},
        )
        assert [(one.kind, one.text) for one in reader.events(after=line.seq)] == [
            ("notice", "10 calls at a time"),
            ("pace", "felt after 0.0 s"),
            ("pace", "felt after 2.5 s"),
        ], "what a limit is called changes often: one line in two seconds is kept"
    events(Notice(at=AT, text="nobody listens any more"))


async def test_a_killed_run_is_called_that_by_the_next_one(tmp_path: Path) -> None:
    """A run that never said how it ended does not run for ever."""
    info = {"pipeline": "p", "file_digest": "d"}
    async with writer_of(tmp_path) as writer:
        writer.begin_run(RunInfo(id="first", started_at=AT, **info))
    async with writer_of(tmp_path) as writer:
        writer.begin_run(RunInfo(id="second", started_at=AT + 1, **info))
        await writer.flush()
        with open_reader(tmp_path) as reader:
            assert [(run.id, run.state) for run in reader.runs()] == [
                ("second", "running"),
                ("first", "killed"),
            ]


async def test_what_was_learnt_is_there_in_the_next_run(tmp_path: Path) -> None:
    """The newest value per scope, with its date."""
    async with writer_of(tmp_path) as writer:
        writer.remember("pace:api.example", {"limit": 5})
        writer.remember("pace:api.example", {"limit": 10, "kinds": ["rate"]})
    async with writer_of(tmp_path) as writer:
        known = writer.recall("pace:api.example")
        assert known is not None
        assert known.value == {"limit": 10, "kinds": ["rate"]}
        assert known.at > AT
        assert writer.recall("pace:other") is None


async def test_a_cancelled_run_keeps_what_was_put(tmp_path: Path) -> None:
    """Ctrl-C in mid-run: every answer that had arrived is kept on the way out."""

    async def run() -> None:
        async with writer_of(tmp_path) as writer:
            for number in range(700):
                await writer.put(outcome(str(number)))
            await asyncio.sleep(60)

    task = asyncio.create_task(run())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(bodies(tmp_path)) == 700


async def test_strange_values_break_nothing(tmp_path: Path) -> None:
    """Half surrogates, odd keys, no headers, a body of 20 MB, one of nothing: all come back."""
    strange = outcome("a", b"", params={"name": "\ud800 \N{SNOWMAN}"})
    url = "https://api.example/short"
    short = Request(key="short", resource="names", url=url)
    answer = Answer(status=200, headers={}, body=b"s", url=url, elapsed_s=0.0)
    odd = Outcome(
        request=short, fate=Fate.LANDED, answer=answer, attempts=1, reason=None, finished_at=AT
    )
    await land(tmp_path, strange, outcome("big", b"0123456789" * 2_000_000), odd)

    with open_reader(tmp_path) as reader:
        first, big, last = reader.answers()
        assert first.params == {"name": "\\ud800 \N{SNOWMAN}"}
        assert big.body == b"0123456789" * 2_000_000
        assert last.key == "short"
        assert reader.fates(["short", key("big")]) == {
            "short": Fate.LANDED,
            key("big"): Fate.LANDED,
        }
        assert reader.fates([]) == {}


async def test_what_json_cannot_carry_is_the_callers_error(tmp_path: Path) -> None:
    """A heartbeat that cannot be written raises where it is called, and the landing goes on."""
    async with writer_of(tmp_path) as writer:
        with pytest.raises(TypeError):
            writer.heartbeat({"what": object()})
        await writer.put(outcome("a"))
    assert bodies(tmp_path) == {"a": b"[1]"}


def test_a_reader_without_a_landing_says_so(tmp_path: Path) -> None:
    """No directory, or an empty one: the hint names the command that fills it."""
    for directory in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(LandingError, match="fetchcast run"), open_reader(directory):
            pass


@pytest.mark.parametrize(
    "wrong", [{"keep": "90"}, {"keep": "0 days"}, {"max_disk": "20"}, {"headers": ("Set-Cookie",)}]
)
def test_options_that_mean_nothing_are_errors(wrong: dict[str, object]) -> None:
    """The message names the key and what is expected."""
    with pytest.raises(ConfigError, match=r"landing\.\w+ = .*expected"):
        LandingOptions(**wrong)


def test_options_are_read_in_their_units() -> None:
    """Times and sizes as people write them."""
    options = LandingOptions(keep="90 days", max_disk="1.5 GB")
    assert (options.kept_s, options.max_disk_bytes) == (90 * 86400, 1_500_000_000)
    assert (LandingOptions().kept_s, LandingOptions(keep="none").kept_s) == (None, 0.0)
