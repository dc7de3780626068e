"""Which call is next: what follows before what is planned, and never more held than needed."""

from collections.abc import Iterator

from fetchcast.extract.scheduler import Call, Scheduler
from fetchcast.records import Request

PAGES, ROWS = 200, 50


def request(name: str) -> Request:
    return Request(key=name, resource=name[0], url=f"http://api.test/{name}")


def take(scheduler: Scheduler) -> Call | None:
    return scheduler.take(0.0) if scheduler.peek(0.0) else None


def test_refused_calls_then_retries_then_pages_then_children_then_the_plan() -> None:
    scheduler = Scheduler(iter([request("p0"), request("p1"), request("p2")]))
    first, second = take(scheduler), take(scheduler)
    assert first is not None
    assert second is not None
    scheduler.retry(second, due=5.0)
    scheduler.follow(iter([request("a")]), iter([request("c")]))
    scheduler.follow(None, iter([request("d")]))
    scheduler.refused(first)
    assert scheduler.take(0.0) is first
    names = [call.request.key for call in iter(lambda: take(scheduler), None)]
    assert names == ["a", "d", "c", "p2"]
    assert not scheduler.finished()
    assert scheduler.due() == 5.0
    assert scheduler.peek(5.0) is second
    scheduler.take(5.0)
    assert scheduler.finished()


def test_a_list_waits_for_the_children_of_its_pages() -> None:
    """Of a list of 200 pages with 50 rows each, the children of a few dozen pages wait at most."""
    finished: set[int] = set()

    def children(page: int) -> Iterator[Request]:
        for row in range(ROWS):
            yield request(f"c{page}-{row}")
        finished.add(page)

    scheduler = Scheduler(iter([request("l0")]))
    most = asked = opened = 0
    while (call := take(scheduler)) is not None:
        asked += 1
        if call.request.resource == "l":
            page = int(call.request.key[1:])
            opened += 1
            more = iter([request(f"l{page + 1}")]) if page + 1 < PAGES else None
            scheduler.follow(more, children(page))
        most = max(most, opened - len(finished))
    assert asked == PAGES * (1 + ROWS)
    assert most <= 33


def test_a_plan_of_any_length_is_drawn_one_by_one() -> None:
    drawn = 0

    def plan() -> Iterator[Request]:
        nonlocal drawn
        while True:
            drawn += 1
            yield request(f"p{drawn}")

    scheduler = Scheduler(plan())
    for _ in range(10):
        take(scheduler)
    assert drawn == 10
