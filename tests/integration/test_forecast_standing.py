"""Only series with new rows are forecast again; what stands is found and answered from."""

import datetime as dt
import operator
import os

import numpy as np
import pyarrow as pa
import pytest

from fetchcast.config import read_pipeline
from fetchcast.load.destinations import open_destination
from fetchcast.pipeline.predict import Told, predict
from fetchcast.records import Batch, Disposition, Target

START = dt.date(2026, 1, 5)
FILE = """
name = "shop"
destination = "{url}"
[api]
base_url = "http://127.0.0.1:1"
[resource.days]
path = "days"
[series.sold]
sql = "select shop as unique_id, day as ds, sold as y from days where sold >= 0"
models = ["climatology", "recent"]
[series.returned]
sql = "select shop as unique_id, day as ds, returned as y from days"
models = ["climatology", "recent"]
[question.many]
text = "At most {{threshold}} sold?"
series = "sold"
unique_id = "a"
threshold = 12.0
"""
NOON = 12 * 3600


def day(k):
    return START + dt.timedelta(days=k)


def moment(k):
    return (day(k) - dt.date(1970, 1, 1)).days * 86_400 + NOON


def sales(first, last, seed=1):
    rng = np.random.default_rng(seed)
    count = last - first
    return pa.table(
        {
            "shop": [shop for shop in "ab" for _ in range(count)],
            "day": [day(k) for _ in "ab" for k in range(first, last)],
            "sold": rng.poisson(10, 2 * count).astype(float),
            "returned": rng.poisson(2, 2 * count).astype(float),
        }
    )


def load(pipeline, rows):
    destination = open_destination(pipeline.destinations[0], pipeline.folder)
    target = Target(table="days", disposition=Disposition.APPEND)
    with destination.load() as loading:
        loading.write(Batch(target=target, rows=rows))
    return destination


@pytest.fixture(params=["duckdb:///shop.duckdb", "parquet:///shop", "sqlite:///shop.sqlite"])
def pipeline(request, tmp_path):
    path = tmp_path / "shop.toml"
    path.write_text(FILE.format(url=request.param))
    found = read_pipeline(path)
    load(found, sales(0, 90))
    return found


def test_without_new_rows_nothing_is_forecast_and_the_answer_is_the_same(pipeline):
    first = predict(pipeline, run_id="r1", now=moment(90))
    assert not first.failed, first.notes
    assert {one.table for one in first.receipts} >= {"forecast", "backtest", "series"}
    second = predict(pipeline, run_id="r2", now=moment(90))
    assert second.receipts == []
    assert second.notes == [
        "series sold: no new rows; the forecast of run r1 stands",
        "series returned: no new rows; the forecast of run r1 stands",
    ]
    assert second.answers == first.answers
    assert not second.failed


def test_again_is_again(pipeline):
    predict(pipeline, run_id="r1", now=moment(90))
    assert predict(pipeline, run_id="r2", now=moment(90), again=True).receipts


def test_a_section_with_a_new_row_is_forecast_and_the_other_stands(pipeline):
    predict(pipeline, run_id="r1", now=moment(90))
    changed = pa.table({"shop": ["a"], "day": [day(90)], "sold": [-1.0], "returned": [7.0]})
    destination = load(pipeline, changed)
    found = predict(pipeline, run_id="r2", now=moment(91))
    assert found.notes == ["series sold: no new rows; the forecast of run r1 stands"]
    runs = destination.query("select distinct series, run from series order by series").to_pylist()
    assert [(row["series"], row["run"]) for row in runs] == [("returned", "r2"), ("sold", "r1")]


def test_what_was_said_is_kept_and_can_be_laid_over_what_came(pipeline):
    """The forecast of day 89 for day 90 stands beside what day 90 brought, and the newer one."""
    predict(pipeline, run_id="r1", now=moment(90))
    destination = load(pipeline, sales(90, 93, seed=2))
    predict(pipeline, run_id="r2", now=moment(93))
    said = destination.query(
        "select f.run, f.step, f.q10, f.q90, o.y from forecast f join observation o "
        "on f.series = o.series and f.unique_id = o.unique_id and f.ds = o.ds "
        "where f.series = 'sold' and f.unique_id = 'a' and f.model = 'combined' order by f.step"
    ).to_pylist()
    assert [(row["run"], row["step"]) for row in said] == [("r1", 1), ("r1", 2), ("r1", 3)]
    came = sales(90, 93, seed=2)["sold"].to_pylist()[:3]
    assert [row["y"] for row in said] == came
    assert all(row["q10"] < row["q90"] for row in said)
    newest = destination.query("select distinct run from forecast order by run").to_pylist()
    assert [row["run"] for row in newest] == ["r1", "r2"]


def test_a_forecast_that_has_run_out_is_looked_at_again(pipeline):
    """Half a year later without a row: they have stopped, and that is said."""
    predict(pipeline, run_id="r1", now=moment(90))
    found = predict(pipeline, run_id="r2", now=moment(270))
    assert any("stopped on" in note for note in found.notes)


def test_other_options_are_another_forecast(pipeline, tmp_path):
    predict(pipeline, run_id="r1", now=moment(90))
    path = tmp_path / "shop.toml"
    path.write_text(path.read_text().replace('"recent"]', '"recent"]\nhorizon = 7'))
    assert predict(read_pipeline(path), run_id="r2", now=moment(90)).receipts


def test_progress_is_told_seldom():
    said, now = [], iter([0.0, 1.0, 6.0, 7.0, 12.0])
    told = Told(said.append, lambda: next(now))
    for done in range(5):
        told("sold", done, 4000)
    assert said == ["forecast sold: 2 of 4,000 series", "forecast sold: 4 of 4,000 series"]


@pytest.mark.slow
def test_work_goes_to_other_processes_when_there_is_enough():
    from fetchcast.executors.processes import Processes

    with Processes(2) as pool:
        few, many = (list(pool.map(operator.call, [os.getpid] * count)) for count in (2, 8))
    assert set(few) == {os.getpid()}
    assert os.getpid() not in many
