"""Puts what the controller knows into an `Explanation`."""

from __future__ import annotations

from typing import NamedTuple

from fetchcast.extract.pace.explanation import Explanation, Kind, Sureness

_SURE: int = 100
_LIKELY: int = 10
_SHUT_STEP_S = 30.0


class Known(NamedTuple):
    """What the controller knows, as figures; None for what is not felt."""

    accepted_per_second: float | None
    """Since the present limit was found."""
    latency_s: float | None
    level: int | None
    level_told: bool
    level_remembered: bool
    rate: float | None
    rate_told: bool
    rate_remembered: bool
    window_calls: int | None
    window_s: float | None
    window_slides: bool
    window_told: bool
    header_limit: int | None
    header_window_s: float | None
    capacity: int | None
    own_level: int | None
    own_rate: float | None
    quota: str | None
    quota_share: float | None
    shut_s: float | None
    behind: int
    """Accepted calls since the limit was found, in the run that found it too."""

    def share_of_rate(self, rate: float) -> float | None:
        """How much of ``rate`` calls a second was used."""
        if self.accepted_per_second is None:
            return None
        return max(0.0, min(1.0, self.accepted_per_second / rate))

    def share_of_level(self, level: int) -> float | None:
        """How much of ``level`` calls at once was used, by Little's law."""
        return self.share_of_rate(level / self.latency_s) if self.latency_s else None


def explain(known: Known) -> Explanation:
    """The narrowest limit that is felt, in figures and words."""
    for describe in (
        _shut,
        _own_quota,
        _own_caps,
        _headers,
        _window,
        _rate,
        _level,
        _capacity,
    ):
        found = describe(known)
        if found is not None:
            return found
    return Explanation(
        kind=Kind.NONE,
        what="no limit felt",
        how="nothing was refused and answers did not get slower",
        sure=_sureness(known.behind),
        used=None,
    )


def _sureness(behind: int) -> Sureness:
    if behind >= _SURE:
        return Sureness.SURE
    return Sureness.LIKELY if behind >= _LIKELY else Sureness.GUESS


def figure(value: float) -> str:
    """``value`` with three digits and no noise: ``50``, ``2.5``, ``1,200``, ``0.033``."""
    if value >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.3g}"


def span(seconds: float) -> str:
    """A length of time in its natural unit: ``30 s``, ``5 min``, ``2 h``."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size or seconds == size:
            return f"{figure(seconds / size)} {unit}"
    return f"{figure(seconds)} s"


def _shut(known: Known) -> Explanation | None:
    if known.shut_s is None:
        return None
    # In steps: it is logged whenever it says something else.
    steps = known.shut_s // _SHUT_STEP_S
    since = f"for {span(steps * _SHUT_STEP_S)}" if steps else "in the last moments"
    return Explanation(
        kind=Kind.CLOSED,
        what=f"nothing was accepted {since}; one call at a time asks again",
        how="found by refusals",
        sure=Sureness.SURE,
        used=None,
    )


def _own_quota(known: Known) -> Explanation | None:
    if known.quota is None or known.quota_share is None or known.quota_share < 1:
        return None
    return Explanation(
        kind=Kind.OWN_CAP,
        what=f"your quota of {known.quota}",
        how="set by you",
        sure=Sureness.SURE,
        used=min(1.0, known.quota_share),
    )


def _own_caps(known: Known) -> Explanation | None:
    if known.own_rate is not None:
        return Explanation(
            kind=Kind.OWN_CAP,
            what=f"your own cap of {figure(known.own_rate)} a second",
            how="set by you",
            sure=Sureness.SURE,
            used=known.share_of_rate(known.own_rate),
            rate=known.own_rate,
        )
    if known.own_level is not None:
        return Explanation(
            kind=Kind.OWN_CAP,
            what=f"your own cap of {known.own_level} at once",
            how="set by you",
            sure=Sureness.SURE,
            used=known.share_of_level(known.own_level),
            level=known.own_level,
        )
    return None


def _headers(known: Known) -> Explanation | None:
    if not known.header_limit or not known.header_window_s:
        return None
    return Explanation(
        kind=Kind.HEADERS,
        what=f"{known.header_limit:,} per {span(known.header_window_s)}",
        how="told by the API's headers",
        sure=Sureness.SURE,
        used=known.share_of_rate(known.header_limit / known.header_window_s),
        window_calls=known.header_limit,
        window_s=known.header_window_s,
    )


def _window(known: Known) -> Explanation | None:
    if not known.window_calls or not known.window_s:
        return None
    return Explanation(
        kind=Kind.SLIDING if known.window_slides else Kind.WINDOW,
        what=f"{known.window_calls:,} per {span(known.window_s)}",
        how="told by Retry-After" if known.window_told else "found by refusals",
        sure=_sureness(known.behind),
        used=known.share_of_rate(known.window_calls / known.window_s),
        window_calls=known.window_calls,
        window_s=known.window_s,
    )


def _rate(known: Known) -> Explanation | None:
    if known.rate is None:
        return None
    return Explanation(
        kind=Kind.RATE,
        what=f"{figure(known.rate)} a second",
        how="remembered"
        if known.rate_remembered
        else "found after Retry-After"
        if known.rate_told
        else "found by refusals",
        sure=_sureness(known.behind),
        used=known.share_of_rate(known.rate),
        rate=known.rate,
    )


def _level(known: Known) -> Explanation | None:
    if known.level is None:
        return None
    return Explanation(
        kind=Kind.CONCURRENCY,
        what=f"{known.level} at once",
        how="told by the API's headers"
        if known.level_told
        else "remembered"
        if known.level_remembered
        else "found by refusals",
        sure=_sureness(known.behind),
        used=known.share_of_level(known.level),
        level=known.level,
    )


def _capacity(known: Known) -> Explanation | None:
    if known.capacity is None:
        return None
    return Explanation(
        kind=Kind.CAPACITY,
        what=f"{known.capacity} at once before answers get slower",
        how="found by latency",
        sure=_sureness(known.behind),
        used=known.share_of_level(known.capacity),
        level=known.capacity,
    )
