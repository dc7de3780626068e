"""What only the transport over libcurl promises: HTTP/2, its thread, and a way out of a bug."""

# ruff: noqa: SIM117, PT012, ASYNC110  the order of the contexts is the point

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from fetchcast.errors import ConfigError, FetchcastError, TransportStopped
from fetchcast.extract import transport_curl
from fetchcast.extract.sockets import SelectorWatch
from fetchcast.extract.transport import TransportOptions, fetch, open_transport
from fetchcast.testing import Reply, running_api
from fetchcast.testing.certificates import AUTHORITY, GOOD, KEY
from fetchcast.testing.transport_conformance import Ends, call
from fetchcast.testing.wire import resetting_idle, silent, wire

_NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem;
    location / {{ return 200 "$uri $connection"; }}
  }}
}}
"""


@pytest.fixture
def http2_server(tmp_path):
    if shutil.which("nginx") is None:
        pytest.skip("nginx, which speaks HTTP/2 here, is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "chain.pem").write_text(GOOD)
    (tmp_path / "key.pem").write_text(KEY)
    (tmp_path / "authority.pem").write_text(AUTHORITY)
    config = tmp_path / "nginx.conf"
    config.write_text(_NGINX.format(folder=tmp_path, port=port))
    nginx = subprocess.Popen(["nginx", "-c", config, "-p", tmp_path])
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.02)
        yield f"https://127.0.0.1:{port}", str(tmp_path / "authority.pem")
    finally:
        nginx.terminate()
        nginx.wait(10)


async def test_many_calls_share_one_http2_connection(http2_server):
    url, ca_file = http2_server
    async with open_transport(TransportOptions(ca_file=ca_file, prefer="curl")) as transport:
        first = await fetch(transport, call(url + "/0"))
        ends = Ends(transport)
        ends.start([f"{url}/{number}" for number in range(1, 101)])
        results = await ends.have(100)
    said = [result.body.decode().split() for result in results.values()]
    assert {path for path, _ in said} == {f"/{number}" for number in range(1, 101)}
    assert {connection for _, connection in said} == {first.body.decode().split()[1]}
    assert {result.http_version for result in [first, *results.values()]} == {"2"}


async def test_http2_can_be_switched_off(http2_server):
    url, ca_file = http2_server
    options = TransportOptions(ca_file=ca_file, prefer="curl", http2="never")
    async with open_transport(options) as transport:
        assert (await fetch(transport, call(url))).http_version == "1.1"


async def test_a_call_does_not_wait_for_another_plain_call():
    """Over plain HTTP nobody hopes for HTTP/2: a slow answer holds up no other call."""
    routes = {"/slow": Reply(never=True), "/fast": Reply(200, {}, b"ok")}
    async with running_api(routes) as api:
        async with open_transport(TransportOptions(prefer="curl")) as transport:
            ends = Ends(transport)
            ends.start([api.url + "/slow", api.url + "/fast"])
            async with asyncio.timeout(5):
                assert (await ends.have(1))[api.url + "/fast"].body == b"ok"


async def test_a_bug_in_the_thread_ends_every_call_and_is_shown(monkeypatch):
    """Nothing hangs: calls under way, waiting and started later are told, and the owner sees it."""

    def broken(self):
        raise ZeroDivisionError("a bug")

    async with wire(silent) as server:
        with pytest.raises(FetchcastError, match="a bug") as shown:
            async with open_transport(
                TransportOptions(prefer="curl", max_connections=3)
            ) as transport:
                ends = Ends(transport)
                ends.start([f"{server.url}/{number}" for number in range(9)])
                await asyncio.sleep(0.05)
                monkeypatch.setattr(transport_curl._Engine, "_admit", broken)
                ends.start([f"{server.url}/one-more"])
                results = await ends.have(10)
                ends.start([f"{server.url}/late"])
                results = await ends.have(11)
    assert all(isinstance(result, TransportStopped) for result in results.values())
    assert all("ZeroDivisionError" in str(result) for result in results.values())
    assert isinstance(shown.value.__cause__, ZeroDivisionError)


async def test_a_callback_that_raises_harms_no_other_call():
    heard = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))

    def bad(_):
        raise RuntimeError("mine")

    async with running_api({"*": Reply(200, {}, b"ok")}) as api:
        async with open_transport(TransportOptions(prefer="curl")) as transport:
            ends = Ends(transport)
            for number in range(10):
                transport.start(call(api.url), {}, bad)
                ends.start([f"{api.url}/{number}"])
            await ends.have(10)
            async with asyncio.timeout(5):
                while len(heard) < 10:
                    await asyncio.sleep(0.01)
    assert {str(error) for error in heard} == {"mine"}


async def test_without_epoll_it_works_the_same(monkeypatch):
    """As on macOS and Windows: many calls, connections that the server resets, cancelled calls."""
    monkeypatch.setattr(transport_curl, "open_watch", SelectorWatch)
    async with wire(resetting_idle(every=5)) as server:
        async with open_transport(TransportOptions(prefer="curl", max_connections=9)) as transport:
            ends = Ends(transport)
            for wave in range(10):
                ends.start([f"{server.url}/{wave * 20 + number}" for number in range(20)])
                for ghost in Ends(transport).start([f"{server.url}/g{n}" for n in range(20)]):
                    ghost.cancel()
                results = await ends.have(wave * 20 + 20)
    assert all(url.endswith(result.body.decode()) for url, result in results.items())


async def test_leaving_ends_the_thread():
    names = lambda: [thread.name for thread in threading.enumerate()]  # noqa: E731
    for _ in range(3):
        async with open_transport(TransportOptions(prefer="curl")):
            assert "fetchcast-curl" in names()
        assert "fetchcast-curl" not in names()


async def test_what_cannot_be_opened_is_a_configuration_error(tmp_path):
    for prefer in ("curl", "aiohttp"):
        with pytest.raises(ConfigError, match="ca_file"):
            async with open_transport(
                TransportOptions(prefer=prefer, ca_file=str(tmp_path / "no"))
            ):
                pass
    with pytest.raises(ConfigError, match="SOCKS"):
        async with open_transport(TransportOptions(prefer="aiohttp", proxy="socks5://h:1")):
            pass


def test_ctrl_c_ends_within_a_second(tmp_path):
    """While calls hang in every state; the process leaves by itself."""
    program = textwrap.dedent("""
        import asyncio, sys
        from fetchcast.extract.transport import TransportOptions, open_transport
        from fetchcast.testing.transport_conformance import Ends
        from fetchcast.testing.wire import silent, wire

        async def main():
            async with wire(silent) as server:
                async with open_transport(TransportOptions(max_connections=20)) as transport:
                    ends = Ends(transport)
                    ends.start([f"{server.url}/{n}" for n in range(100)])
                    while server.open < 20:
                        await asyncio.sleep(0.01)
                    print("hanging", flush=True)
                    await asyncio.Event().wait()

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            sys.exit(130)
    """)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "hanging\n"
        began = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(10) == 130
    assert time.monotonic() - began < 2.0


def test_options_are_checked():
    for wrong in (
        {"max_connections": 0},
        {"connect_timeout_s": 0.0},
        {"total_timeout_s": float("nan")},
        {"max_redirects": -1},
        {"user_agent": "a\r\nb"},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            TransportOptions(**wrong)
