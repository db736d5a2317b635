"""``rm-geo doctor``: what is installed, what works, and what to do about the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rm_geo.cli.options import console_options

if TYPE_CHECKING:
    from rm_geo._util.console import Console


@click.command()
@console_options
def doctor(console: Console) -> None:
    """Check packages, folders, devices, formats and models, and list what to do.

    The exit status is 1 if something that rm_geo needs is missing or broken.
    """
    from rm_geo.workflows.doctor import describe_environment, require_working

    found = describe_environment()
    console.result(found.as_dict(), "\n".join(found.lines()))
    require_working(found)
