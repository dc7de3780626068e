"""What is a memory worth, and what does a stale one cost? In virtual time.

    python benchmarks/pace_memory.py [--runs 100] [--ranges test] [--kinds ABCDEFGHIK]

Each server is met twice: first with nothing known, then, ten minutes later, with what the first run
learnt, by other calls: unchanged, with its limit halved, and tripled. The changed ones are also
met with nothing known. Time is median and 90th percentile of with memory / without; refusals are
the sums. Writes benchmarks/results/pace_memory.md.
"""

from __future__ import annotations

import argparse
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fetchcast.extract.pace import Learnt, Pace, PaceOptions
from fetchcast.testing.simulation.gates import (
    Concurrency,
    FixedWindow,
    LeakyBucket,
    SlidingLog,
    TokenBucket,
)
from fetchcast.testing.simulation.scenarios import TEST, TRAIN, Scenario, draw
from fetchcast.testing.simulation.world import Server, run

RESULTS = Path(__file__).parent / "results"
CHANGES = {"same": 1.0, "halved": 0.5, "tripled": 3.0}
LATER_S = 600.0


@dataclass(frozen=True, slots=True)
class Row:
    """One server and one change of it: seconds and refusals, with memory and without."""

    kind: str
    change: str
    warm_s: float
    cold_s: float
    warm_refused: int
    cold_refused: int


def changed(server: Server, factor: float) -> Server:
    """With limits ``factor`` times as large; buckets begin full."""
    for gate in server.gates:
        match gate:
            case Concurrency():
                gate.most = max(1, round(gate.most * factor))
            case TokenBucket():
                gate.rate *= factor
                gate.burst = max(1.0, gate.burst * factor)
                gate._tokens = gate.burst  # noqa: SLF001
            case LeakyBucket():
                gate.rate *= factor
            case FixedWindow() | SlidingLog():
                gate.calls = max(1, round(gate.calls * factor))
            case _:
                raise TypeError(gate)
    if server.workers:
        server.workers = max(1, round(server.workers * factor))
    return server


def met(
    scenario: Scenario, factor: float, memory: Learnt | None, again: int
) -> tuple[float, int, Pace]:
    """Seconds, refusals, and who learnt."""
    pace = Pace(PaceOptions(), memory=memory, wall=scenario.wall0 + LATER_S * (again > 0))
    until = 4 * scenario.until_s
    books = run(
        changed(scenario.server(), factor),
        pace,
        calls=scenario.calls,
        seed=scenario.seed + again,
        wall0=scenario.wall0,
        timeout_s=scenario.timeout_s,
        until=until,
    )
    return books.finished_at or until, books.refused, pace


def one(task: tuple[str, int, str]) -> list[Row]:
    kind, index, ranges = task
    scenario = draw(kind, index, TEST if ranges == "test" else TRAIN)
    first_s, first_refused, pace = met(scenario, 1.0, None, 0)
    learnt = pace.learnt(scenario.wall0)
    rows = []
    for change, factor in CHANGES.items():
        warm_s, warm_refused, _ = met(scenario, factor, learnt, 7)
        cold_s, cold_refused = first_s, first_refused
        if factor != 1:
            cold_s, cold_refused, _ = met(scenario, factor, None, 7)
        rows.append(Row(kind, change, warm_s, cold_s, warm_refused, cold_refused))
    return rows


def cell(rows: list[Row]) -> str:
    ratios = sorted(row.warm_s / row.cold_s for row in rows)
    warm, cold = sum(r.warm_refused for r in rows), sum(r.cold_refused for r in rows)
    middle, high = (ratios[min(len(ratios) - 1, int(q * len(ratios)))] for q in (0.5, 0.9))
    return f"{middle:.2f} ({high:.2f}), {warm:,}/{cold:,}" + (
        f" = {warm / cold:.2f}" if cold else ""
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--ranges", default="test")
    parser.add_argument("--kinds", default="ABCDEFGHIK")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    tasks = [(kind, index, given.ranges) for kind in given.kinds for index in range(given.runs)]
    with ProcessPoolExecutor(given.processes) as pool:
        rows = [row for found in pool.map(one, tasks, chunksize=8) for row in found]
    lines = [
        "# What a memory is worth",
        "",
        (
            f"{given.runs} servers of each kind, drawn as in `pace.md` ({given.ranges}), virtual "
            "time. With memory / without: time, median (90th percentile), and the sums of refused "
            "calls. "
            f"CPython {platform.python_version()}, {time.strftime('%Y-%m-%d')}."
        ),
        "",
        f"| kind | {' | '.join(CHANGES)} |",
        "|---|" + "---|" * len(CHANGES),
    ]
    for kind in given.kinds:
        cells = [cell([r for r in rows if (r.kind, r.change) == (kind, c)]) for c in CHANGES]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if given.ranges == "test" and given.runs >= 100:
        (RESULTS / "pace_memory.md").write_text(text)


if __name__ == "__main__":
    main()
