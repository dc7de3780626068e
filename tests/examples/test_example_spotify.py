"""examples/spotify: client credentials, tokens that run out, offsets with a total."""

from fetchcast.testing import TokenServer, offset_pages, running_api

SECRETS = {"SPOTIFY_CLIENT_ID": "0123456789ab", "SPOTIFY_CLIENT_SECRET": "ba9876543210"}


async def test_albums_come_with_tokens_that_are_got_anew(example) -> None:
    made = example("spotify")
    tokens = TokenServer(
        client_id=SECRETS["SPOTIFY_CLIENT_ID"],
        client_secret=SECRETS["SPOTIFY_CLIENT_SECRET"],
        expires_in_s=3600,
    )
    albums = [{"id": f"a{n}", "name": f"album {n}", "release_date": "1982"} for n in range(170)]
    listed = tokens.guarded(offset_pages(albums, size=50))
    async with running_api({"POST /api/token": tokens.grant, "*": listed}) as api:
        report = await made.run(
            "pipeline.toml", api.url, SPOTIFY_TOKEN_URL=f"{api.url}/api/token", **SECRETS
        )
        assert report.end == 0, report.failures
        assert tokens.granted == 1
        tokens.revoke()  # As when an hour has passed between two runs.
        again = await made.run(
            "pipeline.toml", api.url, SPOTIFY_TOKEN_URL=f"{api.url}/api/token", **SECRETS
        )
    assert again.end == 0
    assert made.rows("select artist, count(distinct id) from albums group by 1 order by 1") == [
        ("0OdUWJ0sBjDrqHygGUXeCF", 170),
        ("4Z8W4fKeB5YxbusRsdQVPb", 170),
    ]
    form = next(asked for asked in api.asked if asked.path == "/api/token")
    assert form.headers["authorization"].startswith("Basic ")
    assert SECRETS["SPOTIFY_CLIENT_SECRET"] not in "".join(api.hits)
