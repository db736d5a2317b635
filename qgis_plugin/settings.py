"""The plugin's one setting, the interpreter, kept among those of Processing's providers."""

from __future__ import annotations

import os
from pathlib import Path

from qgis.core import QgsSettings

from .interpreter import Interpreter, choose_interpreter

NAME = "RM_GEO_PYTHON"
"""Name of the setting; Processing puts it below its own key."""

PLUGIN_FOLDER = Path(__file__).resolve().parent


def interpreter_setting() -> str:
    """Give the interpreter that was set by hand, or nothing."""
    return str(QgsSettings().value(f"Processing/Configuration/{NAME}", "") or "")


def set_interpreter(path: str) -> None:
    """Keep an interpreter, also in the settings that Processing has read already."""
    try:
        from processing.core.ProcessingConfig import ProcessingConfig

        ProcessingConfig.setSettingValue(NAME, path)
    except (ImportError, KeyError, AttributeError, ValueError):
        pass  # Processing refuses a file that is not there; the next run says so in words
    QgsSettings().setValue(f"Processing/Configuration/{NAME}", path)


def current_interpreter() -> Interpreter:
    """Choose the interpreter.

    Raises
    ------
    NoInterpreterError
        If there is none.
    """
    return choose_interpreter(interpreter_setting(), os.environ, PLUGIN_FOLDER)


def register_setting(provider_name: str, icon: object) -> None:
    """Show the setting among Processing's providers, where Processing's own settings are."""
    try:
        from processing.core.ProcessingConfig import ProcessingConfig, Setting
    except ImportError:  # Processing is switched off, or a bare application runs the provider
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
    """Take the setting away with the provider."""
    try:
        from processing.core.ProcessingConfig import ProcessingConfig

        ProcessingConfig.removeSetting(NAME)
    except (ImportError, KeyError):
        pass
