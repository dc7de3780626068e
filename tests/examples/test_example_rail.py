"""examples/rail: whole days from the API, whole months from its zips."""

import io
import json
import zipfile
from typing import Any

from fetchcast.testing import Asked, Reply, json_reply, running_api


def trains(day: str, count: int) -> list[dict[str, Any]]:
    return [
        {
            "trainNumber": number,
            "departureDate": day,
            "timeTableRows": [
                {"stationShortCode": code, "type": "ARRIVAL", "causes": []}
                for code in ("HKI", "TPE")
            ],
        }
        for number in range(1, count + 1)
    ]


def rail(asked: Asked) -> Reply:
    if asked.query:
        return json_reply({"code": "UNKNOWN_PARAMETER"}, 400)
    if "gzip" not in asked.headers.get("accept-encoding", ""):
        return Reply(406, {}, b"Use of gzip compression is required")
    day = asked.path.rpartition("/")[2]
    return json_reply(trains(day, 3 if day != "2026-01-02" else 0))


def dumps(asked: Asked) -> Reply:
    month = asked.path.removesuffix("-01.zip")[-7:]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for day in ("01", "02"):
            date = f"{month}-{day}"
            file.writestr(f"{date}_trains.json", json.dumps(trains(date, 2)))
    return Reply(200, {"Content-Type": "application/zip"}, packed.getvalue())


async def test_whole_days(example) -> None:
    made = example("rail")
    made.replace("days.toml", 'last = "30 days"', 'from = "2026-01-01", to = "2026-01-03"')
    async with running_api({"*": rail}) as api:
        report = await made.run("days.toml", api.url)
    assert report.end == 0, report.failures
    assert api.asked[0].headers["digitraffic-user"] == "fetchcast-example"
    found = made.rows(
        "select departure_date::text, count(distinct train_number), count(*) from stops "
        "group by 1 order by 1",
        "rail-days",
    )
    assert found == [("2026-01-01", 3, 6), ("2026-01-03", 3, 6)]


async def test_whole_months(example) -> None:
    made = example("rail")
    made.replace("dumps.toml", 'to = "2022-03-31"', 'to = "2021-04-30"')
    async with running_api({"*": dumps}) as api:
        report = await made.run("dumps.toml", api.url)
    assert report.end == 0, report.failures
    path = "/trains/dumps/digitraffic-rata-trains"
    assert sorted(api.hits) == [f"{path}-2021-03-01.zip", f"{path}-2021-04-01.zip"]
    found = made.rows("select count(*), count(distinct departure_date) from stops", "rail-dumps")
    assert found == [(16, 4)]
