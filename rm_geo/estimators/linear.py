"""Linear interpolation: bilinear on a regular lattice, else on triangles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import LinearNDInterpolator, RegularGridInterpolator
from scipy.spatial import Delaunay, QhullError

from rm_geo._types import Float64Array
from rm_geo.estimators.nearest import nearest_field
from rm_geo.estimators.tilewise import FieldEstimator, FittedField, TileSamples
from rm_geo.io.provenance import describe_method


@dataclass(frozen=True)
class LinearEstimator(FieldEstimator):
    """Linear between the samples, nearest sample beyond their hull.

    Notes
    -----
    Samples that fill a lattice of rows and columns, as in MARS (the papers' "bilinear"), are
    interpolated bilinearly, and clamped to the lattice beyond it. Others are interpolated on
    their Delaunay triangles. Samples on one straight line span no triangle: there every
    pixel takes the nearest sample, or, along a pixel row or column, the linear one.

    Examples
    --------
    >>> import numpy as np
    >>> from rm_geo import Grid, SparseRaster, get_method
    >>> grid = Grid.create(500_000, 5_000_000, (1, 4), 10.0, 32633)
    >>> sparse = SparseRaster.from_levels(grid, np.array([[-70.0, np.nan, np.nan, -100.0]]))
    >>> get_method("linear").estimate_at(sparse, [0.5], [1.5]).round(1)
    array([-80.], dtype=float32)
    """

    name = "linear"

    @property
    def provenance(self) -> dict[str, str]:
        """Parameters as tags."""
        return describe_method(self.name)

    def fit(self, samples: TileSamples) -> FittedField:
        """Fit a field to samples.

        Parameters
        ----------
        samples : TileSamples
            At least two different values.

        Returns
        -------
        callable
            Gives RSRP in dBm, shape (m,), at positions in metres, shape (m, 2).
        """
        axes = tuple(np.unique(samples.position_m[:, axis]) for axis in (0, 1))
        if axes[0].size * axes[1].size == len(samples):
            return _lattice_field(axes[0], axes[1], samples)
        return _triangle_field(samples)


def _lattice_field(rows: Float64Array, cols: Float64Array, samples: TileSamples) -> FittedField:
    """Interpolate bilinearly on a full lattice; linearly where it is a single row or column."""
    order = np.lexsort((samples.position_m[:, 1], samples.position_m[:, 0]))
    values = samples.rsrp_dbm[order].reshape(rows.size, cols.size)
    # A lattice of one row is the same lattice with that row repeated.
    if rows.size == 1:
        rows, values = np.append(rows, rows + 1.0), np.repeat(values, 2, axis=0)
    if cols.size == 1:
        cols, values = np.append(cols, cols + 1.0), np.repeat(values, 2, axis=1)
    interpolator = RegularGridInterpolator((rows, cols), values)

    def field(position_m: Float64Array) -> Float64Array:
        clamped = np.clip(position_m, (rows[0], cols[0]), (rows[-1], cols[-1]))
        return np.asarray(interpolator(clamped))

    return field


def _triangle_field(samples: TileSamples) -> FittedField:
    """Interpolate on Delaunay triangles; nearest sample where there is none."""
    nearest = nearest_field(samples)
    try:
        triangles = Delaunay(samples.position_m)
    except QhullError:  # fewer than three samples, or all on one line
        return nearest
    interpolator = LinearNDInterpolator(triangles, samples.rsrp_dbm)

    def field(position_m: Float64Array) -> Float64Array:
        value = np.asarray(interpolator(position_m), dtype=np.float64)
        outside = np.isnan(value)
        value[outside] = nearest(position_m[outside])
        return value

    return field
