"""What an answer's headers say about limits, in every dialect that is met; nonsense is ignored.

Read are ``Retry-After`` (seconds, fractions, an HTTP date, an epoch, ``-ms`` variants), the IETF
``RateLimit``/``RateLimit-Policy`` fields (structured, and the key=value form of older drafts),
``RateLimit-Limit/-Remaining/-Reset``, ``X-RateLimit-*`` and ``X-Rate-Limit-*`` whose reset is
seconds left, epoch seconds, epoch milliseconds or a date, and the suffixed forms of common
gateways (``X-RateLimit-Limit-Minute``, ``X-RateLimit-Remaining-Requests``).

Dates and epochs are compared with the answer's own ``Date`` where there is one: the server's
clock may be wrong, but it is wrong in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

_LONGEST_S: Final = 366 * 86400.0  # A wait of more than a year is a mistake, not a limit.
_EPOCH_S: Final = 1e9  # Larger numbers are moments since 1970 (seconds: after 2001) ...
_EPOCH_MS: Final = 1e11  # ... and these are milliseconds (seconds would be after the year 5138).

_UNITS: Final = {
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
    "month": 2592000.0,
}
_SUFFIXES: Final = (*_UNITS, "requests")
_STEMS: Final = ("ratelimit", "x-ratelimit", "x-rate-limit")
_RETRY: Final = ("retry-after", "retry-after-ms", "x-ms-retry-after-ms")

_NUMBER: Final = re.compile(r"\d{1,20}(?:\.\d{1,20})?", re.ASCII)
_DURATION: Final = re.compile(
    r"(?=\d)(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)(m?s))?", re.ASCII
)
_ITEM: Final = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')
_PART: Final = re.compile(r'(?:[^";]|"(?:[^"\\]|\\.)*")+')

KNOWN: Final = frozenset(
    (
        *_RETRY,
        "ratelimit",
        "ratelimit-policy",
        *(f"{stem}-{field}" for stem in _STEMS for field in ("limit", "remaining", "reset")),
        *(f"{stem}-reset-after" for stem in _STEMS),
        *(
            f"{stem}-{field}-{suffix}"
            for stem in _STEMS
            for suffix in _SUFFIXES
            for field in ("limit", "remaining")
        ),
        *(f"{stem}-reset-{suffix}" for stem in _STEMS for suffix in _SUFFIXES),
    )
)
"""Every header name (lower case) that `read_hints` looks at."""


class Budget(NamedTuple):
    """One allowance that the server told: what is left of it, and until when."""

    name: str
    limit: int | None
    remaining: int | None
    reset_s: float | None
    """Seconds from the moment at which the answer was written."""
    window_s: float | None
    """The whole period, where a policy names it."""


class Hints(NamedTuple):
    """All that the headers of one answer say about limits."""

    retry_after_s: float | None
    budgets: tuple[Budget, ...]
    concurrent: int | None
    """Calls at once, where a policy counts ``concurrent-requests``."""


NOTHING: Final = Hints(None, (), None)


def read_hints(headers: Mapping[str, str], wall: float) -> Hints:
    """What ``headers`` (names in lower case) say; ``wall`` is our clock, seconds since 1970.

    Quick if there is nothing to read. Never raises: what cannot be read is not there.
    """
    if KNOWN.isdisjoint(headers):
        return NOTHING
    there = _date(headers.get("date")) or wall
    policies, concurrent = _policies(headers.get("ratelimit-policy"))
    budgets = (
        _structured(headers.get("ratelimit"), policies)
        or _plain_fields(headers, there, policies)
        or tuple(policies.values())
    )
    return Hints(_retry_after(headers, there), budgets, concurrent)


def _retry_after(headers: Mapping[str, str], there: float) -> float | None:
    for name in _RETRY[1:]:
        milliseconds = _number(headers.get(name))
        if milliseconds is not None and milliseconds / 1000 <= _LONGEST_S:
            return milliseconds / 1000
    return _wait(headers.get("retry-after"), there)


def _wait(text: str | None, there: float) -> float | None:
    """Seconds from ``there``: a number of them, a duration, an epoch or a date; None if neither."""
    if text is None:
        return None
    text = text.strip()
    wait = _number(text)
    if wait is None:
        wait = _duration(text)
    if wait is None:
        moment = _date(text)
        wait = None if moment is None else max(0.0, moment - there)
    elif wait >= _EPOCH_S:
        wait = max(0.0, (wait / 1000 if wait >= _EPOCH_MS else wait) - there)
    return wait if wait is not None and wait <= _LONGEST_S else None


def _number(text: str | None) -> float | None:
    if text is None or _NUMBER.fullmatch(text.strip()) is None:
        return None
    return float(text)


def _count(text: str | None) -> int | None:
    """A whole number of calls; the first item of ``100, 100;w=60``."""
    if text is None:
        return None
    value = _number(text.partition(",")[0].partition(";")[0])
    return int(value) if value is not None and value < _EPOCH_S else None


def _duration(text: str) -> float | None:
    """Go's way to write seconds: ``6m0s``, ``1.5s``, ``20ms``."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    last = float(found[3] or 0) / (1000 if found[4] == "ms" else 1)
    return int(found[1] or 0) * 3600 + int(found[2] or 0) * 60 + last


def _date(text: str | None) -> float | None:
    """Seconds since 1970 of an HTTP date or ISO moment; None if it is none."""
    if text is None or len(text) > 64:  # noqa: PLR2004  no date is that long
        return None
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:  # ``-0000`` and asctime: UTC without saying so.
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _members(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Items of a structured list with their parameters; quotes are removed, nesting is not read."""
    for item in _ITEM.findall(text):
        head, *rest = (part.strip() for part in _PART.findall(item))
        pairs = (part.partition("=") for part in rest)
        yield (
            head.strip('"'),
            {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs},
        )


def _policies(text: str | None) -> tuple[dict[str, Budget], int | None]:
    """Named allowances, without what is left of them; and a cap on calls at once."""
    policies: dict[str, Budget] = {}
    concurrent: int | None = None
    for name, fields in _members(text or ""):
        # Older drafts: ``100;w=60``; now: ``"burst";q=100;w=60``.
        count = _count(fields.get("q", name))
        unit = fields.get("qu", "requests")
        if count is None or count < 1:
            continue
        if unit == "concurrent-requests":
            concurrent = count if concurrent is None else min(concurrent, count)
        elif unit == "requests":
            window = _number(fields.get("w"))
            policies[name] = Budget(name, count, None, None, window or None)
    return policies, concurrent


def _structured(text: str | None, policies: Mapping[str, Budget]) -> tuple[Budget, ...]:
    """``"default";r=50;t=30`` of the current draft or ``limit=100, remaining=50, reset=5``."""
    if text is None:
        return ()
    members = list(_members(text))
    if any("=" in name for name, _ in members):
        fields = dict(name.split("=", 1) for name, _ in members if "=" in name)
        limit, remaining = _count(fields.get("limit")), _count(fields.get("remaining"))
        found = _checked("ratelimit", limit, remaining, _seconds(fields.get("reset")), None)
        return (found,) if found else ()
    budgets = []
    for name, fields in members:
        policy = policies.get(name)
        limit, window = (policy.limit, policy.window_s) if policy else (None, None)
        remaining, reset = _count(fields.get("r")), _seconds(fields.get("t"))
        found = _checked(name, limit, remaining, reset, window)
        if found is not None:
            budgets.append(found)
    return tuple(budgets)


def _seconds(text: str | None) -> float | None:
    value = _number(text)
    return value if value is not None and value <= _LONGEST_S else None


def _plain_fields(
    headers: Mapping[str, str], there: float, policies: Mapping[str, Budget]
) -> tuple[Budget, ...]:
    """The separate limit, remaining and reset fields, of the first spelling that makes sense."""
    known = next(iter(policies.values())) if len(policies) == 1 else None
    for stem in _STEMS:
        budgets = []
        for suffix in ("", *(f"-{suffix}" for suffix in _SUFFIXES)):
            remaining = _count(headers.get(f"{stem}-remaining{suffix}"))
            if remaining is None:
                continue
            limit = _count(headers.get(f"{stem}-limit{suffix}"))
            reset = _wait(headers.get(f"{stem}-reset{suffix}"), there)
            if reset is None and not suffix:
                reset = _wait(headers.get(f"{stem}-reset-after"), there)
            window = _UNITS.get(suffix[1:], known.window_s if known else None)
            found = _checked(stem + suffix, limit, remaining, reset, window)
            if found is not None:
                budgets.append(found)
        if budgets:
            return tuple(budgets)
    return ()


def _checked(
    name: str,
    limit: int | None,
    remaining: int | None,
    reset_s: float | None,
    window_s: float | None,
) -> Budget | None:
    """The allowance, or None if what is left of it is not said or cannot be."""
    if remaining is None or (limit is not None and remaining > limit):
        return None
    if reset_s is None and window_s is None:
        return None
    return Budget(name, limit or None, remaining, reset_s, window_s)
