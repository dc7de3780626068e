"""What the first visitor would wait for, done before: libraries, templates, the first pages.

A new process needs a second or more for imports that happen at first use, and a list of ten
thousand series half a second to be read. It is done in a thread once the app listens; nothing
waits for it, and what cannot be read yet is left to the page that says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice

from fetchcast.errors import FetchcastError
from fetchcast.serve import assets, listing, rendering
from fetchcast.serve.asked import Controls, question
from fetchcast.serve.reading import NotThere, Reading

_QUESTIONS = 3


class Warming:
    """Makes the first pages' values beside the app, until they are made or nobody wants them."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._warm, name="warming", daemon=True)

    def start(self) -> None:
        """Begin, and return at once."""
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Return when it is done, or after ``seconds``."""
        self._thread.join(seconds)

    def stop(self) -> None:
        """End after the step that is under way: the database is closed after this."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _warm(self) -> None:
        for step in _steps(self._reading):
            if self._over.is_set():
                return
            with suppress(FetchcastError, NotThere):
                step()


def _steps(reading: Reading) -> Iterator[Callable[[], object]]:
    """What the first pages need; it stays until another version is published."""
    yield assets.assets
    yield rendering.prepare
    for name in islice(reading.source.questions, _QUESTIONS):
        yield partial(question, reading, name, Controls())
    yield partial(listing.listing, reading, find="", sort="name", page=1)
    with suppress(FetchcastError):
        first = listing.listing(reading, find="", sort="name", page=1).lines[:1]
        for line in first:
            yield partial(reading.view, line.series, line.unique_id)
            yield partial(reading.totals, line.series, line.unique_id)
