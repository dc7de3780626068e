"""The stages of one run, in their order: plan, extract, load, forecast."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import Any

import msgspec

from fetchcast.clock import Clock
from fetchcast.config import Pipeline
from fetchcast.errors import ConfigError, DestinationError
from fetchcast.events import (
    Counters,
    Events,
    Notice,
    RunEnd,
    Stage,
    StageEnded,
    StageStarted,
)
from fetchcast.executors import Executor, LocalExecutor, open_executor
from fetchcast.extract.auth.opening import lane_ids
from fetchcast.extract.engine import Engine, Stopped
from fetchcast.extract.transport import open_transport
from fetchcast.landing.reader import open_reader
from fetchcast.landing.retention import drop_bodies
from fetchcast.landing.shards import ShardStore
from fetchcast.landing.writer import Writer
from fetchcast.pipeline.afar import Bench
from fetchcast.pipeline.ask import Selection, plans
from fetchcast.pipeline.changes import SCOPE as CHANGES_SCOPE
from fetchcast.pipeline.changes import changes, meaning
from fetchcast.pipeline.cluster import Cluster, salvage, store_url
from fetchcast.pipeline.follow import Follower, paginator_scope
from fetchcast.pipeline.forms import rules
from fetchcast.pipeline.hooks import Hooks, open_signing
from fetchcast.pipeline.lists import Lists
from fetchcast.pipeline.lists_ahead import listed
from fetchcast.pipeline.options import RunOptions
from fetchcast.pipeline.pacing import AnyPace, open_pacing
from fetchcast.pipeline.predict import Told, predict
from fetchcast.pipeline.report import ResourceReport, RunReport
from fetchcast.pipeline.shared_row import ClusterPace, borrowing
from fetchcast.pipeline.spread import Spread
from fetchcast.pipeline.store import Store, Stored, shape_scope
from fetchcast.pipeline.watermarks import Watermarks, keyless, known_marks
from fetchcast.pipeline.watermarks import scope as watermark_scope
from fetchcast.plan.pagination import AUTO, SINGLE_PAGE, Detected
from fetchcast.plan.planner import Plan
from fetchcast.records import Fate


@dataclass(slots=True)
class Flow:
    """The stages of one run, in their order."""

    pipeline: Pipeline
    options: RunOptions
    report: RunReport
    events: Events
    clock: Clock
    hooks: Hooks = field(default_factory=Hooks)
    executor: Executor = field(default_factory=LocalExecutor)
    plans: list[Plan] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)
    pace: AnyPace | ClusterPace | None = None
    spread: Spread | None = None
    """For the stages that are computed; None in this process."""

    @asynccontextmanager
    async def executing(self) -> AsyncIterator[None]:
        """Open the executor that the file names."""
        async with open_executor(self.pipeline.executor, self.pipeline.folder) as executor:
            self.executor = executor
            if not self.pipeline.executor.is_local:
                self.spread = Spread(executor, asyncio.get_running_loop())
            for note in executor.notes:
                self.events(Notice(at=self.clock.now(), text=note))
            yield

    def counts(self) -> dict[str, Any]:
        """How far the run is, for those who watch it from another process."""
        counters = self.counters
        return {
            "stage": counters.stage,
            "passed": counters.passed,
            "in_flight": counters.in_flight,
            "sent": counters.sent,
            "refused": counters.refused,
            "retried": counters.retried,
            "committed": counters.committed,
            "body_bytes": counters.body_bytes,
            **{str(fate): count for fate, count in counters.ended.items()},
            "rows": {receipt.table: receipt.rows for receipt in self.report.receipts},
            "pace": self.explanation(),
        }

    def limit(self) -> str:
        """The limit that is felt, in a few words."""
        return self.pace.explanation(self.clock.monotonic()).what if self.pace else ""

    def explanation(self) -> str:
        """Which limit was found, in words."""
        if self.pace is None:
            return self.report.pace
        return self.pace.explanation(self.clock.monotonic()).text

    async def run(self, writer: Writer) -> None:
        """Ask, store, predict; fills the report."""
        if self.options.ask:
            async with self.loading(writer):
                await self.ask(writer)
        with self.stage(Stage.LOAD):
            stored = await self.executor.run(self.store)
        self.take(writer, stored)
        self.report.notes += stored.notes
        await self.retain(writer, stored.upto_seq)
        if self.options.forecast:
            await self.executor.run(self.predict)

    @asynccontextmanager
    async def loading(self, writer: Writer) -> AsyncIterator[None]:
        """Load now and then what has landed; a load that has begun is ended first on leaving."""
        enough = asyncio.Event()
        loading = asyncio.ensure_future(self.load_midway(writer, enough))
        try:
            yield
        finally:
            enough.set()
            await loading

    async def load_midway(self, writer: Writer, enough: asyncio.Event) -> None:
        """One whole load after the other until it is ``enough``; none if the file wants none."""
        every_s = self.pipeline.load_every_s
        while every_s is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(enough.wait(), every_s)
            if enough.is_set():
                return
            try:
                self.take(writer, await self.executor.run(partial(self.store, midway=True)))
            except DestinationError as error:
                # Asking goes on; if it is still so at the end, the run says it then.
                self.events(Notice(at=self.clock.now(), text=f"not loaded midway: {error}"))
            await writer.flush()  # What was learnt is the next load's to know.

    def take(self, writer: Writer, stored: Stored) -> None:
        """Count what was stored, and remember what was learnt of its shape."""
        told = {(one.destination, one.table): one for one in self.report.receipts}
        for one in stored.receipts:
            before = told.get((one.destination, one.table))
            rows = one.rows + (before.rows if before else 0)
            told[one.destination, one.table] = replace(one, rows=rows)
        self.report.receipts = [*told.values()]
        self.report.rejects += stored.rejects
        for table, learnt in stored.learnt.items():
            writer.remember(shape_scope(table), learnt)

    async def retain(self, writer: Writer, loaded_seq: int) -> None:
        """Drop bodies that are loaded and were kept as long as the file says."""
        kept_s = self.pipeline.landing.kept_s
        # What is still to be asked follows from answers that are there.
        unfinished = self.has_lists and self.report.end is not RunEnd.COMPLETE
        if kept_s is not None and not unfinished:
            before = self.clock.now() - kept_s
            await writer.errand(
                lambda journal: drop_bodies(journal, loaded_seq=loaded_seq, before=before)
            )

    def count_plans(self) -> int:
        """How many rows the plans have together, as far as is known without reading all of them."""
        with self.stage(Stage.PLAN):
            self.plans = plans(self.pipeline, now=self.clock.now(), again=self.options.again)
            self.hooks.page(self.plans)
            for plan in self.plans:
                self.report.resources[plan.name] = ResourceReport(planned=plan.estimate().count)
        return sum(report.planned for report in self.report.resources.values())

    def tell_changes(self, writer: Writer) -> None:
        """Say what the file says otherwise than in the last run, and what follows from it."""
        now, before = msgspec.to_builtins(meaning(self.pipeline)), writer.recall(CHANGES_SCOPE)
        if before is not None and (found := changes(before.value, now)):
            text = "\n  ".join(["the file has changed since the last run:", *found])
            self.events(Notice(at=self.clock.now(), text=text))
        writer.remember(CHANGES_SCOPE, now)

    @property
    def has_lists(self) -> bool:
        """Whether calls follow from answers."""
        return any(plan.parent or plan.paging != SINGLE_PAGE for plan in self.plans)

    def follower(self, writer: Writer) -> Follower:
        """With what earlier runs found out about pages."""
        known = {
            plan.name: msgspec.convert(memory.value, Detected)
            for plan in self.plans
            if plan.paging == AUTO and (memory := writer.recall(paginator_scope(plan)))
        }

        def say(text: str) -> None:
            self.events(Notice(at=self.clock.now(), text=text))

        return Follower(self.pipeline, self.plans, say=say, detected=known)

    def keep_detected(self, writer: Writer, follower: Follower) -> None:
        """What was found out about pages is where the next run begins."""
        for plan in self.plans:
            if plan.paging == AUTO and (found := follower.detected.get(plan.name)):
                writer.remember(paginator_scope(plan), msgspec.to_builtins(found))
        self.report.notes += follower.notes()

    async def ask(self, writer: Writer) -> None:
        """Make the calls that have not landed."""
        follower = self.follower(writer)
        selection = Selection(
            fates=writer.fates,
            validators=writer.validators,
            clock=self.clock,
            events=self.events,
            follower=follower,
            stored=writer.by_keys,
            lists=Lists(
                follower, writer, self.clock, drops=self.pipeline.landing.kept_s is not None
            ),
            keep=writer.take,
            only=self.options.only,
            failed_only=self.options.failed_only,
            again=self.options.again,
        )
        marks = self.watermarks(selection)
        self.events.subscribers += [selection.watch, marks.hear]
        total = sum(report.planned for report in self.report.resources.values())
        begun = self.clock.monotonic()
        with self.stage(Stage.EXTRACT, total):
            try:
                stopped = await self.extract(writer, selection)
            finally:
                self.keep_detected(writer, follower)
                await writer.flush()
                self.report.extract_s = self.clock.monotonic() - begun
        if not (stopped or self.options.only or self.options.failed_only):
            # All answers are on the disk by now: a kill before this line moves nothing.
            for name, moved in marks.moved().items():
                writer.remember(watermark_scope(name), moved)
            self.report.notes += marks.notes()
        self.account(selection, stopped)

    def watermarks(self, selection: Selection) -> Watermarks:
        """How far earlier runs have come; the full refresh goes on from there as well."""
        marks = known_marks(self.pipeline.landing_folder, [*self.pipeline.resource])
        self.report.notes += keyless(self.pipeline, self.plans)
        return Watermarks(self.plans, marks, selection.with_body)

    async def extract(self, writer: Writer, selection: Selection) -> Stopped | None:
        """Open what sends, start from what was learnt last time, and remember what was learnt."""
        self.check_origin(writer)
        lists = {plan.name for plan in self.plans if plan.paging != SINGLE_PAGE}
        await salvage(writer, self.events, self.clock, lists)
        if not self.pipeline.executor.is_local:
            return await self.extract_elsewhere(writer, selection)
        http, retry = self.pipeline.http, self.pipeline.retry
        pacing = open_pacing(self.pipeline, writer, wall=self.clock.now())
        shared = ClusterPace()
        self.pace = shared if self.pipeline.executor.coordinator else pacing.pace
        async with (
            open_transport(http) as transport,
            open_signing(self.pipeline, self.hooks.auth, self.clock) as credentials,
            borrowing(self.pipeline, pacing.memory, shared, self.clock) as lent,
        ):
            engine = Engine(
                transport=transport,
                limiter=lent.lessee if lent else pacing.pace,
                sink=writer,
                events=self.events,
                clock=self.clock,
                rules=rules(self.pipeline),
                retry=retry,
                credentials=credentials,
                follow=selection.follow if self.has_lists else None,
                has_worked=writer.has_answers(),
            )
            if lent:
                lent.serve(engine)
            try:
                return await engine.run(*map(selection.requests, self.plans))
            finally:
                self.report.pace = self.explanation()
                if not lent:  # The row remembers by itself.
                    pacing.remember(writer, self.clock.now())

    async def extract_elsewhere(self, writer: Writer, selection: Selection) -> Stopped | None:
        """Have workers ask, on leases of one pace; what was learnt of it is remembered too."""
        cluster = Cluster(
            pipeline=self.pipeline,
            writer=writer,
            executor=self.executor,
            events=self.events,
            clock=self.clock,
            total=sum(report.planned for report in self.report.resources.values()),
        )
        self.pace = cluster.pace
        pacing = open_pacing(self.pipeline, writer, wall=self.clock.now())
        try:
            requests = chain.from_iterable(map(selection.requests, self.plans))
            follows = self.has_lists and self.options.only is None
            return await cluster.ask(
                requests,
                pacing,
                follow=selection.follow if self.has_lists else None,
                lists=listed(self.plans, selection.follower.detected) if follows else None,
            )
        finally:
            self.report.pace = self.explanation()
            if learnt := cluster.pace.tally.learnt:
                pacing.remember_told(writer, learnt, cluster.pace.tally.total)

    def check_executor(self) -> None:
        """Refuse at once what a cluster cannot do, before a call is spent."""
        run, options = self.pipeline.executor.run, self.pipeline.executor
        self.check_limits()
        if options.is_local and options.coordinator is None:
            return
        store_url(self.pipeline)
        if self.hooks.auth is not None and not options.is_local:
            raise ConfigError(
                "executor.run", run, "'local': a function that signs calls is called in one process"
            )
        auth = self.pipeline.api.auth
        many = len(lane_ids(auth)) > 1 or (auth is not None and auth.quota is not None)
        if many and options.coordinator is not None:
            expected = (
                "none: several keys, or a quota of theirs, are counted by the run itself, and a "
                "row holds the pace of one key"
            )
            raise ConfigError("executor.coordinator", "postgresql://...", expected)

    def check_limits(self) -> None:
        """Refuse limits of one resource where one pace is held for all of them."""
        of = next((name for name, one in self.pipeline.resource.items() if one.limits), None)
        if of is None:
            return
        auth, options = self.pipeline.api.auth, self.pipeline.executor
        several = len(lane_ids(auth)) > 1 or (auth is not None and auth.quota is not None)
        if several or not options.is_local or options.coordinator is not None:
            expected = (
                "none: with several keys, a quota of theirs, or a pace that is shared with other "
                "processes, one pace is held for all resources; give them in [limits]"
            )
            limits = msgspec.to_builtins(self.pipeline.resource[of].limits)
            raise ConfigError(f"resource.{of}.limits", limits, expected)

    def check_origin(self, writer: Writer) -> None:
        """Refuse to mix the answers of two APIs: every row would be there twice."""
        base_url, before = self.pipeline.api.base_url, writer.recall("base_url")
        if before is not None and before.value != base_url:
            folder = self.pipeline.landing_folder
            raise ConfigError(
                "api.base_url",
                base_url,
                f"{before.value!r} as before: {folder} holds answers from there, and the tables "
                "would have the rows of both\n"
                "hint: give the file another `name` and destination, or delete both to begin anew",
            )
        writer.remember("base_url", base_url)

    def account(self, selection: Selection, stopped: Stopped | None) -> None:
        """How complete the run is."""
        for plan in self.plans:
            self.report.resources[plan.name].planned += plan.misjudged
        for name, report in self.report.resources.items():
            report.already = selection.already[name]
            report.repeated = selection.repeated[name]
            report.unselected = selection.unselected[name]
        self.report.add_unasked()
        if stopped:
            self.report.stopped = stopped.reason
            self.report.end = RunEnd.STOPPED if stopped.own_cap else RunEnd.INCOMPLETE
        elif self.options.only and not any(one.fates for one in self.report.resources.values()):
            raise ConfigError("--only", self.options.only, "a key that `fetchcast plan` shows")
        elif self.report.count(Fate.FAILED) or selection.rejected:
            self.report.end = RunEnd.INCOMPLETE

    def store(self, *, midway: bool = False) -> Stored:
        """Shape what is new and load it."""
        with open_reader(self.pipeline.landing_folder) as reader:
            spread, bench = self.spread, None
            if spread is not None:
                bench = Bench(spread, ShardStore(store_url(self.pipeline), reader.identity))
            store = Store(
                pipeline=self.pipeline,
                plans=self.plans,
                run_id=self.report.run_id,
                now=self.clock.now(),
                again=not self.options.ask,
                midway=midway,
                functions=self.hooks.row,
                bench=bench,
            )
            return store.all(reader)

    def predict(self) -> None:
        """Forecast every series and answer every question."""
        if not self.pipeline.series:
            return
        with self.stage(Stage.FORECAST):
            predicted = predict(
                self.pipeline,
                run_id=self.report.run_id,
                now=self.clock.now(),
                again=self.options.again,
                processes=self.options.processes,
                spread=self.spread,
                progress=Told(self.notice, self.clock.monotonic),
            )
        self.report.receipts += predicted.receipts
        self.report.evidence += predicted.evidence
        self.report.answers += predicted.answers
        self.report.notes += predicted.notes
        if predicted.failed and self.report.end is RunEnd.COMPLETE:
            self.report.end = RunEnd.INCOMPLETE

    def notice(self, text: str) -> None:
        """Tell a person."""
        self.events(Notice(at=self.clock.now(), text=text))

    @contextmanager
    def stage(self, stage: Stage, total: int | None = None) -> Iterator[None]:
        """Tell when ``stage`` begins and ends."""
        self.events(StageStarted(stage=stage, at=self.clock.now(), total=total))
        yield
        self.events(StageEnded(stage=stage, at=self.clock.now()))
