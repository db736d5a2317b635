"""Simulated sets as one small file, to be carried to a machine that trains.

Gains take 8 bits instead of 16 and everything is deflated: a tenth of the size or less. Only
numpy is needed at either end.

``python -m rm_geo.datasets.packing SET ARCHIVE.npz``
"""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rm_geo._util.atomic import refuse_link, replacing
from rm_geo.datasets.simulated import MANIFEST, SimulatedSet
from rm_geo.errors import InputError, OutputError, RmGeoError, UsageError
from rm_geo.units import GAIN_FLOOR_DB

FORMAT: Final = "rm-geo packed scenes, 1"
_LOWEST_DB: Final = GAIN_FLOOR_DB - 18.0  # below it, training counts a pixel as without signal
_NOTHING_DB: Final = -200.0
_PLAIN: Final = ("buildings", "heights_m", "roads", "orders", "antennas")


def pack(data: SimulatedSet, path: Path) -> None:
    """Write a set into an archive.

    Gains are rounded to 255 steps between -145 dB and the strongest (about 0.35 dB; RadioMapSeer
    has 0.39 dB); those below are not kept apart.

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
    arrays: dict[str, Any] = {name: getattr(data, name) for name in _PLAIN}
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
    """Write the set of an archive into a folder; one that exists is opened as it is.

    Raises
    ------
    InputError
        If the archive is missing, damaged or none of ours.
    OutputError
        If the folder cannot be written.
    """
    if out.exists():
        return SimulatedSet.open(out)
    try:
        with np.load(path, allow_pickle=False) as archive:
            if str(archive["format"]) != FORMAT:
                raise ValueError("it is of another format")
            manifest = json.loads(str(archive["manifest"]))
            arrays = {name: archive[name] for name in _PLAIN}
            codes = archive["gain_codes"]
            step_db = float(archive["gain_step_db"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} is no archive of packed scenes, or a damaged one: {error}.",
            hint="Pack the set again with: python -m rm_geo.datasets.packing SET ARCHIVE.npz",
        ) from error
    part = out.with_name(out.name + ".part")
    refuse_link(part)
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(part / f"{name}.npy", array)
        np.save(part / "gains_db.npy", _decoded(codes, step_db))
        (part / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        part.rename(out)
    except OSError as error:
        raise OutputError(f"{part} cannot be written: {error}.") from error
    return SimulatedSet.open(out)


def _decoded(codes: NDArray[np.uint8], step_db: float) -> NDArray[np.float16]:
    """Turn codes into gains by table."""
    table = (_LOWEST_DB + (np.arange(256) - 1.0) * step_db).astype(np.float16)
    table[0] = _NOTHING_DB
    return np.asarray(table[codes])


def main(arguments: list[str]) -> int:
    """Pack a set from the command line; gives the exit code."""
    try:
        if len(arguments) != 2:
            raise UsageError("Two arguments are needed: the folder of a set, and the archive.")
        pack(SimulatedSet.open(arguments[0]), Path(arguments[1]))
    except RmGeoError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
