"""Decides what becomes of a body that did not decode at once: what stays, what is rejected.

The judge walks the exactly read document along the compiled `Form` and returns a document that
decodes for certain, with one `Reject` for each value (or row, or body) that has no place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fetchcast.json_path import Path, show_path
from fetchcast.transform.layout import Form
from fetchcast.transform.reading import Odd, check_text, count_leaves, is_nameable
from fetchcast.transform.schema import column_type, scalar_kind
from fetchcast.transform.values import convert

HEAD_CHARACTERS = 200
_KEY_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Reject:
    """Something that is in no column."""

    row: int | None
    path: str
    head: str
    reason: str
    leaves: int
    """How many values went away with it."""


class Frozen(Exception):
    """The contract is ``freeze`` and a value deviates; args: path, reason, value's head."""


class _RowRefused(Exception):
    """args: path, reason."""


class BodyRefused(Exception):
    """No row can be found in the body; args: path, reason."""


_GONE = Odd("", "")
_NO_NAME = "a key with quotes, backslashes, control characters or half a character"


def head_of(value: Any) -> str:
    """The beginning of ``value`` as JSON, printable everywhere."""
    if isinstance(value, Odd):
        text = value.text
    elif isinstance(value, (dict, list)):
        text = json.dumps(value, ensure_ascii=False, default=lambda odd: odd.text)
    else:
        text = value if isinstance(value, str) else json.dumps(value)
    return _harmless(text[:HEAD_CHARACTERS])


def _harmless(text: str) -> str:
    return text.replace("\0", "\\u0000").encode("utf-8", "backslashreplace").decode()


def _show(path: Path) -> str:
    return _harmless(show_path(path)[:_KEY_LIMIT])


class Judge:
    """Judges one body; ``contract`` says what happens to what does not fit."""

    def __init__(self, contract: str) -> None:
        self._contract = contract
        self._row: int | None = None
        self._rows = 0
        self.rejects: list[Reject] = []
        self.dropped = 0
        self.grew = False
        """A kind was added that changes no column, but the types that decode must know it."""

    def clean(self, form: Form, document: Any) -> Any:
        """What is left of ``document``; raises `BodyRefused` or `Frozen`."""
        try:
            kept = self._any(form, document, ())
        except _RowRefused as refused:
            raise BodyRefused(*refused.args) from None
        return None if kept is _GONE else kept

    def _any(self, form: Form, value: Any, path: Path) -> Any:
        if form.row:
            return self._judge_row(form, value, path)
        return self._value(form, value, path)

    def _judge_row(self, form: Form, value: Any, path: Path) -> Any:
        self._row = self._rows
        self._rows += 1
        before, dropped = len(self.rejects), self.dropped
        try:
            kept = self._value(form, value, path)
        except _RowRefused as refused:
            del self.rejects[before:]
            self.dropped = dropped
            where, reason = refused.args
            self._note(path, value, f"{where}: {reason}")
            kept = None
        self._row = None
        return None if kept is _GONE else kept

    def _note(self, path: Path, value: Any, reason: str) -> None:
        self.rejects.append(
            Reject(self._row, _show(path), head_of(value), reason, count_leaves(value))
        )

    def _refuse(self, path: Path, value: Any, reason: str) -> Any:
        where = _show(path)
        if self._contract == "freeze":
            raise Frozen(where, reason, head_of(value))
        if self._contract == "discard_row":
            raise _RowRefused(where, reason)
        self._note(path, value, reason)
        return _GONE

    def _value(self, form: Form, value: Any, path: Path) -> Any:
        if isinstance(value, str):
            value = check_text(value)
        if value is None:
            return None
        if form.raw and form.column is None:
            self.dropped += count_leaves(value)
            return _GONE
        if isinstance(value, Odd):
            return self._refuse(path, value, value.reason)
        return self._whole(value, path) if form.raw else self._by_kind(form, value, path)

    def _by_kind(self, form: Form, value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return self._object(form, value, path)
        if isinstance(value, list):
            return self._array(form, value, path)
        return self._scalar(form, value, path)

    def _whole(self, value: Any, path: Path) -> Any:
        """A JSON text: everything stays but what is odd."""
        if isinstance(value, dict):
            self._refuse_earlier(value, path)
            kept = {key: self._whole_member(key, item, path) for key, item in value.items()}
            return {key: item for key, item in kept.items() if item is not _GONE}
        if isinstance(value, list):
            kept_items = [self._whole(item, (*path, at)) for at, item in enumerate(value)]
            return [None if item is _GONE else item for item in kept_items]
        if isinstance(value, str):
            value = check_text(value)
        return self._refuse(path, value, value.reason) if isinstance(value, Odd) else value

    def _whole_member(self, key: str, item: Any, path: Path) -> Any:
        if isinstance(check_text(key), Odd):
            return self._refuse((*path, key), item, _NO_NAME)
        return self._whole(item, (*path, key))

    def _refuse_earlier(self, value: dict[str, Any], path: Path) -> None:
        for key, lost in getattr(value, "earlier", ()):
            self._refuse((*path, key), lost, "the key came again; the last value is kept")

    def _object(self, form: Form, value: dict[str, Any], path: Path) -> Any:
        if form.struct is None:
            return self._misplaced(form, value, path, "an object")
        self._refuse_earlier(value, path)
        kept: dict[str, Any] = {}
        for key, item in value.items():
            left = self._member(form, key, item, (*path, key))
            if left is not _GONE:
                kept[key] = left
        return kept

    def _member(self, form: Form, key: str, item: Any, path: Path) -> Any:
        inner = form.keys.get(key)
        if inner is not None:
            return self._any(inner, item, path)
        if form.closed:
            self.dropped += count_leaves(item)
            return _GONE
        if item is None:
            return _GONE
        reason = "a field that the table does not have" if is_nameable(key) else _NO_NAME
        return self._refuse(path, item, reason)

    def _array(self, form: Form, value: list[Any], path: Path) -> Any:
        if form.every is not None:
            return [self._any(form.every, item, (*path, at)) for at, item in enumerate(value)]
        if form.at:
            return self._positions(form, value, path)
        if form.json_column is not None:
            return self._whole(value, path)
        if form.child is None:
            return self._misplaced(form, value, path, "an array")
        items = form.child.items
        kept = [self._value(items, item, (*path, at)) for at, item in enumerate(value)]
        return [None if item is _GONE else item for item in kept]

    def _positions(self, form: Form, value: list[Any], path: Path) -> Any:
        kept: list[Any] = []
        for at, item in enumerate(value):
            left = None
            if at in form.at:
                left = self._value(form.at[at][0], item, (*path, at))
            else:
                self.dropped += count_leaves(item)
            kept.append(None if left is _GONE else left)
        return kept

    def _misplaced(self, form: Form, value: Any, path: Path, found: str) -> Any:
        wanted = _wanted(form)
        reason = f"{found} where the table has {wanted}"
        if form.route is not None or form.every is not None:
            if self._contract == "freeze":
                raise Frozen(_show(path), reason, head_of(value))
            raise BodyRefused(_show(path), f"{found} where rows are behind {wanted}")
        return self._refuse(path, value, reason)

    def _scalar(self, form: Form, value: Any, path: Path) -> Any:
        if form.column is None:
            return self._misplaced(form, value, path, "a single value")
        kinds = form.node.kinds
        kind = scalar_kind(value)
        if form.declared.type is not None:
            made = convert(value, form.declared.type, form.declared)
            if isinstance(made, Odd):
                return self._refuse(path, value, made.reason)
        elif column_type(kinds | kind) != column_type(kinds):
            return self._refuse(path, value, f"does not fit {form.column_type}")
        self.grew |= form.node.add(kinds | kind)
        return value


def _wanted(form: Form) -> str:
    if form.every is not None or form.child is not None or form.at or form.json_column:
        return "an array"
    if form.struct is not None:
        return "an object"
    return "only null" if form.column is None else "a single value"
