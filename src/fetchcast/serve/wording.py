"""How numbers, days and clock times are written on a page: the reader's habits, one place.

Everything here is pure: a value and a `Habits` in, text out. Times are shown in the pipeline's
named zone, whatever the zone of the machine or of the browser, since a timetable has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Literal, TypeAlias

DateFormat: TypeAlias = Literal["day_first", "month_first", "iso"]

_NARROW = "\u202f"  # A thin space that does not break: "40 %", "1 234".
_MINUS = "\u2212"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LONG_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_HALF_DAY = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Which zone times are shown in, and how dates and times are written."""

    zone: tzinfo
    date_format: DateFormat = "day_first"

    def clock(self, moment: datetime) -> str:
        """The time of day: ``16:00``, or ``4:00 PM`` where the month is written first."""
        local = moment.astimezone(self.zone)
        if self.date_format != "month_first":
            return f"{local:%H:%M}"
        half = "AM" if local.hour < _HALF_DAY else "PM"
        return f"{local.hour % _HALF_DAY or _HALF_DAY}:{local.minute:02} {half}"

    def local_day(self, moment: datetime) -> date:
        """The calendar day of ``moment`` in the zone shown."""
        return moment.astimezone(self.zone).date()

    def day(self, day: date) -> str:
        """A day without its year: ``Wed 25 Nov``, ``Wed, Nov 25``, ``Wed 2026-11-25``."""
        name, month = _DAYS[day.weekday()], _MONTHS[day.month - 1]
        if self.date_format == "iso":
            return f"{name} {day.isoformat()}"
        if self.date_format == "month_first":
            return f"{name}, {month} {day.day}"
        return f"{name} {day.day} {month}"

    def full_day(self, day: date) -> str:
        """A day with its year: ``25 Nov 2026``, ``Nov 25, 2026``, ``2026-11-25``."""
        month = _MONTHS[day.month - 1]
        if self.date_format == "iso":
            return day.isoformat()
        if self.date_format == "month_first":
            return f"{month} {day.day}, {day.year}"
        return f"{day.day} {month} {day.year}"

    def moment(self, moment: datetime) -> str:
        """Day, year and time of day, in the zone shown."""
        return f"{self.full_day(self.local_day(moment))} {self.clock(moment)}"


def weekday(day: date) -> str:
    """The day's name, whole."""
    return _LONG_DAYS[day.weekday()]


def percent(share: float) -> str:
    """``0.404`` is ``40 %``; certainty is never claimed: ``> 99 %`` and ``< 1 %`` at the ends."""
    number, sign = percent_parts(share)
    return f"{number}{_NARROW}{sign}"


def percent_parts(share: float) -> tuple[str, str]:
    """The number and the sign, for pages that set them in different sizes."""
    if share > 0.995:  # noqa: PLR2004  would be rounded up to a certainty nobody has
        return ">99", "%"
    if share < 0.005:  # noqa: PLR2004
        return "<1", "%"
    return str(round(share * 100)), "%"


def measured_percent(share: float) -> str:
    """A share that was counted, so that 0 % and 100 % may be said."""
    return f"{round(share * 100)}{_NARROW}%"


def in_ten(share: float) -> str:
    """How often, in days that can be imagined: ``4 of 10``, ``19 of 20``, ``1 of 100``."""
    for whole in (10, 20, 100):
        count = round(share * whole)
        if 0 < count < whole and abs(share - count / whole) <= 0.3 / whole:
            return f"{count} of {whole}"
    tenths = min(9, max(1, round(share * 10)))
    if share > 0.985:  # noqa: PLR2004
        return "nearly all"
    if share < 0.015:  # noqa: PLR2004
        return "almost none"
    return f"about {tenths} of 10"


def verdict(share: float) -> str:
    """One or two words a traveller can act on."""
    words = (
        (0.95, "Almost certainly."),
        (0.8, "Very likely."),
        (0.6, "Probably."),
        (0.45, "A coin toss."),
        (0.25, "Rather not."),
        (0.1, "Unlikely."),
    )
    return next((text for least, text in words if share >= least), "Almost certainly not.")


def tidy(text: str) -> str:
    """A sentence whose numbers do not part from their percent signs at the end of a line."""
    return text.replace(" %", f"{_NARROW}%").replace(" min", "\u00a0min")


def number(value: float, *, digits: int | None = None) -> str:
    """A figure with thin thousands spaces and a real minus; three significant digits or whole."""
    size = abs(value)
    places = digits if digits is not None else _places(size)
    text = f"{size:,.{places}f}".replace(",", _NARROW)
    shown_zero = not text.strip("0.")
    return text if value >= 0 or shown_zero else _MINUS + text


def _places(size: float) -> int:
    if size >= 100 or size == int(size):  # noqa: PLR2004  whole numbers stay whole
        return 0
    return 1 if size >= 10 else 2  # noqa: PLR2004


def signed(value: float, *, digits: int | None = None) -> str:
    """A difference: the sign is always there."""
    text = number(value, digits=digits)
    return text if text.startswith(_MINUS) or not value else "+" + text


def late(minutes: float) -> str:
    """A delay in whole minutes: ``on time``, ``3 min late``, ``1 min early``."""
    whole = round(minutes)
    if whole == 0:
        return "on time"
    return f"{abs(whole)} min {'late' if whole > 0 else 'early'}"


def ago(seconds: float) -> str:
    """An age that a person would say."""
    steps = ((86400 * 2, 86400, "days"), (3600 * 2, 3600, "h"), (120, 60, "min"))
    for least, unit, name in steps:
        if seconds >= least:
            return f"{int(seconds // unit)} {name} ago"
    return "just now"


def size(count: float) -> str:
    """Bytes in the unit that reads best."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:  # noqa: PLR2004
            return f"{number(count, digits=0 if unit == 'B' else 1)} {unit}"
        count /= 1000
    return f"{number(count, digits=1)} GB"


def duration(seconds: float) -> str:
    """How long something took."""
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.1f} s"
    if seconds < 3600:  # noqa: PLR2004
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
