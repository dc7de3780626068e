"""`fetchcast import curl`: the call as it is copied, without the secrets in it."""

import tomllib
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fetchcast import Pipeline
from fetchcast.cli.main import cli
from fetchcast.errors import ConfigError
from fetchcast.extract.auth.hygiene import check_secrets
from fetchcast.plan.adopt.curl import adopt_curl

HIDDEN = "s3cr3t-Value"


def file(command: str) -> dict[str, Any]:
    made = adopt_curl(command)
    read = tomllib.loads(made.text)
    assert read == made.document
    assert HIDDEN not in made.text + "".join(made.notes)
    check_secrets(read)
    Pipeline.from_dict(read, environment=dict.fromkeys(made.secrets, "0123456789"))
    return read


def test_a_call_copied_from_a_browser_keeps_what_matters() -> None:
    command = f"""curl 'https://api.example.org/v2/items/2026-01-31/list?limit=50' \\
      -H 'accept: application/json' -H 'sec-fetch-mode: cors' -H 'referer: https://x.org/' \\
      -H 'x-tenant: blue' -H 'authorization: Bearer {HIDDEN}' --compressed"""
    assert file(command) == {
        "api": {
            "base_url": "https://api.example.org/v2",
            "headers": {"accept": "application/json", "x-tenant": "blue"},
            "auth": {"type": "bearer", "token": "${EXAMPLE_TOKEN}"},
        },
        "resource": {
            "list": {
                "path": "items/{date}/list",
                "query": {"limit": "50"},
                "params": {"date": {"last": "30 days"}},
            }
        },
        "table": {"list": {"from": "list", "carry": {"date": "param:date"}}},
    }


@pytest.mark.parametrize(
    ("options", "auth"),
    [
        (f"-H 'Authorization: Bearer {HIDDEN}'", {"type": "bearer", "token": "${EXAMPLE_TOKEN}"}),
        (f"--oauth2-bearer {HIDDEN}", {"type": "bearer", "token": "${EXAMPLE_TOKEN}"}),
        (
            f"-u ada:{HIDDEN}",
            {"type": "basic", "user": "${EXAMPLE_USER}", "password": "${EXAMPLE_PASSWORD}"},
        ),
        (
            "-H 'Authorization: Basic YWRhOnMzY3IzdC1WYWx1ZQ=='",
            {"type": "basic", "user": "${EXAMPLE_USER}", "password": "${EXAMPLE_PASSWORD}"},
        ),
        (
            f"-H 'X-Api-Key: {HIDDEN}'",
            {"type": "api_key", "key": "${EXAMPLE_API_KEY}", "name": "X-Api-Key", "in": "header"},
        ),
        (
            f"-G -d appid={HIDDEN}",
            {"type": "api_key", "key": "${EXAMPLE_APPID}", "name": "appid", "in": "query"},
        ),
    ],
)
def test_each_way_of_showing_who_asks_becomes_auth(options: str, auth: dict[str, str]) -> None:
    made = file(f"curl https://api.example.org/items {options}")
    assert made["api"]["auth"] == auth
    assert "query" not in made["resource"]["items"]
    assert adopt_curl(f"curl https://api.example.org/items {options}").secrets


@pytest.mark.parametrize(
    ("options", "headers"),
    [
        (f"-b 'session={HIDDEN}'", {"Cookie": "${EXAMPLE_COOKIE}"}),
        (f"-H 'Cookie: a=b; s={HIDDEN}'", {"Cookie": "${EXAMPLE_COOKIE}"}),
        (
            f"-H 'Authorization: Token {HIDDEN}'",
            {"Authorization": "Token ${EXAMPLE_AUTHORIZATION}"},
        ),
    ],
)
def test_secrets_in_headers_become_variables(options: str, headers: dict[str, str]) -> None:
    assert file(f"curl https://api.example.org/items {options}")["api"]["headers"] == headers


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ('-d \'{"a": [1, true]}\' -H "Content-Type: application/json"', {"json": {"a": [1, True]}}),
        ("--json '{\"a\": 1}'", {"json": {"a": 1}}),
        ("-d a=1 -d 'b=x y'", {"form": {"a": "1", "b": "x y"}}),
        ("--data-urlencode 'q=a&b'", {"form": {"q": "a&b"}}),
        ("--data-raw 'plain text'", {"body": "plain text"}),
        ('--data-raw $\'{"q":"it\\\'s"}\'', {"json": {"q": "it's"}}),
        (
            '--json \'{"query": "query { a }", "variables": {"id": 1}}\'',
            {"graphql": {"query": "query { a }", "variables": {"id": 1}}},
        ),
        (f'--json \'{{"password": "{HIDDEN}", "a": 1}}\'', {"json": {"a": 1}}),
        ("-X PUT --json '{}'", {"json": {}, "method": "PUT"}),
        ("-I", {"method": "HEAD"}),
    ],
)
def test_bodies_and_methods(options: str, body: dict[str, Any]) -> None:
    made = file(f"curl https://api.example.org/items {options}")
    assert made["resource"]["items"] == {"path": "items", **body}


def test_a_body_that_toml_cannot_say_is_kept_as_text() -> None:
    made = file("curl https://api.example.org/items --json '{\"a\": null}'")
    assert made["resource"]["items"]["body"] == '{"a": null}'
    assert made["api"]["headers"] == {"Content-Type": "application/json"}


def test_two_days_in_the_query_are_the_ends_of_one_span() -> None:
    made = file("curl 'https://api.example.org/x?start_date=2026-01-01&end_date=2026-03-01'")
    resource = made["resource"]["x"]
    assert resource["query"] == {"start_date": "{start_date}", "end_date": "{start_date.end}"}
    span = {"from": "2026-01-01", "to": "2026-03-01", "step": "1 week"}
    assert resource["params"] == {"start_date": span}


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("wget https://x.org", "begins with `curl`"),
        ("", "begins with `curl`"),
        ("curl -s", "an address in the command"),
        ("curl 'https://x.org", "a whole command (No closing quotation)"),
        ("curl ftp://x.org/a", "an address like https://host/path"),
        ("curl https://x.org -F a=@b", "a multipart form"),
        ("curl https://x.org -d @body.json", "files are not read"),
        ("curl https://x.org -G --json {}", "no JSON beside it"),
    ],
)
def test_what_cannot_be_taken_over_is_told(command: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        adopt_curl(command)
    assert says in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        adopt_curl(f"{command} -H 'Authorization: Bearer {HIDDEN}'")
    assert HIDDEN not in str(caught.value)


SECRET = st.from_regex(r"[A-Za-z0-9]{12,20}", fullmatch=True)
PLACES = (
    "-H 'Authorization: Bearer {}'", "-H 'X-Auth-Token: {}'", "-u me:{}", "-b 'sid={}'",
    "-H 'Api-Key: {}'", "-G -d access_token={}", "--json '{{\"client_secret\": \"{}\"}}'",
    "-d 'password={}'", "-H 'Authorization: {}'", "-H 'Cookie: x={}'",
)  # fmt: skip


@given(
    secrets=st.lists(SECRET, min_size=2, max_size=2, unique=True), places=st.permutations(PLACES)
)
def test_no_secret_stands_in_the_file_wherever_it_was(
    secrets: list[str], places: list[str]
) -> None:
    options = " ".join(place.format(one) for place, one in zip(places, secrets, strict=False))
    try:
        made = adopt_curl(f"curl https://user:{secrets[0]}@api.example.org/items {options}")
    except ConfigError as error:
        told = str(error)  # JSON and -G together are no call.
    else:
        told = made.text + "".join(made.notes) + "".join(made.secrets)
        assert tomllib.loads(made.text) == made.document
        check_secrets(made.document)
    assert all(one not in told for one in secrets)


def test_the_command_reads_standard_input_and_says_what_to_set(tmp_path: Any) -> None:
    out = tmp_path / "p.toml"
    command = f"curl https://api.example.org/items -H 'Authorization: Bearer {HIDDEN}'"
    ran = CliRunner().invoke(cli, ["import", "curl", "-", "--out", str(out)], input=command)
    assert ran.exit_code == 0, ran.output
    assert "secret: write EXAMPLE_TOKEN=... into a file .env beside the pipeline" in ran.output
    assert HIDDEN not in ran.output + out.read_text()
