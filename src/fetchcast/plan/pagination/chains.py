"""One list on its way: told of each page that came, it says which calls follow. Pure.

`Following` goes from page to page: each answer names the next. `Numbered` knows the address of
any page, so that pages are asked side by side: all of them once their number is known, else a
few ahead, more with every full page, until one is behind the end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final

import msgspec

from fetchcast.json_path import Path, value_at
from fetchcast.records import Request

_AHEAD: Final = 16
"""Pages asked ahead of the last full one, where nobody knows how many there are."""
_BEHIND_THE_END: Final = frozenset({400, 404, 410, 416, 422})
"""What APIs say to a page that is not there."""
_QUIET: Final = frozenset({404, 410, 416})
"""Of these, those that say nothing else."""


@dataclass(slots=True)
class Step:
    """What follows from a page."""

    requests: Iterable[Request] = ()
    empty_because: str | None = None
    """The page is none: behind the end, or one that was here before."""
    notice: str | None = None
    """What a person should know of it."""
    broken: str | None = None
    """Why pages that there should be cannot be asked."""


class Page:
    """A page as it came.

    Args:
        request: The call.
        status: Of the answer; None if there was none.
        headers: Its headers, names in lower case.
        body: Its body.
        read: Reads the body as a document; as JSON if not given.
        rows: How many rows the table finds in it; None if it has not the place for them.
        failed: Whether the call failed.
    """

    def __init__(
        self,
        request: Request,
        *,
        status: int | None,
        headers: Mapping[str, str],
        body: bytes,
        rows: int | None,
        failed: bool = False,
        read: Callable[[bytes], Any] | None = None,
    ) -> None:
        self._read = read or _json
        self.request, self.status, self.headers = request, status, headers
        self.body, self.rows, self.failed = body, rows or 0, failed

    @cached_property
    def document(self) -> Any:
        """The body, read; None if it cannot be."""
        try:
            return self._read(self.body)
        except (ValueError, RecursionError):
            return None

    def digest(self) -> bytes:
        """Of what is on the page, whatever the page says of itself around its arrays."""
        return _digest(msgspec.json.encode(_arrays(self.document) or self.document))

    def exact_digest(self) -> bytes:
        """Of the page as it came, which costs much less."""
        return _digest(self.body)

    def number_at(self, path: Path, header: str | None) -> int | None:
        """The whole number at ``path`` of the body, or in ``header``; None if there is none."""
        value: Any = self.headers.get(header.lower()) if header else None
        if value is None and path:
            value = value_at(self.document, path)
        if isinstance(value, str) and value.strip().isdecimal():
            return int(value)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def _json(body: bytes) -> Any:
    return msgspec.json.decode(body)


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=12).digest()


def _arrays(document: Any) -> list[Any]:
    """What of a page is its content: a counter or a clock beside it is another on every page."""
    if isinstance(document, list):
        return document
    values = document.values() if isinstance(document, dict) else ()
    return [found for value in values if (found := _arrays(value))]


class Chain(ABC):
    """One list. Its first call is asked by the plan.

    Args:
        first: That call.
        since: When it was answered, in seconds since 1970: the other pages are asked after it.
        maximum: At most so many pages.
    """

    def __init__(self, first: Request, since: float, maximum: int | None) -> None:
        self.first, self.since = first, since
        self.is_broken = False
        """Whether a page of it failed: what is behind it may not be known."""
        self._most = maximum
        self._open = 1

    @property
    def is_over(self) -> bool:
        """Whether every page that was asked has come."""
        return self._open == 0

    def after(self, page: Page) -> Step:
        """What follows from ``page``; to be asked once a page."""
        self._open -= 1
        step = self._after(page)
        failed = page.failed and step.empty_because is None
        self.is_broken |= failed or step.broken is not None
        return step

    @abstractmethod
    def _after(self, page: Page) -> Step: ...

    @abstractmethod
    def keys(self) -> Collection[str]:
        """Of all calls of the list so far."""


class Following(Chain):
    """Each answer names the next page.

    Args:
        first: See `Chain`.
        since: See `Chain`.
        maximum: See `Chain`.
        next_of: The call of the page behind a page, or None at the end; ValueError with the
            reason if it cannot be asked.
    """

    def __init__(
        self,
        first: Request,
        since: float,
        maximum: int | None,
        *,
        next_of: Callable[[Page], Request | None],
    ) -> None:
        super().__init__(first, since, maximum)
        self._next_of, self._keys, self._last = next_of, {first.key}, b""

    def keys(self) -> Collection[str]:
        """Of all calls of the list so far."""
        return self._keys

    def _after(self, page: Page) -> Step:
        number = page.request.page
        if page.failed or (self._most is not None and number + 1 >= self._most):
            return Step()
        digest = page.digest() if page.rows else b""
        if digest and digest == self._last:
            return _repeats(number, number - 1)
        self._last = digest
        try:
            request = self._next_of(page)
        except ValueError as error:
            return Step(broken=f"{error}; what is behind page {number + 1} was not asked")
        return Step() if request is None else self._on(request, number)

    def _on(self, request: Request, number: int) -> Step:
        if request.key in self._keys:
            return Step(
                notice=f"page {number + 1} names as its next page one that was there before; "
                "the list ends there"
            )
        self._keys.add(request.key)
        self._open += 1
        return Step([request])


def _repeats(number: int, earlier: int) -> Step:
    because = f"page {number + 1} has the rows of page {earlier + 1} again"
    hint = "" if number > 1 else ": the API may not heed how it is asked for more"
    return Step(empty_because=because, notice=f"{because}; the list ends there{hint}")


class Numbered(Chain):
    """The address of every page can be known ahead.

    Args:
        first: See `Chain`.
        since: See `Chain`.
        maximum: See `Chain`.
        at: The call of the page with an index, from 0.
        pages_of: How many pages there are, as a page says it; None if it does not.
        is_last: Whether a page shows by itself that none is behind it.
        says_more: Whether a page says in so many words that there is one behind it.
    """

    def __init__(
        self,
        first: Request,
        since: float,
        maximum: int | None,
        *,
        at: Callable[[int], Request],
        pages_of: Callable[[Page], int | None],
        is_last: Callable[[Page], bool],
        says_more: Callable[[Page], bool],
    ) -> None:
        super().__init__(first, since, maximum)
        self._at, self._pages_of, self._is_last = at, pages_of, is_last
        self._says_more = says_more
        self._upto = 1
        """So many pages were asked."""
        self._is_counted = self._end_seen = False
        self._seen: dict[bytes, int] = {}
        self._counted = 0
        """So many pages there are, as the first one says it."""
        self._last = b""
        """What was on the last page that said that there are more than were counted."""

    def keys(self) -> Collection[str]:
        """Of all calls of the list so far."""
        return {self.first.key, *(self._at(index).key for index in range(1, self._upto))}

    def _after(self, page: Page) -> Step:
        number = page.request.page
        if number == 0 and not page.failed:
            return self._began(page)
        return self._one_of_many(page) if self._is_counted else self._probed(page)

    def _began(self, page: Page) -> Step:
        count = self._pages_of(page)
        if count is None:
            return self._probed(page)
        self._is_counted, self._counted = True, count
        self._seen[page.exact_digest()] = 0
        return Step(self._more(count))

    def _one_of_many(self, page: Page) -> Step:
        number = page.request.page
        if page.failed:
            return self._refused(page) if number < self._counted else self._behind_the_end(page)
        if page.rows and page.exact_digest() in self._seen:
            return _repeats(number, 0)
        # A list may grow while it is read; one page that says so is enough.
        count = self._pages_of(page) if number == self._upto - 1 else None
        if count is None or count <= self._upto:
            return Step()
        digest = page.digest()
        if digest == self._last:
            return _repeats(number, number - 1)
        self._last = digest
        return Step(self._more(count))

    def _refused(self, page: Page) -> Step:
        """Many APIs give the first thousands of rows only, whatever their total says."""
        if self._end_seen or page.status not in _BEHIND_THE_END:
            return Step()
        self._end_seen = True
        return Step(
            notice=f"page {page.request.page + 1} of {self._upto} is refused (HTTP {page.status}): "
            "if the API ends lists earlier than it says, `maximum` in the paginator does too; "
            "lists of smaller parts, days for instance, have all rows"
        )

    def _probed(self, page: Page) -> Step:
        """Nobody says how many pages there are: go on behind each full one until one is not."""
        number = page.request.page
        if page.failed:
            return self._behind_the_end(page)
        if not page.rows or self._is_last(page):
            self._end_seen = True
            return Step()
        earlier = self._seen.setdefault(page.digest(), number)
        if earlier != number:
            step = _repeats(max(number, earlier), min(number, earlier))
            if {number, earlier} == {0, 1} and self._says_more(page) and not self._end_seen:
                step.broken = f"{step.empty_because}, and says that there is more"
            self._end_seen = True
            return step
        if self._end_seen:
            return Step()
        return Step(self._more(min(self._upto + 2, number + 1 + _AHEAD)))

    def _behind_the_end(self, page: Page) -> Step:
        if page.status not in _BEHIND_THE_END:
            return Step()
        self._end_seen = True
        because = f"page {page.request.page + 1} is behind the end of the list: HTTP {page.status}"
        said = page.body[:200].decode("utf-8", "replace")
        return Step(
            empty_because=because,
            notice=None if page.status in _QUIET else f"{because}: {said}",
        )

    def _more(self, count: int) -> Iterator[Request]:
        """The pages up to ``count`` that were not asked yet, made one by one."""
        begin, end = self._upto, count if self._most is None else min(count, self._most)
        self._upto = max(begin, end)
        self._open += self._upto - begin
        return (self._at(index) for index in range(begin, self._upto))
