"""An exported network says what the original says."""

import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from rm_geo.buildings.rays import CellSamples, ray_rasters
from rm_geo.errors import ModelError, OutputError
from rm_geo.estimators.base import TileBatch
from rm_geo.estimators.radiocycle import RadioCycleEstimator
from rm_geo.estimators.ray_buildings import RayBuildingMapper
from rm_geo.inference.methods import open_method
from rm_geo.networks import build
from rm_geo.zoo.catalog import default_model, find_model, verified
from rm_geo.zoo.onnx_export import export_onnx
from rm_geo.zoo.onnx_files import onnx_files
from rm_geo.zoo.onnx_graph import detached, write_graph
from rm_geo.zoo.onnx_session import OnnxNetwork
from rm_geo.zoo.onnx_stem import with_strided_stems
from rm_geo.zoo.torch_network import TorchNetwork
from rm_geo.zoo.weights import load_network, save_model, write_index

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
onnxruntime = pytest.importorskip("onnxruntime")

TINY = {"f_widths": [8, 8], "f_depths": [1, 1], "g_widths": [8, 8], "g_depths": [1, 1]}
SIZE = 64


def saved(path, kind, config, seed=0):
    torch.manual_seed(seed)
    network = build(kind, config)
    for parameter in network.parameters():  # heads start at zero, which would prove nothing
        torch.nn.init.normal_(parameter, std=0.1)
    save_model(path, network, kind, config)
    return find_model(path)


@pytest.fixture(scope="module")
def field_model(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("models") / "tiny", "radiocycle-drive", TINY)


def batch(count=3, spacing_m=1.0):
    rng = np.random.default_rng(0)
    seen = rng.random((count, SIZE, SIZE)) < 0.05
    level = np.where(seen, rng.normal(-90, 10, seen.shape), np.nan).astype(np.float32)
    position = np.array([[10, 20], [np.nan, np.nan], [-50, 400]], np.float32)[:count]
    return TileBatch(level, spacing_m, position, np.array([-40, np.nan, -30], np.float32)[:count])


@pytest.fixture(scope="module")
def exported(field_model, tmp_path_factory):
    """Folder of exports that holds the field model's."""
    from rm_geo.cli.group import rm_geo

    folder = tmp_path_factory.mktemp("exports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RM_GEO_ONNX", str(folder))
        arguments = ["export", str(field_model.path), "--tile-size", str(SIZE)]
        result = CliRunner().invoke(rm_geo, arguments)
        assert result.exit_code == 0, result.output
        yield folder


@pytest.mark.parametrize("symmetries", [1, 2, 8])
def test_the_estimator_says_the_same_with_both_engines(field_model, exported, symmetries):
    path = str(field_model.path)
    plain = RadioCycleEstimator(path, "cpu", symmetries, engine="torch")
    fast = RadioCycleEstimator(path, "cpu", symmetries, engine="onnx")
    assert plain.provenance["engine"] == "torch"
    assert fast.provenance == {**plain.provenance, "engine": "onnx"}
    for tiles in (batch(), batch(1), batch(spacing_m=4.0)):
        ours, theirs = plain.estimate(tiles), fast.estimate(tiles)
        np.testing.assert_allclose(ours.rsrp_dbm, theirs.rsrp_dbm, atol=1e-3)
        np.testing.assert_allclose(
            ours.building_probability, theirs.building_probability, atol=1e-4
        )
        np.testing.assert_allclose(ours.std_db, theirs.std_db, atol=1e-3)


def with_buildings(tiles):
    buildings = np.zeros(tiles.rsrp_dbm.shape, bool)
    buildings[:, 20:40, 8:50] = True
    return replace(tiles, buildings=buildings)


@pytest.fixture(scope="module")
def exported_with_buildings(field_model, exported):
    """The same folder, with the network that takes known buildings too."""
    from rm_geo.cli.group import rm_geo

    arguments = ["export", str(field_model.path), "--tile-size", str(SIZE), "--buildings"]
    result = CliRunner().invoke(rm_geo, arguments)
    assert result.exit_code == 0, result.output
    return exported


@pytest.mark.parametrize("symmetries", [1, 8])
def test_known_buildings_are_read_alike_by_both_engines(
    field_model, exported_with_buildings, symmetries
):
    path = str(field_model.path)
    plain = RadioCycleEstimator(path, "cpu", symmetries, engine="torch")
    fast = RadioCycleEstimator(path, "cpu", symmetries, engine="onnx")
    assert fast.provenance["engine"] == "onnx"
    ours, theirs = plain.estimate(with_buildings(batch())), fast.estimate(with_buildings(batch()))
    np.testing.assert_allclose(ours.rsrp_dbm, theirs.rsrp_dbm, atol=1e-3)
    np.testing.assert_allclose(
        theirs.building_probability, with_buildings(batch()).buildings, atol=1e-5
    )
    assert np.abs(theirs.rsrp_dbm - fast.estimate(batch()).rsrp_dbm).max() > 0.1


def test_an_export_without_a_buildings_input_leaves_known_buildings_to_pytorch(
    with_graph, tmp_path, monkeypatch
):
    monkeypatch.setenv("RM_GEO_ONNX", str(tmp_path))
    chosen = RadioCycleEstimator(with_graph, "cpu", known_buildings=True)
    assert chosen.provenance["engine"] == "torch"
    plain = RadioCycleEstimator(with_graph, "cpu", engine="torch")
    ours, theirs = (estimator.estimate(with_buildings(batch())) for estimator in (chosen, plain))
    np.testing.assert_array_equal(ours.rsrp_dbm, theirs.rsrp_dbm)
    with pytest.raises(ModelError, match="with buildings") as caught:
        RadioCycleEstimator(with_graph, "cpu", engine="onnx").estimate(with_buildings(batch()))
    assert "--buildings" in (caught.value.hint or "")


def test_exports_that_a_run_does_not_use_are_none_of_its_provenance(
    field_model, exported_with_buildings, tmp_path, monkeypatch
):
    monkeypatch.setenv(
        "RM_GEO_ONNX", str(shutil.copytree(exported_with_buildings, tmp_path / "exports"))
    )

    def engine(size, known):
        options = {"model": str(field_model.path), "device": "cpu", "tile_size_px": size}
        return open_method("radiocycle", **options, known_buildings=known).provenance["engine"]

    assert [engine(SIZE, known) for known in (False, True)] == ["onnx", "onnx"]
    assert engine(2 * SIZE, False) == "torch"
    for file in (tmp_path / "exports").glob("*-buildings-*"):
        file.unlink()
    assert [engine(SIZE, known) for known in (False, True)] == ["onnx", "torch"]


def test_only_field_models_are_exported_with_buildings(tmp_path):
    record = saved(tmp_path / "model", "mars", {"width": 16, "blocks": 1, "repeats": 1})
    with pytest.raises(ModelError, match="not exported with known buildings"):
        export_onnx(record, tmp_path / "model.onnx", SIZE, known_buildings=True)


def test_without_an_export_pytorch_computes_unless_onnx_was_asked_for(
    field_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("RM_GEO_ONNX", str(tmp_path))
    path = str(field_model.path)
    assert RadioCycleEstimator(path, "cpu").provenance["engine"] == "torch"
    with pytest.raises(ModelError, match="no export"):
        RadioCycleEstimator(path, "cpu", engine="onnx").estimate(batch())


def test_damaged_exports_and_those_of_other_weights_are_refused(exported, tmp_path):
    content = next(exported.glob("*.onnx")).read_bytes()
    (tmp_path / "half.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="no ONNX file"):
        OnnxNetwork(tmp_path / "half.onnx", "")
    (tmp_path / "whole.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="other weights"):
        OnnxNetwork(tmp_path / "whole.onnx", "0" * 64)


def test_neither_threads_nor_batches_change_a_bit(monkeypatch):
    estimator = RadioCycleEstimator(None, "cpu", engine="onnx")
    rng = np.random.default_rng(0)
    level = np.where(rng.random((3, 128, 128)) < 0.05, -90.0, np.nan).astype(np.float32)
    position = np.array([[10, 20], [60, 64], [-50, 400]], np.float32)
    tiles = TileBatch(level, 1.0, position, np.full(3, -40, np.float32))
    alone = replace(
        tiles,
        rsrp_dbm=level[1:2],
        transmitter_rc=position[1:2],
        intercept_dbm=tiles.intercept_dbm[1:2],
    )
    bands = ("rsrp_dbm", "building_probability", "std_db")
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr("rm_geo.zoo.onnx_session.available_threads", lambda n=threads: n)
        estimate = estimator.estimate(tiles)
        found.append(np.stack([getattr(estimate, band) for band in bands]))
    single = estimator.estimate(alone)
    assert found[0].std() > 0
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()
    assert (found[0][:, 1:2] == np.stack([getattr(single, band) for band in bands])).all()


def test_super_resolution_can_be_exported(tmp_path):
    record = saved(tmp_path / "model", "mars", {"width": 16, "blocks": 1, "repeats": 1})
    made = export_onnx(record, tmp_path / "model.onnx")
    assert 0.0 <= made.difference < 1e-3
    session = onnxruntime.InferenceSession(str(made.path), providers=["CPUExecutionProvider"])
    assert tuple(entry.name for entry in session.get_inputs()) == made.inputs == ("coarse",)
    held = session.get_modelmeta().custom_metadata_map["rm_geo_sha256"]
    assert held == load_network(record)[1].sha256


def test_a_network_that_says_something_else_is_not_handed_out(
    field_model, exported, tmp_path, monkeypatch
):
    program = SimpleNamespace(model_proto=onnx.load(next(exported.glob("*.onnx"))))
    monkeypatch.setattr("torch.onnx.export", lambda *_, **__: program)
    monkeypatch.setattr("rm_geo.zoo.onnx_export.MOST_DIFFERENCE", -1.0)
    with pytest.raises(ModelError, match="differs"):
        export_onnx(field_model, tmp_path / "tiny.onnx", SIZE)
    assert not list(tmp_path.iterdir())


def test_a_tile_size_that_does_not_suit_is_refused(field_model, tmp_path):
    with pytest.raises(ModelError, match="multiple"):
        export_onnx(field_model, tmp_path / "tiny.onnx", 60)


@pytest.fixture(scope="module")
def with_graph(field_model, tmp_path_factory):
    """Folder of a model that comes with its graph."""
    folder = tmp_path_factory.mktemp("with-graph") / "model"
    shutil.copytree(field_model.path.parent, folder)
    write_graph(find_model(folder), SIZE)
    return folder


@pytest.fixture
def shipped(with_graph, tmp_path, monkeypatch):
    """A copy of it to be changed at will, and nothing exported besides."""
    monkeypatch.setenv("RM_GEO_ONNX", str(tmp_path / "nothing"))
    return shutil.copytree(with_graph, tmp_path / "shipped")


def test_a_model_that_comes_with_its_graph_needs_no_export(shipped):
    fast = RadioCycleEstimator(shipped, "cpu", engine="onnx")
    plain = RadioCycleEstimator(shipped, "cpu", engine="torch")
    assert fast.provenance["engine"] == "onnx"
    ours, theirs = fast.estimate(batch()), plain.estimate(batch())
    np.testing.assert_allclose(ours.rsrp_dbm, theirs.rsrp_dbm, atol=1e-3)


def test_kinds_without_graphs_are_refused(tmp_path, monkeypatch):
    from rm_geo.cli.group import rm_geo

    record = saved(tmp_path / "model", "radiocycle", {"width": 0.05})
    monkeypatch.setattr("rm_geo.zoo.onnx_graph.export_onnx", None)  # it is not even tried
    result = CliRunner().invoke(rm_geo, ["export", str(record.path), "--beside"])
    assert result.exit_code == 1, result.output
    assert "'model' is a 'radiocycle' network" in result.output
    assert "made of radiocycle-drive, ray-buildings, mars" in result.output


def test_a_graph_has_neither_weights_nor_paths_in_it(shipped):
    graph = (shipped / f"tiles-{SIZE}.onnx").read_bytes()
    model = onnx.load(shipped / f"tiles-{SIZE}.onnx", load_external_data=False)
    outside = [t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    assert len(outside) == len(find_network(shipped).state_dict())
    assert {
        entry.value for t in outside for entry in t.external_data if entry.key == "location"
    } == {"model.safetensors"}
    assert b".py" not in graph


def test_the_first_layers_are_convolutions_with_strides(shipped):
    model = onnx.load(shipped / f"tiles-{SIZE}.onnx", load_external_data=False)
    kernels = [
        list(entry.ints)
        for node in model.graph.node
        for entry in node.attribute
        if entry.name == "kernel_shape" and node.op_type == "Conv"
    ]
    assert kernels.count([12, 12]) == 2  # of F and of G
    names = {name for node in model.graph.node for name in node.input}
    assert {tensor.name for tensor in model.graph.initializer} <= names


def test_layers_of_another_form_stay_as_they_are(shipped):
    first = onnx.load(shipped / f"tiles-{SIZE}.onnx", load_external_data=False)
    again = onnx.ModelProto.FromString(first.SerializeToString())
    assert with_strided_stems(again).graph.node == first.graph.node


def find_network(folder):
    return load_network(find_model(folder))[0]


def test_halves_are_read_as_what_they_are(shipped):
    network = find_network(shipped)
    for parameter in network.parameters():
        if parameter.dim() >= 2:
            parameter.data = parameter.data.half()
    save_model(shipped, network, "radiocycle-drive", TINY)
    write_graph(find_model(shipped), SIZE)
    ours = RadioCycleEstimator(shipped, "cpu", engine="onnx").estimate(batch())
    theirs = RadioCycleEstimator(shipped, "cpu", engine="torch").estimate(batch())
    np.testing.assert_allclose(ours.rsrp_dbm, theirs.rsrp_dbm, atol=1e-3)


def test_a_damaged_graph_is_reported_and_not_run(shipped):
    path = shipped / f"tiles-{SIZE}.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        RadioCycleEstimator(shipped, "cpu")


def test_constants_that_are_no_weights_are_not_shipped(field_model, exported):
    model = onnx.load(next(exported.glob("*.onnx")))
    model.graph.initializer.append(
        onnx.numpy_helper.from_array(np.ones(10_000, np.float32), "folded")
    )
    with pytest.raises(ModelError, match="folded"):
        detached(model, field_model.path)


def test_the_default_model_comes_with_a_graph_that_says_what_it_says():
    record = verified(default_model("radiocycle"))
    assert list(onnx_files(record)) == [128, 256, 512]
    assert list(onnx_files(record, known_buildings=True)) == [128, 256, 512]
    rng = np.random.default_rng(3)
    seen = rng.random((2, 256, 256)) < 0.01
    level = np.where(seen, rng.normal(-90, 8, seen.shape), np.nan).astype(np.float32)
    place = np.array([[-40, 300], [np.nan, np.nan]], np.float32)
    tiles = TileBatch(level, 1.0, place, np.array([-30, np.nan], np.float32))
    ours, theirs = (
        RadioCycleEstimator(None, "cpu", engine=engine).estimate(tiles)
        for engine in ("onnx", "torch")
    )
    np.testing.assert_allclose(ours.rsrp_dbm, theirs.rsrp_dbm, atol=2e-3)
    np.testing.assert_allclose(ours.building_probability, theirs.building_probability, atol=1e-3)
    np.testing.assert_allclose(ours.std_db, theirs.std_db, rtol=1e-3, atol=1e-3)


def test_the_default_model_maps_a_tile_without_pytorch():
    code = (
        "import sys, numpy as np\n"
        "from rm_geo.estimators.base import TileBatch\n"
        "from rm_geo.inference.methods import open_method\n"
        "rsrp = np.full((1, 256, 256), np.nan, np.float32)\n"
        "rsrp[0, 100:110, ::9] = -90.0\n"
        "nowhere = np.full((1, 2), np.nan, np.float32)\n"
        "method = open_method('radiocycle', device='cpu', options={'engine': 'onnx'})\n"
        "made = method.estimator.estimate(TileBatch(rsrp, 1.0, nowhere, nowhere[:, 0]))\n"
        "assert np.isfinite(made.rsrp_dbm).all() and made.building_probability.max() <= 1.0\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_export_beside_a_listed_model_lists_its_graph(field_model, exported, tmp_path, monkeypatch):
    from rm_geo.cli.group import rm_geo

    def export_again(record, path, size, *, known_buildings):  # an export takes 20 s
        assert verified(record).sha256 == verified(field_model).sha256
        assert (size, known_buildings) == (SIZE, False)
        shutil.copy(onnx_files(verified(field_model))[SIZE], path)

    monkeypatch.setattr("rm_geo.zoo.onnx_graph.export_onnx", export_again)
    root = tmp_path / "models"
    shutil.copytree(field_model.path.parent, root / "tiny")
    write_index(root, {"radiocycle": "tiny"})
    command = ["export", str(root / "tiny"), "--beside", "--tile-size", str(SIZE)]
    result = CliRunner().invoke(rm_geo, command)
    assert result.exit_code == 0, result.output
    record = default_model("radiocycle", root)
    assert list(record.card["onnx"]) == [f"tiles-{SIZE}.onnx"]
    assert SIZE in onnx_files(verified(record))
    result = CliRunner().invoke(rm_geo, [*command, "--onnx", str(tmp_path / "file.onnx")])
    assert result.exit_code == 2
    assert "exclude each other" in result.output


def test_a_model_is_not_replaced_by_its_export(shipped, tmp_path):
    record = find_model(shipped)
    before = record.path.read_bytes()
    with pytest.raises(OutputError, match="is the model itself"):
        export_onnx(record, record.path, SIZE)
    with pytest.raises(OutputError, match="it is a folder"):
        export_onnx(record, tmp_path, SIZE)
    assert record.path.read_bytes() == before


def test_a_network_for_many_cells_is_exported_and_used_beside_its_weights(tmp_path):
    tiny = {"widths": [8, 8], "depths": [1, 1]}
    record = saved(tmp_path / "rays", "ray-buildings", tiny)
    graph = write_graph(record)
    assert graph.name == "tiles-256.onnx"
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(0, 200, (2, 80))
    level = rng.normal(-90, 10, 80).astype(np.float32)
    cells = [CellSamples(rows, cols, level, (10.0, 400.0)), CellSamples(rows, cols, level, (5, 9))]
    by_graph = RayBuildingMapper(tmp_path / "rays").probability(cells, (200, 220))
    graph.unlink()
    record = find_model(tmp_path / "rays")
    by_torch = TorchNetwork(record, "cpu", "float32")
    rasters = ray_rasters(cells, (256, 256))
    (logits,) = by_torch(rasters.points[None], rasters.rays[None])
    expected = 1.0 / (1.0 + np.exp(-logits[0, 0, :200, :220]))
    np.testing.assert_allclose(by_graph, expected, atol=1e-4)
    assert by_graph.shape == (200, 220)
