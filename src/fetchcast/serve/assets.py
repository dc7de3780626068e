"""The files that pages load: our own, and two libraries of others, kept as they were published.

``static/vendor/manifest.json`` names the version, source, licence and SHA-256 of each file of
others; a test compares them. There are a dozen small ones: each is read, named by its content and
compressed once, and answered from memory.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version as installed_version
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

FOLDER = Path(__file__).parent / "static"
_FOR_EVER = "public, max-age=31536000, immutable"
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".LICENSE": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file, ready to be sent."""

    kind: str
    digest: str
    body: bytes
    packed: bytes


@cache
def version() -> str:
    """The version of this package."""
    return installed_version("fetchcast")


@cache
def assets() -> dict[str, Asset]:
    """All files by their names below `FOLDER`."""
    found = {}
    for path in FOLDER.rglob("*"):
        if path.suffix in _KINDS:
            body = path.read_bytes()
            found[path.relative_to(FOLDER).as_posix()] = Asset(
                kind=_KINDS[path.suffix],
                digest=sha256(body).hexdigest()[:12],
                body=body,
                packed=gzip.compress(body, 9, mtime=0),
            )
    return found


@cache
def address(name: str) -> str:
    """Where a page finds a file; the address changes when the content does."""
    return f"/static/{name}?v={assets()[name].digest}"


class Files:
    """Answers for the folder; an address that names the content may be kept for ever."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send one file; 404 for any other name, 405 for anything but reading."""
        if scope["method"] not in {"GET", "HEAD"}:
            raise HTTPException(405)
        name = scope["path"].removeprefix(scope["root_path"]).lstrip("/")
        asset = assets().get(name)
        if asset is None:
            raise HTTPException(404)
        await _answer(asset, scope)(scope, receive, send)


def _answer(asset: Asset, scope: Scope) -> Response:
    asked, tag = Headers(scope=scope), f'"{asset.digest}"'
    headers = {
        "cache-control": _FOR_EVER if b"v=" in scope["query_string"] else "no-cache",
        "etag": tag,
        "vary": "accept-encoding",
    }
    if tag in asked.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in asked.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(asset.packed, media_type=asset.kind, headers=headers)
    return Response(asset.body, media_type=asset.kind, headers=headers)
