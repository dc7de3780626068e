"""The coordinator and its lessees in virtual time: no clock, no socket, no chance."""

from itertools import pairwise

import msgspec
import pytest

from fetchcast.extract.lease import Ask, Coordinator, Ended, Lease, Lessee, Verdict
from fetchcast.extract.lease.messages import ASKS, ENCODER, LEASES
from fetchcast.extract.pace import Learnt, PaceOptions, Quota
from fetchcast.testing.simulation.cluster import Cluster
from fetchcast.testing.simulation.gates import Concurrency, FixedWindow, TokenBucket
from fetchcast.testing.simulation.world import Network, Server

WALL = 1_700_000_000.0


def coordinator(memory: Learnt | None = None, **caps: object) -> Coordinator:
    options = msgspec.convert(caps, PaceOptions)
    return Coordinator(options, memory=memory, wall=WALL, epoch=7)


def lend(to: Coordinator, who: str, wants: int, now: float, *ended: Ended) -> Lease:
    return to.lease(Ask(who, wants, 7, list(ended)), now, WALL + now)


def network(service_s: float = 0.02) -> Network:
    return Network(one_way_s=0.002, jitter_s=0.0005, service_s=service_s, spread=0.2)


def test_a_rate_is_lent_in_slices_that_do_not_overlap() -> None:
    """Two lessees get permits one after the other: together no faster than the cap."""
    desk = coordinator(max_rate=100.0)
    moments = []
    for who in ("a/1", "b/1", "a/1", "b/1"):
        lease = lend(desk, who, 50, 0.0)
        moments += [round(delay, 6) for delay in lease.delays_s]
    assert moments == sorted(moments)
    assert 8 <= len(moments) <= 12
    assert max(moments) <= 0.1
    # The first may have one beside it.
    gaps = [b - a for a, b in pairwise(moments[1:])]
    assert min(gaps) >= 0.0099


def test_who_gets_nothing_is_told_when_to_ask_again() -> None:
    desk = coordinator(max_rate=10.0)
    lend(desk, "a/1", 50, 0.0)
    for who in ("b/1", "c/1"):
        assert lend(desk, who, 50, 0.0).permits
    late = lend(desk, "d/1", 50, 0.0)
    assert late.permits == []
    assert 0.0 < late.again_s <= 0.3
    assert not late.news


def test_retry_after_holds_for_all_at_once() -> None:
    desk = coordinator(memory=Learnt(at=WALL, rate=100.0, sure=500, latency_s=0.02))
    first = lend(desk, "a/1", 5, 0.0)
    refused = Ended(first.permits[0], Verdict.REFUSED, 0.03, 0.0, 429, {"retry-after": "2"})
    held = lend(desk, "a/1", 5, 0.05, refused)
    other = lend(desk, "b/1", 5, 0.06)
    assert held.permits == other.permits == []
    assert 1.8 <= other.again_s <= 2.0
    assert lend(desk, "b/1", 5, 2.2).permits


def test_permits_of_a_dead_worker_come_back_within_a_second() -> None:
    """A level of three: as long as the dead hold it, nobody else gets any."""
    desk = coordinator(max_concurrency=3)
    held = [*lend(desk, "dead/1", 9, 0.0).permits, *lend(desk, "dead/2", 9, 0.0).permits]
    assert len(held) == 3
    assert lend(desk, "alive/1", 9, 0.1).permits == []
    desk.lost("dead", 0.2)
    assert lend(desk, "alive/1", 9, 1.19).permits != []
    assert desk.tally(1.2, WALL).lost == 3
    assert set(desk.outstanding.values()) == {"alive/1"}


def test_a_worker_whose_name_begins_alike_is_another_one() -> None:
    desk = coordinator(max_concurrency=4)
    lend(desk, "tcp://1:1/x", 2, 0.0)
    lend(desk, "tcp://1:10/x", 2, 0.0)
    desk.lost("tcp://1:1", 0.1)
    desk.tally(2.0, WALL)
    assert set(desk.outstanding.values()) == {"tcp://1:10/x"}


def test_a_silent_lessee_is_gone_after_half_a_minute() -> None:
    desk = coordinator(max_concurrency=1)
    assert lend(desk, "frozen/1", 1, 0.0).permits
    assert lend(desk, "other/1", 1, 29.0).permits == []
    assert lend(desk, "other/1", 1, 31.0).permits == []
    assert lend(desk, "other/1", 1, 32.0).permits


def test_a_report_about_a_permit_that_was_taken_back_says_nothing() -> None:
    desk = coordinator(max_concurrency=2)
    (permit,) = lend(desk, "a/1", 1, 0.0).permits
    desk.lost("a", 0.1)
    assert lend(desk, "a/1", 0, 1.0, Ended(permit, Verdict.ACCEPTED, 0.9, 0.1)).permits == []
    assert desk.tally(1.0, WALL).accepted == 0
    assert len(lend(desk, "b/1", 5, 1.1).permits) == 2


def test_a_quota_counts_when_it_is_lent_and_what_never_left_is_given_back() -> None:
    desk = coordinator(quota=Quota(requests=6, per="day"))
    assert len(lend(desk, "a/1", 4, 0.0).permits) == 4
    rest = lend(desk, "b/1", 4, 0.1).permits
    assert len(rest) == 2
    assert lend(desk, "c/1", 4, 0.2).stopped is not None
    lend(desk, "b/1", 0, 0.4, *(Ended(permit, Verdict.UNUSED) for permit in rest))
    assert desk.pace.learnt(WALL).quota_used == 4


def test_a_used_up_quota_stops_every_lessee_and_says_whose_it_was() -> None:
    desk = coordinator(quota=Quota(requests=3, per="day"))
    while lend(desk, "a/1", 3, 0.0).permits:
        pass
    told = lend(desk, "b/1", 3, 0.5)
    assert told.stopped is not None
    assert "quota of 3 calls" in told.stopped
    assert told.own_cap


def test_permits_of_an_older_coordinator_are_void() -> None:
    lessee = Lessee("w/1", calls=10, tell=lambda: None)
    lessee.next(0.0)
    lessee.ask(0.0)
    lessee.take(Lease(1, [1, 2], [0.0, 0.0], 1.0, 0.0, WALL), 0.0)
    assert lessee.next(0.0) == 0.0
    lessee.take(Lease(2, [], [], 0.0, 0.1, WALL), 0.1)
    assert lessee.next(0.1) is None


def test_without_a_lease_nothing_leaves() -> None:
    """It waits for ever: it has no limit of its own to fall back on."""
    lessee = Lessee("w/1", calls=10, tell=lambda: None)
    assert all(lessee.next(now) is None for now in (0.0, 1.0, 60.0, 1e6))


def test_a_permit_that_is_too_late_is_given_back_unused() -> None:
    lessee = Lessee("w/1", calls=10, tell=lambda: None)
    lessee.next(0.0)
    lessee.take(Lease(1, [4, 5], [0.0, 0.05], 0.1, 0.0, WALL), 0.0)
    assert lessee.next(0.13) is not None
    lessee.sent(1, 0.13)
    ended = lessee.ask(0.2).ended
    assert [(one.permit, one.verdict) for one in ended] == [(4, Verdict.UNUSED)]


def test_messages_survive_the_way() -> None:
    ask = Ask(
        "w/1", 3, 2, [Ended(1, Verdict.REFUSED, 0.2, 0.1, 429, {"retry-after": "1"})], closing=True
    )
    assert ASKS.decode(ENCODER.encode(ask)) == ask
    lease = Lease(1, [1], [0.5], 0.1, 0.0, WALL, "why", own_cap=True, news=True, proven=True)
    assert LEASES.decode(ENCODER.encode(lease)) == lease


@pytest.mark.parametrize(
    ("gate", "limit", "memory", "share", "refused"),
    [
        (lambda: TokenBucket(200, 20), 200, None, 0.90, 0.03),
        (lambda: TokenBucket(200, 20), 200, 200, 0.95, 0.03),
        (lambda: TokenBucket(3000, 100), 3000, None, 0.90, 0.05),  # The start is a good part of it.
    ],
)
def test_a_limit_is_found_and_used_by_eight(
    gate: object, limit: float, memory: float | None, share: float, refused: float
) -> None:
    known = Learnt(at=WALL, rate=memory, sure=500, latency_s=0.025) if memory else None
    server = Server(network=network(), gates=[gate()])
    books = Cluster(server, coordinator(known), workers=8, calls=2500).run()
    assert books.accepted == 20_000
    assert books.per_second >= share * limit
    assert books.refused_share <= refused


def test_a_cap_of_your_own_is_kept_by_a_hundred_workers() -> None:
    server = Server(network=network(), gates=[TokenBucket(1000, 100)])
    books = Cluster(server, coordinator(max_rate=990.0), workers=100, calls=80).run()
    assert books.refused == 0
    assert books.per_second >= 950
    assert max(books.arrived_per_bin.values()) <= 1.05 * 99 + 10


def test_a_level_is_never_exceeded_by_the_sum_of_all() -> None:
    server = Server(network=network(), gates=[Concurrency(10)])
    books = Cluster(server, coordinator(max_concurrency=10), workers=6, calls=150).run()
    assert books.refused == 0
    assert books.per_second >= 0.75 * 10 / network().mean_latency_s


def test_a_window_holds_for_all() -> None:
    server = Server(network=network(), gates=[FixedWindow(100, 5.0)])
    books = Cluster(server, coordinator(), workers=4, calls=150).run()
    assert books.accepted == 600
    assert books.refused_share <= 0.15


def test_others_go_on_with_what_a_dead_worker_held() -> None:
    server = Server(network=network(), gates=[TokenBucket(200, 20)])
    cluster = Cluster(
        server, coordinator(max_rate=198.0), workers=4, calls=400, deaths={2.0: 1, 3.0: 2}
    )
    books = cluster.run()
    before = sum(count for at, count in books.arrived_per_bin.items() if 10 <= at < 20)
    after = sum(count for at, count in books.arrived_per_bin.items() if 31 <= at < 41)
    assert after >= 0.97 * before
    assert books.refused == 0


def test_under_a_cap_of_your_own_a_permit_is_used_again() -> None:
    """One message tells of many calls; a refusal ends it at once, and so does another lessee."""
    desk = coordinator(max_concurrency=4)
    lessee = Lessee("a/1", calls=100, tell=lambda: None)

    def exchange(now: float) -> Lease:
        lease = lend(desk, "a/1", 9, now, *lessee.ask(now).ended)
        lessee.take(lease, now)
        return lease

    assert lessee.next(0.0) is None
    assert len(exchange(0.0).permits) == 4
    for call in range(12):
        assert lessee.next(0.01 * call) is not None
        lessee.sent(call, 0.01 * call)
        lessee.accepted(call, 0.01 * call + 0.005, {}, WALL)
    assert exchange(0.12).reuse == 4
    assert desk.tally(0.12, WALL).accepted == 12
    assert len(desk.outstanding) == 4
    lend(desk, "b/1", 9, 0.13)
    assert exchange(0.14).reuse == 2
    lessee.next(0.14)
    lessee.sent(20, 0.14)
    lessee.refused(20, 0.15, status=429, headers={}, wall=WALL)
    lessee.next(0.15)
    lessee.sent(21, 0.15)
    lessee.accepted(21, 0.16, {}, WALL)
    assert not any(one.kept for one in lessee.ask(0.16).ended)
