"""Prediction options of ``rm-geo predict``, and defaults of the jobs of ``rm-geo batch``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rm_geo.cli.options import F, given_options, prediction_options

if TYPE_CHECKING:
    from rm_geo.options import PredictOptions


def predict_settings(command: F) -> F:
    """Add all prediction options and ``--config`` to a command.

    Parameters
    ----------
    command : callable
        Function of the command.

    Returns
    -------
    callable
        The function with the options.
    """
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
        Keyword arguments of the decorated command.

    Returns
    -------
    PredictOptions
        Command line, else configuration file, else default.

    Raises
    ------
    UsageError
        If an option is invalid.
    ConfigError
        If the configuration file has an unknown name or an invalid value.
    InputError
        If the configuration file cannot be read.
    """
    from rm_geo.options import PredictOptions
    from rm_geo.pipeline.options_file import read_options

    given = given_options({name: value for name, value in chosen.items() if name != "config"})
    if chosen["config"] is None:
        return PredictOptions(**given)
    return read_options(chosen["config"]).replace(**given)
