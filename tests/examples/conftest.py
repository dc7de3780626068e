"""An example is copied and run as it stands; only its API's address is that of a local server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fetchcast import RunReport, arun, read_pipeline

EXAMPLES = Path(__file__).parents[2] / "examples"


class Example:
    """A copied example."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def run(self, file: str, url: str, **environment: str) -> RunReport:
        path = self.folder / file
        return await arun(read_pipeline(path, base_url=url, environment=environment))

    def rows(self, sql: str, database: str | None = None) -> list[tuple[Any, ...]]:
        path = self.folder / f"{database or self.folder.name}.duckdb"
        with duckdb.connect(str(path), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def replace(self, file: str, old: str, new: str) -> None:
        """Take less than the example does: the tests need no years of data."""
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} does not say {old}"
        path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def example(tmp_path: Path) -> Callable[[str], Example]:
    """Copies an example."""

    def copied(name: str) -> Example:
        shutil.copytree(EXAMPLES / name, tmp_path / name)
        return Example(tmp_path / name)

    return copied
