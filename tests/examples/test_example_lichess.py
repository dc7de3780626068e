"""examples/lichess: one JSON object a line, one call at a time."""

import json

from fetchcast.records import Fate
from fetchcast.testing import Asked, Reply, running_api

NDJSON = {"Content-Type": "application/x-ndjson"}


def games(asked: Asked) -> Reply:
    if asked.headers.get("accept") != "application/x-ndjson":
        return Reply(200, {"Content-Type": "application/x-chess-pgn"}, b'[Event "Rated"]')
    since, until = int(asked.query["since"]), int(asked.query["until"])
    assert 27 <= (until - since) / 86_400_000 <= 32, "a month, in milliseconds"
    player = asked.path.rpartition("/")[2]
    if player != "thibault":
        return Reply(200, NDJSON, b"")
    lines = [
        {"id": f"{since}{n}", "rated": True, "createdAt": since + n, "speed": "blitz",
         "players": {"white": {"user": {"name": player}, "rating": 1500 + n}},
         "opening": {"eco": "B00"}}
        for n in range(3)
    ]  # fmt: skip
    return Reply(200, NDJSON, "".join(json.dumps(line) + "\n" for line in lines).encode())


async def test_every_line_is_a_game(example) -> None:
    made = example("lichess")
    async with running_api({"*": games}) as api:
        report = await made.run("pipeline.toml", api.url)
    assert report.end == 0, report.failures
    assert api.peak == 1
    assert report.resources["games"].fates == {Fate.LANDED: 12, Fate.EMPTY: 12}
    assert made.rows("select player, count(*), count(distinct id) from games group by 1") == [
        ("thibault", 36, 36)
    ]
    assert made.rows("select max(players_white_rating) from games") == [(1502,)]
