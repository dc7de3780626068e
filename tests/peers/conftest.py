"""Other people's servers on free ports; each is skipped, with the reason, where it is not."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import socket
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest

from fetchcast import Pipeline, RunReport, arun

PEERS = Path(__file__).parent
DATA = PEERS.parent / "data"
ITEMS = [{"id": n, "name": f"item {n}", "group": n % 3} for n in range(1, 96)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: list[str | Path], port: int, folder: Path, wait_s: float = 60
) -> Iterator[str]:
    """The server that ``command`` starts, once it takes connections; it is stopped at the end."""
    log = folder / f"{port}.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(command, cwd=folder, stdout=out, stderr=out) as ran,
    ):
        try:
            deadline = time.monotonic() + wait_s
            while time.monotonic() < deadline and ran.poll() is None:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                except OSError:
                    time.sleep(0.05)
                else:
                    break
            else:
                pytest.fail(f"{command[0]} did not start: {log.read_text()[-2000:]}")
            yield f"http://127.0.0.1:{port}"
        finally:
            ran.terminate()


def program(name: str, how: str = "tests/peers/install installs it") -> Path:
    """A program of `node_modules` or of the venv beside this file."""
    for found in (PEERS / "node_modules" / ".bin" / name, PEERS / ".venv" / "bin" / name):
        if found.exists():
            return found
    return pytest.skip(f"{name} is not there: {how}")


@pytest.fixture(scope="session")
def prism(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], str]]:
    """Starts Prism for an OpenAPI document; its address."""
    found, started = program("prism"), []
    folder = tmp_path_factory.mktemp("prism")

    def start(document: Path) -> str:
        port = free_port()
        command = [found, "mock", "-h", "127.0.0.1", "-p", str(port), document]
        server = running(command, port, folder)
        url = server.__enter__()
        started.append(server)
        return url

    yield start
    for server in started:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def json_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """json-server with a list of 95 items and the notes of three groups."""
    found, folder, port = program("json-server"), tmp_path_factory.mktemp("json"), free_port()
    notes = [{"id": n, "groupId": n % 3, "text": f"note {n}"} for n in range(1, 31)]
    groups = [{"id": n, "name": f"group {n}"} for n in range(3)]
    (folder / "db.json").write_text(json.dumps({"items": ITEMS, "notes": notes, "groups": groups}))
    command = [found, "-H", "127.0.0.1", "-p", str(port), "db.json"]
    with running(command, port, folder) as url:
        yield url


@pytest.fixture(scope="session")
def httpbin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """httpbin behind gunicorn."""
    found, folder, port = program("gunicorn"), tmp_path_factory.mktemp("httpbin"), free_port()
    command = [found, "-b", f"127.0.0.1:{port}", "-k", "gthread", "--threads", "8", "httpbin:app"]
    with running(command, port, folder) as url:
        yield url


_NGINX = """
{user} worker_processes 1; daemon off; pid nginx.pid; error_log error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; default_type application/octet-stream;
  types {{ application/json json; text/csv csv; application/xml xml; application/zip zip; }}
  client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;
  scgi_temp_path t5;
  limit_req_zone $binary_remote_addr zone=few:1m rate=40r/s;
  server {{
    listen 127.0.0.1:{port}; root www;
    location /listed/ {{ alias www/; autoindex on; autoindex_format json; }}
    location /few/ {{ alias www/; limit_req zone=few burst=5 nodelay; limit_req_status 429; }}
  }}
}}
"""


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """nginx with the items in every format, a list of the files, and a limit of 40 a second."""
    found = shutil.which("nginx") or pytest.skip("nginx is not installed")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    www = folder / "www"
    # Who is root gives work away to somebody who may not read the folders of tests.
    user = "user root;" if os.getuid() == 0 else ""
    www.mkdir()
    for name, body in bodies().items():
        (www / name).write_bytes(body)
    (folder / "nginx.conf").write_text(_NGINX.format(port=port, user=user))
    with running([found, "-c", folder / "nginx.conf", "-p", folder], port, folder) as url:
        yield url


def bodies() -> dict[str, bytes]:
    """The items as a file of each format."""
    lines = [json.dumps(item) for item in ITEMS]
    cells = [f"{item['id']},{item['name']},{item['group']}" for item in ITEMS]
    elements = [f"<item><id>{i['id']}</id><name>{i['name']}</name></item>" for i in ITEMS]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("one.json", json.dumps(ITEMS[:40]))
        file.writestr("two.json", json.dumps(ITEMS[40:]))
        file.writestr("readme.txt", "not data")
    found = {
        "items.json": json.dumps(ITEMS).encode(),
        "items.ndjson": "\n".join(lines).encode(),
        "items.csv": "\r\n".join(["id,name,group", *cells, ""]).encode(),
        "items.tsv": "\n".join(["id,name,group", *cells]).replace(",", "\t").encode(),
        "items.xml": f"<items>{''.join(elements)}</items>".encode(),
        "items.json.gz": gzip.compress(json.dumps(ITEMS).encode()),
        "items.zip": packed.getvalue(),
    }
    return {**found, **{f"part{n}.json": json.dumps([ITEMS[n]]).encode() for n in range(40)}}


class Ran:
    """A run of a pipeline that was made of a dict, and what is in its database."""

    def __init__(self, folder: Path, report: RunReport) -> None:
        self.report, self._folder = report, folder

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self._folder / "peer.duckdb"), read_only=True) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    """Runs one resource and its table; what else the file says is given by name."""

    async def made(
        url: str, resource: dict[str, Any], *, rows: str | None = None, **api: Any
    ) -> Ran:
        table = {"from": "items"} | ({"rows": rows} if rows else {})
        raw = {
            "name": "peer",
            "api": {"base_url": url, **api},
            "resource": {"items": resource},
            "table": {"items": table},
            "retry": {"base_s": 0.02},
        }
        return Ran(tmp_path, await arun(Pipeline.from_dict(raw, folder=tmp_path)))

    return made
