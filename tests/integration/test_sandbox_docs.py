"""The pages about the sandbox and about the helpers for tests show what really happens."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import fetchcast.testing

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "how-to" / "sandbox.md", DOCS / "reference" / "testing.md"]
_EXAMPLE = re.compile(r"^```python\n(.*?)^```\n\n^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_print_what_the_page_says(page: Path) -> None:
    examples = _EXAMPLE.findall(page.read_text(encoding="utf-8"))
    assert examples
    for program, output in examples:
        ran = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (ran.stdout, ran.stderr) == (output, "")


def test_the_greeting_is_the_one_shown() -> None:
    text = PAGES[0].read_text(encoding="utf-8")
    command, *shown = re.search(r"^\$ (fetchcast sandbox.*?)^```", text, re.MULTILINE | re.DOTALL)[
        1
    ].splitlines()
    words = [sys.executable, "-m", *shlex.split(command), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        said = [process.stdout.readline().rstrip() for _ in shown]
        process.terminate()
    port = said[0].split(":")[2].split("/")[0]
    assert [line.replace(f":{port}", ":8027") for line in said] == shown


def test_every_published_name_is_on_the_page() -> None:
    text = PAGES[1].read_text(encoding="utf-8")
    missing = [name for name in fetchcast.testing.__all__ if not re.search(rf"\b{name}\b", text)]
    assert missing == []
