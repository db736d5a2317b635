"""The options of ``rm-geo predict``, which ``rm-geo batch`` takes as its jobs' defaults."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any, Final

import click

from rm_geo.cli.options import (
    F,
    LocationParam,
    Number,
    batch_size_option,
    bbox_option,
    column_options,
    device_option,
    grid_options,
    model_option,
    setting_of,
    sites_crs_option,
)

if TYPE_CHECKING:
    from rm_geo.options import PredictOptions

_OPTIONS: Final = (
    click.option(
        "--method",
        default="radiocycle",
        show_default=True,
        metavar="NAME",
        help="How the maps are made; 'rm-geo info' lists the methods.",
    ),
    model_option,
    click.option(
        "-O",
        "--method-option",
        "method_options",
        multiple=True,
        metavar="KEY=VALUE",
        help="Parameter of the method, such as neighbors=8; may be repeated.",
    ),
    device_option,
    batch_size_option,
    click.option(
        "--tile-size", type=click.IntRange(16), default=256, show_default=True, metavar="PX"
    ),
    click.option(
        "--overlap",
        type=click.IntRange(0),
        default=32,
        show_default=True,
        metavar="PX",
        help="Least number of pixels that neighbouring tiles share.",
    ),
    click.option(
        "--reach",
        type=Number(0),
        default=100.0,
        show_default=True,
        metavar="M",
        help="Pixels further from any measurement stay empty.",
    ),
    grid_options,
    column_options,
    bbox_option,
    click.option(
        "--cell",
        "cells",
        multiple=True,
        metavar="NAME",
        help="Map this cell only, by its name in the measurements or of its files; may be "
        "repeated.",
    ),
    click.option(
        "--sites",
        type=LocationParam(),
        metavar="FILE",
        help="Table of the sites; without it, positions are estimated.",
    ),
    sites_crs_option,
    click.option(
        "--buildings",
        type=LocationParam(),
        metavar="FILE",
        help="Outlines of the buildings, or a raster of them, where they are known.",
    ),
    click.option(
        "--buildings-layer", metavar="NAME", help="Layer of the outlines, where there are several."
    ),
    click.option(
        "--eirp",
        type=Number(),
        metavar="DBM",
        help="EIRP per resource element, where the sites do not say.",
    ),
    click.option(
        "--frequency",
        type=Number(1),
        metavar="MHZ",
        help="Carrier, where neither sites nor measurements say.",
    ),
    click.option(
        "--assimilate/--no-assimilate",
        default=True,
        show_default=True,
        help="Krige the residuals at the measurements back in.",
    ),
    click.option(
        "--noise",
        type=Number(0),
        metavar="DB",
        help="Error of a measured pixel; judged by its neighbours if not given, with 0 "
        "the map equals the measurement.",
    ),
    click.option(
        "--trust",
        type=Number(0, 1),
        metavar="SHARE",
        help="Share of the method in the map, inverse distances have the rest; judged "
        "on measurements held back from the method if not given.",
    ),
    click.option(
        "--min-pixels",
        type=click.IntRange(1),
        default=5,
        show_default=True,
        metavar="N",
        help="A cell measured in fewer pixels fails.",
    ),
    click.option("--mask", is_flag=True, help="Also write the building mask."),
    click.option(
        "--mask-threshold",
        type=Number(0, 1, min_open=True, max_open=True),
        default=0.5,
        show_default=True,
        metavar="P",
    ),
    click.option(
        "--uncertainty", is_flag=True, help="Also write the standard deviation, if known."
    ),
    click.option("--preview/--no-preview", default=True, show_default=True),
    click.option("--stac", is_flag=True, help="Also write a STAC item of each cell."),
    click.option(
        "--fresh", is_flag=True, help="Discard what an interrupted run left, instead of going on."
    ),
)


def predict_settings(command: F) -> F:
    """Add all options that say how measurements become maps."""
    return reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), command)


def settings_of(chosen: Mapping[str, Any]) -> PredictOptions:
    """Gather the options of :func:`predict_settings` in one value."""
    from rm_geo.options import PredictOptions

    return PredictOptions(
        method=chosen["method"],
        model=chosen["model"],
        method_options=dict(setting_of(text, "-O") for text in chosen["method_options"]),
        device=chosen["device"],
        batch_size=chosen["batch_size"],
        tile_size_px=chosen["tile_size"],
        overlap_px=chosen["overlap"],
        resolution_m=chosen["resolution"],
        reach_m=chosen["reach"],
        crs=chosen["crs"],
        target_crs=chosen["target_crs"],
        layer=chosen["layer"],
        rsrp_column=chosen["rsrp_column"],
        cell_column=chosen["cell_column"],
        x_column=chosen["x_column"],
        y_column=chosen["y_column"],
        time_column=chosen["time_column"],
        bbox=chosen["bbox"],
        cells=chosen["cells"],
        sites=chosen["sites"],
        sites_crs=chosen["sites_crs"],
        buildings=chosen["buildings"],
        buildings_layer=chosen["buildings_layer"],
        eirp_dbm=chosen["eirp"],
        frequency_mhz=chosen["frequency"],
        assimilate=chosen["assimilate"],
        method_weight=chosen["trust"],
        noise_db=chosen["noise"],
        min_pixels=chosen["min_pixels"],
        max_tiles=chosen["max_tiles"],
        mask=chosen["mask"],
        mask_threshold=chosen["mask_threshold"],
        uncertainty=chosen["uncertainty"],
        preview=chosen["preview"],
        stac=chosen["stac"],
        fresh=chosen["fresh"],
    )
