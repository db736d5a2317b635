"""The HTML file of a report, with everything inside.

The map is drawn by Leaflet, whose files the package XStatic-Leaflet installs; they are copied into
the page. Its plane is that of the rasters' CRS, in metres: pictures lie exactly on their pixels,
lengths are true, and no background map is needed, which would need a network.
"""

from __future__ import annotations

import base64
import mimetypes
import os
import re
from collections.abc import Sequence
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rm_geo._util.atomic import output_folder, replacing, require_file_target
from rm_geo._version import __version__
from rm_geo.errors import DependencyError, UsageError
from rm_geo.progress import Progress, SilentProgress
from rm_geo.report.contents import Contents, collect
from rm_geo.report.sources import read_sources

if TYPE_CHECKING:
    from jinja2 import Environment

REPORT_NAME: Final = "report.html"
"""Name of a report whose name is not given."""

DEFAULT_MAX_MB: Final = 24.0
"""Size of the pictures in a report, in megabytes."""

_PLAIN_NAMES: Final = frozenset({"plan", "maps", "validation", "comparison"})
_LEAFLET: Final = "xstatic.pkg.leaflet"


def write_report(
    folders: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    title: str | None = None,
    max_mb: float = DEFAULT_MAX_MB,
    progress: Progress | None = None,
) -> Path:
    """Write results as one HTML file that opens without a network.

    It shows a summary, a map with layers, the coverage of each cell, the holes, errors at held-out
    places, warnings, and where the results come from; what the folders hold of these.

    Parameters
    ----------
    folders : path-like or sequence of path-like
        Folders that predict, plan, compare and validate wrote, in any order: at most one plan,
        one run of predict and one comparison.
    output : path-like, optional
        The file; ``report.html`` in the first folder if not given.
    title : str, optional
        Heading.
    max_mb : float
        Size of all pictures together in megabytes; larger rasters are reduced.
    progress : Progress, optional
        Counts the layers, and may cancel the work.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If a folder is missing, holds no results, or an index is damaged.
    DependencyError
        If Leaflet's files are not installed.
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> write_report(["plan", "maps"], "report.html")  # doctest: +SKIP
    PosixPath('report.html')
    """
    if not 0.1 <= max_mb <= 1000:
        raise UsageError("`max_mb` must be between 0.1 and 1000.", parameter="max_mb")
    sources = read_sources(folders)
    target = require_file_target(sources.folders[0] / REPORT_NAME if output is None else output)
    listener = SilentProgress() if progress is None else progress
    heading = title or report_title(sources.folders[0])
    with output_folder(target.parent):
        # base64 makes four bytes of three.
        size = int(max_mb * 1e6 * 3 / 4)
        contents = collect(sources, heading, max_bytes=size, progress=listener)
        page = render(contents)
        with replacing(target) as part:
            part.write_text(page, "utf-8")
    return target


def report_title(folder: Path) -> str:
    """Give the heading of a report whose title is not given.

    Parameters
    ----------
    folder : Path
        The first folder of results.

    Returns
    -------
    str

    Examples
    --------
    >>> report_title(Path("/work/campus/plan"))
    'Radio map report: campus'
    """
    return f"Radio map report: {_name_of(folder)}"


def _name_of(folder: Path) -> str:
    """Name results by their folder, or by that around it where the name is a general one."""
    place = folder.resolve()
    return place.parent.name if place.name in _PLAIN_NAMES and place.parent.name else place.name


def render(contents: Contents) -> str:
    """Fill the template.

    Parameters
    ----------
    contents : Contents
        What the page shows.

    Returns
    -------
    str
        HTML.

    Raises
    ------
    DependencyError
        If Leaflet's files are not installed.
    """
    data: dict[str, Any] = {
        "layers": [layer.to_json() for layer in contents.layers],
        "features": [layer.to_json() for layer in contents.features],
        "origin": None if contents.frame is None else [contents.frame.x, contents.frame.y],
        "crs": "" if contents.frame is None else contents.frame.crs.name,
    }
    environment = _environment()
    text: str = environment.get_template("report.html.j2").render(
        contents=contents,
        data=data,
        has_map=bool(contents.layers),
        leaflet=_leaflet(),
        style=_own("report.css"),
        script=_own("report.js"),
        made=contents.sources.newest.strftime("%Y-%m-%d %H:%M UTC"),
        version=__version__,
    )
    return text


def _environment() -> Environment:
    """Make the environment of the template; all values are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("rm_geo.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def _own(name: str) -> str:
    """Read a file beside the template."""
    return (files("rm_geo.report") / "templates" / name).read_text("utf-8")


def _leaflet() -> dict[str, str]:
    """Read Leaflet's script and style, its pictures inside the style."""
    try:
        folder = files(_LEAFLET) / "data"
        script = (folder / "leaflet.js").read_text("utf-8")
        style = (folder / "leaflet.css").read_text("utf-8")
        version = metadata.version("XStatic-Leaflet")
    except (ModuleNotFoundError, FileNotFoundError, metadata.PackageNotFoundError) as error:
        raise DependencyError(
            "The files of Leaflet are not installed.",
            hint="Install them: pip install XStatic-Leaflet",
        ) from error
    script = re.sub(r"(?m)^//# sourceMappingURL=.*$", "", script)
    style = re.sub(r"url\(([^)]+)\)", lambda found: _inlined(folder, found), style)
    return {"script": script.replace("</script", "<\\/script"), "style": style, "version": version}


def _inlined(folder: Any, found: re.Match[str]) -> str:  # noqa: ANN401 - of importlib.resources
    """Replace the name of a picture by its content."""
    name = found[1].strip("'\"")
    path = folder
    for part in name.split("/"):
        path = path / part
    if name.startswith("#") or not path.is_file():
        return "none"
    kind = mimetypes.guess_type(name)[0] or "image/png"
    return f"url(data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')})"
