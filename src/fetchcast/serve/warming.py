"""What the first visitor would wait for, done before: libraries, templates, the first pages.

A new process needs a second or more for imports that happen at first use, and a list of ten
thousand series half a second to be read. It is done in a thread once the app listens; nothing
waits for it, and what cannot be read yet is left to the page that says so.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from itertools import islice

from fetchcast.errors import FetchcastError
from fetchcast.serve import assets, listing, rendering
from fetchcast.serve.asked import Controls, question
from fetchcast.serve.reading import NotThere, Reading

_QUESTIONS = 3


def warm_in_background(reading: Reading) -> None:
    """Begin to `warm` and return."""
    threading.Thread(target=warm, args=(reading,), name="warming", daemon=True).start()


def warm(reading: Reading) -> None:
    """Make what the first pages need; it stays until another version is published."""
    assets.assets()
    rendering.prepare()
    for name in islice(reading.source.questions, _QUESTIONS):
        with suppress(FetchcastError, NotThere):
            question(reading, name, Controls())
    with suppress(FetchcastError):
        shown = listing.listing(reading, find="", sort="name", page=1)
        for line in shown.lines[:1]:
            reading.view(line.series, line.unique_id)
            reading.totals(line.series, line.unique_id)
