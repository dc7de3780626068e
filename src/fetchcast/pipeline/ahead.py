"""Making the next portion while the one before is being used."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

_T = TypeVar("_T")


def ahead(items: Generator[_T]) -> Generator[_T]:
    """The same ``items``, each made in a thread of its own while the one before is used.

    Never more than one is made in advance, so memory holds two. Worth it where making holds the
    interpreter and using gives it up: databases do while they take rows.

    Args:
        items: Always resumed and closed in that one thread, never in two at once.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="fetchcast-ahead") as thread, closing(items):
        coming = thread.submit(_next, items)
        try:
            while (found := coming.result()) is not None:
                coming = thread.submit(_next, items)
                yield found[0]
                del found  # Otherwise memory would hold three.
        finally:
            # A generator that still runs cannot be closed.
            coming.exception()


def _next(items: Generator[_T]) -> tuple[_T] | None:
    try:
        return (next(items),)
    except StopIteration:
        return None
