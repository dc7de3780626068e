"""Date rules: "tomorrow", "next wednesday", "today+3", "2026-11-25"."""

from __future__ import annotations

import re
from datetime import date, time, timedelta

from fetchcast.errors import ConfigError

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_AHEAD = re.compile(r"today\s*\+\s*(\d{1,4})(?:\s*days?)?")
_EXPECTED = '"today", "tomorrow", "wednesday", "next wednesday", "today+3" or "2026-11-25"'


def day_of(rule: str, today: date) -> date:
    """The day that ``rule`` means on ``today``.

    A weekday is the next such day: never today, at most seven days ahead ("wednesday" and "next
    wednesday" are the same).

    Raises:
        ConfigError: If the rule is none of those.
    """
    text = " ".join(rule.lower().split())
    if text in ("today", "tomorrow"):
        return today + timedelta(days=text == "tomorrow")
    if match := _AHEAD.fullmatch(text):
        return today + timedelta(days=int(match[1]))
    name = text.removeprefix("next ").removeprefix("on ")
    for weekday, full in enumerate(_DAYS):
        if name in (full, full[:3]):
            return today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)
    try:
        return date.fromisoformat(text)
    except ValueError as problem:
        raise ConfigError("date", rule, _EXPECTED) from problem


def clock_of(key: str, text: str) -> time:
    """A time on the wall from "16:00", "7:05" or "16:00:30".

    Raises:
        ConfigError: If it is none.
    """
    try:
        return time.fromisoformat(text if text[1:2].isdigit() else f"0{text}")
    except ValueError as problem:
        raise ConfigError(key, text, 'a clock time such as "16:00"') from problem
