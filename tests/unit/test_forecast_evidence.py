"""What is said of a forecast in a sentence: how good, against what, and whether intervals held."""

import pyarrow as pa
import pytest

from fetchcast.forecast import SeriesOptions, evidence, forecast_series
from fetchcast.forecast.tables import SCHEMAS


def board(**figures):
    """Tables in which ``combined`` of two daily series has these figures."""
    line = {"unique_id": "ALL", "model": "combined", "n": 1234} | figures
    return {
        "series": pa.table({"frequency": ["daily", "daily"]}),
        "forecast": pa.table({"step": [1, 2, 28]}),
        "leaderboard": pa.Table.from_pylist([line]),
    }


def said(**figures):
    given = {
        "skill_climatology": 0.0,
        "skill_seasonal_naive": 0.271,
        "coverage_80": 0.79,
        "coverage_95": 0.944,
    }
    return evidence(board(**given | figures), "delay")


def test_the_error_against_both_baselines_and_what_intervals_held():
    assert said() == (
        "delay: 2 daily series, 28 days ahead. Tested on 1,234 past values: error as large as "
        "climatology's and 27 % below seasonal naive's. 80 % intervals held 79 %, 95 % ones 94 %."
    )


@pytest.mark.parametrize(
    ("figures", "part"),
    [
        ({"skill_climatology": -0.08}, "error 8 % above climatology's and"),
        ({"skill_climatology": 0.4}, "error 40 % below climatology's and"),
        ({"skill_climatology": None}, "error 27 % below seasonal naive's."),
        (
            {"skill_climatology": None, "skill_seasonal_naive": None},
            "error none, as had the baselines.",
        ),
        ({"coverage_80": 0.7}, "Values fell outside more often than the intervals say."),
    ],
)
def test_the_words_follow_the_figures(figures, part):
    assert part in said(**figures)
    assert "fell outside" not in said()


def test_nothing_tested_is_nothing_known():
    rows = pa.table(
        {"ds": ["2026-01-05", "2026-01-06", "2026-01-07", "2026-01-08"], "y": [1.0] * 4}
    )
    found = forecast_series("few", rows, SeriesOptions(), run="r").tables
    assert evidence(found, "few").endswith("nobody knows how good it is.")
    assert set(found) == set(SCHEMAS)
