"""All benchmarks, one after the other, or those that are named: ``make bench BENCH=comparison``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
OURS = {path.stem for path in HERE.glob("*.py") if "def main(" in path.read_text()} - {"__main__"}


def main() -> None:
    wanted = sys.argv[1:] or sorted(OURS, key=lambda name: (name != "comparison", name))
    if unknown := set(wanted) - OURS:
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(OURS)}")
    for name in wanted:
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, str(HERE / f"{name}.py")], check=True)


if __name__ == "__main__":
    main()
