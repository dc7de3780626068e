"""How much of what an unknown API allows is used, and how much is refused, in virtual time?

    python benchmarks/pace.py [--runs 100] [--ranges test] [--only pace,aws]

Every scheme meets the same servers, drawn at random, kind by kind. ``used`` is the time of a
client that knows everything divided by the time taken, start-up included.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).parent))

from pace_baselines import Aimd, Aws, Fixed

from fetchcast.extract.pace import Pace, PaceOptions
from fetchcast.testing.simulation.scenarios import KINDS, TEST, TRAIN, draw
from fetchcast.testing.simulation.world import Client, run

SCHEMES: dict[str, Callable[[], Client]] = {
    "pace": lambda: Pace(PaceOptions()),
    "aws": Aws,
    "aimd": lambda: Aimd(first=20.0),
    "fixed": Fixed,
}


@dataclass(frozen=True, slots=True)
class Row:
    """One run."""

    kind: str
    scheme: str
    index: int
    about: str
    used: float
    refused: float
    long: bool
    lost: int
    latency_ratio: float
    took_s: float
    ideal_s: float
    text: str

    @property
    def score(self) -> float:
        return self.used * (1 - self.refused)


def one(kind: str, index: int, ranges: str, scheme: str) -> Row:
    scenario = draw(kind, index, TEST if ranges == "test" else TRAIN)
    client = SCHEMES[scheme]()
    books = run(
        scenario.server(),
        client,
        calls=scenario.calls,
        seed=scenario.seed,
        wall0=scenario.wall0,
        timeout_s=scenario.timeout_s,
        until=scenario.until_s,
    )
    finished = books.finished_at
    took = (
        finished
        if finished is not None
        else scenario.until_s * scenario.calls / max(1, books.accepted)
    )
    explain = getattr(client, "explanation", None)
    return Row(
        kind,
        scheme,
        index,
        scenario.about,
        min(1.0, scenario.ideal_s / took),
        books.refused_share,
        scenario.long,
        scenario.calls - books.accepted,
        books.latency_sum_s / max(1, books.accepted) / scenario.latency_s,
        took,
        scenario.ideal_s,
        explain(took).text if explain else "",
    )


def _task(arguments: tuple[str, int, str, str]) -> Row:
    return one(*arguments)


def quantile(values: Iterable[float], at: float) -> float:
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(at * len(ordered)))]


def cell(rows: list[Row]) -> str:
    """Used median/10th percentile, refused median/90th percentile, of the long runs."""
    long = [row for row in rows if row.long] or rows
    used, refused = [r.used for r in long], [r.refused for r in long]
    return (
        f"{quantile(used, 0.5):3.0%}/{quantile(used, 0.1):3.0%} "
        f"{quantile(refused, 0.5):5.1%}/{quantile(refused, 0.9):4.0%} "
        f"{mean(r.score for r in rows):.3f} {quantile([r.latency_ratio for r in rows], 0.5):3.1f}x"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--ranges", default="test")
    parser.add_argument("--only", default="pace,aws,aimd,fixed")
    parser.add_argument("--kinds", default=KINDS)
    parser.add_argument("--worst", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    schemes = options.only.split(",")
    tasks = [
        (kind, index, options.ranges, scheme)
        for kind in options.kinds
        for index in range(options.runs)
        for scheme in schemes
    ]
    begun = time.perf_counter()
    with ProcessPoolExecutor(options.processes) as pool:
        rows = list(pool.map(_task, tasks, chunksize=8))
    report(rows, options.kinds, schemes, options.worst)
    print(f"{len(rows)} runs, {time.perf_counter() - begun:.0f} s")


def report(rows: list[Row], kinds: str, schemes: list[str], worst: int) -> None:
    print("kind  " + "  ".join(f"{scheme:^33}" for scheme in schemes))
    print("      " + "  ".join("used 50/10  refused 50/90   score " for _ in schemes))
    for kind in kinds:
        cells = [cell([r for r in rows if r.kind == kind and r.scheme == s]) for s in schemes]
        print(f"{kind:4}  " + "  ".join(f"{c:33}" for c in cells))
    for scheme in schemes:
        mine = [r for r in rows if r.scheme == scheme]
        print(
            f"{scheme:8} score {mean(r.score for r in mine):.4f}"
            f"  used {mean(r.used for r in mine):.3f}"
            f"  refused {mean(r.refused for r in mine):.3f}"
            f"  cut off {sum(r.lost > 0 for r in mine)}"
        )
    if worst:
        for kind in kinds:
            mine = sorted(
                (r for r in rows if r.kind == kind and r.scheme == "pace"), key=lambda r: r.score
            )
            for row in mine[:worst]:
                print(
                    f"{row.kind}{row.index:3} used {row.used:.2f} refused {row.refused:.2f} "
                    f"{row.about} | {row.took_s:.1f}/{row.ideal_s:.1f} | {row.text}"
                )


if __name__ == "__main__":
    main()
