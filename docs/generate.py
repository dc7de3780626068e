"""Writes the reference pages that follow from the code: ``make docs``.

A test checks that they are what the code says, so they cannot lag behind.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import msgspec

from fetchcast import errors
from fetchcast.cli.main import cli
from fetchcast.config import PipelineFile
from fetchcast.events import RunEnd
from fetchcast.extract.auth.options import ApiKey, Basic, Bearer, ClientCredentials, Login
from fetchcast.plan.pagination.options import PAGINATORS
from fetchcast.plan.params import Csv, Dates, Ndjson, Numbers, Parent, Parquet, Since, Sql, Values
from fetchcast.transform import ColumnOptions

AUTHS = (Bearer, ApiKey, Basic, ClientCredentials, Login)
REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- written by docs/generate.py from the code; edit the docstrings there -->\n\n"


def field_texts(kind: type) -> dict[str, str]:
    """The docstring under each attribute of ``kind`` and of what it inherits from."""
    found: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        if owner.__module__.startswith("fetchcast"):
            found |= dict(_texts(owner))
    return found


def _texts(owner: type) -> Iterator[tuple[str, str]]:
    (node,) = ast.parse(inspect.getsource(owner).strip()).body
    assert isinstance(node, ast.ClassDef)
    for one, two in zip(node.body, node.body[1:], strict=False):
        named = isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
        said = isinstance(two, ast.Expr) and isinstance(two.value, ast.Constant)
        if named and said:
            assert isinstance(one, ast.AnnAssign)
            assert isinstance(one.target, ast.Name)
            assert isinstance(two, ast.Expr)
            assert isinstance(two.value, ast.Constant)
            yield one.target.id, inspect.cleandoc(str(two.value.value)).replace("\n", " ")


def type_text(hint: Any) -> str:
    """A type as a person writes it."""
    if is_choice(hint):
        return "a table with `type`"
    text = getattr(hint, "__name__", None) if isinstance(hint, type) else None
    if text is None or "[" in str(hint):
        text = str(hint)
    for old, new in (
        ("typing.Literal", ""), ("typing.", ""), ("fetchcast.", ""), ("NoneType", "None"),
        (" | None", ""),
    ):  # fmt: skip
        text = text.replace(old, new)
    return text.replace("|", "\\|")


def is_choice(hint: Any) -> bool:
    """Whether ``hint`` is one of several options, told apart by their ``type``."""
    kinds = [one for one in getattr(hint, "__args__", ()) if hasattr(one, "__struct_config__")]
    return len(kinds) > 1 and all(kind.__struct_config__.tag for kind in kinds)


def struct_of(hint: Any) -> type[msgspec.Struct] | None:
    """The options that ``hint`` is, or holds; None where a ``type`` says which of several."""
    if is_choice(hint):
        return None
    for candidate in (hint, *getattr(hint, "__args__", ())):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def table_of(kind: type[msgspec.Struct]) -> list[str]:
    """The fields of ``kind`` as the lines of a Markdown table."""
    texts = field_texts(kind)
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for field in msgspec.structs.fields(kind):
        if struct_of(field.type) is not None and struct_of(field.type) is field.type:
            default = "a table"
        elif field.required:
            default = "required"
        else:
            value = field.default
            if value is msgspec.NODEFAULT:
                value = field.default_factory() if callable(field.default_factory) else None
            default = "" if value is None else f"`{_toml(value)}`"
        text = texts.get(field.name, "").replace("|", "\\|").replace("``", "`")
        lines.append(f"| `{field.encode_name}` | {type_text(field.type)} | {default} | {text} |")
    return lines


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return str(value)


def pipeline_page() -> str:
    """Every key of a pipeline file."""
    lines = ["# The pipeline file", "", (PipelineFile.__doc__ or ""), ""]
    config = import_module("fetchcast.config")
    lines += [(config.__doc__ or "").split("\n\n", 1)[1].strip().replace("``", "`"), ""]
    lines += ["## Top level", "", *table_of(PipelineFile), ""]
    done: set[type] = {PipelineFile}
    waiting: list[tuple[str, type[msgspec.Struct]]] = [
        (_heading(field.encode_name, field.type), found)
        for field in msgspec.structs.fields(PipelineFile)
        if (found := struct_of(field.type))
    ]
    extra = {
        "api": [(f'Auth, type "{kind.__struct_config__.tag}"', kind) for kind in AUTHS],
        "resource": [
            ("A parameter: values", Values),
            ("A parameter: numbers", Numbers),
            ("A parameter: a watermark", Since),
            ("A parameter: days and windows of time", Dates),
            ("A parameter: a CSV column", Csv),
            ("A parameter: a Parquet column", Parquet),
            ("A parameter: an NDJSON key", Ndjson),
            ("A parameter: a column of a query", Sql),
            ("A parameter: a field of a parent", Parent),
            *(
                (f'A paginator: `type = "{kind.__struct_config__.tag}"`', kind)
                for kind in PAGINATORS
            ),
        ],
        "table": [("A column, in full", ColumnOptions)],
    }
    while waiting:
        heading, kind = waiting.pop(0)
        if kind in done:
            continue
        done.add(kind)
        doc = inspect.cleandoc(kind.__doc__ or "").replace("``", "`")
        lines += [f"## {heading}", "", doc, "", *table_of(kind), ""]
        inner = [
            (f"{heading.split('`')[1].strip('[]')}.{field.encode_name}", found)
            for field in msgspec.structs.fields(kind)
            if "`" in heading and (found := struct_of(field.type))
            # What is a table at the top level as well is told there.
            if not any(found is other for _, other in waiting)
        ]
        for name, found in reversed(inner):
            waiting.insert(0, (f"`[{name}]`", found))
        for section, kinds in extra.items():
            if heading.startswith(f"`[{section}"):
                waiting = kinds + waiting
    return NOTE + "\n".join(lines)


def _heading(name: str, hint: Any) -> str:
    return f"`[{name}.NAME]`" if str(hint).startswith("dict") else f"`[{name}]`"


def commands_page() -> str:
    """The help text of every command."""
    lines = ["# Commands", "", "```text", _help(cli, "fetchcast"), "```", ""]
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        lines += _command(command, f"fetchcast {name}")
        if isinstance(command, click.Group):
            for below in command.list_commands(context):
                lines += _command(command.commands[below], f"fetchcast {name} {below}")
    return NOTE + "\n".join(lines)


def _command(command: click.Command, name: str) -> list[str]:
    return [f"## {name}", "", "```text", _help(command, name), "```", ""]


def _help(command: click.Command, name: str) -> str:
    helps = cli.context_settings["help_option_names"]
    with click.Context(
        command,
        info_name=name,
        max_content_width=88,
        terminal_width=88,
        help_option_names=helps,
    ) as context:
        return command.get_help(context)


def errors_page() -> str:
    """Errors and exit statuses."""
    doc = inspect.cleandoc(errors.__doc__ or "")
    first, rest = doc.split("\n\n", 1)
    tree, after = rest.split("\n\n", 1)
    after = after.replace("``", "`")
    lines = ["# Errors and exit statuses", "", first, "", "```text", tree, "```", "", after, ""]
    lines += ["## Ends of a run", "", "| exit status | end | meaning |", "|--:|---|---|"]
    texts = dict(_enum_texts())
    lines += [f"| {int(end)} | {end.name.lower()} | {texts.get(end.name, '')} |" for end in RunEnd]
    return NOTE + "\n".join(lines) + "\n"


def _enum_texts() -> Iterator[tuple[str, str]]:
    (node,) = ast.parse(inspect.getsource(RunEnd)).body
    assert isinstance(node, ast.ClassDef)
    for one, two in zip(node.body, node.body[1:], strict=False):
        if isinstance(one, ast.Assign) and isinstance(two, ast.Expr):
            assert isinstance(one.targets[0], ast.Name)
            assert isinstance(two.value, ast.Constant)
            yield one.targets[0].id, str(two.value.value).replace("\n", " ")


PAGES = {
    "pipeline-file.md": pipeline_page,
    "commands.md": commands_page,
    "errors.md": errors_page,
}


def main() -> None:
    """Write all pages."""
    REFERENCE.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")
        sys.stdout.write(f"wrote docs/reference/{name}\n")


if __name__ == "__main__":
    main()
