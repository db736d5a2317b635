"""Jobs of planning: plan, comparison, export and report.

They are called as described in :mod:`rm_geo.worker.jobs`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

from rm_geo._util.json_text import parse_json
from rm_geo.errors import DependencyError, UsageError
from rm_geo.progress import Progress
from rm_geo.worker.layers import describe_features, describe_raster
from rm_geo.worker.requests import Values, options_of, require

_INPUTS: Final = frozenset({"population", "roads", "polygons", "measurements"})
_REPORT: Final = "report.html"


def plan(values: Values, folder: Path, progress: Progress) -> dict[str, Any]:
    """Derive planning products, as ``rm-geo plan`` does.

    Takes ``maps`` (list of folders and files), and optionally ``only`` (names of products),
    ``settings_file`` (YAML), ``settings`` (``preset``, and groups of settings, which take
    precedence over the file), ``sites``, ``sites_crs``, ``inputs`` (files by name) and
    ``report``. An earlier plan in ``output`` is completed or replaced as by the command.
    """
    from rm_geo.io.features import require_not_open
    from rm_geo.planning.product import PlanInputs
    from rm_geo.planning.registry import chosen_products
    from rm_geo.workflows.plan import INDEX_NAME, make_plan, write_plan_report

    maps = _paths(values, "maps")
    only = [str(name) for name in values.get("only") or ()]
    output = Path(require(values, "output", str))
    for product in chosen_products(only):
        for name in product.files:
            require_not_open(output / name)
    earlier = _take_index(output / INDEX_NAME, folder)
    inputs = options_of(values, set(_INPUTS), "inputs")
    result = make_plan(
        maps,
        folder,
        _settings(values),
        only=only,
        sites=values.get("sites"),
        sites_crs=values.get("sites_crs"),
        inputs=PlanInputs(**{name: Path(path) for name, path in inputs.items()}),
        progress=progress,
    )
    index = result.index
    if values.get("report"):
        from rm_geo.report.page import report_title

        try:
            write_plan_report(folder, maps, title=report_title(output), progress=progress)
        except DependencyError as error:
            progress.log(f"Warning: there is no report: {error}")
        index = parse_json((folder / INDEX_NAME).read_text("utf-8"))
    made = {path.name for path in folder.iterdir()}
    layers = [name for name in _listed(index["products"]) if name in made]
    kept = set(_listed(index["products"], "files", "sidecars"))
    return {
        "rasters": [_raster(folder / name) for name in layers if name.endswith(".tif")],
        "vectors": [_features(folder / name) for name in layers if name.endswith(".gpkg")],
        "products": {
            name: entry["statistics"]
            for name, entry in index["products"].items()
            if made.intersection(entry["files"])
        },
        "not_made": dict(index["not_made"]),
        "warnings": list(index["warnings"]),
        "report": _REPORT if _REPORT in made else None,
        "obsolete": [
            name
            for name in _listed(earlier.get("products", {}), "files", "sidecars")
            if not only and name not in kept
        ],
    }


def compare(values: Values, folder: Path, progress: Progress) -> dict[str, Any]:
    """Compare two maps or folders, as ``rm-geo compare`` does.

    Takes ``first`` and ``second`` (paths), ``composite`` and ``options`` of
    :class:`~rm_geo.planning.comparison.ComparisonOptions`.
    """
    from rm_geo.io.features import require_not_open
    from rm_geo.planning.comparison import ComparisonOptions
    from rm_geo.workflows.compare import INDEX_NAME, POLYGONS_NAME
    from rm_geo.workflows.compare import compare as compare_maps

    known = {"within_db", "confidence", "threshold_dbm", "std_db", "min_area_m2"}
    output = Path(require(values, "output", str))
    require_not_open(output / POLYGONS_NAME)
    earlier = _take_index(output / INDEX_NAME, folder)
    found = compare_maps(
        require(values, "first", str),
        require(values, "second", str),
        folder,
        ComparisonOptions(**options_of(values, known)),
        composite=bool(values.get("composite")),
        progress=progress,
    )
    rasters = [name for name in found.files if name.endswith(".tif")]
    return {
        "rasters": [_raster(folder / name) for name in rasters],
        "vectors": [_features(folder / name) for name in found.files if name.endswith(".gpkg")],
        "cells": dict(found.cells),
        "all": dict(found.pooled),
        "not_made": dict(found.not_made),
        "obsolete": [name for name in earlier.get("files", ()) if name not in found.files],
    }


def export_map(values: Values, folder: Path, progress: Progress) -> dict[str, Any]:
    """Write maps and layers in the format of another tool, as ``rm-geo export-map`` does.

    Takes ``maps`` (list of files), ``to`` (format), and optionally ``layer``, ``integer``,
    ``sites``, ``sites_crs`` and ``features`` (list of vector files).
    """
    from rm_geo.io.raster_reader import open_raster
    from rm_geo.planning.export import ExportFormat
    from rm_geo.planning.export import export_map as export_one
    from rm_geo.planning.export_raster import INDEX_NAME
    from rm_geo.sites.table import read_sites

    maps, to = _paths(values, "maps"), require(values, "to", str)
    index = Path(require(values, "output", str)) / INDEX_NAME
    if to == "bil" and index.is_file():
        shutil.copyfile(index, folder / INDEX_NAME)  # lists the other maps of the folder
    sites, crs = values.get("sites"), values.get("sites_crs")
    progress.start(len(maps), "files", "Exporting")
    made = []
    for path in maps:
        progress.check()
        shown: Sequence[Any] = ()
        if sites is not None and to == "kmz":
            map_crs = open_raster(path, classes=True).grid.crs
            shown = read_sites(sites, target_crs=map_crs, crs=crs, usual_crs=map_crs)
        files = export_one(
            path,
            folder,
            cast("ExportFormat", to),
            layer=values.get("layer"),
            integer=bool(values.get("integer")),
            sites=shown,
            features=values.get("features") or None,
        )
        made.append(files[0].name)
        progress.advance()
    progress.finish()
    return {"made": made}


def report(values: Values, folder: Path, progress: Progress) -> dict[str, Any]:
    """Write results as one HTML file, as ``rm-geo report`` does.

    Takes ``folders`` (list), ``name`` of the file, and optionally ``title`` and ``max_mb``.
    """
    from rm_geo.report.page import write_report

    name = require(values, "name", str)
    options = options_of(values, {"title", "max_mb"})
    path = write_report(_paths(values, "folders"), folder / name, progress=progress, **options)
    return {"bytes": path.stat().st_size}


def _settings(values: Values) -> Any:  # noqa: ANN401 - PlanSettings, imported late
    """Combine the settings of a file with those of the request."""
    from rm_geo.planning.settings import PlanSettings, read_plan_settings

    given = values.get("settings") or {}
    file = values.get("settings_file")
    if not isinstance(given, Mapping):
        raise UsageError("'settings' of the request is not an object.")
    base = PlanSettings() if file is None else read_plan_settings(Path(file))
    return base.replace(**given) if given else base


def _paths(values: Values, key: str) -> list[Path]:
    """Return a list of paths of the request; at least one."""
    paths = [Path(str(path)) for path in require(values, key, list)]
    if not paths:
        raise UsageError(f"The request has no {key!r}.")
    return paths


def _take_index(path: Path, folder: Path) -> Mapping[str, Any]:
    """Copy the index of an earlier run to the folder of the job, and read it; empty without one."""
    try:
        text = path.read_text("utf-8")
        index = parse_json(text)
    except (OSError, ValueError):
        return {}
    if not isinstance(index, dict):
        return {}
    (folder / path.name).write_text(text, "utf-8")
    return index


def _listed(products: Mapping[str, Mapping[str, Sequence[str]]], *keys: str) -> Iterator[str]:
    """List the files of products."""
    for entry in products.values():
        for key in keys or ("files",):
            yield from entry.get(key, ())


def _raster(path: Path) -> dict[str, Any]:
    """Describe a raster of a plan or comparison; of several cells its name begins with the cell."""
    for kind in ("difference", "change"):
        if path.stem.endswith(f"_{kind}"):
            return describe_raster(path, kind, path.stem.removesuffix(f"_{kind}"))
    return describe_raster(path, path.stem)


def _features(path: Path) -> dict[str, Any]:
    """Describe a vector file of a plan or comparison."""
    return describe_features(path, path.stem)
