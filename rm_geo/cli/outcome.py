"""Error messages and exit codes of commands."""

from __future__ import annotations

import os
import traceback
from typing import IO, Any

import click

from rm_geo._util.console import json_line
from rm_geo._util.error_report import Explanation, explain
from rm_geo.cli.option_names import in_words_of_options, option_names


class Stopped(BaseException):
    """A termination signal; not an Exception, so that nothing swallows it."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class Failure(click.ClickException):
    """An error as click shows it: a message, a hint and an exit code."""

    def __init__(
        self,
        message: str,
        *,
        hint: str | None,
        exit_code: int,
        kind: str,
        as_json: bool,
        details: str = "",
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click means it to be set
        self.hint, self.kind = hint, kind
        self.as_json, self.details = as_json, details

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the message to standard error, or as a JSON line to standard output."""
        if self.details:
            click.echo(self.details, file=file, err=True)
        if self.as_json:
            event = {
                "event": "error",
                "message": self.message,
                "hint": self.hint,
                "exit_code": self.exit_code,
                "type": self.kind,
            }
            click.echo(json_line(event))
            return
        click.echo(f"Error: {self.message}", file=file, err=True)
        if self.hint:
            click.echo(self.hint, file=file, err=True)


def wants_debug(ctx: click.Context) -> bool:
    """Tell whether tracebacks are shown: ``--debug`` or ``RM_GEO_DEBUG=1``.

    Parameters
    ----------
    ctx : click.Context
        Context of the command.

    Returns
    -------
    bool
        Whether they are.
    """
    chosen = os.environ.get("RM_GEO_DEBUG", "") not in {"", "0"}
    return chosen or bool(ctx.find_root().meta.get("rm_geo.debug"))


def failure_of(error: BaseException, ctx: click.Context) -> BaseException:
    """Turn what a command raised into what click shows.

    Parameters
    ----------
    error : BaseException
        What was raised.
    ctx : click.Context
        Context of the command, which says how errors are shown.

    Returns
    -------
    BaseException
        A :class:`Failure`, or the error itself where it is one of click's own.
    """
    as_json = bool(ctx.meta.get("rm_geo.json"))
    details = ""
    if wants_debug(ctx) and not isinstance(error, click.exceptions.Exit):
        details = "".join(traceback.format_exception(error)).rstrip()
    if isinstance(error, click.ClickException) and as_json:
        return Failure(
            error.format_message(),
            hint=None,
            exit_code=error.exit_code,
            kind="UsageError",
            as_json=True,
            details=details,
        )
    if isinstance(error, Stopped):
        return Failure(
            "Terminated; no incomplete files are left.",
            hint=None,
            exit_code=error.exit_code,
            kind="CancelledError",
            as_json=as_json,
        )
    if isinstance(error, click.Abort):
        error = KeyboardInterrupt()
    if isinstance(error, (click.ClickException, click.exceptions.Exit, BrokenPipeError)):
        return error
    told = explain(error, details="Run again with --debug")
    message, hint = _in_words_of_options(told)
    return Failure(
        message,
        hint=hint,
        exit_code=told.exit_code,
        kind=told.kind,
        as_json=as_json,
        details="" if told.exit_code == 130 else details,
    )


def _in_words_of_options(told: Explanation) -> tuple[str, str | None]:
    """Write message and hint with the options of the command line; name the one at fault."""
    message = in_words_of_options(told.message)
    hint = None if told.hint is None else in_words_of_options(told.hint)
    if told.parameter is not None:
        option = option_names().get(told.parameter)
        if option is not None and option not in f"{message} {hint}":
            message = f"{message.rstrip('.')} ({option})."
    return message, hint
