"""Planning products of radio maps: reading, streaming, writing, and the index of the files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from rm_geo._util.atomic import output_folder, part_folder, publish_files, replacing
from rm_geo._util.json_text import parse_json
from rm_geo._util.locks import output_lock
from rm_geo._util.tempdirs import owned_folder
from rm_geo.errors import CancelledError, DependencyError, InputError, OutputError, RmGeoError
from rm_geo.grid import CrsLike
from rm_geo.io.categories import SIDECAR_ENDING, write_category_names
from rm_geo.io.cog import raster_sink
from rm_geo.io.features import FeatureTable, require_not_open, write_features
from rm_geo.io.provenance import InputFile, describe_software
from rm_geo.io.raster_reader import Raster, open_raster
from rm_geo.planning.best_server import server_colours
from rm_geo.planning.map_set import BandLayer, CellMap, RadioMapSet, open_radio_map_set
from rm_geo.planning.product import (
    PlanContext,
    PlanInputs,
    Product,
    ProductResult,
    RasterLayer,
    Rows,
    Stream,
)
from rm_geo.planning.ranking import rank_cells
from rm_geo.planning.registry import all_products, chosen_products
from rm_geo.planning.settings import PlanSettings
from rm_geo.planning.weights import require_population
from rm_geo.products.colormap import hex_of
from rm_geo.products.layer_style import class_names_tag
from rm_geo.progress import Progress, SilentProgress
from rm_geo.sites.site import Site
from rm_geo.workflows.result_files import BandRasters, json_value, write_table

INDEX_NAME: Final = "plan.json"
INDEX_VERSION: Final = 1

_LOCK: Final = ".rm_geo_plan.lock"


@dataclass(frozen=True)
class PlanResult:
    """Files of a plan.

    Attributes
    ----------
    folder : Path
        Folder of the files.
    index : mapping
        Content of ``plan.json``.

    Examples
    --------
    >>> index = {"products": {"best_server": {"files": ["best_server.tif"]}},
    ...          "not_made": {"overlap": "there is one cell only"}}
    >>> result = PlanResult(Path("plan"), index)
    >>> [path.name for path in result.files], result.not_made["overlap"]
    (['best_server.tif', 'plan.json'], 'there is one cell only')
    """

    folder: Path
    index: Mapping[str, Any] = field(repr=False)

    @property
    def products(self) -> Mapping[str, Any]:
        """Entries of the products by name: ``files``, ``definition``, ``unit``, ``statistics``."""
        products: Mapping[str, Any] = self.index["products"]
        return products

    @property
    def not_made(self) -> Mapping[str, str]:
        """Reasons by name of what could not be made."""
        reasons: Mapping[str, str] = self.index["not_made"]
        return reasons

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, ``plan.json`` last."""
        names = [name for entry in self.products.values() for name in _files_of(entry)]
        return tuple(self.folder / name for name in (*names, INDEX_NAME))


def make_plan(
    maps: RadioMapSet | str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output_dir: str | os.PathLike[str],
    settings: PlanSettings | None = None,
    *,
    only: Sequence[str] = (),
    sites: str | os.PathLike[str] | Sequence[Site] | None = None,
    sites_crs: CrsLike | None = None,
    inputs: PlanInputs | None = None,
    progress: Progress | None = None,
) -> PlanResult:
    """Derive planning products from radio maps, and write them with an index.

    The maps are read once, band by band: memory depends neither on the number of cells nor on
    the height of the area. All files appear when all are complete; what cannot be made is named in
    the index with its reason.

    Parameters
    ----------
    maps : RadioMapSet or path-like or sequence of path-like
        The radio maps, or what :func:`rm_geo.planning.map_set.open_radio_map_set` opens.
    output_dir : path-like
        Folder of the results. Products of an earlier plan in it that are not made again are
        removed; with ``only`` they are kept.
    settings : PlanSettings, optional
        Thresholds and options; the preset ``lte`` if not given.
    only : sequence of str
        Names of the products to make, with those that they need; all if empty.
    sites : path-like or sequence of Site, optional
        Site table, for maps that are given by path.
    sites_crs : CRS, str or int, optional
        CRS of a site table that does not state one.
    inputs : PlanInputs, optional
        Population raster, roads, polygons and measurements.
    progress : Progress, optional
        Receives the progress.

    Returns
    -------
    PlanResult
        The folder and the content of ``plan.json``.

    Raises
    ------
    InputError
        If a map or another input cannot be read.
    UsageError
        If there is no product of a name.
    OutputError
        If a file cannot be written, or another program has it open; files of an earlier plan are
        unchanged.
    OutputInUseError
        If another process writes a plan into the folder.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from rm_geo import Grid, RadioMap
    >>> grid = Grid.create(500_000, 5_000_000, (40, 60), 5.0, 32633)
    >>> maps = {"a": RadioMap(grid, np.full((40, 60), -90.0)),
    ...         "b": RadioMap(grid, np.full((40, 60), -95.0))}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plan = make_plan(RadioMapSet.of(maps), folder, only=["dominance"])
    ...     print(plan.products["dominance"]["statistics"]["mean_db"], plan.files[0].name)
    5.0 dominance.tif
    """
    listener = SilentProgress() if progress is None else progress
    products = chosen_products(only)
    given = PlanInputs() if inputs is None else inputs
    _require_inputs(given)
    map_set = (
        maps
        if isinstance(maps, RadioMapSet)
        else open_radio_map_set(maps, sites=sites, sites_crs=sites_crs)
    )
    for note in map_set.notes:
        listener.log(f"Note: {note}")
    if given.population is not None:
        require_population(Path(given.population), map_set.grid)
    with (
        output_folder(output_dir) as folder,
        output_lock(folder / _LOCK, f"a plan in {folder}"),
        part_folder(folder / INDEX_NAME) as staging,
    ):
        context = PlanContext(
            map_set,
            PlanSettings() if settings is None else settings,
            given,
            staging,
            describe_software(),
            listener,
        )
        run = _Run(context, products)
        run.require_replaceable(folder)
        try:
            run.make()
        except OutputError as error:
            raise error.known_as(staging, folder) from error
        index = run.index(only)
        _publish(staging, folder, index, partial=bool(only))
    for warning in index["warnings"][len(map_set.notes) :]:
        listener.log(f"Note: {warning}")
    for name, reason in index["not_made"].items():
        listener.log(f"Not made: {name}: {reason}")
    return PlanResult(folder, index)


@dataclass(frozen=True)
class PlanData:
    """Planning products in memory.

    Attributes
    ----------
    rasters : mapping of str to Raster
        Rasters by file name: values of float32, NaN where unknown; classes are whole numbers.
    features : mapping of str to tuple of FeatureTable
        Layers by file name.
    tables : mapping of str to sequence of mapping
        Rows of tables by file name.
    index : mapping
        As ``plan.json`` would be: definitions, units, statistics, and what could not be made.

    Examples
    --------
    >>> from rm_geo import Grid, RadioMap
    >>> grid = Grid.create(500_000, 5_000_000, (1, 3), 10.0, 32633)
    >>> maps = RadioMapSet.of({"7": RadioMap(grid, [[-90, -100, -120]])})
    >>> data = derive_products(maps, ["coverage"])
    >>> data.rasters["coverage.tif"].values.tolist()
    [[2.0, 3.0, 5.0]]
    """

    rasters: Mapping[str, Raster] = field(repr=False)
    features: Mapping[str, tuple[FeatureTable, ...]] = field(repr=False)
    tables: Mapping[str, Rows] = field(repr=False)
    index: Mapping[str, Any] = field(repr=False)


def derive_products(
    maps: RadioMapSet,
    only: Sequence[str] = (),
    settings: PlanSettings | None = None,
    *,
    inputs: PlanInputs | None = None,
    progress: Progress | None = None,
) -> PlanData:
    """Derive planning products from radio maps, without an output folder.

    Parameters
    ----------
    maps : RadioMapSet
        The radio maps.
    only : sequence of str
        Names of the products, such as ``best_server``, ``coverage``, ``holes`` or
        ``interference``, which are made with those that they need; all if empty.
    settings : PlanSettings, optional
        Thresholds and options; the preset ``lte`` if not given.
    inputs : PlanInputs, optional
        Population raster, roads, polygons and measurements.
    progress : Progress, optional
        Receives the progress.

    Returns
    -------
    PlanData
        Rasters, layers and tables by file name, and the index.

    Raises
    ------
    InputError
        If an input cannot be read.
    UsageError
        If there is no product of a name.

    Examples
    --------
    >>> from rm_geo import Grid, RadioMap
    >>> grid = Grid.create(500_000, 5_000_000, (2, 3), 10.0, 32633)
    >>> level = [[-90, -100, -120], [-90, -115, -125]]
    >>> made = derive_products(RadioMapSet.of({"7": RadioMap(grid, level)}), ["holes", "coverage"],
    ...                        PlanSettings(holes={"min_area_m2": 100}))
    >>> made.rasters["coverage.tif"].values
    array([[2., 3., 5.],
           [2., 5., 6.]], dtype=float32)
    >>> made.features["holes.gpkg"][0].columns["area_m2"]
    array([300.])
    """
    given = PlanInputs() if inputs is None else inputs
    _require_inputs(given)
    with owned_folder() as scratch:
        context = PlanContext(
            maps,
            PlanSettings() if settings is None else settings,
            given,
            Path(scratch),
            describe_software(),
            SilentProgress() if progress is None else progress,
        )
        run = _Run(context, chosen_products(only))
        run.make()
        height, width = maps.grid.shape
        rasters = {}
        for layer in (layer for layers in run.layers.values() for layer in layers):
            path = Path(scratch) / layer.file
            if path.exists():
                file = open_raster(path, classes=True)
                values = file.read(slice(0, height), slice(0, width))
                rasters[layer.file] = Raster(values, file.grid, dict(file.tags))
        index = run.index(only)
    results = run.results.values()
    return PlanData(
        rasters,
        {name: tuple(tables) for made in results for name, tables in made.features.items()},
        {name: rows for made in results for name, rows in made.tables.items()},
        index,
    )


def write_plan_report(
    folder: Path,
    maps: Sequence[str | os.PathLike[str]],
    output: Path | None = None,
    *,
    title: str | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write the report of a plan, with the run of predict that its maps are of.

    A report in the folder of the plan is added to its index; so is the reason if it cannot be made.

    Parameters
    ----------
    folder : Path
        Folder of the plan.
    maps : sequence of path-like
        The folders or files that the plan was made of; cells are described if they are of one
        run of predict.
    output : Path, optional
        The file; ``report.html`` in the folder of the plan if not given.
    title : str, optional
        Heading.
    progress : Progress, optional
        As of :func:`rm_geo.report.page.write_report`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError, DependencyError, OutputError
        As of :func:`rm_geo.report.page.write_report`.
    """
    from rm_geo.report.page import REPORT_NAME, write_report
    from rm_geo.report.sources import SUMMARY_NAME

    places = [path if path.is_dir() else path.parent for path in map(Path, maps)]
    runs = [place for place in dict.fromkeys(places) if (place / SUMMARY_NAME).is_file()]
    chosen = runs if len(runs) == 1 else []
    index = read_index(folder)
    try:
        path = write_report([folder, *chosen], output, title=title, progress=progress)
    except DependencyError as error:
        index["not_made"]["report"] = str(error)
        _write_index(folder, index)
        raise
    if path.parent == folder:
        index["products"]["report"] = {
            "files": [REPORT_NAME],
            "sidecars": [],
            "summary": "The results for a browser.",
            "definition": "Summary, map, tables and provenance of the other products, in one file.",
            "unit": None,
            "statistics": {},
        }
        _write_index(folder, index)
    return path


def read_index(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the index of a plan.

    Parameters
    ----------
    folder : path-like
        Folder of the plan.

    Returns
    -------
    dict
        Content of ``plan.json``.

    Raises
    ------
    InputError
        If there is no plan, or the index is damaged or of a later version.
    """
    path = Path(folder) / INDEX_NAME
    try:
        index = parse_json(path.read_text("utf-8"))
        version = int(index["version"])
    except FileNotFoundError:
        raise InputError(
            f"There is no plan in {folder}.", hint="Make one with 'rm-geo plan'.", path=path
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} cannot be read: {error}.", hint="Plan again.", path=path
        ) from error
    if version > INDEX_VERSION:
        raise InputError(f"{path} is of a later version of rm_geo.", hint="Update it.", path=path)
    return dict(index)


class _Run:
    """The products of one run: what is made, and what is not."""

    def __init__(self, context: PlanContext, products: Sequence[Product]) -> None:
        self.context = context
        self.products = products
        self.layers: dict[str, tuple[RasterLayer, ...]] = {}
        self.results: dict[str, ProductResult] = {}
        self.files: dict[str, list[str]] = {}
        self.not_made: dict[str, str] = {}
        self.inputs = {
            name: InputFile.of(Path(path))
            for name, path in asdict(context.inputs).items()
            if path is not None
        }
        for product in products:
            missing = [name for name in product.needs if name in self.not_made]
            reason = (
                f"it needs {missing[0]}, which could not be made."
                if missing
                else product.refusal(context)
            )
            if reason is not None:
                self.not_made[product.name] = reason

    def _todo(self) -> list[Product]:
        """List the products that are still to be made."""
        return [product for product in self.products if product.name not in self.not_made]

    def require_replaceable(self, folder: Path) -> None:
        """Refuse, before the work, files that another program has open."""
        for product in self._todo():
            for name in product.files:
                require_not_open(folder / name)

    def make(self) -> None:
        """Make all products in the staging folder."""
        self._stream()
        derived = [product for product in self._todo() if product.derive is not None]
        progress = self.context.progress
        progress.start(len(derived), "products", "Outlining")
        for product in derived:
            progress.check()
            missing = [name for name in product.needs if name in self.not_made]
            if missing:
                self._drop(product, f"it needs {missing[0]}, which could not be made.")
            else:
                self._derive(product)
            progress.advance()
        progress.finish()

    def _stream(self) -> None:
        """Make the products that see the levels of all cells, in one pass over the maps."""
        context = self.context
        products = [product for product in self._todo() if product.stream is not None]
        if not products:
            return
        streams: dict[str, Stream] = {}
        for product in products:
            assert product.stream is not None
            streams[product.name] = product.stream(context)
            self.layers[product.name] = tuple(product.rasters(context))
        servers = context.settings.servers
        layers: list[BandLayer] = [name for product in products for name in product.layers]
        if servers.min_reported > 0.0:
            layers.append("reported_probability")
        height = context.grid.shape[0]
        context.progress.start(height, "rows", "Planning")
        with ExitStack() as sinks:
            rasters = BandRasters(
                {
                    layer.file: (
                        layer,
                        sinks.enter_context(self._sink(product, layer)),
                    )
                    for product in products
                    for layer in self.layers[product.name]
                },
                context.grid.shape,
            )
            done = 0
            for band in context.maps.bands(layers=list(dict.fromkeys(layers))):
                context.progress.check()
                ranking = rank_cells(band, max(2, servers.ranks), min_reported=servers.min_reported)
                for name in list(streams):
                    try:
                        made = streams[name].add(band, ranking)
                    except RmGeoError as error:
                        self._refuse(error, name)
                        del streams[name]
                        continue
                    rasters.place(band.rows, band.cols, made)
                context.progress.advance(band.rows.stop - done)
                done = band.rows.stop
            rasters.finish()
        context.progress.finish()
        for product in products:
            if product.name not in streams:
                self._discard(product.name)
                continue
            try:
                self.results[product.name] = streams[product.name].finish()
            except RmGeoError as error:
                self._refuse(error, product.name)
                self._discard(product.name)
                continue
            self.files[product.name] = [layer.file for layer in self.layers[product.name]]
            for layer in self.layers[product.name]:
                if layer.categories:
                    write_category_names(context.raster(layer.file), layer.categories)
            self._write(product.name, self.results[product.name])

    def _sink(self, product: Product, layer: RasterLayer) -> Any:  # noqa: ANN401 - a context manager
        """Open a raster in the staging folder."""
        folder = self.context.folder
        assert folder is not None
        return raster_sink(
            folder / layer.file,
            self.context.grid,
            dtype=layer.dtype,
            nodata=layer.nodata,
            unit=layer.unit,
            resampling=layer.resampling,
            colormap=layer.colours or None,
            band_descriptions=[layer.band],
            tags=self._tags(product, layer),
        )

    def _tags(self, product: Product, layer: RasterLayer) -> dict[str, str]:
        """Give the provenance of a raster."""
        return {
            **self.context.metadata,
            "planning_product": product.name,
            "quantity": layer.band,
            "units": layer.unit or "1",
            "definition": product.definition.replace("`", ""),
            "cells": str(len(self.context.maps.cells)),
            "preset": self.context.settings.preset,
            **class_names_tag(layer.categories),
        }

    def _derive(self, product: Product) -> None:
        """Make a product of finished rasters."""
        assert product.derive is not None
        metadata = {
            **self.context.metadata,
            "planning_product": product.name,
            "definition": product.definition.replace("`", ""),
        }
        try:
            made = product.derive(replace(self.context, metadata=metadata))
        except RmGeoError as error:
            self._refuse(error, product.name)
            self._discard(product.name)
            return
        first = self.results.get(product.name, ProductResult())
        self.results[product.name] = ProductResult(
            {**first.statistics, **made.statistics},
            {**first.tables, **made.tables},
            {**first.features, **made.features},
            (*first.warnings, *made.warnings),
        )
        self._write(product.name, made)

    def _write(self, name: str, made: ProductResult) -> None:
        """Write tables and features of a product."""
        folder = self.context.folder
        assert folder is not None
        for file, rows in made.tables.items():
            write_table(folder / file, rows)
        for file, tables in made.features.items():
            write_features(folder / file, tables)
        self.files.setdefault(name, []).extend([*made.tables, *made.features])

    def _refuse(self, error: RmGeoError, name: str) -> None:
        """Note why a product could not be made; errors of the output end the run."""
        if isinstance(error, (CancelledError, OutputError)):
            raise error
        self.not_made[name] = str(error)

    def _drop(self, product: Product, reason: str) -> None:
        """Note that a product cannot be made, and remove what there is of it."""
        self.not_made[product.name] = reason
        self._discard(product.name)

    def _discard(self, name: str) -> None:
        """Remove the files of a product that could not be completed."""
        folder = self.context.folder
        assert folder is not None
        unwritten = [layer.file for layer in self.layers.get(name, ())]
        for file in (*self.files.pop(name, ()), *unwritten):
            for path in (folder / file, folder / (file + SIDECAR_ENDING)):
                path.unlink(missing_ok=True)
        self.results.pop(name, None)

    def index(self, only: Sequence[str]) -> dict[str, Any]:
        """Give the content of ``plan.json``."""
        context = self.context
        folder = context.folder
        assert folder is not None
        made = {product.name: product for product in self.products if product.name in self.results}
        warnings = [*context.maps.notes]
        for result in self.results.values():
            warnings += result.warnings
        inputs = asdict(context.inputs)
        content: dict[str, Any] = json_value(
            {
                "version": INDEX_VERSION,
                "parameters": {
                    "settings": context.settings.model_dump(mode="json"),
                    "only": list(only),
                    "inputs": {
                        name: None if path is None else Path(path).name
                        for name, path in inputs.items()
                    },
                },
                "grid": _describe_grid(context.maps),
                "cells": _describe_cells(context.maps),
                "products": {
                    name: {
                        "files": self.files[name],
                        "sidecars": [
                            file + SIDECAR_ENDING
                            for file in self.files[name]
                            if (folder / (file + SIDECAR_ENDING)).exists()
                        ],
                        "summary": product.summary,
                        "definition": product.definition.replace("`", ""),
                        "unit": product.unit,
                        "statistics": self.results[name].statistics,
                    }
                    for name, product in made.items()
                },
                "not_made": self.not_made,
                "warnings": warnings,
                "provenance": {
                    **describe_software(),
                    **{
                        key: text
                        for name, file in self.inputs.items()
                        for key, text in file.tags(f"{name}_").items()
                    },
                },
            }
        )
        return content


def _publish(staging: Path, folder: Path, index: dict[str, Any], *, partial: bool) -> None:
    """Move the files into the folder, and write the index last."""
    earlier = _earlier_index(folder)
    if partial and earlier is not None:
        _keep_others(index, earlier, folder)
    new = {name for entry in index["products"].values() for name in _files_of(entry)}
    for name in new:
        require_not_open(folder / name)
    publish_files(sorted(staging.iterdir()), folder)
    _write_index(folder, index)
    if earlier is not None and not partial:
        for entry in earlier["products"].values():
            for name in _files_of(entry):
                if name not in new and Path(name).name == name:
                    (folder / name).unlink(missing_ok=True)


def _write_index(folder: Path, index: Mapping[str, Any]) -> None:
    """Write ``plan.json``."""
    with replacing(folder / INDEX_NAME) as part:
        part.write_text(json.dumps(index, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _keep_others(index: dict[str, Any], earlier: Mapping[str, Any], folder: Path) -> None:
    """Keep the entries of an earlier plan of the same maps, where only some products are made."""
    kept = {
        name: {"parameters": earlier.get("parameters"), **entry}
        for name, entry in earlier["products"].items()
        if name not in index["products"] and name not in index["not_made"]
    }
    if all(earlier.get(part) == index[part] for part in ("grid", "cells")):
        entries = {**kept, **index["products"]}
        order = {product.name: place for place, product in enumerate(all_products())}
        index["products"] = dict(
            sorted(entries.items(), key=lambda item: order.get(item[0], len(order)))
        )
    elif kept:
        index["warnings"].append(
            f"{folder} also has products of other maps, which are not in this index: "
            f"{', '.join(kept)}."
        )


def _earlier_index(folder: Path) -> dict[str, Any] | None:
    """Read the index of an earlier plan in the folder; None without one."""
    try:
        index = read_index(folder)
        return index if isinstance(index.get("products"), dict) else None
    except InputError:
        return None


def _files_of(entry: Mapping[str, Any]) -> list[str]:
    """List the files of a product with their sidecars."""
    return [*entry.get("files", ()), *entry.get("sidecars", ())]


def _require_inputs(inputs: PlanInputs) -> None:
    """Refuse inputs that do not exist, before the work."""
    for name, path in asdict(inputs).items():
        if path is not None and not Path(path).exists():
            raise InputError(
                f"{path} does not exist.", hint="Check the path.", parameter=name, path=path
            )


def _describe_grid(maps: RadioMapSet) -> dict[str, Any]:
    """Describe the grid for the index."""
    grid = maps.grid
    return {
        "crs": grid.crs.to_string(),
        "rows": grid.shape[0],
        "cols": grid.shape[1],
        "spacing_m": grid.spacing_m,
        "bounds": list(grid.bounds),
    }


def _describe_cells(maps: RadioMapSet) -> list[dict[str, Any]]:
    """Describe the cells for the index."""
    colours = server_colours(len(maps.cells))
    return [
        {**_describe_cell(cell), "value": number, "colour": hex_of(colours[number])}
        for number, cell in enumerate(maps.cells, start=1)
    ]


def _describe_cell(cell: CellMap) -> dict[str, Any]:
    """Describe a cell for the index."""
    site = cell.site
    return {
        "name": cell.name,
        "cell_name": cell.label,
        "file": None if cell.path is None else cell.path.name,
        "bytes": None if cell.path is None else cell.path.stat().st_size,
        "quantity": cell.quantity,
        "technology": cell.technology or None,
        "pci": cell.pci,
        "channel": cell.channel,
        "frequency_mhz": cell.frequency_mhz,
        "method": cell.radio_map.tags.get("method"),
        "site": None
        if site is None
        else {
            "x": site.x,
            "y": site.y,
            "height_m": site.height_m,
            "azimuth_deg": site.azimuth_deg,
            "beamwidth_deg": site.beamwidth_deg,
            "uncertainty_m": site.uncertainty_m,
            "load": site.load,
        },
    }
