"""The command line: one thin file per command."""

from __future__ import annotations

from rm_geo._util.garbage import calm_collector


def main() -> None:
    """Run ``rm-geo`` with the arguments of the process."""
    calm_collector()
    from rm_geo.cli.group import rm_geo

    rm_geo(prog_name="rm-geo")
