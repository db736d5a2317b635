"""The plugin's only setting, the interpreter, among those of Processing's providers."""

from __future__ import annotations

import os
from pathlib import Path

from qgis.core import QgsSettings

from .interpreter import Interpreter, choose_interpreter

NAME = "RM_GEO_PYTHON"
"""Name of the setting below Processing's key."""

PLUGIN_FOLDER = Path(__file__).resolve().parent


def interpreter_setting() -> str:
    """Return the interpreter of the setting.

    Returns
    -------
    str
        Path; empty if not set.
    """
    return str(QgsSettings().value(f"Processing/Configuration/{NAME}", "") or "")


def set_interpreter(path: str) -> None:
    """Save the interpreter, also in the settings that Processing has loaded.

    Parameters
    ----------
    path : str
        Path; empty to unset.
    """
    try:
        from processing.core.ProcessingConfig import ProcessingConfig

        ProcessingConfig.setSettingValue(NAME, path)
    except (ImportError, KeyError, AttributeError, ValueError):
        pass  # Processing refuses a missing file; the next run reports it
    QgsSettings().setValue(f"Processing/Configuration/{NAME}", path)


def current_interpreter() -> Interpreter:
    """Return the interpreter for the current setting and environment.

    Returns
    -------
    Interpreter
        See :func:`choose_interpreter`.

    Raises
    ------
    NoInterpreterError
        If there is none.
    """
    return choose_interpreter(interpreter_setting(), os.environ, PLUGIN_FOLDER)


def register_setting(provider_name: str, icon: object) -> None:
    """Add the setting to the providers in Processing's settings.

    Parameters
    ----------
    provider_name : str
        Name of the provider.
    icon : QIcon
        Icon of the provider.
    """
    try:
        from processing.core.ProcessingConfig import ProcessingConfig, Setting
    except ImportError:  # Processing is disabled, or the application has none
        return
    ProcessingConfig.settingIcons[provider_name] = icon
    ProcessingConfig.addSetting(
        Setting(
            provider_name,
            NAME,
            "Python interpreter of the environment with rm_geo (empty: found by itself)",
            "",
            valuetype=Setting.FILE,
        )
    )
    ProcessingConfig.readSettings()


def unregister_setting() -> None:
    """Remove the setting."""
    try:
        from processing.core.ProcessingConfig import ProcessingConfig

        ProcessingConfig.removeSetting(NAME)
    except (ImportError, KeyError):
        pass
