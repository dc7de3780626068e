"""A question as a page asks it: its underlined words are controls, and the address holds them.

The answer itself is computed by `fetchcast.forecast.answer`; here the address becomes its
arguments, and its figures become what the template draws.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pyarrow as pa

from fetchcast.errors import ConfigError
from fetchcast.forecast import Answered, QuestionOptions, answer
from fetchcast.forecast.answers import Choice, Moment
from fetchcast.serve import marks
from fetchcast.serve.explorer import Banner
from fetchcast.serve.queries import quoted, rows
from fetchcast.serve.reading import COMBINED, BadAddress, NotThere, Point, Reading, nearest
from fetchcast.serve.wording import Habits, in_ten, late, number, percent_parts

_PLACE = re.compile(r"\{(unique_id|label|deadline|threshold|date|walk_min|place)\}")
_WALKS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 45, 60)
_RECENT = 60
_INSTEAD = {"label": "unique_id"}
_OFFERED = 500
_NAMED = 20
_STALE_DAYS = 4
_RATHER_NOT = 0.5
_NEAR_MIN = 20
_FAR_MIN = 120
_WIDE = {"width": 640.0, "height": 226.0, "radius": 8.5}
_NARROW = {"width": 330.0, "height": 236.0, "radius": 7.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """What the address may change; None leaves the question's own word."""

    date: str | None = None
    deadline: str | None = None
    threshold: float | None = None
    unique_id: str | None = None
    place: str | None = None
    walk_min: float | None = None

    def query(self) -> str:
        """The part of an address that says the same; empty if nothing is changed."""
        said = {
            "unique_id": self.unique_id,
            "place": self.place,
            "deadline": self.deadline,
            "threshold": self.threshold,
            "date": self.date,
            "walk_min": self.walk_min,
        }
        kept = {name: value for name, value in said.items() if value not in (None, "")}
        return "?" + urlencode(kept) if kept else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A piece of the headline: plain text, or a control with its choices."""

    text: str = ""
    name: str = ""
    label: str = ""
    value: str = ""
    choices: Sequence[tuple[str, str]] = ()
    """Value and text of each choice; empty for a number that is typed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What can be asked about: value and name of each train (or what else there is), and place."""

    chosen: str
    """The ``unique_id`` that is asked about."""
    which: Sequence[tuple[str, str]]
    places: Sequence[tuple[str, str]]
    beside: Sequence[str]
    """The ``unique_id`` of each series to compare with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One of the choices side by side."""

    choice: Choice
    here: bool
    in_time: int
    """Of twenty."""
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Everything the page of a question shows."""

    name: str
    options: QuestionOptions
    controls: Controls
    answered: Answered
    words: Sequence[Word]
    more_words: Sequence[Word]
    """Controls that the question's text does not mention."""
    kept_id: str
    """What is asked about where there is nothing to choose, so that it stays asked about."""
    wide: marks.DotPlot
    narrow: marks.DotPlot
    deadline_words: str
    place: str
    rows: Sequence[Row]
    recent: marks.Bars
    recent_days: int
    unscored_days: int
    """Of the recent days those that were not recorded."""


def question(reading: Reading, name: str, controls: Controls) -> Asked:
    """Ask question ``name`` with what the address changes; see `_question` for what is raised."""
    today = reading.source.habits.local_day(reading.now())
    key = ("question", name, controls, today)
    try:
        return reading.store.derived(key, lambda: _question(reading, name, controls, today))
    except OverflowError as problem:
        # Minutes after the timetable that no calendar reaches.
        expected = "a value that a clock and a calendar can show"
        raise BadAddress("threshold", controls.threshold, expected) from problem


def _question(reading: Reading, name: str, controls: Controls, today: date) -> Asked:
    """Ask question ``name`` with what the address changes.

    Raises:
        NotThere: If there is no such question; with the nearest ones.
        BadAddress: If a part of the address cannot be read.
        QuestionError: If the forecast does not hold what is asked.
        DestinationError: If there is no forecast, or no database.
    """
    options = reading.source.questions.get(name)
    if options is None:
        raise NotThere("question", name, nearest(name, list(reading.source.questions)))
    habits = reading.source.habits
    offer = _offer(reading, options, controls)
    answered = _answer(reading, options, controls, offer, today)
    history = _recent(reading, options.series, offer.chosen)
    shown = history[-_RECENT:]
    days = _forecast_days(reading, options.series, offer.chosen, today)
    words, more = _words(options, answered, offer, days, habits)
    return Asked(
        name=name,
        options=options,
        controls=controls,
        answered=answered,
        words=words,
        more_words=more,
        kept_id=offer.chosen if len(offer.which) == 1 else "",
        wide=_plot(answered, habits, _WIDE),
        narrow=_plot(answered, habits, _NARROW),
        deadline_words=_deadline_words(answered, habits),
        place=options.place_of(offer.chosen),
        rows=_rows(name, answered, controls),
        recent=marks.bars([(point.y, _bar_words(point, answered, habits)) for point in shown]),
        recent_days=len(shown),
        unscored_days=sum(point.y is not None and not point.scored for point in shown),
    )


def _offer(reading: Reading, options: QuestionOptions, controls: Controls) -> Offer:
    """What the controls offer; raises `BadAddress` for a train or a place that is not there.

    A question whose ``parts`` tell the place from the rest offers all of its series, in the order
    of the timetable; another one offers itself and its alternatives.
    """
    chosen = controls.unique_id or options.unique_id
    listed = list(dict.fromkeys([options.unique_id, *options.alternatives]))
    pair = options.split(chosen)
    if pair is None:
        _one_of("unique_id", chosen, listed)
        if controls.place:
            expected = "none: the question has no `parts` that tell of places"
            raise BadAddress("place", controls.place, expected)
        which = [(each, options.label(each)) for each in listed]
        return Offer(chosen=chosen, which=which, places=(), beside=listed)
    label, place = pair[0], controls.place or pair[1]
    chosen = options.join(label, place)
    known = dict.fromkeys([*_in_order(reading, options.series), *listed])
    there = {each: parts for each in known if (parts := options.split(each)) is not None}
    places = [at for name, at in there.values() if name == label]
    if controls.place:
        _one_of("place", place, places)
    _one_of("unique_id", chosen, list(there))
    moved = [options.join(parts[0], place) for each in listed if (parts := options.split(each))]
    return Offer(
        chosen=chosen,
        which=[(each, options.label(each)) for each, (_, at) in there.items() if at == place],
        places=[(at, options.labels.get(at, at)) for at in places],
        beside=[chosen, *(each for each in moved if each in there and each != chosen)],
    )


def _one_of(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise BadAddress(name, value, "one of " + ", ".join(known[:_NAMED]))


def _in_order(reading: Reading, series: str) -> list[str]:
    """What is forecast, the first of the day first."""
    sql = (
        "select unique_id from (select unique_id, min(scheduled - ds) as begins from forecast "
        f"where series = {quoted(series)} and model = {quoted(COMBINED)} group by unique_id) o "
        f"order by begins, unique_id limit {_OFFERED}"
    )
    return [row["unique_id"] for row in rows(reading.store.table(sql))]


def _answer(
    reading: Reading,
    options: QuestionOptions,
    controls: Controls,
    offer: Offer,
    today: date,
) -> Answered:
    others = [each for each in offer.beside if each != offer.chosen]
    options = msgspec.structs.replace(options, alternatives=others)
    try:
        return answer(
            options,
            _tables(reading, options.series, offer.beside),
            today=today,
            date=controls.date or None,
            deadline=controls.deadline or None,
            threshold=controls.threshold,
            unique_id=offer.chosen,
            walk_min=controls.walk_min,
        )
    except ConfigError as problem:
        raise BadAddress(*problem.args) from problem


def _tables(reading: Reading, series: str, everyone: Sequence[str]) -> Mapping[str, pa.Table]:
    """The parts of a forecast that the answer needs, and no more."""
    names = ", ".join(quoted(each) for each in everyone)
    who = f"where series = {quoted(series)} and unique_id in ({names})"
    combined = f"{who} and model = {quoted(COMBINED)}"
    wanted = {
        "forecast": f"select * from forecast {combined}",
        "backtest": f"select * from backtest {combined}",
        "observation": f"select * from observation {who}",
        "series": f"select * from series {who}",
    }
    return {name: reading.store.table(sql) for name, sql in wanted.items()}


def _recent(reading: Reading, series: str, unique_id: str) -> list[Point]:
    sql = (
        f"select ds, y, scheduled, scored from observation where series = {quoted(series)} and "
        f"unique_id = {quoted(unique_id)} order by ds"
    )
    return [Point(**row) for row in rows(reading.store.table(sql))]


def _forecast_days(reading: Reading, series: str, unique_id: str, today: date) -> list[date]:
    sql = (
        f"select distinct ds from forecast where series = {quoted(series)} and "
        f"unique_id = {quoted(unique_id)} and q50 is not null order by ds"
    )
    found = [row["ds"].astimezone(UTC).date() for row in rows(reading.store.table(sql))]
    return [day for day in found if day >= today] or found


def _words(
    options: QuestionOptions,
    answered: Answered,
    offer: Offer,
    days: Sequence[date],
    habits: Habits,
) -> tuple[list[Word], list[Word]]:
    """The headline cut at its controls, and the controls that it does not mention."""
    controls = dict(_controls(options, answered, offer, days, habits))
    words: list[Word] = []
    used: set[str] = set()
    for place, piece in enumerate(_PLACE.split(_completed(options.text, controls))):
        key = _INSTEAD.get(piece, piece)
        if key == "deadline" and key not in controls:
            key = "threshold"  # The address asks in minutes what the file asks by the clock.
        if place % 2 == 0:
            words.append(Word(text=_after_mark(words, piece)))
        elif key in controls and key not in used:
            used.add(key)
            after = _after_the_timetable(answered) if piece == "deadline" != key else ""
            words.append(replace(controls[key], text=after))
        else:
            words.append(Word(text=_plain(key, options, answered)))
    return words, [word for key, word in controls.items() if key not in used]


def _completed(text: str, controls: Mapping[str, Word]) -> str:
    """The question with the day and the walk in it, where it does not speak of them."""
    if not text.endswith("?"):
        return text
    said = text.removesuffix("?")
    if "{date}" not in said:
        said += " on {date}"
    if "{walk_min}" not in said and "walk_min" in controls:
        said += ", with {walk_min} min to walk"
    return said + "?"


def _after_the_timetable(answered: Answered) -> str:
    return f" {answered.unit} after the timetable"


def _after_mark(words: list[Word], piece: str) -> str:
    """``piece`` without the comma it begins with, which stays on the line of the control."""
    mark = re.match(r"[,.;:?!]+", piece)
    if mark is None or not words or not words[-1].name:
        return piece
    words[-1] = replace(words[-1], text=words[-1].text + mark[0])
    return piece[mark.end() :]


def _plain(key: str, options: QuestionOptions, answered: Answered) -> str:
    """A placeholder that is no control here, as text."""
    return {
        "unique_id": answered.choice.label,
        "place": options.place_of(answered.choice.unique_id),
        "walk_min": f"{answered.walk_min:g}",
    }.get(key, "")


def _controls(
    options: QuestionOptions,
    answered: Answered,
    offer: Offer,
    days: Sequence[date],
    habits: Habits,
) -> Iterator[tuple[str, Word]]:
    if len(offer.which) > 1:
        value = answered.choice.unique_id
        yield "unique_id", Word(name="unique_id", label="which", value=value, choices=offer.which)
    if len(offer.places) > 1:
        pair = options.split(answered.choice.unique_id)
        value = pair[1] if pair else ""
        yield "place", Word(name="place", label="where", value=value, choices=offer.places)
    if answered.deadline is not None:
        yield "deadline", _deadline(answered, habits)
    else:
        # What was asked: the walk is taken off the threshold that the answer is about.
        value = f"{answered.choice.threshold + answered.walk_min:g}"
        yield "threshold", Word(name="threshold", label="at most", value=value)
    if answered.deadline is not None or answered.walk_min:
        yield "walk_min", _walk(answered)
    known = sorted({*days, answered.date})
    yield (
        "date",
        Word(
            name="date",
            label="day",
            value=answered.date.isoformat(),
            choices=[(day.isoformat(), habits.day(day)) for day in known],
        ),
    )


def _deadline(answered: Answered, habits: Habits) -> Word:
    """Every minute near the timetable, every fifth further away, and the one that was asked."""
    now = _moment_of(answered)
    planned = answered.choice.scheduled
    around = planned.at if planned is not None and planned.at is not None else now
    minutes = [*range(-_NEAR_MIN, _NEAR_MIN + 1), *range(-60, _FAR_MIN + 1)]
    offered = {now}
    for minute in minutes:
        moment = around + timedelta(minutes=minute)
        if abs(minute) <= _NEAR_MIN or moment.minute % 5 == 0:
            offered.add(moment)
    return Word(
        name="deadline",
        label="deadline",
        value=f"{now:%H:%M}",
        choices=[(f"{each:%H:%M}", habits.clock(each)) for each in sorted(offered)],
    )


def _moment_of(answered: Answered) -> datetime:
    """The deadline as a moment."""
    assert answered.latest is not None
    assert answered.latest.at is not None
    return answered.latest.at + timedelta(minutes=answered.walk_min)


def _walk(answered: Answered) -> Word:
    known = sorted({*_WALKS, answered.walk_min})
    return Word(
        name="walk_min",
        label="minutes to walk",
        value=f"{answered.walk_min:g}",
        choices=[(f"{each:g}", f"{each:g}") for each in known],
    )


def _plot(answered: Answered, habits: Habits, size: Mapping[str, float]) -> marks.DotPlot:
    choice = answered.choice
    planned = choice.scheduled.at if choice.scheduled is not None else None
    axis = marks.plain_axis(number) if planned is None else marks.clock_axis(planned, habits.clock)
    values = [dot.value for dot in choice.dots]
    return marks.dot_plot(values, choice.threshold, axis=axis, **size)


def _deadline_words(answered: Answered, habits: Habits) -> str:
    if answered.latest is None or answered.latest.at is None:
        return f"at most {number(answered.choice.threshold)} {answered.unit}".strip()
    latest = habits.clock(answered.latest.at)
    if not answered.walk_min:
        return f"deadline {latest}"
    return f"there by {latest}, to walk {answered.walk_min:g} min"


def _rows(name: str, answered: Answered, controls: Controls) -> list[Row]:
    """The choice and its alternatives in the order of the timetable."""
    every = [answered.choice, *answered.alternatives]
    return [
        Row(
            choice=choice,
            here=choice.unique_id == answered.choice.unique_id,
            in_time=sum(choice.on_time),
            address=f"/question/{name}"
            + replace(controls, unique_id=choice.unique_id, place=None).query(),
        )
        for choice in sorted(every, key=lambda choice: _planned(choice.scheduled))
    ]


def _planned(moment: Moment | None) -> datetime:
    if moment is None or moment.at is None:
        return datetime.min.replace(tzinfo=UTC)
    return moment.at


def _bar_words(point: Point, answered: Answered, habits: Habits) -> str:
    day = habits.day(point.ds.astimezone(UTC).date())
    if point.y is None:
        return f"{day}: did not run"
    if answered.deadline is not None:
        return f"{day}: {late(point.y)}"
    return f"{day}: {number(point.y)} {answered.unit}".rstrip()


def page_values(asked: Asked, reading: Reading) -> dict[str, Any]:
    """What the template of the question's page is given."""
    habits = reading.source.habits
    said, choice = asked.answered, asked.answered.choice
    levels = {interval.level: interval for interval in choice.intervals}

    def shown(moment: Moment | None) -> str:
        if moment is None:
            return ""
        if moment.at is None:
            return f"{number(moment.value)} {said.unit}".rstrip()
        return habits.clock(moment.at + timedelta(seconds=30))

    def ends(level: float) -> tuple[str, str]:
        return shown(levels[level].lower), shown(levels[level].upper)

    in_time = sum(choice.on_time)
    return {
        "asked": asked,
        "big": percent_parts(said.probability),
        "often": f"{in_ten(said.probability).capitalize()} such days.",
        "expected": shown(choice.expected),
        "eighty": ends(0.8),
        "ninety_five": ends(0.95),
        "timetable": shown(choice.scheduled),
        "runs": "happens" if choice.scheduled is None else "runs",
        "banners": [*_banners(said), *_stale(said, habits.local_day(reading.now()))],
        "outcome": "arrival" if said.deadline else "outcome",
        "in_time": in_time,
        "picture_words": f"{in_time} of 20 equally likely outcomes are in time: "
        + ", ".join(shown(dot) for dot in choice.dots),
        "furthest": shown(choice.dots[-1]),
        "choices_head": _choices_head(asked),
        "where": f" in {asked.place}" if asked.place else "",
        "recent_words": _recent_words(asked),
        "recent_first": asked.recent.bars[0].title.split(":")[0] if asked.recent.bars else "",
        "recent_last": asked.recent.bars[-1].title.split(":")[0] if asked.recent.bars else "",
        "explore": "/forecast/"
        f"{quote(asked.options.series, safe='')}/{quote(choice.unique_id)}?bt=1",
        "upto": habits.full_day(said.cutoff),
        "query": asked.controls.query(),
        "clock": shown,
        "others": [
            (name, plain_text(options))
            for name, options in reading.source.questions.items()
            if name != asked.name
        ],
    }


def plain_text(options: QuestionOptions) -> str:
    """The question with its own words in the places of the controls."""
    words = {
        "unique_id": options.unique_id,
        "label": options.label(options.unique_id),
        "deadline": options.deadline or "",
        "threshold": "" if options.threshold is None else f"{options.threshold:g}",
        "date": options.date,
        "walk_min": f"{options.walk_min:g}",
        "place": options.place_of(options.unique_id),
    }
    return _PLACE.sub(lambda found: words[found[1]], options.text)


def _choices_head(asked: Asked) -> str:
    best = max(asked.rows, key=lambda row: row.choice.probability)
    return "The choices" if best.here else "Safer choices"


def _recent_words(asked: Asked) -> str:
    late_days = sum(bar.above for bar in asked.recent.bars)
    return (
        f"Bars of the last {asked.recent_days} days: {late_days} above zero, "
        f"{len(asked.recent.bars) - late_days} at zero or below. The forecast page has the table."
    )


def _stale(said: Answered, today: date) -> list[Banner]:
    """That nothing came for days: what is asked about may have changed since."""
    days = (today - said.cutoff).days
    if days <= _STALE_DAYS:
        return []
    return [
        Banner(head="Not up to date.", text=f"The last day that was loaded is {days} days old.")
    ]


def _banners(said: Answered) -> list[Banner]:
    """What a reader must know before trusting the number."""
    found = []
    if said.choice.p_running < _RATHER_NOT:
        head = "It may not happen." if said.choice.scheduled is None else "It may not run."
        found.append(Banner(head=head, text=said.sentence))
    if not said.enough_history:
        found.append(
            Banner(head="Handle with care.", text=f"{said.why[:1].upper()}{said.why[1:]}.")
        )
    scores = said.reliability.brier, said.reliability.brier_base
    if scores[0] is not None and scores[1] is not None and scores[0] >= scores[1]:
        found.append(
            Banner(
                head="No better than the average.",
                text="In the backtest, always saying the share of days that came true was as "
                "good. The number is honest; which day it is hardly matters.",
            )
        )
    return found
