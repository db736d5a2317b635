"""How the main road is taken: every choice that a caller of :func:`rm_geo.predict` has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rm_geo.errors import UsageError
from rm_geo.grid import CrsLike

LEAST_SPACING_M: Final = 1e-3
"""Finer grids are a slip of the pen, and nothing that can be counted."""


@dataclass(frozen=True)
class PredictOptions:
    """How the main road is taken.

    Attributes
    ----------
    method : str
        Name of an estimator; see :func:`rm_geo.estimators.registry.available`.
    model : str or Path, optional
        Trained model of a network method; its default if not given.
    method_options : mapping
        Further parameters of the method, such as ``{"neighbors": 8}`` for ``knn``.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:<n>`` or ``mps``.
    batch_size : int, optional
        Tiles computed at once; chosen by the device's memory if not given.
    tile_size_px, overlap_px : int
        Side of a tile, and the least that neighbours share.
    resolution_m : float
        Side of a pixel in metres.
    reach_m : float
        Pixels further from any measurement are nodata; also the margin of the map.
    crs, target_crs : CRS, optional
        CRS of the measurements where their file does not state one (its own is kept); CRS of
        the maps (the UTM zone of the measurements, if theirs has no metres).
    rsrp_column, cell_column, x_column, y_column, time_column, layer : str, optional
        Columns and layer of the file; found by their usual names if not given.
    bbox : tuple of float, optional
        Read only what lies inside: west, south, east, north in the CRS of the measurements.
    cells : tuple of str
        Only these cells, by their names in the measurements or of their files; all if empty.
    sites : Path or str, optional
        Table of the sites; may lie in object storage.
    sites_crs : CRS, optional
        CRS of a site table that states none; ``crs`` if not given.
    buildings : Path or str, optional
        Outlines of the buildings, or a raster of them, where they are known: RadioCycle's G
        reads them in place of those that F would find. May lie in object storage.
    buildings_layer : str, optional
        Layer of the outlines, where there are several.
    eirp_dbm : float, optional
        EIRP per resource element, where the site table has none.
    frequency_mhz : float, optional
        Carrier, where neither the sites nor the measurements say.
    max_site_uncertainty_m : float
        A position estimated from the measurements counts only if it is this certain.
    assimilate : bool
        Krige the residuals at the measurements back in.
    trust : float, optional
        Share of the method in the map, 0..1; inverse distances have the rest. Judged for
        each cell on measurements held back from the method if not given, where the method
        is a network and the measurements are assimilated.
    noise_db : float, optional
        Standard deviation of the error of one measured pixel; judged by neighbouring
        measurements if not given. With 0 the map equals the measurement wherever there is
        one.
    min_pixels : int
        A cell with fewer measured pixels is reported as failed.
    max_tiles : int
        A cell that would need more tiles is refused before anything is allocated.
    mask : bool
        Also write the building mask, probability over ``mask_threshold``.
    mask_threshold : float
        0..1.
    uncertainty : bool
        Also write the standard deviation of methods that know it, before assimilation.
    preview : bool
        Also write a picture of each cell.
    stac : bool
        Also write a STAC item of each cell.
    fresh : bool
        Discard what an interrupted run left in the output folder, instead of going on.
    """

    method: str = "radiocycle"
    model: str | Path | None = None
    method_options: Mapping[str, object] = field(default_factory=dict)
    device: str = "auto"
    batch_size: int | None = None
    tile_size_px: int = 256
    overlap_px: int = 32
    resolution_m: float = 1.0
    reach_m: float = 100.0
    crs: CrsLike | None = None
    target_crs: CrsLike | None = None
    rsrp_column: str | None = None
    cell_column: str | None = None
    x_column: str | None = None
    y_column: str | None = None
    time_column: str | None = None
    layer: str | None = None
    bbox: tuple[float, float, float, float] | None = None
    cells: tuple[str, ...] = ()
    sites: Path | str | None = None
    sites_crs: CrsLike | None = None
    buildings: Path | str | None = None
    buildings_layer: str | None = None
    eirp_dbm: float | None = None
    frequency_mhz: float | None = None
    max_site_uncertainty_m: float = 30.0
    assimilate: bool = True
    trust: float | None = None
    noise_db: float | None = None
    min_pixels: int = 5
    max_tiles: int = 1000
    mask: bool = False
    mask_threshold: float = 0.5
    uncertainty: bool = False
    preview: bool = True
    stac: bool = False
    fresh: bool = False

    def __post_init__(self) -> None:
        checks = (
            (
                LEAST_SPACING_M <= self.resolution_m < math.inf,
                f"The resolution must be at least {LEAST_SPACING_M:g} m.",
            ),
            (0.0 <= self.reach_m < math.inf, "The reach must be finite and not negative."),
            (self.trust is None or 0.0 <= self.trust <= 1.0, "The trust must be in 0..1."),
            (
                self.assimilate or self.trust in (None, 1.0),
                "A share of trust is for maps that are brought back to the measurements.",
            ),
            (
                self.noise_db is None or 0.0 <= self.noise_db < math.inf,
                "The noise must be finite and not negative.",
            ),
            (self.tile_size_px >= 16, "A tile needs at least 16 pixels a side."),
            (
                0 <= self.overlap_px < self.tile_size_px,
                f"The overlap must be in 0..{self.tile_size_px - 1} pixels.",
            ),
            (self.batch_size is None or self.batch_size >= 1, "A batch has at least one tile."),
            (0.0 < self.mask_threshold < 1.0, "The threshold of the mask must be in 0..1."),
            (
                self.bbox is None
                or (
                    len(self.bbox) == 4
                    and self.bbox[0] <= self.bbox[2]
                    and self.bbox[1] <= self.bbox[3]
                ),
                "A bounding box is west, south, east, north.",
            ),
            (self.max_tiles >= 1, "The number of tiles allowed must be at least 1."),
            (
                self.buildings is not None or self.buildings_layer is None,
                "A layer of buildings needs the file of the buildings.",
            ),
        )
        for holds, message in checks:
            if not holds:
                raise UsageError(message)
