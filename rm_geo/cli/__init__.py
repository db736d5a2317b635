"""The command line: one thin file per command."""

from __future__ import annotations

import atexit
import gc


def main() -> None:
    """Run ``rm-geo`` with the arguments of the process."""
    # PyTorch and its like are hundreds of thousands of objects, which the collector goes through
    # once more as the interpreter ends: a second of a small job. Registered first, this comes
    # after all other clean-up.
    atexit.register(gc.freeze)
    from rm_geo.cli.group import rm_geo

    rm_geo(prog_name="rm-geo")
