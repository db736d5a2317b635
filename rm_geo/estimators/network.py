"""Common functions of the network estimators: model, gain scale, transmitter image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rm_geo._types import FloatArray
from rm_geo.errors import ModelError
from rm_geo.estimators.base import TileBatch
from rm_geo.units import GAIN_TOP_DB
from rm_geo.zoo.catalog import ModelRecord, default_model, find_model, verified


def model_record(model: str | Path | None, key: str) -> ModelRecord:
    """Find a model and verify its checksum.

    Parameters
    ----------
    model : str or Path or None
        Name in the model index, or a file. None: the default model of ``key``.
    key : str
        Key of the default model, such as ``radiocycle`` or ``mars-4``.

    Returns
    -------
    ModelRecord
        Record with checksum.

    Raises
    ------
    ModelError
        If the model is missing, damaged or unknown.
    """
    return verified(default_model(key) if model is None else find_model(model))


def require_kind(record: ModelRecord, kinds: tuple[str, ...], network: str) -> None:
    """Raise if a method cannot use a model of this kind.

    Parameters
    ----------
    record : ModelRecord
        The model.
    kinds : tuple of str
        Kinds that the method can use.
    network : str
        Name of the network, for the message.

    Raises
    ------
    ModelError
        If the model is of another kind.
    """
    if record.kind not in kinds:
        raise ModelError(
            f"The model {record.name!r} is no {network} but {record.kind!r}.",
            hint="'rm-geo models list' shows which model is of which kind.",
        )


def gain_offset_db(batch: TileBatch) -> FloatArray:
    """Estimate the offset between RSRP and path gain of each tile: ``gain = rsrp - offset``.

    With a known intercept the offset is exact. Otherwise, if the transmitter is known, the
    intercept is estimated by the 95th percentile of the measurements, corrected to 1 m by
    free-space loss. If not, the 99th percentile of the measurements is placed 25 dB below the top
    of RadioMapSeer's scale.

    Parameters
    ----------
    batch : TileBatch
        Tiles of one size.

    Returns
    -------
    ndarray of float32, shape (B,)
        Offset in dB; NaN for tiles without measurements.
    """
    offsets = np.full(len(batch), np.nan, dtype=np.float32)
    for index in range(len(batch)):
        rows, cols = np.nonzero(batch.observed[index])
        if rows.size == 0:
            continue
        levels = batch.rsrp_dbm[index, rows, cols]
        intercept = batch.intercept_dbm[index]
        position = batch.transmitter_rc[index]
        if np.isfinite(intercept):
            offsets[index] = intercept - GAIN_TOP_DB
        elif np.isfinite(position).all():
            pixels = np.hypot(rows + 0.5 - position[0], cols + 0.5 - position[1])
            distance_m = np.maximum(pixels, 1.0) * batch.spacing_m
            envelope = np.percentile(levels + 20.0 * np.log10(distance_m), 95.0)
            offsets[index] = envelope - GAIN_TOP_DB
        else:
            offsets[index] = np.percentile(levels, 99.0) - (GAIN_TOP_DB - 25.0)
    return offsets


def transmitter_images(batch: TileBatch) -> np.ndarray:
    """Return images with 1 in the pixel of the transmitter, 0 elsewhere.

    Parameters
    ----------
    batch : TileBatch
        Tiles of one size.

    Returns
    -------
    ndarray of float32, shape (B, H, W)
        All 0 if the transmitter is unknown or outside the tile.
    """
    images = np.zeros(batch.rsrp_dbm.shape, dtype=np.float32)
    rows, cols = batch.rsrp_dbm.shape[1], batch.rsrp_dbm.shape[2]
    for image, (row, col) in zip(images, batch.transmitter_rc, strict=True):
        if np.isfinite(row) and np.isfinite(col) and 0 <= row < rows and 0 <= col < cols:
            image[int(row), int(col)] = 1.0
    return images
