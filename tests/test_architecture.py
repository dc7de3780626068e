"""The house rules that no tool checks by itself: sizes, names, async only where it belongs."""

import ast
from pathlib import Path
from statistics import median, quantiles

SOURCE = Path(__file__).parents[1] / "src" / "fetchcast"
MODULES = sorted(SOURCE.rglob("*.py"))
ASYNC_HOMES = ("extract", "landing/writer", "serve", "sandbox", "testing", "pipeline", "executors")
DRAWERS = {"utils", "util", "common", "helpers", "helper", "base", "core", "misc"}


def functions() -> list[tuple[str, int, bool]]:
    found = []
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                size = node.end_lineno - node.lineno + 1 - _docstring_lines(node)
                where = f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}"
                found.append((where, size, isinstance(node, ast.AsyncFunctionDef)))
    return found


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(node) is None:
        return 0
    first = node.body[0]
    assert first.end_lineno is not None
    return first.end_lineno - first.lineno + 1


def test_functions_are_short() -> None:
    sizes = [size for _, size, _ in functions()]
    assert [f for f in functions() if f[1] > 80] == []
    assert median(sizes) <= 9
    assert quantiles(sizes, n=10)[8] <= 30


def test_modules_are_short_and_named_for_what_they_hold() -> None:
    long = {str(p): n for p in MODULES if (n := len(p.read_text().splitlines())) > 800}
    assert long == {}
    assert [p for p in MODULES if p.stem in DRAWERS] == []


def test_async_lives_where_the_design_puts_it() -> None:
    strays = [
        where
        for where, _, is_async in functions()
        if is_async
        and not where.startswith(ASYNC_HOMES)
        # The one clock has the one sleep; three commands and the draft drive what is async.
        and not where.startswith(("clock.py", "records.py", "cli/sandbox.py"))
    ]
    assert strays == []


def test_no_notes_to_self_are_left() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "X" + "XX")
    found = [
        f"{path.name}: {line.strip()}"
        for path in MODULES
        for line in path.read_text(encoding="utf-8").splitlines()
        if any(word in line for word in words) and "#" in line
    ]
    assert found == []
