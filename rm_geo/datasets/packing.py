"""Compression of a simulated set to one archive, for transfer to a training machine.

Gains are quantised to 8 bits and all arrays are compressed, which gives at most a tenth of the
size. Packing and unpacking need only numpy.

Command: ``python -m rm_geo.datasets.packing SET ARCHIVE.npz``
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._util.atomic import replacing
from rm_geo._util.own_folder import OwnFolder, refuse_link
from rm_geo.datasets.simulated import MANIFEST, SimulatedSet
from rm_geo.errors import InputError, OutputError, RmGeoError, UsageError
from rm_geo.units import GAIN_FLOOR_DB

FORMAT: Final = "rm-geo packed scenes, 1"
_LOWEST_DB: Final = GAIN_FLOOR_DB - 18.0  # training treats lower gains as no signal
_NO_SIGNAL_DB: Final = -200.0
_UNCHANGED: Final = ("buildings", "heights_m", "roads", "orders", "antennas")


def pack(data: SimulatedSet, path: Path) -> None:
    """Write a set to an archive.

    Gains are rounded to 255 steps between -145 dB and the largest gain (about 0.35 dB; the
    images of RadioMapSeer have steps of 0.39 dB). Lower gains become -200 dB.

    Parameters
    ----------
    data : SimulatedSet
        The set.
    path : Path
        Archive to write, usually ``.npz``. An existing file is replaced.

    Raises
    ------
    OutputError
        If the archive cannot be written.
    """
    top_db = max(float(np.max(scene)) for scene in data.gains_db)
    step_db = (top_db - _LOWEST_DB) / 254.0
    codes = np.empty(data.gains_db.shape, dtype=np.uint8)
    for code, gains in zip(codes, data.gains_db, strict=True):
        steps = np.round((gains.astype(np.float32) - _LOWEST_DB) / step_db) + 1.0
        code[:] = np.where(gains < _LOWEST_DB, 0.0, steps)
    arrays: dict[str, Any] = {name: getattr(data, name) for name in _UNCHANGED}
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            format=np.array(FORMAT),
            manifest=np.array(json.dumps(data.manifest)),
            gain_codes=codes,
            gain_step_db=np.array(step_db),
            **arrays,
        )


def unpack(path: Path, out: Path) -> SimulatedSet:
    """Write the set of an archive to a folder.

    Parameters
    ----------
    path : Path
        Archive written by :func:`pack`.
    out : Path
        Folder to create. If it exists, it is opened and the archive is not read.

    Returns
    -------
    SimulatedSet

    Raises
    ------
    InputError
        If the archive is missing, damaged or of another format.
    OutputError
        If the folder cannot be written.
    """
    if out.exists():
        return SimulatedSet.open(out)
    try:
        with np.load(path, allow_pickle=False) as archive:
            if str(archive["format"]) != FORMAT:
                raise ValueError("it has another format")
            manifest = json.loads(str(archive["manifest"]))
            arrays = {name: archive[name] for name in _UNCHANGED}
            codes = archive["gain_codes"]
            step_db = float(archive["gain_step_db"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} is not an archive of packed scenes, or it is damaged: {error}.",
            hint="Pack the set again with: python -m rm_geo.datasets.packing SET ARCHIVE.npz",
        ) from error
    part = out.with_name(out.name + ".part")
    refuse_link(part)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        OwnFolder(part.parent, (part.name,)).remove()
        part.mkdir()
        for name, array in arrays.items():
            np.save(part / f"{name}.npy", array)
        np.save(part / "gains_db.npy", _decode(codes, step_db))
        (part / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        part.rename(out)
    except OSError as error:
        raise OutputError(f"{part} cannot be written: {error}.") from error
    return SimulatedSet.open(out)


def _decode(codes: NDArray[np.uint8], step_db: float) -> NDArray[np.float16]:
    """Convert 8-bit codes to path gains in dB."""
    table = (_LOWEST_DB + (np.arange(256) - 1.0) * step_db).astype(np.float16)
    table[0] = _NO_SIGNAL_DB
    return np.asarray(table[codes])


def main(arguments: list[str]) -> int:
    """Pack a set from the command line and return the exit code."""
    try:
        if len(arguments) != 2:
            raise UsageError("Two arguments are required: the folder of a set and the archive.")
        pack(SimulatedSet.open(arguments[0]), Path(arguments[1]))
    except RmGeoError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
