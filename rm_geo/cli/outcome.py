"""Error messages and exit codes of commands."""

from __future__ import annotations

import os
import traceback
from typing import IO, Any

import click

from rm_geo._util.console import json_line, shown
from rm_geo._util.error_report import Explanation, explain
from rm_geo.cli.option_names import option_names, with_option_names


class Stopped(BaseException):
    """Termination signal; a BaseException, so that ``except Exception`` does not catch it."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class Failure(click.ClickException):
    """Error that click shows: message, hint and exit code."""

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
        self.exit_code = exit_code  # type: ignore[misc]  # settable in click
        self.hint, self.kind = hint, kind
        self.as_json, self.details = as_json, details

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the message to standard error, or as a JSON line to standard output."""
        if self.details:
            click.echo(shown(self.details), file=file, err=True)
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
        click.echo(shown(f"Error: {self.message}"), file=file, err=True)
        if self.hint:
            click.echo(shown(self.hint), file=file, err=True)


def wants_debug(ctx: click.Context) -> bool:
    """Return whether tracebacks are shown (``--debug`` or ``RM_GEO_DEBUG=1``).

    Parameters
    ----------
    ctx : click.Context
        Context of the command.

    Returns
    -------
    bool
        True if tracebacks are shown.
    """
    chosen = os.environ.get("RM_GEO_DEBUG", "") not in {"", "0"}
    return chosen or bool(ctx.find_root().meta.get("rm_geo.debug"))


def failure_of(error: BaseException, ctx: click.Context) -> BaseException:
    """Convert an exception of a command to one that click shows.

    Parameters
    ----------
    error : BaseException
        Exception of the command.
    ctx : click.Context
        Context of the command, with the error format.

    Returns
    -------
    BaseException
        A :class:`Failure`, or ``error`` itself if click handles it.
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
    explanation = explain(error, details="Run again with --debug")
    message, hint = _with_option_names(explanation)
    return Failure(
        message,
        hint=hint,
        exit_code=explanation.exit_code,
        kind=explanation.kind,
        as_json=as_json,
        details="" if explanation.exit_code == 130 else details,
    )


def _with_option_names(explanation: Explanation) -> tuple[str, str | None]:
    """Return message and hint with command-line options; add the invalid one if not named."""
    message = with_option_names(explanation.message)
    hint = None if explanation.hint is None else with_option_names(explanation.hint)
    if explanation.parameter is not None:
        option = option_names().get(explanation.parameter)
        if option is not None and option not in f"{message} {hint}":
            message = f"{message.rstrip('.')} ({option})."
    return message, hint
