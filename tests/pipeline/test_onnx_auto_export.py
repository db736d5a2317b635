"""A long run on a CPU without bfloat16 makes the faster engine ready; others do not."""

import pytest
import torch

import rm_geo.pipeline.onnx_auto_export as preparation
from rm_geo.grid import Grid
from rm_geo.networks import build
from rm_geo.options import PredictOptions
from rm_geo.progress import SilentProgress
from rm_geo.zoo.catalog import find_model, verified
from rm_geo.zoo.onnx_files import onnx_files
from rm_geo.zoo.weights import save_model

for name in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(name)

TINY = {"f_widths": [8, 8], "f_depths": [1, 1], "g_widths": [8, 8], "g_depths": [1, 1]}
SIZE = 64


class Heard(SilentProgress):
    def __init__(self):
        self.lines = []

    def log(self, message):
        self.lines.append(message)


def grids(tiles):
    return [Grid.create(500_000.0, 5_400_000.0, (SIZE, SIZE * tiles), 1.0, 32633)]


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Of a run with a small field model, on a CPU, nothing exported yet."""
    monkeypatch.setenv("RM_GEO_ONNX", str(tmp_path / "exports"))
    monkeypatch.setattr(preparation, "MIN_TILES", 5)
    torch.manual_seed(0)
    save_model(tmp_path / "tiny", build("radiocycle-drive", TINY), "radiocycle-drive", TINY)
    return PredictOptions(model=tmp_path / "tiny", device="cpu", tile_size_px=SIZE, overlap_px=0)


def sizes(options, known_buildings=False):
    return list(
        onnx_files(verified(find_model(options.method.model)), known_buildings=known_buildings)
    )


def test_a_long_run_exports_once(options):
    heard = Heard()
    assert preparation.prepare_onnx(options, grids(5), heard)
    assert sizes(options) == [SIZE]
    assert len(heard.lines) == 1
    assert not preparation.prepare_onnx(options, grids(5), heard)
    assert len(heard.lines) == 1


def test_a_long_run_with_known_buildings_exports_a_graph_that_takes_them(
    options, tmp_path, monkeypatch
):
    def export(record, path, size, *, known_buildings):  # a real one takes 20 s
        assert (size, known_buildings) == (SIZE, True)
        path.write_bytes(b"a graph")

    monkeypatch.setattr("rm_geo.zoo.onnx_export.export_onnx", export)
    knowing = options.replace(buildings=tmp_path / "houses.gpkg")
    assert preparation.prepare_onnx(knowing, grids(5), Heard())
    assert (sizes(options), sizes(options, known_buildings=True)) == ([], [SIZE])
    assert not preparation.prepare_onnx(knowing, grids(5), Heard())


@pytest.mark.parametrize(
    ("tiles", "changes"),
    [
        (4, {}),
        (5, {"method": "idw", "model": None}),
        (5, {"method_options": {"engine": "torch"}}),
        (5, {"method_options": {"precision": "bfloat16"}}),
    ],
)
def test_what_would_not_gain_is_left_alone(options, tiles, changes):
    assert not preparation.prepare_onnx(options.replace(**changes), grids(tiles), Heard())
    assert sizes(options) == []


def test_an_export_that_fails_stops_nothing(options, tmp_path):
    (tmp_path / "exports").write_text("a file where the folder should be")
    heard = Heard()
    assert not preparation.prepare_onnx(options, grids(5), heard)
    assert "PyTorch computes" in heard.lines[-1]
