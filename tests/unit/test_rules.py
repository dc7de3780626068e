"""What an answer means, before anything is kept."""

import pytest

from fetchcast.extract.retry import RetryOptions, delay_s
from fetchcast.extract.rules import AnswerOptions, Meaning, any_counter, in_utf8, judge, row_counter
from fetchcast.records import Answer


def answer(status: int, body: bytes) -> Answer:
    return Answer(status=status, headers={}, body=body, url="https://a.test/x", elapsed_s=0.1)


TRAINS = row_counter("[*].timeTableRows[*]")
RESULTS = row_counter("data.results[*]")


@pytest.mark.parametrize(
    ("status", "body", "counter", "meaning", "reason"),
    [
        (200, b'[{"a":1}]', TRAINS, Meaning.FINE, None),
        (200, b" [] ", TRAINS, Meaning.EMPTY, None),
        (200, b"", TRAINS, Meaning.RETRY, "an empty body"),
        (200, b" \n", TRAINS, Meaning.RETRY, "an empty body"),
        (204, b"", TRAINS, Meaning.EMPTY, None),
        (200, b'{"code":"X","errorMessage":"gone"}', TRAINS, Meaning.FAIL, "gone"),
        (200, b"<html><body>Sorry</body></html>", TRAINS, Meaning.FAIL, "HTML"),
        (200, b'[{"a":1}, {"b"', TRAINS, Meaning.RETRY, "broken JSON"),
        (200, b'[{"a":"\xff"}]', row_counter("[*]"), Meaning.FAIL, "not utf-8"),
        (200, '[{"a":"ä"}]'.encode(), row_counter("[*]"), Meaning.FINE, None),
        (200, b'{"xs":[1],"ys":[]}', any_counter({"xs[*]", "ys[*]"}), Meaning.FINE, None),
        (200, b'{"xs":[],"ys":[]}', any_counter({"xs[*]", "ys[*]"}), Meaning.EMPTY, None),
        (200, b'{"xs":[1]}', any_counter({"xs[*]", "ys[*]"}), Meaning.FINE, None),
        (200, b'{"zs":[1]}', any_counter({"xs[*]", "ys[*]"}), Meaning.FAIL, "no rows"),
        (200, b'{"data":{"results":[1,2]}}', RESULTS, Meaning.FINE, None),
        (200, b'{"data":{"results":[]}}', RESULTS, Meaning.EMPTY, None),
        (200, b'{"data":{"results":null}}', RESULTS, Meaning.EMPTY, None),
        (200, b'{"data":{}}', RESULTS, Meaning.FAIL, "expects them: the answer has data"),
        (
            200,
            b'{"meta":{"total":1,"page":2},"rows":[]}',
            RESULTS,
            Meaning.FAIL,
            "the answer has meta.total, meta.page, rows",
        ),
        (200, b'{"data":[]}', RESULTS, Meaning.FAIL, "not the expected JSON"),
        (200, b"7", row_counter(None), Meaning.FINE, None),
        (200, b"null", row_counter(None), Meaning.EMPTY, None),
        (429, b"slow down", TRAINS, Meaning.REFUSED, "HTTP 429"),
        (503, b"", TRAINS, Meaning.REFUSED, "HTTP 503"),
        (500, b"oops", TRAINS, Meaning.RETRY, "HTTP 500: 'oops'"),
        (404, b"{}", TRAINS, Meaning.FAIL, "HTTP 404"),
        (301, b"", TRAINS, Meaning.FAIL, "HTTP 301"),
    ],
)
def test_meaning(status: int, body: bytes, counter, meaning: Meaning, reason: str | None) -> None:
    verdict = judge(answer(status, body), AnswerOptions(), counter)
    assert verdict.meaning is meaning
    assert (reason in str(verdict.reason)) if reason else verdict.reason is None


def test_a_miss_can_be_said_to_be_empty() -> None:
    options = AnswerOptions(empty=[404])
    assert judge(answer(404, b"{}"), options, TRAINS).meaning is Meaning.EMPTY


def test_missing_rows_can_be_said_to_be_empty() -> None:
    options = AnswerOptions(missing_rows="empty")
    assert judge(answer(200, b'{"data":{}}'), options, RESULTS).meaning is Meaning.EMPTY


def test_a_status_that_is_no_refusal_here_is_an_error() -> None:
    options = AnswerOptions(refused=[429])
    assert judge(answer(503, b""), options, TRAINS).meaning is Meaning.RETRY


def test_deep_nesting_is_a_broken_answer_and_not_a_crash() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    assert judge(answer(200, deep), AnswerOptions(), row_counter(None)).meaning in {
        Meaning.RETRY,
        Meaning.FINE,
    }


def test_waits_double_within_bounds_and_the_server_has_the_last_word() -> None:
    options = RetryOptions(attempts=4, base_s=1, max_s=3)
    waits = [delay_s(options, attempt=n, jitter=0.999, asked_s=None) for n in (1, 2, 3, 4)]
    assert waits == [
        pytest.approx(1, rel=0.01),
        pytest.approx(2, rel=0.01),
        pytest.approx(3, rel=0.01),
        None,
    ]
    assert delay_s(options, attempt=1, jitter=0, asked_s=None) == 0.5
    assert delay_s(options, attempt=1, jitter=0, asked_s=120) == 120


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json; charset=iso-8859-1", '{"b":"äö"}'.encode("latin-1"), '{"b":"äö"}'),
        ('application/json;charset="Windows-1252"', '["€"]'.encode("cp1252"), '["€"]'),
        ("application/json", b"\xef\xbb\xbf[1]", "[1]"),
        ("application/json; charset=utf-8", '["ä"]'.encode(), '["ä"]'),
        ("application/json; charset=no-such", b"[1]", "[1]"),
    ],
)
def test_bodies_are_brought_to_utf_8(content_type: str, body: bytes, expected: str) -> None:
    given = Answer(
        status=200, headers={"content-type": content_type}, body=body, url="u", elapsed_s=0.1
    )
    assert in_utf8(given).body.decode() == expected
