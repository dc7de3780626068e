"""What is imported when: the command line answers at once, drivers wait until they are used."""

import os
import subprocess
import sys

HEAVY = [
    "pyarrow",
    "duckdb",
    "psycopg",
    "numpy",
    "pycurl",
    "aiohttp",
    "fastapi",
    "statsforecast",
    "distributed",
]


def modules_after(code: str) -> set[str]:
    program = f"{code}\nimport sys; print('\\n'.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_importing_the_package_imports_no_driver() -> None:
    assert modules_after("import fetchcast").isdisjoint(HEAVY)


def test_importing_the_run_imports_no_statistics_and_no_app() -> None:
    loaded = modules_after("from fetchcast import run")
    assert loaded.isdisjoint({"statsforecast", "pandas", "fastapi", "uvicorn", "distributed"})


def test_help_answers_at_once() -> None:
    """0.3 s, as CPU time and the best of five: the wall clock tells of other people's work too."""
    times = []
    for _ in range(5):
        before = os.times()
        subprocess.run(
            [sys.executable, "-m", "fetchcast", "--help"], capture_output=True, check=True
        )
        after = os.times()
        times.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
    assert min(times) <= 0.3
