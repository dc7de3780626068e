"""The pipeline file: one TOML file becomes a `Pipeline`, or one clear error.

Each stage defines its own options; here they are put together. A key that nobody reads is an
error with the nearest known key; a value of the wrong kind is an error with what was expected.
``${NAME}`` is taken from the environment or from ``.env`` beside the file, ``${NAME:-text}`` has
a default. Relative file names are relative to the file's folder.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_origin
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec

from fetchcast.errors import (
    ConfigError,
    FileUnreadable,
    SecretMissing,
    UnknownKey,
    WrongTable,
)
from fetchcast.executors.options import ExecutorOptions
from fetchcast.extract.auth.files import in_files
from fetchcast.extract.auth.hygiene import check_secrets, header_secrets
from fetchcast.extract.auth.options import (
    ApiKey,
    Basic,
    Bearer,
    ClientCredentials,
    Login,
    add_secret_files,
)
from fetchcast.extract.pace import PaceOptions
from fetchcast.extract.retry import RetryOptions
from fetchcast.extract.rules import AnswerOptions
from fetchcast.extract.transport import TransportOptions
from fetchcast.forecast import QuestionOptions, SeriesOptions
from fetchcast.landing.options import LandingOptions
from fetchcast.plan.pagination import SINGLE_PAGE
from fetchcast.plan.params import parent_of, seconds_in
from fetchcast.plan.planner import CallOptions
from fetchcast.transform.options import TableOptions

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SECRET_PLACES = ("api.auth.", "api.headers.")
_SHOWN = ("in", "send", "method", "requests", "per", "resets")
"""What may be shown of these places."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_OPEN = frozenset({"csv", "parquet", "ndjson", "sql"})
"""Parameters whose sources may have further columns."""
_T = TypeVar("_T", bound=msgspec.Struct)
_Raw: TypeAlias = dict[str, Any]


class ApiOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the API is: the ``[api]`` table."""

    base_url: str
    """What the paths of all resources are put behind."""
    headers: dict[str, str] = {}
    """Sent with every call, kept nowhere; secrets as ``${NAME}``."""
    auth: Bearer | ApiKey | Basic | ClientCredentials | Login | None = None
    """Who we are to the API."""

    def __repr__(self) -> str:
        return f"ApiOptions({self.base_url})"  # The rest may be secret.

    def __post_init__(self) -> None:
        if "@" in urlsplit(self.base_url).netloc:
            raise WrongTable(
                "base_url",
                "an address is kept with every answer, so no user and password in it\n"
                'hint: [api.auth] with type = "basic", user and password sends them',
            )
        if not re.match(r"https?://[^/\s]+", self.base_url) or not _port_fits(self.base_url):
            raise ValueError(
                f"base_url = {self.base_url!r}: expected http:// or https:// and a host"
            )
        for name, value in self.headers.items():
            if any(mark in name + value for mark in "\r\n"):
                raise ValueError(f"headers.{name}: a header is one line")


def _port_fits(base_url: str) -> bool:
    try:
        return urlsplit(base_url).port != 0
    except ValueError:
        return False


class ResourceOptions(CallOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of call: a ``[resource.NAME]`` table."""

    answer: AnswerOptions = AnswerOptions()
    """How its answers are judged."""
    limits: PaceOptions | None = None
    """Your own caps for this resource, like ``[limits]`` and beside them; it then has a pace of its
    own. That an API limits a resource by itself is found without them."""


class AppOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the app shows around the answers: the ``[app]`` table."""

    title: str | None = None
    """What the pages are called; the pipeline's name if not given."""
    time_zone: str | None = None
    """The zone of every clock time on the pages; that of the first question if not given."""
    date_format: Literal["day_first", "month_first", "iso"] = "day_first"
    """25 Nov, 16:00; or Nov 25, 4:00 PM; or 2026-11-25."""
    attribution: str | None = None
    """Where the data come from, and their licence; shown on every page."""
    hosts: tuple[str, ...] = ()
    """Host names besides localhost under which the app may be reached."""

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.time_zone or "UTC")
        except (KeyError, ValueError, OSError):
            expected = 'the name of a time zone, such as "Europe/Helsinki"'
            raise ConfigError("time_zone", self.time_zone, expected) from None


_HOOK = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class HookOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Functions of your own: the ``[hooks]`` table. A file that has it runs code.

    Each is ``module:name``: a module in the file's folder, or one that Python can import.
    """

    auth: str | None = None
    """Gets a call that is about to leave, gives the headers that prove who asks."""
    paginator: dict[str, str] = {}
    """Resource -> what gets a page and gives the address of the next, or None at the end."""
    row: dict[str, str] = {}
    """Table -> what gets a row and gives the row to keep, several, or None to leave it out."""

    def __post_init__(self) -> None:
        named = {"auth": self.auth} if self.auth is not None else {}
        named |= {f"paginator.{name}": said for name, said in self.paginator.items()}
        named |= {f"row.{name}": said for name, said in self.row.items()}
        for key, said in named.items():
            if not _HOOK.fullmatch(said):
                raise ConfigError(key, said, "a module and a name in it, such as 'my_api:sign'")


class PipelineFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a pipeline file may say."""

    name: str
    """What the pipeline is called; the file's own name, or its folder's, if nothing is said."""
    api: ApiOptions
    """Where the API is."""
    resource: dict[str, ResourceOptions]
    """The kinds of calls."""
    table: dict[str, TableOptions] = {}
    """How answers become rows."""
    destination: str | list[str] | None = None
    """Where tables go; ``duckdb:///NAME.duckdb`` beside the file if nothing is said."""
    load_every: str | None = None
    """Load what has landed this often while the run still asks: "10 minutes". None: once, at the
    end. For long runs whose tables are wanted early; tables that are made anew by each load
    (``every_call``, ``write = "replace"``) wait for the end."""
    limits: PaceOptions = PaceOptions()
    """Your own caps; the API's limits are found without them."""
    retry: RetryOptions = RetryOptions()
    """How stubborn to be with calls that fail."""
    http: TransportOptions = TransportOptions()
    """How calls are sent."""
    landing: LandingOptions = LandingOptions()
    """How long answers are kept."""
    executor: ExecutorOptions = ExecutorOptions()
    """Where work is done: in this process, in several, or on a cluster."""
    series: dict[str, SeriesOptions] = {}
    """What is forecast."""
    question: dict[str, QuestionOptions] = {}
    """What is asked of a forecast."""
    app: AppOptions = AppOptions()
    """What the app shows around the answers."""
    hooks: HookOptions = HookOptions()
    """Functions of your own."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            expected = "letters, digits, '_', '-' and '.'; files are called after it"
            raise ValueError(f"name = {self.name!r}: expected {expected}")
        if self.destination == []:
            raise ValueError("destination = []: expected at least one address")
        if self.load_every is not None:
            seconds_in("load_every", self.load_every)


class Pipeline(PipelineFile, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole pipeline: what a file says, and where it lies.

    From a file by `read_pipeline`, from a dict of the same shape by `Pipeline.from_dict`, or from
    options, which are checked as those of a file are::

        Pipeline(
            name="trains",
            api=ApiOptions(base_url="https://rata.digitraffic.fi/api/v1"),
            resource={"trains": ResourceOptions(path="trains/{date}", params={...})},
        )

    Raises:
        ConfigError: For the first thing that cannot be used (ValueError for a single option).
    """

    folder: Path = Path()
    """What relative paths are relative to."""
    digest: str = ""
    """Of the file's meaning, secrets left out."""
    header_secrets: tuple[str, ...] = ()
    """What is secret in ``[api] headers``."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_references(self)
        by_name = header_secrets(self.api.headers)
        secrets = tuple(dict.fromkeys((*self.header_secrets, *by_name)))
        msgspec.structs.force_setattr(self, "header_secrets", secrets)

    @classmethod
    def from_dict(
        cls,
        raw: Mapping[str, Any],
        *,
        folder: str | Path = ".",
        environment: Mapping[str, str] | None = None,
    ) -> Pipeline:
        """The pipeline that ``raw`` describes: what a file would say, as a dict.

        Args:
            raw: ``${NAME}`` in its texts is filled in as in a file; a secret may also stand there
                as it is. It is called ``pipeline`` if ``name`` is not given.
            folder: What relative paths are relative to; where answers are kept.
            environment: Used instead of the process's environment (``.env`` is read beside it).

        Raises:
            ConfigError: For the first thing that cannot be used.
        """
        return _filled({"name": "pipeline", **raw}, Path(folder).resolve(), environment)

    def __repr__(self) -> str:
        return f"Pipeline({self.name})"  # The rest may be secret.

    @property
    def destinations(self) -> tuple[str, ...]:
        """The addresses of the databases or files for tables that name none of their own."""
        if self.destination is None:
            return (f"duckdb:///{self.name}.duckdb",)
        return (self.destination,) if isinstance(self.destination, str) else (*self.destination,)

    @property
    def load_every_s(self) -> float | None:
        """Seconds between two loads of a run that still asks; None: no such loads."""
        return None if self.load_every is None else seconds_in("load_every", self.load_every)

    @property
    def landing_folder(self) -> Path:
        """Where the answers are kept."""
        return self.folder / ".fetchcast" / self.name


def read_pipeline(
    path: str | Path,
    *,
    base_url: str | None = None,
    destination: str | None = None,
    executor: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Pipeline:
    """Read the pipeline file at ``path``.

    Args:
        path: A TOML file.
        base_url: Used instead of the file's ``[api] base_url``.
        destination: Used instead of the file's ``destination``.
        executor: Used instead of the file's ``[executor] run``.
        environment: Used instead of the process's environment (``.env`` is read beside it).

    Raises:
        ConfigError: For the first thing in the file that cannot be used.
    """
    path = Path(path)
    raw = _read_toml(path)
    folder = path.resolve().parent
    if base_url is not None and isinstance(raw.get("api", {}), dict):
        raw["api"] = {**raw.get("api", {}), "base_url": base_url}
    if destination is not None:
        raw["destination"] = destination
    if executor is not None and isinstance(raw.get("executor", {}), dict):
        raw["executor"] = {**raw.get("executor", {}), "run": executor}
    check_secrets(raw)
    name = path.stem if path.stem != "pipeline" else folder.name
    return _filled({"name": name, **raw}, folder, environment)


def _filled(raw: _Raw, folder: Path, environment: Mapping[str, str] | None) -> Pipeline:
    """The pipeline that ``raw`` describes, with its variables put in."""
    # Where it is done is no part of what is done.
    meant = {key: value for key, value in raw.items() if key != "executor"}
    digest = blake2b(repr(meant).encode(), digest_size=8).hexdigest()
    known = {**_dotenv(folder), **(os.environ if environment is None else environment)}
    secrets = header_secrets(_headers(raw), known)
    filled = {key: _fill(value, key, known) for key, value in raw.items()}
    return pipeline_from(filled, folder=folder, digest=digest, secrets=secrets)


def pipeline_from(
    raw: _Raw, *, folder: Path, digest: str = "", secrets: tuple[str, ...] = ()
) -> Pipeline:
    """The pipeline that ``raw``, decoded TOML or a dict of the same shape, describes.

    Args:
        raw: What the file says, its variables put in.
        folder: What relative paths are relative to.
        digest: Of the file's meaning.
        secrets: What in ``[api] headers`` is secret, besides what their names say.

    Raises:
        ConfigError: For the first thing that cannot be used.
    """
    raw = _with_secrets(raw, folder)
    read = _convert("", raw, PipelineFile)
    said = {name: getattr(read, name) for name in PipelineFile.__struct_fields__}
    return Pipeline(**said, folder=folder, digest=digest, header_secrets=secrets)


def _headers(raw: _Raw) -> _Raw:
    api = raw.get("api")
    headers = api.get("headers") if isinstance(api, dict) else None
    return headers if isinstance(headers, dict) else {}


def _with_secrets(raw: _Raw, folder: Path) -> _Raw:
    """``raw`` with the secrets that are in files of their own."""
    api = raw.get("api")
    if not isinstance(api, dict) or "auth" not in api:
        return raw
    return {**raw, "api": {**api, "auth": in_files(api["auth"], folder)}}


def _read_toml(path: Path) -> _Raw:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileUnreadable(str(path), "there is no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FileUnreadable(str(path), f"is not a TOML file: {error}") from None


def _dotenv(folder: Path) -> dict[str, str]:
    path = folder / ".env"
    if not path.is_file():
        return {}
    pairs = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            pairs[name.strip()] = value.strip().strip("'\"")
    return pairs


def _fill(value: Any, key: str, known: Mapping[str, str]) -> Any:
    """``value`` with its variables put in, through all tables and lists."""
    if isinstance(value, dict):
        return {k: _fill(v, f"{key}.{k}", known) for k, v in value.items()}
    if isinstance(value, list):
        return [_fill(v, key, known) for v in value]
    if not isinstance(value, str):
        return value

    def lookup(found: re.Match[str]) -> str:
        name, default = found[1], found[2]
        if name in known:
            return known[name]
        if default is None:
            raise SecretMissing(key, name)
        return default

    return _VARIABLE.sub(lookup, value)


def _fields(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}


def _struct_in(hint: Any) -> type[msgspec.Struct] | None:
    """The struct that ``hint`` is, or holds as the values of a dict."""
    for candidate in (hint, *get_args(hint)):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def _convert(prefix: str, raw: Any, kind: type[_T]) -> _T:
    """``raw`` as ``kind``; tables below are converted first, so that errors name their place."""
    if not isinstance(raw, dict):
        raise ConfigError(prefix, raw, "a table")
    hints = _fields(kind)
    built: dict[str, Any] = {}
    for key, value in raw.items():
        where = f"{prefix}.{key}" if prefix else key
        if key not in hints:
            nearest = get_close_matches(key, hints, n=1, cutoff=0.6)
            raise UnknownKey(where, nearest[0] if nearest else None, sorted(hints))
        built[key] = _convert_value(where, value, hints[key])
    try:
        return msgspec.convert(built, kind)
    except msgspec.ValidationError as error:
        raise _config_error(prefix, built, kind, error) from None
    except ConfigError as error:
        raise placed(prefix, error) from None


def placed(prefix: str, error: ConfigError) -> ConfigError:
    """``error`` of a stage, which knows its own key, with the place of its table before the key."""
    key, *rest = error.args
    if not prefix or not isinstance(key, str) or key.startswith(prefix):
        return error
    return type(error)(f"{prefix}.{key}", *rest)


def _tagged(hint: Any) -> dict[str, type[msgspec.Struct]]:
    """The structs of ``hint`` that a word tells apart: the word -> the struct."""
    kinds = {
        kind.__struct_config__.tag: kind
        for kind in get_args(hint)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    }
    return {tag: kind for tag, kind in kinds.items() if isinstance(tag, str)}


def _convert_tagged(where: str, value: Any, kinds: dict[str, type[msgspec.Struct]]) -> Any:
    """``value`` as the struct that its ``type`` names."""
    offered = ", ".join(map(repr, kinds))
    if not isinstance(value, dict):
        raise WrongTable(where, f"expected a table with a type, which is one of {offered}")
    said = value.get("type")
    if said not in kinds:
        nearest = get_close_matches(str(said), kinds, n=1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise ConfigError(f"{where}.type", said, f"one of {offered}{hint}")
    return _convert(where, {k: v for k, v in value.items() if k != "type"}, kinds[said])


def _convert_value(where: str, value: Any, hint: Any) -> Any:
    if (kinds := _tagged(hint)) and not isinstance(value, tuple(kinds.values())):
        return _convert_tagged(where, value, kinds)
    struct = _struct_in(hint)
    if struct is None:
        return value
    if struct is hint:
        return _convert(where, value, struct)
    if isinstance(value, list) and get_origin(hint) in {list, tuple}:
        return [_convert(f"{where}[{at}]", one, struct) for at, one in enumerate(value)]
    if isinstance(value, dict) and str(hint).startswith("dict"):
        return {
            name: _convert(f"{where}.{_named(where, name)}", one, struct)
            for name, one in value.items()
        }
    return value


def _named(where: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(where, name, "a name of letters, digits, '_', '-' and '.'")
    return name


def _config_error(
    prefix: str, built: _Raw, kind: type[msgspec.Struct], error: msgspec.ValidationError
) -> ConfigError:
    """What msgspec found, with its place and value, put the way this project says it.

    A whole table is never shown: it may hold a secret.
    """
    text, _, path = str(error).partition(" - at `$")
    path = path.rstrip("`")
    key = (prefix + path).lstrip(".")
    if key.startswith(_SECRET_PLACES):
        built = {name: built[name] for name in _SHOWN if name in built}
    if missing := re.fullmatch(r"Object missing required field `(.+)`", text):
        return ConfigError(f"{key}.{missing[1]}".lstrip("."), None, "a value; it is required")
    if said := re.fullmatch(r"([\w.]+) = (.*?): expected (.+)", text, re.DOTALL):
        found = built.get(said[1], said[2].strip("'"))
        return ConfigError(f"{key}.{said[1]}".lstrip("."), found, said[3])
    value: Any = built
    for step in path.strip(".").split("."):
        value = value.get(step, value) if isinstance(value, dict) else value
    if text.startswith("Invalid enum value"):
        return _not_offered(key, path, built, kind)
    if isinstance(value, dict | list):
        return WrongTable(key or "the file", text[:1].lower() + text[1:])
    return ConfigError(key or "the file", value, text.removeprefix("Expected "))


def _not_offered(key: str, path: str, built: _Raw, kind: type[msgspec.Struct]) -> ConfigError:
    """A word that is none of those a key may have."""
    name = re.split(r"[.\[]", path.lstrip("."))[0]
    offered = [*_words(_fields(kind).get(name))]
    value = built.get(name)
    if isinstance(value, dict):
        below, value = next((k, v) for k, v in value.items() if v not in offered)
        key = f"{key.split('[', maxsplit=1)[0]}.{below}"
    nearest = get_close_matches(str(value), offered, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return ConfigError(key, value, f"one of {', '.join(map(repr, offered))}{hint}")


def _words(hint: Any) -> Iterator[str]:
    """The texts that ``hint`` allows, in its order."""
    if get_origin(hint) is Literal:
        yield from (word for word in get_args(hint) if isinstance(word, str))
    else:
        for below in get_args(hint):
            yield from _words(below)


def _check_references(pipeline: PipelineFile) -> None:
    """Names that point to other tables of the file must exist."""
    if not pipeline.resource:
        raise ConfigError("resource", None, "at least one [resource.NAME] table")
    _check_parents(pipeline.resource)
    for name, table in pipeline.table.items():
        for source in table.sources:
            _check_known(f"table.{name}.from", source, pipeline.resource)
            if table.every_call:
                _check_every_call(name, source, pipeline.resource[source])
        _check_carried(name, table, pipeline.resource)
        _check_kept(name, table, pipeline.landing)
    for name, series in pipeline.series.items():
        if not series.sql.strip():
            raise ConfigError(f"series.{name}.sql", None, "a query; it is required")
    for name, question in pipeline.question.items():
        _check_known(f"question.{name}.series", question.series, pipeline.series)
    for name in pipeline.hooks.paginator:
        _check_known("hooks.paginator", name, pipeline.resource)
    for name in pipeline.hooks.row:
        _check_known("hooks.row", name, pipeline.table)


def _check_carried(
    name: str, table: TableOptions, resources: Mapping[str, ResourceOptions]
) -> None:
    """A parameter that is carried must be one, unless columns or a parent's rows bring more."""
    known: list[str] = []
    for source in table.sources:
        for param, raw in resources[source].params.items():
            if isinstance(raw, dict) and (parent_of(raw) or not _OPEN.isdisjoint(raw)):
                return
            known += [param, f"{param}_end"]
    for column, path in table.carry.items():
        if path.startswith("param:") and path.removeprefix("param:") not in known:
            have = ", ".join(known[::2]) or "none"
            expected = f"a parameter of {' or '.join(table.sources)}, which has: {have}"
            raise ConfigError(f"table.{name}.carry.{column}", path, expected)


def _check_kept(name: str, table: TableOptions, landing: LandingOptions) -> None:
    """A table that each load makes anew needs every answer, also those of earlier runs."""
    if landing.kept_s is None or not (table.every_call or table.disposition == "replace"):
        return
    what = "every_call" if table.every_call else "write"
    said = "true" if table.every_call else "replace"
    raise ConfigError(
        f"table.{name}.{what}",
        said,
        f'`keep = "raw"` in [landing] beside it, not {landing.keep!r}: each load makes this table '
        "of all answers, and rows whose bodies were dropped would go from it",
    )


def _check_every_call(table: str, source: str, resource: ResourceOptions) -> None:
    """A row for every planned call needs calls that are all in the plan."""
    key = f"table.{table}.every_call"
    if resource.parent is not None:
        raise ConfigError(
            key, "true", f"false: the calls of {source!r} follow from a parent's rows"
        )
    if resource.paginator != SINGLE_PAGE:
        raise ConfigError(key, "true", f"false: the calls of {source!r} have more pages each")


def _check_parents(resources: Mapping[str, ResourceOptions]) -> None:
    """Parents must exist, and none may follow from itself, however far round."""
    parents = {name: options.parent for name, options in resources.items()}
    for name, options in resources.items():
        for param, raw in options.params.items():
            if (parent := parent_of(raw)) is not None:
                _check_known(f"resource.{name}.params.{param}.from", parent, resources)
    for name in resources:
        line = [name]
        while (above := parents[line[-1]]) is not None:
            line.append(above)
            if above in line[:-1]:
                round_ = " <- ".join(line[line.index(above) :])
                expected = f"a parent that does not wait for its own rows: {round_}"
                raise ConfigError(f"resource.{above}.params", parents[above], expected)


def _check_known(key: str, value: str, known: Mapping[str, Any]) -> None:
    if value not in known:
        nearest = get_close_matches(value, known, n=1)
        names = ", ".join(known) or "none is defined"
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise ConfigError(key, value, f"one of: {names}{hint}")


def schema() -> dict[str, Any]:
    """The JSON Schema of a pipeline file, for editors."""
    made = msgspec.json.schema(PipelineFile)
    add_secret_files(made["$defs"])
    return made
