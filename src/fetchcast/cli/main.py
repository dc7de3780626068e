"""The command line's frame: its commands, and what an error looks like."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib import import_module
from keyword import iskeyword
from typing import Any

import click

from fetchcast.errors import FetchcastError
from fetchcast.events import RunEnd

_COMMANDS = {
    "init": "Write a pipeline file from one example URL.",
    "import": "Write a pipeline file from OpenAPI, a curl command, or a dlt dict.",
    "plan": "Show what a run would ask, and ask nothing.",
    "run": "Ask, keep, shape, load and forecast.",
    "status": "Show what has landed and how the last run went.",
    "forecast": "Forecast again from the tables that are there.",
    "serve": "Open the app on the answers.",
    "demo": "Run both examples against the sandbox and open the app.",
    "sandbox": "Serve the two reference APIs on loopback.",
    "replay": "Shape and load again from landed answers, without a call.",
    "retry-failed": "Ask again for just the calls that failed.",
    "seal": "Move landed bodies into Parquet files.",
    "purge": "Forget landed answers, by key or by age.",
    "schema": "Print the JSON Schema of a pipeline file, for editors.",
}
"""Command -> its line in the list. A command's module is imported when it is asked for: ``--help``
of the whole answers at once."""


class _Commands(click.Group):
    """Imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            nearest = get_close_matches(cmd_name, _COMMANDS, n=1)
            hint = f"Did you mean '{nearest[0]}'?" if nearest else "See 'fetchcast --help'."
            ctx.fail(f"No such command '{cmd_name}'. {hint}")
        name = cmd_name.replace("-", "_") + "_" * iskeyword(cmd_name)
        command: click.Command = getattr(import_module(f"fetchcast.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fetchcast")
def cli() -> None:
    """Turn an API's calls into a table, a forecast, and a page that answers a question.

    \b
    Exit status: 0 every call is accounted for; 1 a bug; 2 wrong command or file;
    3 done, but calls failed or input rows were rejected; 4 stopped by a quota or a
    cap of yours, run again to go on; 5 landing or destination not usable; 130 Ctrl-C.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; ends the process with its exit status."""
    sys.exit(_status(arguments))


def _status(arguments: list[str] | None) -> int:
    try:
        result: Any = cli.main(args=arguments, prog_name="fetchcast", standalone_mode=False)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return RunEnd.WRONG_INPUT
    except FetchcastError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_status
    except (KeyboardInterrupt, click.exceptions.Abort):
        click.echo("stopped by Ctrl-C; what had landed is safe: run again to go on", err=True)
        return RunEnd.INTERRUPTED
    return int(result) if isinstance(result, int) else RunEnd.COMPLETE
