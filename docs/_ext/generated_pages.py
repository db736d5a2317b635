"""Pages that are made from the code, before Sphinx reads the sources.

They are written to ``docs/generated`` (not committed) and included by, or linked from, the pages
that are written by hand.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import architecture_diagram
from sphinx.application import Sphinx

import rm_geo
from rm_geo.estimators.registry import list_methods
from rm_geo.planning.registry import all_products

REPOSITORY = Path(__file__).resolve().parents[2]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.connect("config-inited", write_pages)
    return {"parallel_read_safe": True}


def write_pages(app: Sphinx, _config: object) -> None:
    """Write all generated files."""
    folder = Path(app.srcdir) / "generated"
    folder.mkdir(exist_ok=True)
    for page in (folder / "api").glob("rm_geo.*.rst"):  # of names that no longer exist
        if page.stem.removeprefix("rm_geo.") not in rm_geo.__all__:
            page.unlink()
    _write(folder / "api.rst", api_page())
    _write(folder / "methods.md", methods_table())
    _write(folder / "models.md", models_table())
    _write(folder / "rooms.md", rooms_table())
    _write(folder / "plan-products.md", products_table())


def api_page() -> str:
    """List the public names of ``rm_geo``: classes, functions, then modules."""
    classes, functions, modules = [], [], []
    for name in sorted(set(rm_geo.__all__) - {"__version__"}):
        value = getattr(rm_geo, name)
        if inspect.ismodule(value):
            modules.append(name)
        else:
            (classes if inspect.isclass(value) else functions).append(name)
    lines = [
        "API reference",
        "=============",
        "",
        "Everything below is imported from ``rm_geo``. ``import rm_geo`` itself imports neither",
        "PyTorch nor GDAL: each is loaded when a function needs it.",
        "",
        ".. currentmodule:: rm_geo",
        "",
    ]
    for title, names in (("Functions", functions), ("Classes", classes)):
        lines += [title, "-" * len(title), "", ".. autosummary::", "   :toctree: api", ""]
        lines += [f"   {name}" for name in names] + [""]
    lines += ["Errors", "------", "", ".. automodule:: rm_geo.errors", "   :members:", ""]
    return "\n".join(lines)


def methods_table() -> str:
    """Tabulate the registered methods."""
    lines = ["| name | method | needs | maps buildings |", "|---|---|---|---|"]
    for method in list_methods():
        needs = "; ".join(method.needs) or "nothing"
        buildings = "yes" if method.maps_buildings else ""
        lines.append(f"| `{method.name}` | {method.summary} | {needs} | {buildings} |")
    return "\n".join(lines) + "\n"


def models_table() -> str:
    """Tabulate the models that come with rm_geo."""
    index = json.loads((REPOSITORY / "models" / "index.json").read_text("utf-8"))
    used: dict[str, list[str]] = {}
    for key, name in index["default"].items():
        used.setdefault(name, []).append(f"`{key}`")
    lines = ["| model | package | default for | parameters | what it is |", "|---|---|---|---|---|"]
    for model in sorted(index["models"], key=lambda model: "package" in model):
        keys = ", ".join(used.get(model["name"], []))
        package = model.get("package", "rm-geo")
        lines.append(
            f"| `{model['name']}` | {package} | {keys} | {model['parameters']:,} | "
            f"{model['summary']} |"
        )
    return "\n".join(lines) + "\n"


def products_table() -> str:
    """Tabulate the planning products with their definitions."""
    lines = ["| name | files | definition |", "|---|---|---|"]
    for product in all_products():
        files = ", ".join(f"`{file}`" for file in product.files)
        lines.append(f"| `{product.name}` | {files} | {product.definition} |")
    return "\n".join(lines) + "\n"


def rooms_table() -> str:
    """Tabulate the packages, from high to low, with the first line of their docstrings."""
    lines = ["| package | contents |", "|---|---|"]
    for layer in architecture_diagram.layers():
        for name in layer:
            lines.append(f"| `{name}` | {architecture_diagram.summary(name)} |")
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    """Write a file if its content changed, so that an unchanged page is not built again."""
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")
