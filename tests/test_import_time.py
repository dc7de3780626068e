"""What is imported when: the command line answers at once, drivers wait until they are used."""

import subprocess
import sys
import time

HEAVY = ["pyarrow", "duckdb", "psycopg", "numpy", "pycurl", "aiohttp", "fastapi", "statsforecast"]


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
    assert loaded.isdisjoint({"statsforecast", "pandas", "fastapi", "uvicorn"})


def test_help_answers_at_once() -> None:
    """0.3 s on an idle machine; the test allows for a busy one by taking the best of five."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "fetchcast", "--help"], capture_output=True, check=True
        )
        times.append(time.perf_counter() - begun)
    assert min(times) <= 0.3
