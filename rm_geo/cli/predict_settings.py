"""Prediction options of ``rm-geo predict``, and defaults of the jobs of ``rm-geo batch``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rm_geo.cli.options import F, given_options, prediction_options

if TYPE_CHECKING:
    from rm_geo.options import PredictOptions
    from rm_geo.planning.settings import PlanSettings


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


def plan_options(command: F) -> F:
    """Add ``--plan`` and ``--plan-settings`` to a command.

    Parameters
    ----------
    command : callable
        Function of the command, with the parameters ``with_plan`` and ``plan_settings``.

    Returns
    -------
    callable
        The function with the options.
    """
    command = click.option(
        "--plan-settings",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="YAML file of thresholds for --plan.",
    )(command)
    return click.option(
        "--plan",
        "with_plan",
        is_flag=True,
        help="Also derive planning products from the maps, as 'rm-geo plan' does, into the folder "
        "'plan' beside them; implies --uncertainty.",
    )(command)


def thresholds_of(with_plan: bool, file: Path | None) -> PlanSettings | None:
    """Read the settings of the plan that :func:`plan_options` asks for.

    Parameters
    ----------
    with_plan : bool
        Whether a plan is asked for.
    file : Path or None
        File of settings, which asks for a plan too.

    Returns
    -------
    PlanSettings or None
        None if no plan is asked for.

    Raises
    ------
    ConfigError, InputError
        If the file cannot be used.
    """
    if not with_plan and file is None:
        return None
    from rm_geo.planning.settings import PlanSettings, read_plan_settings

    return PlanSettings() if file is None else read_plan_settings(file)
