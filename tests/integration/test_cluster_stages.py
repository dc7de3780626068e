"""Shaping and forecasting on an executor: the results are those of one machine, to the last bit."""

import asyncio
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchcast.config import read_pipeline
from fetchcast.executors import ExecutorOptions, LocalExecutor, open_executor
from fetchcast.landing.packed import Piece, entry_of, pack
from fetchcast.landing.shards import ShardStore
from fetchcast.pipeline import RunOptions, arun
from fetchcast.pipeline.afar import Bench, shaped_afar
from fetchcast.pipeline.spread import Spread
from fetchcast.records import Fate, Landed
from fetchcast.testing.cluster import RunningCluster, running_cluster
from fetchcast.testing.executor_conformance import squared
from fetchcast.transform import Shaped, Shaper
from fetchcast.transform.options import TableOptions

OPTIONS = TableOptions(source="r", carry={"n": "param:n", "kind": "header:content-type"})


def landed(number: int, body: object, n: object) -> Landed:
    return Landed(
        seq=number,
        key=f"{number:032x}",
        resource="r",
        url=f"http://x/{number}",
        params={"n": n},
        fate=Fate.LANDED,
        status=200,
        headers={"content-type": "application/json"},
        body=json.dumps(body).encode(),
        attempts=1,
        reason=None,
        finished_at=1.0,
    )


def packed(answers: list[Landed]) -> Piece:
    """As the journal keeps them."""
    frames = pack((entry_of(answer), answer.body) for answer in answers)
    return Piece(*frames, [answer.seq for answer in answers])


def files_below(folder: str) -> list[Path]:
    return [path for path in Path(folder).rglob("*") if path.is_file()]


def as_rows(found: Sequence[Shaped]) -> list[object]:
    return [
        (batch.target.table, batch.rows.schema.to_string(), batch.rows.to_pylist(), batch.keys)
        for shaped in found
        for batch in shaped.batches
    ]


def both(chunks: list[list[Landed]]) -> tuple[list[object], list[object], bytes, bytes]:
    """One after the other in this process, and on an executor."""
    here, there = Shaper("t", OPTIONS), Shaper("t", OPTIONS)
    alone = [here.shape(chunk) for chunk in chunks]

    async def afar() -> list[Shaped]:
        spread = Spread(LocalExecutor(), asyncio.get_running_loop())
        # A task that was dropped may still write while the folder is removed.
        with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            store = ShardStore(Path(folder).as_uri(), "landing")
            portions = iter([[packed(chunk)] for chunk in chunks])
            work = shaped_afar(Bench(spread, store), there, OPTIONS, {}, portions)
            found = await asyncio.to_thread(lambda: list(work))
            # What was dropped while it ran may come late; the next load sweeps it away.
            assert {path.suffix for path in files_below(folder)} <= {".arrow"}
        return found

    return as_rows(alone), as_rows(asyncio.run(afar())), here.memory(), there.memory()


values = st.one_of(
    st.integers(-5, 5),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.sampled_from(["2024-01-01", "2024-01-01T10:00:00Z", "x", ""]),
    st.booleans(),
    st.none(),
    st.lists(st.integers(0, 3), max_size=2),
)
bodies = st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3)


@settings(max_examples=40, deadline=None)
@given(
    chunks=st.lists(
        st.lists(st.tuples(bodies, st.sampled_from([1, 2.5, "7b", None])), min_size=1, max_size=4),
        max_size=9,
    )
)
def test_shaping_elsewhere_is_shaping_here(chunks: list) -> None:
    """However the schema widens from portion to portion: the same batches in the same order."""
    number = iter(range(10_000))
    made = [[landed(next(number), body, n) for body, n in chunk] for chunk in chunks]
    alone, afar, memory, other = both(made)
    assert alone == afar
    assert memory == other


@pytest.fixture(scope="module")
def cluster() -> Iterator[RunningCluster]:
    with running_cluster(2, threads=1) as running:
        yield running


FORECAST = """
name = "many"
destination = "duckdb:///many.duckdb"
[api]
base_url = "http://127.0.0.1:9"
[resource.none]
path = "none"
[executor]
run = "{run}"
[series.many]
sql = "select unique_id, ds, y from seen"
horizon = 7
models = ["ets", "theta"]
"""


def history(folder: Path, series: int) -> None:
    import duckdb

    with duckdb.connect(folder / "many.duckdb") as connection:
        connection.execute("CREATE TABLE seen (unique_id VARCHAR, ds TIMESTAMP, y DOUBLE)")
        for name in range(series):
            rows = [(f"s{name}", 69 - day, 10 + name + 3 * math.sin(day / 3)) for day in range(70)]
            connection.executemany(
                "INSERT INTO seen SELECT ?, date_trunc('day', now()::TIMESTAMP) - to_days(?), ?",
                rows,
            )


def forecast(folder: Path) -> list[tuple[object, ...]]:
    import duckdb

    with duckdb.connect(folder / "many.duckdb", read_only=True) as connection:
        found = connection.execute("SELECT * EXCLUDE (run) FROM forecast ORDER BY ALL").fetchall()
    assert found
    return found


async def test_pieces_of_work_come_back_in_their_order(cluster: RunningCluster) -> None:
    """As the fits of many series do, on the workers of a cluster."""
    async with open_executor(ExecutorOptions(run=cluster.address), Path()) as executor:
        spread = Spread(executor, asyncio.get_running_loop())
        found = await asyncio.to_thread(lambda: list(spread.map(squared, range(30))))
    assert found == [number * number for number in range(30)]


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_many_series_are_forecast_there_as_here(
    tmp_path: Path, cluster: RunningCluster
) -> None:
    """64 series in chunks of 16, on two workers and in this process."""
    found = []
    for name, where in (("here", "local"), ("there", cluster.address)):
        folder = tmp_path / name
        folder.mkdir()
        history(folder, 64)
        file = folder / "many.toml"
        file.write_text(FORECAST.format(run=where))
        report = await arun(read_pipeline(file), options=RunOptions(ask=False))
        assert not report.notes or "stopped" in report.notes[0], report.notes
        found.append(forecast(folder))
    assert found[0] == found[1]
    assert len({row[1] for row in found[0]}) == 64
