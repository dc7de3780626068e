"""Columns that do not come from the body: parameters, headers, the address, the time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from fetchcast.records import Landed
from fetchcast.transform.carries import Carry
from fetchcast.transform.picks import NOTHING_DECLARED, Declared
from fetchcast.transform.reading import Odd
from fetchcast.transform.schema import ARROW_TYPES, TIMESTAMP, Node
from fetchcast.transform.values import convert, to_array


class Outside:
    """One column that comes from beside the body; its type only widens."""

    def __init__(self, column: str, carry: Carry, declared: str | None) -> None:
        self.column, self._carry, self._declared = column, carry, declared
        self.node = Node()

    def learn(self, answers: Sequence[Landed]) -> None:
        """Take in the values of these answers, so that all of them get one type."""
        if self._carry.source in {"header", "param"}:
            for answer in answers:
                self.node.learn(self._value(answer))

    def of_answers(self, answers: Sequence[Landed]) -> pa.Array:
        """One value per answer; `learn` must have seen them."""
        match self._carry.source:
            case "url":
                return pa.array([answer.url for answer in answers], pa.string())
            case "landed_at":
                micros = [int(answer.finished_at * 1_000_000) for answer in answers]
                return pa.array(micros, TIMESTAMP)
            case _:
                return self._convert([self._value(answer) for answer in answers])

    def of_values(self, values: Sequence[Any]) -> pa.Array:
        """``values`` in the type that all values so far have in common."""
        for value in values:
            self.node.learn(value)
        return self._convert(values)

    def _value(self, answer: Landed) -> Any:
        around = answer.headers if self._carry.source == "header" else answer.params
        return around.get(self._carry.name)

    def _convert(self, values: Sequence[Any]) -> pa.Array:
        kind = self._declared or self.node.type
        if kind is None:
            return pa.nulls(len(values), pa.string())
        if self._declared is None:
            return to_array(values, kind, self.node.kinds, NOTHING_DECLARED)
        made = [convert(value, kind, Declared(kind)) for value in values]
        return pa.array([None if isinstance(v, Odd) else v for v in made], ARROW_TYPES[kind])
