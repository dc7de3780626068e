"""How a load changes tables: the same steps in every database, set by set.

`TableLoading` decides, an `Engine` acts. Rows are staged once as a relation of the database and
everything else is one statement over whole sets; nothing is done row by row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from fetchcast.errors import DestinationError
from fetchcast.load import sql
from fetchcast.load.disk import NOT_APPLIED
from fetchcast.load.rows import check_key, settled
from fetchcast.load.spoken import Spoken
from fetchcast.records import REQUEST_KEY, Batch, Disposition, LoadNote, Receipt, Target

STAGE = "_fetchcast_stage"
"""The name of the relation that a batch is staged as."""

_SHOWN_CHARACTERS = 80


class Engine(Protocol):
    """One open transaction of a database."""

    dialect: sql.Dialect
    url: str

    def run(self, statement: str) -> int:
        """Execute; the number of rows it touched, 0 where that means nothing."""

    def columns(self, table: str) -> dict[str, str] | None:
        """Name to type as the database reports it, or None if there is no such table."""

    def first(self, query: str) -> tuple[Any, ...] | None:
        """The first row of a query, or None if there is none."""

    def is_ours(self, table: str) -> bool:
        """Whether the table carries our mark."""

    def create(self, table: str, columns: Mapping[str, str]) -> None:
        """Make the table, with our mark."""

    def widen(self, table: str, column: str, type_: str) -> None:
        """Change the type of a column and cast what is in it."""

    def name(self, table: str) -> str:
        """The quoted name, with its schema."""

    def stage(self, name: str, rows: pa.Table) -> None:
        """Make ``rows`` a temporary relation ``name``."""

    def unstage(self, name: str) -> None:
        """Forget it."""

    def append(self, table: str, rows: pa.Table) -> None:
        """Add rows whose columns have exactly the types of the table."""

    def upsert(self, table: str, merge: sql.RowMerge) -> int:
        """Update or insert from `STAGE` row by row; the number of rows changed or added."""

    def prepare_lookup(self, table: str, key: Sequence[str], staged: int) -> None:
        """Make finding ``staged`` keys in the table fast, if it is not."""

    def forget(self, table: str) -> None:
        """Remove the notes about ``table``, if there are any."""

    def note(self, note: LoadNote) -> bool:
        """Write into the loads table; False if its ``load_id`` is there."""


class TableLoading:
    """The steps of one load; implements `fetchcast.records.Loading` over an `Engine`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._begun: set[str] = set()
        self._fresh: dict[str, Spoken] = {}
        """Tables that this load has made, and the request keys it has brought."""
        self._cleared: dict[str, pa.Table] = {}
        self._noted: list[LoadNote] = []
        self.receipts: list[Receipt] = []
        """One per batch written, in order."""

    @property
    def tables(self) -> list[str]:
        """The tables written so far, in order, each once."""
        return list(dict.fromkeys(receipt.table for receipt in self.receipts))

    def note(self, note: LoadNote) -> bool:
        """Record the load; False if it was recorded before.

        A table that someone dropped is to be loaded again, so notes about it do not count.
        """
        if self._engine.columns(note.table) is None:
            self._engine.forget(note.table)
        is_new = self._engine.note(note)
        if is_new:
            self._noted.append(note)
        return is_new

    def finish(self) -> None:
        """Say in the notes how many rows came: nobody knew before they were written."""
        rows: Counter[str] = Counter()
        for receipt in self.receipts:
            rows[receipt.table] += receipt.rows
        for note in self._noted:
            if not note.rows and rows[note.table]:
                place = self._engine.name(sql.LOADS_TABLE)
                self._engine.run(sql.count_note(place, note.load_id, rows[note.table]))

    def write(self, batch: Batch) -> None:
        """Add ``batch`` to its table; see `fetchcast.records.Target` for what happens to others."""
        target = batch.target
        rows = settled(batch.rows, destination=self._engine.url, table=target.table)
        if batch.rows.num_rows and not rows.schema.names:
            rows = self._nothing_known(target.table, batch.rows)
        self._check_name_lengths([target.table, *rows.schema.names])
        first = target.table not in self._begun
        if rows.num_rows:
            self._begun.add(target.table)
        deleted = 0
        if first and target.disposition == Disposition.REPLACE:
            deleted = self._empty(target.table, rows, set(batch.rows.schema.names))
        casts = self._fit(target.table, rows)
        if casts is not None:
            deleted += self._put(batch, rows, casts)
        self.receipts.append(
            Receipt(
                destination=self._engine.url,
                table=target.table,
                rows=rows.num_rows,
                deleted=deleted,
            )
        )

    def _put(self, batch: Batch, rows: pa.Table, casts: dict[str, str]) -> int:
        target = batch.target
        if target.disposition != Disposition.MERGE:
            self._insert(target.table, rows, casts)
            return 0
        if not target.whole_keys:
            self._merge_rows(target, rows, casts)
            return 0
        deleted = self._delete_whole_keys(batch, rows, casts)
        self._insert(target.table, rows, casts)
        return deleted

    def _nothing_known(self, table: str, rows: pa.Table) -> pa.Table:
        """Rows of NULLs alone, in the types of the table, or as text if there is none."""
        have = self._engine.columns(table) or {}
        kinds = {
            name: (self._engine.dialect.kind_of(have[name]) if name in have else None) or "text"
            for name in rows.schema.names
        }
        return pa.table(
            {name: pa.nulls(rows.num_rows, sql.arrow_of_kind(kind)) for name, kind in kinds.items()}
        )

    # -- the shape of the table ------------------------------------------------------------

    def _empty(self, table: str, rows: pa.Table, names: set[str]) -> int:
        """Remove all rows; drop the table if this load gives it another shape.

        A column that is in ``names`` but not in ``rows`` has no values and no type this time.
        """
        have = self._engine.columns(table)
        if have is None:
            return 0
        same = set(have) == names and all(
            have[name] == type_ for name, type_ in self._types(rows).items()
        )
        # Rows alone say what shape a table is to have; a query of the user's goes on to work.
        if same or not rows.num_rows or not self._engine.is_ours(table):
            return self._engine.run(f"DELETE FROM {self._engine.name(table)}")
        self._engine.run(f"DROP TABLE {self._engine.name(table)}")
        return 0

    def _types(self, rows: pa.Table) -> dict[str, str]:
        return {field.name: self._type(field) for field in rows.schema}

    def _type(self, field: pa.Field) -> str:
        kind = sql.kind_of_arrow(field.type)
        type_ = self._engine.dialect.type_of(kind) if kind else None
        if type_ is None:
            raise DestinationError(
                self._engine.url,
                f"{self._engine.dialect.name} has no type for column {field.name!r} "
                f"({field.type}); this load was not applied",
                "keep it as text, or as JSON text",
            )
        return type_

    def _fit(self, table: str, rows: pa.Table) -> dict[str, str] | None:
        """Make the table hold the rows; the casts they need, or None if there is no table."""
        have = self._engine.columns(table)
        types = self._types(rows)
        if have is None:
            if not types:
                return None
            self._engine.create(table, types)
            self._fresh[table] = Spoken()
            return {}
        casts: dict[str, str] = {}
        for field in rows.schema:
            self._fit_column(table, field, have, casts)
        self._check_held(table, rows, casts)
        return casts

    def _check_held(self, table: str, rows: pa.Table, casts: Mapping[str, str]) -> None:
        """See that columns whose types are not ours to choose hold the values as they are."""
        if not casts or not rows.num_rows:
            return
        dialect, ours = self._engine.dialect, self._engine.is_ours(table)
        foreign = [
            field
            for field in rows.schema
            if (type_ := casts.get(field.name)) and not (ours and dialect.kind_of(type_))
            if not sql.reads_exactly(type_, sql.kind_of_arrow(field.type) or "")
        ]
        if foreign:
            self._engine.stage(STAGE, rows.select([field.name for field in foreign]))
            for field in foreign:
                self._check_column(table, field, casts[field.name])
            self._engine.unstage(STAGE)

    def _check_column(self, table: str, field: pa.Field, type_: str) -> None:
        want, cast = self._type(field), self._engine.dialect.try_cast
        query = sql.changed_by(field.name, type_, want, sql.quoted(STAGE), cast)
        try:
            row = self._engine.first(query)
        except DestinationError as error:
            # Databases that cannot try a cast say which value it was.
            why = str(error.args[1]).partition(";")[0]
        else:
            if row is None:
                return
            why = f"such as {row[0]!r}"[:_SHOWN_CHARACTERS]
        raise DestinationError(
            self._engine.url,
            f"column {field.name!r} of table {table!r} has the type {type_}, which does not hold "
            f"every value that came as {want} ({why}); {NOT_APPLIED}",
            f"change the column's type to {want}, or take another name in place of "
            f"[table.{table}]; then `fetchcast replay` loads what has landed",
        )

    def _fit_column(
        self, table: str, field: pa.Field, have: Mapping[str, str], casts: dict[str, str]
    ) -> None:
        name, want = field.name, self._type(field)
        place = self._engine.name(table)
        if name not in have:
            self._engine.run(f"ALTER TABLE {place} ADD COLUMN {sql.quoted(name)} {want}")
            return
        if have[name] == want:
            return
        casts[name] = have[name]
        if not self._engine.is_ours(table):
            return
        wider = self._wider(have[name], field)
        if wider != have[name]:
            self._engine.widen(table, name, wider)
        casts[name] = wider

    def _wider(self, reported: str, field: pa.Field) -> str:
        dialect = self._engine.dialect
        have, want = dialect.kind_of(reported), sql.kind_of_arrow(field.type)
        if have is None or want is None:
            return reported
        return dialect.type_of(sql.widest(have, want)) or reported

    def _check_name_lengths(self, names: Sequence[str]) -> None:
        for name in names:
            sql.check_name(name, self._engine.dialect, self._engine.url)

    # -- rows ------------------------------------------------------------------------------

    def _insert(self, table: str, rows: pa.Table, casts: Mapping[str, str]) -> None:
        if not rows.num_rows:
            return
        if not casts:
            self._engine.append(table, rows)
            return
        self._engine.stage(STAGE, rows)
        place = self._engine.name(table)
        names = rows.schema.names
        self._engine.run(sql.insert_from(place, sql.quoted(STAGE), names, casts))
        self._engine.unstage(STAGE)

    def _merge_rows(self, target: Target, rows: pa.Table, casts: Mapping[str, str]) -> None:
        at = (self._engine.url, target.table)
        check_key(rows, target.key, unique=True, at=at)
        if not rows.num_rows:
            return
        self._engine.stage(STAGE, rows)
        self._engine.prepare_lookup(target.table, target.key, rows.num_rows)
        merge = sql.RowMerge(key=target.key, columns=tuple(rows.schema.names), casts=casts)
        self._engine.upsert(target.table, merge)
        self._engine.unstage(STAGE)

    def _delete_whole_keys(self, batch: Batch, rows: pa.Table, casts: Mapping[str, str]) -> int:
        """Delete what the batch replaces; returns how many rows that were.

        A batch makes a whole statement about its request keys (``keys``): rows of an earlier
        batch of the same load go too. Rows that come without such a statement are found by
        their own key and join what this load brought before.
        """
        target = batch.target
        if rows.num_rows:
            check_key(rows, target.key, unique=False, at=(self._engine.url, target.table))
        if (spoken := self._fresh.get(target.table)) is not None:
            # All that is there came with this load: mostly nothing can be in the way, and
            # looking for it would join each batch with the whole table.
            keys = _spoken(batch, rows)
            met = spoken.meets(keys[REQUEST_KEY].to_pylist())
            return self._delete_spoken(batch, keys) if met else 0
        deleted = self._delete_spoken(batch, _spoken(batch, rows))
        if rows.num_rows and not (batch.keys and target.key == (REQUEST_KEY,)):
            new = self._cleared_before(target, rows)
            deleted += self._delete(target.table, new, casts)
        return deleted

    def _delete_spoken(self, batch: Batch, keys: pa.Table) -> int:
        table = batch.target.table
        if batch.keys and REQUEST_KEY in (self._engine.columns(table) or ()):
            return self._delete(table, keys, {})
        return 0

    def _cleared_before(self, target: Target, rows: pa.Table) -> pa.Table:
        """The keys of ``rows`` that this load meets for the first time; remembers them."""
        if not rows.num_rows:
            return rows
        names = list(target.key)
        keys = rows.select(names).group_by(names).aggregate([])
        known = self._cleared.get(target.table)
        if known is not None and known.schema == keys.schema:
            keys = keys.join(known, names, join_type="left anti")
            self._cleared[target.table] = pa.concat_tables([known, keys])
        else:
            self._cleared[target.table] = keys
        return keys

    def _delete(self, table: str, keys: pa.Table, casts: Mapping[str, str]) -> int:
        if not keys.num_rows:
            return 0
        names = keys.schema.names
        self._engine.prepare_lookup(table, names, keys.num_rows)
        self._engine.stage(STAGE, keys)
        place = self._engine.name(table)
        same = sql.matches(names, place, casts)
        deleted = self._engine.run(
            f"DELETE FROM {place} WHERE EXISTS (SELECT 1 FROM {sql.quoted(STAGE)} s WHERE {same})"
        )
        self._engine.unstage(STAGE)
        return deleted


def _spoken(batch: Batch, rows: pa.Table) -> pa.Table:
    """The request keys that ``batch`` speaks for, those of its rows with them, once each."""
    keys = pa.chunked_array([pa.array(batch.keys, pa.string())])
    if REQUEST_KEY in rows.schema.names:
        keys = pa.chunked_array([*keys.chunks, *rows[REQUEST_KEY].chunks])
    return pa.table({REQUEST_KEY: keys.unique()})
