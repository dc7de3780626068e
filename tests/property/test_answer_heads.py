"""Heads and bodies: whatever a server sends is read right, or refused; nothing is invented."""

import gzip
import zlib
from contextlib import suppress

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fetchcast.extract.decoding import Overlong, Undecodable, decoded
from fetchcast.extract.heads import HeadReader

_NAME = st.text("abcdefghijkXYZ-", min_size=1, max_size=8)
_VALUE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), max_size=12)


def _lines(status, fields):
    head = [f"HTTP/1.1 {status} whatever\r\n".encode()]
    return [*head, *(f"{n}: {v}\r\n".encode("latin-1") for n, v in fields), b"\r\n"]


@given(
    heads=st.lists(
        st.tuples(st.integers(200, 599), st.lists(st.tuples(_NAME, _VALUE), max_size=6)), max_size=8
    )
)
def test_a_reader_remembers_lines_but_not_answers(heads):
    """Each head reads as if it were the first, whatever was read before it."""
    reader = HeadReader()
    for status, fields in heads:
        got_status, version, headers = reader.read(_lines(status, fields))
        wanted = {}
        for name, value in fields:
            wanted.setdefault(name.lower(), []).append(value)
        assert (got_status, version) == (status, "1.1")
        assert headers == {name: ", ".join(values) for name, values in wanted.items()}


def test_interim_answers_proxies_and_trailers_are_left_out():
    lines = [
        b"HTTP/1.1 200 Connection established\r\n",
        b"Via: proxy\r\n",
        b"\r\n",
        b"HTTP/1.1 103 Early Hints\r\n",
        b"Link: <x>\r\n",
        b"\r\n",
        b"HTTP/2 404 \r\n",
        b"A: 1\r\n",
        b"\r\n",
        b"X-Trailer: 9\r\n",
    ]
    assert HeadReader().read(lines) == (404, "2", {"a": "1"})


@pytest.mark.parametrize("lines", [[], [b"\r\n"], [b"HTTP/1.1 what\r\n", b"\r\n"]])
def test_no_status_is_no_head(lines):
    with pytest.raises(ValueError):  # noqa: PT011  any text
        HeadReader().read(lines)


def test_the_memory_for_lines_is_bounded():
    reader = HeadReader()
    for number in range(10_000):
        assert reader.read(_lines(200, [("Etag", str(number))]))[2] == {"etag": str(number)}
    assert len(reader._fields) <= 2_048


def _raw_deflate(data):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def _streamed_zstd(data):
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


_PACKERS = {
    "gzip": [gzip.compress, lambda data: gzip.compress(data[:3]) + gzip.compress(data[3:])],
    "deflate": [zlib.compress, _raw_deflate],
    "br": [brotli.compress],
    "zstd": [zstandard.compress, _streamed_zstd],
}
_PAIRS = [(name, packer) for name, packers in _PACKERS.items() for packer in packers]


@given(data=st.binary(min_size=1, max_size=400), pair=st.sampled_from(_PAIRS))
def test_every_cut_of_a_packed_body_is_noticed(data, pair):
    """Whole, it is what was packed; cut anywhere, it is undecodable, never a shorter text."""
    name, packer = pair
    packed = packer(data)
    assert decoded(packed, name, len(data)) == data
    for end in range(1, len(packed)):
        try:
            text = decoded(packed[:end], name, len(data))
        except Undecodable:
            continue
        # The one exception: between two members of a gzip body, what came is whole in itself.
        assert name == "gzip"
        assert text == data[:3]


@given(size=st.integers(1, 5_000), pair=st.sampled_from(_PAIRS))
def test_no_more_than_the_limit(size, pair):
    """One byte above the limit is too much, in every encoding."""
    name, packer = pair
    packed = packer(b"a" * size)
    assert len(decoded(packed, name, size)) == size
    with pytest.raises(Overlong):
        decoded(packed, name, size - 1)


@given(data=st.binary(min_size=1, max_size=60), name=st.sampled_from([*_PACKERS, "gzip, br"]))
def test_noise_is_no_body(data, name):
    """Random bytes end in an error of ours or a text, nothing else."""
    with suppress(Undecodable, Overlong):
        assert len(decoded(data, name, 1_000)) <= 1_000


def test_encodings_on_top_of_each_other():
    data = b"text" * 9
    assert decoded(gzip.compress(brotli.compress(data)), "br, GZIP", 99) == data
    assert decoded(data, "identity", 99) == data
    assert decoded(b"", "gzip", 99) == b""
    for encoding in ("aws-chunked", ", ".join(["gzip"] * 6)):
        with pytest.raises(Undecodable):
            decoded(data, encoding, 99)
