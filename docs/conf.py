"""Sphinx configuration. Nothing is fetched from the network, here or by the pages."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from rm_geo import __version__

project = "rm_geo"
author = "The rm_geo developers"
copyright = author
release = version = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    "generated_pages",
]

exclude_patterns = ["_build", "_ext"]
smartquotes = False  # "--help" stays as it is typed
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autosummary_generate = True
autosummary_imported_members = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc prints the types of the docstring
numpydoc_show_class_members = False  # autodoc documents the members
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = "rm_geo"
html_static_path = ["_static"]
html_css_files = ["rm_geo.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {page: [] for page in ("quickstart", "tutorial", "models", "results", "changelog")}
html_context = {"default_mode": "light"}

copybutton_prompt_text = ">>> "
