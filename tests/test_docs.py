"""The docs are true: their blocks run, their figures of speech are the program's own words.

A block's first word says what it is (`console`, `python`, `toml`), the second where it belongs: a
file name (its text is added to that file), `sandbox` or `serve` (commands that keep running). Of
the output, each documented line must be found in what the program says, numbers aside.
"""

import asyncio
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from fetchcast.config import read_pipeline
from fetchcast.sandbox import SandboxOptions, running_sandbox

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "docs/tutorial/first-forecast.md",
    ROOT / "docs/how-to/unattended.md",
    ROOT / "docs/how-to/python.md",
    ROOT / "docs/how-to/parameters.md",
    ROOT / "docs/how-to/requests.md",
    ROOT / "docs/explanation/forecast.md",
    ROOT / "docs/how-to/pages.md",
    ROOT / "docs/how-to/parents.md",
    ROOT / "docs/how-to/auth.md",
    ROOT / "docs/how-to/formats.md",
    ROOT / "docs/how-to/answers.md",
    ROOT / "docs/how-to/init.md",
    ROOT / "docs/how-to/import.md",
]
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"\d[\d,.]*")
# The date of "next Wednesday" moves, and so do the words that follow from a probability.
_DATE = re.compile(r"(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day # \w+ #")


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with running_sandbox(SandboxOptions(latency_ms=2)) as sandbox:
        yield sandbox.url


@pytest.fixture
def folder(tmp_path: Path, sandbox_url: str) -> Path:
    """A folder as the tutorial leaves it, so that each page can stand alone."""
    for kind, name, text in blocks(ROOT / "docs/tutorial/first-forecast.md"):
        if kind == "toml" and name:
            with (tmp_path / name).open("a") as file:
                file.write("\n" + moved(text, sandbox_url))
    return tmp_path


def blocks(page: Path) -> list[tuple[str, str | None, str]]:
    return [(m[1], m[2], m[3]) for m in _BLOCK.finditer(page.read_text(encoding="utf-8"))]


def moved(text: str, sandbox_url: str) -> str:
    return text.replace("http://127.0.0.1:8027", sandbox_url)


def plain(text: str) -> str:
    text = re.sub(r"[●○]+", "DOTS", text)
    return _DATE.sub("DAY", _NUMBER.sub("#", " ".join(text.split())))


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each `$ command` with the lines of output below it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *output = part.splitlines()
        yield command, [line for line in output if line.strip() not in {"", "…", "..."}]


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    assert words[0] == "fetchcast", f"only fetchcast commands can be run: {command}"
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=folder,
        env=os.environ | {"COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_console_blocks_do_what_they_show(page: Path, folder: Path, sandbox_url: str) -> None:
    """Commands run in order, in one folder; files that the page builds up are built up."""
    if page.name == "first-forecast.md":
        for path in folder.iterdir():
            path.unlink()
    for kind, name, text in blocks(page):
        if kind == "toml" and name:
            with (folder / name).open("a") as file:
                file.write("\n" + moved(text, sandbox_url))
        elif name and "." in name:
            (folder / name).write_text(moved(text, sandbox_url))
        if kind == "python" and name is None:
            run_python(moved(text, sandbox_url), folder)
        if kind != "console" or name in {"sandbox", "serve", "make"}:
            continue
        for command, output in commands(moved(text, sandbox_url)):
            ran = run(command, folder)
            said = ran.stdout + ran.stderr
            assert ran.returncode == 0, f"$ {command}\n{said}"
            lines = {plain(line) for line in said.splitlines()}
            for line in output:
                assert any(plain(line) in found for found in lines), f"$ {command}: {line}\n{said}"


def run_python(text: str, folder: Path) -> None:
    program = folder / "_block.py"
    program.write_text(text)
    before = Path.cwd()
    os.chdir(folder)
    try:
        runpy.run_path(str(program))
    finally:
        os.chdir(before)
        program.unlink()


def test_the_notebook_block_awaits_inside_a_running_loop(folder: Path) -> None:
    page = ROOT / "docs/how-to/python.md"
    (text,) = [text for kind, name, text in blocks(page) if name == "notebook"]
    body = "\n".join(f"    {line}" for line in text.splitlines())
    names: dict[str, object] = {}
    exec(f"async def cell():\n{body}\n    return report", names)
    before = Path.cwd()
    os.chdir(folder)
    try:
        report = asyncio.run(names["cell"]())  # type: ignore[operator]
    finally:
        os.chdir(before)
    assert report.end == 0


def test_served_pages_answer(folder: Path) -> None:
    """The tutorial's last step: the page is there and says the question."""
    assert run("fetchcast run trains.toml", folder).returncode == 0
    with subprocess.Popen(
        [sys.executable, "-m", "fetchcast", "serve", "--port", "0", "trains.toml"],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as serving:
        try:
            assert serving.stdout is not None
            said = serving.stdout.readline()
            assert "(Ctrl-C stops)" in said
            with urlopen(said.split()[1], timeout=30) as answer:
                text = answer.read().decode()
        finally:
            serving.terminate()
    assert "Tampere" in text
    assert "16:00" in text


def test_pipeline_files_in_the_docs_are_right(folder: Path) -> None:
    read_pipeline(folder / "trains.toml")


@pytest.mark.parametrize("page", ["auth.md", "formats.md", "answers.md"])
def test_parts_of_pipeline_files_are_right(page: str, tmp_path: Path) -> None:
    """Each block without a file name is a part that a file may have."""
    parts = [
        t for kind, name, t in blocks(ROOT / "docs/how-to" / page) if (kind, name) == ("toml", None)
    ]
    assert len(parts) >= 2
    for part in parts:
        resource = (re.findall(r"^\[resource\.(\w+)", part, re.MULTILINE) or ["items"])[0]
        whole = f'[resource.{resource}]\npath = "x"\n{part}\n'
        if "[api]" not in part:
            whole = f'[api]\nbase_url = "http://127.0.0.1:1"\n{whole}'
        file = tmp_path / "part.toml"
        file.write_text(whole, encoding="utf-8")
        names = re.findall(r"\$\{(\w+)\}", part)
        read_pipeline(file, environment={name: f"secret-{name}" for name in names})


PAGES = """
import json, runpy, sys
pages = runpy.run_path(sys.argv[1])["PAGES"]
print(json.dumps({name: page() for name, page in pages.items()}))
"""


def test_reference_pages_are_what_the_code_says() -> None:
    """Written in a process of its own: commands remember how tests before this one called them."""
    written = subprocess.run(
        [sys.executable, "-c", PAGES, str(ROOT / "docs/generate.py")],
        capture_output=True,
        text=True,
        check=True,
    )
    for name, page in json.loads(written.stdout).items():
        text = (ROOT / "docs/reference" / name).read_text(encoding="utf-8")
        assert text == page, f"docs/reference/{name} is out of date: run `make docs`"


def test_links_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if not target.startswith(("http", "mailto:")) and not (page.parent / target).exists()
    ]
    assert broken == []


def test_the_commands_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^\$ make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
    assert shutil.which("make"), "the README asks for make"
