"""How far a run is: fractions that ascend, from the joint estimate to complete files."""

import pytest

from rm_geo import PredictOptions, predict
from rm_geo.errors import CancelledError
from rm_geo.pipeline.cell_progress import CellListener
from tests.support.measurements import drive_frame, write_frame

OPTIONS = PredictOptions(tile_size_px=64, overlap_px=16, reach_m=10.0, preview=False)


class Record(CellListener):
    """Records the events of a run, and cancels it after a number of cells."""

    def __init__(self, folder, most=10):
        self.folder, self.most = folder, most
        self.joint, self.parts, self.complete = [], {}, []

    def prepared(self, part):
        self.joint.append(part)

    def at(self, cell, part):
        self.parts.setdefault(cell, []).append(part)

    def finished(self, result):
        assert all((self.folder / name).is_file() for name in result.files)
        self.complete.append(result.cell)
        if len(self.complete) == self.most:
            raise CancelledError("enough")


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    cells = ("7", "8", "9")
    return write_frame(drive_frame(240, cells=cells), tmp_path_factory.mktemp("d") / "drive.gpkg")


@pytest.mark.parametrize("method", ["radiocycle", "nearest"])
def test_the_parts_of_every_cell_ascend_from_nothing_to_all_rows(drive, tmp_path, method):
    record = Record(tmp_path)
    options = OPTIONS.replace(method=method, tile_size_px=128)  # a size that has a graph
    predict(drive, tmp_path, options, cell_listener=record)
    assert record.complete == ["7", "8", "9"] == list(record.parts)
    for cell, parts in record.parts.items():
        assert parts == sorted(parts)
        assert parts[0] == 0.0
        assert 0.6 < parts[-1] < 1.0, "the files are completed after the last rows"
        weighs = method == "radiocycle" and cell == "7"  # once, for the maps of all cells
        assert len(set(parts)) > (6 if weighs else 2)
    assert record.joint[0] == 0.0
    assert 0.0 < max(record.joint) <= 1.0


def test_a_listener_ends_the_run_and_complete_cells_stay(drive, tmp_path):
    record = Record(tmp_path, most=1)
    with pytest.raises(CancelledError):
        predict(
            drive, tmp_path, OPTIONS.replace(method="nearest", joint=False), cell_listener=record
        )
    assert record.joint == []
    assert [path.name for path in tmp_path.glob("*.tif")] == ["7_rsrp.tif"]
