"""JSON Schemas of OpenAPI 2, 3.0 and 3.1 as a `Shape`, and example values from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fetchcast.plan.adopt.document import References, as_dict, as_list
from fetchcast.plan.adopt.shape import Shape

_DEPTH = 6
_MOST_PLACES = 5_000
"""Schemas that refer to each other grow without end when they are written out."""


class Schemas:
    """Writes schemas out as far as rows and pages can be in them."""

    def __init__(self, references: References) -> None:
        self._references = references
        self._left = _MOST_PLACES

    def shape(self, schema: Any, at: str) -> Shape:
        """What ``schema`` allows, alternatives merged, cycles cut."""
        self._left = _MOST_PLACES
        return self._shape(schema, at, 0)

    def _shape(self, schema: Any, at: str, depth: int) -> Shape:
        self._left -= 1
        if depth > _DEPTH or self._left < 0:
            return Shape()
        merged = self.merged(schema, at)
        kind = kind_of(merged)
        if kind == "object":
            return Shape("object", fields={
                str(name): self._shape(one, f"{at}.{name}", depth + 1)
                for name, one in as_dict(merged.get("properties")).items()
            })  # fmt: skip
        if kind == "array":
            return Shape("array", items=self._shape(merged.get("items"), f"{at}[]", depth + 1))
        said = merged.get("format")
        return Shape(kind, said if isinstance(said, str) else "")

    def merged(self, schema: Any, at: str, depth: int = 0) -> dict[str, Any]:
        """``schema`` with its reference followed and its ``allOf`` and first choice put in."""
        one = self._references.follow(schema, at)
        parts = [*as_list(one.get("allOf")), *self._choice(one, at)]
        if not parts or depth > _DEPTH:
            return one
        whole: dict[str, Any] = {}
        for part in [*(self.merged(part, at, depth + 1) for part in parts), one]:
            fields = {**as_dict(whole.get("properties")), **as_dict(part.get("properties"))}
            whole = {**whole, **part, **({"properties": fields} if fields else {})}
        return whole

    def _choice(self, schema: Mapping[str, Any], at: str) -> list[Any]:
        """The first alternative that is not null."""
        for word in ("oneOf", "anyOf"):
            for one in as_list(schema.get(word)):
                if self._references.follow(one, at).get("type") != "null":
                    return [one]
        return []

    def example(self, schema: Any, at: str, depth: int = 0) -> Any:
        """A value that fits ``schema``, from what it gives as examples; None if it gives none."""
        merged = self.merged(schema, at)
        given = example_in(merged)
        if given is not None or depth > _DEPTH or kind_of(merged) != "object":
            return given
        wanted = [name for name in as_list(merged.get("required")) if isinstance(name, str)]
        fields = as_dict(merged.get("properties"))
        made = {
            name: self.example(fields[name], f"{at}.{name}", depth + 1)
            for name in wanted
            if name in fields
        }
        return {name: value for name, value in made.items() if value is not None}


def kind_of(schema: Mapping[str, Any]) -> str:
    """The type of ``schema``; 3.1 has lists of types, and many documents leave it out."""
    said = schema.get("type")
    if isinstance(said, list):
        said = next((one for one in said if one != "null"), None)
    if isinstance(said, str):
        return said
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "any"


def example_in(place: Mapping[str, Any]) -> Any:
    """The value that a parameter or schema gives as its example or default; None if none."""
    for word in ("example", "x-example", "default", "const"):
        if place.get(word) is not None:
            return place[word]
    examples = place.get("examples")
    if isinstance(examples, list) and examples:
        return examples[0]
    if isinstance(examples, dict):
        for one in examples.values():
            if isinstance(one, dict) and one.get("value") is not None:
                return one["value"]
    return None
