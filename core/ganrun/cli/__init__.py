"""The command line: one file a command, and a command's file is imported only when the command is called.

A command's module has a function ``command`` with typer's annotations; it imports what is slow inside that function.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from ganrun.cli.ends import plugins_named
from ganrun.cli.output import stdout_for_json
from ganrun.errors import UserError

# Name of the command -> module that holds its function `command`, in the order of the help page.
COMMANDS = {
    "recipe": "ganrun.cli.recipe",
    "list-plugins": "ganrun.cli.list_plugins",
    "show": "ganrun.cli.show",
    "list-recipes": "ganrun.cli.list_recipes",
    "inspect": "ganrun.cli.inspect",
    "schema": "ganrun.cli.schema",
    "combinations": "ganrun.cli.combinations",
    "sample": "ganrun.cli.sample",
    "evaluate": "ganrun.cli.evaluate",
    "reference": "ganrun.cli.reference",
    "translate": "ganrun.cli.translate",
    "project": "ganrun.cli.project",
    "report": "ganrun.cli.report",
    "export": "ganrun.cli.export",
    "push": "ganrun.cli.push",
    "pull": "ganrun.cli.pull",
    "pack": "ganrun.cli.pack",
    "diff": "ganrun.cli.diff",
    "reproduce": "ganrun.cli.reproduce",
    "import-weights": "ganrun.cli.import_weights",
    "new": "ganrun.cli.new",
}


def _leave_absent_values(parameters: list[Any]) -> list[Any]:
    """Keep typer from converting what was not given: it imports pydantic for that, slower than a listing."""
    for parameter in parameters:
        if "process_value" not in vars(parameter):
            parameter.process_value = partial(_process_value, parameter, parameter.process_value)
    return parameters


def _process_value(parameter: Any, convert: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    if value or value is False or parameter.required:
        return convert(context, value)
    value = () if parameter.multiple else value
    return value if parameter.callback is None else parameter.callback(context, parameter, value)


class LazyCommand(TyperCommand):
    """A command that converts only the options that were given."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, the help option included."""
        return _leave_absent_values(super().get_params(ctx))

    def invoke(self, ctx: Any) -> Any:
        """Run the command: errors name the plugin they come from, and with ``--json`` stdout holds nothing but JSON."""
        debug = ctx.params.pop("debug")
        with plugins_named(debug=debug), stdout_for_json() if ctx.params.get("as_json") else nullcontext():
            return super().invoke(ctx)


class LazyGroup(TyperGroup):
    """Imports a command when it is called, so that a fast command does not wait for the imports of a slow one."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, the help option included."""
        return _leave_absent_values(super().get_params(ctx))

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, None if there is none."""
        if cmd_name not in COMMANDS:
            self.commands = cast(Any, dict.fromkeys(COMMANDS))  # names for "did you mean"
            return None
        module = importlib.import_module(COMMANDS[cmd_name])
        single = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        single.command(cmd_name, cls=LazyCommand)(module.command)
        command = typer.main.get_command(single)
        command.params.append(_debug_option())
        return command


def _debug_option() -> Any:
    """The option that every command has."""
    single = typer.Typer(add_completion=False)

    @single.command()
    def _command(
        debug: Annotated[
            bool, typer.Option("--debug", envvar="GANRUN_DEBUG", help="Print the whole traceback of an error.")
        ] = False,
    ) -> None: ...

    return typer.main.get_command(single).params[0]


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"ganrun {version('ganrun')}")
        raise typer.Exit


@app.callback()
def _ganrun(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train GANs from short recipes in which every part is a plugin."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Exits with 2 and a plain message for an error that the user can mend."""
    # whose line warned is of no use to a user
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    try:
        try:
            app(args=arguments, prog_name="ganrun")
        except UserError as error:
            sys.stdout.flush()
            print(error, file=sys.stderr)
            sys.exit(error.exit_code)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe. Python would print a second error when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
