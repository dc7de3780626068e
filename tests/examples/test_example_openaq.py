"""examples/openaq: a list of stations, and a list for each of their sensors."""

from fetchcast.testing import Asked, Reply, json_reply, running_api

KEY = "0123456789abcdef"
LIMITS = {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "50", "x-ratelimit-reset": "31"}


def paged(asked: Asked, items: list) -> Reply:
    page, limit = int(asked.query.get("page", 1)), int(asked.query.get("limit", 100))
    found = items[(page - 1) * limit : page * limit]
    # Where there is more, the number that was found is a text.
    count = f">{limit}" if len(items) > page * limit else len(items)
    meta = {"name": "openaq-api", "page": page, "limit": limit, "found": count}
    return json_reply({"meta": meta, "results": found}, headers=LIMITS)


def openaq(asked: Asked) -> Reply:
    if asked.headers.get("x-api-key") != KEY:
        return json_reply({"detail": "invalid credentials"}, 401)
    if asked.path == "/locations":
        assert asked.query["iso"] == "FI"
        stations = [
            {"id": n, "name": f"station {n}", "sensors": [{"id": 10 * n}, {"id": 10 * n + 1}]}
            for n in range(1, 4)
        ]
        return paged(asked, stations)
    sensor = int(asked.path.split("/")[2])
    count = 1500 if sensor == 10 else 2
    days = [{"value": 0.5 * n, "period": {"label": "1day"}, "summary": None} for n in range(count)]
    return paged(asked, days)


async def test_sensors_of_stations_are_asked_with_the_key(example) -> None:
    made = example("openaq")
    async with running_api({"*": openaq}) as api:
        report = await made.run("pipeline.toml", api.url, OPENAQ_API_KEY=KEY)
    assert report.end == 0, report.failures
    assert made.rows("select count(*) from locations") == [(3,)]
    found = made.rows("select sensor, count(*) from days group by sensor order by sensor")
    assert found == [(10, 1500), (11, 2), (20, 2), (21, 2), (30, 2), (31, 2)]
    assert KEY not in "".join(api.hits)
