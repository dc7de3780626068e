"""The files that pages load: our own, and two libraries of others, kept as they were published.

``static/vendor/manifest.json`` names the version, source, licence and SHA-256 of each file of
others; a test compares them.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.metadata import version as installed_version
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent / "static"
_FOR_EVER = "public, max-age=31536000, immutable"


@cache
def version() -> str:
    """The version of this package."""
    return installed_version("fetchcast")


@cache
def address(name: str) -> str:
    """Where a page finds a file; the address changes when the content does."""
    digest = sha256((FOLDER / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


class Files(StaticFiles):
    """Serves the folder; an address that names the content may be kept for ever."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file, with how long it may be kept."""
        answer = await super().get_response(path, scope)
        named = b"v=" in scope["query_string"]
        answer.headers["cache-control"] = _FOR_EVER if named else "no-cache"
        return answer
