"""Reads altered inputs of every kind; anything but a result or an error of rm_geo is a fault.

``python -m tests.support.fuzz --cases 3000`` alters thousands, reports the outcomes of each kind,
and keeps the inputs with faults.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from pyproj import CRS

from rm_geo._util.checksummed import to_line
from rm_geo._util.error_report import explain
from rm_geo.buildings.mask import open_buildings
from rm_geo.cli.train import _read_recipe
from rm_geo.distributed.batch_state import _PURPOSE, STATE_NAME, BatchRecord
from rm_geo.distributed.job_table import read_table
from rm_geo.distributed.jobs import read_jobs
from rm_geo.errors import RmGeoError
from rm_geo.grid import Grid
from rm_geo.io.cog import write_raster
from rm_geo.io.features import FeatureTable, read_features, write_features
from rm_geo.io.raster_reader import read_raster
from rm_geo.measurements.column_file import read_column_file
from rm_geo.measurements.reader import read_measurements
from rm_geo.pipeline.journal import JournalKey, open_journal
from rm_geo.pipeline.options_file import read_options
from rm_geo.planning.settings import read_plan_settings
from rm_geo.report.sources import read_sources
from rm_geo.sites.table import read_sites
from rm_geo.zoo.catalog import find_model, list_models
from rm_geo.zoo.model_file import description_in, read_model
from rm_geo.zoo.safetensors import read_header

GRID = Grid.create(390_000.0, 5_818_000.0, (24, 32), 20.0, "EPSG:32633")
ROWS = 40
KEY = JournalKey("abc", {"input": "a.csv", "method": "idw"})
NASTY = (
    b"",
    b"nan",
    b"-inf",
    b"1e999",
    b"-0",
    b"9" * 400,
    b"=cmd|' /C calc'!A0",
    b"\x1b[2J",
    b"\x00",
    b"\xff\xfe",
    b"\r",
    b"\n",
    b'"',
    b"'",
    b"{",
    b"]",
    b"&a [*a]",
    b"!!python/object:x",
    b"../../etc/passwd",
    b"/vsicurl/http://127.0.0.1:9/a",
    b"null",
    b"true",
    b"[]",
    b"-1",
    b"4294967296",
    "\u202e\U0001f4a3".encode(),
)
"""Bytes that break what reads them carelessly."""


def altered(data: bytes, rng: random.Random) -> bytes:
    """Alter the content of a file in one to four places, or cut it."""
    text = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(text) + 1)
        kind = rng.randrange(8)
        if kind == 0 and text:
            text[place % len(text)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del text[place : place + rng.choice((1, 2, 7, 64, 1000))]
        elif kind == 2:
            text[place:place] = rng.choice(NASTY)
        elif kind == 3:
            some = text[place : place + rng.choice((1, 8, 100))]
            text[place:place] = some * rng.choice((1, 2, 50))
        elif kind == 4:
            del text[place:]
        elif kind == 5:  # a field of a text
            words = bytes(text).split(b",")
            words[rng.randrange(len(words))] = rng.choice(NASTY)
            text = bytearray(b",".join(words))
        elif kind == 6:
            other = rng.randrange(len(text) + 1)
            size = rng.choice((1, 4, 16))
            text[place : place + size] = text[other : other + size]
        else:
            width = rng.choice((1, 2, 4, 8))
            text[place : place + width] = rng.randbytes(width)
    return bytes(text)


class Case:
    """A kind of input: writes an example into a folder, and reads it."""

    def __init__(
        self,
        name: str,
        write: Callable[[Path], object],
        read: Callable[[Path], object],
        victims: tuple[str, ...] = ("*",),
    ) -> None:
        self.name, self.write, self.read, self.victims = name, write, read, victims

    def run(self, folder: Path, rng: random.Random) -> str:
        """Read one altered example; give the outcome, or the traceback of a fault."""
        self.write(folder)
        files = sorted(
            {path for victim in self.victims for path in folder.rglob(victim) if path.is_file()}
        )
        victim = rng.choice(files)
        victim.write_bytes(altered(victim.read_bytes(), rng))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.read(folder)
        except RmGeoError as error:
            message = explain(error).message
            is_short = len(message) < 4000 and "Traceback" not in message
            return type(error).__name__ if is_short else f"Fault: a message of {len(message)} signs"
        except Exception:
            return f"Fault: {traceback.format_exc()}"
        return "read"


def _drive() -> dict[str, list[Any]]:
    """Columns of a small drive."""
    steps = range(ROWS)
    return {
        "longitude": [13.38 + 0.0002 * k for k in steps],
        "latitude": [52.5 + 0.0001 * (k % 7) for k in steps],
        "pci": [40 + k % 2 for k in steps],
        "rsrp": [-90.0 - k % 20 for k in steps],
        "time": [f"2024-05-01T12:00:{k:02d}" for k in steps],
    }


def _delimited(separator: str) -> bytes:
    """The drive as delimited text."""
    columns = _drive()
    lines = [
        separator.join(columns),
        *(separator.join(map(str, r)) for r in zip(*columns.values(), strict=True)),
    ]
    return "\n".join(lines).encode() + b"\n"


def _points() -> FeatureTable:
    """The drive as features."""
    columns = _drive()
    places = [
        shapely.Point(x, y) for x, y in zip(columns["longitude"], columns["latitude"], strict=True)
    ]
    return FeatureTable(
        "drive",
        np.array(places, dtype=object),
        {"pci": np.array(columns["pci"]), "rsrp": np.array(columns["rsrp"])},
        CRS(4326),
        "Point",
    )


def _squares() -> FeatureTable:
    """Some buildings."""
    west, south, _, _ = GRID.bounds
    boxes = [
        shapely.box(west + 30 * k, south + 40, west + 30 * k + 15, south + 60) for k in range(8)
    ]
    heights = np.linspace(5, 20, 8)
    return FeatureTable("b", np.array(boxes, dtype=object), {"height": heights}, CRS(32633))


def _zip(folder: Path) -> None:
    """The drive in an archive."""
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("log/drive.csv", _delimited(","))


def _xml(kind: str) -> bytes:
    """The drive as KML or GPX."""
    columns = _drive()
    marks = zip(columns["longitude"], columns["latitude"], columns["rsrp"], strict=True)
    if kind == "gpx":
        points = "".join(
            f'<wpt lat="{y}" lon="{x}"><ele>{v}</ele><name>{v}</name></wpt>' for x, y, v in marks
        )
        return (
            f'<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1">{points}</gpx>'.encode()
        )
    points = "".join(
        f'<Placemark><ExtendedData><Data name="rsrp"><value>{v}</value></Data></ExtendedData>'
        f"<Point><coordinates>{x},{y}</coordinates></Point></Placemark>"
        for x, y, v in marks
    )
    head = '<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
    return f"{head}{points}</Document></kml>".encode()


_NMF = b"""#PRODUCT,,,"Nemo Outdoor"
#START,10:00:00.000,,"01.05.2024"
GPS,10:00:01.000,,13.38,52.5,30,1,1,8,5
CELLMEAS,10:00:01.500,,7,0,2,9,0,70003,1850,51,-41.3,-68.8,-6.0,,,2,70003,1850,52,-44.7,-89.3,-25.8,,
GPS,10:00:02.000,,13.381,52.5,30,1,1,8,5
"""
_SITES = (
    b"cell,longitude,latitude,height_m,azimuth,eirp_dbm,earfcn\n"
    b"40,13.38,52.5,30,120,15,1300\n"
    b"41,13.39,52.5,25,240,18,1300\n"
)
_JOBS = (
    b"measurements,name,output,method,reach,plan\n"
    b"a.csv,north,,idw,40,yes\n"
    b"a.csv,south,x,knn,30,no\n"
)
_JOBS_YAML = (
    b"defaults: {method: idw, reach: 40}\n"
    b"jobs:\n"
    b"  - {measurements: a.csv, name: n}\n"
    b"  - measurements: [a.csv]\n"
    b"    output: there\n"
    b"    bbox: [13, 52, 14, 53]\n"
)
_OPTIONS = (
    b"method: idw\n"
    b"reach: 40\n"
    b"method_options: [neighbours=12]\n"
    b"resolution: 5\n"
    b"sites: a.csv\n"
    b"bbox: 13,52,14,53\n"
)
_PLAN = (
    b"coverage:\n"
    b"  classes:\n"
    b"    - {name: good, from_dbm: -90, colour: '#00ff00'}\n"
    b"    - {name: bad, from_dbm: null, colour: '#ff0000'}\n"
    b"holes: {min_area_m2: 500, rank_by: area}\n"
)
_COLUMNS = b"rsrp_column: RSRP [dBm]\ncell_column: ECI\n"
_RECIPE = b"network: {width: 8}\nloop: {steps: 10, rate: 5e-4}\n"


def _model(folder: Path) -> None:
    """A model file with a header as rm_geo writes it."""
    source = find_model(list_models(installed=True)[0].name)
    header, start = read_header(data := source.path.read_bytes())
    kept = dict(list(header.items())[:6])
    text = json.dumps(kept).encode()
    (folder / "model.safetensors").write_bytes(
        len(text).to_bytes(8, "little") + text + data[start : start + 2000]
    )


def _read_model(folder: Path) -> None:
    """Find the model file and read its description."""
    path = folder / "model.safetensors"
    description_in(read_model(path), path)
    find_model(path)


def _journal(folder: Path) -> None:
    """The journal of a run that was cut off."""
    journal = open_journal(folder, "7", KEY)
    for name, value in (("trust", 0.04), ("batch_size", 4), ("channels", 2)):
        journal.note(name, value)


def _read_journal(folder: Path) -> None:
    """Open the journal again and read what it knows."""
    journal = open_journal(folder, "7", KEY)
    for name in ("trust", "batch_size", "channels"):
        journal.recall(name)


def _record(folder: Path) -> None:
    """The record of a batch."""
    (folder / "a.csv").write_bytes(_delimited(","))
    (folder / "jobs.csv").write_bytes(_JOBS)
    cells = [{"cell": "40", "status": "mapped", "files": ["40_rsrp.tif"], "file_bytes": [10]}]
    job = {"key": "x", "complete": True, "cells": cells, "lines": ["a"]}
    lines = [to_line([name, job], _PURPOSE) for name in ("north", "south")]
    (folder / STATE_NAME).write_bytes(b"".join(lines))


def _read_record(folder: Path) -> None:
    """Restore the jobs of a batch."""
    record = BatchRecord(folder / STATE_NAME, fresh=False)
    for job in read_jobs([folder / "jobs.csv"], folder):
        record.restored(job)


def _results(folder: Path) -> None:
    """The summary of a run, as a report reads it."""
    cell = {"cell": "40", "status": "mapped", "files": ["40_rsrp.tif"], "warnings": []}
    (folder / "summary.json").write_text(json.dumps({"cells": [cell]}))
    (folder / "validation.json").write_text(json.dumps({"methods": [], "scores": []}))


def _table(
    name: str, read: Callable[[Path], object] = read_measurements
) -> Callable[[Path], object]:
    """Give the reader of one file of the folder."""
    return lambda folder: read(folder / name)


def _bytes(name: str, data: bytes) -> Callable[[Path], object]:
    """Give the writer of one file."""
    return lambda folder: (folder / name).write_bytes(data)


def _features(name: str, table: Callable[[], FeatureTable]) -> Callable[[Path], object]:
    """Give the writer of a vector file."""
    return lambda folder: write_features(folder / name, [table()])


def _sites_of(path: Path) -> object:
    """Read a site table."""
    return read_sites(path, target_crs="EPSG:32633")


def _buildings_of(path: Path) -> object:
    """Read the buildings of a grid."""
    return open_buildings(path, GRID).mask(GRID)


def _raster(name: str, low: float, high: float) -> Callable[[Path], object]:
    """Give the writer of a raster."""
    values = np.linspace(low, high, 24 * 32, dtype=np.float32).reshape(24, 32)
    return lambda folder: write_raster(folder / name, values, GRID)


CASES = (
    Case("csv", _bytes("a.csv", _delimited(",")), _table("a.csv")),
    Case("semicolons", _bytes("a.txt", _delimited(";")), _table("a.txt")),
    Case("spaces", _bytes("a.dat", _delimited(" ")), _table("a.dat")),
    Case("csv.gz", _bytes("a.csv.gz", gzip.compress(_delimited(","), mtime=0)), _table("a.csv.gz")),
    Case("zip", _zip, _table("a.zip")),
    Case(
        "jsonl",
        _bytes(
            "a.jsonl",
            b"\n".join(
                json.dumps(dict(zip(_drive(), row, strict=True))).encode()
                for row in zip(*_drive().values(), strict=True)
            ),
        ),
        _table("a.jsonl"),
    ),
    Case(
        "parquet",
        lambda folder: pq.write_table(pa.table(_drive()), folder / "a.parquet"),
        _table("a.parquet"),
    ),
    Case("nmf", _bytes("a.nmf", _NMF), _table("a.nmf")),
    Case("geojson", _features("a.geojson", _points), _table("a.geojson")),
    Case("gpkg", _features("a.gpkg", _points), _table("a.gpkg")),
    Case("fgb", _features("a.fgb", _points), _table("a.fgb")),
    Case("shp", _features("a.shp", _points), _table("a.shp")),
    Case("tab", _features("a.tab", _points), _table("a.tab")),
    Case("mif", _features("a.mif", _points), _table("a.mif")),
    Case("kml", _bytes("a.kml", _xml("kml")), _table("a.kml")),
    Case(
        "gpx",
        _bytes("a.gpx", _xml("gpx")),
        _table("a.gpx", lambda path: read_features(path, "waypoints")),
    ),
    Case("sites", _bytes("a.csv", _SITES), _table("a.csv", _sites_of)),
    Case("buildings", _features("a.gpkg", _squares), _table("a.gpkg", _buildings_of)),
    Case("buildings.geojson", _features("a.geojson", _squares), _table("a.geojson", _buildings_of)),
    Case("buildings.tif", _raster("a.tif", 0.0, 1.0), _table("a.tif", _buildings_of)),
    Case("raster", _raster("a.tif", -120.0, -60.0), _table("a.tif", read_raster)),
    Case("jobs", _bytes("jobs.csv", _JOBS), _table("jobs.csv", read_table)),
    Case("jobs.yaml", _bytes("jobs.yaml", _JOBS_YAML), _table("jobs.yaml", read_table)),
    Case("options", _bytes("a.yaml", _OPTIONS), _table("a.yaml", read_options)),
    Case("plan settings", _bytes("a.yaml", _PLAN), _table("a.yaml", read_plan_settings)),
    Case("columns", _bytes("a.yaml", _COLUMNS), _table("a.yaml", read_column_file)),
    Case(
        "recipe",
        _bytes("a.yaml", _RECIPE),
        lambda folder: _read_recipe("mars", str(folder / "a.yaml")),
    ),
    Case("model", _model, _read_model),
    Case("journal", _journal, _read_journal),
    Case("batch record", _record, _read_record, (STATE_NAME, "jobs.csv")),
    Case("results", _results, read_sources),
)
"""Every kind of input."""


def main(argv: list[str] | None = None) -> int:
    """Alter inputs of every kind and report the outcomes.

    Parameters
    ----------
    argv : list of str, optional
        Arguments of the command.

    Returns
    -------
    int
        Exit status: 1 if there are faults.
    """
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--cases", type=int, default=1000, help="number of altered inputs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", help="only this kind of input")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-faults"))
    chosen = parser.parse_args(argv)
    kinds = [case for case in CASES if chosen.kind in (None, case.name)]
    outcomes: dict[str, Counter[str]] = {case.name: Counter() for case in kinds}
    slowest_s, faults = 0.0, 0
    for number in range(chosen.cases):
        case = kinds[number % len(kinds)]
        rng = random.Random(f"{chosen.seed} {case.name} {number}")
        with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
            began_s = time.monotonic()
            outcome = case.run(Path(name), rng)
            slowest_s = max(slowest_s, time.monotonic() - began_s)
            if outcome.startswith("Fault"):
                faults += 1
                kept = chosen.keep / f"{case.name}-{chosen.seed}-{number}"
                shutil.copytree(name, kept, dirs_exist_ok=True)
                print(f"{kept}: {outcome}", file=sys.stderr)
        outcomes[case.name][outcome.partition(":")[0]] += 1
    for name, counted in outcomes.items():
        print(f"{name:<20}" + ", ".join(f"{what} {n}" for what, n in counted.most_common()))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{chosen.cases} inputs, {faults} faults; slowest {slowest_s:.1f} s, peak {peak_mb:.0f} MB"
    )
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
