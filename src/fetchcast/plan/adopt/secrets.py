"""Which names stand for secrets, and what the variable is called that takes one's place."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"api_?key|^key$|_key$|token|secret|passw|passphrase|^auth$|^auth_|authori[sz]ation|signature"
    r"|^sig$|session|credential|^app_?id$|jwt|cookie|bearer",
)
_NOT_SECRET = re.compile(r"page_?token|next_?token|continuation_?token|primary_?key|sort_?key")
_COMMON = frozenset({"api", "www", "data", "rest", "com", "org", "net", "io", "dev", "co", "gov"})


def is_secret(name: str) -> bool:
    """Whether a header, query parameter or field of this name usually holds a secret."""
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+", "_", name).lower().strip("_")
    return bool(_SECRET.search(plain)) and not _NOT_SECRET.search(plain)


def variable(host: str, *words: str) -> str:
    """The environment variable for a secret of the API at ``host``: ``EXAMPLE_TOKEN``.

    The host is in the name because `USER` and the like are set already, to something else.
    """
    labels = [part for part in re.split(r"[.:]", host) if part and not part.isdecimal()]
    named = [part for part in labels[:-1] if part not in _COMMON] or labels[:1] or ["api"]
    parts = [named[-1] if len(labels) > 1 else named[0], *words]
    text = re.sub(r"[^A-Za-z0-9]+", "_", "_".join(parts)).strip("_").upper()
    return f"A{text}" if text[:1].isdigit() else text


def placeholder(name: str) -> str:
    """How the file refers to the variable ``name``."""
    return "${" + name + "}"
