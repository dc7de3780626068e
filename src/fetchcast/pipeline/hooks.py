"""Functions of the user's own: a paginator, an auth, a row function.

They are given to a run as `Hooks`, or named in the file's ``[hooks]`` as ``module:name``. A named
module is looked for in the file's folder, then on Python's import path, and nowhere else.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TypeAlias, cast

from fetchcast.clock import Clock
from fetchcast.config import Pipeline
from fetchcast.errors import ConfigError, WrongTable
from fetchcast.extract.auth.credentials import Credentials, Home, Rejected, Signed, abroad
from fetchcast.extract.auth.opening import open_credentials
from fetchcast.extract.auth.secrets import Secrets
from fetchcast.plan.pagination import Chain, Page, Paginator
from fetchcast.plan.pagination.address import followed_url, renamed
from fetchcast.plan.pagination.chains import Following
from fetchcast.plan.planner import Plan
from fetchcast.records import Request
from fetchcast.transform.reshape import RowFunction

NextPage: TypeAlias = Callable[[Page], str | Request | None]
"""Gets a page as it came; gives the next one's address (absolute or relative), or its whole call,
or None at the end of the list."""

Sign: TypeAlias = Callable[[Request], Mapping[str, str]]
"""Gets a call that is about to leave; gives the headers that prove who asks. Called for every
attempt, in the thread that sends: it must be quick, and may hold what it knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What a run does in a way of your own. What is not given is done as the file says."""

    auth: Sign | Credentials | None = None
    """Signs every call to the API's own host, after the headers of ``[api]``."""
    paginator: Mapping[str, NextPage | Paginator] = field(default_factory=dict)
    """Resource -> how its lists go on."""
    row: Mapping[str, RowFunction] = field(default_factory=dict)
    """Table -> what each row is put through before it is shaped."""

    def page(self, plans: Iterable[Plan]) -> None:
        """Have the lists of ``plans`` go on as the hooks say."""
        for plan in plans:
            if (hook := self.paginator.get(plan.name)) is not None:
                plan.page_by(paginator_hook(hook))


def hooks_of(pipeline: Pipeline, given: Hooks | None = None) -> Hooks:
    """The hooks of a run: those that were ``given``, and beside them those the file names.

    Raises:
        ConfigError: If a module or a name in it is not there, or cannot be called.
    """
    named, given = pipeline.hooks, given or Hooks()
    for key, names, known in (
        ("paginator", given.paginator, pipeline.resource),
        ("row", given.row, pipeline.table),
    ):
        for name in names:
            if name not in known:
                raise ConfigError(f"Hooks.{key}", name, f"one of: {', '.join(known)}")
    folder = pipeline.folder
    auth = given.auth
    if auth is None and named.auth is not None:
        auth = _named("hooks.auth", named.auth, folder)
    pages = {
        name: _named(f"hooks.paginator.{name}", said, folder)
        for name, said in named.paginator.items()
        if name not in given.paginator
    }
    rows = {
        name: _named(f"hooks.row.{name}", said, folder)
        for name, said in named.row.items()
        if name not in given.row
    }
    return Hooks(auth=auth, paginator={**pages, **given.paginator}, row={**rows, **given.row})


def _named(key: str, said: str, folder: Path) -> Any:
    """What ``module:name`` means."""
    module, _, name = said.partition(":")
    found = getattr(_module(key, said, module, folder), name, None)
    if found is None:
        raise ConfigError(key, said, f"a name that is in the module {module}")
    # A class is made here, without arguments: it may then hold what it learns.
    made = found() if isinstance(found, type) else found
    if not callable(made) and not hasattr(made, "chain") and not hasattr(made, "sign"):
        raise ConfigError(key, said, "a function, or a class that makes one")
    return made


def _module(key: str, said: str, module: str, folder: Path) -> ModuleType:
    beside = folder.resolve() / Path(*module.split(".")).with_suffix(".py")
    try:
        return _from_file(module, beside) if beside.is_file() else import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        expected = f"a module in {folder} or one that Python can import"
        raise ConfigError(key, said, expected) from None


def _from_file(module: str, path: Path) -> ModuleType:
    # Under a name of its own: two pipelines may each have a `hooks.py`, and none hides another's.
    name = f"_fetchcast_{module}_{blake2b(str(path).encode(), digest_size=6).hexdigest()}"
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


class HookedPages:
    """A `Paginator` of a function that gives the next page."""

    headers: frozenset[str] = frozenset()

    def __init__(self, next_page: NextPage, headers: frozenset[str] = frozenset()) -> None:
        self._next_page = next_page
        self.headers = headers

    def first(self, request: Request) -> Request:
        """The plan's own call."""
        return request

    def chain(self, first: Request, since: float) -> Chain:
        """Begin one list."""
        return Following(first, since, None, next_of=self._next)

    def _next(self, page: Page) -> Request | None:
        try:
            found = self._next_page(page)
        except Exception as error:
            # One list ends there, and the run says that it is not complete.
            raise ValueError(str(_failed("its hook", self._next_page, error))) from error
        number = page.request.page + 1
        if found is None:
            return None
        if isinstance(found, str):
            url = followed_url(page.request.url, found)
            return renamed(page.request, page=number, url=url)
        # The key is over what is sent, whatever the function made of it.
        followed_url(page.request.url, found.url)
        return renamed(found, page=number)


def paginator_hook(hook: NextPage | Paginator) -> Paginator:
    """``hook`` as the paginator that it is, or makes.

    The headers of answers that a function reads are kept if it says so: ``function.headers =
    {"x-next"}``; ``link`` always is.
    """
    if hasattr(hook, "chain"):
        return cast("Paginator", hook)
    headers = frozenset(name.lower() for name in getattr(hook, "headers", ()))
    return HookedPages(hook, headers | {"link"})


class HookedAuth:
    """`Credentials` of a function that signs.

    Args:
        sign: The function.
        base_url: Whose calls are signed; a call to another origin is not.
        headers: Added to every call.
        secrets: What is secret in ``headers``.
    """

    def __init__(
        self, sign: Sign, *, base_url: str, headers: Mapping[str, str], secrets: tuple[str, ...]
    ) -> None:
        self._sign, self._headers, self._secrets = sign, headers, secrets
        self._home, self._abroad = Home(base_url), abroad(headers)
        self._last: tuple[dict[str, str], Signed] | None = None

    def sign(self, request: Request, lane: int) -> Signed | None:
        """See `Credentials`."""
        if not self._home.has(request.url):
            return self._abroad
        try:
            added = dict(self._sign(request))
        except Exception as error:
            raise _failed("hooks.auth", self._sign, error) from error
        if self._last is None or self._last[0] != added:
            # What does not change from call to call is made ready once.
            proofs = [part for value in added.values() for part in (value, value.split(" ")[-1])]
            secrets = Secrets((*self._secrets, *proofs))
            signed = Signed(headers={**self._headers, **added}, lane=lane, secrets=secrets)
            self._last = added, signed
        return self._last[1]

    def rejected(self, signed: Signed, status: int, times: int) -> Rejected:
        """The function has said all it knows."""
        del signed, status, times
        return Rejected.FINAL

    def watch(self, changed: Callable[[str | None], None]) -> None:
        """Nothing changes by itself."""


def _failed(key: str, function: object, error: Exception) -> WrongTable:
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return WrongTable(key, f"{name} failed with {type(error).__name__}: {error}")


@asynccontextmanager
async def open_signing(
    pipeline: Pipeline, hook: Sign | Credentials | None, clock: Clock
) -> AsyncIterator[Credentials]:
    """Open what signs the calls of ``pipeline``: the ``hook``, or what its file says."""
    api = pipeline.api
    if hook is None:
        async with open_credentials(
            api.auth,
            base_url=api.base_url,
            headers=api.headers,
            secrets=pipeline.header_secrets,
            http=pipeline.http,
            retry=pipeline.retry,
            clock=clock,
        ) as credentials:
            yield credentials
    elif isinstance(hook, FunctionType) or not hasattr(hook, "sign"):
        sign = cast("Sign", hook)
        secrets = pipeline.header_secrets
        yield HookedAuth(sign, base_url=api.base_url, headers=api.headers, secrets=secrets)
    else:
        yield cast("Credentials", hook)
