"""Descriptions of the options for the dialogs of QGIS.

The plugin does not import rm_geo in QGIS's process. It reads ``options.json`` in its folder, which
``python -m rm_geo.qgis.option_descriptions`` writes in a checkout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rm_geo.options import GROUPS
from rm_geo.planning.settings import PlanSettings, SettingsGroup

FILE: Final = "options.json"
"""Name of the file in the plugin's folder."""

_KEPT: Final = ("type", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_SCALARS: Final = frozenset({"boolean", "integer", "number"})


def describe_options() -> dict[str, dict[str, Any]]:
    """Describe all options of a prediction, and the settings of a plan that are one value.

    Returns
    -------
    dict of str to dict
        By flat name, or ``group.name`` of a setting: ``description``, ``default``, and if stated
        ``type``, ``minimum``, ``exclusiveMinimum``, ``maximum`` and ``exclusiveMaximum``, as in a
        JSON schema.

    Examples
    --------
    >>> describe_options()["tile_size_px"]["minimum"]
    16
    """
    found = {}
    for group in GROUPS.values():
        for name, schema in group.model_json_schema()["properties"].items():
            found[name] = _described(schema)
    for group_name, field in PlanSettings.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, SettingsGroup):
            for name, schema in model.model_json_schema()["properties"].items():
                facts = _described(schema)
                if facts.get("type") in _SCALARS and "enum" not in schema:
                    found[f"{group_name}.{name}"] = facts
    return found


def _described(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Describe an option by the JSON schema of its field."""
    kinds = [kind for kind in schema.get("anyOf", [schema]) if kind.get("type") != "null"]
    return {
        "description": schema["description"],
        "default": schema.get("default"),
        **{key: kinds[0][key] for key in _KEPT if key in kinds[0]},
    }


def options_text() -> str:
    """Write the descriptions as the text of ``options.json``.

    Returns
    -------
    str
        JSON with a line for each fact.
    """
    return json.dumps(describe_options(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    plugin = Path(__file__).resolve().parents[2] / "qgis_plugin"
    (plugin / FILE).write_text(options_text(), "utf-8")
