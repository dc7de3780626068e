"""What the app is given: what there is to show, and how the pages write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from fetchcast.config import AppOptions
from fetchcast.forecast import QuestionOptions, SeriesOptions
from fetchcast.serve.wording import Habits


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

    @property
    def zone_name(self) -> str:
        """The zone of the pages: the app's own, else the one in which the first question asks."""
        asked: list[QuestionOptions | SeriesOptions] = [
            *self.questions.values(),
            *self.series.values(),
        ]
        return self.options.time_zone or (asked[0].time_zone if asked else "UTC")

    @property
    def habits(self) -> Habits:
        """How the pages write dates and times."""
        return Habits(zone=ZoneInfo(self.zone_name), date_format=self.options.date_format)
