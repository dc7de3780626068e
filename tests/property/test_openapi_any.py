"""A document may be damaged anywhere: it becomes a file that is right, or one clear message."""

import copy
import tomllib
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fetchcast import Pipeline
from fetchcast.errors import FileUnreadable
from fetchcast.plan.adopt.document import read_document
from fetchcast.plan.adopt.openapi import adopt_openapi
from fetchcast.plan.adopt.secrets import placeholder

PRH = Path(__file__).parents[1] / "data" / "prh-ytj-v3.openapi.yaml"
RICH: dict[str, Any] = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://{host}/v1", "variables": {"host": {"default": "api.x.org"}}}],
    "security": [{"oauth": ["read"]}],
    "components": {
        "securitySchemes": {
            "oauth": {
                "type": "oauth2",
                "flows": {"clientCredentials": {"tokenUrl": "https://x.org/t", "scopes": {}}},
            }
        },
        "schemas": {
            "Pet": {
                "allOf": [{"$ref": "#/components/schemas/Named"}, {"required": ["id"]}],
                "properties": {"id": {"type": "integer"}, "born": {"format": "date"}},
            },
            "Named": {"type": "object", "properties": {"name": {"type": ["string", "null"]}}},
        },
        "parameters": {
            "Page": {"name": "page", "in": "query", "schema": {"type": "integer", "default": 1}}
        },
    },
    "paths": {
        "/pets": {
            "parameters": [{"$ref": "#/components/parameters/Page"}],
            "get": {
                "operationId": "listPets",
                "tags": ["pets"],
                "responses": {
                    "200": {
                        "headers": {"X-Total-Count": {}},
                        "content": {
                            "application/json": {
                                "schema": {
                                    "type": "array",
                                    "items": {"$ref": "#/components/schemas/Pet"},
                                }
                            }
                        },
                    }
                },
            },
        },
        "/pets/{pet-id}/visits": {
            "get": {
                "parameters": [
                    {"name": "pet-id", "in": "path", "required": True},
                    {"name": "from", "in": "query", "required": True, "schema": {"format": "date"}},
                    {"name": "to", "in": "query", "required": True, "schema": {"format": "date"}},
                ],
                "responses": {"200": {"content": {"application/json": {"schema": {}}}}},
            }
        },
    },
}
SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8) | st.floats()
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, one in value.items():
            found += places(one, (*path, key))
    if isinstance(value, list):
        for place, one in enumerate(value):
            found += places(one, (*path, place))
    return found


def damaged(document: Any, path: tuple[Any, ...], junk: Any) -> Any:
    made = copy.deepcopy(document)
    place = made
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = junk
    return made


DOCUMENTS = {"prh": read_document(PRH.read_bytes(), "prh"), "rich": RICH}
PLACES = {name: places(document) for name, document in DOCUMENTS.items()}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from([*DOCUMENTS]), junk=JUNK)
def test_damage_is_told_or_survived(data: Any, name: str, junk: Any) -> None:
    path = data.draw(st.sampled_from(PLACES[name]))
    document = damaged(DOCUMENTS[name], path, junk)
    try:
        made = adopt_openapi(document, where="api.json")
    except FileUnreadable:
        return
    assert tomllib.loads(made.text) == made.document
    known = {name: "https://x.org" if "URL" in name else "0123456789" for name in made.secrets}
    known["API_URL"] = "https://x.org"
    Pipeline.from_dict(tomllib.loads(made.text), environment=known)
    assert all(placeholder(one) in made.text for one in made.secrets)
