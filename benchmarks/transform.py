"""How fast do landed train answers become Arrow tables, beside the floor of decoding alone?

    python benchmarks/transform.py [bodies]

Input: bodies of one train with 20 stops each, cut from the recorded days (about 6 KB), every
second stop with a cause. CPU time of one thread, best of three; memory is the high-water mark.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle

import msgspec

from fetchcast.records import Fate, Landed
from fetchcast.sandbox.recordings import train_days
from fetchcast.transform import Shaper, TableOptions

_CAUSE = {"categoryCode": "L", "categoryCodeId": 12, "detailedCategoryCode": "L2"}
_STOPS = 20
_CHUNK = 5000
OPTIONS = TableOptions(
    source="trains",
    rows="[*].timeTableRows[*]",
    carry={"departure_date": "^.departureDate", "train_number": "^.trainNumber"},
)


def train_bodies(count: int) -> list[bytes]:
    """Bodies of about 6 KB, equal in every run."""
    return [body for body, _ in zip(_bodies(), range(count), strict=False)]


def _bodies() -> Iterator[bytes]:
    for day in cycle(train_days().values()):
        for first in range(0, len(day["timeTableRows"]) - _STOPS, _STOPS):
            stops = [dict(stop) for stop in day["timeTableRows"][first : first + _STOPS]]
            for stop in stops[::2]:
                stop["causes"] = [_CAUSE]
            yield msgspec.json.encode([day | {"timeTableRows": stops}])


def landed(bodies: list[bytes]) -> list[Landed]:
    """Bodies as the landing gives them."""
    return [_landed(place, body) for place, body in enumerate(bodies)]


def _landed(place: int, body: bytes) -> Landed:
    return Landed(
        seq=place,
        key=f"{place:032x}",
        resource="trains",
        url="https://rata.digitraffic.fi/api/v1/trains/2021-03-23/27",
        params={"date": "2021-03-23", "train": 27},
        fate=Fate.LANDED,
        status=200,
        headers={},
        body=body,
        attempts=1,
        reason=None,
        finished_at=1616500000.0,
    )


def shape_all(answers: list[Landed]) -> int:
    """Shape in chunks, as a run does; the rows of all tables."""
    shaper = Shaper("stops", OPTIONS)
    rows = 0
    for first in range(0, len(answers), _CHUNK):
        shaped = shaper.shape(answers[first : first + _CHUNK])
        shaped.accounting.check()
        rows += sum(batch.rows.num_rows for batch in shaped.batches)
    return rows


def decode_all(answers: list[Landed]) -> int:
    """The floor: decode each body into anything at all, keep nothing."""
    decode = msgspec.json.Decoder().decode
    return sum(len(decode(answer.body)[0]["timeTableRows"]) for answer in answers)


def best_of(
    runs: int, work: Callable[[list[Landed]], int], answers: list[Landed]
) -> tuple[float, int]:
    """CPU seconds of the best run, and what it returned."""
    took = []
    for _ in range(runs):
        before = time.process_time()
        result = work(answers)
        took.append(time.process_time() - before)
    return min(took), result


def main() -> None:
    """Print floor, ours, and the ratio."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    answers = landed(train_bodies(count))
    size = sum(len(answer.body) for answer in answers)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ours, rows = best_of(3, shape_all, answers)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    floor, stops = best_of(3, decode_all, answers)
    print(f"input     {count:,} bodies, mean {size / count:,.0f} B, {stops:,} stops")
    print(f"floor     msgspec.json.decode       {floor:6.3f} s CPU")
    print(f"shape     to Arrow, books checked   {ours:6.3f} s CPU   {ours / floor:.2f} x floor")
    print(f"          {stops / ours:,.0f} stops/s, {rows / ours:,.0f} rows/s with the causes")
    print(f"memory    {peak / 1024:,.0f} MB above the input")


if __name__ == "__main__":
    main()
