"""examples/statistics-finland: PxWeb, a query in the body, keys and values in the answer."""

import json

from fetchcast.testing import Asked, Reply, json_reply, running_api

AREAS = ["KU091", "KU837"]
TABLE = "/StatFin/vaerak/statfin_vaerak_pxt_11re.px"


def pxweb(asked: Asked) -> Reply:
    sent = json.loads(asked.body)
    chosen = {one["code"]: one["selection"] for one in sent["query"]}
    if sent["response"] != {"format": "json"} or "application/json" not in asked.headers.get(
        "content-type", ""
    ):
        return Reply(400, {"Content-Type": "text/plain"}, b"Bad Request")
    assert chosen["Alue"] == {"filter": "all", "values": ["*"]}
    (year,) = chosen["Vuosi"]["values"]
    data = [
        {"key": [area, year], "values": [str(int(year) * (place + 1)) if place else ".."]}
        for place, area in enumerate(AREAS)
    ]
    columns = [
        {"code": "Alue", "text": "Area", "type": "d"},
        {"code": "Vuosi", "text": "Year", "type": "t"},
        {"code": "vaesto", "text": "Population", "type": "c"},
    ]
    said = json_reply({"columns": columns, "comments": [], "data": data})
    return Reply(200, said.headers, b"\xef\xbb\xbf" + said.body)  # PxWeb begins with a mark.


async def test_a_call_a_year_brings_typed_rows(example) -> None:
    made = example("statistics-finland")
    made.replace("pipeline.toml", "from = 1990, to = 2024", "from = 2022, to = 2024")
    async with running_api({f"POST {TABLE}": pxweb}) as api:
        report = await made.run("pipeline.toml", api.url)
        again = await made.run("pipeline.toml", api.url)
    assert (report.end, again.end) == (0, 0), report.failures
    assert len(api.hits) == 3, "a call for each year, once"
    assert made.rows("select area, year, people from population order by all") == [
        ("KU091", 2022, None),
        ("KU091", 2023, None),
        ("KU091", 2024, None),
        ("KU837", 2022, 4044),
        ("KU837", 2023, 4046),
        ("KU837", 2024, 4048),
    ]
