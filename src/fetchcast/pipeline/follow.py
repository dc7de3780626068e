"""Which calls follow from an answer: the next pages of its list, the children of its rows."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from fetchcast.config import Pipeline
from fetchcast.extract.rules import without_conditions
from fetchcast.formats import Format, documents
from fetchcast.json_path import Every, parse_path, show_path, value_at
from fetchcast.json_path import Path as JsonPath
from fetchcast.landing.reader import open_reader
from fetchcast.pipeline.forms import forms
from fetchcast.plan.pagination import (
    AUTO,
    SIGNS,
    SINGLE_PAGE,
    Chain,
    Detected,
    Page,
    Paginator,
    detect,
    paginator_of,
)
from fetchcast.plan.pagination.chains import Following
from fetchcast.plan.pagination.options import Cursor, NextUrl, Offset, PageNumber
from fetchcast.plan.planner import Plan
from fetchcast.records import WITH_ANSWER, Answer, Fate, Landed, Outcome, Planned, Request, Scalar
from fetchcast.transform.model import default_rows, missed_step

_PARAM = "param:"


@dataclass(slots=True, kw_only=True)
class Ensuing:
    """What follows from the end of one call."""

    outcome: Outcome
    """That end, as it is to be kept."""
    plan: Plan
    """Of the call."""
    pages: Iterator[Planned] | None = None
    children: list[tuple[Plan, Iterator[Planned]]] = field(default_factory=list)
    over: Chain | None = None
    """The list whose last page this was, if all of it is there."""


class Follower:
    """Knows the lists that are on their way, and which resources are children of which.

    Args:
        pipeline: Says where rows are.
        plans: Of all its resources.
        say: Told what a person should know.
        detected: Resource -> how its lists go on, where an earlier run found it out.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        plans: Iterable[Plan],
        *,
        say: Callable[[str], None] = lambda _: None,
        detected: Mapping[str, Detected] | None = None,
    ) -> None:
        self._plans = {plan.name: plan for plan in plans}
        self._say, self.detected = say, dict(detected or {})
        self._chains: dict[str, Chain] = {}
        self._children: dict[str, list[Plan]] = defaultdict(list)
        for plan in self._plans.values():
            if plan.parent is not None:
                self._children[plan.parent].append(plan)
        self._forms = defaultdict(Format, forms(pipeline))
        self._rows = {name: _rows_of(pipeline, name) for name in self._plans}
        self._fields = {name: self._wanted(pipeline, name) for name in self._plans}
        self._lost: dict[str, str] = {}
        """Resource -> why no list of it went on, as it looks so far."""
        self._unseen = {name: set(fields) for name, fields in self._fields.items()}
        """Resource -> what it takes from its parent's rows, and no row has had so far."""
        self._had: dict[str, str] = {}
        """Resource -> what the first of these rows had instead."""

    def follows(self, resource: str) -> bool:
        """Whether anything can follow from an answer of ``resource``."""
        return self.is_paged(resource) or bool(self._children.get(resource))

    def is_paged(self, resource: str) -> bool:
        """Whether lists of ``resource`` may have several pages."""
        return self._plans[resource].paging != SINGLE_PAGE

    def after(self, outcome: Outcome) -> Ensuing:
        """What follows from ``outcome``; its answer is needed, also if it landed long ago."""
        plan = self._plans[outcome.request.resource]
        ensuing = Ensuing(outcome=outcome, plan=plan)
        content = _Content(outcome, self._forms[plan.name])
        if self.is_paged(plan.name):
            self._turn(ensuing, content)
        if ensuing.outcome.fate is Fate.LANDED:
            for child in self._children.get(plan.name, ()):
                rows = self._parent_rows(child, outcome.request, content)
                ensuing.children.append((child, child.children(rows)))
        return ensuing

    def go_on(self, request: Request) -> None:
        """A list that was begun elsewhere goes on from ``request``, where pages name the next."""
        plan = self._plans[request.resource]
        found = self.detected.get(plan.name)
        paginator = plan.paginator or (paginator_of(found.options) if found else None)
        if paginator is not None:
            chain = paginator.chain(request, 0.0)
            if isinstance(chain, Following):
                self._chains[request.key] = chain

    def listed(
        self, first: Request, stored: Callable[[list[str]], Iterable[Landed]]
    ) -> dict[str, Request]:
        """The calls of a list as an earlier run saw it, by key: as far as its answers are kept."""
        plan, found = self._plans[first.resource], {first.key: first}
        chain, waiting = None, {first.key: first}
        while waiting:
            following: dict[str, Request] = {}
            for landed in stored([*waiting]):
                outcome = as_outcome(landed, waiting[landed.key])
                page = self._page(plan, _Content(outcome, self._forms[plan.name]))
                chain = chain or self._begin(plan, page, 0.0)
                if chain is None:
                    return found
                following |= {one.key: one for one in chain.after(page).requests}
            waiting = {key: one for key, one in following.items() if key not in found}
            found |= waiting
        return found

    def notes(self) -> list[str]:
        """What looks like a mistake in the file."""
        lost = [f"resource {name}: {why}" for name, why in self._lost.items() if why]
        return lost + [
            f"resource {name}: no row of {self._plans[name].parent} has a value at {field}; "
            f"the first has: {had}"
            for name, had in self._had.items()
            for field in sorted(self._unseen[name])
        ]

    # -- pages

    def _turn(self, ensuing: Ensuing, content: _Content) -> None:
        """Tell the list of a page that came, and ask it what follows."""
        outcome, plan = ensuing.outcome, ensuing.plan
        page = self._page(plan, content)
        chain = self._chains.pop(outcome.request.key, None)
        if chain is None and outcome.request.page == 0 and not page.failed:
            chain = self._begin(plan, page, outcome.finished_at)
        if chain is None:
            return
        step = chain.after(page)
        if step.notice:
            self._say(f"{plan.name} {outcome.request.url}: {step.notice}")
        if step.empty_because:
            ensuing.outcome = _as_empty(outcome, step.empty_because)
        if step.broken:
            ensuing.pages = iter([_unasked(outcome.request, step.broken)])
        else:
            ensuing.pages = self._asked(chain, step.requests)
        if chain.is_over and not chain.is_broken:
            ensuing.over = chain

    def _page(self, plan: Plan, content: _Content) -> Page:
        outcome = content.outcome
        answer = outcome.answer
        return Page(
            without_conditions(outcome.request),
            status=answer.status if answer else None,
            headers=answer.headers if answer else {},
            body=answer.body if answer else b"",
            rows=len(content.rows(self._path(plan.name, content)))
            if outcome.fate in WITH_ANSWER
            else 0,
            failed=outcome.fate not in WITH_ANSWER,
            read=lambda _: next(iter(content.documents), None),
        )

    def _begin(self, plan: Plan, page: Page, since: float) -> Chain | None:
        paginator = plan.paginator or self._detect(plan, page)
        if paginator is None:
            return None
        self._look_for_signs(plan, page)
        return paginator.chain(page.request, since)

    def _detect(self, plan: Plan, page: Page) -> Paginator | None:
        found = self.detected.get(plan.name)
        if found is None and (found := detect(page)) is not None:
            self.detected[plan.name] = found
            self._say(f"{plan.name}: {in_words(found)}")
        return None if found is None else paginator_of(found.options)

    def _look_for_signs(self, plan: Plan, page: Page) -> None:
        """A wrong path must not look like a list that has one page."""
        options = plan.paging
        path = options.path if isinstance(options, NextUrl | Cursor) else None
        if path is None or not page.rows:
            return
        document = page.document
        if value_at(document, parse_path(path)) is not None:
            self._lost[plan.name] = ""
        elif plan.name not in self._lost:
            there = ", ".join(document) if isinstance(document, dict) else "an array"
            self._lost[plan.name] = (
                f"no answer has {path}, where its paginator looks for the next page; "
                f"the first has: {there}"
            )

    def _asked(self, chain: Chain, requests: Iterable[Request]) -> Iterator[Planned]:
        for request in requests:
            self._chains[request.key] = chain
            yield Planned(
                position=request.page,
                resource=request.resource,
                params=request.params,
                request=request,
                # A page from before the list's first page is one of an older list.
                final_at=chain.since,
            )

    # -- children

    def _wanted(self, pipeline: Pipeline, name: str) -> frozenset[str]:
        """What the rows of the parent are asked for: fields, and columns that tables carry."""
        plan = self._plans[name]
        if plan.parent is None:
            return frozenset()
        return frozenset(plan.parent_fields.values()) | _carried(pipeline, name)

    def _parent_rows(
        self, child: Plan, request: Request, content: _Content
    ) -> Iterator[Mapping[str, Scalar]]:
        assert child.parent is not None
        said = child.rows_path
        path = parse_path(said) if said else self._path(child.parent, content)
        wanted = [(name, *_field(name)) for name in self._fields[child.name]]
        found = content.rows(path)
        self._look_for_rows(child, content, path, found)
        self._look_for_fields(child, request, found)
        for around in found:
            row = {name: _scalar(around, up, below) for name, up, below in wanted}
            yield {n: request.params.get(n) if v is None else v for n, v in row.items()}

    def _look_for_rows(
        self, child: Plan, content: _Content, path: JsonPath, found: list[Any]
    ) -> None:
        """A wrong path must not look like parents without children."""
        if found:
            self._lost[child.name] = ""
        elif child.name not in self._lost and (missed := missed_step(content.documents, path)):
            where, step, there = missed
            self._lost[child.name] = (
                f"no answer of {child.parent} has rows at {show_path(path)}: "
                f"there is no {step!r} in {where}, which has: {', '.join(there)}"
            )

    def _look_for_fields(self, child: Plan, request: Request, found: list[tuple[Any, ...]]) -> None:
        """A wrong name must not look like rows that lack a value."""
        unseen = self._unseen[child.name]
        for name in [*unseen] if found else ():
            up, below = _field(name)
            known = request.params.get(name) is not None
            if known or any(_scalar(around, up, below) is not None for around in found):
                unseen.discard(name)
        if unseen and found:
            row = found[0][0]
            there = ", ".join([*row][:20]) if isinstance(row, dict) else "no keys"
            self._had.setdefault(child.name, there)

    def _path(self, resource: str, content: _Content) -> JsonPath:
        """Where the rows of ``resource`` are: as its table says, or as its first answer shows."""
        path = self._rows[resource]
        if path is None:
            path = default_rows(content.documents)
            if any(content.documents):
                self._rows[resource] = path
        return path


class _Content:
    """The end of a call with its body, which is read once if at all."""

    def __init__(self, outcome: Outcome, form: Format) -> None:
        self.outcome, self._form = outcome, form

    @cached_property
    def documents(self) -> list[Any]:
        """What is in the body; nothing if it cannot be read."""
        answer = self.outcome.answer
        try:
            found = documents(answer.body, self._form) if answer and answer.body else ()
            return [msgspec.json.decode(one) for one in found]
        except (ValueError, RecursionError):
            return []

    def rows(self, path: JsonPath) -> list[tuple[Any, ...]]:
        """Each row with the objects around it, the row first."""
        return [row for document in self.documents for row in _along(document, path)]


def _along(value: Any, path: JsonPath, around: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    around = (value, *around)
    if not path:
        yield around
        return
    step, rest = path[0], path[1:]
    if isinstance(step, Every):
        for element in value if isinstance(value, list) else ():
            yield from _along(element, rest, around[1:])
    else:
        below = value_at(value, (step,))
        if below is not None:
            yield from _along(below, rest, around)


def _field(name: str) -> tuple[int, JsonPath]:
    """How far above the row it is, and where there."""
    text = name.lstrip("^")
    return len(name) - len(text), parse_path(text.removeprefix("$"))


def _scalar(around: tuple[Any, ...], up: int, path: JsonPath) -> Scalar:
    objects = [around[0], *(one for one in around[1:] if isinstance(one, dict))]
    value = value_at(objects[up], path) if up < len(objects) else None
    return value if isinstance(value, str | int | float | bool) else None


def _rows_of(pipeline: Pipeline, resource: str) -> JsonPath | None:
    """Where the rows of ``resource`` are; None: where they are found by themselves."""
    tables = [table for table in pipeline.table.values() if resource in table.sources]
    path = next((table.rows for table in tables if table.rows is not None), None)
    return None if path is None else parse_path(path)


def _carried(pipeline: Pipeline, name: str) -> frozenset[str]:
    """What tables of ``name`` or of its descendants carry, and it does not have: the parent's."""
    below = (other for other, options in pipeline.resource.items() if options.parent == name)
    found = {
        source.removeprefix(_PARAM)
        for table in pipeline.table.values()
        if name in table.sources
        for source in table.carry.values()
        if source.startswith(_PARAM)
    }.union(*(_carried(pipeline, other) for other in below))
    own = pipeline.resource[name].params
    return frozenset(found) - frozenset(own)


def kept_headers(plans: Iterable[Plan]) -> set[str]:
    """The headers of answers that are needed to go on with their lists in a later run."""
    found: set[str] = set()
    for plan in plans:
        if plan.paging == AUTO:
            found |= SIGNS
        elif plan.paginator is not None:
            found |= plan.paginator.headers
    return found


def paginator_scope(plan: Plan) -> str:
    """Under which name it is remembered how lists of ``plan`` go on."""
    return f"paginator {plan.name} {plan.url}"


def as_outcome(landed: Landed, request: Request) -> Outcome:
    """The end of a call as it was kept."""
    return Outcome(
        request=request,
        fate=landed.fate,
        answer=Answer(
            status=landed.status or 0,
            headers=landed.headers,
            body=landed.body,
            url=landed.url,
            elapsed_s=0.0,
        ),
        attempts=landed.attempts,
        reason=landed.reason,
        finished_at=landed.finished_at,
    )


def _as_empty(outcome: Outcome, reason: str) -> Outcome:
    """Without its body: what is on such a page is no row."""
    answer = outcome.answer and msgspec.structs.replace(outcome.answer, body=b"")
    return msgspec.structs.replace(outcome, fate=Fate.EMPTY, answer=answer, reason=reason)


def _unasked(request: Request, reason: str) -> Planned:
    """A page that there should be and that cannot be asked: the run is not complete."""
    params = {**request.params, "page": request.page + 2}
    return Planned(
        position=request.page + 1,
        resource=request.resource,
        params=params,
        request=None,
        reason=reason,
        rejected=True,
    )


def pages_in_words(plan: Plan, landing: Path) -> str | None:
    """How the lists of ``plan`` go on, for people; None if they have one page."""
    if plan.paging == SINGLE_PAGE:
        return None
    if plan.paging == AUTO:
        found = _remembered(plan, landing)
        if found is None:
            return "more pages: auto; the first answer that shows a sign of them decides"
        return f"more pages: found to be {in_words(found)}"
    if not isinstance(plan.paging, Offset | PageNumber):
        return "more pages: one after the other, as each answer names the next"
    counted = plan.paging.total or plan.paging.total_header or _pages_counted(plan.paging)
    known = "all side by side, once the first says how many there are"
    return f"more pages: {known if counted else 'side by side, until one shows the end'}"


def _pages_counted(options: Offset | PageNumber) -> str | None:
    return options.total_pages if isinstance(options, PageNumber) else None


def _remembered(plan: Plan, landing: Path) -> Detected | None:
    if not landing.exists():
        return None
    with open_reader(landing) as reader:
        memory = reader.recall(paginator_scope(plan))
    return None if memory is None else msgspec.convert(memory.value, Detected)


def in_words(detected: Detected) -> str:
    """A paginator as it would stand in a file, and why it was chosen."""
    options = detected.options
    usual = {field.name: field.default for field in msgspec.structs.fields(options)}
    said = {
        name: value
        for name, value in msgspec.structs.asdict(options).items()
        if value != usual[name]
    }
    table = {"type": options.__struct_config__.tag, **said}
    pairs = ", ".join(f"{key} = {json.dumps(value)}" for key, value in table.items())
    return f"paginator = {{ {pairs} }} because {detected.why}"
