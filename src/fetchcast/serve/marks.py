"""The small pictures that are drawn on the server: where each dot, bar and tick lies.

Pure geometry in the units of an SVG's view box; the templates turn it into marks. No picture
here is the only way to read a figure: each stands beside the words or the table that say it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, floor, log10
from typing import Protocol, TypeAlias

from fetchcast.serve.wording import duration, number

DOTS = 20
"""Equally likely arrivals in a picture: the number travellers read most exactly (Kay and others,
"When (ish) is My Bus?", CHI 2016)."""

_STEPS_MIN = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480)
_TOP = 40.0
_SIDE = 26.0
_FOOT = 32.0
_LEAST_STACK = 5
_CUT_OFF = 2.5
_WIDEST_BIN = 3.0

Axis: TypeAlias = Callable[[float, float, float], list[tuple[float, str]]]
"""From the lowest and highest value and the most ticks there is room for, to values and labels."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One of twenty equally likely arrivals."""

    x: float
    y: float
    in_time: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled mark on an axis."""

    x: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DotPlot:
    """Twenty equally likely arrivals on a clock axis, with the deadline as a line."""

    width: float
    height: float
    baseline: float
    radius: float
    deadline_x: float
    label_right: bool
    """Whether the deadline's words stand right of its line, where there is more room."""
    dots: tuple[Dot, ...]
    ticks: tuple[Tick, ...]
    beyond: int
    """Dots that lie later than the axis reaches; they are drawn at its end, and said so."""


def clock_axis(zero: datetime, clock: Callable[[datetime], str]) -> Axis:
    """Ticks at round clock times, where a value counts minutes from ``zero``."""

    def ticks(low: float, high: float, most: float) -> list[tuple[float, str]]:
        step = next((s for s in _STEPS_MIN if (high - low) / s <= most), _STEPS_MIN[-1])
        midnight = zero.replace(hour=0, minute=0, second=0, microsecond=0)
        since = _minutes(zero - midnight)
        first = ceil((since + low) / step) * step
        places = [first + step * turn for turn in range(int((since + high - first) // step) + 1)]
        return [(place - since, clock(midnight + timedelta(minutes=place))) for place in places]

    return ticks


def plain_axis(write: Callable[[float], str]) -> Axis:
    """Ticks at round numbers."""

    def ticks(low: float, high: float, most: float) -> list[tuple[float, str]]:
        rough = (high - low) / most
        power = 10.0 ** floor(log10(rough)) if rough > 0 else 1.0
        step = next(power * part for part in (1, 2, 5, 10) if power * part >= rough)
        first = ceil(low / step)
        return [(step * turn, write(step * turn)) for turn in range(first, floor(high / step) + 1)]

    return ticks


def dot_plot(
    values: Sequence[float],
    limit: float,
    *,
    axis: Axis,
    width: float = 640,
    height: float = 226,
    radius: float = 8.5,
) -> DotPlot:
    """Place one dot for each of ``values``; those at or below ``limit`` are in time.

    Dots are stacked in bins whose edges are counted from ``limit``, so that no stack mixes dots
    on its two sides.
    """
    pitch = 2 * radius + 1.5
    offsets = sorted(value - limit for value in values)
    low, high = _span(offsets)
    room = width - 2 * _SIDE
    shown = [min(each, high) for each in offsets]
    bin_width = _bin_width(shown, (high - low) / room, radius, (height - _TOP - _FOOT) / pitch)
    tallest = max(Counter(_slot(each, bin_width) for each in shown).values())
    bottom = _TOP + max(tallest, _LEAST_STACK) * pitch + 2

    def place(offset: float) -> float:
        return round(_SIDE + (min(offset, high) - low) * room / (high - low), 1)

    deadline = place(0)
    return DotPlot(
        width=width,
        height=round(bottom + _FOOT, 1),
        baseline=round(bottom, 1),
        radius=radius,
        deadline_x=deadline,
        label_right=deadline < width * 0.5,
        dots=tuple(
            _stacked(
                offsets,
                high=high,
                bin_width=bin_width,
                place=place,
                floor_y=bottom - radius - 2,
                pitch=pitch,
            )
        ),
        ticks=tuple(
            Tick(place(value - limit), label)
            for value, label in axis(limit + low, limit + high, max(2, room // 78))
        ),
        beyond=sum(offset > high for offset in offsets),
    )


def _stacked(
    offsets: Sequence[float],
    *,
    high: float,
    bin_width: float,
    place: Callable[[float], float],
    floor_y: float,
    pitch: float,
) -> Iterator[Dot]:
    stacks: Counter[int] = Counter()
    for offset in offsets:
        slot = _slot(min(offset, high), bin_width)
        y = floor_y - stacks[slot] * pitch
        yield Dot(place((slot - 0.5) * bin_width), round(y, 1), offset <= 0)
        stacks[slot] += 1


def _slot(offset: float, bin_width: float) -> int:
    """Slot 0 ends at the limit, which belongs to it; slot 1 begins after it."""
    return max(1, ceil(offset / bin_width)) if offset > 0 else ceil(offset / bin_width)


def _minutes(span: timedelta) -> float:
    return span.total_seconds() / 60


def _span(offsets: Sequence[float]) -> tuple[float, float]:
    """From before the earliest to after the latest, but a single storm day does not squeeze all.

    The axis ends where twice the range of the 18 earlier dots ends; later dots wait at its end.
    """
    ordered = sorted([*offsets, 0.0])
    low, high = ordered[0], ordered[-1]
    if high <= low:
        return low - 1, high + 1
    body = ordered[max(1, len(ordered) - 3)]
    high = min(high, low + 2 * (body - low)) if body > low else high
    pad = 0.07 * (high - low)
    return low - pad, high + pad


def _bin_width(offsets: Sequence[float], per_pixel: float, radius: float, most: float) -> float:
    """The narrowest bins in which dots neither touch their neighbours nor leave the picture.

    Bins wider than a few dots would say where an arrival is no more: where many are equal, the
    picture grows higher instead.
    """
    narrowest = (2 * radius + 3) * per_pixel
    width = narrowest
    while width < _WIDEST_BIN * narrowest:
        if max(Counter(_slot(each, width) for each in offsets).values()) <= most:
            return width
        width *= 1.25
    return narrowest


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One day of a row of bars."""

    x: float
    y: float
    height: float
    above: bool
    title: str
    over: str = ""
    """The value of a bar that is cut off at the top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """A row of bars around zero."""

    width: float
    height: float
    zero: float
    bar_width: float
    bars: tuple[Bar, ...]


def bars(
    values: Sequence[tuple[float | None, str]], *, width: float = 430, height: float = 64
) -> Bars:
    """A bar for each value and its words; a missing one leaves its place empty."""
    known = sorted(value for value, _ in values if value is not None)
    high, low = max([1.0, *known]), min([0.0, *known])
    usual = known[int(0.9 * (len(known) - 1))] if known else 0.0
    # One day in a storm would flatten all others: it is cut off and says its value.
    high = min(high, max(_CUT_OFF * usual, 10.0))
    top = 12.0
    scale = (height - top - 2) / (high - low)
    zero = top + high * scale
    pitch = width / max(1, len(values))
    drawn = tuple(
        Bar(
            x=round(place * pitch + pitch * 0.14, 1),
            y=round(zero - min(max(value, 0), high) * scale, 1),
            height=round(max(min(abs(value), high) * scale, 1.2), 1),
            above=value > 0,
            title=title,
            over=f"{value:.0f}" if value > high else "",
        )
        for place, (value, title) in enumerate(values)
        if value is not None
    )
    return Bars(
        width=width,
        height=height,
        zero=round(zero, 1),
        bar_width=round(pitch * 0.72, 2),
        bars=drawn,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Answers a second over a run's time, with a mark wherever another limit began to be felt."""

    width: float
    height: float
    bar_width: float
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    limits: tuple[Tick, ...]
    """Numbered as in the table of limits."""
    most: float
    """Of the highest bar."""
    words: str


class Timed(Protocol):
    """A part of a run's time and how fast answers came in it."""

    @property
    def after_s(self) -> float:
        """Since the run's beginning."""

    @property
    def lasts_s(self) -> float:
        """How long it is."""

    @property
    def per_second(self) -> float:
        """Answers a second."""


class Begun(Protocol):
    """Something that began at a moment of the run."""

    @property
    def after_s(self) -> float:
        """Since the run's beginning."""


def speed(
    spans: Sequence[Timed], limits: Sequence[Begun], *, width: float = 640, height: float = 110
) -> Speed | None:
    """A bar for each of ``spans``; None if there is nothing to draw."""
    if not spans:
        return None
    most = max(span.per_second for span in spans)
    pitch = width / len(spans)
    first, lasts = spans[0].after_s, spans[0].lasts_s
    whole = lasts * len(spans)

    def place(after_s: float) -> float:
        return round(min(max(0.0, (after_s - first) / whole), 1.0) * width, 1)

    drawn = tuple(
        Bar(
            x=round(at * pitch, 1),
            y=round(height * (1 - span.per_second / (most or 1)), 1),
            height=round(height * span.per_second / (most or 1), 1),
            above=True,
            title=f"+{duration(span.after_s)}: {number(span.per_second)} a second",
            over="",
        )
        for at, span in enumerate(spans)
    )
    middle = sorted(span.per_second for span in spans)[len(spans) // 2]
    return Speed(
        width=width,
        height=height,
        bar_width=round(max(pitch - 1, pitch * 0.7), 2),
        bars=drawn,
        ticks=(Tick(0, f"+{duration(first)}"), Tick(width, f"+{duration(first + whole)}")),
        limits=tuple(
            Tick(place(limit.after_s), str(at)) for at, limit in enumerate(limits, start=1)
        ),
        most=most,
        words=f"Answers a second in {len(spans)} parts of {duration(lasts)}: "
        f"half of the time at least {number(middle)}, at most {number(most)}.",
    )


def sparkline(values: Sequence[float], *, width: float = 120, height: float = 26) -> str:
    """The ``points`` of an SVG polyline; empty for fewer than two values."""
    if len(values) < 2:  # noqa: PLR2004  a line has two ends
        return ""
    low, high = min(values), max(values)
    scale = (height - 4) / ((high - low) or 1.0)
    pitch = width / (len(values) - 1)
    return " ".join(
        f"{place * pitch:.1f},{height - 2 - (value - low) * scale:.1f}"
        for place, value in enumerate(values)
    )
