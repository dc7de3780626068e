"""Series as a user meets them: good ones, gaps, holes, and every kind of bad one."""

import datetime as dt
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fetchcast.errors import ConfigError, SeriesError
from fetchcast.forecast import Prediction, SeriesOptions, forecast_series
from fetchcast.forecast.tables import QUANTILES, SCHEMAS

EMPIRICAL = ["climatology", "seasonal", "recent"]
START = dt.date(2026, 1, 5)  # A Monday.


def daily(values, *, unique_id="a", start=START, skip=(), **columns):
    """One row per value, a day each; days in ``skip`` are left out; NaN becomes a null."""
    kept = [k for k in range(len(values)) if k not in skip]
    table = pa.table(
        {
            "unique_id": [unique_id] * len(kept),
            "ds": [start + dt.timedelta(days=k) for k in kept],
            "y": pa.array([values[k] for k in kept], pa.float64(), from_pandas=True),
        }
    )
    for name, column in columns.items():
        table = table.append_column(name, pa.array([column[k] for k in kept]))
    return table


def forecast(rows, **options):
    given = {"models": EMPIRICAL} | options
    return forecast_series("s", rows, SeriesOptions(**given), run="r1")


def noise(count, seed=1):
    return np.random.default_rng(seed).gamma(1.5, 4.0, count)


def of(table, **where):
    for name, value in where.items():
        table = table.filter(pc.equal(table[name], value))
    return table


def test_the_tables_are_as_published():
    found = forecast(daily(noise(120)))
    for name, schema in SCHEMAS.items():
        assert found.tables[name].schema == schema
        assert found.tables[name].num_rows > 0
    assert found.notes == []
    ahead = of(found.tables["forecast"], model="combined")
    assert ahead["step"].to_pylist() == list(range(1, 29))
    assert ahead["ds"][0].as_py().date() == START + dt.timedelta(days=120)
    assert ahead["cutoff"][0].as_py().date() == START + dt.timedelta(days=119)
    assert set(ahead["run"].to_pylist()) == {"r1"}


def test_the_nine_quantiles_are_those_of_the_fine_grid():
    found = forecast(daily(noise(120)))
    for row in of(found.tables["forecast"], model="combined").to_pylist():
        assert len(row["quantiles"]) == 199
        assert [row[name] for name in QUANTILES] == [
            row["quantiles"][k - 1] for k in (5, 10, 20, 50, 100, 150, 180, 190, 195)
        ]


def test_the_backtest_has_five_cutoffs_and_a_leaderboard_with_both_baselines():
    found = forecast(daily(noise(365)))
    board = of(found.tables["leaderboard"], unique_id="ALL").to_pylist()
    by_model = {row["model"]: row for row in board}
    assert {"combined", "climatology", "seasonal_naive"} <= by_model.keys()
    assert by_model["combined"]["origins"] >= 5
    assert by_model["combined"]["n"] == by_model["combined"]["origins"] * 28
    assert by_model["seasonal_naive"]["skill_seasonal_naive"] == 0
    assert by_model["climatology"]["skill_climatology"] == 0
    assert by_model["combined"]["skill_seasonal_naive"] > 0.2
    assert [row["rank"] for row in board] == list(range(1, len(board) + 1))
    assert sum(row["weight"] or 0 for row in board) == pytest.approx(1)


def test_independent_values_are_forecast_as_well_as_by_their_history_and_hold_what_they_say():
    """60 series of noise: no worse than climatology, and every interval holds within 2 points."""
    many = pa.concat_tables(daily(noise(365, k), unique_id=f"s{k:02}") for k in range(60))
    board = of(forecast(many).tables["leaderboard"], unique_id="ALL", model="combined")
    row = board.to_pylist()[0]
    assert row["n"] > 2000
    assert row["skill_climatology"] > -0.005
    assert row["skill_seasonal_naive"] > 0.25
    for level in (80, 90, 95):
        assert row[f"coverage_{level}"] == pytest.approx(level / 100, abs=0.02)


def test_a_day_without_a_train_is_neither_zero_nor_late():
    """It never ran on Sundays: the delays are as ever, and it will hardly run on a Sunday."""
    sundays = range(6, 120, 7)
    values = noise(120) + 10
    found = forecast(daily(values, skip=sundays))
    ahead = of(found.tables["forecast"], model="combined").to_pylist()
    for row in ahead:
        if row["ds"].weekday() == 6:
            assert row["p_running"] < 0.1
        else:
            assert row["p_running"] > 0.9
        assert row["q025"] > 8  # no zero has crept in
    seen = found.tables["observation"]
    assert seen["y"].null_count == 17
    assert found.tables["series"]["missing"].to_pylist() == [17]


def test_a_null_is_a_day_without_a_train_as_a_missing_row_is():
    values = noise(90)
    with_nulls = values.copy()
    with_nulls[[10, 40, 41]] = np.nan
    missing, null = forecast(daily(values, skip={10, 40, 41})), forecast(daily(with_nulls))
    assert missing.tables["forecast"] == null.tables["forecast"]


def test_gaps_that_mean_nothing():
    """With gaps = "unknown" nobody says that the train did not run."""
    found = forecast(daily(noise(90), skip=range(40, 50)), gaps="unknown")
    assert min(found.tables["forecast"]["p_running"].to_pylist()) > 0.95
    assert found.tables["series"]["missing"].to_pylist() == [0]


def test_a_hole_of_years_is_no_standstill_and_costs_nothing():
    """60 recorded days in 2020, then a year that may not be scored."""
    old = daily(noise(60, 1), start=dt.date(2020, 1, 1), scored=[True] * 60)
    new = daily(noise(365, 2), start=dt.date(2025, 11, 21), scored=[False] * 365)
    found = forecast(pa.concat_tables([old, new]))
    assert found.notes == []
    assert found.tables["observation"].num_rows == 425
    assert min(found.tables["forecast"]["p_running"].to_pylist()) > 0.97
    assert found.tables["forecast"]["ds"][0].as_py().date() == dt.date(2026, 11, 21)
    judged = found.tables["backtest"]["ds"].to_pylist()
    assert max(judged).date() <= dt.date(2020, 2, 29)
    board = of(found.tables["leaderboard"], unique_id="ALL", model="combined").to_pylist()[0]
    assert board["n"] >= 28
    assert board["origins"] >= 5


def test_series_that_may_not_be_judged_do_not_hold_up_the_others():
    """Three resampled trains beside a recorded one: its backtest is what it was alone."""
    recorded = daily(noise(60, 1), unique_id="27", scored=[True] * 60)
    others = [
        daily(noise(40, k), unique_id=str(k), scored=[False] * 40, start=START + dt.timedelta(20))
        for k in (21, 23, 25)
    ]
    alone = of(forecast(recorded).tables["backtest"], model="climatology")
    beside = forecast(pa.concat_tables([recorded, *others])).tables["backtest"]
    assert alone.num_rows > 100
    assert of(beside, model="climatology") == alone


def test_the_timetable_of_a_coming_day_keeps_its_clock_through_summer_time():
    """15:58 in Helsinki is 13:58 UTC before and 12:58 UTC after 29 March 2026."""
    start = dt.date(2026, 1, 26)
    moments = [
        dt.datetime(2026, 1, 26, 13, 58, tzinfo=dt.UTC) + dt.timedelta(days=k) for k in range(60)
    ]
    rows = daily(noise(60), start=start, scheduled=moments)
    found = forecast(rows, time_zone="Europe/Helsinki")
    ahead = of(found.tables["forecast"], model="combined").to_pylist()
    clocks = {row["ds"].date(): row["scheduled"].strftime("%H:%M") for row in ahead}
    assert clocks[dt.date(2026, 3, 28)] == "13:58"
    assert clocks[dt.date(2026, 3, 30)] == "12:58"


def test_a_timetable_of_its_own_on_sundays():
    moments = [
        dt.datetime(2026, 1, 5, 17 if k % 7 == 6 else 15, 0, tzinfo=dt.UTC) + dt.timedelta(days=k)
        for k in range(60)
    ]
    ahead = of(
        forecast(daily(noise(60), scheduled=moments)).tables["forecast"], model="combined"
    ).to_pylist()
    assert {row["scheduled"].hour for row in ahead if row["ds"].weekday() == 6} == {17}
    assert {row["scheduled"].hour for row in ahead if row["ds"].weekday() != 6} == {15}


def test_bounds_are_kept_by_every_model():
    found = forecast(daily(noise(120)), min=0.0, max=15.0)
    for name in ("forecast", "backtest"):
        for column in (*QUANTILES, "mean"):
            span = pc.min_max(found.tables[name][column]).as_py()
            assert span["min"] >= 0
            assert span["max"] <= 15


@pytest.mark.parametrize(
    ("start", "step", "frequency", "count"),
    [
        ("2024-01-31", "M", "monthly", 12),
        ("2016-03-31", "Q", "quarterly", 8),
        ("1980-01-01", "Y", "yearly", 4),
        ("2024-01-07", "W", "weekly", 13),
        ("2026-01-01", "h", "hourly", 48),
    ],
)
def test_every_frequency(start, step, frequency, count):
    months = {"M": 1, "Q": 3, "Y": 12}.get(step)
    first = np.datetime64(start, "us")
    if months:
        base = np.datetime64(start[:7], "M") + np.arange(40) * months
        ends = (base + 1).astype("datetime64[D]") - 1
        days = ends if start.endswith("31") else base.astype("datetime64[D]")
        stamps = days.astype("datetime64[us]")
    else:
        stamps = first + np.arange(150) * np.timedelta64(1, step).astype("timedelta64[us]")
    found = forecast(pa.table({"ds": stamps, "y": noise(stamps.size)}))
    assert found.tables["series"]["frequency"].to_pylist() == [frequency]
    ahead = of(found.tables["forecast"], model="combined")["ds"].to_pylist()
    assert len(ahead) == count
    assert ahead[0] > stamps[-1].astype(dt.datetime).replace(tzinfo=dt.UTC)
    if start.endswith("31"):
        assert all((moment + dt.timedelta(days=1)).day == 1 for moment in ahead)


BAD = {
    "beyond all numbers": (
        daily([1.0, 1e200, *noise(40)], unique_id="bad"),
        "1 rows have no usable number in y",
    ),
    "two points": (daily([1.0, 2.0], unique_id="bad"), "2 observations are too few"),
    "infinite": (
        daily([1.0, float("inf"), *noise(40)], unique_id="bad"),
        "1 rows have no usable number in y",
    ),
    "quarter hours": (
        pa.table(
            {
                "unique_id": ["bad"] * 40,
                "ds": np.datetime64("2026-01-01", "us") + np.arange(40) * 900_000_000,
                "y": noise(40),
            }
        ),
        "bring them to one frequency",
    ),
    "mixed": (
        pa.concat_tables(
            [
                pa.table(
                    {
                        "unique_id": ["bad"] * 24,
                        "ds": [dt.date(2024 + k // 12, k % 12 + 1, 1) for k in range(24)],
                        "y": noise(24),
                    }
                ),
                daily(noise(30), unique_id="bad"),
            ]
        ),
        "mixed frequency: one observation every 31 days at first, every day later",
    ),
    "mixed late": (
        pa.concat_tables(
            [
                daily(noise(100), unique_id="bad", start=dt.date(2024, 1, 1)),
                pa.table(
                    {
                        "unique_id": ["bad"] * 24,
                        "ds": [dt.date(2025 + k // 12, k % 12 + 1, 1) for k in range(24)],
                        "y": noise(24),
                    }
                ),
            ]
        ),
        "mixed frequency: one observation every day at first, every 30 days later",
    ),
    "too short for a backtest": (daily(noise(12), unique_id="bad"), "too short for a backtest"),
    "doubles": (
        pa.concat_tables([daily(noise(60), unique_id="bad")] * 2),
        "60 rows repeat a time stamp",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_series_is_named_and_the_others_go_on(kind):
    rows, sentence = BAD[kind]
    good = daily(noise(120), unique_id="good")
    kinds = pa.timestamp("us")
    rows = pa.concat_tables(
        table.set_column(1, "ds", table["ds"].cast(kinds)) for table in (rows, good)
    )
    found = forecast(rows)
    assert any("bad" in note and sentence in note for note in found.notes), found.notes
    assert of(found.tables["forecast"], unique_id="good", model="combined").num_rows == 28


def test_text_among_numbers_is_left_out_and_said():
    rows = pa.table(
        {
            "unique_id": ["a"] * 61,
            "ds": [START + dt.timedelta(days=k) for k in range(61)],
            "y": ["n/a", *[f"{value:.3f}" for value in noise(60)]],
        }
    )
    found = forecast(rows)
    assert found.notes == ["a: 1 rows have no usable number in y; they are left out"]
    assert found.tables["series"]["observations"].to_pylist() == [60]


def test_a_series_that_stopped_is_not_forecast():
    rows = pa.concat_tables(
        [
            daily(noise(60), unique_id="gone", start=dt.date(2025, 1, 1)),
            daily(noise(60), unique_id="here", start=dt.date(2026, 1, 1)),
        ]
    )
    found = forecast_series(
        "s", rows, SeriesOptions(models=EMPIRICAL), run="r", today=dt.date(2026, 3, 3)
    )
    assert any("gone: stopped on 2025-03-01, 367 days ago" in note for note in found.notes)
    assert set(found.tables["forecast"]["unique_id"].to_pylist()) == {"here"}


def test_without_a_today_the_newest_series_tells_who_stopped():
    """In a notebook data may be of any year."""
    rows = pa.concat_tables(
        [
            daily(noise(60), unique_id="gone", start=dt.date(2015, 1, 1)),
            daily(noise(60), unique_id="here", start=dt.date(2016, 1, 1)),
            daily(noise(50), unique_id="late", start=dt.date(2016, 1, 1)),
        ]
    )
    found = forecast(rows)
    assert any(
        "gone: stopped on 2015-03-01, 365 days before the newest series" in note
        for note in found.notes
    )
    assert set(found.tables["forecast"]["unique_id"].to_pylist()) == {"here", "late"}
    assert "gone" in found.tables["leaderboard"]["unique_id"].to_pylist()


def test_hours_that_ended_a_year_ago_have_stopped():
    hours = np.datetime64("2025-01-01", "us") + np.arange(24 * 14) * np.timedelta64(3_600_000_000)
    rows = pa.table({"ds": hours, "y": noise(hours.size)})
    options = SeriesOptions(models=EMPIRICAL)
    week = forecast_series("s", rows, options, run="r", today=dt.date(2025, 1, 22))
    assert week.notes == []
    year = forecast_series("s", rows, options, run="r", today=dt.date(2026, 1, 15))
    assert any("stopped on 2025-01-14" in note for note in year.notes)
    assert year.tables["forecast"].num_rows == 0


def test_equal_values_make_a_point_and_no_nonsense():
    found = forecast(daily([5.0] * 90))
    row = of(found.tables["forecast"], model="combined").to_pylist()[0]
    assert [row[name] for name in QUANTILES] == [5.0] * 9
    board = of(found.tables["leaderboard"], unique_id="ALL", model="combined").to_pylist()[0]
    assert board["mae"] == 0
    assert board["mase"] is None


def test_a_horizon_longer_than_the_history():
    found = forecast(daily(noise(40)), horizon=200)
    assert of(found.tables["forecast"], model="combined").num_rows == 200


def test_unsorted_rows_change_nothing():
    rows = daily(noise(90))
    shuffled = rows.take(np.random.default_rng(3).permutation(90))
    assert forecast(rows).tables["forecast"] == forecast(shuffled).tables["forecast"]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (pa.table({"ds": pa.array([], pa.date32()), "y": pa.array([], pa.float64())}), "no usable"),
        (pa.table({"unique_id": ["a"], "y": [1.0]}), "no column 'ds'"),
        (pa.table({"ds": [START], "value": [1.0]}), "no column 'y'"),
        (pa.table({"ds": ["yesterday"], "y": [1.0]}), "text that is no date"),
        (pa.table({"ds": [3], "y": [1.0]}), "a date or a timestamp is needed"),
        (pa.table({"ds": [START], "y": [[1.0]]}), "numbers are needed"),
        (pa.table({"ds": [START], "y": [1.0], "scored": ["x"]}), "true or false is needed"),
        (pa.table({"ds": [START], "y": [1.0], "scheduled": ["x"]}), "scheduled holds text"),
        (daily([1.0, 2.0]), "2 observations are too few"),
    ],
)
def test_nothing_to_forecast_from_is_an_error_in_plain_words(rows, sentence):
    with pytest.raises(SeriesError, match=sentence):
        forecast(rows)


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"horizon": 0}, "horizon"),
        ({"season": -7}, "season"),
        ({"min": 3.0, "max": 1.0}, "min"),
        ({"min": float("nan")}, "min"),
        ({"time_zone": "Europe/Helsingfors"}, "time_zone"),
        ({"models": ["arima"]}, "models"),
        ({"models": []}, "models"),
    ],
)
def test_wrong_options_are_named(wrong, key):
    with pytest.raises(ConfigError, match=key):
        SeriesOptions(**wrong)


class Always:
    """A user's own model: tomorrow is 7."""

    name = "always_seven"

    def predict(self, past, levels):
        from fetchcast.forecast import Prediction

        shape = past.targets.shape
        return Prediction(quantiles=np.full((*shape, levels.size), 7.0), mean=np.full(shape, 7.0))


def test_a_model_of_your_own_is_measured_and_loses_its_share_if_it_is_worse():
    options = SeriesOptions(models=EMPIRICAL)
    found = forecast_series("s", daily(noise(365)), options, run="r", own=[Always()])
    rows = of(found.tables["leaderboard"], unique_id="a").to_pylist()
    board = {row["model"]: row for row in rows}
    assert board["always_seven"]["n"] == board["combined"]["n"]
    assert board["always_seven"]["weight"] == 0
    assert board["combined"]["skill_climatology"] > -0.02


class Says(Always):
    """A model that says what it is given, whatever the shape."""

    name = "says"

    def __init__(self, change):
        self.change = change

    def predict(self, past, levels):
        return self.change(super().predict(past, levels))


def fails(said):
    raise ZeroDivisionError("no trains today")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (fails, "your model 'says' failed with ZeroDivisionError: no trains today"),
        (lambda said: None, "your model 'says' failed with AttributeError"),
        (
            lambda said: Prediction(quantiles=said.quantiles[:, :1], mean=said.mean),
            r"quantiles of shape \(1, 1, 199\).* \(1, 28, 199\) and \(1, 28\) are needed",
        ),
    ],
)
def test_a_model_of_your_own_that_is_wrong_is_named(change, sentence):
    options = SeriesOptions(models=EMPIRICAL)
    with pytest.raises(SeriesError, match=sentence) as caught:
        forecast_series("s", daily(noise(60)), options, run="r", own=[Says(change)])
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args


def test_quantiles_of_your_own_that_cross_are_put_in_order_and_infinite_ones_are_silence():
    def change(said):
        quantiles = said.quantiles + np.linspace(1, -1, said.quantiles.shape[-1])
        quantiles[:, 3, 0] = -np.inf
        return Prediction(quantiles=quantiles, mean=said.mean)

    options = SeriesOptions(models=["climatology"])
    found = forecast_series("s", daily(noise(60)), options, run="r", own=[Says(change)]).tables
    rows = of(found["forecast"], model="says").sort_by("step")
    nine = np.column_stack([rows[name].to_numpy(zero_copy_only=False) for name in QUANTILES])
    assert np.isnan(nine[3]).all()
    assert (np.diff(np.delete(nine, 3, axis=0), axis=1) > 0).all()
    combined = of(found["forecast"], model="combined")
    assert combined["q50"].null_count == 0


@pytest.mark.parametrize("name", ["climatology", "combined"])
def test_a_model_of_your_own_has_a_name_of_its_own(name):
    model = Always()
    model.name = name
    with pytest.raises(ConfigError, match="a name of its own"):
        forecast_series("s", daily(noise(60)), SeriesOptions(), run="r", own=[model])
    with pytest.raises(ConfigError, match="a name of its own"):
        forecast_series("s", daily(noise(60)), SeriesOptions(), run="r", own=[Always(), Always()])


def test_progress_ends_with_everything():
    told = []
    rows = pa.concat_tables(daily(noise(60, k), unique_id=f"s{k}") for k in range(5))
    options = SeriesOptions(models=EMPIRICAL)
    forecast_series("s", rows, options, run="r", progress=lambda *now: told.append(now))
    assert told[-1] == (5, 5)


def test_in_a_notebook():
    """Anything that speaks Arrow will do; pandas where it is installed."""
    from fetchcast.forecast import forecast as in_a_notebook

    rows = daily(noise(60))
    options = {"horizon": 5, "models": EMPIRICAL}
    by_arrow = in_a_notebook(rows, **options).tables["forecast"]
    assert of(by_arrow, model="combined").num_rows == 5
    pytest.importorskip("pandas", reason="comes with the extra 'statistical'")
    by_pandas = in_a_notebook(rows.to_pandas(), **options).tables["forecast"]
    assert by_pandas == by_arrow


def test_the_package_itself_is_the_function_for_notebooks():
    """`fetchcast.forecast(frame, ...)`, whichever of the two was imported first."""
    import fetchcast

    rows = daily(noise(60))
    options = {"horizon": 5, "models": EMPIRICAL}
    found = fetchcast.forecast(rows, **options)
    assert of(found.tables["forecast"], model="combined").num_rows == 5
    from fetchcast.forecast import forecast as function

    assert function(rows, **options).tables["forecast"] == found.tables["forecast"]
    with pytest.raises(ConfigError, match="horizont"):
        fetchcast.forecast(rows, horizont=5)
    with pytest.raises(SeriesError, match="a list is no table"):
        fetchcast.forecast([1.0, 2.0, 3.0])
    with pytest.raises(ConfigError, match="source"):
        fetchcast.forecast("select 1 as y")


def test_polars_is_taken_as_it_is():
    polars = pytest.importorskip("polars")
    import fetchcast

    rows = daily(noise(60))
    options = {"horizon": 5, "models": EMPIRICAL}
    by_polars = fetchcast.forecast(polars.from_arrow(rows), **options).tables["forecast"]
    assert by_polars == fetchcast.forecast(rows, **options).tables["forecast"]


class TwoWeeksAgo:
    """A whole model of one's own: what came two weeks ago, as uncertain as that was in the past.

    ``past.values`` is ``(series, periods)``, NaN where nothing came; ``past.targets`` are the
    numbers of the periods to forecast, in the same count as ``past.periods``.
    """

    name = "two_weeks_ago"

    def predict(self, past, levels):
        from fetchcast.forecast import Prediction

        shape = past.targets.shape
        said = Prediction(
            quantiles=np.full((*shape, levels.size), np.nan), mean=np.full(shape, np.nan)
        )
        for row, values in enumerate(past.values):
            by_period = dict(zip(past.periods.tolist(), values.tolist(), strict=True))
            back = 14 * -(-(past.targets[row] - past.periods[-1]) // 14)
            ago = [by_period.get(int(k), np.nan) for k in past.targets[row] - back]
            missed = values[14:] - values[:-14]
            missed = missed[~np.isnan(missed)]
            said.mean[row] = ago
            said.quantiles[row] = np.array(ago)[:, None] + np.quantile(missed, levels)
        return said


def test_a_worked_example_of_a_model_of_your_own():
    """A fortnightly rhythm that no model here looks for: yours does, and gets the whole average."""
    import fetchcast

    rhythm = np.tile([0.0] * 7 + [30.0] * 7, 12)
    rows = daily(rhythm + noise(168))
    found = fetchcast.forecast(rows, models=EMPIRICAL, horizon=14, own=[TwoWeeksAgo()])
    board = {
        row["model"]: row for row in of(found.tables["leaderboard"], unique_id="a").to_pylist()
    }
    assert board["two_weeks_ago"]["weight"] == 1
    assert board["combined"]["skill_climatology"] > 0.4
    ahead = of(found.tables["forecast"], model="combined")["q50"].to_numpy()
    assert ahead[:7].max() < 20 < ahead[7:].min()


def test_numbers_so_small_that_their_squares_vanish():
    found = forecast(daily(noise(90) * 1e-200))
    row = of(found.tables["leaderboard"], unique_id="ALL", model="combined").to_pylist()[0]
    assert row["mase"] > 0
    assert of(found.tables["forecast"], model="combined")["q50"][0].as_py() > 0
