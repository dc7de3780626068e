"""Portions are made while the ones before are used, and never more than one of them."""

import threading
from collections.abc import Generator

import pytest

from fetchcast.pipeline.ahead import ahead


def test_the_next_portion_is_made_while_one_is_used() -> None:
    """Whoever uses the first waits here until the second is under way."""
    begun = threading.Event()
    made: list[int] = []

    def portions() -> Generator[int]:
        for number in range(5):
            if number == 1:
                begun.set()
            made.append(number)
            yield number

    found = []
    for number in ahead(portions()):
        assert begun.wait(10)
        assert len(made) <= number + 2, "more than one was made in advance"
        found.append(number)
    assert found == [0, 1, 2, 3, 4]


def test_an_error_in_the_making_comes_out_after_the_portions_before_it() -> None:
    def portions() -> Generator[int]:
        yield 1
        raise ValueError("the second cannot be made")

    found = ahead(portions())
    assert next(found) == 1
    with pytest.raises(ValueError, match="second"):
        next(found)


def test_whoever_stops_early_leaves_nothing_running() -> None:
    """The portions are closed, and in the thread that made them."""
    threads: set[str] = set()

    def portions() -> Generator[int]:
        try:
            for number in range(100):
                threads.add(threading.current_thread().name)
                yield number
        finally:
            threads.add("closed")

    before = threading.active_count()
    found = ahead(portions())
    assert next(found) == 0
    found.close()
    assert threading.active_count() == before
    assert "closed" in threads
    assert threading.current_thread().name not in threads
