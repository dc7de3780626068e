"""examples/github-issues against a server that keeps GitHub's documented manners."""

import time

from fetchcast.testing import Asked, Reply, json_reply, link_pages, running_api

TOKEN = "ghp_0123456789abcdef"


class GitHub:
    """Link headers, a bearer token, and a limit that says 403 with the moment it ends."""

    def __init__(self, issues: int, allowed: int, window_s: float) -> None:
        items = [
            {"id": n, "number": n, "title": f"issue {n}", "labels": [{"name": "bug"}] * (n % 2)}
            for n in range(1, issues + 1)
        ]
        self._pages = link_pages(items, size=100)
        self._allowed, self._window_s = allowed, window_s
        self._used, self._resets_at = 0, 0.0
        self.refused = 0

    def __call__(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return json_reply({"message": "Bad credentials"}, 401)
        if time.time() >= self._resets_at:
            # GitHub's windows end on a whole second.
            self._used, self._resets_at = 0, float(int(time.time() + self._window_s))
        self._used += 1
        limits = {
            "x-ratelimit-limit": str(self._allowed),
            "x-ratelimit-remaining": str(max(0, self._allowed - self._used)),
            "x-ratelimit-reset": str(int(self._resets_at)),
            "x-ratelimit-resource": "core",
        }
        if self._used > self._allowed:
            self.refused += 1
            status = 403 if self.refused % 2 else 429
            return json_reply({"message": "API rate limit exceeded"}, status, limits)
        if self._used == 5 and not self.refused:
            self._used = self._allowed  # Another program with the same token took the rest.
        found = self._pages(asked)
        return Reply(found.status, {**found.headers, **limits}, found.body)


async def test_every_issue_arrives_through_pages_and_limits(example) -> None:
    made, github = example("github-issues"), GitHub(730, allowed=10, window_s=2.0)
    async with running_api({"*": github}) as api:
        report = await made.run("pipeline.toml", api.url, GITHUB_TOKEN=TOKEN)
        asked = len(api.hits)
        again = await made.run("pipeline.toml", api.url, GITHUB_TOKEN=TOKEN)
    assert (report.end, again.end) == (0, 0), report.failures
    assert len(api.hits) == asked, "a day has not passed: nothing is asked again"
    found = made.rows("select repo, count(*), count(distinct id) from issues group by 1 order by 1")
    assert found == [("duckdb", 730, 730), ("duckdb-web", 730, 730)]
    assert len([hit for hit in api.hits if "page=8" in hit]) >= 2, "both lists to their end"
    assert github.refused >= 1, "the limit was met, and waited out"
    assert made.rows("select count(*) from issues_labels") == [(730,)]
    assert all(TOKEN not in hit for hit in api.hits)


async def test_a_wrong_token_is_told(example) -> None:
    made = example("github-issues")
    async with running_api({"*": GitHub(1, 5000, 60)}) as api:
        report = await made.run("pipeline.toml", api.url, GITHUB_TOKEN="wrong-token")
    assert report.end == 3
    assert "Bad credentials" in report.failures[0].reason
