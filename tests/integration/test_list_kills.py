"""`kill -9` in the middle of lists and families: the next run goes on from the page it was at."""

import asyncio
import random
import sys
from pathlib import Path

import duckdb

from fetchcast.landing.reader import open_reader
from fetchcast.testing import Asked, Reply, cursor_pages, json_reply, numbered_pages, running_api

CHAIN = [{"id": number} for number in range(300)]
MANY = [{"id": number} for number in range(200)]
PIPELINE = """
name = "lists"
[api]
base_url = "URL"
[resource.chain]
path = "chain"
paginator = { type = "cursor", path = "meta.next_cursor", param = "cursor" }
[resource.many]
path = "many"
paginator = { type = "page_number", total = "totalResults" }
[resource.each]
path = "each/{id}"
params = { id = { from = "many", field = "id" } }
[table.chain]
from = "chain"
rows = "data[*]"
[table.many]
from = "many"
rows = "items[*]"
[table.each]
from = "each"
"""


async def says(asked: Asked) -> Reply:
    await asyncio.sleep(0.02)
    if asked.path == "/chain":
        return cursor_pages(CHAIN, size=5)(asked)
    if asked.path == "/many":
        return numbered_pages(MANY, size=10)(asked)
    return json_reply({"id": int(asked.path.rsplit("/", 1)[1]), "ok": True})


async def run(file: Path, *, killed_after_s: float | None) -> int | None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "fetchcast", "run", "--progress", "none", str(file)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        return await asyncio.wait_for(process.wait(), killed_after_s)
    except TimeoutError:
        process.kill()
        await process.wait()
        return None


def landed(folder: Path) -> set[str]:
    """The addresses whose answers are kept."""
    if not (folder / ".fetchcast/lists").exists():
        return set()
    with open_reader(folder / ".fetchcast/lists") as reader:
        return {answer.url for answer in reader.answers()}


async def test_killed_again_and_again(tmp_path: Path) -> None:
    """No page and no child that landed is asked again, and the tables are whole in the end."""
    file, chance = tmp_path / "lists.toml", random.Random(27)
    async with running_api({"*": says}) as api:
        file.write_text(PIPELINE.replace("URL", api.url))
        status, kills = None, 0
        while status is None:
            there, before = landed(tmp_path), len(api.asked)
            # Long enough at last, whatever else the machine has to do.
            patience = None if kills >= 4 else 0.7 + chance.random()
            status = await run(file, killed_after_s=patience)
            asked = [api.url + hit for hit in api.hits[before:]]
            assert there.isdisjoint(asked), sorted(there.intersection(asked))[:3]
            kills += status is None
        assert status == 0
        assert kills >= 2
        # What was asked at the moment of a kill may be asked again; a page is not lost for it.
        assert len(landed(tmp_path)) == 60 + 20 + 200
    with duckdb.connect(str(tmp_path / "lists.duckdb"), read_only=True) as connection:
        for table, count in {"chain": 300, "many": 200, "each": 200}.items():
            found = connection.execute(f"select count(*), count(distinct id) from {table}")
            assert found.fetchone() == (count, count)
