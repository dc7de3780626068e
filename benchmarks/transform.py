"""How fast do landed train answers become Arrow tables, beside code written for them by hand?

    python benchmarks/transform.py [bodies]

Input: bodies of one train with 20 stops each, cut from the recorded days (about 6 KB), every
second stop with a cause. The hand-written code knows the schema, checks nothing and would lose
a new field in silence. CPU time of one thread, best of three; memory is the high-water mark.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain, cycle
from operator import attrgetter

import msgspec
import pyarrow as pa

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


class Cause(msgspec.Struct, gc=False):
    categoryCode: str | None = None  # noqa: N815  as the API writes it
    categoryCodeId: int | None = None  # noqa: N815
    detailedCategoryCode: str | None = None  # noqa: N815


class Ready(msgspec.Struct, gc=False):
    source: str | None = None
    accepted: bool | None = None
    timestamp: str | None = None


class Stop(msgspec.Struct, gc=False):
    stationShortCode: str | None = None  # noqa: N815
    stationUICCode: int | None = None  # noqa: N815
    countryCode: str | None = None  # noqa: N815
    type: str | None = None
    trainStopping: bool | None = None  # noqa: N815
    commercialStop: bool | None = None  # noqa: N815
    commercialTrack: str | None = None  # noqa: N815
    cancelled: bool | None = None
    scheduledTime: str | None = None  # noqa: N815
    actualTime: str | None = None  # noqa: N815
    differenceInMinutes: int | None = None  # noqa: N815
    liveEstimateTime: str | None = None  # noqa: N815
    estimateSource: str | None = None  # noqa: N815
    causes: list[Cause] | None = None
    trainReady: Ready | None = None  # noqa: N815


class Train(msgspec.Struct, gc=False):
    departureDate: str  # noqa: N815
    trainNumber: int  # noqa: N815
    timeTableRows: list[Stop]  # noqa: N815


def by_hand(answers: list[Landed]) -> int:
    """The same tables from code written for this API."""
    decode = msgspec.json.Decoder(list[Train]).decode
    rows = 0
    for first in range(0, len(answers), _CHUNK):
        chunk = answers[first : first + _CHUNK]
        trains = [(answer.key, train) for answer in chunk for train in decode(answer.body)]
        stops = list(chain.from_iterable(train.timeTableRows for _, train in trains))
        causes = list(chain.from_iterable(stop.causes or () for stop in stops))
        ready = [stop.trainReady or Ready() for stop in stops]
        columns = [
            pa.array([key for key, train in trains for _ in train.timeTableRows]),
            pa.array([train.departureDate for _, train in trains for _ in train.timeTableRows]),
            pa.array([train.trainNumber for _, train in trains for _ in train.timeTableRows]),
            *_arrays(stops, Stop.__struct_fields__[:13]),
            *_arrays(ready, Ready.__struct_fields__),
        ]
        children = _arrays(causes, Cause.__struct_fields__)
        rows += len(columns[0]) + len(children[0])
    return rows


def _arrays(structs: list[msgspec.Struct], names: tuple[str, ...]) -> list[pa.Array]:
    made = [pa.array(list(map(attrgetter(name), structs))) for name in names]
    return [
        array.cast(pa.timestamp("us", "UTC")) if name.endswith(("Time", "stamp")) else array
        for name, array in zip(names, made, strict=True)
    ]


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
    hand, _ = best_of(3, by_hand, answers)
    print(f"hand      to Arrow, nothing checked {hand:6.3f} s CPU   {hand / floor:.2f} x floor")
    print(f"shape     to Arrow, books checked   {ours:6.3f} s CPU   {ours / floor:.2f} x floor")
    print(f"          {ours / hand:.2f} x the code written by hand")
    print(f"          {stops / ours:,.0f} stops/s, {rows / ours:,.0f} rows/s with the causes")
    print(f"memory    {peak / 1024:,.0f} MB above the input")


if __name__ == "__main__":
    main()
