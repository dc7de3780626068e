"""Transform and load: landed answers into every destination, each as one whole load."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import TypeVar

import pyarrow as pa

from fetchcast.config import Pipeline
from fetchcast.errors import ConfigError
from fetchcast.formats import Format
from fetchcast.landing.packed import Frames, Piece, answers_of
from fetchcast.landing.reader import Reader
from fetchcast.landing.segment import Entry
from fetchcast.load.destinations import open_destination
from fetchcast.pipeline.afar import PAYS, Bench, shaped_afar
from fetchcast.pipeline.ahead import ahead
from fetchcast.pipeline.forms import forms
from fetchcast.plan.planner import Plan
from fetchcast.records import (
    WITH_ANSWER,
    Batch,
    Destination,
    Disposition,
    Landed,
    Loading,
    LoadNote,
    Planned,
    Receipt,
)
from fetchcast.transform import Shaped, Shaper, TableOptions
from fetchcast.transform.rejects import REJECTS
from fetchcast.transform.reshape import RowFunction

_CHUNK_BYTES = 8 * 1024 * 1024
_CHUNK_ROWS = 4000
_PACKED = 10
"""What is packed is so many times as large; JSON and CSV mostly."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What was stored, and how many values had to be rejected."""

    receipts: list[Receipt]
    rejects: int
    upto_seq: int
    """Every answer up to here is in its tables."""
    learnt: dict[str, dict[str, str]]
    """Table -> what its shaper has learnt of the answers; to be remembered for the next run."""
    notes: list[str]
    """What looks like a mistake in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Todo:
    """One table that has something new to load."""

    shaper: Shaper
    table: TableOptions
    note: LoadNote
    anew: bool

    @property
    def replaces(self) -> bool:
        """Whether the table is to hold what this load brings and nothing else."""
        return self.anew or self.table.disposition == Disposition.REPLACE

    def placed(self, batch: Batch) -> Batch:
        """``batch`` on its way to its table, which it replaces if that is made anew."""
        target = batch.target
        if not self.anew or target.disposition != Disposition.MERGE or target.table == REJECTS:
            return batch
        return replace(batch, target=replace(target, disposition=Disposition.REPLACE))


@dataclass(slots=True, kw_only=True)
class Store:
    """Puts landed answers into the tables of a pipeline.

    Args:
        pipeline: Says which tables, shaped how, go where.
        plans: The plans of this run, for tables with a row for every planned call.
        run_id: Written beside each load.
        now: Seconds since 1970, UTC.
        again: Shape and load everything again, also what was loaded before.
        midway: More is on its way: leave out tables that each load makes anew.
        functions: Table -> what each of its rows is put through.
        bench: Where answers are shaped; None for this process.
    """

    pipeline: Pipeline
    plans: Sequence[Plan]
    run_id: str
    now: float
    again: bool = False
    midway: bool = False
    functions: Mapping[str, RowFunction] = field(default_factory=dict)
    bench: Bench | None = None
    _learnt: dict[str, dict[str, str]] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)
    _owners: dict[tuple[str, str], str] = field(default_factory=dict)
    """Destination and name of a child table, folded -> the table whose child it is."""

    def all(self, reader: Reader) -> Stored:
        """Load what is new, destination by destination."""
        receipts: list[Receipt] = []
        rejects, upto_seq = 0, reader.last_seq
        for url, tables in self._by_destination().items():
            destination = open_destination(url, self.pipeline.folder)
            done, rejected = self._into(destination, tables, reader)
            self._notes += getattr(destination, "notices", ())
            receipts += done
            rejects += rejected
        return Stored(
            receipts=receipts,
            rejects=rejects,
            upto_seq=upto_seq,
            learnt=self._learnt,
            notes=self._notes,
        )

    def _by_destination(self) -> dict[str, dict[str, TableOptions]]:
        found: dict[str, dict[str, TableOptions]] = defaultdict(dict)
        for name, table in self.pipeline.table.items():
            if self.midway and (table.every_call or table.disposition == Disposition.REPLACE):
                continue
            for url in _addresses(table) or self.pipeline.destinations:
                found[url][name] = table
        return found

    def _into(
        self, destination: Destination, tables: dict[str, TableOptions], reader: Reader
    ) -> tuple[list[Receipt], int]:
        """Load ``tables`` in one transaction; what was loaded, and how much was rejected."""
        todo = [
            todo
            for name, table in tables.items()
            if (
                todo := self._todo(
                    destination.last_note(name), self._shaper(name, table, reader), table, reader
                )
            )
        ]
        if not todo:
            return [], 0
        receipts, rejects = [], 0
        with destination.load() as loading:
            for one in todo:
                if loading.note(one.note):
                    rows, rejected = self._table(loading, one, reader, destination.url)
                    rejects += rejected
                    table = one.note.table
                    receipts.append(Receipt(destination=destination.url, table=table, rows=rows))
                    self._learn(one.shaper)
        return receipts, rejects

    def _learn(self, shaper: Shaper) -> None:
        self._learnt[shaper.name] = {"digest": shaper.digest, "memory": shaper.memory().decode()}
        if unseen := shaper.unseen():
            names = ", ".join(unseen)
            self._notes.append(f"table {shaper.name}: no answer so far has a value for {names}")

    def _todo(
        self, last: LoadNote | None, shaper: Shaper, table: TableOptions, reader: Reader
    ) -> _Todo | None:
        """What is to be loaded into one table; None if there is nothing new."""
        ours = last is not None and last.landing == reader.identity
        known = last is not None and ours and last.shape == shaper.digest
        # What was appended is not appended again, whatever else has changed.
        appended = ours and table.disposition == Disposition.APPEND
        loaded = (known and not self.again) or appended
        done = last.upto_seq if last is not None and loaded else 0
        upto = reader.last_seq
        if done >= upto and not table.every_call:
            return None
        since = 0 if table.every_call or table.disposition == Disposition.REPLACE else done
        text = f"{reader.identity} {shaper.name} {since} {upto} {shaper.digest}"
        if self.again or table.every_call:
            text += self.run_id
        note = LoadNote(
            load_id=blake2b(text.encode(), digest_size=16).hexdigest(),
            run_id=self.run_id,
            table=shaper.name,
            landing=reader.identity,
            from_seq=since,
            upto_seq=upto,
            shape=shaper.digest,
            rows=0,
            loaded_at=self.now,
        )
        # All that was ever loaded from here is at hand and comes again: the table is made anew,
        # so that columns which the file no longer asks for do not stay behind. A table with keys
        # of its own keeps its merge, which holds the rows to those keys.
        dropped = reader.bodies_dropped() if since == 0 else 0
        if dropped:
            self._check_dropped(table, shaper.name, dropped)
        anew = ours and since == 0 and table.key is None and not dropped
        return _Todo(shaper=shaper, table=table, note=note, anew=anew)

    def _check_dropped(self, table: TableOptions, name: str, dropped: int) -> None:
        """Say that a table is not made of everything, or refuse where rows would go from it."""
        gone = f"{dropped:,} answers have no body any more ([landing] keep)"
        if table.every_call or table.disposition == Disposition.REPLACE:
            raise ConfigError(
                f"table.{name}",
                "every_call" if table.every_call else "replace",
                f'`write = "merge"`: {gone}, and their rows would go from a table that is made of '
                "all answers; nothing was loaded\n"
                "hint: `fetchcast run --full-refresh` asks for these answers again",
            )
        self._notes.append(
            f"table {name}: {gone}; rows that were made of them stay as they are, and none are "
            "made\nhint: `fetchcast run --full-refresh` asks for these answers again"
        )

    def _table(self, loading: Loading, todo: _Todo, reader: Reader, url: str) -> tuple[int, int]:
        """Rows of the main table, and rejects."""
        rows = rejected = 0
        # Shaping is Python, loading is the database: side by side they take the time of one.
        with closing(ahead(self._shaped(todo, reader))) as portions:
            for shaped in portions:
                shaped.accounting.check()
                rejected += shaped.rejected
                self._check_owners(url, todo.note.table, shaped)
                for batch in shaped.batches:
                    loading.write(todo.placed(self._newest(batch)))
                    rows += batch.rows.num_rows if batch.target.table == todo.note.table else 0
        return rows, rejected

    def _newest(self, batch: Batch) -> Batch:
        """``batch`` with the last row of each key, where answers tell the same rows again."""
        target = batch.target
        table = self.pipeline.table.get(target.table)
        moving = {plan.name for plan in self.plans if plan.since is not None}
        if target.whole_keys or table is None or not moving & set(table.sources):
            return batch
        return replace(batch, rows=newest(batch.rows, target.key))

    def _check_owners(self, url: str, table: str, shaped: Shaped) -> None:
        """Refuse a child table that has the name of another table, before a row is mixed."""
        for batch in shaped.batches:
            name = batch.target.table
            if name in {table, REJECTS}:
                continue
            owner = self._owners.setdefault((url, name.casefold()), table)
            others = [other for other in self.pipeline.table if other.casefold() == name.casefold()]
            if owner != table or others:
                raise ConfigError(
                    f"table.{others[0] if others else owner}",
                    table,
                    f"another name for one of the two: an array in the rows of {table!r} makes a "
                    f"child table {name!r}, which is a table of "
                    f"{'the file' if others else repr(owner)} already\n"
                    f'hint: rename it, or keep arrays as text with nested = "json" in '
                    f"[table.{table}]; what had landed is safe, nothing was loaded",
                )

    def _shaped(self, todo: _Todo, reader: Reader) -> Generator[Shaped]:
        shaped = self._planned if todo.table.every_call else self._answered
        nothing = True
        for one in shaped(todo, reader):
            nothing = False
            yield one
        if nothing and todo.replaces:
            # Nothing is what the table is to hold now.
            yield todo.shaper.shape([])

    def _planned(self, todo: _Todo, reader: Reader) -> Iterator[Shaped]:
        sources = todo.table.sources
        planned = (row for plan in self.plans if plan.name in sources for row in plan.rows())
        for window in _windows(planned, _CHUNK_ROWS):
            yield todo.shaper.shape_plan(_with_answers(window, reader))

    def _shaper(self, name: str, table: TableOptions, reader: Reader) -> Shaper:
        """With what it learnt in earlier runs, if it was told the same to do then."""
        function, read = self.functions.get(name), forms(self.pipeline)
        shaper = Shaper(name, table, function=function, forms=read)
        known = reader.recall(shape_scope(name))
        if known is None or known.value["digest"] != shaper.digest:
            return shaper
        memory = known.value["memory"].encode()
        return Shaper(name, table, memory=memory, function=function, forms=read)

    def _answered(self, todo: _Todo, reader: Reader) -> Iterator[Shaped]:
        which = (todo.note.from_seq, todo.note.upto_seq, todo.table.sources, WITH_ANSWER)
        read = forms(self.pipeline)
        # A function of the user's own is called in this process, where it was given.
        if self.bench is None or todo.note.table in self.functions:
            answers = reader.answers(*which)
            yield from map(todo.shaper.shape, _chunks(answers, read, _size))
            return
        packed = ((frames, e) for frames, chosen in reader.packed(*which) for e in chosen)
        portions = map(_pieces, _chunks(packed, read, _packed_size))
        if len(first := list(islice(portions, PAYS))) < PAYS:
            yield from (todo.shaper.shape(list(answers_of(pieces))) for pieces in first)
        else:
            every = chain(first, portions)
            yield from shaped_afar(self.bench, todo.shaper, todo.table, read, every)


def _size(answer: Landed) -> tuple[str, int]:
    return answer.resource, len(answer.body)


def _packed_size(packed: tuple[Frames, Entry]) -> tuple[str, int]:
    return packed[1].resource, packed[1].body_length


def _pieces(portion: list[tuple[Frames, Entry]]) -> list[Piece]:
    """What of which batch a portion is."""
    return [
        Piece(frames.entries, frames.bodies, [entry.seq for _, entry in of_one])
        for frames, of_one in groupby(portion, itemgetter(0))
    ]


def newest(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """Of rows with the same ``key`` the last one, in the order of the others."""
    if not rows.num_rows or not set(key) <= set(rows.schema.names):
        return rows
    place = "place of the row"
    numbered = rows.select([*key]).append_column(place, pa.array(range(rows.num_rows)))
    last = numbered.group_by([*key]).aggregate([(place, "max")])[f"{place}_max"]
    return rows if len(last) == rows.num_rows else rows.take(last.sort())


def check_destinations(pipeline: Pipeline) -> None:
    """Reach every destination of ``pipeline``, before a call is spent on one that is not there.

    Raises:
        ConfigError: If an address is none.
        DestinationError: If a database does not answer.
    """
    _check_table_names(pipeline)
    for name, table in pipeline.table.items():
        for url in _addresses(table) or pipeline.destinations:
            open_destination(url, pipeline.folder).last_note(name)


def _check_table_names(pipeline: Pipeline) -> None:
    """Two tables whose names differ in case only are one to a database, and would be mixed."""
    seen: dict[tuple[str, str], str] = {}
    for name, table in pipeline.table.items():
        for url in _addresses(table) or pipeline.destinations:
            other = seen.setdefault((url, name.casefold()), name)
            if other != name:
                raise ConfigError(
                    f"table.{name}", name, f"another name than {other!r}, which is the same table"
                )


def shape_scope(table: str) -> str:
    """Under which name a shaper's memory is kept in the landing."""
    return f"shape {table}"


def _addresses(table: TableOptions) -> list[str]:
    if table.destination is None:
        return []
    return [table.destination] if isinstance(table.destination, str) else table.destination


def _with_answers(window: Sequence[Planned], reader: Reader) -> list[tuple[Planned, Landed | None]]:
    keys = [row.request.key for row in window if row.request]
    found = {landed.key: landed for landed in reader.by_keys(keys)}
    return [(row, found.get(row.request.key) if row.request else None) for row in window]


def _windows(items: Iterator[_T], size: int) -> Iterator[list[_T]]:
    while window := list(islice(items, size)):
        yield window


def _chunks(
    answers: Iterable[_T], forms: Mapping[str, Format], size_of: Callable[[_T], tuple[str, int]]
) -> Iterator[list[_T]]:
    """Answers in portions that fit into memory whatever their size.

    Args:
        answers: In their order.
        forms: Resource -> how its bodies are read.
        size_of: The resource of an answer, and the bytes of its body.
    """
    packed = {name for name, form in forms.items() if form.name in {"zip", "gzip"}}
    chunk: list[_T] = []
    size = 0
    for landed in answers:
        chunk.append(landed)
        resource, length = size_of(landed)
        size += length * (_PACKED if resource in packed else 1)
        if size >= _CHUNK_BYTES or len(chunk) >= _CHUNK_ROWS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
