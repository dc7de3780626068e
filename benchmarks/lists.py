"""Pages and children against what they would take if all that is known were asked at once.

    .venv/bin/python benchmarks/lists.py [--rounds 3]

pages     100 pages of a list that says how many rows it has, 100 ms each: on first contact, and
          with the pace known from a run before; one after the other they take 10 s
children  1,000 parents with 10 children each, 100 ms an answer, from an API that takes 100 calls
          at a time: the ideal is 11,000 calls * 0.1 s / 100 = 11 s

Calls and their landing are timed (`extract_s` of the report); the server is another process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
LATENCY_S = 0.1
PAGES, PARENTS, CHILDREN, AT_ONCE = 100, 1000, 10, 100


async def serve() -> None:
    from fetchcast.testing import Asked, Reply, json_reply, running_api

    busy = 0

    async def says(asked: Asked) -> Reply:
        nonlocal busy
        if asked.path == "/items":
            await asyncio.sleep(LATENCY_S)
            at = 10 * (int(asked.query.get("page", "1")) - 1)
            rows = [{"id": at + k} for k in range(10)]
            return json_reply({"total": 10 * PAGES, "items": rows})
        if busy >= AT_ONCE:
            return Reply(503)
        busy += 1
        await asyncio.sleep(LATENCY_S)
        busy -= 1
        if asked.path.startswith("/children"):
            return json_reply({"ok": 1})
        number = int(asked.path.rsplit("/", 1)[1])
        return json_reply([{"id": CHILDREN * number + k} for k in range(CHILDREN)])

    async with running_api({"*": says}) as api:
        print(api.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def pages(url: str) -> dict[str, Any]:
    paginator = {"type": "page_number", "total": "total"}
    return {
        "name": "pages",
        "api": {"base_url": url},
        "resource": {"items": {"path": "items", "paginator": paginator}},
        "table": {"items": {"from": "items", "rows": "items[*]"}},
    }


def children(url: str) -> dict[str, Any]:
    return {
        "name": "children",
        "api": {"base_url": url},
        "resource": {
            "parents": {"path": "parents/{n}", "params": {"n": list(range(PARENTS))}},
            "children": {
                "path": "children/{id}",
                "params": {"id": {"from": "parents", "field": "id"}},
            },
        },
        "table": {"parents": {"from": "parents"}, "children": {"from": "children"}},
    }


def run(raw: dict[str, Any], folder: Path, *, again: bool = False) -> float:
    import fetchcast
    from fetchcast.config import pipeline_from
    from fetchcast.pipeline import RunOptions

    made = pipeline_from(raw, folder=folder)
    report = fetchcast.run(made, options=RunOptions(again=again))
    assert report.end == 0, report.failures
    assert report.count("landed") == sum(one.planned for one in report.resources.values())
    print(report.pace, round(report.extract_s, 3), report.refused, "refused", file=sys.stderr)
    return report.extract_s


def measure(url: str, rounds: int) -> dict[str, Any]:
    first, known, family = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            run({**pages(url), "name": "warm"}, Path(name))
            first.append(run(pages(url), Path(name)))
            known.append(run(pages(url), Path(name), again=True))
            family.append(run(children(url), Path(name)))
    ideal = PARENTS * (1 + CHILDREN) * LATENCY_S / AT_ONCE
    return {
        "first_s": round(statistics.median(first), 3),
        "known_s": round(statistics.median(known), 3),
        "children_s": round(statistics.median(family), 2),
        "children_ratio": round(statistics.median(family) / ideal, 2),
        "children_ideal_s": ideal,
        "all": {"first": first, "known": known, "children": family},
    }


def text(found: dict[str, Any]) -> str:
    machine = f"Python {platform.python_version()}, pycurl {version('pycurl')}"
    return f"""# Lists

{machine}, {found["cpus"]} cores, server included; medians. Calls and landing, without tables.

| what | seconds | goal | one by one |
|---|--:|--:|--:|
| 100 pages of 100 ms, first contact | {found["first_s"]} | 0.9 | 10 |
| 100 pages of 100 ms, pace known | {found["known_s"]} | 0.5 | 10 |
| 1,000 parents with 10 children, 100 at a time | {found["children_s"]} \
({found["children_ratio"]}x the ideal) | {1.3 * found["children_ideal_s"]:.1f} (1.3x) | 1,100 |
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true")
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve())
        return
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        found = measure(server.stdout.readline().strip(), given.rounds)
        server.communicate()
    import os

    found["cpus"] = os.cpu_count()
    print(text(found))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "lists.md").write_text(text(found))
    (RESULTS / "lists.json").write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
