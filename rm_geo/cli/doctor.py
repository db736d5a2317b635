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
    """Check the environment: versions, device, models, drivers; tell how to mend it."""
    from rm_geo.workflows.doctor import describe_environment, require_packages

    found = describe_environment()
    console.result({**found.sections, "hints": list(found.hints)}, "\n".join(found.lines()))
    require_packages(found)
