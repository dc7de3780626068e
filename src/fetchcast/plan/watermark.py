"""Watermarks: how far an API with "since" has been asked, and from where it is asked next.

A mark is the greatest value that stood at a path in the answers, one for each combination of the
other parameters. What is asked for next time begins there, less the overlap.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fetchcast.plan.params import Since, seconds_in
from fetchcast.records import Scalar

_DAY_LENGTH = 10


def combination(params: Mapping[str, Scalar], name: str) -> str:
    """What a mark belongs to: the parameters of a call but for ``name``, which is the mark."""
    others = {key: value for key, value in params.items() if key != name}
    return json.dumps(others, sort_keys=True, ensure_ascii=False)


def greatest(values: Iterable[Any], option: Since, so_far: Scalar = None) -> Scalar:
    """The greatest of ``values`` and ``so_far``, as it was written; None if there is none.

    Numbers are compared as numbers, times as moments (without a zone: UTC), others as texts;
    ``option.start`` says which of these they are. What is none of it is passed over.
    """
    found, order = so_far, _order(so_far, option)
    for value in values:
        mine = _order(value, option)
        if mine is not None and (order is None or mine > order):
            found, order = value, mine
    return found


def asked_from(mark: Scalar, option: Since) -> Scalar:
    """What a call is sent: ``mark`` less the overlap, never before the start."""
    order, first = _order(mark, option), _order(option.start, option)
    if order is None:
        return option.start
    if option.overlap is None:
        return mark
    if isinstance(order, datetime):
        assert isinstance(option.overlap, str)
        back = order - timedelta(seconds=seconds_in("overlap", option.overlap))
        return option.start if back < first else _written(back, like=str(mark))
    back = order - option.overlap
    return option.start if back < first else back


def _order(value: Any, option: Since) -> Any:
    """Something that can be compared with others of the same option; None if it cannot be."""
    if isinstance(option.start, int | float):
        right = isinstance(value, int | float) and not isinstance(value, bool)
        return value if right else None
    if not isinstance(value, str):
        return None
    return moment(value) if moment(option.start) is not None else value


def moment(text: str) -> datetime | None:
    """A day or a time as a moment; None if ``text`` is neither."""
    if len(text) < _DAY_LENGTH:  # What Python takes for days, `20200131`, are numbers here.
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _written(at: datetime, *, like: str) -> str:
    """``at`` in the form that the API itself writes."""
    if len(like) == _DAY_LENGTH:
        return date.isoformat(at)
    fraction = len(like.partition(".")[2].rstrip("Z").partition("+")[0])
    exact = "seconds" if not fraction else "milliseconds" if fraction <= len("123") else "auto"
    text = at.isoformat(timespec=exact)
    if like.endswith("Z"):
        return text.removesuffix("+00:00") + "Z"
    return text if datetime.fromisoformat(like).tzinfo else text.removesuffix("+00:00")
