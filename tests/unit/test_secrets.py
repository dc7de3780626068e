"""What is hidden in answers, and what is not taken for a secret."""

import json

import pytest

from fetchcast.config import schema
from fetchcast.errors import ConfigError
from fetchcast.extract.auth.hygiene import check_secrets, header_secrets
from fetchcast.extract.auth.secrets import Secrets
from fetchcast.records import Answer


def hidden(body: str, *secrets: str) -> str:
    answer = Answer(status=200, headers={}, body=body.encode(), url="http://h/", elapsed_s=0.1)
    return Secrets(secrets).without(answer).body.decode()


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ('{"next":"/x?key=abc/12345&page=2"}', '{"next":"/x?key=***&page=2"}'),
        ('{"next":"/x?key=abc%2F12345&page=2"}', '{"next":"/x?key=***&page=2"}'),
        ('{"next":"\\/x?key=abc\\/12345"}', '{"next":"\\/x?key=***"}'),
        ('{"you":"Bearer abc/12345"}', '{"you":"Bearer ***"}'),
        ('{"a":"xabc/12345","b":"abc/123456"}', '{"a":"xabc/12345","b":"abc/123456"}'),
    ],
)
def test_the_forms_of_a_secret(body: str, shown: str) -> None:
    assert hidden(body, "abc/12345") == shown


def test_what_is_hidden_leaves_json_whole() -> None:
    secret = 'a"b\\cé&d'
    body = json.dumps({"echo": secret, "n": 12345678})
    assert json.loads(hidden(body, secret, "12345678")) == {"echo": "***", "n": 12345678}
    assert json.loads(hidden('{"id":"12345678"}', "12345678")) == {"id": "***"}


def test_a_short_secret_is_not_looked_for() -> None:
    """It would be found in words of the data."""
    assert hidden('{"fruit":"orange"}', "orange") == '{"fruit":"orange"}'
    assert not Secrets(["orange"])


def test_an_answer_without_secrets_is_the_same_object() -> None:
    answer = Answer(status=200, headers={"a": "b"}, body=b"[1]", url="http://h/", elapsed_s=0.1)
    assert Secrets(["abcdefgh"]).without(answer) is answer


def test_which_headers_are_secret_by_their_name() -> None:
    headers = {
        "Authorization": "Bearer abc",
        "X-Api-Key": "def",
        "Cookie": "sid=ghi",
        "X-Auth-Token": "jkl",
        "Accept": "application/json",
        "Monkey": "mno",
        "X-Author": "pqr",
    }
    assert header_secrets(headers) == ("abc", "def", "sid=ghi", "jkl")
    assert header_secrets({"X-Odd": "a ${NAME} b", "Accept": "x"}, {"NAME": "s"}) == ("s",)


@pytest.mark.parametrize(
    "resource",
    [
        {"path": "x?k=${MY_TOKEN}"},
        {"path": "x", "query": {"api_key": "${NAME}"}},
        {"path": "x", "headers": {"Authorization": "Bearer ${NAME}"}},
        {"path": "x", "json": {"login": {"password": "${NAME}"}}},
        {"path": "x", "params": {"a": ["${X_API_KEY}"]}},
    ],
)
def test_a_secret_that_would_be_kept_with_its_call_is_refused(resource: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"would be kept with every answer"):
        check_secrets({"resource": {"r": resource}})


@pytest.mark.parametrize(
    "resource",
    [
        {"path": "authors/${AUTHOR}"},
        {"path": "x", "params": {"station_key": "${STATION}"}},
        {"path": "x", "query": {"region": "${REGION:-fi}"}},
        {"path": "x", "params": {"id": {"sql": "q", "on": "postgresql://u:${PGPASSWORD}@h/d"}}},
    ],
)
def test_what_is_no_secret_is_not_taken_for_one(resource: dict[str, object]) -> None:
    check_secrets({"resource": {"r": resource}})


def test_editors_know_that_a_secret_may_be_in_a_file() -> None:
    key = schema()["$defs"]["ApiKey"]["properties"]["key"]
    assert json.dumps(key).count('"required": ["file"]') == 2, "alone, and in a list"
