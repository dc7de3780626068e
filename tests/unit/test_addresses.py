"""Where a redirect may lead, what goes along, and what of a URL may be shown."""

import pytest

from fetchcast.errors import RedirectRefused
from fetchcast.extract.addresses import Trail, ascii_url, follow, origin, redacted, with_query
from fetchcast.records import Request


def _trail(url, *, method="GET", steps=0, **headers):
    request = Request(key="k", resource="r", url=url, method=method, headers=headers, body=b"b")
    return Trail(request=request, headers={"authorization": "me"}, steps=steps)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:p@h/x", "http://***@h/x"),
        (
            "http://h/x?api_key=1&b=2&access-token=3#f",
            "http://h/x?api_key=***&b=2&access-token=***#f",
        ),
        ("http://h/x?Signature=abc;key=d", "http://h/x?Signature=***;key=***"),
        ("http://h/x?monkey=1&keys=2&e=a@b", "http://h/x?monkey=1&keys=2&e=a@b"),
    ],
)
def test_redacted(url, shown):
    assert redacted(url) == shown


@pytest.mark.parametrize(
    ("url", "wire"),
    [
        ("http://h/a?b=c%20d", "http://h/a?b=c%20d"),
        ("http://h/ä b?q=ö", "http://h/%C3%A4%20b?q=%C3%B6"),
        ("http://bücher.example:8080/", "http://xn--bcher-kva.example:8080/"),
    ],
)
def test_what_goes_over_the_wire_is_ascii(url, wire):
    assert ascii_url(url) == wire


def test_an_origin_knows_its_default_port():
    assert origin("https://H.example/x") == origin("https://h.example:443/y")
    assert origin("http://h.example/") != origin("https://h.example/")


@pytest.mark.parametrize("location", ["/b", "b", "//h/b", "http://h:80/b", " http://H/b "])
def test_the_same_origin_keeps_its_credentials(location):
    after = follow(_trail("http://h/a", cookie="c"), 302, location, allowed=(), at_most=5)
    assert after.headers == {"authorization": "me"}
    assert after.request.headers == {"cookie": "c"}
    assert after.steps == 1


@pytest.mark.parametrize("location", ["https://h/b", "http://h:81/b", "http://other/b"])
def test_another_origin_gets_none(location):
    trail = _trail("http://h/a", Cookie="c", Authorization="x", accept="json")
    after = follow(trail, 307, location, allowed=("other",), at_most=5)
    assert (after.headers, after.request.headers) == ({}, {"accept": "json"})


@pytest.mark.parametrize(
    ("url", "location", "allowed", "words"),
    [
        ("http://h/", "http://evil/", (), "not allowed"),
        ("http://h/", "http://h.evil/", ("h",), "not allowed"),
        ("https://h/", "http://h/", ("*",), "plain one"),
        ("http://h/", "file:///etc/passwd", ("*",), "no web address"),
        ("http://h/", "http://[", ("*",), "no web address"),
    ],
)
def test_refused(url, location, allowed, words):
    with pytest.raises(RedirectRefused, match=words):
        follow(_trail(url), 302, location, allowed=allowed, at_most=5)


@pytest.mark.parametrize(
    ("status", "method", "after"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (302, "PUT", "PUT"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
    ],
)
def test_methods(status, method, after):
    trail = follow(_trail("http://h/", method=method), status, "/b", allowed=(), at_most=5)
    assert trail.request.method == after
    assert trail.request.body == (None if after == "GET" else b"b")


def test_a_refusal_shows_no_secret():
    with pytest.raises(RedirectRefused) as refused:
        follow(
            _trail("http://u:p4ss@h/?token=t0k"), 302, "http://e/?key=k3y", allowed=(), at_most=1
        )
    assert not any(secret in str(refused.value) for secret in ("p4ss", "t0k", "k3y"))


@pytest.mark.parametrize(
    ("url", "wire"),
    [
        ("http://h/a", "http://h/a?k=1"),
        ("http://h/a?b=c#d", "http://h/a?b=c&k=1"),
        ("http://h/a?k=***&b=c", "http://h/a?b=c&k=1"),
        ("http://h/a?k=2", "http://h/a?k=1"),
        ("http://h/a?ok=2", "http://h/a?ok=2&k=1"),
    ],
)
def test_a_secret_parameter_takes_the_place_of_its_name(url, wire):
    assert with_query(url, "k=1") == wire


@pytest.mark.parametrize(
    ("location", "url", "query"),
    [
        ("/b?k=s%2F1&p=2", "http://h/b?p=2", "k=s%2F1"),
        ("/b?k=s/1", "http://h/b", "k=s%2F1"),
        ("/b?k=another", "http://h/b?k=another", ""),
        ("http://other/b?k=s/1&p=2", "http://other/b?p=2", ""),
    ],
)
def test_a_redirect_repeats_no_secret_of_ours(location, url, query):
    trail = Trail(request=_trail("http://h/a").request, headers={}, query="k=s%2F1")
    after = follow(trail, 302, location, allowed=("other",), at_most=5)
    assert (after.request.url, after.query) == (url, query)
