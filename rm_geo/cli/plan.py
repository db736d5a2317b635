"""``rm-geo plan``: what a planner decides by, from the radio maps of many cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rm_geo.cli.options import Number, console_options, setting_of, sites_crs_option

if TYPE_CHECKING:
    from rm_geo._util.console import Console
    from rm_geo.planning.settings import PlanSettings
    from rm_geo.workflows.plan import PlanResult

_FILE = click.Path(path_type=Path)


@click.command("plan")
@click.argument("maps", nargs=-1, type=_FILE)
@click.option(
    "-o",
    "--output",
    "out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the results.",
)
@click.option(
    "--preset",
    type=click.Choice(["lte", "nr-fr1", "nb-iot", "lora"]),
    help="Technology whose thresholds and classes are the defaults.  [default: lte]",
)
@click.option(
    "--settings",
    "settings_file",
    type=_FILE,
    metavar="FILE",
    help="YAML file of thresholds and options, as --show-settings prints it.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="GROUP.NAME=VALUE",
    help="One setting, such as holes.min_area_m2=100; takes precedence over the file. Can be "
    "repeated.",
)
@click.option(
    "--threshold",
    type=Number(),
    metavar="DBM",
    help="Level at which a place is covered; short for --set coverage.threshold_dbm.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Make this product, and those that it needs. Can be repeated.",
)
@click.option(
    "--sites",
    type=_FILE,
    metavar="FILE",
    help="Site table: positions, azimuths and carriers of the cells.",
)
@sites_crs_option
@click.option(
    "--population", type=_FILE, metavar="FILE", help="Raster of persons for each pixel, any CRS."
)
@click.option("--roads", type=_FILE, metavar="FILE", help="Layer of roads.")
@click.option(
    "--polygons", type=_FILE, metavar="FILE", help="Layer of polygons for statistics, any CRS."
)
@click.option(
    "--measurements",
    type=_FILE,
    metavar="FILE",
    help="The drive test that the maps were made of.",
)
@click.option(
    "--report/--no-report",
    default=None,
    help="Write report.html, which shows the results in a browser.  [default: on, but not with "
    "--only]",
)
@click.option("--list", "show_list", is_flag=True, help="List the products, and stop.")
@click.option("--show-settings", is_flag=True, help="Print the settings as YAML, and stop.")
@console_options
def plan(
    maps: tuple[Path, ...],
    out: Path | None,
    preset: str | None,
    settings_file: Path | None,
    changes: tuple[str, ...],
    threshold: float | None,
    only: tuple[str, ...],
    sites: Path | None,
    sites_crs: str | None,
    population: Path | None,
    roads: Path | None,
    polygons: Path | None,
    measurements: Path | None,
    report: bool | None,
    show_list: bool,
    show_settings: bool,
    console: Console,
) -> None:
    """Derive planning products from MAPS: folders of 'rm-geo predict', or GeoTIFFs of RSRP in dBm.

    Composite, best server, overlap, coverage classes, probability of coverage, holes and more, as
    cloud-optimised GeoTIFFs, GeoPackages and tables. plan.json lists them with their definitions,
    statistics and parameters, and what could not be made with the reason.
    """
    from rm_geo.planning.product import PlanInputs

    if show_list:
        _show_list(console)
        return
    settings = plan_settings(settings_file, preset, changes, threshold)
    if show_settings:
        _show_settings(settings, console)
        return
    if not maps:
        raise click.UsageError("Missing argument 'MAPS...'.")
    if out is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    from rm_geo.workflows.plan import make_plan, write_plan_report

    inputs = PlanInputs(population, roads, polygons, measurements)
    result = make_plan(
        maps,
        out,
        settings,
        only=only,
        sites=sites,
        sites_crs=sites_crs,
        inputs=inputs,
        progress=console,
    )
    page = None
    if report or (report is None and not only):
        from rm_geo.errors import DependencyError

        try:
            page = write_plan_report(out, maps, progress=console)
        except DependencyError as error:
            if report:
                raise
            console.log(f"Not made: report: {error}")
    console.result(plan_values(result, page), plan_text(result, page))


def plan_settings(
    file: Path | None, preset: str | None, changes: Sequence[str], threshold: float | None = None
) -> PlanSettings:
    """Combine a file, a preset and single settings.

    Parameters
    ----------
    file : Path or None
        YAML file.
    preset : str or None
        Takes precedence over that of the file.
    changes : sequence of str
        ``GROUP.NAME=VALUE``, each of which takes precedence over the file.
    threshold : float or None
        The threshold of coverage in dBm.

    Returns
    -------
    PlanSettings

    Raises
    ------
    click.BadParameter
        If a change is not of that form.
    ConfigError, UsageError, InputError
        As of :func:`rm_geo.planning.settings.read_plan_settings`.
    """
    from rm_geo.planning.settings import PlanSettings, read_plan_settings

    base = PlanSettings() if file is None else read_plan_settings(file)
    values: dict[str, Any] = {} if preset is None else {"preset": preset}
    if threshold is not None:
        values["coverage"] = {"threshold_dbm": threshold}
    for text in changes:
        key, value = setting_of(text, "--set")
        group, dot, name = key.partition(".")
        if not dot:
            raise click.BadParameter(
                f"{text!r} is not GROUP.NAME=VALUE, such as holes.min_area_m2=100.",
                param_hint="--set",
            )
        values.setdefault(group, {})[name] = value
    return base.replace(**values) if values else base


def plan_values(result: PlanResult, page: Path | None = None) -> dict[str, object]:
    """Give the result, and the report if there is one, for ``--json``.

    Parameters
    ----------
    result : PlanResult
        The plan.
    page : Path, optional
        The report.

    Returns
    -------
    dict
        Values for JSON: ``folder``, ``report``, ``files``, ``products`` and ``not_made``.
    """
    return {
        "folder": result.folder,
        "report": page,
        "files": [path.name for path in result.files],
        "products": {name: entry["statistics"] for name, entry in result.products.items()},
        "not_made": dict(result.not_made),
    }


def plan_text(result: PlanResult, page: Path | None = None) -> str:
    """Write the result for a terminal.

    Parameters
    ----------
    result : PlanResult
        The plan.
    page : Path, optional
        The report.

    Returns
    -------
    str
        Shares of the classes, other statistics, files, and what could not be made.
    """
    lines = []
    products = result.products
    if "coverage" in products:
        shares: Mapping[str, float] = products["coverage"]["statistics"].get("share_by_class", {})
        lines.append(f"{'coverage':<26}{'share':>8}")
        lines += [f"  {name:<24}{100 * share:>6.1f} %" for name, share in shares.items()]
    if "probability" in products:
        found = products["probability"]["statistics"]
        for share, part in found.get("share_at_least", {}).items():
            lines.append(
                f"Covered with a probability of at least {float(share):.0%}: {part:.1%} of the area"
            )
    if "holes" in products:
        found = products["holes"]["statistics"]
        lines.append(f"{found['holes']} coverage holes of {found['area_km2']:.3g} km2 in all")
    lines.append(f"{len(products)} products: {', '.join(products)}")
    lines += [f"Not made: {name}: {reason}" for name, reason in result.not_made.items()]
    lines.append(f"Files and their index, plan.json: {result.folder}")
    if page is not None:
        lines.append(f"Report, for a browser: {page}")
    return "\n".join(lines)


def _show_list(console: Console) -> None:
    """Print names, files and summaries of the products."""
    from rm_geo.planning.registry import all_products

    products = all_products()
    width = max(len(product.name) for product in products)
    console.result(
        {
            "products": [
                {
                    "name": product.name,
                    "summary": product.summary,
                    "definition": product.definition.replace("`", ""),
                    "files": list(product.files),
                }
                for product in products
            ]
        },
        "\n".join(
            f"{product.name:<{width}}  {product.summary} {', '.join(product.files)}"
            for product in products
        ),
    )


def _show_settings(settings: PlanSettings, console: Console) -> None:
    """Print the settings as a file of --settings has them."""
    import yaml

    values = settings.model_dump(mode="json")
    console.result(
        {"settings": values}, yaml.safe_dump(values, sort_keys=False, allow_unicode=True).rstrip()
    )
