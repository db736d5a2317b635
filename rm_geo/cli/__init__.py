"""The command line: one thin file per command."""

from __future__ import annotations

from rm_geo._util.memory import tune_gc
from rm_geo._util.threads import quiet_threads


def main() -> None:
    """Run ``rm-geo`` with the arguments of the process."""
    tune_gc()
    quiet_threads()
    from rm_geo.cli.group import rm_geo

    rm_geo(prog_name="rm-geo")
