"""Everything that a report says, collected from the results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rm_geo.errors import InputError, RmGeoError
from rm_geo.io.raster_reader import open_raster
from rm_geo.planning.map_set import RadioMapSet, open_radio_map_set
from rm_geo.products.colormap import RSRP_RAMP
from rm_geo.products.layer_style import LayerStyle
from rm_geo.progress import Progress
from rm_geo.report.composite import QuickPlan, quick_plan
from rm_geo.report.map_features import FeatureLayer, feature_layer, hole_rows, site_layer
from rm_geo.report.map_layers import (
    LONGEST_SIDE_PX,
    Frame,
    MapLayer,
    array_layer,
    raster_layer,
)
from rm_geo.report.sources import (
    ComparisonSource,
    PlanSource,
    PredictSource,
    ReportSources,
)
from rm_geo.report.summary_lines import summary_lines
from rm_geo.report.tables import (
    Section,
    Table,
    cells_section,
    class_limits,
    comparison_section,
    coverage_section,
    holes_table,
    plain_table,
    servers_section,
    validation_section,
)
from rm_geo.sites.site import Site

_MOST_LAYERS: Final = 60
_KEY_TAGS: Final = ("input", "input_sha256", "method", "model", "transmitter", "software")
_FIRST_RASTERS: Final = ("coverage.tif", "composite_rsrp.tif", "best_server.tif")
_CELL_LAYERS: Final = (
    ("_rsrp.tif", "level"),
    ("_uncertainty.tif", "standard deviation"),
    ("_reported.tif", "probability of being reported"),
    ("_buildings.tif", "buildings"),
)
_SHOWN_FEATURES: Final = ("holes.gpkg",)
_CHANGE_FEATURES: Final = "change.gpkg"
_COMPARISON_LAYERS: Final = (
    ("difference.tif", "difference, second minus first"),
    ("change.tif", "significant change"),
)
_OTHER_FEATURES: Final = (
    "sectors.gpkg",
    "overshooters.gpkg",
    "overlap.gpkg",
    "contours.gpkg",
    "next_drive.gpkg",
)
_OWN_TABLES: Final = ("coverage.csv", "best_server.csv", "statistics_grid.csv")
"""Tables that a section of their own shows, or that are too long to be read."""
_TITLES: Final[Mapping[str, str]] = {
    "composite_rsrp.tif": "Composite: level of the strongest cell",
    "best_server.tif": "Best server",
    "servers.tif": "Number of servers",
    "dominance.tif": "Dominance: best minus second",
    "coverage.tif": "Coverage classes",
    "probability.tif": "Probability of coverage",
    "sinr.tif": "SINR",
    "ci.tif": "C/I",
    "rssi.tif": "RSSI",
    "rsrq.tif": "RSRQ",
    "pci_conflicts.csv": "PCI conflicts",
    "overshooters.csv": "Overshooters",
    "statistics_polygons.csv": "Statistics of polygons",
    "holes.gpkg": "Coverage holes",
    "next_drive.gpkg": "Where to drive next",
    "sectors.gpkg": "Sectors",
    "overshooters.gpkg": "Overshooters",
    "overlap.gpkg": "Overlap",
    "contours.gpkg": "Isolines",
    "change.gpkg": "Significant changes",
}


@dataclass
class Contents:
    """What the page shows.

    Attributes
    ----------
    title : str
        Heading.
    sources : ReportSources
        The results.
    summary : list of (str, str)
        At most ten lines: name and text.
    warnings : list of str
        Doubts about the input and the results.
    layers, features : list
        Layers of the map.
    frame : Frame or None
        The plane of the map; None without one.
    sections : list of Section
        Tables and charts.
    holes : Table or None
        The list of holes.
    provenance : list of (str, list of (str, str))
        Groups of names and values.
    not_made : mapping of str to str
        Reasons by product.
    """

    title: str
    sources: ReportSources
    summary: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    layers: list[MapLayer] = field(default_factory=list)
    features: list[FeatureLayer] = field(default_factory=list)
    frame: Frame | None = None
    sections: list[Section] = field(default_factory=list)
    holes: Table | None = None
    provenance: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)
    not_made: Mapping[str, str] = field(default_factory=dict)


def collect(sources: ReportSources, title: str, *, max_bytes: int, progress: Progress) -> Contents:
    """Read results and draw their maps.

    Parameters
    ----------
    sources : ReportSources
        The results.
    title : str
        Heading.
    max_bytes : int
        Largest size of all pictures together.
    progress : Progress
        Counts the layers, and may cancel the work.

    Returns
    -------
    Contents
        A file that is missing or damaged is named in the warnings.
    """
    contents = Contents(title, sources)
    plan, predict = sources.plan, sources.predict
    quick = None
    if plan is None and predict is not None and predict.mapped:
        quick = _quick_plan(contents, predict, progress)
    jobs = _raster_jobs(plan, predict, sources.comparison)
    if len(jobs) > _MOST_LAYERS:
        contents.warnings.append(
            f"The map shows {_MOST_LAYERS} of {len(jobs)} rasters; the others are in the folders."
        )
        jobs = jobs[:_MOST_LAYERS]
    budget = max_bytes // max(1, len(jobs) + (quick is not None))
    if quick is not None:
        contents.frame = Frame.of(quick.grid)
        contents.layers.append(_composite_layer(quick, contents.frame))
    progress.start(len(jobs), "layers", "Report")
    for path, heading, group in jobs:
        progress.check()
        _add_layer(contents, plan, path, heading, group, budget)
        progress.advance()
    progress.finish()
    _add_features(contents)
    errors = _held_out_errors(predict)
    _add_sections(contents, quick, errors)
    statistics = _statistics(plan, quick)
    contents.summary = summary_lines(sources, statistics, errors)
    contents.warnings += _warnings(sources)
    contents.provenance = _provenance(sources)
    contents.not_made = {
        name: str(reason)
        for source in (sources.comparison, plan)
        if source is not None
        for name, reason in source.index.get("not_made", {}).items()
    }
    return contents


def _quick_plan(contents: Contents, predict: PredictSource, progress: Progress) -> QuickPlan | None:
    """Rank the cells of a run of predict; a failure is a warning."""
    files = [predict.folder / f"{cell.cell}_rsrp.tif" for cell in predict.mapped]
    try:
        maps: RadioMapSet = open_radio_map_set(files)
        contents.warnings += maps.notes
        return quick_plan(maps, LONGEST_SIDE_PX, progress)
    except InputError as error:
        contents.warnings.append(f"No composite: {error}")
        return None


def _raster_jobs(
    plan: PlanSource | None,
    predict: PredictSource | None,
    comparison: ComparisonSource | None,
) -> list[tuple[Path, str, str]]:
    """List the rasters of the map: path, title and group, the most important first."""
    jobs = []
    if plan is not None:
        rasters = [path for _, path in plan.files(".tif")]
        order = {name: place for place, name in enumerate(_FIRST_RASTERS)}
        rasters.sort(key=lambda path: order.get(path.name, len(order)))
        jobs += [(path, _title(path), "Plan") for path in rasters]
    if comparison is not None:
        for ending, what in _COMPARISON_LAYERS:
            for path in comparison.files(ending):
                cell = path.name.removesuffix(ending).rstrip("_")
                title = f"{cell}: {what}" if cell else what[0].upper() + what[1:]
                jobs.append((path, title, "Comparison"))
    if predict is not None:
        for ending, what in _CELL_LAYERS:
            jobs += [
                (path, f"{cell.title}: {what}", f"Cells: {what}")
                for cell in predict.mapped
                if (path := predict.folder / f"{cell.cell}{ending}").is_file()
            ]
    return jobs


def _title(path: Path) -> str:
    """Name a raster or a layer of features."""
    return _TITLES.get(path.name, path.stem.replace("_", " ").capitalize())


def _add_layer(
    contents: Contents,
    plan: PlanSource | None,
    path: Path,
    title: str,
    group: str,
    budget: int,
) -> None:
    """Draw a raster; one that cannot be read is a warning."""
    try:
        if contents.frame is None:
            contents.frame = Frame.of(open_raster(path, classes=True).grid)
        style = None
        if path.name.startswith("best_server"):
            style = _server_style(plan)
        elif path.name == "coverage.tif":
            style = _class_style(plan)
        contents.layers.append(
            raster_layer(path, contents.frame, title, group, max_bytes=budget, style=style)
        )
    except RmGeoError as error:
        contents.warnings.append(f"{path.name} is not on the map: {error}")


def _server_style(plan: PlanSource | None) -> LayerStyle | None:
    """Give the colours of servers, one for each cell, as the plan chose them."""
    cells = [] if plan is None else plan.index.get("cells", [])
    classes = {
        int(cell["value"]): (str(cell["colour"]), str(cell.get("cell_name") or cell["name"]))
        for cell in cells
        if "value" in cell and "colour" in cell
    }
    return LayerStyle("Best server", "", classes=classes) if classes else None


def _class_style(plan: PlanSource | None) -> LayerStyle | None:
    """Give the colours of coverage classes, with their levels in the names."""
    settings = (plan and plan.setting("coverage", "classes")) or []
    classes = {}
    upper = None
    for number, one in enumerate(settings, start=1):
        limits = class_limits({"from_dbm": one.get("from_dbm"), "below_dbm": upper})
        classes[number] = (str(one["colour"]), f"{one['name']}: {limits}")
        upper = one.get("from_dbm")
    return LayerStyle("Coverage classes", "", classes=classes) if classes else None


def _composite_layer(quick: QuickPlan, frame: Frame) -> MapLayer:
    """Draw the composite of a run without a plan."""
    return array_layer(
        "composite",
        quick.level_dbm,
        quick.grid,
        frame,
        LayerStyle("RSRP in dBm", "dBm", RSRP_RAMP),
        "Level of the strongest cell",
        "All cells",
        spacing_m=quick.grid.spacing_m,
    )


def _add_features(contents: Contents) -> None:
    """Add sites, holes and other features of the plan to the map."""
    frame, plan = contents.frame, contents.sources.plan
    if frame is None:
        return
    files: list[Path] = []
    if plan is not None:
        made = {path.name: path for _, path in plan.files(".gpkg")}
        files += [made[name] for name in (*_OTHER_FEATURES, *_SHOWN_FEATURES) if name in made]
    comparison = contents.sources.comparison
    if comparison is not None:
        files += comparison.files(_CHANGE_FEATURES)
    for path in files:
        shown = path.name in _SHOWN_FEATURES or (path.name == _CHANGE_FEATURES and plan is None)
        try:
            layer = feature_layer(path, frame, _title(path), is_shown=shown)
        except RmGeoError as error:
            contents.warnings.append(f"{path.name} is not on the map: {error}")
            continue
        if layer is not None:
            contents.features.append(layer)
    sites = site_layer(_sites(contents.sources), frame)
    if sites is not None:
        contents.features.append(sites)


def _sites(sources: ReportSources) -> list[Site]:
    """Collect the sites of the cells: of the plan, else of the tags of the maps."""
    sites = []
    if sources.plan is not None:
        for cell in sources.plan.index.get("cells", []):
            known = cell.get("site")
            if known:
                sites.append(
                    Site(
                        known["x"],
                        known["y"],
                        azimuth_deg=known.get("azimuth_deg"),
                        frequency_mhz=cell.get("frequency_mhz"),
                        uncertainty_m=known.get("uncertainty_m") or 0.0,
                        cell=cell.get("cell_name") or cell.get("name"),
                    )
                )
    elif sources.predict is not None:
        for result in sources.predict.mapped:
            tags = _tags(sources.predict.folder / f"{result.cell}_rsrp.tif")
            try:
                x, y = (float(word) for word in tags["transmitter_xy"].split())
            except (KeyError, ValueError):
                continue
            sites.append(Site(x, y, cell=result.cell_name or result.cell))
    return sites


def _add_sections(contents: Contents, quick: QuickPlan | None, errors: Mapping[str, float]) -> None:
    """Add the tables and charts."""
    plan, predict = contents.sources.plan, contents.sources.predict
    coverage: Sequence[Mapping[str, Any]] = ()
    servers: Sequence[Mapping[str, Any]] = ()
    colours: dict[str, str] = {}
    if plan is not None:
        coverage, servers = plan.table("coverage.csv"), plan.table("best_server.csv")
        classes = plan.setting("coverage", "classes") or []
        colours = {one["name"]: one["colour"] for one in classes}
    elif quick is not None:
        coverage, servers = quick.coverage, quick.servers
        colours = {one.name: one.colour for one in quick.settings.coverage.classes}
    of_whom = (
        "Shares of the mapped area; those of a cell are of the area where it is the strongest."
    )
    found = [coverage_section(coverage, colours, of_whom), servers_section(servers)]
    contents.sections += [section for section in found if section is not None]
    if plan is not None:
        holes = [path for _, path in plan.files("holes.gpkg")]
        try:
            rows, total = hole_rows(holes[0]) if holes else ([], 0)
            contents.holes = holes_table(rows, total) if rows else None
        except RmGeoError as error:
            contents.warnings.append(f"No list of holes: {error}")
    if predict is not None:
        contents.sections.append(cells_section(predict.cells, errors))
    comparison = contents.sources.comparison
    if comparison is not None:
        contents.sections.append(comparison_section(comparison.index, comparison.sides))
    contents.sections += [validation_section(one) for one in contents.sources.validations]
    if plan is not None:
        for product, path in plan.files(".csv"):
            rows_of = plan.table(path.name) if path.name not in _OWN_TABLES else []
            if rows_of:
                entry = plan.index["products"][product]
                caption = entry.get("summary") or path.name
                tables = ((path.name, plain_table(rows_of)),)
                contents.sections.append(Section(_title(path), str(caption), tables=tables))


def _statistics(
    plan: PlanSource | None, quick: QuickPlan | None
) -> Mapping[str, Mapping[str, Any]]:
    """Give the statistics of the products by name."""
    if plan is not None:
        return {name: plan.statistics(name) for name in plan.index.get("products", {})}
    return {} if quick is None else quick.statistics


def _held_out_errors(predict: PredictSource | None) -> dict[str, float]:
    """Give the error at held-out blocks that predict measured, by cell, in dB."""
    errors = {}
    for cell in [] if predict is None else predict.mapped:
        assert predict is not None
        words = _tags(predict.folder / f"{cell.cell}_rsrp.tif").get("trust_rmse_db", "").split()
        try:
            errors[cell.cell] = float(words[-1])  # of the mixture of both methods
        except (IndexError, ValueError):
            continue
    return errors


def _tags(path: Path) -> Mapping[str, str]:
    """Read the tags of a map; empty if it cannot be read."""
    try:
        return open_raster(path).tags
    except RmGeoError:
        return {}


def _warnings(sources: ReportSources) -> list[str]:
    """List what the results say is doubtful."""
    found: list[str] = []
    if sources.plan is not None:
        found += [str(text) for text in sources.plan.index.get("warnings", [])]
        gone = sources.plan.missing_files()
        if gone:
            found.append(f"Files of the plan are missing: {', '.join(gone)}.")
    if sources.predict is not None:
        for cell in sources.predict.cells:
            found += [f"Cell {cell.title}: {text}" for text in cell.warnings]
            if not cell.is_mapped:
                found.append(f"Cell {cell.title} has no map ({cell.status}): {cell.message}")
        dropped = _tags_of_first(sources.predict).get("measurements_dropped", "0")
        if dropped not in {"", "0"}:
            found.append(f"{int(dropped):,} rows of the measurements were not used.")
    if sources.comparison is not None:
        found += [str(text) for text in sources.comparison.index.get("warnings", [])]
    for validation in sources.validations:
        left_out: Mapping[str, str] = validation.get("left_out", {})
        if left_out:
            found.append(f"{len(left_out)} cells were not judged: too few places.")
    return list(dict.fromkeys(found))


def _tags_of_first(predict: PredictSource) -> Mapping[str, str]:
    """Read the tags of the first map."""
    for cell in predict.mapped:
        return _tags(predict.folder / f"{cell.cell}_rsrp.tif")
    return {}


def _provenance(sources: ReportSources) -> list[tuple[str, list[tuple[str, str]]]]:
    """Group where the results come from."""
    groups: list[tuple[str, list[tuple[str, str]]]] = [("In short", _key_facts(sources))]
    if sources.predict is not None:
        tags = _tags_of_first(sources.predict)
        hidden = {"AREA_OR_POINT", "cell", "cell_name", "units", "quantity", "transmitter_xy"}
        rows = [(name, value) for name, value in sorted(tags.items()) if name not in hidden]
        groups.append(("Maps: tags of the first cell", rows))
    if sources.plan is not None:
        index = sources.plan.index
        groups.append(("Plan: provenance", list(_flat(index.get("provenance", {})))))
        groups.append(("Plan: settings", list(_flat(index.get("parameters", {})))))
        definitions = [
            (name, str(entry["definition"]))
            for name, entry in index.get("products", {}).items()
            if entry.get("definition")
        ]
        groups.append(("Plan: definitions", definitions))
    if sources.comparison is not None:
        index = sources.comparison.index
        groups.append(("Comparison: settings", list(_flat(index.get("parameters", {})))))
        groups.append(("Comparison: provenance", list(_flat(index.get("provenance", {})))))
    for validation in sources.validations:
        groups.append(("Validation: settings", list(_flat(validation.get("settings", {})))))
        groups.append(("Validation: provenance", list(_flat(validation.get("provenance", {})))))
    return [(title, rows) for title, rows in groups if rows]


def _key_facts(sources: ReportSources) -> list[tuple[str, str]]:
    """Give what identifies the input and the method."""
    tags = {} if sources.predict is None else _tags_of_first(sources.predict)
    of_logs = [name for name in tags if re.fullmatch(r"input_\d+_sha256", name)]
    shown = [*_KEY_TAGS, *sorted(of_logs, key=lambda name: int(name.split("_")[1]))]
    facts = [(name.replace("_", " "), tags[name]) for name in shown if tags.get(name)]
    if sources.plan is not None:
        settings = sources.plan.index.get("parameters", {}).get("settings", {})
        facts.append(("thresholds of the plan", str(settings.get("preset", ""))))
        facts.append(
            ("plan made by", str(sources.plan.index.get("provenance", {}).get("software", "")))
        )
    facts.append(("folders", ", ".join(folder.resolve().name for folder in sources.folders)))
    return [(name, value) for name, value in facts if value]


def _flat(value: Any, prefix: str = "") -> Iterable[tuple[str, str]]:  # noqa: ANN401 - JSON
    """Give nested values as names with dots."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _flat(part, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
        for part in value:
            shown = ", ".join(f"{name} {text}" for name, text in part.items() if text is not None)
            yield prefix, shown
    elif isinstance(value, list):
        if value:
            yield prefix, ", ".join(map(str, value))
    elif value not in (None, ""):
        yield prefix, str(value)
