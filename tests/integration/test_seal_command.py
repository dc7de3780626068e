"""`fetchcast seal`: bodies as Parquet files, and everything works as before."""

import asyncio
from pathlib import Path

import duckdb
import pytest

from fetchcast import arun
from fetchcast.cli.main import main
from fetchcast.config import read_pipeline
from fetchcast.testing import json_reply, running_api

PIPELINE = """
name = "days"
[api]
base_url = "{url}"
[resource.days]
path = "{{day}}"
params = {{ day = [1, 2, 3] }}
[table.hours]
from = "days"
rows = "[*]"
"""


def said(capsys, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    out, err = capsys.readouterr()
    return int(str(ended.value.code)), out, err


def hours(folder: Path) -> list[int]:
    with duckdb.connect(str(folder / "days.duckdb"), read_only=True) as connection:
        return [h for (h,) in connection.execute("SELECT h FROM hours ORDER BY h").fetchall()]


def write(file: Path, url: str) -> None:
    file.write_text(PIPELINE.format(url=url))


async def ask(file: Path) -> None:
    async with running_api({f"/{day}": [json_reply([{"h": day}])] for day in (1, 2, 3)}) as api:
        write(file, api.url)
        await arun(read_pipeline(file))


def test_sealed_answers_are_files_and_can_be_replayed(tmp_path: Path, capsys) -> None:
    file = tmp_path / "days.toml"
    asyncio.run(ask(file))
    status, out, err = said(capsys, "seal", str(file), "--older-than", "1 day")
    assert (status, out) == (0, "")
    assert "nothing to seal" in err

    status, out, err = said(capsys, "seal", str(file))
    assert status == 0
    (sealed,) = map(Path, out.split())
    found = duckdb.sql(f"SELECT decode(body) FROM '{sealed}' ORDER BY 1").fetchall()
    assert found == [(f'[{{"h": {day}}}]',) for day in (1, 2, 3)]
    assert "1 files" in err

    for made in (tmp_path / "days.duckdb", *(tmp_path / "days.duckdb.d").iterdir()):
        made.unlink()
    assert said(capsys, "replay", str(file), "--progress", "none")[0] == 0
    assert hours(tmp_path) == [1, 2, 3]


def test_a_time_that_is_none_is_a_wrong_command(tmp_path: Path, capsys) -> None:
    file = tmp_path / "days.toml"
    file.write_text(PIPELINE.format(url="http://127.0.0.1:9"))
    assert said(capsys, "seal", str(file))[::2] == (0, "days: nothing to seal\n")
    for wrong in ("soon", "none"):
        status, _, err = said(capsys, "seal", str(file), "--older-than", wrong)
        assert status == 2
        assert "90 days" in err
