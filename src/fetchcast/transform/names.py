"""Names that every destination takes: snake_case, short, unique without regard to case."""

from __future__ import annotations

import re
import unicodedata
from hashlib import blake2b

MAX_BYTES = 63
"""The limit of PostgreSQL, the strictest of the destinations."""

# What does not come apart into a letter and an accent.
_LETTERS = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "O", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE"}
    | {"ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th"}
)
_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OTHER = re.compile(r"[^a-z0-9]+")


def snake_case(key: str) -> str:
    """``stationShortCode`` -> ``station_short_code``, ``Määrä %`` -> ``maara``; may be empty.

    Finnish and other Latin letters lose their marks; a name never starts with ``_`` (those
    are ours) and a leading digit gets a ``c`` in front.
    """
    plain = unicodedata.normalize("NFKD", key.translate(_LETTERS))
    plain = plain.encode("ascii", "ignore").decode()
    name = _OTHER.sub("_", _WORD_STARTS.sub("_", plain).lower()).strip("_")
    return f"c{name}" if name[:1].isdigit() else name


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


class Names:
    """Gives each path one name and keeps it: a name that was given never changes.

    Two paths that would have one name: the later one gets a digest of its path as an ending.
    Paths that are new in one step are taken in sorted order, so that the order within it does
    not matter.
    """

    def __init__(self, reserved: tuple[str, ...] = ()) -> None:
        self._taken = {name.lower() for name in reserved}
        self._given: dict[str, str] = {}

    def name(self, path: str, wish: str) -> str:
        """The name of ``path``: the one it has, else ``wish`` made short and unique."""
        given = self._given.get(path)
        if given is None:
            given = self._fresh(path, wish)
            self._taken.add(given.lower())
            self._given[path] = given
        return given

    def peek(self, path: str, wish: str) -> str:
        """The name that `name` would give now, without giving it."""
        return self._given.get(path) or self._fresh(path, wish)

    def _fresh(self, path: str, wish: str) -> str:
        ending = "_" + _digest(path)
        if wish and len(wish.encode()) <= MAX_BYTES and wish.lower() not in self._taken:
            return wish
        head = (wish or "c").encode()[: MAX_BYTES - len(ending)].decode("utf-8", "ignore")
        return head + ending

    def given(self) -> dict[str, str]:
        """Path -> name, for `restore`."""
        return dict(self._given)

    def restore(self, given: dict[str, str]) -> None:
        """Take over the names of an earlier run."""
        self._given.update(given)
        self._taken.update(name.lower() for name in given.values())
