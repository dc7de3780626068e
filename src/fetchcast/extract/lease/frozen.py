"""A coordinator as bytes and back: to be held in a row that several runs share."""

from __future__ import annotations

import io
import pickle
from typing import Any, Final

from fetchcast.errors import CoordinatorLost
from fetchcast.extract.lease.coordinator import Coordinator

_OURS: Final = ("fetchcast.extract.lease.", "fetchcast.extract.pace.")
_THEIRS: Final = frozenset(
    {
        ("builtins", "set"),
        ("copyreg", "__newobj__"),
        ("copyreg", "_reconstructor"),
        ("builtins", "object"),
        ("collections", "deque"),
        ("msgspec._utils", "rebuild"),
    }
)


class _Careful(pickle.Unpickler):
    """Makes nothing but parts of a coordinator: whoever can write the row must not run code."""

    def find_class(self, module: str, name: str) -> Any:
        ours = f"{module}.".startswith(_OURS) and "." not in name
        if (module, name) not in _THEIRS and not ours:
            raise CoordinatorLost(f"its row names {module}.{name}, which is no part of a pace")
        found = super().find_class(module, name)
        if ours and not isinstance(found, type):
            raise CoordinatorLost(f"its row names {module}.{name}, which is no part of a pace")
        return found


def freeze(coordinator: Coordinator) -> bytes:
    """``coordinator`` with all it knows and has lent."""
    return pickle.dumps(coordinator, protocol=5)


def thaw(state: bytes) -> Coordinator:
    """What `freeze` made.

    Raises:
        CoordinatorLost: If it is anything else, or of another version.
    """
    try:
        found = _Careful(io.BytesIO(state)).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError) as error:
        raise CoordinatorLost(f"its row cannot be read ({error})") from error
    if not isinstance(found, Coordinator):
        raise CoordinatorLost("its row holds something else")
    return found
