"""How commands show help and errors."""

from __future__ import annotations

import traceback
from typing import Any

import click

from otzyv.flows.server import prefect_server
from otzyv.schemas.errors import OtzyvError, SettingsError


class Command(click.Command):
    """Shows its example as it was written."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.epilog:
            formatter.write("\nExample:\n")
            formatter.write("".join(f"  {line}\n" for line in self.epilog.splitlines()))


class Group(Command, click.Group):
    command_class = Command
    group_class = type

    def invoke(self, ctx: click.Context) -> Any:
        """Turn an error into one line on standard error and exit status 1 (2 for settings); --debug says more."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if isinstance(error, BrokenPipeError) and _raised_in(error).startswith(("click", "rich")):
                raise  # nobody reads on, as after `head`: click ends quietly
            if ctx.find_root().params.get("debug"):
                traceback.print_exc()
            error = prefect_server.named(error)
            failure = click.UsageError if isinstance(error, SettingsError) else click.ClickException
            raise failure(_told(error)) from error


MOST_SAID = 300


def _told(error: Exception) -> str:
    if isinstance(error, OtzyvError):
        return str(error)
    if type(error).__module__ == "builtins" and isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    said = str(error)
    if type(error).__module__ == "_internal":  # deltalake's go on with their own stack
        said = said.partition("\n")[0][:MOST_SAID]
    return f"{type(error).__name__}: {said}"


def _raised_in(error: Exception) -> str:
    """The module whose code raised it."""
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return modules[-1] if modules else ""
