"""Names of the classes of a raster, in the sidecar where GDAL and QGIS look for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from rm_geo._util.atomic import replacing

SIDECAR_ENDING: Final = ".aux.xml"


def write_category_names(raster: Path, names: Mapping[int, str]) -> Path:
    """Write the names of the values of a raster as GDAL's sidecar.

    A GeoTIFF itself cannot hold them, and rasterio cannot write them; QGIS shows them in legends.

    Parameters
    ----------
    raster : Path
        The raster.
    names : mapping of int to str
        Names by value; values are not negative.

    Returns
    -------
    Path
        The sidecar: the name of the raster with ``.aux.xml`` appended.

    Raises
    ------
    OutputError
        If it cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sidecar = write_category_names(Path(folder, "a.tif"), {1: "good", 2: "weak"})
    ...     print(sidecar.name, sidecar.read_text().count("<Category>"))
    a.tif.aux.xml 2
    """
    root = ElementTree.Element("PAMDataset")
    band = ElementTree.SubElement(root, "PAMRasterBand", band="1")
    listed = ElementTree.SubElement(band, "CategoryNames")
    for value in range(max(names, default=-1) + 1):
        ElementTree.SubElement(listed, "Category").text = names.get(value)
    ElementTree.indent(root)
    sidecar = raster.with_name(raster.name + SIDECAR_ENDING)
    with replacing(sidecar) as part:
        ElementTree.ElementTree(root).write(part, encoding="utf-8", xml_declaration=False)
    return sidecar
