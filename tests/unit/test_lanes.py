"""Several keys: whose turn it is, and what becomes of the others when one is held back."""

from collections import Counter

from fetchcast.extract.pace import Lanes, Learnt, PaceOptions, Quota

WALL = 1_700_000_000.0


def lanes(count: int, *, quota: int | None = None, **caps: object) -> Lanes:
    return Lanes(
        PaceOptions(**caps),  # type: ignore[arg-type]
        quota=None if quota is None else Quota(requests=quota, per="day"),
        memories=[None] * count,
        total=None,
        max_connections=64,
        wall=WALL,
    )


def send(pace: Lanes, calls: range, now: float = 0.0) -> Counter[int]:
    """Send as many of ``calls`` as may leave, each accepted a moment later; by key."""
    used: Counter[int] = Counter()
    for call in calls:
        due = pace.next(now)
        if due is None or due > now:
            break
        used[pace.lane] += 1
        pace.sent(call, now)
        pace.accepted(call, now + 0.001, {}, WALL)
        now += 0.002
    return used


def test_keys_take_turns() -> None:
    assert send(lanes(3), range(1, 31)) == {0: 10, 1: 10, 2: 10}


def test_each_key_has_its_quota_and_then_the_run_stops() -> None:
    pace = lanes(2, quota=5)
    assert send(pace, range(1, 31)) == {0: 5, 1: 5}
    assert "none of the 2 keys can be used: your quota of 5 calls" in (pace.stopped() or "")
    assert pace.stopped_by_own_cap
    memories = pace.learnt(WALL)
    assert [one.quota_used for one in memories] == [5, 5]
    again = Lanes(
        PaceOptions(),
        quota=Quota(requests=5, per="day"),
        memories=memories,
        total=None,
        max_connections=64,
        wall=WALL + 60,
    )
    assert send(again, range(1, 9)) == {}


def test_your_own_caps_are_for_all_keys_together() -> None:
    pace = lanes(3, max_concurrency=2)
    for call in (1, 2):
        assert pace.next(0.0) is not None
        pace.sent(call, 0.0)
    assert pace.next(0.0) is None
    pace.cancelled(1, 0.1)
    assert pace.next(0.1) is not None
    slow = lanes(3, max_rate=10.0)
    assert sum(send(slow, range(1, 31)).values()) <= 2

    counted = lanes(2, quota=None)
    options = PaceOptions(quota=Quota(requests=3, per="day"))
    counted = Lanes(
        options, quota=None, memories=[None, None], total=None, max_connections=9, wall=WALL
    )
    assert sum(send(counted, range(1, 31)).values()) == 3
    assert counted.stopped_by_own_cap
    total = counted.counted(WALL)
    assert total.quota_used == 3
    assert isinstance(total, Learnt)


def test_a_key_that_is_held_back_holds_no_other_back() -> None:
    pace = lanes(2)
    assert pace.next(0.0) is not None
    first = pace.lane
    pace.sent(1, 0.0)
    pace.refused(1, 0.1, status=429, headers={"retry-after": "60"}, wall=WALL)
    used = send(pace, range(2, 22), now=0.2)
    assert used == {1 - first: 20}


def test_a_key_that_is_denied_again_and_again_rests_unless_all_are() -> None:
    pace = lanes(2)
    denied = 0
    for call in range(1, 40):
        assert pace.next(call) is not None
        pace.sent(call, call)
        if pace.lane == 0:
            denied += 1
            pace.denied(call, call + 0.1, status=401)
        else:
            pace.accepted(call, call + 0.1, {}, WALL)
    assert denied == 3
    assert pace.stopped() is None
    both = lanes(2)
    for call in range(1, 60):
        if both.next(float(call)) is None:
            break
        both.sent(call, call)
        both.denied(call, call + 0.1, status=401)
    assert "answers were all HTTP 401" in (both.stopped() or "")
    assert not both.stopped_by_own_cap


def test_the_explanation_says_that_it_is_for_each_key() -> None:
    pace = lanes(2, quota=5)
    send(pace, range(1, 31))
    assert pace.explanation(1.0).what == "your quota of 5 calls a day, with each of 2 keys"
