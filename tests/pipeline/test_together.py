"""Several logs of one area in one run."""

import hashlib

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from rm_geo import PredictOptions, predict
from rm_geo.cli.group import rm_geo
from rm_geo.errors import InputError
from rm_geo.measurements.reader import read_measurements
from rm_geo.pipeline.dry_run import dry_run
from rm_geo.pipeline.plan import plan_run
from rm_geo.progress import SilentProgress
from rm_geo.workflows.rasterize import rasterize_file
from tests.support.measurements import write_drive

OPTIONS = PredictOptions(
    method="idw",
    tile_size_px=64,
    overlap_px=16,
    reach_m=20.0,
    resolution_m=3.0,
    crs="EPSG:32633",
    device="cpu",
    joint=False,
)
ARGUMENTS = [
    "--method",
    "idw",
    "--tile-size",
    "64",
    "--overlap",
    "16",
    "--reach",
    "20",
    "--resolution",
    "3",
    "--crs",
    "EPSG:32633",
    "--single",
]


class Lines(SilentProgress):
    def __init__(self):
        self.lines = []

    def log(self, message):
        self.lines.append(message)


def scanner_log(path, visits=400, seed=0, first=0):
    """A scanner log: three cells at each visit, the third one in a part of the area."""
    rng = np.random.default_rng(seed)
    lines = ["time,x,y,rsrp,pci,earfcn"]
    for visit in range(first, first + visits):
        x, y = rng.uniform(0.0, 150.0, 2)
        for pci, (east, north) in {101: (0, 0), 102: (150, 150), 103: (0, 150)}.items():
            distance = np.hypot(x - east, y - north)
            if pci == 103 and distance > 120:
                continue
            place = f"{500_000 + x:.2f},{5_400_000 + y:.2f}"
            time = f"2024-05-01T10:{visit // 60:02d}:{visit % 60:02d}Z"
            lines.append(f"{time},{place},{-60 - 20 * np.log10(1 + distance / 10):.1f},{pci},1300")
    path.write_text("\n".join(lines) + "\n")
    return path


def halves_of(path):
    """The file in two, at half of its rows."""
    head, *rows = path.read_text().splitlines()
    files = []
    for name, part in (("first", rows[: len(rows) // 2]), ("second", rows[len(rows) // 2 :])):
        files.append(path.with_name(f"{name}.csv"))
        files[-1].write_text("\n".join([head, *part]) + "\n")
    return files


def rasters(folder):
    """Values of all rasters, bytewise."""
    found = {}
    for path in sorted(folder.glob("*.tif")):
        with rasterio.open(path) as source:
            found[path.name] = (source.transform, source.crs, source.read().tobytes())
    return found


@pytest.mark.parametrize("joint", [True, False])
def test_a_log_in_two_files_gives_the_same_maps_as_in_one(tmp_path, joint):
    whole = scanner_log(tmp_path / "whole.csv")
    options = OPTIONS.replace(joint=joint)
    lines = Lines()
    predict(whole, tmp_path / "one", options)
    predict(halves_of(whole), tmp_path / "two", options, lines)
    one = rasters(tmp_path / "one")
    names = {"101_rsrp.tif", "102_rsrp.tif", "103_rsrp.tif", "103_reported.tif"}
    assert set(one) == names  # the other cells are reported everywhere
    assert rasters(tmp_path / "two") == one
    assert any(line.startswith("Joint estimate of") for line in lines.lines) == joint


def test_tags_name_every_file_with_its_checksum(tmp_path):
    files = halves_of(scanner_log(tmp_path / "whole.csv"))
    predict(files, tmp_path / "maps", OPTIONS)
    with rasterio.open(tmp_path / "maps" / "101_rsrp.tif") as source:
        tags = source.tags()
    assert tags["input"] == "first.csv, second.csv"
    for number, file in enumerate(files, start=1):
        assert tags[f"input_{number}"] == file.name
        assert tags[f"input_{number}_bytes"] == str(file.stat().st_size)
        assert tags[f"input_{number}_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert "input_sha256" not in tags


def test_a_sequence_of_one_file_is_that_file(tmp_path):
    file = scanner_log(tmp_path / "whole.csv")
    predict([file], tmp_path / "sequence", OPTIONS)
    predict(file, tmp_path / "file", OPTIONS)
    assert (tmp_path / "sequence" / "101_rsrp.tif").read_bytes() == (
        tmp_path / "file" / "101_rsrp.tif"
    ).read_bytes()


def test_files_and_measurements_in_memory_may_be_mixed(tmp_path):
    first, second = halves_of(scanner_log(tmp_path / "whole.csv"))
    memory, _ = read_measurements(second, crs="EPSG:32633")
    run_plan = plan_run([first, memory], OPTIONS)
    whole = plan_run(tmp_path / "whole.csv", OPTIONS)
    assert [(cell.label, len(cell.measurements)) for cell in run_plan.cells] == [
        (cell.label, len(cell.measurements)) for cell in whole.cells
    ]


def test_the_selection_applies_to_all_logs_together(tmp_path):
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    write_drive(files[0], ["1", "2", "2"])
    write_drive(files[1], ["1", "3", "1"], seed=1)
    run_plan = plan_run(files, OPTIONS.replace(top=1))
    assert [(cell.label, len(cell.measurements)) for cell in run_plan.cells] == [("1", 1200)]


def test_dropped_rows_and_reports_are_those_of_all_files(tmp_path):
    files = halves_of(scanner_log(tmp_path / "whole.csv"))
    for file in files:
        with file.open("a") as end:
            end.write("2024-05-01T10:00:00Z,500000,5400000,,101,1300\n")
    lines = Lines()
    run_plan = plan_run(files, OPTIONS, lines)
    assert run_plan.dropped == 2
    assert sum("dropped 1 row without an RSRP" in line for line in lines.lines) == 2
    assert any(line.startswith("2 logs together: ") for line in lines.lines)


def test_a_file_that_is_given_twice_is_refused(tmp_path):
    file = scanner_log(tmp_path / "whole.csv")
    with pytest.raises(InputError, match="given twice"):
        plan_run([file, str(file)], OPTIONS)


def test_no_file_is_refused():
    with pytest.raises(InputError, match="no logs"):
        plan_run([], OPTIONS)


def test_a_log_of_the_serving_cell_leaves_out_the_maps_of_being_reported(tmp_path):
    scanner = scanner_log(tmp_path / "scanner.csv")
    phone = tmp_path / "phone.csv"
    head, *rows = scanner_log(tmp_path / "more.csv", 120, seed=1, first=800).read_text().split("\n")
    phone.write_text("\n".join([head, *rows[0::3]]) + "\n")  # one cell at each visit, roughly
    lines = Lines()
    results = predict([scanner, phone], tmp_path / "maps", OPTIONS, lines)
    assert "No map of being reported: the log lists only the serving cell." in lines.lines
    assert not [name for result in results for name in result.files if "reported" in name]
    first = next(result for result in results if result.cell == "101")
    assert first.measurements > 400  # the readings of the phone are used


def test_the_messages_name_the_first_of_several_files(tmp_path):
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    write_drive(files[0], ["1"])
    write_drive(files[1], ["2"], seed=1)
    with pytest.raises(InputError, match=r"a\.csv and 1 more was measured in"):
        predict(files, tmp_path / "maps", OPTIONS.replace(min_pixels=10_000))


def test_dry_run_and_rasterize_take_several_files(tmp_path):
    files = halves_of(scanner_log(tmp_path / "whole.csv"))
    assert dry_run(files, OPTIONS).tiles == dry_run(tmp_path / "whole.csv", OPTIONS).tiles
    binning = PredictOptions(crs="EPSG:32633", reach_m=0.0)
    rasterize_file(files, tmp_path / "two", binning)
    rasterize_file(tmp_path / "whole.csv", tmp_path / "one", binning)
    assert rasters(tmp_path / "two") == rasters(tmp_path / "one")


def command(*arguments):
    return CliRunner().invoke(rm_geo, [*map(str, arguments)])


def test_the_command_takes_several_files(tmp_path):
    files = halves_of(scanner_log(tmp_path / "whole.csv"))
    result = command("predict", *files, "-o", tmp_path / "maps", *ARGUMENTS)
    assert result.exit_code == 0, result.output
    predict(tmp_path / "whole.csv", tmp_path / "one", OPTIONS)
    assert rasters(tmp_path / "maps") == rasters(tmp_path / "one")
    shown = command("predict", *files, "-o", tmp_path / "none", *ARGUMENTS, "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "Nothing was written" in shown.output
    assert not (tmp_path / "none").exists()
    binned = command("rasterize", *files, "-o", tmp_path / "bins", "--crs", "EPSG:32633")
    assert binned.exit_code == 0, binned.output
    assert len(list((tmp_path / "bins").glob("*_measured.tif"))) == 3


def test_plan_and_report_of_several_files_name_all_of_them(tmp_path):
    files = halves_of(scanner_log(tmp_path / "whole.csv"))
    result = command(
        "predict",
        *files,
        "-o",
        tmp_path / "maps",
        *ARGUMENTS,
        "--plan",
        "--report",
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "maps" / "plan" / "plan.json").exists()
    page = (tmp_path / "maps" / "report.html").read_text("utf-8")
    for file in files:
        assert hashlib.sha256(file.read_bytes()).hexdigest() in page


def test_a_log_that_cannot_be_joined_is_an_error_without_output(tmp_path):
    first, second = halves_of(scanner_log(tmp_path / "whole.csv"))
    second.write_text(second.read_text().replace(",1300", "").replace(",earfcn", ""))
    result = command("predict", first, second, "-o", tmp_path / "maps", *ARGUMENTS)
    assert result.exit_code == 1
    assert "states the carrier of cell '101'" in result.output
    assert "--carrier-column" in result.output
    assert not (tmp_path / "maps").exists()
