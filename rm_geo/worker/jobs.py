"""Jobs of the worker: each takes a JSON request, writes files and returns a JSON result.

A job calls the same library function as the command of the same name and writes the same bytes.
All jobs are functions of three parameters:

values : mapping
    The request.
folder : Path
    Folder to write into; the service moves the files to the output folder.
progress : JobProgress
    Receives the progress and finished cells, and raises on cancellation.

A job returns the values of the result event. It raises :class:`~rm_geo.errors.UsageError` if the
request is incomplete or has a value of the wrong type, and the errors of the library.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rm_geo.errors import UsageError
from rm_geo.progress import Progress
from rm_geo.worker import planning
from rm_geo.worker.layers import describe_features, raster_tags
from rm_geo.worker.requests import Job, JobProgress, Values, options_of, require
from rm_geo.worker.sites_layer import write_sites_layer

if TYPE_CHECKING:
    from rm_geo.options import PredictOptions
    from rm_geo.pipeline.plan import RunPlan

_PRODUCTS: Final = (
    "rsrp",
    "buildings",
    "buildings_mask",
    "uncertainty",
    "reported",
    "measured",
    "gain",
)


def check(_values: Values, _folder: Path, _progress: Progress) -> dict[str, Any]:
    """Describe the environment, as ``rm-geo doctor`` does."""
    from rm_geo.workflows.doctor import describe_environment

    found = describe_environment()
    return {**found.as_dict(), "text": found.lines()}


def inspect(values: Values, _folder: Path, progress: Progress) -> dict[str, Any]:
    """Describe a file: ``measurements`` (path) and ``options``, as ``rm-geo inspect`` does."""
    from rm_geo.workflows.inspect_log import inspect_log

    found = inspect_log(require(values, "measurements", str), _predict_options(values))
    progress.check()
    dropped = found.report.dropped.items()
    return {
        **found.as_dict(),
        "dropped": [{"rows": count, "reason": reason.description} for reason, count in dropped],
        "text": found.report.lines(),
    }


def predict(values: Values, folder: Path, progress: JobProgress) -> dict[str, Any]:
    """Map all cells: ``measurements`` (path) and ``options`` of :class:`PredictOptions`.

    ``origin`` may have tags about where the file of measurements comes from. Each cell is in the
    output folder as soon as its files are complete.
    """
    from rm_geo.pipeline.predict import predict as map_cells
    from rm_geo.products.summary import CellResult, skipped_line
    from rm_geo.worker.progress import RunProgress

    options = _predict_options(values)
    plan = _run_plan(values, options, progress)
    rasters = []

    def share(cell: CellResult) -> None:
        found = _rasters(folder, cell.cell, cell.files)
        rasters.extend(found)
        progress.share(cell.cell, len(plan.cells), cell.files, found)

    run = RunProgress.of(plan, progress, share)
    results = map_cells(plan, folder, options, run, cell_listener=run)
    return {
        "cells": [asdict(cell) for cell in results],
        "skipped": skipped_line(results),
        "rasters": rasters,
    }


def dry_run(values: Values, _folder: Path, progress: Progress) -> dict[str, Any]:
    """Say what ``predict`` would do: the same request, as ``rm-geo predict --dry-run`` does."""
    from rm_geo.pipeline.dry_run import dry_run as plan_cells

    found = plan_cells(require(values, "measurements", str), _predict_options(values), progress)
    return {**found.as_dict(), "text": found.lines()}


def rasterize(values: Values, folder: Path, progress: Progress) -> dict[str, Any]:
    """Bin measurements: ``measurements``, ``options``, ``statistic``, and ``origin``."""
    from rm_geo.workflows.rasterize import rasterize_file

    statistic = values.get("statistic", "mean")
    if statistic not in ("mean", "median", "max"):
        raise UsageError(f"There is no statistic {statistic!r}.", hint="mean, median or max.")
    options = _predict_options(values)
    made = rasterize_file(
        _run_plan(values, options, progress),
        folder,
        options,
        statistic=statistic,
        progress=progress,
    )
    rasters = [raster for one in made for raster in _rasters(folder, one.cell, [one.path.name])]
    cells = [
        {
            "cell": one.cell,
            "cell_name": one.cell_name,
            "pixels": one.pixels,
            "rows": one.rows,
            "cols": one.cols,
        }
        for one in made
    ]
    return {"cells": cells, "rasters": rasters}


def superres(values: Values, folder: Path, progress: Progress) -> dict[str, Any]:
    """Refine a raster: ``raster`` (path), ``name`` of the output file, and ``options``."""
    from rm_geo.workflows.superresolve import superresolve

    source = Path(require(values, "raster", str))
    name = require(values, "name", str)
    target = Path(require(values, "output", str)) / name
    if source.exists() and target.exists() and target.samefile(source):
        raise UsageError("The output is the input.", hint="Name another file.")
    options = options_of(
        values,
        {
            "scale",
            "model",
            "device",
            "batch_size",
            "band",
            "intercept_dbm",
            "max_tiles",
            "buildings",
            "buildings_layer",
        },
    )
    made = superresolve(source, folder / name, progress=progress, **options)
    facts = {"file": name, "kind": "rsrp", "cell": "", "tags": raster_tags(made.path)}
    return {"rasters": [facts], "model": made.model, "spacing_m": made.grid.spacing_m}


def simulate(values: Values, folder: Path, progress: Progress) -> dict[str, Any]:
    """Simulate maps: ``buildings`` and ``sites`` (paths), ``footprints`` and ``options``.

    ``origin`` may have tags about where these files come from.
    """
    from rm_geo.buildings.reader import read_buildings
    from rm_geo.workflows.simulate import simulate as simulate_maps

    buildings = require(values, "buildings", str)
    sites = require(values, "sites", str)
    how_read = options_of(
        values, {"layer", "height_column", "default_height_m", "crs"}, "footprints"
    )
    options = options_of(
        values,
        {"sites_crs", "resolution_m", "margin_m", "eirp_dbm", "frequency_mhz", "max_tiles"},
    )
    footprints = read_buildings(buildings, progress=progress, **how_read)
    made = simulate_maps(
        footprints, sites, folder, origin=_origin(values), progress=progress, **options
    )
    rasters = [raster for one in made for raster in _rasters(folder, one.site, [one.path.name])]
    return {"rasters": rasters}


def sites(values: Values, folder: Path, progress: Progress) -> dict[str, Any]:
    """Write a site table as a layer of points: ``sites`` (path), ``sites_crs``, and ``name``."""
    name = require(values, "name", str)
    given = values.get("sites_crs")
    features = write_sites_layer(require(values, "sites", str), folder / name, given, progress)
    return {"vectors": [features]}


def demo_data(_values: Values, folder: Path, progress: Progress) -> dict[str, Any]:
    """Write the drive test and the sites of ``rm-geo demo``."""
    from rm_geo.workflows.demo import write_demo_data

    drive_test, table = write_demo_data(folder, progress=progress)
    features = write_sites_layer(table, folder / "sites.gpkg", None, progress)
    return {"vectors": [describe_features(drive_test, "drive_test"), features]}


def validate(values: Values, folder: Path, progress: Progress) -> dict[str, Any]:
    """Judge methods on held-out measurements, as ``rm-geo validate`` does.

    Takes ``measurements``, ``methods`` (names of :func:`rm_geo.validate`), ``folds``, ``block_m``
    (metres), ``hold_out`` (``target`` or ``all``), and ``options`` of :class:`PredictOptions`,
    whose ``cells`` are judged, or all if there are none. Writes what ``rm-geo validate`` writes,
    and the held-out places as ``validation_held_out.gpkg``.
    """
    from rm_geo.validation.log_holdout import validate as judge
    from rm_geo.validation.log_report import INDEX_NAME, TABLE_NAME, table_text, write_validation
    from rm_geo.worker.held_out_layer import write_held_out

    options = _predict_options(values)
    methods = [str(name) for name in require(values, "methods", list)]
    if not methods:
        raise UsageError("No method is chosen.", hint="Choose at least one.")
    folds, block_m = values.get("folds", 5), values.get("block_m", 50.0)
    hold_out = values.get("hold_out", "target")
    if not (isinstance(folds, int) and isinstance(block_m, (int, float))):
        raise UsageError("'folds' and 'block_m' of the request are not numbers.")
    if hold_out not in ("target", "all"):
        raise UsageError(f"There is no hold-out {hold_out!r}.", hint="target or all.")
    result = judge(
        require(values, "measurements", str),
        methods,
        block_m=[block_m],
        hold_out=hold_out,
        cells=options.reading.cells,
        top=None,
        folds=folds,
        options=options,
        progress=progress,
    )
    write_validation(folder, result)
    return {
        "vectors": write_held_out(result, folder / "validation_held_out.gpkg"),
        "table": TABLE_NAME,
        "index": INDEX_NAME,
        "scores": [asdict(score) for score in result.scores],
        "left_out": dict(result.left_out),
        "text": table_text(result).splitlines(),
    }


JOBS: Final[Mapping[str, Job]] = {
    "check": check,
    "inspect": inspect,
    "predict": predict,
    "dry_run": dry_run,
    "rasterize": rasterize,
    "superres": superres,
    "simulate": simulate,
    "sites": sites,
    "demo_data": demo_data,
    "validate": validate,
    "plan": planning.plan,
    "compare": planning.compare,
    "export_map": planning.export_map,
    "report": planning.report,
}
"""Jobs by name. They write into the folder ``output`` of the request."""

WITHOUT_FILES: Final = frozenset({"check", "inspect", "dry_run"})
"""Jobs that write no files and need no ``output``."""


def _predict_options(values: Values) -> PredictOptions:
    """Build the prediction options from the request."""
    from rm_geo.options import PredictOptions, option_fields

    return PredictOptions(**options_of(values, set(option_fields())))


def _origin(values: Values) -> dict[str, str]:
    """Return the tags about the origin of the inputs."""
    return {str(key): str(text) for key, text in dict(values.get("origin") or {}).items()}


def _run_plan(values: Values, options: PredictOptions, progress: Progress) -> RunPlan:
    """Read the measurements of a request and plan its cells."""
    from rm_geo.pipeline.plan import plan_run

    plan = plan_run(require(values, "measurements", str), options, progress)
    return replace(plan, origin=_origin(values))


def _rasters(folder: Path, cell: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return file, kind, cell and provenance tags of each raster of a cell."""
    found = []
    for name in names:
        kind = name.removeprefix(f"{cell}_").removesuffix(".tif")
        if kind in _PRODUCTS:
            found.append(
                {"file": name, "kind": kind, "cell": cell, "tags": raster_tags(folder / name)}
            )
    return found
