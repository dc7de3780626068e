"""What is promised of every example: 25 lines at most, and no secret in it."""

from pathlib import Path

import pytest

from fetchcast.config import read_pipeline

EXAMPLES = Path(__file__).parents[2] / "examples"
SECRETS = ("GITHUB_TOKEN", "OPENAQ_API_KEY", "SPOTIFY_CLIENT_ID", "SPOTIFY_CLIENT_SECRET")
# The two reference pipelines forecast, and write two tables; they are what the demo runs.
REFERENCE = {"train-27", "companies"}
FILES = [p for p in sorted(EXAMPLES.rglob("*.toml")) if p.parent.name not in REFERENCE]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_example_is_short_and_right(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 25
    read_pipeline(path, environment=dict.fromkeys(SECRETS, "0123456789"))


def test_there_are_nine() -> None:
    assert len({path.parent for path in FILES}) == 9
