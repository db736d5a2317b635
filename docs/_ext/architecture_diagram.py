"""Draw the packages of rm_geo and the direction of their imports.

The layers are those of ``.importlinter``, which ``make lint`` enforces; the descriptions are the
first lines of the docstrings. Run as a program, it writes ``docs/images/architecture.svg``.
"""

from __future__ import annotations

import ast
import configparser
import re
import textwrap
from pathlib import Path
from xml.sax.saxutils import escape

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = "rm_geo"

WIDTH, ROW, GAP, LEFT = 840, 60, 10, 70
# Colour and name of the group of each package, from the interfaces down to the tools.
GROUPS = (
    ("interfaces", "#dbe7f3", {"cli", "worker"}),
    ("research", "#ece3f2", {"training", "evaluation", "datasets"}),
    ("runs", "#fdebd0", {"distributed", "workflows", "pipeline", "validation", "planning"}),
    ("methods", "#dff0d8", {"inference", "estimators", "geostat", "networks", "propagation"}),
    ("data", "#fbf3cf", {"raster", "sites", "buildings", "measurements", "products", "zoo", "io"}),
)
TOOLS = ("tools", "#ececec")


def layers() -> list[list[str]]:
    """Read the layers of the import contract, from high to low."""
    parser = configparser.ConfigParser()
    parser.read(REPOSITORY / ".importlinter", encoding="utf-8")
    section = next(
        name for name in parser.sections() if parser.get(name, "type", fallback="") == "layers"
    )
    rows = parser.get(section, "layers").strip().splitlines()
    prefix = f"{PACKAGE}."
    return [
        [name.strip().strip("()").removeprefix(prefix) for name in row.replace(":", "|").split("|")]
        for row in rows
    ]


def summary(name: str) -> str:
    """Return the first line of the docstring of a package or module, without its full stop."""
    folder = REPOSITORY / PACKAGE / name
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    if not path.exists():
        return ""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return re.sub(r":\w+:`~?([^`]*)`", r"\1", text.partition("\n")[0]).rstrip(".")


def drawing() -> str:
    """Draw the layers as SVG."""
    rows = layers()
    height = len(rows) * (ROW + GAP) + 70
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="DejaVu Sans, Helvetica, Arial, sans-serif" role="img">',
        "<title>Packages of rm_geo: each imports only from rows below it</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<defs><marker id="arrow" viewBox="0 0 10 10" refX="5" refY="9" markerWidth="9" '
        'markerHeight="9"><path d="M0 0 L5 10 L10 0 z" fill="#555"/></marker></defs>',
        f'<line x1="44" y1="24" x2="44" y2="{height - 70}" stroke="#555" stroke-width="2" '
        'marker-end="url(#arrow)"/>',
        f'<text x="30" y="{height // 2 - 30}" font-size="15" fill="#333" text-anchor="middle" '
        f'transform="rotate(-90 30 {height // 2 - 30})">imports</text>',
    ]
    for number, row in enumerate(rows):
        top = 16 + number * (ROW + GAP)
        width = (WIDTH - LEFT - 20 - GAP * (len(row) - 1)) / len(row)
        for place, name in enumerate(row):
            parts += _box(LEFT + place * (width + GAP), top, width, name)
    parts += _legend(height - 40)
    return "\n".join([*parts, "</svg>", ""])


def _box(left: float, top: float, width: float, name: str) -> list[str]:
    """Draw a package with as many lines of its description as fit."""
    colour = next((c for _, c, names in GROUPS if name in names), TOOLS[1])
    lines = [
        f'<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="{ROW}" rx="6" '
        f'fill="{colour}" stroke="#888"/>',
        f'<text x="{left + 10:.0f}" y="{top + 19}" font-size="16" font-weight="bold" '
        f'fill="#111">{escape(name)}</text>',
    ]
    for number, text in enumerate(_wrap(summary(name), int((width - 20) / 7.4))[:2]):
        lines.append(
            f'<text x="{left + 10:.0f}" y="{top + 36 + 16 * number}" font-size="13" '
            f'fill="#333">{escape(text)}</text>'
        )
    return lines


def _wrap(text: str, columns: int) -> list[str]:
    """Break a text into two lines; an ellipsis ends what does not fit."""
    return textwrap.wrap(text, columns, max_lines=2, placeholder=" …")


def _legend(top: int) -> list[str]:
    """Draw the colours of the groups."""
    parts, left = [], LEFT
    for name, colour in [(n, c) for n, c, _ in GROUPS] + [TOOLS]:
        parts += [
            f'<rect x="{left}" y="{top}" width="16" height="16" fill="{colour}" stroke="#888"/>',
            f'<text x="{left + 22}" y="{top + 13}" font-size="14" fill="#333">{name}</text>',
        ]
        left += 44 + 9 * len(name)
    return parts


if __name__ == "__main__":
    (REPOSITORY / "docs" / "images" / "architecture.svg").write_text(drawing(), "utf-8")
