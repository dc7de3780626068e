"""Pipeline files made of what people have: an OpenAPI document, a curl command, a dlt dict.

Everything here is pure: a document goes in, an `Adopted` comes out. Nothing is sent, nothing in
the document is executed, and a secret that stands in it does not come out again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fetchcast.plan.adopt.toml import write_toml


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted:
    """A pipeline file in the making, and what its reader should know."""

    document: Mapping[str, Any]
    """What the file says, in its order; tables are dicts."""
    comments: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    """Path of a key -> what is written behind its line."""
    notes: tuple[str, ...] = ()
    """What was found, guessed and left out; for the terminal."""
    secrets: tuple[str, ...] = ()
    """Names of the environment variables that the file needs."""

    @property
    def text(self) -> str:
        """The file."""
        return write_toml(self.document, self.comments)
