"""examples/wikimedia: no data is said with 404, and who does not say who asks is refused."""

from fetchcast.records import Fate
from fetchcast.testing import Asked, Reply, json_reply, running_api

MISSING = {
    "type": "about:blank",
    "title": "Not found.",
    "detail": "The date(s) you used are valid, but we either do not have data for those date(s), "
    "or the project you asked for is not loaded yet.",
}


def pageviews(asked: Asked) -> Reply:
    if "@" not in asked.headers.get("user-agent", ""):
        return Reply(403, {"Content-Type": "text/plain"}, b"Please set a user-agent")
    project, access, agent, article, granularity, start, end = asked.path.split("/")[4:]
    assert (access, agent, granularity) == ("all-access", "user", "daily")
    assert len(start) == len(end) == 8
    if project == "en.wikipedia.org":
        return json_reply(MISSING, 404)
    item = {"project": project.removesuffix(".org"), "article": article, "granularity": "daily",
            "timestamp": f"{start}00", "access": access, "agent": agent, "views": 7}  # fmt: skip
    return json_reply({"items": [item]})


async def test_windows_without_readers_are_empty_not_failed(example) -> None:
    made = example("wikimedia")
    made.replace("pipeline.toml", 'last = "2 years"', 'from = "2026-01-01", to = "2026-03-31"')
    async with running_api({"*": pageviews}) as api:
        report = await made.run("pipeline.toml", api.url)
    assert report.end == 0, report.failures
    assert report.resources["views"].fates == {Fate.LANDED: 9, Fate.EMPTY: 9}
    assert "/Valtion%20rautatiet/daily/20260201/20260228" in "".join(api.hits)
    assert made.rows("select count(*), sum(views) from views") == [(9, 63)]
