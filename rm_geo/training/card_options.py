"""Options of commands that write tables and pictures into model cards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

_FILE: Final = click.Path(path_type=Path, exists=True, dir_okay=False)


def card_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options ``--scores`` and ``--picture`` to a command.

    Parameters
    ----------
    command : callable
        Takes ``scores`` and ``pictures``, tuples of a title and a path each.

    Returns
    -------
    callable
        The command with these options.
    """
    command = click.option(
        "--picture",
        "pictures",
        type=(str, _FILE),
        multiple=True,
        help="Title and PNG file of a picture, such as a typical and a bad result; repeatable.",
    )(command)
    return click.option(
        "--scores",
        type=(str, _FILE),
        multiple=True,
        help="Title and Markdown file of a table of scores; repeatable.",
    )(command)
