"""What the reference APIs are asked and what they say, apart from any server."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import msgspec


class Origin(StrEnum):
    """Where an answer comes from; the header ``Fetchcast-Origin`` of each says it."""

    RECORDED = "recorded"
    """As the real API gave it."""
    RESAMPLED = "resampled"
    """A day made of a recorded day."""
    COMPOSED = "composed"
    """Recorded facts in a form in which they were not recorded, archives, and errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, as far as the APIs care."""

    method: str
    path: str
    """Decoded, without the query."""
    query: Mapping[str, str]
    query_string: str
    accept: str
    accepts_gzip: bool
    base_url: str
    """Where this sandbox is reached: scheme, host and port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One answer, ready to send."""

    status: int
    body: bytes
    """Compressed if ``headers`` say so."""
    headers: Mapping[str, str]
    rows: int = 0
    """Timetable rows in it."""
    train: int | None = None
    """The train number, where the rows are one train's."""


@dataclass(frozen=True, slots=True)
class Body:
    """An answer's body in both of its forms; packed once, sent often."""

    plain: bytes
    packed: bytes = field(repr=False)
    origin: Origin
    rows: int = 0
    train: int | None = None

    @classmethod
    def of(cls, plain: bytes, origin: Origin, *, rows: int = 0, train: int | None = None) -> Body:
        """Pack ``plain``."""
        return cls(plain, gzip.compress(plain, 5, mtime=0), origin, rows, train)

    def served(self, call: Call, headers: Mapping[str, str], status: int = 200) -> Served:
        """This body as the answer to ``call``, compressed if the caller understands it."""
        packed = {"Content-Encoding": "gzip"} if call.accepts_gzip else {}
        return Served(
            status=status,
            body=self.packed if call.accepts_gzip else self.plain,
            headers={**headers, **packed, "Fetchcast-Origin": self.origin},
            rows=self.rows,
            train=self.train,
        )


def text(status: int, body: str, headers: Mapping[str, str] | None = None) -> Served:
    """A plain text answer, as the edge in front of an API gives it."""
    return Served(
        status=status,
        body=body.encode(),
        headers={
            "Content-Type": "text/plain",
            "Fetchcast-Origin": Origin.COMPOSED,
            **(headers or {}),
        },
    )


def zipped(members: Iterable[tuple[str, bytes]], *, rows: int = 0) -> Served:
    """An archive of files, name and content each; sent as it is, packed already."""
    archive = BytesIO()
    with ZipFile(archive, "w", ZIP_DEFLATED, compresslevel=3) as file:
        for name, content in members:
            # A fixed time of change: the same members give the same bytes.
            file.writestr(ZipInfo(name), content, ZIP_DEFLATED)
    headers = {"Content-Type": "application/zip", "Fetchcast-Origin": Origin.COMPOSED}
    return Served(status=200, body=archive.getvalue(), headers=headers, rows=rows)


def error_json(call: Call, status: int, value: object) -> Served:
    """``value`` as a JSON error of an API."""
    body = Body.of(msgspec.json.encode(value), Origin.COMPOSED)
    return body.served(call, {"Content-Type": "application/json"}, status)
