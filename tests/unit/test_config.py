# ruff: noqa: E501  a table of messages reads best in lines
"""The pipeline file: everything it can say, and one clear message for what it cannot."""

import pickle
import re
from pathlib import Path

import pytest

from fetchcast.config import Pipeline, read_pipeline, schema
from fetchcast.errors import ConfigError, FileUnreadable, SecretMissing, UnknownKey

SMALL = """
[api]
base_url = "https://api.test/v1"
[resource.trains]
path = "trains/{date}"
params = { date = { last = "3 days" } }
[table.stops]
from = "trains"
rows = "[*].timeTableRows[*]"
"""


def read(folder: Path, text: str, **options: object) -> Pipeline:
    path = folder / "trains.toml"
    path.write_text(text, encoding="utf-8")
    return read_pipeline(path, environment={}, **options)  # type: ignore[arg-type]


def test_a_small_file_has_sensible_defaults(tmp_path: Path) -> None:
    pipeline = read(tmp_path, SMALL)
    assert pipeline.name == "trains"
    assert pipeline.destinations == ("duckdb:///trains.duckdb",)
    assert pipeline.landing_folder == tmp_path / ".fetchcast" / "trains"
    assert pipeline.retry.attempts == 5


def test_every_key_is_read_by_someone(tmp_path: Path) -> None:
    """A file that uses every section; each value is where the stage will look for it."""
    text = (
        'name = "all"\ndestination = ["duckdb:///x.duckdb", "csv:///y.csv"]\n'
        + SMALL.replace(
            "params = {", 'query = { a = "{train}" }\nmethod = "GET"\nparams = { train = [1],'
        )
        + """
[api.headers]
Authorization = "Bearer ${TOKEN:-none}"
[limits]
max_concurrency = 4
max_rate = 2.5
[limits.quota]
requests = 100
per = "day"
[retry]
attempts = 2
[http]
total_timeout_s = 5.0
[landing]
keep = "90 days"
[resource.trains.answer]
empty = [404]
[series.delay]
sql = "select 1"
horizon = 7
[question.late]
text = "Late?"
series = "delay"
unique_id = "27"
threshold = 5.0
[app]
title = "Trains"
"""
    )
    pipeline = read(tmp_path, text)
    assert pipeline.destinations == ("duckdb:///x.duckdb", "csv:///y.csv")
    assert pipeline.limits.max_concurrency == 4
    assert pipeline.limits.quota is not None
    assert pipeline.http.total_timeout_s == 5.0
    assert pipeline.landing.keep == "90 days"
    assert pipeline.resource["trains"].answer.empty == (404,)
    assert pipeline.api.headers == {"Authorization": "Bearer none"}
    assert pipeline.question["late"].threshold == 5.0
    assert pipeline.app.title == "Trains"


@pytest.mark.parametrize(
    ("old", "new", "kind", "message"),
    [
        ("[resource.trains]", "[resources.trains]", UnknownKey, "unknown key resources: did you mean 'resource'?"),
        ("path =", "pth =", UnknownKey, "unknown key resource.trains.pth: did you mean 'path'?"),
        ('from = "trains"', 'from = "train"', ConfigError, "table.stops.from = 'train': expected one of: trains; did you mean 'trains'?"),
        ('from = "trains"', 'from = "trains"\ncarry = { d = "param:dat" }', ConfigError, "table.stops.carry.d = 'param:dat': expected a parameter of trains, which has: date"),
        ('from = "trains"', "", ConfigError, "table.stops.from = None: expected a value; it is required"),
        ('path = "trains/{date}"', "path = 7", ConfigError, "resource.trains.path = 7: expected `str`, got `int`"),
        ('base_url = "https://api.test/v1"', 'base_url = "api.test"', ConfigError, "base_url = 'api.test': expected http:// or https://"),
        ("[api]", "[api", FileUnreadable, "is not a TOML file"),
        ("[api]\n", "[retry]\nattempts = 0\n[api]\n", ConfigError, "attempts = 0: expected 1 or more"),
        ('base_url = "https://api.test/v1"', 'base_url = "${NO_SUCH}"', SecretMissing, "api.base_url needs the environment variable NO_SUCH"),
        ("[api]\n", "api = 3\n[apj]\n", ConfigError, "api = 3: expected a table"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_one_clear_message(
    tmp_path: Path, old: str, new: str, kind: type[ConfigError], message: str
) -> None:
    assert old in SMALL
    with pytest.raises(kind) as caught:
        read(tmp_path, SMALL.replace(old, new, 1))
    assert message in str(caught.value)
    assert caught.value.exit_status == 2
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileUnreadable, match=r"nowhere\.toml: there is no such file"):
        read_pipeline(tmp_path / "nowhere.toml")


def test_secrets_come_from_the_environment_or_dotenv(tmp_path: Path) -> None:
    text = SMALL.replace("[resource", 'headers = { Key = "${KEY}" }\n[resource', 1)
    (tmp_path / ".env").write_text("# secrets\nexport KEY='from file'\n")
    assert read(tmp_path, text).api.headers["Key"] == "from file"
    path = tmp_path / "trains.toml"
    assert read_pipeline(path, environment={"KEY": "set"}).api.headers["Key"] == "set"


def test_the_digest_is_of_the_meaning_without_secrets(tmp_path: Path) -> None:
    text = SMALL.replace("[resource", 'headers = { Key = "${KEY}" }\n[resource', 1)
    path = tmp_path / "trains.toml"
    path.write_text(text)
    one = read_pipeline(path, environment={"KEY": "one"}).digest
    path.write_text("# a comment\n" + text)
    assert read_pipeline(path, environment={"KEY": "two"}).digest == one
    path.write_text(text.replace("3 days", "4 days"))
    assert read_pipeline(path, environment={"KEY": "one"}).digest != one


def test_address_and_destination_can_be_given_from_outside(tmp_path: Path) -> None:
    pipeline = read(tmp_path, SMALL, base_url="http://127.0.0.1:1", destination="csv:///a.csv")
    assert pipeline.api.base_url == "http://127.0.0.1:1"
    assert pipeline.destinations == ("csv:///a.csv",)


def test_the_examples_are_right_and_short() -> None:
    for path in Path("examples").rglob("*.toml"):
        secrets = re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8"))
        read_pipeline(path, environment=dict.fromkeys(secrets, "a-secret"))


def test_the_schema_knows_what_the_file_knows() -> None:
    definitions = schema()["$defs"]
    assert {"api", "resource", "table", "series", "question"} <= set(
        definitions["PipelineFile"]["properties"]
    )
    assert "folder" not in definitions["PipelineFile"]["properties"]
    assert "from" in definitions["TableOptions"]["properties"]


def family(**parents: str) -> str:
    """A file of resources with their parents."""
    tables = (
        f'[resource.{name}]\npath = "{{x}}"\nparams.x = {{ from = "{parent}", field = "id" }}'
        for name, parent in parents.items()
    )
    return '[api]\nbase_url = "https://api.test"\n[resource.root]\npath = "r"\n' + "\n".join(tables)


def test_parents_are_found_and_never_go_round(tmp_path: Path) -> None:
    pipeline = read(tmp_path, family(child="root", grandchild="child"))
    assert [options.parent for options in pipeline.resource.values()] == [None, "root", "child"]
    with pytest.raises(ConfigError, match="did you mean 'root'"):
        read(tmp_path, family(child="rot"))
    with pytest.raises(ConfigError, match=r"resource.b.params = 'a'.* own rows: b <- a <- c <- b"):
        read(tmp_path, family(z="b", a="c", b="a", c="b"))
    with pytest.raises(ConfigError, match="own rows: me <- me"):
        read(tmp_path, family(me="me"))
