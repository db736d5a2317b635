"""Options of a prediction: of ``rm-geo predict``, and the defaults of the jobs of ``batch``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rm_geo.cli.options import F, given_options, prediction_options

if TYPE_CHECKING:
    from rm_geo.options import PredictOptions


def predict_settings(command: F) -> F:
    """Add all options of a prediction, and ``--config``."""
    command = click.option(
        "--config",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="YAML file of options by their names here, such as 'reach: 50'; options of the "
        "command line take precedence. Paths in it are relative to its folder.",
    )(command)
    return prediction_options()(command)


def settings_of(chosen: Mapping[str, Any]) -> PredictOptions:
    """Combine the options of :func:`predict_settings` into one value.

    Parameters
    ----------
    chosen : mapping
        What the decorated command got.

    Returns
    -------
    PredictOptions
        Defaults, changed by the configuration file, changed by the command line.

    Raises
    ------
    UsageError
        If an option is invalid.
    ConfigError
        If the configuration file has an unknown name or an invalid value.
    InputError
        If it cannot be read.
    """
    from rm_geo.options import PredictOptions
    from rm_geo.pipeline.options_file import read_options

    given = given_options({name: value for name, value in chosen.items() if name != "config"})
    if chosen["config"] is None:
        return PredictOptions(**given)
    return read_options(chosen["config"]).replace(**given)
