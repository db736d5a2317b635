"""``rm-geo info``: methods and models, or where a raster comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rm_geo._version import __version__
from rm_geo.cli.options import console_options

if TYPE_CHECKING:
    from rm_geo._util.console import Console


@click.command()
@click.argument("raster", type=click.Path(path_type=Path), required=False)
@console_options
def info(raster: Path | None, console: Console) -> None:
    """Show version and methods; or, of a RASTER, its grid and where it comes from."""
    if raster is not None:
        _describe(raster, console)
        return
    from rm_geo.estimators.registry import list_methods

    methods = list_methods()
    lines = [f"rm_geo {__version__}", "", "Methods:"]
    for method in methods:
        needs = f" (needs: {', '.join(method.needs)})" if method.needs else ""
        lines.append(f"  {method.name:<20} {method.summary}{needs}")
    values = [
        {
            "name": method.name,
            "summary": method.summary,
            "needs": list(method.needs),
            "maps_buildings": method.maps_buildings,
            "accepts_buildings": method.accepts_buildings,
        }
        for method in methods
    ]
    console.result({"version": __version__, "methods": values}, "\n".join(lines))


def _describe(path: Path, console: Console) -> None:
    """Describe a raster that rm_geo can read."""
    import numpy as np

    from rm_geo.io.cog import read_raster

    values, grid, tags = read_raster(path, band=1)
    known = values[np.isfinite(values)]
    rows, cols = grid.shape
    facts = {
        "file": str(path),
        "rows": rows,
        "cols": cols,
        "spacing_m": grid.spacing_m,
        "crs": grid.crs.to_string(),
        "bounds": list(grid.bounds),
        "valid_share": known.size / values.size,
        "minimum": float(known.min()) if known.size else None,
        "mean": float(known.mean(dtype=np.float64)) if known.size else None,
        "maximum": float(known.max()) if known.size else None,
    }
    lines = [f"{key:<28} {value}" for key, value in {**facts, **tags}.items()]
    console.result({**facts, "tags": tags}, "\n".join(lines))
