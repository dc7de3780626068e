"""An API with one limit for all callers: a process that prints its address, then its books."""

import asyncio
import json
import sys
from pathlib import Path

from fetchcast.testing.limits import instant, running_limits
from fetchcast.testing.simulation.gates import Concurrency, TokenBucket
from fetchcast.testing.simulation.world import Server


async def main(gate: str, limit: float, burst: float, body_bytes: int) -> None:
    gates = {"rate": lambda: TokenBucket(limit, burst), "level": lambda: Concurrency(int(limit))}
    server = Server(network=instant(0.02, spread=0.1), gates=[gates[gate]()])
    body = json.dumps({"rows": [{"id": 1, "text": "x" * body_bytes}]}).encode()
    async with running_limits(server, body=body) as api:
        print(api.url, flush=True)
        lines = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while await lines.readline():
            books = api.books
            told = {
                "accepted": books.accepted,
                "refused": books.refused,
                "first_at": api.first_call_at,
                "last_at": api.last_accepted_at,
                "per_bin": {**books.accepted_per_bin},
                "most_inside": books.most_inside,
            }
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    assert Path(__file__).exists()
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
