"""Rows for an ``every_call`` table: one at least for each row of the plan, in its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
import pyarrow as pa

from fetchcast.errors import ShapeError
from fetchcast.records import REQUEST_KEY, Fate, Landed, Planned
from fetchcast.transform.carries import Carry
from fetchcast.transform.carrying import Outside
from fetchcast.transform.options import TYPE_NAMES, TableOptions
from fetchcast.transform.picks import carried
from fetchcast.transform.schema import ARROW_TYPES

_Row = tuple[Planned, Landed | None]


class PlanColumns:
    """The columns of an ``every_call`` table that come from the plan."""

    def __init__(self, table: str, options: TableOptions) -> None:
        self._table, self._options = table, options
        self._outside: dict[str, Outside] = {}

    def rows(self, rows: Sequence[_Row], shaped: pa.Table) -> pa.Table:
        """``shaped`` spread over the plan: the input's columns, the chosen ones, the fate."""
        plan, there = _spread(rows, shaped[REQUEST_KEY].to_pylist())
        columns = {name: values.take(pa.array(plan)) for name, values in self._params(rows).items()}
        place = pa.array(there, mask=there < 0)
        self._check_names(columns, shaped)
        for name in self._body_columns(shaped, columns):
            columns[name] = _column(shaped, name, place, self._options)
        columns |= {name: values.take(pa.array(plan)) for name, values in _ends(rows).items()}
        columns["_row"] = shaped["_row"].combine_chunks().take(place)
        return pa.table(columns)

    def _check_names(self, params: Mapping[str, pa.Array], shaped: pa.Table) -> None:
        """An input's column must not hide a value of the answers, or the fate of its call."""
        own = {REQUEST_KEY, "_row", "_fate", "_reason"}
        from_answers = set(shaped.schema.names) - own
        for name in params:
            if name in own or (name in from_answers and name not in self._options.carry):
                what = "a column of fetchcast's own" if name in own else "a value of the answers"
                raise ShapeError(
                    self._table,
                    f"the input has a column {name!r}, which is also {what}; "
                    f"carry the input's under another name: carry = {{ input_{name.strip('_')} = "
                    f'"param:{name}", ... }}',
                )

    def _params(self, rows: Sequence[_Row]) -> dict[str, pa.Array]:
        wanted = {c: carry.name for c, carry in carried(self._options).items() if _is_param(carry)}
        if not wanted:
            # The whole input row, so that the results can be put beside the input.
            names = dict.fromkeys(chain.from_iterable(planned.params for planned, _ in rows))
            wanted = {name: name for name in names}
        return {c: self._param(c, name, rows) for c, name in wanted.items()}

    def _param(self, column: str, name: str, rows: Sequence[_Row]) -> pa.Array:
        if column not in self._outside:
            said = TYPE_NAMES.get(self._options.types.get(column, ""))
            self._outside[column] = Outside(column, Carry("param", name=name), said)
        return self._outside[column].of_values([planned.params.get(name) for planned, _ in rows])

    def _body_columns(self, shaped: pa.Table, taken: dict[str, pa.Array]) -> list[str]:
        chosen = [*self._options.carry, *(self._options.columns or ())]
        names = [*chosen, *shaped.schema.names]
        ours = {REQUEST_KEY, "_row", *taken}
        return [name for name in dict.fromkeys(names) if name not in ours]


def _is_param(carry: Carry) -> bool:
    return carry.source == "param"


def _spread(
    rows: Sequence[_Row], keys: list[str]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """For each row of the result: its row of the plan, and of the shaped rows (-1: none)."""
    found: dict[str, list[int]] = {}
    for place, key in enumerate(keys):
        found.setdefault(key, []).append(place)
    plan: list[int] = []
    there: list[int] = []
    for place, (planned, _) in enumerate(rows):
        own = found.get(planned.request.key, [-1]) if planned.request else [-1]
        plan += [place] * len(own)
        there += own
    return np.asarray(plan, np.int64), np.asarray(there, np.int64)


def _column(shaped: pa.Table, name: str, place: pa.Array, options: TableOptions) -> pa.Array:
    if name in shaped.schema.names:
        return shaped[name].combine_chunks().take(place)
    chosen = (options.columns or {}).get(name)
    said = options.types.get(name) if chosen is None or isinstance(chosen, str) else chosen.type
    return pa.nulls(len(place), ARROW_TYPES[TYPE_NAMES[said or "text"]])


def _ends(rows: Sequence[_Row]) -> dict[str, pa.Array]:
    return {
        "_fate": pa.array([_fate(*row) for row in rows], pa.string()),
        "_reason": pa.array([_reason(*row) for row in rows], pa.string()),
        REQUEST_KEY: pa.array([p.request.key if p.request else None for p, _ in rows], pa.string()),
    }


def _fate(planned: Planned, landed: Landed | None) -> str | None:
    if planned.request is None:
        return Fate.SKIPPED.value
    return landed.fate.value if landed else None


def _reason(planned: Planned, landed: Landed | None) -> str | None:
    if landed is not None:
        return landed.reason
    return planned.reason if planned.request is None else "not asked yet"
