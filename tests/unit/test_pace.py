"""The controller against simulated servers: what it finds, at what price, and how it says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random

import msgspec
import pytest

from fetchcast.extract.pace import Kind, Learnt, Pace, PaceOptions, Quota, Sureness
from fetchcast.testing.simulation.gates import (
    Concurrency,
    FixedWindow,
    Gate,
    LeakyBucket,
    SlidingLog,
    TokenBucket,
)
from fetchcast.testing.simulation.world import Books, Network, Outage, Server, Stalls, run


def _network() -> Network:
    return Network(one_way_s=0.009, jitter_s=0.001, service_s=0.08, spread=0.2)


def _run(
    *gates: Gate, calls: int, pace: Pace | None = None, workers: int | None = None
) -> tuple[Books, Pace]:
    pace = pace or Pace(PaceOptions())
    server = Server(network=_network(), gates=gates, workers=workers)
    return run(server, pace, calls=calls, seed=3, until=10_000), pace


def _took(books: Books) -> float:
    assert books.finished_at is not None, f"only {books.accepted} of {books.calls} were accepted"
    return books.finished_at


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8, 10])
def test_few_at_once_are_found_and_kept(most: int) -> None:
    """365 calls: nine tenths of what the API allows at the very least, few refused."""
    books, pace = _run(Concurrency(most), calls=365)

    assert _took(books) <= 1.12 * 365 / most * 0.1035
    assert books.refused_share <= 0.045
    explanation = pace.explanation(_took(books))
    assert explanation.kind is Kind.CONCURRENCY
    assert explanation.level == pytest.approx(most, abs=1)
    assert explanation.sure is Sureness.SURE
    assert explanation.text.startswith(f"{explanation.level} at once (found by refusals, sure), ")


def test_a_level_once_found_costs_next_to_nothing() -> None:
    """After the first contact, under one call in a hundred is refused."""
    books, _ = _run(Concurrency(10), calls=10_000)

    assert books.refused_share <= 0.007
    assert _took(books) <= 1.06 * 10_000 / 10 * 0.1035


def test_a_bucket_is_told_from_a_level() -> None:
    """50 a second and 50 saved: the rate is named, and used."""
    books, pace = _run(TokenBucket(50, 50), calls=3000)

    assert _took(books) <= 1.05 * (3000 - 50) / 50
    assert books.refused_share <= 0.04
    explanation = pace.explanation(_took(books))
    assert explanation.kind is Kind.RATE
    assert explanation.rate == pytest.approx(50, rel=0.06)
    assert " a second (found by refusals, sure)" in explanation.text


def test_retry_after_is_obeyed_and_rarely_earned() -> None:
    """A bucket that asks for whole seconds."""
    books, pace = _run(TokenBucket(50, 50, retry_after=True), calls=3000)

    assert _took(books) <= 1.08 * (3000 - 50) / 50
    assert books.refused_share <= 0.03
    assert pace.explanation(_took(books)).kind is Kind.RATE


def test_a_fast_bucket_that_counts_in_whole_seconds_is_measured() -> None:
    """Each refusal costs a second of 400 calls: two or three of them tell the rate."""
    books, pace = _run(TokenBucket(400, 20, retry_after=True), calls=12_000)

    assert _took(books) <= 1.35 * (12_000 - 20) / 400
    assert books.refused_share <= 0.02
    assert pace.explanation(_took(books)).rate == pytest.approx(400, rel=0.12)


def test_a_window_without_a_hint_is_learnt() -> None:
    """100 in ten seconds: the period and the number are found."""
    books, pace = _run(FixedWindow(100, 10.0), calls=700)

    assert _took(books) <= 1.08 * 60
    explanation = pace.explanation(_took(books))
    assert explanation.kind is Kind.WINDOW
    assert (explanation.window_calls, explanation.window_s) == (100, pytest.approx(10, rel=0.05))
    late = [at for at in books.refused_at if at > 30]
    assert len(late) <= 2 * 3 + 1, "more than two refusals a window once it is learnt"


@pytest.mark.parametrize("hints", ["ratelimit", "x-delta", "x-epoch", "x-epoch-ms", "structured"])
def test_headers_are_taken_at_their_word(hints: str) -> None:
    """Nothing is refused after the first answer that tells."""
    books, pace = _run(FixedWindow(200, 20.0, hints=hints), calls=1000)

    assert books.refused == 0
    assert _took(books) <= 1.06 * 80
    assert pace.explanation(_took(books)).kind is Kind.HEADERS


def test_a_sliding_log_that_counts_refusals_never_locks_us_out() -> None:
    """300 in any 30 s, as Digitraffic's gate counts."""
    books, _ = _run(SlidingLog(300, 30.0), calls=1500)

    assert _took(books) <= 120 / 0.72
    assert books.refused_share <= 0.12


def test_capacity_shows_in_the_latency() -> None:
    """Ten workers: no refusal ever tells, and answers stay quick."""
    books, pace = _run(calls=3000, workers=10)

    assert _took(books) <= 1.05 * 3000 / 10 * 0.0816
    assert books.latency_sum_s / books.accepted <= 2 * 0.1035
    assert pace.explanation(_took(books)).kind is Kind.CAPACITY


def test_nginx_with_a_burst_without_delay() -> None:
    """``limit_req burst=20 nodelay`` at 50 a second."""
    books, _ = _run(LeakyBucket(50, 20, nodelay=True), calls=3000)

    assert _took(books) <= 1.05 * 60
    assert books.refused_share <= 0.03


def test_two_limits_together() -> None:
    """Twenty at once and 100 a second: the smaller one is used."""
    books, _ = _run(Concurrency(20), TokenBucket(100, 50), calls=4000)

    assert _took(books) <= 40 / 0.92


def test_no_limit_is_not_slowed_down() -> None:
    """366 calls at a tenth of a second in the time of six of them."""
    books, pace = _run(calls=366)

    assert _took(books) <= 0.65
    assert books.refused == 0
    assert pace.explanation(_took(books)).text == "no limit felt"


def test_a_limit_that_is_halved_or_tripled_is_followed() -> None:
    """Halved at once; tripled within ten seconds or 250 calls."""
    for factor, least in ((0.5, 0.9), (3.0, 0.8)):
        gate = Concurrency(20)
        server = Server(network=_network(), gates=[gate])
        server.changes.append(
            (20.0, lambda gate=gate, f=factor: setattr(gate, "most", int(20 * f)))
        )
        books = run(server, Pace(PaceOptions()), calls=40_000, seed=5, until=52)
        after = [at for at in books.accepted_at if 30 <= at < 50]
        assert len(after) >= least * 20 * (20 * factor / 0.1035)


def test_an_outage_is_waited_out() -> None:
    """Twenty seconds of 503: back within seven seconds, at the old level."""
    server = Server(network=_network(), gates=[Concurrency(10)], outages=[Outage(begin=10, end=30)])
    books = run(server, Pace(PaceOptions()), calls=4000, seed=5, until=200)

    assert min(at for at in books.accepted_at if at > 30.2) <= 37
    assert sum(10.2 < at < 30 for at in books.refused_at) <= 35
    assert _took(books) <= 1.05 * (4000 / 10 * 0.1035 + 20 + 7)


@pytest.mark.parametrize("most", [10, 20, 50])
def test_the_next_run_starts_where_this_one_ended(most: int) -> None:
    """At most half of the refusals, no longer time; the memory survives as JSON."""
    cold, pace = _run(Concurrency(most), calls=1000)
    kept = msgspec.json.encode(pace.learnt(1_790_000_000.0))
    memory = msgspec.json.decode(kept, type=Learnt)
    assert json.loads(kept)["level"] == pytest.approx(most, rel=0.1)

    again = Pace(PaceOptions(), memory=memory, wall=1_790_000_600.0)
    warm, _ = _run(Concurrency(most), calls=1000, pace=again)

    assert warm.refused <= cold.refused / 2
    assert _took(warm) <= _took(cold) * 1.02


@pytest.mark.parametrize("now", [50, 300])
def test_a_stale_memory_costs_no_more_than_a_first_contact(now: int) -> None:
    """The limit was halved or tripled in the meantime."""
    memory = Learnt(at=1_790_000_000.0, level=100)
    warm, _ = _run(
        Concurrency(now),
        calls=3000,
        pace=Pace(PaceOptions(), memory=memory, wall=1_790_000_000.0),
    )
    cold, _ = _run(Concurrency(now), calls=3000)

    assert _took(warm) <= 1.1 * _took(cold)
    assert warm.refused <= cold.refused + 45


def test_what_is_remembered_surely_is_used_at_once_and_named() -> None:
    """One round trip for as many calls as fit; said to be remembered until it is met."""
    memory = Learnt(at=1_790_000_000.0, level=366, sure=1000, latency_s=0.1)
    pace = Pace(PaceOptions(), memory=memory, max_connections=512, wall=1_790_000_600.0)
    network = Network(one_way_s=0.0, jitter_s=0.0, service_s=0.1, spread=0.0)

    books = run(Server(network=network, gates=[]), pace, calls=366, seed=1, connections=512)

    assert books.finished_at == pytest.approx(0.1, abs=0.012)
    explanation = pace.explanation(0.2)
    assert explanation.text.startswith("366 at once (remembered, sure)")
    assert pace.learnt(1_790_000_700.0).sure == 1366


def test_the_first_refusal_ends_the_trust_in_a_memory() -> None:
    """A tenth of what is remembered: what leaves before a refusal comes back is all it costs."""
    memory = Learnt(at=1_790_000_000.0, level=200, sure=1000, latency_s=0.1, round_trip_s=0.02)
    pace = Pace(PaceOptions(), memory=memory, wall=1_790_000_600.0)

    books, _ = _run(Concurrency(20), calls=1000, pace=pace)

    assert books.refused <= 150
    explanation = pace.explanation(_took(books))
    assert explanation.level == pytest.approx(20, abs=2)
    assert "found by refusals" in explanation.text


def test_a_run_without_a_limit_is_remembered_too() -> None:
    """What went well before need not be found out step by step again."""
    cold, pace = _run(calls=1000)
    memory = pace.learnt(1_790_000_000.0)
    warm, _ = _run(calls=1000, pace=Pace(PaceOptions(), memory=memory, wall=1_790_000_600.0))

    assert memory.level is None
    assert memory.width is not None
    assert memory.width > 100
    assert _took(warm) <= 0.8 * _took(cold)


def test_a_third_run_knows_what_the_second_confirmed() -> None:
    """A run that came as far as an earlier one at once does not forget it for the next."""
    memory: Learnt | None = None
    lasted = []
    for _ in range(4):
        run, pace = _run(
            calls=366, pace=Pace(PaceOptions(), memory=memory, max_connections=512, wall=0.0)
        )
        memory = pace.learnt(0.0)
        lasted.append(_took(run))
    assert max(lasted[1:]) < 0.6 * lasted[0]
    assert lasted[3] <= 1.05 * lasted[1]


@pytest.mark.parametrize("late_s", [0.0, 0.001, 0.004])
def test_a_cap_is_reached_although_timers_come_late(late_s: float) -> None:
    """As many calls as the cap allows, and in no second more, whatever the timers are like."""
    pace, now, left = Pace(PaceOptions(max_rate=2000.0)), 0.0, list[float]()
    for call in range(6000):
        while (due := pace.next(now)) is None or due > now:
            assert due is not None
            now = due + late_s
        pace.sent(call, now)
        left.append(now)
        pace.accepted(call, now, {}, now)
    assert left[-1] == pytest.approx(3.0, rel=0.01)
    assert all(left[later] - left[later - 2040] >= 1.0 for later in range(2040, 6000))


def test_memory_ages() -> None:
    """Half after a day, forgotten after thirty; the count of the quota is a fact."""
    memory = Learnt(at=0.0, level=100, rate=50.0, quota_begin=0.0, quota_used=7)

    assert memory.aged(3600).level == 100
    assert (memory.aged(2 * 86400).level, memory.aged(2 * 86400).rate) == (50, 25.0)
    assert memory.aged(31 * 86400) == Learnt(at=0.0, quota_begin=0.0, quota_used=7)


def test_your_own_caps_always_win() -> None:
    """Never more at once, never more a second, and the explanation says whose cap it is."""
    pace = Pace(PaceOptions(max_concurrency=4))
    books, _ = _run(calls=300, pace=pace)
    assert books.most_in_flight == 4
    assert pace.explanation(_took(books)).text.startswith("your own cap of 4 at once (set by you)")

    pace = Pace(PaceOptions(max_rate=50.0))
    books, _ = _run(calls=300, pace=pace)
    assert _took(books) >= 299 / 50
    assert pace.explanation(_took(books)).what == "your own cap of 50 a second"


def test_a_quota_ends_the_run_and_the_next_one_goes_on() -> None:
    """A hundred a day: counted over runs, until the day is over."""
    options = PaceOptions(quota=Quota(requests=100, per="day", resets="00:00 UTC"))
    morning = 1_790_035_200.0  # 2026-09-22 00:00 UTC
    first = Pace(options, wall=morning + 3600)
    books, _ = _run(calls=250, pace=first)
    assert books.accepted == 100
    assert first.stopped() == (
        "your quota of 100 calls is used up until 2026-09-23 00:00 UTC; run again then to go on"
    )
    assert first.stopped_by_own_cap
    memory = first.learnt(morning + 7200)

    same_day = Pace(options, memory=memory, wall=morning + 8000)
    assert _run(calls=10, pace=same_day)[0].accepted == 0
    next_day = Pace(options, memory=memory, wall=morning + 86400 + 60)
    assert _run(calls=150, pace=next_day)[0].accepted == 100


def test_an_api_that_asks_for_hours_ends_the_run() -> None:
    """Nobody wants to wait six hours in a terminal."""
    pace = Pace(PaceOptions())
    assert pace.next(0.0) == 0.0
    pace.sent(0, 0.0)
    pace.refused(0, 0.1, status=429, headers={"retry-after": "21600"}, wall=1.79e9)

    assert pace.next(0.2) is None
    assert "takes nothing more for 6 h" in (pace.stopped() or "")
    assert not pace.stopped_by_own_cap


def test_the_share_used_is_not_diluted_by_what_comes_after_the_last_call() -> None:
    """A run that kept to its level has used it, however late somebody asks."""
    books, pace = _run(Concurrency(10), calls=1000)
    at_the_end = pace.explanation(_took(books)).used

    assert at_the_end is not None
    assert at_the_end > 0.9
    assert pace.explanation(_took(books) + 3600).used == at_the_end
    few, pace = _run(calls=5, pace=Pace(PaceOptions(max_rate=50.0)))
    assert pace.explanation(_took(few)).used is None


def test_a_window_that_only_retry_after_tells_is_named() -> None:
    """It is a limit that is felt, although nothing else was found out about it."""
    books, pace = _run(FixedWindow(100, 10.0, hints="retry-after"), calls=150)

    explanation = pace.explanation(_took(books))
    assert (explanation.kind, explanation.how) == (Kind.WINDOW, "told by Retry-After")
    assert explanation.window_calls == pytest.approx(100, abs=2)
    assert explanation.window_s == pytest.approx(10, rel=0.1)


def test_being_forbidden_over_and_over_ends_the_run() -> None:
    """Going on would only get the credential banned."""
    pace = Pace(PaceOptions())
    for call in range(20):
        assert pace.stopped() is None
        pace.sent(call, float(call))
        pace.denied(call, float(call), status=403)

    assert pace.stopped() == "the last 20 answers were all HTTP 403"


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_concurrency": 0},
        {"max_rate": 0.0},
        {"max_rate": float("inf")},
    ],
)
def test_caps_that_let_nothing_pass_are_refused(wrong: dict[str, float]) -> None:
    """With the value and what was expected."""
    with pytest.raises(ValueError, match="expected"):
        PaceOptions(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests": 0, "per": "day"},
        {"requests": 5, "per": "fortnight"},
        {"requests": 5, "per": -1.0},
        {"requests": 5, "per": "hour", "resets": "00:00 UTC"},
        {"requests": 5, "per": "day", "resets": "25:00 UTC"},
        {"requests": 5, "per": "day", "resets": "00:00 Mars/Base"},
    ],
)
def test_quotas_that_cannot_be_counted_are_refused(wrong: dict[str, object]) -> None:
    """With the value and what was expected."""
    with pytest.raises(ValueError, match="quota"):
        Quota(**wrong)


class _Stalling(Server):
    """On a machine that stops now and then, for up to a quarter of a second: answers come late."""

    def serve(self, now: float, service_s: float) -> tuple[float, Mapping[str, str] | None]:
        answered, refusal = super().serve(now, service_s)
        for begin, end in _STALLS:
            if begin <= answered < end:
                answered = end
        return answered, refusal


def _stalls() -> list[tuple[float, float]]:
    random, at, found = Random(9), 0.0, []
    while at < 60:
        at += random.expovariate(1 / 0.7)
        found.append((at, at + random.uniform(0.02, 0.25)))
    return found


_STALLS = _stalls()


def test_a_refusal_that_comes_late_is_no_opening() -> None:
    """A silent call was taken for let in; when its refusal comes, the door had been shut."""
    network = Network(one_way_s=0.0002, jitter_s=0.0005, service_s=0.05, spread=0.1)
    server = _Stalling(network=network, gates=[FixedWindow(600, 4.0)])

    books = run(server, Pace(PaceOptions()), calls=3000, seed=9, until=400)

    assert _took(books) <= 1.1 * 16.05
    assert books.refused <= 400


@pytest.mark.parametrize("seed", [2, 5, 14, 22])
def test_a_machine_that_stands_still_now_and_then_never_ends_at_one_call_at_a_time(
    seed: int,
) -> None:
    """nginx ``burst=0``: calls that leave in a lump are refused, and that is no level of one."""
    server = Server(
        network=Network(one_way_s=0.0002, jitter_s=0.0003, service_s=0.05, spread=0.1),
        gates=[LeakyBucket(400, 0, nodelay=False, tick_s=0.001)],
    )
    stalls = Stalls(every_s=0.5, shortest_s=0.02, longest_s=0.2, seed=seed + 100)

    books = run(server, Pace(PaceOptions()), calls=3000, seed=seed, until=600, stalls=stalls)

    assert _took(books) <= 3000 / 400 / 0.25  # A third of it before; one call at a time: 171 s.


@pytest.mark.parametrize("seed", [2, 12])
def test_a_wait_on_a_machine_that_stands_still_is_measured_by_what_passed_between(
    seed: int,
) -> None:
    """The time that the machine stood still is none in which the bucket let nothing pass."""
    server = Server(
        network=Network(one_way_s=0.0002, jitter_s=0.0003, service_s=0.05, spread=0.1),
        gates=[TokenBucket(400, 20, retry_after=True)],
    )
    stalls = Stalls(every_s=0.5, shortest_s=0.02, longest_s=0.2, seed=seed + 100)

    books = run(server, Pace(PaceOptions()), calls=3000, seed=seed, until=600, stalls=stalls)

    assert _took(books) <= 3000 / 400 / 0.45


@pytest.mark.parametrize(
    ("gate", "calls"),
    [
        (lambda: TokenBucket(50, 50), 2000),
        (lambda: TokenBucket(2, 3), 400),
        (lambda: TokenBucket(50, 50, retry_after=True), 2000),
        (lambda: LeakyBucket(50, 20, nodelay=True), 2000),
        (lambda: FixedWindow(100, 10.0), 900),
        (lambda: FixedWindow(100, 10.0, hints="retry-after"), 900),
    ],
    ids=["bucket", "slow bucket", "retry-after", "nginx", "window", "told window"],
)
def test_whatever_was_found_is_half_the_price_the_next_time(
    gate: Callable[[], Gate], calls: int
) -> None:
    """At most half of the refusals, and no longer."""
    cold, pace = _run(gate(), calls=calls)
    kept = msgspec.json.encode(pace.learnt(1_790_000_000.0))
    memory = msgspec.json.decode(kept, type=Learnt)

    again = Pace(PaceOptions(), memory=memory, wall=1_790_000_600.0)
    warm, _ = _run(gate(), calls=calls, pace=again)

    assert warm.refused <= cold.refused / 2
    assert _took(warm) <= _took(cold) * 1.03


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_a_bucket_that_changed_meanwhile_is_met_anew(factor: float) -> None:
    """What is remembered is a hint: a run with it is hardly worse than one without."""
    _, pace = _run(TokenBucket(50, 50), calls=2000)
    memory = pace.learnt(1_790_000_000.0)

    again = Pace(PaceOptions(), memory=memory, wall=1_790_000_600.0)
    warm, _ = _run(TokenBucket(50 * factor, 50 * factor), calls=2000, pace=again)
    first, _ = _run(TokenBucket(50 * factor, 50 * factor), calls=2000)

    assert warm.refused <= first.refused
    assert _took(warm) <= _took(first) * 1.05


def test_an_early_question_that_was_in_vain_is_not_asked_in_every_window() -> None:
    """Windows on the clock: the whole second since our first call is no beginning, ever."""
    wall0 = 1_790_000_003.7
    server = Server(
        network=_network(),
        gates=[FixedWindow(100, 10.0, wall0=wall0, aligned=True, hints="x-epoch")],
    )

    books = run(server, Pace(PaceOptions()), calls=1500, seed=3, wall0=wall0, until=10_000)

    assert books.refused <= 1


def test_what_is_shut_is_said_in_steps_of_half_a_minute() -> None:
    """Plainly after thirty seconds, and not anew twice a second in the log."""
    pace = Pace(PaceOptions())
    outage = Outage(begin=0.5, end=1000.0)
    server = Server(network=_network(), gates=[Concurrency(10)], outages=[outage])
    books = run(server, pace, calls=1000, seed=3, until=130.0)

    last = max(books.accepted_at)
    said = {pace.explanation(last + seconds).text for seconds in range(5, 90)}
    assert said == {
        "nothing was accepted in the last moments; one call at a time asks again",
        "nothing was accepted for 30 s; one call at a time asks again",
        "nothing was accepted for 1 min; one call at a time asks again",
    }
    assert len([at for at in books.refused_at if at > 60]) <= 5
