"""examples/open-meteo: several places in one call, arrays side by side."""

from fetchcast.testing import Asked, Reply, json_reply, running_api


def forecast(asked: Asked) -> Reply:
    """One place is answered with an object, several with an array of them."""
    names = asked.query["hourly"].split(",")
    places = list(
        zip(asked.query["latitude"].split(","), asked.query["longitude"].split(","), strict=True)
    )
    assert asked.query["past_days"] == "31"
    found = [
        {
            "latitude": float(latitude),
            "longitude": float(longitude),
            "elevation": 26.0,
            "hourly_units": {"time": "iso8601", **dict.fromkeys(names, "x")},
            "hourly": {
                "time": ["2026-11-20T00:00", "2026-11-20T01:00"],
                **{name: [float(latitude), None] for name in names},
            },
        }
        for latitude, longitude in places
    ]
    return json_reply(found[0] if len(found) == 1 else found)


async def test_three_places_are_one_call_and_six_rows(example) -> None:
    made = example("open-meteo")
    async with running_api({"/forecast": forecast}) as api:
        report = await made.run("pipeline.toml", api.url)
    assert report.end == 0, report.failures
    assert [asked.query["latitude"] for asked in api.asked] == ["60.17,61.5,65.01"]
    assert made.rows("select latitude, longitude, temperature_2m from hourly order by all") == [
        (60.17, 24.94, 60.17),
        (60.17, 24.94, None),
        (61.5, 23.79, 61.5),
        (61.5, 23.79, None),
        (65.01, 25.47, 65.01),
        (65.01, 25.47, None),
    ]


async def test_the_minutely_limit_without_retry_after_is_waited_out(example) -> None:
    """It is said with 429 and a text; the same call is answered a moment later."""
    made = example("open-meteo")
    limit = "Minutely API request limit exceeded. Please try again in one minute."
    busy, calls = json_reply({"error": True, "reason": limit}, 429), []

    def says(asked: Asked) -> Reply:
        calls.append(asked)
        return busy if len(calls) == 1 else forecast(asked)

    async with running_api({"/forecast": says}) as api:
        report = await made.run("pipeline.toml", api.url)
    assert report.end == 0, report.failures
    assert len(calls) == 2
