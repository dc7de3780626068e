"""Secrets planted everywhere; then every byte that was printed, written or served is searched."""

import asyncio
import os
import re
import sys
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import duckdb
import pytest

from fetchcast.landing.reader import open_reader
from fetchcast.testing import Asked, Reply, TokenServer, json_reply, redirect, running_api

CANARIES = {
    "KEY": "canary/key+one=",
    "HEADER": "canary-header-two",
    "DOTENV": "canary-dotenv-three",
    "PASSWORD": "canary password four",
    "CLIENT": "canary-client-five",
}
FILE = "canary-file-six"
FORMS = [
    form
    for secret in (*CANARIES.values(), FILE)
    for form in (secret, quote(secret, safe=""), b64encode(secret.encode()).decode()[:-4])
]

AUTHS = {
    "query": 'type = "api_key"\nkey = "${KEY}"\nname = "appid"\nin = "query"',
    "keys": 'type = "api_key"\nkey = ["${KEY}", "${DOTENV}", { file = "secret.key" }]',
    "file": 'type = "bearer"\ntoken = { file = "secret.key" }',
    "basic": 'type = "basic"\nuser = "me"\npassword = "${PASSWORD}"',
    "oauth": (
        'type = "oauth2_client_credentials"\ntoken_url = "{url}/token"\n'
        'client_id = "me"\nclient_secret = "${CLIENT}"'
    ),
    "login": ('type = "login"\npath = "login"\ntoken = "token"\nform = { pass = "${PASSWORD}" }'),
}


def echo(asked: Asked) -> Reply:
    """Every way to say a secret back: in data, in errors, in a header, in an address."""
    said = {"target": asked.target, **{k: v for k, v in asked.headers.items() if k != "host"}}
    headers = {"X-Echo": repr(said), "ETag": asked.headers.get("authorization", "none")[:40]}
    match asked.path.rsplit("/", 1)[-1]:
        case "n1":
            return json_reply({"error": said}, 400, headers)
        case "n2":
            return Reply(500, headers, repr(said).encode())
        case "n3":
            return Reply(200, headers, b"<html>" + repr(said).encode())
        case "n4":
            return redirect(f"http://localhost:1{asked.target}")
        case "n5":
            return Reply(200, headers, b'[{"a": ' + repr(said).encode())
        case _:
            return json_reply([{"id": asked.path, "said": said}], 200, headers)


def everything_in(folder: Path) -> bytes:
    """All that a run wrote, answers unpacked, tables as text."""
    ours = {".env", "secret.key"}
    parts = [
        one.read_bytes() for one in folder.rglob("*") if one.is_file() and one.name not in ours
    ]
    for landing in (folder / ".fetchcast").iterdir():
        with open_reader(landing) as reader:
            parts += [repr(landed).encode() for landed in reader.answers()]
    for database in folder.glob("*.duckdb"):
        with duckdb.connect(str(database), read_only=True) as connection:
            for (table,) in connection.execute("select table_name from duckdb_tables()").fetchall():
                parts.append(repr(connection.execute(f'from "{table}"').fetchall()).encode())
    return b"\n".join(parts)


async def fetchcast(folder: Path, *words: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fetchcast", *words),
        cwd=folder,
        env=os.environ | {k: v for k, v in CANARIES.items() if k != "DOTENV"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return said


def write_pipeline(folder: Path, url: str, auth: str) -> None:
    (folder / ".env").write_text(f"DOTENV={CANARIES['DOTENV']}\n")
    (folder / "secret.key").write_text(FILE + "\n")
    (folder / "secret.key").chmod(0o600)
    (folder / "ids.csv").write_text("id\n" + "".join(f"n{n}\n" for n in range(12)))
    (folder / "p.toml").write_text(
        f"""
[api]
base_url = "{url}"
headers = {{ X-Mine = "${{HEADER}}" }}
[api.auth]
{auth.replace("{url}", url)}
[resource.items]
path = "items/{{id}}"
params.id = {{ csv = "ids.csv", column = "id" }}
[table.items]
from = "items"
carry = {{ echo = "header:X-Echo", url = "url" }}
[retry]
attempts = 2
base_s = 0.01
[landing]
headers = ["x-echo", "etag"]
"""
    )


def check(what: str, said: bytes) -> None:
    text = said.decode("utf-8", "replace")
    assert [form for form in FORMS if form in text] == [], f"{what}\n{text[:2000]}"


@pytest.mark.parametrize("kind", AUTHS)
async def test_no_secret_is_printed_or_kept(tmp_path: Path, kind: str) -> None:
    tokens = TokenServer(client_id="me", client_secret=CANARIES["CLIENT"])
    routes = {
        "POST /token": tokens.grant,
        "POST /login": json_reply({"token": "canary-session-seven"}),
        "*": echo,
    }
    async with running_api(routes) as api:
        write_pipeline(tmp_path, api.url, AUTHS[kind])
        said = {
            words: await fetchcast(tmp_path, *words.split(), "p.toml")
            for words in ("plan", "run", "status", "retry-failed", "replay", "status --failed")
        }
        sent = repr(api.asked)
    assert "canary" in sent, "the secrets were sent at all"
    assert b"failed" in said["run"]
    for words, text in said.items():
        check(words, text)
        assert b"canary-session-seven" not in text
        assert b"Traceback" not in text, text.decode()
    kept = everything_in(tmp_path)
    check("what was kept", kept)
    assert b"canary-session-seven" not in kept


async def test_no_secret_is_served(tmp_path: Path) -> None:
    """Each page of the app that links lead to."""
    async with running_api({"*": echo}) as api:
        write_pipeline(tmp_path, api.url, AUTHS["query"])
        await fetchcast(tmp_path, "run", "p.toml")
    serving = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fetchcast", "serve", "--port", "0", "p.toml"),
        cwd=tmp_path,
        env=os.environ | {k: v for k, v in CANARIES.items() if k != "DOTENV"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        assert serving.stdout is not None
        line = await asyncio.wait_for(serving.stdout.readline(), 60)
        found = re.search(rb"http://[\d.]+:\d+", line)
        assert found is not None, line
        pages = await asyncio.to_thread(crawl, found[0].decode())
    finally:
        serving.terminate()
        rest, _ = await serving.communicate()
    check("serve", line + rest)
    assert len(pages) >= 4
    assert any(b"items" in page for page in pages.values())
    for path, page in pages.items():
        check(path, page)


def crawl(base: str, at_most: int = 40) -> dict[str, bytes]:
    seen: dict[str, bytes] = {}
    waiting = ["/", "/api", "/openapi.json"]
    while waiting and len(seen) < at_most:
        path = waiting.pop(0)
        if path in seen:
            continue
        try:
            with urlopen(base + path, timeout=30) as answer:
                seen[path] = answer.read()
        except OSError:
            seen[path] = b""
            continue
        links = re.findall(rb'href="(/[^"#]*)"', seen[path])
        waiting += [link.decode().replace("&amp;", "&") for link in links]
    return seen
