"""The books of the transform stage: every value that came in went somewhere."""

from __future__ import annotations

from dataclasses import dataclass

from fetchcast.errors import ShapeError


@dataclass(slots=True)
class Accounting:
    """Counts of bodies and values; a value is a string, number or boolean, at any depth."""

    table: str
    bodies: int = 0
    leaves_in: int = 0
    """Values in the bodies, counted from their bytes; a body that cannot be read counts one."""
    in_columns: int = 0
    in_rejects: int = 0
    dropped_by_rule: int = 0
    """Values outside the rows, not chosen by ``columns``, or declared ``missing``."""
    rejects: int = 0
    """Lines in the rejects table."""
    slow_bodies: int = 0
    """Bodies that did not decode at once and were read again, exactly."""

    def check(self) -> None:
        """Raise `ShapeError` unless every value is in a column, a reject or dropped by a rule."""
        out = self.in_columns + self.in_rejects + self.dropped_by_rule
        if out != self.leaves_in:
            raise ShapeError(
                self.table,
                f"{self.leaves_in} values came in and {out} are accounted for "
                f"({self.in_columns} in columns, {self.in_rejects} in rejects, "
                f"{self.dropped_by_rule} dropped by rule); nothing of this was loaded. "
                "This is a bug: please report it with one of the answers",
            )

    def add(self, other: Accounting) -> None:
        """Take in the counts of ``other``."""
        self.bodies += other.bodies
        self.leaves_in += other.leaves_in
        self.in_columns += other.in_columns
        self.in_rejects += other.in_rejects
        self.dropped_by_rule += other.dropped_by_rule
        self.rejects += other.rejects
        self.slow_bodies += other.slow_bodies
