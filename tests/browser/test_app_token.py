"""An app that others can reach: nothing without the token, and no guessing."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest

from fetchcast.errors import ConfigError
from fetchcast.serve.app import create_app, serve

TOKEN = "correct horse battery"


def ask(site, path, headers=None):
    place = urlsplit(site)
    connection = http.client.HTTPConnection(place.hostname, place.port)
    connection.request("GET", path, headers=headers or {})
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


@pytest.fixture
def guarded(world, running):
    with running(world, token=TOKEN) as site:
        yield site


def test_an_address_that_others_reach_needs_a_token(world):
    with pytest.raises(ConfigError, match="--token"):
        serve(create_app(world), host="0.0.0.0", port=0)


def test_behind_a_proxy_nobody_else_is_answered(world, running):
    """The proxy asks people who they are; whoever goes round it gets nothing."""
    with running(world, proxies=["127.0.0.0/8"]) as site:
        assert ask(site, "/")[0] == 200
    with running(world, proxies=["10.1.2.3"]) as site:
        for headers in ({}, {"X-Forwarded-For": "10.1.2.3"}, {"Forwarded": "for=10.1.2.3"}):
            assert ask(site, "/", headers)[0] == 403
    with pytest.raises(ConfigError, match="an address or a network"):
        create_app(world, proxies=["everywhere"])


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_cookie_behind_a_proxy_with_tls_is_for_tls_alone(world, running, scheme):
    with running(world, token=TOKEN, proxies=["127.0.0.1"]) as site:
        given = {"X-Forwarded-Proto": scheme}
        _, headers, _ = ask(site, "/?token=correct+horse+battery", given)
        assert ("Secure" in headers["set-cookie"]) == (scheme == "https")


@pytest.mark.parametrize(
    "path", ["/", "/api/v1/questions", "/static/app.css", "/data/forecast", "/sql?q=select+1"]
)
def test_nothing_is_shown_without_the_token(guarded, path):
    status, headers, body = ask(guarded, path)
    assert status == 401
    assert headers["www-authenticate"] == "Bearer"
    assert b"forecast" not in body.replace(b"fetchcast", b"")


def test_the_token_moves_from_the_address_into_a_cookie(guarded):
    """It must not stay where a screen shot or a history would keep it."""
    status, headers, _ = ask(guarded, "/forecast?find=27&token=correct+horse+battery")
    assert (status, headers["location"]) == (303, "/forecast?find=27")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    status, _, _ = ask(guarded, "/forecast?find=27", {"Cookie": cookie.split(";")[0]})
    assert status == 200


def test_a_redirect_after_the_token_stays_here(guarded):
    status, headers, _ = ask(guarded, "//evil.example/?token=correct+horse+battery")
    assert status == 303
    assert headers["location"] == "/evil.example/"


def test_a_program_sends_the_token_as_a_header(guarded):
    given = {"Authorization": f"Bearer {TOKEN}"}
    assert ask(guarded, "/api/v1/questions", given)[0] == 200


def test_guessing_is_slowed_down(guarded):
    """After ten wrong tokens in a minute even the right one has to wait."""
    wrong = [ask(guarded, "/", {"Authorization": f"Bearer {n}"})[0] for n in range(12)]
    assert wrong == [401] * 10 + [429] * 2
