"""The command line: one thin file per command."""

from __future__ import annotations


def main() -> None:
    """Run ``rm-geo`` with the arguments of the process."""
    from rm_geo.cli.group import rm_geo

    rm_geo(prog_name="rm-geo")
