"""Where a store can be: a folder that machines share, or a bucket. Small objects, whole or absent.

Both tell "I was the first" apart from "somebody was before me" in one step: a hard link in a
folder, ``If-None-Match: *`` in a bucket.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

_OPTIONS: Final = frozenset({"endpoint_override", "region"})


class Place(Protocol):
    """Objects by name; a name is a path below the place, parts apart by ``/``.

    Every method raises `OSError` if the place cannot be used.
    """

    def read(self, name: str) -> bytes:
        """What is there; raises `FileNotFoundError` if nothing is."""

    def write(self, name: str, content: bytes) -> None:
        """Put ``content`` there: whole, or not at all."""

    def create(self, name: str, content: bytes) -> bool:
        """Put ``content`` there if nothing is; False if something was, which stays."""

    def names(self, folder: str) -> list[str]:
        """What is directly below ``folder``, folders too; nothing if there is no such folder."""

    def delete(self, name: str) -> None:
        """Take it away, if it is there."""

    def delete_folder(self, folder: str) -> None:
        """Take everything below it away."""


def open_place(url: str) -> Place:
    """The place that ``url`` names.

    Args:
        url: ``file:///PATH`` or ``s3://BUCKET/PREFIX?endpoint_override=URL&region=NAME``.

    Raises:
        ValueError: If it names none.
        ImportError: If what talks to buckets is not installed here.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return Folder(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        return _bucket(parts.netloc, unquote(parts.path.strip("/")), parse_qs(parts.query))
    raise ValueError("it is neither file:///PATH nor s3://BUCKET/PREFIX")


class Folder:
    """A folder of a file system."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> bytes:
        """See `Place.read`."""
        return (self._path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """See `Place.write`."""
        draft = self._draft(name, content)
        try:
            draft.replace(self._path / name)
        except OSError:
            draft.unlink(missing_ok=True)
            raise

    def create(self, name: str, content: bytes) -> bool:
        """See `Place.create`."""
        draft = self._draft(name, content)
        try:
            (self._path / name).hardlink_to(draft)
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        return True

    def _draft(self, name: str, content: bytes) -> Path:
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
        try:
            draft.write_bytes(content)
        except OSError:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        return draft

    def names(self, folder: str) -> list[str]:
        """See `Place.names`."""
        try:
            return [path.name for path in (self._path / folder).iterdir()]
        except FileNotFoundError:
            return []

    def delete(self, name: str) -> None:
        """See `Place.delete`."""
        (self._path / name).unlink(missing_ok=True)

    def delete_folder(self, folder: str) -> None:
        """See `Place.delete_folder`."""
        with suppress(FileNotFoundError):
            shutil.rmtree(self._path / folder)


def _bucket(bucket: str, prefix: str, query: dict[str, list[str]]) -> Place:
    if unknown := sorted(set(query) - _OPTIONS):
        known = ", ".join(sorted(_OPTIONS))
        raise ValueError(f"it has {unknown[0]!r} behind the ?; known: {known}")
    if find_spec("obstore") is None:
        raise ImportError("obstore is not installed here: pip install 'fetchcast[s3]'")
    said = {name: values[-1] for name, values in query.items()}
    return Bucket(bucket, prefix, said.get("endpoint_override"), said.get("region"))


class Bucket:
    """A bucket of an S3-compatible store; who may use it is said as AWS's own tools have it.

    Args:
        bucket: Its name.
        prefix: What all names begin with.
        endpoint: Where it is, if not at AWS; ``http://`` or ``https://``.
        region: Where it is at AWS.
    """

    def __init__(self, bucket: str, prefix: str, endpoint: str | None, region: str | None) -> None:
        import obstore  # noqa: PLC0415  an extra
        from obstore.exceptions import AlreadyExistsError, BaseError  # noqa: PLC0415
        from obstore.store import S3Store  # noqa: PLC0415

        self._obstore, self._exists, self._error = obstore, AlreadyExistsError, BaseError
        options: dict[str, Any] = {"prefix": prefix} if prefix else {}
        if region is not None:
            options["region"] = region
        if endpoint is not None:
            options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
            options["client_options"] = {"allow_http": endpoint.startswith("http://")}
        self._store = S3Store(bucket, **options)

    def read(self, name: str) -> bytes:
        """See `Place.read`."""
        try:
            return bytes(self._obstore.get(self._store, name).bytes())
        except self._error as error:
            raise OSError(_line(error)) from error

    def write(self, name: str, content: bytes) -> None:
        """See `Place.write`: an object is there when its last byte is."""
        try:
            self._obstore.put(self._store, name, content)
        except (self._error, FileNotFoundError) as error:  # The bucket itself is not there.
            raise OSError(_line(error)) from error

    def create(self, name: str, content: bytes) -> bool:
        """See `Place.create`."""
        try:
            self._obstore.put(self._store, name, content, mode="create")
        except (self._exists, FileExistsError):
            return False
        except (self._error, FileNotFoundError) as error:
            raise OSError(_line(error)) from error
        return True

    def names(self, folder: str) -> list[str]:
        """See `Place.names`."""
        try:
            found = self._obstore.list_with_delimiter(self._store, folder)
        except self._error as error:
            raise OSError(_line(error)) from error
        paths = [*found["common_prefixes"], *(one["path"] for one in found["objects"])]
        return [path.rstrip("/").rpartition("/")[2] for path in paths]

    def delete(self, name: str) -> None:
        """See `Place.delete`."""
        try:
            with suppress(FileNotFoundError):
                self._obstore.delete(self._store, name)
        except self._error as error:
            raise OSError(_line(error)) from error

    def delete_folder(self, folder: str) -> None:
        """See `Place.delete_folder`."""
        try:
            for found in self._obstore.list(self._store, folder):
                if paths := [one["path"] for one in found]:
                    self._obstore.delete(self._store, paths)
        except self._error as error:
            raise OSError(_line(error)) from error


def _line(error: BaseException) -> str:
    """What the store said, in one line: it may be a page of XML."""
    return " ".join(str(error).split())[:300]
