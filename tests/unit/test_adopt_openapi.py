"""`fetchcast import openapi`: what of a document becomes which line of the file."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fetchcast import Pipeline
from fetchcast.cli.main import cli
from fetchcast.errors import FileUnreadable
from fetchcast.plan.adopt import Adopted
from fetchcast.plan.adopt.document import read_document
from fetchcast.plan.adopt.openapi import adopt_openapi

PRH = Path(__file__).parents[1] / "data" / "prh-ytj-v3.openapi.yaml"
PET = {"type": "object", "properties": {"id": {"type": "integer"}, "born": {"format": "date"}}}


def answers(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"200": {"content": {"application/json": {"schema": schema}}, **more}}


def listed(schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return answers({"type": "array", "items": schema or PET})


def query(name: str, schema: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema or {"type": "string"}, **more}


def described(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    servers = [{"url": "https://api.example.org/v1"}]
    return {"openapi": "3.1.0", "servers": servers, "paths": paths, **more}


def adopt(document: dict[str, Any], **options: Any) -> Adopted:
    made = adopt_openapi(document, where="api.json", **options)
    assert tomllib.loads(made.text) == made.document
    Pipeline.from_dict(made.document, environment=dict.fromkeys(made.secrets, "0123456789"))
    return made


def one(operation: dict[str, Any], path: str = "/pets", **more: Any) -> dict[str, Any]:
    """The only resource of a document with one operation."""
    document = adopt(described({path: {"get": operation}}, **more)).document
    (resource,) = document["resource"].values()
    found: dict[str, Any] = resource
    return found


def test_prh_v3_gives_its_two_json_calls_with_pages_and_dates() -> None:
    made = adopt_openapi(read_document(PRH.read_bytes(), str(PRH)), where=str(PRH))
    resources, tables = made.document["resource"], made.document["table"]
    assert made.document["api"] == {"base_url": "https://avoindata.prh.fi/opendata-ytj-api/v3"}
    paginator = {"type": "page_number", "param": "page", "total": "totalResults"}
    assert resources["companies"] == {"path": "companies", "paginator": paginator}
    assert tables["companies"]["rows"] == "companies[*]"
    assert resources["post_codes"]["params"] == {"lang": ["en", "fi", "sv"]}
    assert made.notes == (
        "left out GET /all_companies: answers application/zip",
        "left out GET /description: answers text/plain",
    )
    assert len(made.text.splitlines()) <= 25


@pytest.mark.parametrize(
    ("params", "answer", "headers", "paginator"),
    [
        ([query("page")], {}, {"Link": {}}, {"type": "link_header"}),
        (
            [query("cursor"), query("limit")],
            {"meta": {"properties": {"next_cursor": {"type": ["string", "null"]}}}},
            {},
            {"type": "cursor", "path": "meta.next_cursor", "param": "cursor"},
        ),
        (
            [],
            {"next": {"type": "string", "format": "uri"}},
            {},
            {"type": "next_url", "path": "next"},
        ),
        (
            [query("offset"), query("limit", {"maximum": 500})],
            {"total": {"type": "integer"}},
            {},
            {
                "type": "offset",
                "param": "offset",
                "limit": 500,
                "limit_param": "limit",
                "total": "total",
            },
        ),
        (
            [query("page", {"type": "integer", "default": 0}), query("per_page", {"default": 30})],
            {"page_info": {"properties": {"totalPages": {"type": "integer"}}}},
            {},
            {
                "type": "page_number",
                "param": "page",
                "first": 0,
                "size_param": "per_page",
                "size": 30,
                "total_pages": "page_info.totalPages",
            },
        ),
        (
            [query("page")],
            {"has_more": {"type": "boolean"}},
            {},
            {"type": "page_number", "param": "page", "has_more": "has_more"},
        ),
        (
            [query("page")],
            {},
            {"X-Total-Count": {}},
            {"type": "page_number", "param": "page", "total_header": "X-Total-Count"},
        ),
        ([query("q")], {"total": {"type": "integer"}}, {}, None),
    ],
)
def test_pages_are_guessed_from_parameters_and_answer(
    params: list[Any], answer: dict[str, Any], headers: dict[str, Any], paginator: Any
) -> None:
    rows = {"items": {"type": "array", "items": PET}}
    schema = {"type": "object", "properties": {**answer, **rows}}
    found = one({"parameters": params, "responses": answers(schema, headers=headers)})
    assert found.get("paginator") == paginator
    assert "params" not in found, "what the paginator sets, and what is optional, is nobody's job"


def test_required_parameters_get_examples_choices_days_or_a_file_to_fill() -> None:
    params = [
        query("lang", {"enum": ["en", "fi"]}, required=True),
        query("unit", {"type": "string", "default": "km"}, required=True),
        query("start_date", {"type": "string", "format": "date"}, required=True),
        query("end_date", {"type": "string", "format": "date"}, required=True),
        query("asked-at", {"type": "string", "format": "date-time"}, required=True),
        query("station", required=True),
        {"name": "X-Mode", "in": "header", "required": True, "schema": {"enum": ["a"]}},
    ]
    found = one({"parameters": params, "responses": listed()}, "/trips/{trip-id}")
    assert found["path"] == "trips/{trip_id}"
    assert found["query"] == {
        "lang": "{lang}",
        "unit": "{unit}",
        "start_date": "{start_date}",
        "end_date": "{start_date.end}",
        "asked-at": "{asked_at}",
        "station": "{station}",
    }
    assert found["headers"] == {"X-Mode": "{X_Mode}"}
    assert found["params"] == {
        "lang": ["en", "fi"],
        "unit": ["km"],
        "start_date": {"last": "30 days", "step": "1 week"},
        "asked_at": {"last": "30 days", "format": "%Y-%m-%dT%H:%M:%SZ"},
        "station": {"csv": "station.csv", "column": "station"},
        "X_Mode": ["a"],
        "trip_id": {"csv": "trip_id.csv", "column": "trip_id"},
    }


def test_a_path_below_a_list_takes_its_parameter_from_the_rows_of_the_list() -> None:
    paths = {
        "/pets": {"get": {"operationId": "listPets", "responses": listed()}},
        "/pets/{petId}/visits": {"get": {"operationId": "getVisits", "responses": listed()}},
    }
    made = adopt(described(paths)).document
    assert made["resource"]["visits"]["params"] == {"petId": {"from": "pets", "field": "id"}}
    assert made["table"]["visits"]["carry"] == {"petId": "param:petId"}


@pytest.mark.parametrize(
    ("scheme", "auth"),
    [
        ({"type": "http", "scheme": "bearer"}, {"type": "bearer", "token": "${EXAMPLE_TOKEN}"}),
        (
            {"type": "apiKey", "name": "appid", "in": "query"},
            {"type": "api_key", "key": "${EXAMPLE_API_KEY}", "name": "appid", "in": "query"},
        ),
        (
            {"type": "http", "scheme": "basic"},
            {"type": "basic", "user": "${EXAMPLE_USER}", "password": "${EXAMPLE_PASSWORD}"},
        ),
        (
            {
                "type": "oauth2",
                "flows": {
                    "clientCredentials": {
                        "tokenUrl": "https://id.example.org/t",
                        "scopes": {"r": ""},
                    }
                },
            },
            {
                "type": "oauth2_client_credentials",
                "token_url": "https://id.example.org/t",
                "client_id": "${EXAMPLE_CLIENT_ID}",
                "client_secret": "${EXAMPLE_CLIENT_SECRET}",
                "scope": "r",
            },
        ),
    ],
)
def test_security_schemes_become_auth(scheme: dict[str, Any], auth: dict[str, Any]) -> None:
    paths = {"/pets": {"get": {"responses": listed(), "security": [{"mine": []}]}}}
    paths["/pets"]["get"]["parameters"] = [query("appid", required=True)]
    document = described(paths, components={"securitySchemes": {"mine": scheme}})
    made = adopt(document)
    assert made.document["api"]["auth"] == auth
    assert {f"${{{name}}}" for name in made.secrets} <= set(auth.values())
    if scheme.get("in") == "query":
        assert "query" not in made.document["resource"]["pets"], "the key is no parameter"


def test_swagger_two_says_the_same_in_other_words() -> None:
    operation = {
        "produces": ["application/json"],
        "parameters": [
            {"name": "page", "in": "query", "type": "integer"},
            {"name": "day", "in": "query", "type": "string", "format": "date", "required": True},
        ],
        "responses": {"200": {"schema": {"type": "array", "items": {"$ref": "#/definitions/P"}}}},
    }
    made = adopt(
        {
            "swagger": "2.0",
            "host": "api.example.org",
            "basePath": "/v2",
            "schemes": ["https"],
            "paths": {"/pets": {"get": operation}},
            "definitions": {"P": PET},
            "securityDefinitions": {"k": {"type": "apiKey", "name": "X-Key", "in": "header"}},
            "security": [{"k": []}],
        }
    ).document
    assert made["api"]["base_url"] == "https://api.example.org/v2"
    assert made["api"]["auth"]["name"] == "X-Key"
    assert made["resource"]["pets"]["paginator"] == {"type": "page_number", "param": "page"}
    assert made["resource"]["pets"]["query"] == {"day": "{day}"}
    assert made["table"]["pets"] == {
        "from": "pets",
        "rows": "[*]",
        "carry": {"day": "param:day"},
        "types": {"born": "date"},
    }


def test_cycles_of_schemas_are_no_trouble() -> None:
    tree: dict[str, Any] = {
        "properties": {"children": {"type": "array"}, "id": {"type": "integer"}}
    }
    tree["properties"]["children"]["items"] = {"$ref": "#/components/schemas/Tree"}
    both = {"allOf": [{"$ref": "#/components/schemas/Both"}, PET]}
    schemas = {"Tree": tree, "Both": both}
    document = described(
        {
            "/trees": {"get": {"responses": listed({"$ref": "#/components/schemas/Tree"})}},
            "/both": {"get": {"responses": listed({"$ref": "#/components/schemas/Both"})}},
        },
        components={"schemas": schemas},
    )
    assert adopt(document).document["table"]["trees"]["rows"] == "[*]"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("#/components/schemas/Pett", "there is no 'Pett'; did you mean 'Pet'?"),
        ("other.yaml#/Pet", "is another document, and only one is read"),
        ("#/components/schemas/Round", "references in a circle"),
    ],
)
def test_a_reference_that_leads_nowhere_is_one_clear_message(reference: str, says: str) -> None:
    schemas = {"Pet": PET, "Round": {"$ref": "#/components/schemas/Round"}}
    paths = {"/pets": {"get": {"responses": listed({"$ref": reference})}}}
    with pytest.raises(FileUnreadable, match=r"api\.json") as caught:
        adopt(described(paths, components={"schemas": schemas}))
    assert says in str(caught.value)
    assert "paths./pets.get" in str(caught.value)


def test_a_broken_reference_that_is_not_needed_is_a_note() -> None:
    operation = {"responses": {**listed(), "500": {"$ref": "#/components/responses/Gone"}}}
    made = adopt(described({"/pets": {"get": operation}}))
    assert "'#/components/responses/Gone' at paths./pets.get.responses.500" in made.notes[0]


def test_only_takes_what_is_named_also_a_post() -> None:
    body = {"content": {"application/json": {"example": {"q": "x", "size": None}}}}
    paths = {
        "/pets": {"get": {"responses": listed()}},
        "/search": {"post": {"requestBody": body, "responses": listed()}},
    }
    made = adopt(described(paths), only=["/search"]).document["resource"]
    assert made == {"search": {"path": "search", "method": "POST", "json": {"q": "x"}}}
    with pytest.raises(FileUnreadable, match="has no operation '/nope'; it has: pets, search"):
        adopt(described(paths), only=["/nope"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "neither JSON nor YAML"),
        ("a: [", "neither JSON nor YAML"),
        ("- 1", "holds no object"),
        ("{}", "needs `openapi` (or `swagger`) and `paths`"),
        ('{"openapi": "3.0.0", "paths": {}}', "describes no call whose answer is JSON"),
    ],
)
def test_what_is_no_openapi_document_is_told(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "api.yaml"
    file.write_text(text)
    with pytest.raises(FileUnreadable) as caught:
        adopt_openapi(read_document(file.read_bytes(), str(file)), where=str(file))
    assert says in str(caught.value)


def test_many_calls_are_not_taken_unasked() -> None:
    paths = {f"/p{i}": {"get": {"tags": ["pets"], "responses": listed()}} for i in range(30)}
    with pytest.raises(FileUnreadable, match=r"describes 30 calls.*--only.*tags: pets"):
        adopt(described(paths))
    assert len(adopt(described(paths), only=["pets"]).document["resource"]) == 30


def test_yaml_means_what_json_would_mean() -> None:
    read = read_document(b"country: no\nday: 2026-01-31\nsure: true\n200: x", "a.yaml")
    assert read == {"country": "no", "day": "2026-01-31", "sure": True, 200: "x"}


def test_a_document_that_unfolds_without_end_is_read_in_time() -> None:
    lines = [
        "a0: &a0 {x: 1}",
        *(f"a{i}: &a{i} {{l: *a{i - 1}, r: *a{i - 1}}}" for i in range(1, 60)),
    ]
    document = read_document("\n".join(lines).encode(), "bomb.yaml")
    paths = {"/pets": {"get": {"responses": listed({"properties": document})}}}
    assert adopt(described(paths, x=document)).document["resource"]


def test_the_command_writes_the_file_once(tmp_path: Path) -> None:
    source, out = tmp_path / "api.json", tmp_path / "p.toml"
    source.write_text(json.dumps(described({"/pets": {"get": {"responses": listed()}}})))
    arguments = ["import", "openapi", str(source), "--out", str(out)]
    ran = CliRunner().invoke(cli, arguments)
    assert ran.exit_code == 0, ran.output
    assert f"wrote {out} with 1 resource; next: fetchcast plan {out}" in ran.output
    assert tomllib.loads(out.read_text())["resource"] == {"pets": {"path": "pets"}}
    again = CliRunner().invoke(cli, arguments)
    assert again.exit_code == 2
    assert "exists; --force overwrites it" in again.output
