"""Who we are, over real sockets: each type of ``[api.auth]``, tokens that run out, keys in turn."""

import asyncio
import re
from base64 import b64encode
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import fetchcast
from fetchcast.config import read_pipeline
from fetchcast.errors import ConfigError
from fetchcast.events import RunEnd
from fetchcast.landing.reader import open_reader
from fetchcast.testing import Asked, Reply, TokenServer, json_reply, redirect, running_api

FINE = json_reply([{"a": 1}])


def pipeline(
    folder: Path,
    url: str,
    auth: str,
    *,
    calls: int = 3,
    more: str = "",
    paged: str = "",
    env: dict[str, str] | None = None,
) -> fetchcast.Pipeline:
    """A pipeline file with ``calls`` calls and ``auth``, read with ``env``."""
    ids = "\n".join(["id", *(f"n{number}" for number in range(calls))])
    (folder / "ids.csv").write_text(ids + "\n")
    (folder / "p.toml").write_text(
        f"""
[api]
base_url = "{url}"
{auth}
[resource.items]
path = "items/{{id}}"
params.id = {{ csv = "ids.csv", column = "id" }}
{paged}
{more}
[table.items]
from = "items"
"""
    )
    return read_pipeline(folder / "p.toml", environment=env or {})


async def run(folder: Path, url: str, auth: str, **options: object) -> fetchcast.RunReport:
    return await fetchcast.arun(pipeline(folder, url, auth, **options))  # type: ignore[arg-type]


KINDS = {
    "bearer": (
        'type = "bearer"\ntoken = "${SECRET}"',
        lambda asked: asked.headers.get("authorization") == "Bearer s3cr/t canary-1",
    ),
    "header": (
        'type = "api_key"\nkey = "${SECRET}"',
        lambda asked: asked.headers.get("x-api-key") == "s3cr/t canary-1",
    ),
    "query": (
        'type = "api_key"\nkey = "${SECRET}"\nname = "appid"\nin = "query"',
        lambda asked: asked.query.get("appid") == "s3cr/t canary-1",
    ),
    "cookie": (
        'type = "api_key"\nkey = "${SECRET}"\nname = "sid"\nin = "cookie"',
        lambda asked: asked.headers.get("cookie") == "sid=s3cr/t canary-1",
    ),
    "basic": (
        'type = "basic"\nuser = "me"\npassword = "${SECRET}"',
        lambda asked: (
            asked.headers.get("authorization")
            == "Basic " + b64encode(b"me:s3cr/t canary-1").decode()
        ),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_key_that_is_known_is_sent_and_kept_nowhere(tmp_path: Path, kind: str) -> None:
    """Even if the API says it back; and the same call has the same name with another key."""
    auth, is_right = KINDS[kind]

    def guard(asked: Asked) -> Reply:
        if not is_right(asked):
            return json_reply({"error": "who are you?"}, 401)
        return json_reply([{"a": 1, "echo": asked.target, "you": asked.headers.get("cookie")}])

    async with running_api({"*": guard}) as api:
        env = {"SECRET": "s3cr/t canary-1"}
        report = await run(tmp_path, api.url, f"[api.auth]\n{auth}", env=env)
        again = await run(tmp_path, api.url, f"[api.auth]\n{auth}", env={"SECRET": "another-key"})
        hits = len(api.hits)
    assert report.end == again.end == RunEnd.COMPLETE
    assert hits == 3, "the second run had nothing left to ask"
    kept = everything_in(tmp_path)
    for form in (b"s3cr/t canary-1", b"s3cr%2Ft", b"bWU6czNjci90", b"canary-1"):
        assert form not in kept


def everything_in(folder: Path) -> bytes:
    """All that a run wrote, answers unpacked, tables as text."""
    import duckdb

    parts = [
        path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in {".env", ".key"} and path.name != ".env"
    ]
    for landing in (folder / ".fetchcast").iterdir():
        with open_reader(landing) as reader:
            parts += [repr(landed).encode() for landed in reader.answers()]
    for database in folder.glob("*.duckdb"):
        with duckdb.connect(str(database), read_only=True) as connection:
            for (table,) in connection.execute("select table_name from duckdb_tables()").fetchall():
                parts.append(repr(connection.execute(f'from "{table}"').fetchall()).encode())
    return b"\n".join(parts)


OAUTH = """[api.auth]
type = "oauth2_client_credentials"
token_url = "{url}/token"
client_id = "me"
client_secret = "${{SECRET}}"
"""


@pytest.mark.parametrize("send", ["header", "body"])
async def test_a_token_is_fetched_once_for_all_calls(tmp_path: Path, send: str) -> None:
    tokens = TokenServer(client_id="me", client_secret="s3cr:t &canary", delay_s=0.1)
    async with running_api({"POST /token": tokens.grant, "*": tokens.guarded(FINE)}) as api:
        auth = OAUTH.format(url=api.url) + f'send = "{send}"\nscope = "read write"'
        report = await run(tmp_path, api.url, auth, calls=60, env={"SECRET": "s3cr:t &canary"})
        form = next(asked.body for asked in api.asked if asked.path == "/token")
    assert report.end == RunEnd.COMPLETE
    assert (tokens.granted, tokens.peak, tokens.turned_away) == (1, 1, 0)
    assert b"scope=read+write" in form
    kept = everything_in(tmp_path)
    assert b"canary" not in kept
    assert b"token-1" not in kept


async def test_tokens_that_expire_every_second_under_fifty_calls_in_flight(tmp_path: Path) -> None:
    """Every call lands, and one renewal is under way at a time."""
    tokens = TokenServer(client_id="me", client_secret="s3cret-canary", expires_in_s=1.0)
    busy = peak = 0

    async def slow(_: Asked) -> Reply:
        nonlocal busy, peak
        busy, peak = busy + 1, max(peak, busy + 1)
        await asyncio.sleep(0.1)
        busy -= 1
        return FINE

    calls = 1500
    async with running_api({"POST /token": tokens.grant, "*": tokens.guarded(slow)}) as api:
        auth = OAUTH.format(url=api.url)
        more = "[limits]\nmax_concurrency = 50"
        env = {"SECRET": "s3cret-canary"}
        report = await run(tmp_path, api.url, auth, calls=calls, more=more, env=env)
    assert report.end == RunEnd.COMPLETE
    assert report.resources["items"].fates["landed"] == calls
    assert tokens.granted >= 3
    assert tokens.peak == 1
    assert peak >= 45
    # Nearly all are renewed before they run out, so that few calls are turned away.
    assert tokens.turned_away <= calls / 10


async def test_a_revoked_token_costs_nothing_but_a_renewal(tmp_path: Path) -> None:
    tokens = TokenServer(client_id="me", client_secret="s3cret-canary", delay_s=0.05)
    seen = 0

    def revoking(_: Asked) -> Reply:
        nonlocal seen
        seen += 1
        if seen % 40 == 0:
            tokens.revoke()
        return FINE

    async with running_api({"POST /token": tokens.grant, "*": tokens.guarded(revoking)}) as api:
        auth = OAUTH.format(url=api.url)
        more = "[retry]\nattempts = 1"
        env = {"SECRET": "s3cret-canary"}
        report = await run(tmp_path, api.url, auth, calls=200, more=more, env=env)
    assert report.end == RunEnd.COMPLETE
    assert tokens.peak == 1
    assert tokens.granted in {5, 6}


async def test_a_call_that_no_token_helps_fails_and_the_others_land(tmp_path: Path) -> None:
    tokens = TokenServer(client_id="me", client_secret="s3cret-canary")
    private = Reply(401, body=b"not for you")
    routes = {"POST /token": tokens.grant, "/items/n1": private, "*": tokens.guarded(FINE)}
    async with running_api(routes) as api:
        env = {"SECRET": "s3cret-canary"}
        report = await run(tmp_path, api.url, OAUTH.format(url=api.url), calls=20, env=env)
    assert report.end == RunEnd.INCOMPLETE
    assert dict(report.resources["items"].fates) == {"landed": 19, "failed": 1}
    assert tokens.granted <= 4
    assert "not for you" in report.failures[0].reason


async def test_no_token_ends_the_run_with_the_reason(tmp_path: Path) -> None:
    tokens = TokenServer(client_id="me", client_secret="right")
    async with running_api({"POST /token": tokens.grant, "*": tokens.guarded(FINE)}) as api:
        env = {"SECRET": "wrong-canary"}
        report = await run(tmp_path, api.url, OAUTH.format(url=api.url), env=env)
        asked = [one.path for one in api.asked]
    assert report.end == RunEnd.INCOMPLETE
    assert re.fullmatch(
        r"no token from http://127.0.0.1:\d+/token: HTTP 401: '{\"error\":\s*\"invalid_client\"}'",
        report.stopped or "",
    )
    assert asked == ["/token"], "no call is made without a token, and a clear no is not repeated"
    assert b"canary" not in everything_in(tmp_path)


async def test_a_busy_token_endpoint_is_asked_again(tmp_path: Path) -> None:
    tokens = TokenServer(client_id="me", client_secret="s3cret-canary")
    turn = iter([Reply(503), Reply(500)])

    async def grant(asked: Asked) -> Reply:
        return next(turn, None) or await tokens.grant(asked)

    async with running_api({"POST /token": grant, "*": tokens.guarded(FINE)}) as api:
        more = "[retry]\nbase_s = 0.01"
        env = {"SECRET": "s3cret-canary"}
        report = await run(tmp_path, api.url, OAUTH.format(url=api.url), more=more, env=env)
    assert report.end == RunEnd.COMPLETE
    assert tokens.granted == 1


async def test_secrets_of_a_token_call_follow_no_redirect(tmp_path: Path) -> None:
    async with running_api({"*": Reply(200, body=b"{}")}) as thief:
        routes = {"POST /token": redirect(f"{thief.url}/token", 307), "*": FINE}
        async with running_api(routes) as api:
            env = {"SECRET": "s3cret-canary"}
            auth = OAUTH.format(url=api.url) + 'send = "body"'
            report = await run(tmp_path, api.url, auth, env=env)
    assert "no token" in (report.stopped or "")
    assert "redirected" in (report.stopped or "")
    assert thief.hits == []


LOGIN = """[api.auth]
type = "login"
path = "session/new"
json = {{ user = "me", password = "${{SECRET}}" }}
{}
"""


@pytest.mark.parametrize(
    ("how", "answer", "header"),
    [
        (
            'token = "data.token"',
            json_reply({"data": {"token": "t-1"}}),
            "authorization=Bearer t-1",
        ),
        (
            'token = "tokens[0]"\nname = "X-Session"\nprefix = ""\nexpires = "left"',
            json_reply({"tokens": ["t-1"], "left": "600"}),
            "x-session=t-1",
        ),
        (
            'token = "cookie:sid"\nname = "Cookie"\nprefix = "sid="',
            Reply(204, {"Set-Cookie": "sid=t-1; Expires=Wed, 21 Oct 2099 07:28:00 GMT; Path=/"}),
            "cookie=sid=t-1",
        ),
        ('token = "header:X-Token"', Reply(200, {"X-Token": "t-1"}), "authorization=Bearer t-1"),
    ],
)
async def test_a_log_in_gives_the_token(
    tmp_path: Path, how: str, answer: Reply, header: str
) -> None:
    name, _, value = header.partition("=")

    def guarded(asked: Asked) -> Reply:
        return FINE if asked.headers.get(name) == value else Reply(401)

    async with running_api({"POST /session/new": answer, "*": guarded}) as api:
        env = {"SECRET": "s3cret-canary"}
        report = await run(tmp_path, api.url, LOGIN.format(how), env=env)
        bodies = [asked.body for asked in api.asked if asked.path == "/session/new"]
    assert report.end == RunEnd.COMPLETE
    assert bodies == [b'{"user":"me","password":"s3cret-canary"}']
    assert b"canary" not in everything_in(tmp_path)


async def test_a_log_in_whose_answer_has_no_token_says_so(tmp_path: Path) -> None:
    async with running_api({"POST /session/new": json_reply({"tok": 1}), "*": FINE}) as api:
        env = {"SECRET": "s3cret-canary"}
        report = await run(tmp_path, api.url, LOGIN.format('token = "data.token"'), env=env)
    assert "the answer has nothing at token = 'data.token'" in (report.stopped or "")


def far_from_now() -> str:
    """Half a day away, as the file writes it."""
    return f"{datetime.now(UTC) + timedelta(hours=12):%H:00} UTC"


async def test_keys_in_rotation_have_a_quota_each_and_a_memory_each(tmp_path: Path) -> None:
    """Three keys of 40 calls a day make 120; the next run of that day makes none."""
    seen: Counter[str] = Counter()

    def count(asked: Asked) -> Reply:
        seen[asked.headers["x-api-key"]] += 1
        return FINE

    env = {f"K{n}": f"canary-key-{n}" for n in range(3)}
    auth = (
        '[api.auth]\ntype = "api_key"\nkey = ["${K0}", "${K1}", "${K2}"]\n'
        # Not around midnight: a quota that resets soon is waited for.
        f'quota = {{ requests = 40, per = "day", resets = "{far_from_now()}" }}'
    )
    async with running_api({"*": count}) as api:
        first = await run(tmp_path, api.url, auth, calls=150, env=env)
        second = await run(tmp_path, api.url, auth, calls=150, env=env)
    assert first.end == second.end == RunEnd.STOPPED
    assert "none of the 3 keys can be used: your quota of 40 calls" in (first.stopped or "")
    assert seen == {f"canary-key-{n}": 40 for n in range(3)}
    assert first.resources["items"].fates["landed"] == 120
    assert b"canary" not in everything_in(tmp_path)


async def test_a_limit_of_one_key_does_not_hold_the_others_back(tmp_path: Path) -> None:
    """The API refuses one key; its calls leave with another, and none fails."""
    seen: Counter[str] = Counter()

    def limited(asked: Asked) -> Reply:
        key = asked.headers["authorization"]
        seen[key] += 1
        tired = key == "Bearer canary-key-0" and seen[key] > 5
        return Reply(429, {"Retry-After": "3600"}) if tired else FINE

    env = {f"K{n}": f"canary-key-{n}" for n in range(2)}
    auth = '[api.auth]\ntype = "bearer"\ntoken = ["${K0}", "${K1}"]'
    async with running_api({"*": limited}) as api:
        report = await run(tmp_path, api.url, auth, calls=100, env=env)
    assert report.end == RunEnd.COMPLETE
    assert report.resources["items"].fates["landed"] == 100
    assert seen["Bearer canary-key-1"] >= 90


async def test_a_key_that_is_no_good_is_left_out(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()

    def guard(asked: Asked) -> Reply:
        key = asked.headers["x-api-key"]
        seen[key] += 1
        return FINE if key == "canary-key-1" else Reply(401, body=b"unknown key " + key.encode())

    env = {f"K{n}": f"canary-key-{n}" for n in range(3)}
    auth = '[api.auth]\ntype = "api_key"\nkey = ["${K0}", "${K1}", "${K2}"]'
    async with running_api({"*": guard}) as api:
        report = await run(tmp_path, api.url, auth, calls=200, env=env)
    assert seen["canary-key-0"] <= 40
    assert seen["canary-key-2"] <= 40
    assert report.resources["items"].fates["landed"] >= 190
    assert b"canary" not in everything_in(tmp_path)


async def test_another_host_gets_no_key(tmp_path: Path) -> None:
    """A redirect that is allowed leads there without it, whichever way it is sent."""
    async with running_api({"*": FINE}) as other:
        away = other.url.replace("127.0.0.1", "localhost")

        def lead(asked: Asked) -> Reply:
            return redirect(f"{away}{asked.target}")

        async with running_api({"*": lead}) as api:
            for number, (auth, _) in enumerate(KINDS.values()):
                folder = tmp_path / str(number)
                folder.mkdir()
                more = '[http]\nallowed_hosts = ["localhost"]'
                env = {"SECRET": "s3cr/t canary-1"}
                report = await run(folder, api.url, f"[api.auth]\n{auth}", more=more, env=env)
                assert report.end == RunEnd.COMPLETE
    assert len(other.asked) == 3 * len(KINDS)
    assert "canary" not in repr(other.asked)
    assert b64encode(b"me:s3cr/t canary-1").decode() not in repr(other.asked)


@pytest.mark.parametrize(
    "auth",
    [
        'type = "bearer"\ntoken = "${SECRET}"',
        'type = "api_key"\nkey = "${SECRET}"\nname = "access_token"\nin = "query"',
    ],
)
async def test_a_link_to_the_next_page_that_repeats_the_key_is_followed(
    tmp_path: Path, auth: str
) -> None:
    def pages(asked: Asked) -> Reply:
        bearer = asked.headers.get("authorization") == "Bearer s3cret/canary"
        said = re.findall(r"access_token=([^&]*)", asked.target)
        if said not in ([], ["s3cret%2Fcanary"]) or not (bearer or said):
            return Reply(400, body=b"what token is that?")
        page = int(asked.query.get("page", "1"))
        link = f"{asked.path}?access_token=s3cret%2Fcanary&page={page + 1}"
        return json_reply({"data": [{"n": page}], "next": link if page < 4 else None})

    async with running_api({"*": pages}) as api:
        env = {"SECRET": "s3cret/canary"}
        report = await fetchcast.arun(
            pipeline(
                tmp_path,
                api.url,
                f"[api.auth]\n{auth}",
                calls=2,
                paged='paginator = { type = "next_url", path = "next" }',
                env=env,
            )
        )
    assert report.end == RunEnd.COMPLETE
    assert report.resources["items"].fates["landed"] == 8
    assert b"canary" not in everything_in(tmp_path)


WRONG = {
    "a literal": ('type = "bearer"\ntoken = "s3cret-canary"', r"does not belong into this file"),
    "a literal in a list": (
        'type = "api_key"\nkey = ["${SECRET}", "s3cret-canary"]',
        r"api.auth.key: a secret does not belong into this file",
    ),
    "not set": ('type = "bearer"\ntoken = "${NOT_SET}"', r"NOT_SET, which is not set"),
    "empty": ('type = "bearer"\ntoken = "${EMPTY}"', r"api.auth.token: it is empty"),
    "two lines": ('type = "bearer"\ntoken = "${LINES}"', r"line break"),
    "a number": ('type = "bearer"\ntoken = 987654321', r"api.auth.token: expected"),
    "no type": ('token = "${SECRET}"', r"api.auth.type = None: expected one of 'bearer'"),
    "another type": ('type = "bearrer"\ntoken = "${SECRET}"', r"did you mean 'bearer'"),
    "another key": ('type = "bearer"\ntokn = "${SECRET}"', r"did you mean 'token'"),
    "no place": (
        'type = "api_key"\nkey = "${SECRET}"\nin = "body"',
        r"api.auth.in = 'body': expected one of 'header', 'query', 'cookie'",
    ),
    "no file": ('type = "bearer"\ntoken = { file = "t.key" }', r"t.key: there is no such file"),
    "no secret": ('type = "bearer"', r"api.auth.token = None: expected a value"),
    "a colon": ('type = "basic"\nuser = "a:b"\npassword = "${SECRET}"', r"colon"),
    "two bodies": (
        'type = "login"\npath = "x"\ntoken = "t"\njson = {}\nform = {}',
        r"a call has one body",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_before_any_call_and_without_the_secret(
    tmp_path: Path, case: str
) -> None:
    auth, said = WRONG[case]
    env = {"SECRET": "s3cret-canary", "EMPTY": " ", "LINES": "s3cret-canary\nX: y"}
    with pytest.raises(ConfigError, match=said) as caught:
        pipeline(tmp_path, "http://127.0.0.1:1", f"[api.auth]\n{auth}", env=env)
    assert "canary" not in str(caught.value)
    assert "canary" not in repr(caught.value)
    assert "987654321" not in str(caught.value)


def test_a_secret_in_the_address_of_a_call_is_refused(tmp_path: Path) -> None:
    more = '[resource.more]\npath = "x?appid=${MY_TOKEN}"'
    with pytest.raises(ConfigError, match=r"resource.more.path: \$\{MY_TOKEN\} would be kept"):
        pipeline(tmp_path, "http://127.0.0.1:1", "", more=more, env={"MY_TOKEN": "s3cret-canary"})
    with pytest.raises(ConfigError, match="no user and password in it"):
        pipeline(tmp_path, "http://me:s3cret-canary@127.0.0.1:1", "")


def test_a_secret_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.key"
    file.write_text("s3cret-canary\n")
    auth = '[api.auth]\ntype = "bearer"\ntoken = { file = "t.key" }'
    for mode in (0o604, 0o620, 0o666):
        file.chmod(mode)
        with pytest.raises(ConfigError, match=r"mode 06\d\d\)\nhint: chmod 600"):
            pipeline(tmp_path, "http://127.0.0.1:1", auth)
    for mode in (0o600, 0o640, 0o400):
        file.chmod(mode)
        read = pipeline(tmp_path, "http://127.0.0.1:1", auth)
        assert read.api.auth.token == "s3cret-canary"  # type: ignore[union-attr]
        assert "canary" not in repr(read)
        assert "canary" not in repr(read.api)
        assert "canary" not in repr(read.api.auth)


async def test_what_comes_from_a_variable_into_a_header_is_hidden_too(tmp_path: Path) -> None:
    """`[api] headers` with secrets work as ever; an API that says them back is not kept."""

    def echo(asked: Asked) -> Reply:
        return json_reply([dict(asked.headers)])

    async with running_api({"*": echo}) as api:
        auth = 'headers = { X-Odd = "a ${SECRET} b", Accept = "application/json" }'
        report = await run(tmp_path, api.url, auth, env={"SECRET": "s3cret-canary"})
        sent = api.asked[0].headers["x-odd"]
    assert report.end == RunEnd.COMPLETE
    assert sent == "a s3cret-canary b"
    kept = everything_in(tmp_path)
    assert b"canary" not in kept
    assert b"a *** b" in kept
    assert b"application/json" in kept
