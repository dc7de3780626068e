"""How far to trust the forecasts of one section, in a sentence for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fetchcast.forecast.combine import COMBINED
from fetchcast.forecast.periods import NOUN, Frequency
from fetchcast.forecast.scores import ALL

_NOTHING = 0.005
"""A difference in loss below which nobody is better."""

_FAR_OFF = 0.05
"""A share that intervals miss what they claim by, worth a word."""


def evidence(found: Mapping[str, pa.Table], series: str) -> str:
    """What the backtest says about all series of a section together.

    Args:
        found: The tables ``series``, ``forecast`` and ``leaderboard`` of `forecast_series`.
        series: The name of the section.
    """
    rows = found["series"].to_pylist()
    kinds = sorted({row["frequency"] for row in rows})
    count = len(rows)
    ahead = pc.max(found["forecast"]["step"]).as_py() or 0
    noun = NOUN[Frequency(kinds[0])] if len(kinds) == 1 else "period"
    what = f"{series}: {count:,} {' and '.join(kinds)} series, {ahead} {noun}s ahead"
    board = found["leaderboard"].filter(pc.equal(found["leaderboard"]["unique_id"], ALL))
    line = next((row for row in board.to_pylist() if row["model"] == COMBINED), None)
    if line is None:
        return f"{what}. Too short to be tested on its past: nobody knows how good it is."
    return (
        f"{what}. Tested on {line['n']:,} past values: error {_against(line)}. "
        f"80 % intervals held {_held(line, 80)}, 95 % ones {_held(line, 95)}.{_warning(line)}"
    )


def _against(line: Mapping[str, Any]) -> str:
    said = [
        _than(line["skill_climatology"], "climatology's"),
        _than(line["skill_seasonal_naive"], "seasonal naive's"),
    ]
    return " and ".join(each for each in said if each) or "none, as had the baselines"


def _than(skill: float | None, whose: str) -> str:
    if skill is None:
        return ""
    if abs(skill) < _NOTHING:
        return f"as large as {whose}"
    return f"{abs(skill):.0%} {'below' if skill > 0 else 'above'} {whose}".replace("%", " %")


def _held(line: Mapping[str, Any], level: int) -> str:
    return f"{100 * line[f'coverage_{level}']:.0f} %"


def _warning(line: Mapping[str, Any]) -> str:
    missed = 0.8 - line["coverage_80"]
    if missed <= _FAR_OFF:
        return ""
    return " Values fell outside more often than the intervals say."
