"""What is packed: the members of a ZIP file one by one, a gzip file; never further than a limit."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from fnmatch import fnmatchcase

from fetchcast.formats.options import BrokenFormat

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 31
_ENCRYPTED = 0x1
_SHOWN = 5


def zip_members(body: bytes, pattern: str, at_most: int) -> Iterator[bytes]:
    """What the members of ``body`` hold whose names match, in their order.

    One is in memory at a time; together they are no more than ``at_most`` bytes, whatever the
    file says of itself.

    Raises:
        BrokenFormat: If it is no ZIP file, damaged, encrypted, or too large.
    """
    with _opened(body) as archive:
        for info in matching(archive, pattern):
            try:
                with archive.open(info) as member:
                    content = member.read(at_most + 1)
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
                raise BrokenFormat(f"the member {info.filename!r} is damaged ({error})") from None
            except NotImplementedError as error:
                raise BrokenFormat(f"the member {info.filename!r}: {error}", final=True) from None
            if len(content) > at_most:
                raise _too_large()
            at_most -= len(content)
            yield content


def count_members(body: bytes, pattern: str) -> int:
    """How many members there are that match and are not empty; nothing is unpacked."""
    with _opened(body) as archive:
        return sum(info.file_size > 0 for info in matching(archive, pattern))


def matching(archive: zipfile.ZipFile, pattern: str) -> list[zipfile.ZipInfo]:
    """The members whose name, or its last part, is like ``pattern``."""
    files = [info for info in archive.infolist() if not info.is_dir()]
    found = [
        info
        for info in files
        if fnmatchcase(info.filename, pattern)
        or fnmatchcase(info.filename.rpartition("/")[2], pattern)
    ]
    if files and not found:
        names = ", ".join(info.filename for info in files[:_SHOWN])
        problem = f"no member is like members = {pattern!r}; there are: {names}"
        raise BrokenFormat(problem, final=True)
    for info in found:
        if info.flag_bits & _ENCRYPTED:
            raise BrokenFormat(f"the member {info.filename!r} is encrypted", final=True)
    return found


def unpacked_gzip(body: bytes, at_most: int) -> bytes:
    """The text in ``body``; itself, if whoever sent it has unpacked it already.

    Raises:
        BrokenFormat: If it is damaged, cut off, or too large.
    """
    if not body.startswith(_GZIP_MAGIC):
        return body
    texts: list[bytes] = []
    while body.startswith(_GZIP_MAGIC):
        inflater = zlib.decompressobj(_GZIP)
        try:
            text = inflater.decompress(body, at_most + 1)
        except zlib.error as error:
            raise BrokenFormat(f"the gzip file is damaged ({error})") from None
        if len(text) > at_most:
            raise _too_large()
        if not inflater.eof:
            raise BrokenFormat("the gzip file ends too early")
        at_most -= len(text)
        texts.append(text)
        body = inflater.unused_data
    return b"".join(texts)


def gzip_size(body: bytes) -> int:
    """How large the gzip file ``body`` says that it is when unpacked, modulo 2^32."""
    return int.from_bytes(body[-4:], "little")


def _opened(body: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(body))
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        # A file that was cut off has no table of contents.
        raise BrokenFormat(f"no ZIP file, or not all of it ({error})") from None


def _too_large() -> BrokenFormat:
    return BrokenFormat("it unpacks to more than max_unpacked_bytes", final=True)
