"""What the app is given: what there is to show, and how the pages write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from fetchcast.errors import ConfigError
from fetchcast.forecast import QuestionOptions, SeriesOptions
from fetchcast.serve.wording import DateFormat, Habits


class AppOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``[app]`` section: how the pages name things, and whom they answer."""

    title: str | None = None
    """What the pages are called; the pipeline's name if not given."""
    time_zone: str = "UTC"
    """The zone of every clock time on the pages, such as "Europe/Helsinki"."""
    date_format: DateFormat = "day_first"
    """``day_first`` (25 Nov, 16:00), ``month_first`` (Nov 25, 4:00 PM) or ``iso`` (2026-11-25)."""
    attribution: str | None = None
    """Whose data these are and under which licence; stands at the foot of every page."""
    hosts: tuple[str, ...] = ()
    """Host names besides localhost under which the app may be reached."""

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.time_zone)
        except (KeyError, ValueError, OSError) as problem:
            expected = 'the name of a time zone, such as "Europe/Helsinki"'
            raise ConfigError("app.time_zone", self.time_zone, expected) from problem

    @property
    def habits(self) -> Habits:
        """How dates and times are written."""
        return Habits(zone=ZoneInfo(self.time_zone), date_format=self.date_format)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What there is to show; whoever starts the app says so."""

    name: str
    """The pipeline's name."""
    destination: str
    """The address of the destination; may hold a password, is never shown."""
    folder: Path
    """Relative paths in ``destination`` are relative to this."""
    questions: Mapping[str, QuestionOptions] = field(default_factory=dict)
    series: Mapping[str, SeriesOptions] = field(default_factory=dict)
    landing: Path | None = None
    """The landing directory, for the pages about runs."""
    file: str = "pipeline.toml"
    """The pipeline file's name, for the commands that empty pages propose."""
    api: str = ""
    """The address of the API that is asked, for the limit in the corner."""
    run_arguments: tuple[str, ...] | None = ()
    """More arguments for the runs that a page starts, such as ``--base-url``; None: none is
    started from a page."""
    options: AppOptions = field(default_factory=AppOptions)
