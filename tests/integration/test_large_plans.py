"""Plans of very many rows: known from metadata, looked at in bounded memory, never held."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fetchcast import arun
from fetchcast.config import read_pipeline
from fetchcast.plan.sources import ParquetRows, Row
from fetchcast.testing import json_reply, running_api

MEASURED = """
import json, pathlib, re, resource, sys
from fetchcast.cli.main import main
try:
    main(sys.argv[1:])
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    status = pathlib.Path("/proc/self/status")
    # The usage begins with that of the process which started this one; the status does not.
    peak_kb = int(re.search(r"VmHWM:\\s*(\\d+)", status.read_text())[1]) if status.exists() else 0
    told = {"cpu_s": used.ru_utime + used.ru_stime, "peak_mb": peak_kb / 1024}
    print(json.dumps(told), file=sys.stderr)
"""


def write(folder: Path, rows: int, extra: str = "") -> Path:
    ids = [f"{n:08d}-{n % 11}" for n in range(rows)]
    table = pa.table({"id": ids, "rank": range(rows), "country": ["FI", "SE"] * (rows // 2)})
    pq.write_table(table, folder / "ids.parquet")
    path = folder / "big.toml"
    path.write_text(
        '[api]\nbase_url = "http://127.0.0.1:9"\n'
        '[resource.items]\npath = "items/{id}"\n'
        f'params.id = {{ parquet = "ids.parquet", column = "id" }}\n{extra}\n'
        '[table.items]\nfrom = "items"\n'
    )
    return path


def measured(*words: str, folder: Path) -> tuple[str, float, float]:
    """What a command says, its CPU seconds, its peak memory in MB."""
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, *words],
        cwd=folder,
        env=os.environ | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    told = json.loads(ran.stderr.splitlines()[-1])
    return ran.stdout, told["cpu_s"], told["peak_mb"]


@pytest.mark.parametrize(
    ("rows", "exact_s"),
    [pytest.param(1_000_000, 15.0, marks=pytest.mark.slow), (50_000, 5.0)],
)
def test_a_plan_answers_from_metadata_and_counts_in_bounded_memory(
    tmp_path: Path, rows: int, exact_s: float
) -> None:
    write(tmp_path, rows)
    said, cpu_s, peak_mb = measured("plan", "big.toml", folder=tmp_path)
    assert f"{rows:,} rows, from the metadata of ids.parquet" in said
    assert "--exact" in said
    assert cpu_s <= 2.0
    assert peak_mb <= 250

    said, cpu_s, peak_mb = measured("plan", "--exact", "big.toml", folder=tmp_path)
    assert f"{rows:,} rows make {rows:,} different calls" in said
    assert cpu_s <= exact_s
    assert peak_mb <= 250


def test_what_is_estimated_is_said(tmp_path: Path) -> None:
    """A filter's share is known of the first rows only; reading all of them tells."""
    write(tmp_path, 60_000, "filter = \"country = 'FI' and rank < 20000\"")
    said, _, _ = measured("plan", "big.toml", folder=tmp_path)
    assert "about 30,000 calls planned" in said
    assert "30,000 rows, an estimate" in said
    assert "the filter keeps 500 of the first 1,000" in said
    said, _, peak_mb = measured("plan", "--exact", "big.toml", folder=tmp_path)
    assert "10,000 rows make 10,000 different calls" in said
    assert peak_mb <= 250


async def test_a_run_reads_such_a_plan_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not read to be counted: what the metadata say is enough until it was asked."""
    path, readings, rows = write(tmp_path, 300), [], ParquetRows.rows

    def noted(source: ParquetRows) -> Iterator[Row]:
        readings.append(source)
        return rows(source)

    monkeypatch.setattr(ParquetRows, "rows", noted)
    async with running_api({"*": json_reply([{"v": 1}])}) as api:
        report = await arun(read_pipeline(path, base_url=api.url))
    assert report.resources["items"].planned == len(api.asked) == 300
    assert len(readings) == 1
