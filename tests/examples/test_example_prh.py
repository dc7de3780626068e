"""examples/prh: page 1 again behind the last page, as PRH's third version answers."""

from datetime import date
from urllib.parse import parse_qsl, urlsplit

from fetchcast.testing import Asked, Beyond, Reply, numbered_pages, running_api


def prh(asked: Asked) -> Reply:
    start = date.fromisoformat(asked.query["registrationDateStart"])
    end = date.fromisoformat(asked.query["registrationDateEnd"])
    assert (end - start).days <= 6
    companies = [
        {
            "businessId": {"value": f"{start.toordinal()}-{n}", "source": "3"},
            "names": [{"name": f"company {n}", "type": "1"}],
            "mainBusinessLine": {"type": "62010"} if n % 2 else None,
            "registrationDate": start.isoformat(),
            "lastModified": "2024-11-15 14:02:08",
        }
        for n in range(250 if start.day < 8 else 3)
    ]
    said = numbered_pages(companies, size=100, beyond=Beyond.FIRST)(asked)
    return Reply(said.status, said.headers, said.body.replace(b'"items"', b'"companies"'))


async def test_every_company_once_and_no_page_too_many(example) -> None:
    made = example("prh")
    made.replace("pipeline.toml", 'last = "90 days"', 'from = "2026-01-01", to = "2026-01-21"')
    async with running_api({"/companies": prh}) as api:
        report = await made.run("pipeline.toml", api.url)
    assert report.end == 0, report.failures
    assert made.rows("select count(*), count(distinct business_id) from companies") == [(256, 256)]
    pages = sorted(dict(parse_qsl(urlsplit(hit).query)).get("page", "1") for hit in api.hits)
    assert pages == ["1", "1", "1", "2", "3"]
    (changed,) = made.rows(
        "select distinct strftime(changed at time zone 'UTC', '%H') from companies"
    )
    assert changed == ("12",), "14:02 in Helsinki"
